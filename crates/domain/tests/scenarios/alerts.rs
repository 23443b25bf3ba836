//! When somebody is told.

use ronda_domain::SchedulerStatus;
use ronda_domain::event::{EventKind, Resolution};
use ronda_domain::record::OccurrenceStatus::{self, Failed, Running, Skipped, Stale, Succeeded};
use ronda_domain::record::StaleReason;
use ronda_domain::spec::SchedulerSpec;

use crate::statuses;
use crate::story::{Story, nightly, plain, time};

/// What the alerts since were, in a word each.
fn alerts(story: &mut Story) -> Vec<&'static str> {
    let word = |kind: &EventKind| match kind {
        EventKind::AlertOpened { .. } => "opened",
        EventKind::AlertChanged { .. } => "changed",
        EventKind::AlertResolved { resolution, .. } => match resolution {
            Resolution::Recovered { .. } => "recovered",
            Resolution::CompletedLate { .. } => "completed",
            Resolution::Paused | Resolution::Deleted => "withdrawn",
        },
        EventKind::AlertAcknowledged { .. } => "acknowledged",
        EventKind::Muted(_) => "muted",
        EventKind::Unmuted { .. } => "unmuted",
        EventKind::Lifecycle(_) | EventKind::Changed(_) => "none",
    };
    story.alerts().iter().map(|event| word(&event.kind)).collect()
}

/// Hourly, with two minutes between heartbeats.
fn hourly() -> SchedulerSpec {
    SchedulerSpec { heartbeat_timeout_seconds: Some(120), ..plain(3_600) }
}

#[test]
fn thresholds_hold_alerts_back() {
    let mut spec = plain(3_600);
    (spec.alert_after, spec.recover_after) = (3, 2);
    let mut story = Story::of(spec);
    let mut run = |hour: i64, good: bool| {
        let id = format!("run-{hour}");
        story.at_seconds(hour * 3_600).running(&id);
        if good {
            story.success(&id)
        } else {
            story.failed(&id, "no")
        };
        story.alerts().len()
    };
    assert_eq!([run(1, false), run(2, false), run(3, true), run(4, false), run(5, false)], [0; 5]);
    assert_eq!(run(6, false), 1, "the third in a row opens it");
    assert_eq!(run(7, false), 1, "a fourth changes it");
    assert_eq!(run(8, true), 0);
    assert_eq!(run(9, true), 1, "the second good one in a row resolves it");
    assert!(story.view().alert.is_none());
}

#[test]
fn a_run_that_fails_after_another_one_resolved_its_staleness_is_told() {
    let mut story = Story::of(hourly());
    story.at("01:00").running("x");
    story.at("01:03");
    assert_eq!(alerts(&mut story), ["opened"]);
    for minute in 4..60 {
        story.at_seconds(3_600 + minute * 60).heartbeat("x");
    }
    story.at("02:00").heartbeat("x").running("y").success("y");
    assert_eq!(alerts(&mut story), ["changed", "recovered"]);
    story.at("02:01").failed("x", "disk full");
    assert_eq!(alerts(&mut story), ["opened"]);
    assert!(story.ids_are_unique());
}

#[test]
fn a_run_that_fails_after_a_pause_is_told() {
    let mut story = Story::of(hourly());
    story.at("01:00").running("x");
    story.at("01:03");
    story.at("01:04").heartbeat("x").pause();
    story.at("01:05").resume();
    assert_eq!(alerts(&mut story), ["opened", "changed", "withdrawn"]);
    story.at("01:06").failed("x", "disk full");
    assert_eq!(alerts(&mut story), ["opened"]);
}

#[test]
fn a_scheduler_registered_again_tells_of_the_same_occurrence_again() {
    let mut story = Story::of(nightly());
    story.at("00:59:40").running("a").failed("a", "no");
    story.at("00:59:50").delete();
    story.register(&nightly());
    story.at("00:59:55").running("b").failed("b", "no");
    story.at("00:59:57").delete();
    story.register(&nightly());
    // Once more at the same time: the same clock, another message.
    story.delete();
    story.register(&nightly());
    assert_eq!(alerts(&mut story), ["opened", "withdrawn", "opened", "withdrawn"]);
    assert!(story.ids_are_unique());
}

#[test]
fn nothing_to_do_ends_an_alert() {
    let mut story = Story::of(plain(3_600));
    story.at("01:00").running("a").failed("a", "no");
    story.at("02:00").running("b").skipped("b");
    assert_eq!(alerts(&mut story), ["opened", "recovered"]);
    assert_eq!(statuses(&mut story), [Running, Failed, Running, Skipped]);
}

#[test]
fn a_failure_that_was_a_cancellation_takes_its_alert_back() {
    let mut story = Story::of(plain(3_600));
    story.at("01:00").running("a").failed("a", "killed");
    story.at("01:01").cancelled("a");
    assert_eq!(alerts(&mut story), ["opened", "completed"]);
    assert_eq!(story.view().bad_streak, 0);
    story.at("02:00").running("b").failed("b", "no");
    story.at("03:00").running("c").failed("c", "no");
    story.at("03:01").cancelled("c");
    assert_eq!(alerts(&mut story), ["opened", "changed", "changed"], "another one is still bad");
    assert_eq!(story.view().bad_streak, 1);
    story.at("04:00").running("d").cancelled("d");
    assert!(alerts(&mut story).is_empty(), "to stop one says nothing of the others");
}

#[test]
fn a_change_does_not_take_back_a_run_that_is_over_its_longest_time() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    for minute in 1..63 {
        story.at_seconds(3_600 + minute * 60).heartbeat("a");
    }
    let stale = story.changes();
    assert_eq!((stale[1].to, stale[1].stale), (Stale, Some(StaleReason::OverMaxRun)));
    assert_eq!(alerts(&mut story), ["opened"]);
    story.register(&SchedulerSpec { team: "payments".into(), ..nightly() });
    assert!(story.changes().is_empty() && alerts(&mut story).is_empty());
}

#[test]
fn a_run_that_outlives_its_retry_and_the_next_run_still_ends() {
    let mut story = Story::of(hourly());
    story.at("01:00").running("a");
    story.at("01:05").running("b").success("b");
    story.at("01:06").heartbeat("a");
    for minute in 7..=60 {
        story.at_seconds(3_600 + minute * 60).heartbeat("a");
    }
    story.at("02:00:10").running("c").success("c");
    story.at("02:01").heartbeat("a").failed("a", "no");
    let record = story.occurrence("01:00");
    assert_eq!(record.status, Succeeded, "the one that started last decides");
    assert_eq!(story.run("a").status, Failed);
}

#[test]
fn a_lost_end_without_a_name_does_not_hide_what_follows() {
    let mut story = Story::of(plain(3_600));
    story.at("01:00").say_running(None);
    story.at("02:00").say_running(None);
    assert_eq!(story.occurrence("01:00").status, OccurrenceStatus::Unknown);
    story.say_success(None);
    assert_eq!(story.occurrence("02:00").status, Succeeded);
    assert_eq!(story.view().status, SchedulerStatus::Healthy);
    assert!(story.view().open_runs.iter().all(|run| run.status != Running));
}

#[test]
fn an_open_run_does_not_hide_what_has_happened_since() {
    let mut story = Story::of(plain(3_600));
    story.at("01:00").running("lost");
    assert_eq!(story.view().status, SchedulerStatus::Running);
    story.at("02:00:10");
    assert_eq!(story.view().status, SchedulerStatus::Late);
    story.at("02:01");
    assert_eq!(story.view().status, SchedulerStatus::Missed);
    story.at("03:00").running("b").failed("b", "no");
    assert_eq!(story.view().status, SchedulerStatus::Failed);
    story.at("04:00").running("c").success("c");
    assert_eq!(story.view().status, SchedulerStatus::Running);
    assert_eq!(story.view().open_runs[0].due, Some(time("01:00")));
}
