//! Many alerts at once.

use ronda_domain::record::OccurrenceStatus as Status;

use super::MINUTE;
use super::rig::{self, Rig};
use crate::channel::{Capabilities, ChannelErrorKind};
use crate::config::Config;

/// How many of these are in no message that Slack shows.
fn named_nowhere(rig: &Rig, names: &[String]) -> usize {
    let shown = |message: &super::slack::Message| {
        format!("{} {}", message.content.text, serde_json::to_string(&message.content.blocks).unwrap())
    };
    let shown: Vec<String> = rig.slack.messages.iter().map(shown).collect();
    names.iter().filter(|name| !shown.iter().any(|text| text.contains(&format!("*{name}*")))).count()
}

#[test]
fn an_outage_with_two_hundred_failures_is_one_digest_with_exact_counts() {
    let mut rig = Rig::new(Config::default());
    rig.slack.fail_always(Some(ChannelErrorKind::NotSent {
        retry_after: std::time::Duration::from_secs(5),
        rate_limited: false,
    }));
    for number in 0..200 {
        rig.fails(&format!("job-{number}"));
        rig.pass(9_000);
    }
    rig.slack.fail_always(None);
    rig.pass(5 * MINUTE);
    // One digest, and in its thread the names for which it has no room.
    assert!(rig.visible()[1..].iter().all(|line| line.starts_with("↳ Also among")), "{:?}", rig.visible());
    assert!(rig.visible()[0].starts_with("🔴 *200 alerts* while nothing could be told, since "), "{:?}", rig.visible());
    rig.recovers("job-7");
    rig.pass(MINUTE);
    assert!(rig.visible()[0].ends_with(", 1 of them over"), "{:?}", rig.visible());
}

#[test]
fn an_outage_in_which_nobody_knows_what_was_posted_is_one_digest_too() {
    let mut rig = Rig::new(Config::default());
    rig.slack.fail_always(Some(ChannelErrorKind::Ambiguous));
    for number in 0..200 {
        rig.fails(&format!("job-{number}"));
        rig.pass(9_000);
    }
    assert!(rig.slack.messages.is_empty());
    rig.slack.fail_always(None);
    rig.pass(10 * MINUTE);
    let parents: Vec<_> = rig.visible().into_iter().filter(|line| !line.starts_with('↳')).collect();
    assert_eq!(parents.len(), 2, "the one that was tried first, and all others: {parents:?}");
    assert!(parents.iter().any(|line| line.contains("*199 alerts")), "{parents:?}");
    let names: Vec<_> = (0..200).map(|number| format!("job-{number}")).collect();
    assert_eq!(named_nowhere(&rig, &names), 0, "{:?}", rig.visible());
}

#[test]
fn a_storm_is_one_digest() {
    let mut rig = Rig::new(Config::default());
    for number in 0..300 {
        rig.fails(&format!("job-{number}"));
        rig.pass(33);
    }
    rig.pass(MINUTE);
    assert!(rig.slack.messages.len() <= 21, "{}", rig.slack.messages.len());
    assert!(rig.visible().iter().any(|line| line.contains("alerts at once")), "{:?}", rig.visible());
}

#[test]
fn a_slow_drizzle_of_alerts_does_not_go_silently_into_an_old_digest() {
    let mut rig = Rig::new(Config::default());
    for number in 0..30 {
        rig.fails(&format!("job-{number}"));
    }
    rig.pass(5_000);
    assert_eq!(rig.slack.messages.len(), 1, "{:?}", rig.visible());
    for number in 30..100 {
        rig.fails(&format!("job-{number}"));
        rig.pass(1_500);
    }
    assert!(rig.slack.edits >= 5, "it is edited while they come: {}", rig.slack.edits);
    for number in 100..200 {
        rig.fails(&format!("job-{number}"));
        rig.pass(9_000);
    }
    let alone = rig.visible().iter().filter(|line| line.ends_with(" failed (production)")).count();
    assert!(alone >= 95, "{alone} were told by themselves");
}

#[test]
fn every_alert_of_a_storm_is_named_however_many_and_long() {
    for (count, width) in [(300, 3), (300, 44), (1_200, 94), (700, 196)] {
        let mut rig = Rig::new(Config::default());
        let names: Vec<String> = (0..count).map(|number| format!("job-{number:0width$}")).collect();
        for (index, name) in names.iter().enumerate() {
            rig.named_fails(&format!("job-{index}"), name);
            if index % 100 == 0 {
                rig.pass(1_000);
            }
        }
        rig.pass(3 * MINUTE);
        assert_eq!(named_nowhere(&rig, &names), 0, "{count} names of {width}");
        let visible = rig.visible();
        let told = if count == 1_200 { "1,200".to_owned() } else { count.to_string() };
        assert!(visible[0].starts_with(&format!("🔴 *{told} alerts at once*")), "{visible:?}");
        assert!(visible[1..].iter().all(|line| line.starts_with("↳ Also among")), "{visible:?}");
    }
}

#[test]
fn who_is_over_does_not_push_others_out_of_a_digest() {
    let mut rig = Rig::new(Config::default());
    let names: Vec<String> = (0..300).map(|number| format!("job-{number:044}")).collect();
    for name in &names {
        rig.fails(name);
    }
    rig.pass(MINUTE);
    for name in names.iter().step_by(3) {
        rig.recovers(name);
    }
    rig.changes(&names[1], Status::Stale, Status::Failed);
    rig.pass(MINUTE);
    assert_eq!(named_nowhere(&rig, &names), 0);
    assert!(rig.visible()[0].ends_with(", 100 of them over"), "{:?}", rig.visible());
}

#[test]
fn a_digest_turns_green_with_the_last_that_it_does_not_follow() {
    let mut rig = Rig::new(Config::default());
    for number in 0..510 {
        rig.fails(&format!("job-{number}"));
    }
    rig.pass(MINUTE);
    for number in 0..510 {
        rig.recovers(&format!("job-{number}"));
    }
    rig.pass(MINUTE);
    assert!(rig.visible()[0].starts_with("🟢 *510 alerts at once*"), "{:?}", rig.visible());
}

#[test]
fn a_reply_to_what_a_digest_shows_by_now_is_not_waited_for() {
    let mut rig = Rig::new(Config::default());
    rig.fails("job-00");
    let call = rig.claims(2_100);
    rig.recovers("job-00");
    rig.settles_badly(&call, rig::rate_limit(1));
    for number in 1..=30 {
        rig.fails(&format!("job-{number:02}"));
    }
    rig.pass(60_000);
    let visible = rig.visible();
    assert!(visible.len() == 1 && visible[0].contains("31 alerts at once"), "{visible:?}");
    assert_eq!(rig.backlog(), 0);
}

#[test]
fn a_reply_that_stands_beside_its_deleted_parent_is_removed_though_its_answer_was_lost_and_the_parent_is_known_to_be_gone()
 {
    let mut rig = Rig::new(Config::default());
    rig.fails("job");
    rig.pass(3_000);
    rig.slack.fail_next(ChannelErrorKind::Ambiguous);
    rig.goes_wrong_again("job", 1, Status::Failed);
    rig.pass(100);
    rig.slack.messages.clear();
    rig.slack.loses_answer = true;
    rig.recovers("job");
    rig.pass(500);
    assert_eq!(rig.visible().len(), 1, "the reply, beside what is gone: {:?}", rig.visible());
    rig.pass(120_000);
    assert_eq!(rig.visible(), Vec::<String>::new());
    assert_eq!(rig.backlog(), 0);
}

/// Twenty-five that fail at once, told as a digest.
fn with_a_digest() -> Rig {
    let mut rig = Rig::new(Config::default());
    (0..25).for_each(|number| rig.fails(&format!("job-{number:02}")));
    rig.pass(5_000);
    assert_eq!((rig.slack.messages.len(), rig.visible()[0].contains("25 alerts")), (1, true), "{:?}", rig.visible());
    rig
}

#[test]
fn what_joins_a_digest_that_somebody_has_deleted_is_told_anew_and_what_they_saw_is_not() {
    let mut rig = with_a_digest();
    rig.fails("late-00");
    rig.pass(3_000);
    assert!(rig.visible()[0].contains("26 alerts"), "{:?}", rig.visible());
    rig.slack.messages.clear();
    rig.fails("late-01");
    rig.pass(200);
    rig.recovers("late-01");
    rig.fails("late-02");
    rig.pass(MINUTE);
    let mut visible = rig.visible();
    visible.sort();
    assert_eq!(visible, ["🔴 *late-02* failed (production)", "🟢 *late-01* recovered (production)"]);
    rig.restart();
    rig.recovers("late-02");
    rig.recovers("job-00");
    rig.pass(MINUTE);
    assert_eq!(rig.slack.posts, 4, "the digest, both, and a reply: {:?}", rig.visible());
    assert_eq!(rig.backlog(), 0);
}

#[test]
fn an_edit_whose_answer_was_lost_is_no_proof_that_anybody_saw_it() {
    let mut rig = with_a_digest();
    rig.fails("late");
    rig.slack.fail_next(ChannelErrorKind::Ambiguous);
    rig.pass(3_000);
    rig.slack.messages.clear();
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["🔴 *late* failed (production)"]);
}

#[test]
fn what_joins_a_digest_that_can_not_be_edited_any_more_is_told_by_itself() {
    let mut rig = with_a_digest();
    rig.fails("late-00");
    rig.slack.fail_next(ChannelErrorKind::Fixed { code: "cant_update_message".into() });
    rig.pass(5_000);
    rig.fails("late-01");
    rig.pass(10_000);
    let visible = rig.visible();
    assert_eq!(visible[1..], ["🔴 *late-00* failed (production)", "🔴 *late-01* failed (production)"]);
}

#[test]
fn names_below_a_deleted_digest_that_nobody_has_read_are_told_anew() {
    let mut rig = Rig::new(Config::default());
    let names: Vec<String> = (0..300).map(|number| format!("job-{number:044}")).collect();
    names.iter().for_each(|name| rig.fails(name));
    while rig.slack.posts < 2 {
        rig.pass(100);
    }
    let shown = rig.slack.messages.iter().map(|message| serde_json::to_string(&message.content.blocks).unwrap());
    let shown: Vec<String> = shown.collect();
    let unseen: Vec<&String> = names.iter().filter(|name| !shown.iter().any(|text| text.contains(*name))).collect();
    assert!(!unseen.is_empty(), "{:?}", rig.visible());
    rig.slack.messages.clear();
    rig.pass(3 * MINUTE);
    let now = |name: &str| {
        let messages = rig.slack.messages.iter();
        messages.filter(|message| serde_json::to_string(&message.content.blocks).unwrap().contains(name)).count()
    };
    for name in &names {
        assert_eq!(now(name), usize::from(unseen.contains(&name)), "{name}");
    }
    assert!(rig.visible()[0].contains(&format!("{} alerts", unseen.len())), "{:?}", rig.visible());
}

#[test]
fn what_is_named_below_a_digest_later_is_named_though_somebody_deleted_the_names_before() {
    let mut rig = Rig::new(Config::default());
    (0..200).for_each(|number| rig.fails(&format!("job-{number:044}")));
    rig.pass(7_000);
    let digest = rig.slack.messages[0].ts.clone();
    assert!(rig.slack.messages.len() > 1, "{:?}", rig.visible());
    rig.slack.messages.retain(|message| message.ts == digest);
    rig.fails("late");
    rig.pass(MINUTE);
    assert_eq!(named_nowhere(&rig, &["late".to_owned()]), 0, "{:?}", rig.visible());
}

#[test]
fn a_digest_that_nobody_can_edit_takes_in_nothing_once_it_is_sent() {
    let capabilities = Capabilities { can_edit: false, can_delete: false, can_find: false };
    let mut rig = Rig::where_one_can(Config::default(), capabilities);
    (0..25).for_each(|number| rig.fails(&format!("job-{number:02}")));
    rig.pass(5_000);
    rig.fails("late");
    rig.pass(10_000);
    assert_eq!(rig.visible().len(), 2, "{:?}", rig.visible());
    assert!(rig.visible()[0].contains("25 alerts"), "{:?}", rig.visible());
    assert_eq!(rig.visible()[1], "🔴 *late* failed (production)");
}

#[test]
fn what_is_sent_again_under_the_same_id_says_nothing_new() {
    let capabilities = Capabilities { can_find: false, ..Capabilities::ALL };
    let mut rig = Rig::where_one_can(Config::default(), capabilities);
    (0..25).for_each(|number| rig.fails(&format!("job-{number:02}")));
    rig.slack.loses_answer = true;
    rig.pass(2_000);
    assert_eq!(rig.slack.posts, 1);
    rig.fails("late");
    rig.pass(MINUTE);
    assert!(rig.slack.posted[1].contains("25 alerts"), "the receiver drops it: {:?}", rig.slack.posted);
    let (posts, last) = (rig.slack.posts, rig.visible().pop().unwrap());
    assert!(posts == 2 && last.contains("26 alerts"), "it comes with an edit: {:?}", rig.visible());
}
