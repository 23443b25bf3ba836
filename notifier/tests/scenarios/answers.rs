//! Answers and processes that are lost, and silence that is asked for: scenarios 5, 10 to 14.

use ronda_slack_standin::Fault;

use crate::scene::{Held, everywhere};

#[tokio::test]
async fn s05_what_is_read_again_after_a_take_over_is_one_alert() {
    everywhere(5, "the same event at another replica", async |scene| {
        scene.hold(Held::Answers);
        scene.fails("billing").await;
        scene.kill_the_holder().await;
        scene.fails("billing").await;
        scene.fails("other").await;
        scene.until("what came after it", |scene| scene.shows("other failed") == 1).await;
        assert_eq!(scene.shows("billing failed"), 1);
    })
    .await;
}

#[tokio::test]
async fn s10_what_was_posted_and_not_answered_is_found_and_edited() {
    everywhere(10, "committed at Slack, answer lost", async |scene| {
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

#[tokio::test]
async fn s11_what_was_not_posted_comes_a_minute_late() {
    everywhere(11, "timed out, not committed", async |scene| {
        scene.slack().fail_next("chat.postMessage", Fault::Silence { effective: false, hold_ms: 3_000 });
        let at_ms = scene.clock.now_ms();
        scene.fails("billing").await;
        scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
        let late_ms = scene.slack().seen()[0].at_ms - at_ms;
        assert!((40_000..120_000).contains(&late_ms), "{late_ms} ms");
        scene.pass(70_000).await;
        assert_eq!(scene.messages().0.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn s12_killed_between_claim_and_post_is_one_message() {
    everywhere(12, "killed between claim and post", async |scene| {
        scene.hold(Held::Calls);
        scene.fails("billing").await;
        scene.kill_the_holder().await;
        scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
        scene.pass(70_000).await;
        assert_eq!((scene.messages().0.len(), scene.slack().calls("chat.postMessage")), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn s13_killed_between_answer_and_commit_is_one_message_that_is_adopted() {
    everywhere(13, "killed between answer and commit", async |scene| {
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

#[tokio::test]
async fn s14_asked_for_silence_nothing_is_called_and_then_the_worst_comes_first() {
    everywhere(14, "429 with Retry-After 30", async |scene| {
        scene.slack().fail_next("chat.postMessage", Fault::RateLimited { retry_after_seconds: 30 });
        scene.goes_stale("first").await;
        scene.until("the refusal", |scene| scene.slack().calls("chat.postMessage") == 1).await;
        scene.goes_stale("second").await;
        scene.fails("billing").await;
        scene.pass(20_000).await;
        assert_eq!(scene.slack().calls("chat.postMessage"), 1, "it asked for silence");
        scene.until("all three", |scene| scene.messages().0.len() == 3).await;
        assert!(scene.messages().0[0].text.contains("*billing* failed"), "{}", scene.timeline("C1"));
    })
    .await;
}
