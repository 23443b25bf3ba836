//! Messages that come between two pulses have one time, that of the partition's clock: they count in the queue's order all the same.

mod stage;

use ronda_domain::Scheduler;
use ronda_domain::input::ReportedStatus::{Failed, Running, Success};
use ronda_domain::record::OccurrenceStatus;
use stage::{Gateway, Stage, direct, register, second, spec, status};

const SCHEDULED: &str = r#"{"type":"register","id":"job","schedule":{"every_seconds":60},"start_grace_seconds":10,"early_window_seconds":5}"#;
const UNSCHEDULED: &str = r#"{"type":"register","id":"job"}"#;
const WORKER: &str = r#"{"type":"register","id":"job","heartbeat_timeout_seconds":30}"#;

fn state(stage: &Stage) -> &Scheduler {
    stage.row("job").and_then(|row| row.state.as_ref()).expect("a scheduler")
}

fn report(status: &str, run_id: &str) -> String {
    format!(r#"{{"type":"status","scheduler_id":"job","status":"{status}","run_id":"{run_id}"}}"#)
}

fn unnamed(status: &str) -> String {
    format!(r#"{{"type":"status","scheduler_id":"job","status":"{status}"}}"#)
}

/// A run, then a second one that begins after the first has ended; whether an alert is open in the end, and what was said last.
fn two_runs(
    registration: &'static str,
    (first, first_end): (&str, &str),
    (then, then_end): (&str, &str),
    apart: bool,
) -> (bool, Option<OccurrenceStatus>) {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[]));
    stage.take_direct(direct(registration, None));
    stage.pulse(&mut gateway, 1..=60);
    stage.take_direct(direct(report("running", first), None));
    stage.take_direct(direct(report(first_end, first), None));
    if apart {
        stage.pulse(&mut gateway, 61..=61);
    }
    stage.take_direct(direct(report("running", then), None));
    stage.take_direct(direct(report(then_end, then), None));
    stage.pulse(&mut gateway, 62..=65);
    (state(&stage).view(second(65)).alert.is_some(), stage.said("job").last().copied())
}

#[test]
fn a_retry_of_a_scheduled_job_in_the_same_pulse_takes_the_failure_back() {
    let good = (false, Some(OccurrenceStatus::Succeeded));
    assert_eq!(two_runs(SCHEDULED, ("b", "failed"), ("a", "success"), true), good, "control: a pulse between");
    assert_eq!(two_runs(SCHEDULED, ("a", "failed"), ("b", "success"), false), good, "control: ids in order");
    assert_eq!(two_runs(SCHEDULED, ("b", "failed"), ("a", "success"), false), good);
}

#[test]
fn a_second_run_of_an_occurrence_that_fails_in_the_same_pulse_is_an_alert() {
    let bad = (true, Some(OccurrenceStatus::Failed));
    assert_eq!(two_runs(SCHEDULED, ("b", "success"), ("a", "failed"), true), bad, "control: a pulse between");
    assert_eq!(two_runs(SCHEDULED, ("a", "success"), ("b", "failed"), false), bad, "control: ids in order");
    assert_eq!(two_runs(SCHEDULED, ("b", "success"), ("a", "failed"), false), bad);
}

#[test]
fn a_good_run_after_a_bad_one_of_the_same_pulse_ends_the_alert_without_a_schedule() {
    let good = (false, Some(OccurrenceStatus::Succeeded));
    assert_eq!(two_runs(UNSCHEDULED, ("b", "failed"), ("a", "success"), true), good, "control: a pulse between");
    assert_eq!(two_runs(UNSCHEDULED, ("a", "failed"), ("b", "success"), false), good, "control: ids in order");
    assert_eq!(two_runs(UNSCHEDULED, ("b", "failed"), ("a", "success"), false), good);
}

/// The same over HTTP: a clock that was a minute ahead and is put right. Half a minute lies between the two.
#[test]
fn a_good_run_after_a_bad_one_ends_the_alert_while_the_clock_is_held() {
    for (step_ms, [first, then]) in [(0, ["b", "a"]), (-60_000, ["a", "b"]), (-60_000, ["b", "a"])] {
        let mut stage = Stage::new();
        let mut gateway = Gateway::new(1);
        stage.take(gateway.frame(0, &[register("job", spec(None, None))]));
        stage.pulse(&mut gateway, 1..=100);
        gateway.skew_ms = step_ms;
        stage.pulse(&mut gateway, 101..=104);
        stage.take(gateway.frame(105, &[status("job", Running, Some(first))]));
        stage.take(gateway.frame(106, &[status("job", Failed, Some(first))]));
        stage.pulse(&mut gateway, 107..=135);
        stage.take(gateway.frame(136, &[status("job", Running, Some(then))]));
        stage.take(gateway.frame(140, &[status("job", Success, Some(then))]));
        stage.pulse(&mut gateway, 141..=300);
        assert!(state(&stage).view(second(240)).alert.is_none(), "clock stepped by {step_ms} ms; {first}, then {then}");
    }
}

/// The same run, tried again under its id.
#[test]
fn a_run_that_failed_and_was_tried_again_in_the_same_pulse_is_good() {
    for apart in [true, false] {
        let mut stage = Stage::new();
        let mut gateway = Gateway::new(1);
        stage.take(gateway.frame(0, &[]));
        stage.take_direct(direct(SCHEDULED, None));
        stage.pulse(&mut gateway, 1..=60);
        stage.take_direct(direct(report("running", "r"), None));
        stage.take_direct(direct(report("failed", "r"), None));
        if apart {
            stage.pulse(&mut gateway, 61..=61);
        }
        stage.take_direct(direct(report("success", "r"), None));
        stage.pulse(&mut gateway, 62..=65);
        assert!(state(&stage).view(second(65)).alert.is_none(), "apart: {apart}; {:?}", stage.said("job"));
    }
}

/// A worker without run ids says in one message that one run is over and the next has begun.
#[test]
fn an_end_in_a_batch_is_the_run_before_the_one_that_begins_in_it() {
    for batch in [false, true] {
        let mut stage = Stage::new();
        let mut gateway = Gateway::new(1);
        stage.take(gateway.frame(0, &[]));
        stage.take_direct(direct(UNSCHEDULED, None));
        stage.take_direct(direct(unnamed("running"), None));
        stage.pulse(&mut gateway, 1..=60);
        let (end, start) = (unnamed("success"), unnamed("running"));
        if batch {
            stage.take_direct(direct(format!("[{end},{start}]"), None));
        } else {
            stage.take_direct(direct(end, None));
            stage.take_direct(direct(start, None));
        }
        stage.pulse(&mut gateway, 61..=62);
        let open: Vec<_> = state(&stage).view(second(62)).open_runs.iter().map(|run| run.started_at).collect();
        assert_eq!(open, [second(60).plus_millis(1)], "batch: {batch}");
    }
}

/// Two runs without ids, one after the other, in one message: the first failed.
#[test]
fn ends_in_a_batch_go_to_the_runs_that_they_follow() {
    for batch in [false, true] {
        let mut stage = Stage::new();
        let mut gateway = Gateway::new(1);
        stage.take(gateway.frame(0, &[]));
        stage.take_direct(direct(SCHEDULED, None));
        stage.pulse(&mut gateway, 1..=60);
        let said = ["running", "failed", "running", "success"].map(unnamed);
        if batch {
            stage.take_direct(direct(format!("[{}]", said.join(",")), None));
        } else {
            said.into_iter().for_each(|one| stage.take_direct(direct(one, None)));
        }
        stage.pulse(&mut gateway, 61..=62);
        assert!(state(&stage).view(second(62)).alert.is_none(), "batch: {batch}; {:?}", stage.said("job"));
    }
}

/// Publisher's retry of a heartbeat, under its id, that comes after the run's end in the same pulse. Worked before 8e34853.
#[test]
fn a_copy_of_a_heartbeat_without_a_run_id_is_no_heartbeat_of_the_scheduler() {
    for copies in [0, 1] {
        let mut wrong = Vec::new();
        for number in 0..10 {
            let mut stage = Stage::new();
            let mut gateway = Gateway::new(1);
            stage.take(gateway.frame(0, &[]));
            stage.take_direct(direct(WORKER, None));
            stage.pulse(&mut gateway, 1..=10);
            let id = format!("h{number}");
            let beat = || direct(r#"{"type":"heartbeat","scheduler_id":"job"}"#, Some(&id));
            stage.take_direct(direct(unnamed("running"), None));
            stage.take_direct(beat());
            stage.take_direct(direct(unnamed("success"), Some(&format!("e{number}"))));
            for _ in 0..copies {
                stage.take_direct(beat());
            }
            stage.pulse(&mut gateway, 11..=100);
            if stage.said("job").contains(&OccurrenceStatus::Stale) {
                wrong.push(number);
            }
        }
        assert_eq!(wrong, [0; 0], "{copies} copies: a worker that ended well is called silent");
    }
}

/// The order in a batch is lost when its commands have ids: they sort by hash.
#[test]
fn a_heartbeat_before_its_runs_end_in_one_batch_is_the_runs() {
    for ids in [false, true] {
        let mut wrong = Vec::new();
        for number in 0..10 {
            let mut stage = Stage::new();
            let mut gateway = Gateway::new(1);
            stage.take(gateway.frame(0, &[]));
            stage.take_direct(direct(WORKER, None));
            stage.pulse(&mut gateway, 1..=10);
            let said =
                [("status", r#"{"status":"running"}"#), ("heartbeat", "{}"), ("status", r#"{"status":"success"}"#)];
            let event = |(index, (kind, data)): (usize, (&str, &str))| {
                let head = r#""specversion":"1.0","source":"w","subject":"job""#;
                format!(r#"{{{head},"id":"{number}-{index}","type":"ronda.{kind}","data":{data}}}"#)
            };
            let plain =
                [unnamed("running"), r#"{"type":"heartbeat","scheduler_id":"job"}"#.to_owned(), unnamed("success")];
            let batch = if ids { said.into_iter().enumerate().map(event).collect() } else { plain.to_vec() };
            stage.take_direct(direct(format!("[{}]", batch.join(",")), None));
            stage.pulse(&mut gateway, 11..=100);
            if stage.said("job").contains(&OccurrenceStatus::Stale) {
                wrong.push(number);
            }
        }
        assert_eq!(wrong, [0; 0], "ids: {ids}: a worker that ended well is called silent");
    }
}

#[test]
fn the_last_progress_of_one_pulse_counts() {
    for apart in [true, false] {
        let mut stage = Stage::new();
        let mut gateway = Gateway::new(1);
        stage.take(gateway.frame(0, &[]));
        stage.take_direct(direct(UNSCHEDULED, None));
        for (second, done) in [(1, 90), (2, 5)] {
            let beat =
                format!(r#"{{"type":"heartbeat","scheduler_id":"job","run_id":"r","progress":{{"done":{done}}}}}"#);
            stage.take_direct(direct(beat, None));
            if apart {
                stage.pulse(&mut gateway, second..=second);
            }
        }
        stage.pulse(&mut gateway, 3..=3);
        let view = state(&stage).view(second(3));
        assert_eq!(view.open_runs[0].progress.as_ref().map(|progress| progress.done), Some(5), "apart: {apart}");
    }
}

/// Of two runs that ended in one pulse the last one is kept for a word that contradicts it.
#[test]
fn the_last_run_that_ended_can_still_turn_out_to_have_failed() {
    for [first, last] in [["a", "b"], ["b", "a"]] {
        let mut stage = Stage::new();
        let mut gateway = Gateway::new(1);
        stage.take(gateway.frame(0, &[]));
        stage.take_direct(direct(UNSCHEDULED, None));
        stage.pulse(&mut gateway, 1..=10);
        for (word, run) in [("running", first), ("success", first), ("running", last), ("success", last)] {
            stage.take_direct(direct(report(word, run), None));
        }
        stage.pulse(&mut gateway, 11..=20);
        stage.take_direct(direct(report("failed", last), None));
        stage.pulse(&mut gateway, 21..=22);
        assert!(state(&stage).view(second(22)).alert.is_some(), "{first}, then {last}: the failure is lost");
    }
}

#[test]
fn what_is_said_to_a_scheduler_in_one_pulse_counts_in_its_order() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[]));
    let word = |kind: &str| format!(r#"{{"type":"{kind}","scheduler_id":"job"}}"#);
    for round in 0..20 {
        stage.take_direct(direct(UNSCHEDULED, Some(&format!("a{round}"))));
        stage.take_direct(direct(word("pause"), Some(&format!("b{round}"))));
        assert!(state(&stage).is_paused());
        stage.take_direct(direct(word("resume"), Some(&format!("c{round}"))));
        assert!(!state(&stage).is_paused());
        stage.take_direct(direct(report("running", "r"), Some(&format!("d{round}"))));
        if round < 19 {
            stage.take_direct(direct(word("delete"), Some(&format!("e{round}"))));
            assert!(stage.row("job").is_none_or(|row| row.state.is_none()));
        }
    }
    stage.pulse(&mut gateway, 1..=1);
    assert_eq!(state(&stage).view(second(1)).open_runs.len(), 1);
}

#[test]
fn no_ended_run_of_a_thousand_in_one_pulse_is_lost() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[]));
    stage.take_direct(direct(UNSCHEDULED, None));
    stage.pulse(&mut gateway, 1..=1);
    for batch in 0..4 {
        let runs = (0..500).flat_map(|run| ["running", "success"].map(|word| report(word, &format!("{batch}-{run}"))));
        stage.take_direct(direct(format!("[{}]", runs.collect::<Vec<_>>().join(",")), None));
    }
    stage.pulse(&mut gateway, 2..=6);
    let good = stage.shadow.runs.values().filter(|run| run.status == OccurrenceStatus::Succeeded).count();
    assert_eq!(good, 2_000);
}
