//! Alerts while nothing is wrong with Slack: scenarios 3, 4, 6 to 9.

use crate::scene::everywhere;

#[tokio::test]
async fn s03_one_failure_is_one_red_alert_soon() {
    everywhere(3, "one failure", async |scene| {
        let at_ms = scene.clock.now_ms();
        scene.fails("billing").await;
        scene.until("the alert", |scene| scene.shows("billing failed") == 1).await;
        let seen = scene.slack().seen();
        let after_ms = seen[0].at_ms - at_ms;
        assert!(after_ms <= 4_000, "grouping wait and 2 s: {after_ms} ms");
        scene.pass(10_000).await;
        assert_eq!(scene.messages().0.len(), 1);
        assert_eq!(scene.slack().notifications("C1").len(), 1);
    })
    .await;
}

#[tokio::test]
async fn s04_the_same_event_ten_times_is_one_alert() {
    everywhere(4, "the same event ten times", async |scene| {
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

#[tokio::test]
async fn s06_a_recovery_turns_the_message_green_and_is_replied() {
    everywhere(6, "fail, then recover", async |scene| {
        scene.fails("billing").await;
        scene.until("the alert", |scene| scene.shows("billing failed") == 1).await;
        scene.recovers("billing").await;
        scene.until("the edit and the reply", |scene| scene.messages().1.len() == 1).await;
        scene.until("it is green", |scene| scene.messages().0[0].text.starts_with("🟢")).await;
        scene.pass(10_000).await;
        assert_eq!((scene.messages().0.len(), scene.messages().1.len()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn s07_what_recovers_at_once_is_one_green_message() {
    everywhere(7, "fail and recover within the grouping wait", async |scene| {
        scene.fails("billing").await;
        scene.recovers("billing").await;
        scene.until("the message", |scene| scene.messages().0.len() == 1).await;
        scene.pass(10_000).await;
        let (parents, replies) = scene.messages();
        assert!(parents[0].text.starts_with("🟢 *billing* recovered") && parents[0].edits == 0, "{parents:?}");
        assert_eq!((parents.len(), replies.len()), (1, 0));
        assert!(scene.shows("Failed") == 1 && scene.shows("Over since") == 1, "{}", scene.timeline("C1"));
    })
    .await;
}

#[tokio::test]
async fn s08_a_stale_run_that_completes_says_how_late() {
    everywhere(8, "stale, then completed", async |scene| {
        scene.goes_stale("billing").await;
        scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
        scene.stale_completes("billing").await;
        let is_over = |text: &str| text.starts_with("🟢 *billing* completed,") && text.contains("after it was due");
        scene.until("it is over", |scene| is_over(&scene.messages().0[0].text)).await;
        assert_eq!(scene.messages().0.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn s09_a_stale_run_that_fails_is_escalated_in_place_and_in_the_thread() {
    everywhere(9, "stale, then failed", async |scene| {
        scene.goes_stale("billing").await;
        scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
        scene.stale_fails("billing").await;
        scene.until("the escalation", |scene| scene.messages().0[0].text.starts_with("🔴 *billing* failed")).await;
        scene.until("the reply", |scene| scene.messages().1.len() == 1).await;
        scene.pass(10_000).await;
        assert_eq!((scene.messages().0.len(), scene.messages().1.len()), (1, 1));
    })
    .await;
}
