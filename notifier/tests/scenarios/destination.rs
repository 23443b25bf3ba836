//! A channel that refuses us, and people who delete: scenarios 21 and 22.

use ronda_slack_standin::Place;

use crate::scene::{ADMIN, CHANNEL, everywhere};

#[tokio::test]
async fn s21_an_archived_channel_is_told_once_elsewhere_and_its_backlog_kept() {
    everywhere(21, "channel archived, and opened again", async |scene| {
        scene.slack().set_place(CHANNEL, Place { archived: true, ..Place::default() });
        scene.fails("billing").await;
        scene.until("the operator's notice", |scene| scene.timeline(ADMIN).contains("is_archived")).await;
        scene.pass(60_000).await;
        assert!(scene.slack().calls("chat.postMessage") <= 3, "no loop");
        assert_eq!(scene.slack().messages(ADMIN).len(), 1);
        scene.slack().set_place(CHANNEL, Place::default());
        scene.until("what was kept", |scene| scene.shows("billing failed") == 1).await;
    })
    .await;
}

#[tokio::test]
async fn s22_an_alert_that_a_person_deletes_stays_deleted() {
    everywhere(22, "a person deletes an alert", async |scene| {
        scene.fails("billing").await;
        scene.until("the alert", |scene| scene.messages().0.len() == 1).await;
        scene.slack().delete_by_hand(CHANNEL, &scene.messages().0[0].ts);
        scene.recovers("billing").await;
        scene.fails("other").await;
        scene.until("what came after it", |scene| scene.shows("other failed") == 1).await;
        scene.pass(10_000).await;
        assert_eq!((scene.messages().0.len(), scene.shows("billing")), (1, 0), "{}", scene.timeline(CHANNEL));
    })
    .await;
}
