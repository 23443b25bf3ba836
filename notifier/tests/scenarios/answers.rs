//! Answers and processes that are lost, two that take the same for theirs, and silence that is asked for: scenarios 5, 10 to 14, 16, 17.

use std::time::Duration;

use ronda_slack_standin::Fault;

use crate::bed::On;
use crate::gate::Held;
use crate::scene::{CHANNEL, Scenario};

on_each_store! {
    s05_two_that_both_take_it_for_theirs_show_one_alert
    s10_what_was_posted_and_not_answered_is_found_and_edited
    s11_what_was_not_posted_comes_a_minute_late
    s12_killed_between_claim_and_post_is_one_message
    s13_killed_between_answer_and_commit_is_one_message_that_is_adopted
    s14_asked_for_silence_nothing_is_called_and_then_the_worst_comes_first
    s16_while_the_history_lags_it_is_one_message
    s17_of_a_late_twin_and_its_repeat_one_remains
}

async fn s05_two_that_both_take_it_for_theirs_show_one_alert(on: On) {
    let scenario = Scenario::new(5, "one event at two that both take it for theirs");
    scenario
        .play(on, async |scene| {
            scene.usurp().await;
            // Each has it in its hands; to whom the rows belong by then, only the store knows.
            scene.fails("billing").await;
            scene.fails("billing").await;
            scene.until("the alert", |scene| scene.shows("billing failed") == 1).await;
            scene.fails("billing").await;
            scene.pass(70_000).await;
            scene.recovers("billing").await;
            scene.until("the edit reaches it", |scene| scene.messages().0[0].text.starts_with("🟢")).await;
            scene.until("the reply", |scene| scene.messages().1.len() == 1).await;
            scene.pass(20_000).await;
            assert_eq!((scene.messages().0.len(), scene.messages().1.len()), (1, 1), "{}", scene.timeline(CHANNEL));
            assert_eq!(scene.slack().notifications(CHANNEL).len(), 1, "nobody was called twice");
        })
        .await;
}

async fn s10_what_was_posted_and_not_answered_is_found_and_edited(on: On) {
    let scenario = Scenario::new(10, "committed at Slack, answer lost");
    scenario
        .play(on, async |scene| {
            scene.slack().fail_next("chat.postMessage", Fault::Silence { effective: true, hold_ms: 3_000 });
            scene.fails("billing").await;
            scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
            scene.recovers("billing").await;
            scene.until("the edit reaches it", |scene| scene.messages().0[0].text.starts_with("🟢")).await;
            scene.pass(70_000).await;
            assert_eq!(scene.messages().0.len(), 1);
        })
        .await;
}

async fn s11_what_was_not_posted_comes_a_minute_late(on: On) {
    let scenario = Scenario::new(11, "timed out, not committed");
    scenario
        .play(on, async |scene| {
            scene.slack().fail_next("chat.postMessage", Fault::Silence { effective: false, hold_ms: 3_000 });
            let at_ms = scene.clock.now_ms();
            scene.fails("billing").await;
            scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
            let late_ms = scene.slack().seen()[0].at_ms - at_ms;
            // Two looks, half a minute apart, after as long as a call waits.
            assert!((60_000..150_000).contains(&late_ms), "{late_ms} ms");
            scene.pass(70_000).await;
            assert_eq!(scene.messages().0.len(), 1);
        })
        .await;
}

async fn s12_killed_between_claim_and_post_is_one_message(on: On) {
    let scenario = Scenario::new(12, "killed between claim and post");
    scenario
        .play(on, async |scene| {
            scene.hold(Held::Calls);
            scene.fails("billing").await;
            scene.kill_the_holder().await;
            scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
            scene.pass(70_000).await;
            assert_eq!((scene.messages().0.len(), scene.slack().calls("chat.postMessage")), (1, 1));
        })
        .await;
}

async fn s13_killed_between_answer_and_commit_is_one_message_that_is_adopted(on: On) {
    let scenario = Scenario::new(13, "killed between answer and commit");
    scenario
        .play(on, async |scene| {
            scene.hold(Held::Answers);
            scene.fails("billing").await;
            scene.kill_the_holder().await;
            scene.recovers("billing").await;
            scene.until("the edit reaches it", |scene| scene.messages().0[0].text.starts_with("🟢")).await;
            scene.pass(70_000).await;
            assert_eq!(scene.messages().0.len(), 1);
        })
        .await;
}

async fn s14_asked_for_silence_nothing_is_called_and_then_the_worst_comes_first(on: On) {
    let scenario = Scenario::new(14, "429 with Retry-After 30").at_speed(10);
    scenario
        .play(on, async |scene| {
            scene.slack().fail_next("chat.postMessage", Fault::RateLimited { retry_after_seconds: 30 });
            scene.goes_stale("first").await;
            scene.until("the refusal", |scene| scene.slack().calls("chat.postMessage") == 1).await;
            scene.goes_stale("second").await;
            scene.fails("billing").await;
            scene.pass(20_000).await;
            assert_eq!(scene.slack().calls("chat.postMessage"), 1, "it asked for silence");
            scene.until("all three", |scene| scene.messages().0.len() == 3).await;
            assert!(scene.messages().0[0].text.contains("*billing* failed"), "{}", scene.timeline(CHANNEL));
        })
        .await;
}

async fn s16_while_the_history_lags_it_is_one_message(on: On) {
    let scenario = Scenario::new(16, "the history lags 20 s, and an answer is lost");
    scenario
        .play(on, async |scene| {
            scene.slack().set_history_lag(Duration::from_secs(20));
            // Its end is known at once, so that the first look comes before the history has it.
            scene.slack().fail_next("chat.postMessage", Fault::Reset { effective: true });
            scene.fails("billing").await;
            scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
            let looks = scene.slack().calls("conversations.history");
            scene.until("a look", |scene| scene.slack().calls("conversations.history") > looks).await;
            scene.recovers("billing").await;
            scene.until("the edit reaches it", |scene| scene.messages().0[0].text.starts_with("🟢")).await;
            scene.pass(100_000).await;
            assert_eq!(scene.messages().0.len(), 1);
            assert_eq!(scene.slack().notifications(CHANNEL).len(), 1, "nobody was called twice");
        })
        .await;
}

async fn s17_of_a_late_twin_and_its_repeat_one_remains(on: On) {
    let scenario = Scenario::new(17, "a twin turns up late");
    scenario
        .play(on, async |scene| {
            // Longer than it is looked for.
            scene.slack().set_history_lag(Duration::from_secs(3_600));
            scene.slack().fail_next("chat.postMessage", Fault::Reset { effective: true });
            scene.fails("billing").await;
            scene.until("the repeat", |scene| scene.messages().0.len() == 2).await;
            scene.slack().set_history_lag(Duration::ZERO);
            let first = scene.messages().0[0].ts.clone();
            scene.until("one remains", |scene| scene.messages().0.len() == 1).await;
            assert_eq!(scene.messages().0[0].ts, first, "the earliest");
            scene.recovers("billing").await;
            scene.until("the edit reaches it", |scene| scene.messages().0[0].text.starts_with("🟢")).await;
            scene.pass(70_000).await;
            assert_eq!((scene.messages().0.len(), scene.messages().1.len()), (1, 1), "{}", scene.timeline(CHANNEL));
        })
        .await;
}
