//! Alerts while nothing is wrong with Slack: scenarios 3, 4, 6 to 9.

use ronda_notifier::route::Route;

use crate::bed::On;
use crate::scene::{CHANNEL, Scenario};

on_each_store! {
    s03_one_failure_is_one_red_alert_soon
    s04_the_same_event_ten_times_is_one_alert
    s06_a_recovery_turns_the_message_green_and_is_replied
    s07_what_recovers_at_once_is_one_green_message
    s08_a_stale_run_that_completes_says_how_late
    s09_a_stale_run_that_fails_is_escalated_in_place_and_calls_in_the_thread
}

async fn s03_one_failure_is_one_red_alert_soon(on: On) {
    // As fast as life: here it is the machine's time that counts.
    let scenario = Scenario::new(3, "one failure").at_speed(1);
    scenario
        .play(on, async |scene| {
            let at_ms = scene.clock.now_ms();
            scene.fails("billing").await;
            scene.until("the alert", |scene| scene.shows("billing failed") == 1).await;
            let after_ms = scene.slack().seen()[0].at_ms - at_ms;
            assert!(after_ms <= 4_000, "grouping wait and 2 s: {after_ms} ms");
            assert!(scene.timeline(CHANNEL).contains("▌ red"), "{}", scene.timeline(CHANNEL));
            scene.pass(3_000).await;
            assert_eq!(scene.messages().0.len(), 1);
            assert_eq!(scene.slack().notifications(CHANNEL).len(), 1);
        })
        .await;
}

async fn s04_the_same_event_ten_times_is_one_alert(on: On) {
    let scenario = Scenario::new(4, "the same event ten times");
    scenario
        .play(on, async |scene| {
            for _ in 0..10 {
                scene.fails("billing").await;
                scene.pass(500).await;
            }
            scene.fails("other").await;
            scene.until("what came after them", |scene| scene.shows("other failed") == 1).await;
            assert_eq!((scene.shows("billing failed"), scene.messages().0.len()), (1, 2));
        })
        .await;
}

async fn s06_a_recovery_turns_the_message_green_and_is_replied(on: On) {
    let scenario = Scenario::new(6, "fail, then recover");
    scenario
        .play(on, async |scene| {
            scene.fails("billing").await;
            scene.until("the alert", |scene| scene.shows("billing failed") == 1).await;
            scene.recovers("billing").await;
            scene.until("the reply", |scene| scene.messages().1.len() == 1).await;
            scene.until("it is green", |scene| scene.messages().0[0].text.starts_with("🟢")).await;
            scene.pass(10_000).await;
            assert_eq!((scene.messages().0.len(), scene.messages().1.len()), (1, 1));
            assert!(scene.messages().1[0].text.contains("recovered"), "{}", scene.timeline(CHANNEL));
        })
        .await;
}

async fn s07_what_recovers_at_once_is_one_green_message(on: On) {
    // Slow enough for the second event to come within the grouping wait.
    let scenario = Scenario::new(7, "fail and recover within the grouping wait").at_speed(4);
    scenario
        .play(on, async |scene| {
            let (failure, recovery) = (scene.failure("billing"), scene.recovery("billing"));
            scene.tell(vec![failure]).await;
            scene.tell(vec![recovery]).await;
            scene.until("the message", |scene| scene.messages().0.len() == 1).await;
            scene.pass(10_000).await;
            let (parents, replies) = scene.messages();
            assert!(parents[0].text.starts_with("🟢 *billing* recovered") && parents[0].edits == 0, "{parents:?}");
            assert_eq!((parents.len(), replies.len()), (1, 0));
            let timeline = scene.timeline(CHANNEL);
            assert!(scene.shows("Failed") == 1 && scene.shows("Over since") == 1, "{timeline}");
        })
        .await;
}

async fn s08_a_stale_run_that_completes_says_how_late(on: On) {
    let scenario = Scenario::new(8, "stale, then completed");
    scenario
        .play(on, async |scene| {
            scene.goes_stale("billing").await;
            scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
            scene.stale_completes("billing").await;
            let is_over = |text: &str| text.starts_with("🟢 *billing* completed,") && text.contains("after it was due");
            scene.until("it is over", |scene| is_over(&scene.messages().0[0].text)).await;
            assert_eq!(scene.messages().0.len(), 1);
        })
        .await;
}

async fn s09_a_stale_run_that_fails_is_escalated_in_place_and_calls_in_the_thread(on: On) {
    let scenario = Scenario::new(9, "stale, then failed").with(|config| {
        config.routes = vec![Route { mentions: vec!["U0123ABCD".parse().unwrap()], ..Route::default() }];
    });
    scenario
        .play(on, async |scene| {
            scene.goes_stale("billing").await;
            scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
            scene.stale_fails("billing").await;
            let is_escalated = |text: &str| text.starts_with("🔴 *billing* failed");
            scene.until("the escalation", |scene| is_escalated(&scene.messages().0[0].text)).await;
            scene.until("the reply", |scene| scene.messages().1.len() == 1).await;
            scene.pass(10_000).await;
            let (parents, replies) = scene.messages();
            assert_eq!((parents.len(), replies.len()), (1, 1));
            assert!(replies[0].text.contains("<@U0123ABCD>"), "{replies:?}");
            // An edit notifies nobody: the alert did, and the mention in the thread.
            let notified = scene.slack().notifications(CHANNEL);
            assert_eq!(notified.len(), 2, "{notified:?}");
        })
        .await;
}
