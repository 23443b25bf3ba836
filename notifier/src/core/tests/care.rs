//! Somebody looks after an alert, or nobody wants to hear of it for a while.

use super::*;
use crate::channel::Capabilities;

fn texts(rig: &Rig) -> Vec<String> {
    rig.slack.messages.iter().map(|message| message.content.text.clone()).collect()
}

#[test]
fn an_acknowledged_alert_says_who_looks_after_it_and_its_thread_notes_it_once() {
    let mut rig = Rig::new(Config::default());
    rig.fails("billing");
    rig.pass(10_000);
    rig.acknowledged("billing", "Ratna");
    rig.acknowledged("billing", "Ratna");
    rig.pass(10_000);
    assert_eq!(rig.visible().len(), 2, "{:?}", rig.visible());
    assert!(texts(&rig)[0].contains("👀 Acked by Ratna, "), "{:?}", texts(&rig));
    assert!(rig.visible()[1].starts_with("↳ 👀 Acked by Ratna, "), "{:?}", rig.visible());
    rig.restart();
    rig.goes_wrong_again("billing", 60, Status::Failed);
    rig.pass(10_000);
    assert!(texts(&rig)[0].contains("👀 Acked by Ratna, ") && texts(&rig)[0].contains("61 in a row"));
    rig.recovers("billing");
    rig.pass(10_000);
    assert_eq!(rig.visible()[0], "🟢 *billing* recovered (production)");
    assert!(texts(&rig)[0].contains("👀 Acked by Ratna, "));
    assert_eq!(rig.visible().len(), 3, "the recovery is told as ever: {:?}", rig.visible());
}

#[test]
fn what_fails_while_it_is_muted_is_told_at_the_end_if_it_is_still_true() {
    let mut rig = Rig::new(Config::default());
    for job in ["billing", "stock"] {
        rig.muted(job, "Ratna", 30);
        rig.fails(job);
    }
    rig.fails("other");
    rig.pass(10 * MINUTE);
    rig.recovers("stock");
    rig.pass(1_000);
    rig.restart();
    rig.pass(19 * MINUTE);
    assert_eq!(rig.visible(), ["🔴 *other* failed (production)"]);
    rig.pass(2 * MINUTE);
    assert_eq!(rig.visible(), ["🔴 *other* failed (production)", "🔴 *billing* failed (production)"]);
    let plain = &rig.slack.messages[1].content.plain;
    assert!(plain.contains("because the scheduler was snoozed") && !plain.contains("Snoozed until"), "{plain}");
    rig.pass(10 * MINUTE);
    assert_eq!(rig.slack.posts, 2, "of what is over nothing is told");
}

#[test]
fn a_mute_over_what_is_visible_is_shown_there_and_reminds_at_its_end() {
    let mut rig = Rig::new(Config::default());
    for job in ["billing", "stock"] {
        rig.opens(job, Status::Stale);
        rig.pass(10_000);
        rig.muted(job, "Ratna", 30);
    }
    rig.pass(10_000);
    assert!(texts(&rig).iter().all(|text| text.contains("🔕 Snoozed until ")), "{:?}", texts(&rig));
    rig.changes("billing", Status::Stale, Status::Failed);
    rig.recovers("stock");
    rig.pass(20 * MINUTE);
    let visible = rig.visible();
    assert_eq!(visible, ["🔴 *billing* failed (production)", "🟢 *stock* recovered (production)"], "edits, no replies");
    rig.pass(11 * MINUTE);
    assert_eq!(rig.visible().len(), 3, "{:?}", rig.visible());
    assert_eq!(rig.visible()[2], "↳ ⏰ The snooze is over, and it is not: *billing* failed");
    rig.pass(60 * MINUTE);
    assert_eq!(rig.visible().len(), 3, "once");
}

#[test]
fn where_nothing_can_be_edited_it_is_told_that_an_alert_is_over_though_it_is_muted() {
    let mut rig =
        Rig::where_one_can(Config::default(), Capabilities { can_edit: false, can_delete: false, can_find: false });
    for job in ["billing", "stock"] {
        rig.fails(job);
        rig.pass(10_000);
        rig.muted(job, "Ratna", 30);
    }
    rig.recovers("billing");
    rig.pass(MINUTE);
    let visible = rig.visible();
    assert_eq!(visible.len(), 3, "{visible:?}");
    assert!(visible[2].starts_with("↳ ") && visible[2].contains("billing"), "{visible:?}");
}

#[test]
fn after_an_unmute_what_is_wrong_is_told_at_once_and_nothing_reminds() {
    let mut rig = Rig::new(Config::default());
    rig.fails("seen");
    rig.pass(10_000);
    rig.muted("seen", "Ratna", 30);
    rig.muted("unseen", "Ratna", 30);
    rig.fails("unseen");
    rig.pass(MINUTE);
    rig.unmuted("seen");
    rig.unmuted("unseen");
    rig.pass(10_000);
    assert_eq!(rig.visible(), ["🔴 *seen* failed (production)", "🔴 *unseen* failed (production)"]);
    assert!(texts(&rig).iter().all(|text| !text.contains("Snoozed")), "{:?}", texts(&rig));
    rig.pass(60 * MINUTE);
    assert_eq!(rig.slack.posts, 2);
}

#[test]
fn of_two_mutes_the_later_one_reminds() {
    let mut rig = Rig::new(Config::default());
    rig.fails("billing");
    rig.pass(10_000);
    rig.muted("billing", "Ratna", 60);
    rig.muted("billing", "Bayu", 30);
    rig.pass(29 * MINUTE);
    assert_eq!(rig.slack.posts, 1);
    rig.pass(2 * MINUTE);
    assert_eq!(rig.slack.posts, 2);
    rig.pass(60 * MINUTE);
    assert_eq!(rig.slack.posts, 2);
}

#[test]
fn what_is_muted_is_no_part_of_a_storm() {
    let mut rig = Rig::new(Config { storm_threshold: 3, ..Config::default() });
    for number in 0..10 {
        let job = format!("job{number}");
        rig.muted(&job, "Ratna", 30);
        rig.fails(&job);
    }
    rig.fails("other");
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["🔴 *other* failed (production)"]);
}

#[test]
fn who_looks_after_an_alert_in_a_digest_stands_in_it_and_its_thread_notes_it_once() {
    let mut rig = Rig::new(Config::default());
    (0..25).for_each(|number| rig.fails(&format!("job-{number:02}")));
    rig.acknowledged("job-00", "Bayu");
    rig.pass(5_000);
    rig.acknowledged("job-07", "Ratna");
    rig.acknowledged("job-07", "Ratna");
    rig.pass(10_000);
    let whole = |rig: &Rig| rig.slack.messages[0].content.plain.clone();
    let line = |rig: &Rig, job: &str| whole(rig).lines().find(|line| line.contains(job)).unwrap().to_owned();
    assert!(line(&rig, "job-07").contains("Acked by Ratna"), "{}", whole(&rig));
    assert!(line(&rig, "job-00").contains("Acked by Bayu"), "{}", whole(&rig));
    assert_eq!(rig.visible().len(), 2, "that of job-00 stood in the post: {:?}", rig.visible());
    assert!(rig.visible()[1].starts_with("↳ 👀 *job-07*: Acked by Ratna, "), "{:?}", rig.visible());
    rig.restart();
    rig.recovers("job-07");
    rig.changes("job-00", Status::Stale, Status::Failed);
    rig.pass(10_000);
    assert_eq!(rig.visible().len(), 2, "{:?}", rig.visible());
    assert!(line(&rig, "job-00").contains("Acked by Bayu"), "{}", whole(&rig));
}

#[test]
fn who_looks_after_what_a_digest_only_counts_is_noted_in_its_thread() {
    let mut rig = Rig::new(Config::default());
    (0..510).for_each(|number| rig.fails(&format!("job-{number:03}")));
    rig.pass(MINUTE);
    let before = rig.visible().len();
    rig.acknowledged("job-509", "Ratna");
    rig.pass(10_000);
    assert_eq!(rig.visible().len(), before + 1);
    assert!(rig.visible()[before].starts_with("↳ 👀 *job-509*: Acked by Ratna, "), "{:?}", rig.visible());
}
