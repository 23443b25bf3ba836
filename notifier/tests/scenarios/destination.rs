//! A channel that refuses us, forms that it does not take, and people who delete: scenarios 20 to 22.

use ronda_domain::input::ReportedStatus::{Running, Success};
use ronda_slack_standin::{Fault, FaultRule, Place};

use crate::bed::On;
use crate::scene::{ADMIN, CHANNEL, MINUTE_MS, Scenario, text_of};

on_each_store! {
    s20_a_refused_form_is_the_same_data_in_a_plainer_one
    s21_an_archived_channel_is_told_once_elsewhere_and_its_backlog_kept
    s21_a_revoked_token_is_told_once_outside_and_the_backlog_kept
    s22_an_alert_that_a_person_deletes_stays_deleted
    s22_a_table_that_a_person_deletes_is_made_once_more
}

async fn s20_a_refused_form_is_the_same_data_in_a_plainer_one(on: On) {
    let scenario = Scenario::new(20, "`invalid_blocks` for every table").at_night(30 * 60);
    scenario
        .play(on, async |scene| {
            for form in ["data_table", "\"table\""] {
                let refused = Fault::Refuse { code: "invalid_blocks".into() };
                let rule = FaultRule::always("chat.postMessage", refused);
                scene.slack().fail(FaultRule { containing: Some(form.into()), ..rule });
            }
            let jobs: Vec<String> = (0..20).map(|number| format!("job-{number:02}")).collect();
            scene.schedule(&jobs, "0 1 * * *").await;
            scene.until("the table", |scene| scene.messages().0.len() == 1).await;
            let table = scene.messages().0.remove(0);
            assert!(scene.slack().calls("chat.postMessage") > 2, "both forms were refused");
            let form = serde_json::to_string(&table.blocks).unwrap();
            assert!(!form.contains("data_table") && form.contains("```"), "{form}");
            let text = text_of(&table);
            assert!(jobs.iter().all(|job| text.contains(job)) && text.contains("20 waiting"), "{text}");
        })
        .await;
}

async fn s21_an_archived_channel_is_told_once_elsewhere_and_its_backlog_kept(on: On) {
    let scenario = Scenario::new(21, "channel archived, and opened again").at_speed(40);
    scenario
        .play(on, async |scene| {
            scene.slack().set_place(CHANNEL, Place { archived: true, ..Place::default() });
            scene.fails("billing").await;
            scene.until("the operator's notice", |scene| scene.timeline(ADMIN).contains("is_archived")).await;
            scene.fails("payroll").await;
            scene.pass(10 * MINUTE_MS).await;
            let calls = scene.slack().calls("chat.postMessage");
            assert!(calls <= 5, "no loop: one try in five minutes, and not {calls} calls");
            assert_eq!(scene.slack().messages(ADMIN).len(), 1);
            scene.slack().set_place(CHANNEL, Place::default());
            let is_told = |job: &str| scene.shows(&format!("{job} failed")) == 1;
            scene.until("what was kept", |_| is_told("billing") && is_told("payroll")).await;
            assert_eq!((scene.messages().0.len(), scene.slack().messages(ADMIN).len()), (2, 1));
        })
        .await;
}

async fn s21_a_revoked_token_is_told_once_outside_and_the_backlog_kept(on: On) {
    let scenario = Scenario::new(21, "token revoked, and a new one given").at_speed(40).with(|config| {
        config.admin_channel = Some("webhook:ops".to_owned());
    });
    scenario
        .play(on, async |scene| {
            scene.slack().set_token_refused(Some("token_revoked"));
            scene.fails("billing").await;
            scene.until("the operator's notice", |scene| !scene.ops.told().is_empty()).await;
            assert!(scene.ops.told()[0].contains("token_revoked"), "{:?}", scene.ops.told());
            scene.fails("payroll").await;
            scene.pass(10 * MINUTE_MS).await;
            let calls = scene.slack().calls("chat.postMessage");
            assert!(calls <= 4, "no loop: one try in five minutes, and not {calls} calls");
            assert_eq!(scene.ops.told().len(), 1, "{:?}", scene.ops.told());
            scene.slack().set_token_refused(None);
            let is_told = |job: &str| scene.shows(&format!("{job} failed")) == 1;
            scene.until("what was kept", |_| is_told("billing") && is_told("payroll")).await;
            assert_eq!((scene.messages().0.len(), scene.ops.told().len()), (2, 1));
        })
        .await;
}

async fn s22_an_alert_that_a_person_deletes_stays_deleted(on: On) {
    let scenario = Scenario::new(22, "a person deletes an alert");
    scenario
        .play(on, async |scene| {
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

async fn s22_a_table_that_a_person_deletes_is_made_once_more(on: On) {
    let scenario = Scenario::new(22, "a person deletes the night's table, twice").at_night(60 * 60 - 10);
    scenario
        .play(on, async |scene| {
            let jobs = ["billing", "payroll", "stock"].map(str::to_owned);
            scene.schedule(&jobs, "0 1 * * *").await;
            scene.until("the table", |scene| scene.parents("Night watch").len() == 1).await;
            scene.slack().delete_by_hand(CHANNEL, &scene.messages().0[0].ts);
            scene.pass(10_000).await;
            scene.report(&[("billing", Running)]).await;
            scene.until("the table again", |scene| scene.parents("Night watch").len() == 1).await;
            scene.slack().delete_by_hand(CHANNEL, &scene.messages().0[0].ts);
            scene.report(&[("billing", Success), ("payroll", Running)]).await;
            scene.pass(30_000).await;
            scene.fails("other").await;
            scene.until("what came after it", |scene| scene.shows("other failed") == 1).await;
            assert_eq!(scene.messages().0.len(), 1, "{}", scene.timeline(CHANNEL));
        })
        .await;
}
