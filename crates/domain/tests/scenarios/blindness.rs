//! What was not heard: neither a false alarm nor a hidden miss.

use ronda_domain::input::Gap;
use ronda_domain::record::OccurrenceStatus::{Missed, Running, Stale, Succeeded, Unknown};
use ronda_domain::record::StaleReason;
use ronda_domain::spec::SchedulerSpec;

use crate::statuses;
use crate::story::{Story, heartbeat_only, nightly, plain, time};

/// Nightly, with four hours' grace.
fn patient() -> SchedulerSpec {
    SchedulerSpec { start_grace_seconds: 4 * 3_600, ..nightly() }
}

/// Nightly, with an hour to run and no heartbeats.
fn without_heartbeats() -> SchedulerSpec {
    SchedulerSpec { heartbeat_timeout_seconds: None, ..nightly() }
}

#[test]
fn five_blind_minutes_make_nobody_stale_who_is_heard_again() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a").running("b");
    story.blind("01:01", "01:06");
    story.at("01:07").heartbeat("a");
    story.at("01:08");
    assert_eq!(statuses(&mut story), [Running]);
    story.at("01:08:01");
    assert_eq!(story.run("b").status, Stale, "its whole time-out has passed again, and all of it was heard");
    assert!(story.alerts().is_empty(), "the other one still runs");
    story.at("01:08:30").success("b");
    story.at("01:08:40").success("a");
    assert_eq!(statuses(&mut story), [Succeeded]);
    assert!(story.alerts().is_empty());
}

#[test]
fn an_occurrence_due_in_a_blind_time_is_unknown_and_the_next_miss_is_a_miss() {
    let mut story = Story::of(nightly());
    story.blind("00:58", "01:03");
    story.at("01:08");
    assert!(story.changes().is_empty());
    story.at("01:08:01");
    assert_eq!(statuses(&mut story), [Unknown]);
    assert!(story.alerts().is_empty());
    story.at_seconds(86_400 + 3_600 + 301);
    assert_eq!(statuses(&mut story), [Missed]);
    assert_eq!(story.alerts().len(), 1);
}

#[test]
fn a_short_restart_within_a_long_grace_hides_no_miss() {
    let mut story = Story::of(patient());
    story.blind("03:00", "03:00:05");
    story.at("05:00");
    assert!(story.changes().is_empty());
    story.at("05:00:01");
    assert_eq!(statuses(&mut story), [Missed], "at its own deadline");
    assert_eq!(story.alerts().len(), 1);
}

#[test]
fn a_restart_over_the_deadline_gives_the_grace_again_and_hides_no_miss() {
    let mut story = Story::of(patient());
    story.blind("04:59:58", "05:00:03");
    story.at("09:00:03");
    assert!(story.changes().is_empty());
    story.at("09:00:04");
    assert_eq!(statuses(&mut story), [Missed]);
}

#[test]
fn a_restart_while_a_punctual_job_starts_makes_its_silence_unknown() {
    let mut story = Story::of(patient());
    story.blind("01:00:20", "01:00:40");
    story.at("06:00");
    assert_eq!(statuses(&mut story), [Unknown]);
}

#[test]
fn most_of_the_grace_unheard_makes_a_miss_unknown() {
    let mut story = Story::of(patient());
    story.blind("02:00", "04:30");
    story.at("05:00:01");
    assert!(story.changes().is_empty(), "it has its grace again");
    story.at("08:30:01");
    assert_eq!(statuses(&mut story), [Unknown]);
}

#[test]
fn a_worker_that_does_not_come_back_after_a_gap_is_stale() {
    let mut story = Story::of(heartbeat_only());
    story.at("01:00").beat(None, None);
    story.blind("01:00:30", "01:05");
    story.at("01:07");
    assert!(story.changes().is_empty());
    story.at("01:07:01");
    assert_eq!(statuses(&mut story), [Stale]);
    assert_eq!(story.alerts().len(), 1);
}

#[test]
fn a_gap_within_a_run_does_not_give_it_its_longest_time_again() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    story.blind("01:01", "01:01:10");
    for minute in 2..=60 {
        story.at_seconds(3_600 + minute * 60).heartbeat("a");
    }
    assert_eq!(statuses(&mut story), [Running]);
    story.at("02:00:01");
    let stale = story.changes();
    assert_eq!((stale[0].to, stale[0].stale), (Stale, Some(StaleReason::OverMaxRun)));
}

#[test]
fn a_run_that_sends_no_heartbeats_may_have_ended_unheard() {
    let mut story = Story::of(without_heartbeats());
    story.at("01:00").running("a");
    story.blind("01:05", "01:25").blind("01:40", "01:51");
    story.at("02:00:01");
    assert_eq!(statuses(&mut story), [Running, Unknown], "more than half of its time");
    story.success("a");
    assert_eq!(statuses(&mut story), [Succeeded]);
}

#[test]
fn a_short_restart_does_not_hide_that_a_run_hangs() {
    let mut story = Story::of(without_heartbeats());
    story.at("01:00").running("a");
    story.blind("01:30", "01:30:10");
    story.at("02:00:01");
    assert_eq!(statuses(&mut story), [Running, Stale]);
    assert_eq!(story.alerts().len(), 1);

    let mut story = Story::of(without_heartbeats());
    story.at("01:00").running("a");
    story.blind("01:59", "02:01");
    story.at("03:01");
    assert_eq!(statuses(&mut story), [Running], "its time was over in the gap: it is put off");
    story.at("03:01:01");
    assert_eq!(statuses(&mut story), [Stale]);
}

#[test]
fn a_gap_concerns_whom_it_kept_from_being_heard() {
    let gap = |from, until| Gap { from: time(from), until: time(until) };
    let mut worker = Story::of(heartbeat_only());
    worker.at("01:00").beat(None, None);
    assert!(worker.is_concerned_by(gap("01:01", "01:01:30")));
    worker.at("02:00");
    assert!(!worker.is_concerned_by(gap("02:00", "02:01")), "it has been silent for long");
    let mut job = Story::of(patient());
    assert!(job.is_concerned_by(gap("00:59:30", "01:00:30")));
    assert!(!job.is_concerned_by(gap("00:30", "00:31")));
    job.at("01:30");
    assert!(!job.is_concerned_by(gap("03:00", "03:00:05")), "nothing but the grace goes on");
    assert!(job.is_concerned_by(gap("02:00", "04:30")));
    job.at("04:40").running("a");
    assert!(job.is_concerned_by(gap("04:45", "04:46")), "a run is open");
}

#[test]
fn what_may_come_late_is_put_off_and_then_missed_or_stale_as_ever() {
    let mut story = Story::of(nightly());
    story.at("01:05").now("01:05:01").late("01:04", "01:06");
    story.at("01:11");
    assert!(story.changes().is_empty(), "it has its grace again");
    story.at("01:11:01");
    assert_eq!(statuses(&mut story), [Missed]);
    let mut story = Story::of(nightly());
    story.at("01:05").now("01:05:01").late("01:04", "01:06");
    story.at("01:09").running("a");
    assert_eq!(statuses(&mut story), [Running]);
    let mut worker = Story::of(heartbeat_only());
    worker.at("01:00").beat(None, None);
    worker.now("01:02:01").late("01:01", "01:03");
    worker.at("01:05");
    assert!(worker.changes().is_empty());
    worker.at("01:05:01");
    assert_eq!(statuses(&mut worker), [Stale]);
}

#[test]
fn a_run_whose_end_may_come_late_is_waited_for_a_minute() {
    let mut story = Story::of(without_heartbeats());
    story.at("01:00").running("a");
    story.at("02:00").now("02:00:01").late("01:59", "02:00:30");
    story.at("02:01:30");
    assert_eq!(statuses(&mut story), [Running]);
    story.at("02:01:31");
    assert_eq!(statuses(&mut story), [Stale]);
}

#[test]
fn what_another_was_due_before_is_unknown_when_it_may_have_come_late() {
    let mut story = Story::of(plain(60));
    story.at_seconds(60).running("a").success("a");
    story.at("00:02:30").now("00:02:31").late("00:02:29", "00:03:10");
    story.at("00:03").running("b").success("b");
    story.at("00:03:41");
    let said = statuses(&mut story);
    assert!(
        said.contains(&Unknown) && !said.contains(&Missed),
        "a late start of 00:02 would have counted for 00:03: {said:?}"
    );
}

/// A copy of the row that is newer than the clock it is found with, as after a restore of tables that were copied at work.
#[test]
fn a_beat_heard_within_a_time_that_is_blind_afterwards_is_no_reason_to_call_it_silent() {
    let mut story = Story::of(heartbeat_only());
    story.at("01:00:10").beat(None, None);
    story.blind("01:00", "06:00");
    assert!(story.alerts().is_empty(), "{:?}", story.changes());
    story.at("06:00:01").beat(None, None);
    assert!(story.alerts().is_empty(), "{:?}", story.changes());
}

#[test]
fn a_run_that_began_within_a_time_that_is_blind_afterwards_is_no_reason_to_call_it_silent() {
    let mut story = Story::of(nightly());
    story.at("01:00:10").running("a");
    story.blind("01:00", "01:06");
    assert!(story.alerts().is_empty(), "{:?}", story.changes());
    story.at("01:06:01").heartbeat("a");
    assert!(story.alerts().is_empty(), "{:?}", story.changes());
}
