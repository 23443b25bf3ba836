//! Somebody looks after what is wrong, or nobody wants to hear of it for a while.

use ronda_domain::Refusal;
use ronda_domain::event::EventKind;
use ronda_domain::id::MessageId;
use ronda_domain::input::Input;

use crate::story::{Story, by, nightly, plain, time};

/// What was said since, in a word each, with who said so.
fn said(story: &mut Story) -> Vec<String> {
    let word = |kind: &EventKind| match kind {
        EventKind::AlertAcknowledged { by, .. } => format!("acknowledged by {}", by.name),
        EventKind::Muted(mute) => format!("muted by {}", mute.by.name),
        EventKind::Unmuted { by } => format!("unmuted by {}", by.name),
        EventKind::AlertOpened { .. } => "opened".to_owned(),
        EventKind::AlertResolved { .. } => "resolved".to_owned(),
        _ => "other".to_owned(),
    };
    story.alerts().iter().map(|event| word(&event.kind)).collect()
}

#[test]
fn the_first_to_acknowledge_counts_and_a_new_failure_after_a_recovery_is_not_acknowledged() {
    let mut story = Story::of(plain(3_600));
    story.at("01:00").running("a").failed("a", "no");
    story.at("01:05").acknowledge("Ratna");
    story.at("01:06").acknowledge("Bayu").acknowledge("Ratna");
    assert_eq!(said(&mut story), ["opened", "acknowledged by Ratna"]);
    let alert = story.view().alert.unwrap();
    assert_eq!(alert.acknowledgment.map(|ack| (ack.by.name, ack.at)), Some(("Ratna".into(), time("01:05"))));

    story.at("02:00").running("b").failed("b", "no");
    assert!(story.view().alert.unwrap().acknowledgment.is_some(), "one more of the same row");
    story.at("03:00").running("c").success("c");
    story.at("04:00").running("d").failed("d", "no");
    assert_eq!(said(&mut story), ["other", "resolved", "opened"]);
    assert!(story.view().alert.unwrap().acknowledgment.is_none());
    assert!(story.ids_are_unique());
}

#[test]
fn what_is_not_wrong_is_not_acknowledged_and_what_has_just_ended_neither() {
    let mut story = Story::of(plain(3_600));
    story.at("00:10").acknowledge("Ratna");
    assert_eq!(said(&mut story), Vec::<String>::new());
    story.at("01:00").running("a").failed("a", "no");
    assert_eq!(said(&mut story), ["opened"], "it was acknowledged before there was anything");
    story.at("02:00").running("b").success("b").acknowledge("Ratna");
    assert_eq!(said(&mut story), ["resolved"]);
}

#[test]
fn an_acknowledgment_that_names_an_alert_is_of_no_other() {
    let mut story = Story::of(plain(3_600));
    story.at("01:00").running("a").failed("a", "no");
    let first = story.view().alert.unwrap().id;
    assert_eq!(story.refusal_of_acknowledging("alert:another", "Ratna"), Some(Refusal::AlertOver));
    story.at("02:00").running("b").success("b");
    assert_eq!(story.refusal_of_acknowledging(&first, "Ratna"), Some(Refusal::AlertOver), "nothing is open");
    story.at("03:00").running("c").failed("c", "no");
    assert_eq!(story.refusal_of_acknowledging(&first, "Ratna"), Some(Refusal::AlertOver), "another is open");
    assert!(story.view().alert.unwrap().acknowledgment.is_none());

    let second = story.view().alert.unwrap().id;
    assert_eq!(story.refusal_of_acknowledging(&second, "Ratna"), None);
    assert_eq!(story.refusal_of_acknowledging(&second, "Bayu"), None, "somebody is on it: that is no mistake");
    assert_eq!(said(&mut story), ["opened", "resolved", "opened", "acknowledged by Ratna"]);
}

#[test]
fn whoever_names_an_alert_has_seen_it_whatever_the_clocks_say() {
    let mut story = Story::of(plain(3_600));
    story.at("01:00").running("a").failed("a", "no");
    let alert = story.view().alert.unwrap();
    story.say_at(
        "00:58",
        MessageId { source: 7, sequence: 1, index: 0 },
        &Input::Acknowledge { alert: Some(&alert.id), by: by("Ratna") },
    );
    let at = story.view().alert.unwrap().acknowledgment.map(|ack| ack.at);
    assert_eq!(at, Some(alert.opened_at), "nobody was on it before it was open");
}

#[test]
fn a_message_that_comes_again_with_another_time_says_nothing_more() {
    let mut story = Story::of(plain(3_600));
    let message = |sequence: u64| MessageId { source: 7, sequence: (1 << 63) | sequence, index: 0 };
    let (mute, unmute) = (Input::Mute { until: time("09:00"), by: by("Ratna") }, Input::Unmute { by: by("Bayu") });
    story.say_at("00:10", message(1), &mute).say_at("00:20", message(2), &unmute).say_at("00:21", message(1), &mute);
    assert!(story.view().mute.is_none(), "unmuted since");

    story.at("01:00").running("a").failed("a", "no");
    let acknowledge = Input::Acknowledge { alert: None, by: by("Ratna") };
    story.say_at("01:10", message(3), &acknowledge);
    story.at("02:00").running("b").success("b");
    story.at("03:00").running("c").failed("c", "no");
    story.say_at("03:10", message(3), &acknowledge);
    assert!(story.view().alert.unwrap().acknowledgment.is_none(), "it was said of the alert before");
    let words = ["muted by Ratna", "unmuted by Bayu", "opened", "acknowledged by Ratna", "resolved", "opened"];
    assert_eq!(said(&mut story), words);
}

#[test]
fn the_history_says_who_looked_after_an_entry_also_after_it_was_corrected() {
    let mut story = Story::of(nightly());
    story.at("01:05:01");
    story.at("01:20").acknowledge("Ratna");
    let who = |story: &Story| story.occurrence("01:00").acknowledgment.map(|ack| (ack.by.name, ack.at));
    assert_eq!(who(&story), Some(("Ratna".into(), time("01:20"))));
    story.at("01:30").running("a");
    story.at("01:31").success("a");
    assert_eq!(who(&story), Some(("Ratna".into(), time("01:20"))));
    assert_eq!(story.occurrence("01:00").corrections.len(), 1);
}

#[test]
fn what_went_wrong_last_can_be_acknowledged_while_the_next_one_runs() {
    let mut story = Story::of(plain(3_600));
    story.at("01:31");
    story.at("02:00").running("b");
    story.at("02:10").acknowledge("Ratna");
    assert!(story.occurrence("01:00").acknowledgment.is_some());
    story.at("02:20").success("b");
    story.at("03:00").running("c").success("c");
    assert_eq!(said(&mut story), ["opened", "acknowledged by Ratna", "resolved"]);
}

#[test]
fn a_mute_has_an_end_and_changes_nothing_of_what_is_judged() {
    let mut story = Story::of(plain(3_600));
    story.at("00:50").mute("02:00", "Ratna");
    assert_eq!(story.view().mute.map(|mute| (mute.by.name, mute.until)), Some(("Ratna".into(), time("02:00"))));
    story.at("01:00").running("a").failed("a", "no");
    assert_eq!(said(&mut story), ["muted by Ratna", "opened"]);
    story.at("02:00");
    assert!(story.view().mute.is_none(), "its end is not in it");

    story.at("02:10").mute("04:00", "Ratna");
    story.at("02:11").mute("03:00", "Bayu");
    assert_eq!(story.view().mute.unwrap().until, time("03:00"), "the latest counts");
    story.at("02:12").unmute("Ratna").unmute("Ratna");
    assert!(story.view().mute.is_none());
    assert_eq!(said(&mut story)[1..], ["muted by Ratna", "muted by Bayu", "unmuted by Ratna"]);
    assert!(story.ids_are_unique());
}

#[test]
fn no_mute_is_longer_than_thirty_days() {
    let mut story = Story::of(plain(3_600));
    story.at("00:10").mute("2000:00", "Ratna");
    assert_eq!(story.view().mute.unwrap().until, time("720:10"));
}
