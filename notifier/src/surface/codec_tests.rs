//! Rows of surfaces that are in stores stay readable, and are only written in a newer version when there is something new in them.

use ronda_domain::attention::{Acknowledgment, By, Mute};
use ronda_domain::record::OccurrenceStatus;
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::Past;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The version stands in the second byte, after the pair that it begins.
fn version(row: &[u8]) -> u8 {
    row[1]
}

#[test]
fn an_alert_of_version_2_is_read_and_written_as_it_was_and_with_a_past_as_version_3() {
    let old = bytes(include_str!("golden/v2-alert.hex"));
    let surface = Surface::decode(&old).unwrap();
    assert_eq!(surface.encode().unwrap(), old, "a release to which one goes back reads it");
    let Facts::Alert(mut alert) = surface.facts.clone() else { panic!("{surface:?}") };
    assert_eq!(&*alert.summary.name, "Nightly billing");
    alert.summary.past = Some(Past { last_good_at: Timestamp::from_seconds(1), usual_ms: None });
    let newer = Surface { facts: Facts::Alert(alert), ..surface };
    let row = newer.encode().unwrap();
    assert_eq!((version(&row), Surface::decode(&row).unwrap()), (3, newer));
}

#[test]
fn what_people_said_is_written_as_version_4_and_read_again() {
    let surface = Surface::decode(&bytes(include_str!("golden/v2-alert.hex"))).unwrap();
    let Facts::Alert(old) = &surface.facts else { panic!("{surface:?}") };
    let by = By { source: "slack", id: "U0123456789", name: "Ratna" };
    let acknowledged = Acknowledgment { by: by.into(), at: Timestamp::from_seconds(1) };
    let mute = Mute { by: by.into(), at: Timestamp::from_seconds(2), until: Timestamp::from_seconds(3) };
    let mut muted = old.clone();
    muted.summary.mute = Some(Box::new(mute));
    let mut cared = old.clone();
    cared.care = Some(Box::new(Care { acknowledged: Some(acknowledged.clone()), ..Care::default() }));
    let change = old.now.clone();
    let still = ReplyWhat::StillWrong { since: old.opened_at, until: Timestamp::from_seconds(3), change };
    let reply = |what| Facts::Reply(Box::new(ReplyFacts { name: "a".into(), what }));
    let said = ReplyWhat::Acknowledged { by: acknowledged };
    for facts in [Facts::Alert(muted), Facts::Alert(cared), reply(said), reply(still)] {
        let newer = Surface { facts, ..surface.clone() };
        let row = newer.encode().unwrap();
        assert_eq!((version(&row), Surface::decode(&row).unwrap()), (4, newer));
    }
}

#[test]
fn tables_and_summaries_of_version_2_are_read_and_know_nothing_of_the_night_before() {
    let table = Surface::decode(&bytes(include_str!("golden/v2-board.hex"))).unwrap();
    let Facts::Board(board) = &table.facts else { panic!("{table:?}") };
    assert_eq!((&board.bad, &board.change, board.rows.len()), (&None, &None, 2));
    let row = &board.rows[0];
    assert_eq!((&*row.name, &*row.team, row.severity, row.again), ("job0", "", Severity::Warning, false));
    assert_eq!(version(&table.encode().unwrap()), 3, "an older release could not read it");
    let summary = Surface::decode(&bytes(include_str!("golden/v2-summary.hex"))).unwrap();
    let Facts::Summary(facts) = &summary.facts else { panic!("{summary:?}") };
    assert_eq!((&facts.change, facts.problems.len(), version(&summary.encode().unwrap())), (&None, 2, 3));
}

#[test]
fn a_digest_of_version_2_is_read_and_written_as_it_was_and_with_what_came_later_as_version_5() {
    let old = bytes(include_str!("golden/v2-digest.hex"));
    let surface = Surface::decode(&old).unwrap();
    assert_eq!(surface.encode().unwrap(), old, "a release to which one goes back reads it");
    let Facts::Digest(digest) = &surface.facts else { panic!("{surface:?}") };
    assert_eq!((digest.total(), digest.ended(), digest.entries[0].since()), (3, 2, 0));
    let by = By { source: "slack", id: "U0123456789", name: "Ratna" };
    let by = Acknowledgment { by: by.into(), at: Timestamp::from_seconds(1) };
    let (mut cared, mut joined) = (digest.clone(), digest.clone());
    cared.entries[0].acknowledge(Some(&by));
    joined.entries[1].later = Some(Box::new(Later { since: 7, acknowledged: None }));
    let reply = ReplyWhat::AcknowledgedInDigest { by };
    let reply = Facts::Reply(Box::new(ReplyFacts { name: "a".into(), what: reply }));
    let worse = Worse { surface: "a/b/c".into(), name: "c".into(), status: OccurrenceStatus::Failed };
    let worse = ReplyWhat::Worse { alerts: vec![worse] };
    let worse = Facts::Reply(Box::new(ReplyFacts { name: "".into(), what: worse }));
    for facts in [Facts::Digest(cared), Facts::Digest(joined), reply, worse] {
        let newer = Surface { facts, ..surface.clone() };
        let row = newer.encode().unwrap();
        assert_eq!((version(&row), Surface::decode(&row).unwrap()), (5, newer));
    }
}

#[test]
fn what_older_rows_say_of_one_message_is_read_as_its_own_and_written_as_version_5() {
    let kept_back = |phase: Phase| {
        let mut surface = Surface::decode(&bytes(include_str!("golden/v4-kept-back.hex"))).unwrap();
        surface.phase = phase;
        Surface::of_row(&surface.encode().unwrap()).unwrap()
    };
    let unseen = kept_back(Phase::Absent);
    let Facts::Alert(alert) = &unseen.facts else { panic!("{unseen:?}") };
    let mute = alert.summary.mute.as_deref().unwrap();
    let since = alert.opened_at.max(mute.at);
    assert_eq!(unseen.own.kept_back, Some(KeptBack { since, until: mute.until }));
    assert_eq!((&alert.care, unseen.own.late), (&None, None));
    let seen = kept_back(Phase::Live);
    assert_eq!((seen.own.kept_back, seen.own.late), (None, Some(Late::Snoozed)));
    let repeat = Surface::of_row(&bytes(include_str!("golden/v2-repeat.hex"))).unwrap();
    assert_eq!(repeat.own, Own { maybe_repeat: true, ..Own::default() });
    for surface in [unseen, seen, repeat] {
        let row = surface.encode().unwrap();
        assert_eq!((version(&row), Surface::of_row(&row).unwrap()), (5, surface));
    }
}

#[test]
fn what_is_told_again_is_written_as_version_5_and_read_again() {
    let surface = Surface::decode(&bytes(include_str!("golden/v2-alert.hex"))).unwrap();
    let Facts::Alert(alert) = &surface.facts else { panic!("{surface:?}") };
    let (due, since, change) = (Timestamp::from_seconds(3), alert.opened_at, alert.now.clone());
    let what = ReplyWhat::Again { number: 2, due, since, change };
    let facts = Facts::Reply(Box::new(ReplyFacts { name: "a".into(), what }));
    let own = Own { called: Some(Called { at: due, again: 1 }), ..Own::default() };
    for newer in [Surface { facts, ..surface.clone() }, Surface { own, ..surface.clone() }] {
        let row = newer.encode().unwrap();
        assert_eq!((version(&row), Surface::of_row(&row).unwrap()), (5, newer));
    }
}
