//! What a user is promised, one story each.
//!
//! The clock of the stories is Jakarta's wall clock on 2026-11-24 ("01:00" or "01:00:30"); `@` moves it on, ticking
//! at every deadline on the way, as the processor does.

#[allow(clippy::unwrap_used, clippy::needless_pass_by_value, unreachable_pub)]
mod story;

mod alerts;
mod attention;
mod blindness;
mod bounds;

use ronda_domain::event::{EventKind, Resolution};
use ronda_domain::record::OccurrenceStatus::{Failed, Missed, Running, Stale, Succeeded};
use ronda_domain::record::{OccurrenceStatus, StaleReason, Subject};
use ronda_domain::{Refusal, SchedulerStatus};
use story::{Story, nightly, plain, time};

fn statuses(story: &mut Story) -> Vec<OccurrenceStatus> {
    story.changes().into_iter().map(|change| change.to).collect()
}

#[test]
fn a_good_run() {
    let mut story = Story::of(nightly());
    assert_eq!(story.view().status, SchedulerStatus::New);
    assert_eq!(story.view().next_due, Some(time("01:00")));
    story.at("01:00:02").running("a");
    assert_eq!(story.view().status, SchedulerStatus::Running);
    assert_eq!(story.view().open_runs[0].due, Some(time("01:00")));
    story.at("01:02").success("a");
    assert_eq!(statuses(&mut story), [Running, Succeeded]);
    assert_eq!(story.view().status, SchedulerStatus::Healthy);
    assert!(story.view().alert.is_none());
    assert_eq!(story.view().next_due, Some(time("01:00").plus_seconds(86_400)));
    let record = story.occurrence("01:00");
    assert_eq!((record.status, record.runs, record.late_start_ms), (Succeeded, 1, None));
    assert_eq!(record.started_at, Some(time("01:00:02")));
    assert_eq!(record.ended_at, Some(time("01:02")));
}

#[test]
fn a_run_that_fails_alerts_and_a_retry_that_succeeds_resolves() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    story.at("01:01").failed("a", "disk full");
    let opened = story.alerts();
    let EventKind::AlertOpened { cause, streak, .. } = &opened[0].kind else { panic!("{opened:?}") };
    assert_eq!((cause.error.as_deref(), cause.exit_code, *streak), (Some("disk full"), Some(1), 1));
    story.at("01:05").running("b");
    story.at("01:06").success("b");
    let alerts = story.alerts();
    assert!(matches!(alerts[0].kind, EventKind::AlertChanged { .. }), "the retry has started");
    assert!(matches!(&alerts[1].kind, EventKind::AlertResolved { resolution: Resolution::CompletedLate { .. }, .. }));
    let record = story.occurrence("01:00");
    assert_eq!((record.status, record.runs, record.corrections.len()), (Succeeded, 2, 1));
    assert_eq!(record.corrections[0].from, Failed);
}

#[test]
fn a_failure_is_recovered_by_the_next_occurrence() {
    let mut story = Story::of(plain(3_600));
    story.at("01:00").running("a").failed("a", "no");
    story.at("02:00").running("b").success("b");
    let kinds = story.alerts();
    assert!(matches!(kinds[0].kind, EventKind::AlertOpened { .. }));
    assert!(matches!(&kinds[1].kind, EventKind::AlertResolved { resolution: Resolution::Recovered { .. }, .. }));
    assert_eq!(story.view().good_streak, 1);
}

#[test]
fn a_job_that_never_starts_is_missed_after_its_grace_and_not_before() {
    let mut story = Story::of(nightly());
    story.at("01:05");
    assert!(story.changes().is_empty());
    assert_eq!(story.view().status, SchedulerStatus::Late);
    story.at("01:05:01");
    let missed = story.changes();
    assert_eq!((missed[0].to, missed[0].ended_at), (Missed, Some(time("01:05"))));
    assert_eq!(story.view().status, SchedulerStatus::Missed);
    assert_eq!(story.alerts().len(), 1);
}

#[test]
fn a_late_start_is_a_correction() {
    let mut story = Story::of(nightly());
    story.at("01:20").running("a");
    story.at("01:21").success("a");
    assert_eq!(statuses(&mut story), [Missed, Running, Succeeded]);
    let record = story.occurrence("01:00");
    assert_eq!((record.status, record.late_start_ms), (Succeeded, Some(15 * 60_000)));
    assert_eq!((record.corrections[0].from, record.corrections[0].to), (Missed, Running));
    let kinds: Vec<_> = story.alerts().into_iter().map(|event| event.kind).collect();
    assert!(matches!(kinds[0], EventKind::AlertOpened { .. }));
    assert!(matches!(kinds[1], EventKind::AlertChanged { .. }));
    assert!(matches!(&kinds[2], EventKind::AlertResolved { resolution: Resolution::CompletedLate { .. }, .. }));
}

#[test]
fn an_early_start_fills_the_occurrence() {
    let mut story = Story::of(nightly());
    story.at("00:59:30").running("a");
    assert_eq!(story.view().open_runs[0].due, Some(time("01:00")));
    story.at("00:59:59").success("a");
    story.at("03:00");
    assert_eq!(statuses(&mut story), [Running, Succeeded]);
}

#[test]
fn a_silent_run_is_stale_and_a_late_heartbeat_takes_that_back() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    story.at("01:01").heartbeat("a");
    story.at("01:03");
    assert_eq!(statuses(&mut story), [Running]);
    story.at("01:03:01");
    let stale = story.changes();
    assert_eq!(
        (stale[0].to, stale[0].stale, stale[0].ended_at),
        (Stale, Some(StaleReason::NoHeartbeat), Some(time("01:03")))
    );
    story.at("01:04").heartbeat("a");
    story.at("01:05").success("a");
    assert_eq!(statuses(&mut story), [Running, Succeeded]);
    assert_eq!(story.view().bad_streak, 0);
}

#[test]
fn a_run_over_its_longest_time_is_stale_until_it_ends() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    for minute in 1..70 {
        story.at_seconds(3_600 + minute * 60).heartbeat("a");
    }
    let changes = story.changes();
    assert_eq!((changes[1].to, changes[1].stale), (Stale, Some(StaleReason::OverMaxRun)));
    assert_eq!(changes.len(), 2, "heartbeats do not take it back");
    story.at("02:20").failed("a", "killed");
    assert_eq!(statuses(&mut story), [Failed]);
    let alerts = story.alerts();
    assert!(matches!(alerts[0].kind, EventKind::AlertOpened { .. }));
    assert!(matches!(alerts[1].kind, EventKind::AlertChanged { streak: 1, .. }), "one occurrence counts once");
    assert_eq!(alerts.len(), 2);
}

#[test]
fn stale_and_then_done_late() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    story.at("01:30").success("a");
    assert_eq!(statuses(&mut story), [Running, Stale, Succeeded]);
    let last = story.alerts().pop().unwrap();
    assert!(matches!(&last.kind, EventKind::AlertResolved { resolution: Resolution::CompletedLate { .. }, .. }));
}

#[test]
fn several_runs_may_be_open() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    story.at("01:01").running("b");
    assert_eq!(story.view().open_runs.len(), 2);
    story.at("01:02").failed("b", "no");
    assert_eq!(statuses(&mut story), [Running], "the other one still runs");
    story.at("01:02:30").success("a");
    assert_eq!(statuses(&mut story), [Failed], "the one that started last decides");
}

#[test]
fn messages_without_a_run_id_find_their_run() {
    let mut story = Story::of(nightly());
    story.at("01:00").say_running(None);
    let made = story.view().open_runs[0].run_id.clone();
    assert!(made.as_str().starts_with("r-") && !story.view().open_runs[0].named);
    story.at("01:01").beat(None, Some((40, Some(100))));
    let view = story.view();
    assert_eq!((view.open_runs[0].heartbeats, view.open_runs[0].progress.as_ref().unwrap().done), (1, 40));
    story.at("01:02").say_success(None);
    assert_eq!(statuses(&mut story), [Running, Succeeded]);
    assert_eq!(story.run(made.as_str()).status, Succeeded);
}

#[test]
fn an_end_alone_makes_a_run_that_started_its_duration_earlier() {
    let mut story = Story::of(nightly());
    story.at("01:10").end_after(None, 600_000);
    let record = story.occurrence("01:00");
    assert_eq!((record.status, record.started_at, record.corrections.len()), (Succeeded, Some(time("01:00")), 1));
}

#[test]
fn absurd_client_times_move_nothing() {
    for absurd in ["1970-01-01T00:00:00Z", "2027-11-24T00:00:00Z"] {
        let mut story = Story::of(nightly());
        story.at("01:00").running_as_of("a", absurd);
        story.at("01:01").heartbeat("a");
        story.at("01:03");
        assert_eq!(statuses(&mut story), [Running]);
        assert!(story.view().open_runs[0].started_at == time("01:00"));
        story.at("01:03:01");
        assert_eq!(statuses(&mut story), [Stale]);
    }
}

#[test]
fn an_end_that_overtakes_its_start_still_ends_the_run() {
    let mut story = Story::of(nightly());
    story.at("01:00:05").success("a");
    story.at("01:00:06").running("a");
    story.at("01:00:07").heartbeat("a");
    story.at("03:00");
    assert_eq!(statuses(&mut story), [Succeeded]);
    assert!(story.view().open_runs.is_empty());
}

#[test]
fn contradicting_ends_go_by_the_clients_order() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    story.at("01:02").failed_as_of("a", "2026-11-23T18:01:30Z");
    story.at("01:03").success_as_of("a", "2026-11-23T18:01:00Z");
    assert_eq!(statuses(&mut story), [Running, Failed]);
}

#[test]
fn a_pause_withdraws_what_is_expected_and_resolves() {
    let mut story = Story::of(nightly());
    story.at("01:06");
    story.at("01:10").pause();
    let last = story.alerts().pop().unwrap();
    assert!(matches!(last.kind, EventKind::AlertResolved { resolution: Resolution::Paused, .. }));
    assert_eq!((story.view().status, story.view().next_due), (SchedulerStatus::Paused, None));
    story.at_seconds(2 * 86_400);
    assert_eq!(statuses(&mut story), [Missed], "only the one before the pause");
    story.resume();
    assert_eq!(story.view().next_due, Some(time("01:00").plus_seconds(2 * 86_400)));
}

#[test]
fn a_run_that_is_open_across_a_pause_gets_its_time_again() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    story.at("01:01").pause();
    story.at("05:00").resume();
    story.at("05:02");
    assert_eq!(statuses(&mut story), [Running]);
    story.at("05:02:01");
    assert_eq!(statuses(&mut story), [Stale]);
}

#[test]
fn runs_are_recorded_while_paused_without_alerting() {
    let mut story = Story::of(nightly());
    story.at("00:30").pause();
    story.at("01:00").running("a").failed("a", "no");
    assert!(story.changes().iter().any(|change| change.to == Failed));
    assert!(story.alerts().is_empty());
}

#[test]
fn a_change_of_schedule_keeps_an_open_runs_occurrence() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    let mut changed = plain(7_200);
    changed.heartbeat_timeout_seconds = None;
    story.at("01:01").register(&changed);
    assert_eq!(story.view().open_runs[0].due, Some(time("01:00")));
    assert_eq!(story.view().revision, 2);
    story.at("01:30").success("a");
    assert_eq!(story.occurrence("01:00").status, Succeeded);
    assert_eq!(statuses(&mut story), [Running, Succeeded]);
}

#[test]
fn a_change_of_schedule_withdraws_what_was_waiting() {
    let mut story = Story::of(nightly());
    let mut later = nightly();
    later.schedule = story::cron("0 4 * * *");
    story.at("01:02").register(&later);
    story.at("03:00");
    assert!(story.changes().is_empty());
    assert_eq!(story.view().next_due, Some(time("04:00")));
}

#[test]
fn registering_the_same_again_changes_nothing() {
    let mut story = Story::of(nightly());
    story.at("00:10");
    story.register(&nightly());
    assert_eq!(story.view().revision, 1);
    assert!(story.changes().is_empty());
}

#[test]
fn a_deletion_resolves_the_alert_and_forgets_everything() {
    let mut story = Story::of(nightly());
    story.at("01:00").running("a");
    story.at("01:10");
    story.delete();
    let last = story.alerts().pop().unwrap();
    assert!(matches!(last.kind, EventKind::AlertResolved { resolution: Resolution::Deleted, .. }));
    assert_eq!(story.refusal_of_a_heartbeat(), Some(Refusal::UnknownScheduler));
}

#[test]
fn a_heartbeat_only_scheduler_falls_silent_and_comes_back() {
    let mut story = Story::of(story::heartbeat_only());
    story.at("01:00").beat(None, None);
    assert_eq!(story.view().status, SchedulerStatus::Healthy);
    story.at("01:02");
    assert!(story.changes().is_empty());
    story.at("01:02:01");
    let silent = story.changes();
    assert_eq!((&silent[0].subject, silent[0].to), (&Subject::Silence { since: time("01:00") }, Stale));
    assert_eq!(story.view().status, SchedulerStatus::Stale);
    story.at("01:30").beat(None, None);
    assert_eq!(statuses(&mut story), [Succeeded]);
    assert_eq!(story.alerts().len(), 2);
    story.at("01:33");
    assert_eq!(statuses(&mut story), [Stale], "silent once more");
    assert!(story.ids_are_unique());
}

#[test]
fn a_silent_worker_that_was_paused_is_waited_for_again() {
    let mut story = Story::of(story::heartbeat_only());
    story.at("01:00").beat(None, None);
    story.at("01:10").pause();
    assert_eq!((statuses(&mut story), story.alerts().len()), (vec![Stale], 2));
    story.at("02:00").resume();
    story.at("02:02");
    assert!(story.changes().is_empty() && story.alerts().is_empty());
    story.at("02:02:01");
    let silent = story.changes();
    assert_eq!((&silent[0].subject, silent[0].to), (&Subject::Silence { since: time("02:00") }, Stale));
    assert!(matches!(story.alerts()[0].kind, EventKind::AlertOpened { .. }));
    story.at("02:10").beat(None, None);
    assert_eq!(statuses(&mut story), [Succeeded]);
    assert_eq!(story.alerts().len(), 1);
    assert!(story.ids_are_unique());
}

#[test]
fn a_silent_run_without_a_schedule_is_waited_for_again_after_a_pause() {
    let mut story = Story::of(story::heartbeat_only());
    story.at("00:30").heartbeat("old");
    story.at("01:00").heartbeat("worker");
    story.at("01:10").pause();
    story.at("02:00").resume();
    story.alerts();
    statuses(&mut story);
    story.at("02:02:01");
    assert_eq!(story.alerts().len(), 1, "the one that was heard of last, and not the older one");
    assert_eq!(statuses(&mut story), [Stale]);
    let mut job = Story::of(nightly());
    job.at("01:00").running("a");
    job.at("01:10").pause();
    job.at("02:00").resume();
    job.alerts();
    job.at("05:00");
    assert!(job.alerts().is_empty(), "a job's next due time asks for it");
}

#[test]
fn a_resume_that_overtakes_its_pause_counts() {
    let mut story = Story::of(nightly());
    story.at("00:20").resume();
    story.now("00:10").pause();
    assert_eq!(story.view().next_due, Some(time("01:00")));
    story.at("01:06");
    assert_eq!(statuses(&mut story), [Missed]);
}

#[test]
fn a_long_backlog_is_judged_in_order_and_in_pieces() {
    let mut story = Story::of(plain(60));
    story.at_seconds(60 * 5_000 + 31);
    let changes = story.changes();
    assert_eq!(changes.len(), 5_000);
    assert!(changes.iter().all(|change| change.to == Missed));
    assert!(changes.windows(2).all(|pair| pair[0].subject < pair[1].subject));
    assert!(story.ids_are_unique());
}

#[test]
fn a_long_grace_does_not_mistake_a_started_occurrence() {
    let mut spec = plain(60);
    spec.start_grace_seconds = 600;
    let mut story = Story::of(spec);
    // The first due time, 00:01, is never started; twenty later ones are.
    for minute in 2..22 {
        let id = format!("run-{minute}");
        story.at_seconds(minute * 60).running(&id).success(&id);
    }
    let missed: Vec<_> = story.changes().into_iter().filter(|change| change.to == Missed).collect();
    assert_eq!(missed.len(), 1);
    assert_eq!(missed[0].subject, Subject::Occurrence { due: time("00:01") });
}
