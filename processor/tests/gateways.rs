//! Several gateways: what a killed, a stopped, a leaving, a joining one and clocks that differ do to the judgement of jobs.

mod fleet;
mod stage;

use fleet::{Fault, Fleet, Job};
use proptest::prelude::*;
use ronda_domain::input::Input;
use ronda_domain::input::ReportedStatus::{Running, Success};
use ronda_domain::record::OccurrenceStatus as S;
use ronda_domain::spec::{Schedule, SchedulerSpec};
use ronda_processor::Config;
use ronda_schemas::frame::{FrameKind, Refused};
use stage::{Gateway, Stage, frame, heartbeat, register, second, spec, status};

/// Faults happen in this time; what is wrong with a job has to be found long after it.
const FAULTS_MS: std::ops::Range<i64> = 5_000..120_000;
const END_MS: i64 = 420_000;
/// What a job is early enough by: the clocks' difference, a stall that is no hole, and the time that a request takes.
const SLACK_SECONDS: u32 = 7;

fn worker(every_seconds: u32) -> (SchedulerSpec, i64, i64) {
    (spec(None, Some(every_seconds + SLACK_SECONDS)), i64::from(every_seconds) * 1_000, 0)
}

fn scheduled(every_seconds: u32, takes_ms: u32) -> (SchedulerSpec, i64, i64) {
    let schedule = Schedule::Every { seconds: every_seconds, anchor: Some(second(0)) };
    let limits = SchedulerSpec {
        schedule,
        max_run_seconds: Some(takes_ms / 1_000 + SLACK_SECONDS),
        start_grace_seconds: SLACK_SECONDS,
        ..spec(Some(every_seconds), None)
    };
    (limits, i64::from(every_seconds) * 1_000, i64::from(takes_ms))
}

fn job() -> impl Strategy<Value = Job> {
    let kind = prop_oneof![
        (2u32..30).prop_map(worker),
        (40u32..70, 100u32..15_000).prop_map(|(every, takes)| scheduled(every, takes)),
    ];
    let dies = prop_oneof![3 => Just(i64::MAX), 1 => 40_000i64..150_000];
    (kind, any::<bool>(), proptest::option::weighted(0.7, 0usize..3), proptest::option::of(2_000i64..9_000), dies)
        .prop_map(|((spec, every_ms, takes_ms), is_named, sticks_to, patience_ms, dies_at_ms)| Job {
            id: String::new(),
            spec,
            is_named,
            every_ms,
            takes_ms,
            sticks_to,
            patience_ms,
            dies_at_ms,
        })
}

fn fault() -> impl Strategy<Value = (i64, usize, Fault)> {
    let fault = prop_oneof![
        4 => (500i64..25_000).prop_map(|for_ms| Fault::Stall { for_ms }),
        1 => Just(Fault::Kill),
        1 => Just(Fault::Leave),
        1 => Just(Fault::Join),
    ];
    (FAULTS_MS, 0usize..4, fault)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever befalls gateways while at least one takes requests: nobody who reports is declared missed or stale, and whoever
    /// truly stopped is found.
    #[test]
    fn faults_of_gateways_alarm_nobody_and_hide_nobody(
        seed in any::<u64>(),
        offsets in proptest::collection::vec(-1_500i64..=1_500, 2..4),
        jobs in proptest::collection::vec(job(), 1..10),
        faults in proptest::collection::vec(fault(), 0..8),
    ) {
        let named = jobs.into_iter().enumerate().map(|(n, job)| Job { id: format!("job-{n}"), ..job });
        let jobs: Vec<_> = named.collect();
        let mut fleet = Fleet::new(seed, &offsets, &jobs);
        for (at, gateway, fault) in faults {
            fleet.fault(at, gateway, fault);
        }
        let is_bad = |status: &S| matches!(status, S::Missed | S::Stale);
        for at in (1..).map(|n| 2_000 * n).take_while(|at| *at <= END_MS) {
            fleet.run(at);
            for job in jobs.iter().filter(|job| job.dies_at_ms == i64::MAX) {
                let said = fleet.stage.said(&job.id);
                let row = &fleet.stage.shadow.partition;
                prop_assert!(!said.iter().any(is_bad), "by {at} ms {job:?} was found {said:?}: {row:?}");
            }
        }
        for job in jobs.iter().filter(|job| job.dies_at_ms < i64::MAX) {
            let said = fleet.stage.said(&job.id);
            prop_assert!(said.iter().any(is_bad), "{job:?} stopped, and was found {said:?}");
        }
        prop_assert!(fleet.stage.lost().is_empty());
    }
}

#[test]
fn a_gateway_stopped_for_twenty_seconds_alarms_nobody_who_sticks_to_it() {
    let mut stage = Stage::new();
    let (mut one, mut other) = (Gateway::new(1), Gateway::new(2));
    let five = SchedulerSpec { start_grace_seconds: 3, ..spec(Some(60), None) };
    let asked =
        [register("worker", spec(None, Some(8))), register("five", five), register("gone", spec(None, Some(8)))];
    stage.take(one.frame(0, &asked));
    stage.take(other.frame(0, &[heartbeat("gone", None)]));
    for at in 1..=55 {
        stage.take(one.frame(at, &[heartbeat("worker", None)]));
        stage.take(other.frame(at, &[heartbeat("gone", None)]));
    }
    // One is stopped. What is sent to it waits in its socket: a heartbeat at 56, a start at 60.
    stage.pulse(&mut other, 56..=74);
    assert_eq!(stage.core.watermark(), second(74), "it was dropped");
    stage.take(one.frame(75, &[]));
    stage.take(one.frame(75, &[heartbeat("worker", None), status("five", Success, None)]));
    for at in 76..=110 {
        stage.take(one.frame(at, &[heartbeat("worker", None)]));
        stage.take(other.frame(at, &[]));
    }
    assert!(stage.said("worker").is_empty(), "{:?}", stage.said("worker"));
    assert_eq!(stage.said("five"), [S::Succeeded]);
    assert_eq!(stage.said("gone"), [S::Stale], "its silence was put off, not forgotten");
    assert!(stage.notices().is_empty());
}

#[test]
fn what_a_gateway_refuses_while_it_pulses_on_is_no_silence() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let due = SchedulerSpec { start_grace_seconds: 3, ..spec(Some(60), None) };
    stage.take(gateway.frame(0, &[register("worker", spec(None, Some(8))), register("due", due)]));
    stage.take(gateway.frame(1, &[heartbeat("worker", None)]));
    for at in 2..=70 {
        let mut header = gateway.header(at, FrameKind::Normal);
        header.refused = Refused::Anybody;
        stage.take(frame(&header, &[]));
    }
    assert!(stage.said("worker").is_empty() && stage.said("due").is_empty());
    let writes: usize = stage.commits.iter().skip(2).map(|commit| commit.rows.len()).sum();
    assert!(writes <= 10, "rows change once a time-out, not once a frame: {writes}");
    stage.take(gateway.frame(71, &[status("due", Success, None)]));
    stage.pulse(&mut gateway, 72..=90);
    assert_eq!(stage.said("worker"), [S::Stale], "once all are heard again");
    assert_eq!(stage.said("due"), [S::Succeeded]);
}

#[test]
fn what_was_refused_of_one_tenant_puts_off_nothing_of_others() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let (theirs, watched) = (register("theirs", spec(None, Some(8))), spec(None, Some(8)));
    let asked = [register("worker", watched), ("other", theirs.1, theirs.2)];
    stage.take(gateway.frame(0, &asked));
    stage.take(
        gateway.frame(1, &[heartbeat("worker", None), ("other", "theirs".to_owned(), heartbeat("theirs", None).2)]),
    );
    for at in 2..=40 {
        let mut header = gateway.header(at, FrameKind::Normal);
        header.refused = Refused::Tenants(vec!["acme".into()]);
        stage.take(frame(&header, &[]));
        // The next owner knows it, too.
        if at == 8 {
            (stage.core, _) = stage.shadow.take_over(&Config::default());
        }
    }
    assert_eq!(stage.said("theirs"), [S::Stale], "all of its tenant's reports were taken");
    assert!(stage.said("worker").is_empty(), "its tenant's may be among those refused");
    stage.pulse(&mut gateway, 41..=60);
    assert_eq!(stage.said("worker"), [S::Stale]);
}

#[test]
fn an_end_that_a_slow_clock_received_belongs_to_the_start_that_a_fast_one_did() {
    let mut stage = Stage::new();
    let (mut fast, mut slow) = (Gateway::new(1), Gateway::new(2));
    fast.skew_ms = 3_000;
    let spec = SchedulerSpec { max_run_seconds: Some(20), ..spec(None, Some(10)) };
    stage.take(fast.frame(0, &[register("job", spec)]));
    stage.take(slow.frame(4, &[]));
    stage.take(fast.frame(5, &[status("job", Running, None)]));
    stage.take(slow.frame(6, &[heartbeat("job", None)]));
    stage.take(slow.frame(7, &[status("job", Success, None)]));
    for at in 8..=60 {
        stage.take(fast.frame(at, &[]));
        stage.take(slow.frame(at, &[]));
    }
    assert_eq!(stage.said("job"), [S::Running, S::Succeeded]);
    assert!((2_000..=3_000).contains(&stage.core.skew_ms()), "{}", stage.core.skew_ms());
}

#[test]
fn what_is_said_to_a_scheduler_counts_in_the_queues_order_however_clocks_differ() {
    let mut stage = Stage::new();
    let (mut fast, mut slow) = (Gateway::new(1), Gateway::new(2));
    fast.skew_ms = 3_000;
    stage.take(slow.frame(0, &[]));
    stage.take(fast.frame(1, &[register("job", spec(None, Some(10)))]));
    stage.take(slow.frame(2, &[register("job", spec(None, Some(20)))]));
    let timeout = |stage: &Stage| stage.row("job").unwrap().state.as_ref().unwrap().spec().heartbeat_timeout_seconds;
    assert_eq!(timeout(&stage), Some(20));
    stage.take(fast.frame(3, &[("acme", "job".to_owned(), Input::Pause)]));
    stage.take(slow.frame(4, &[("acme", "job".to_owned(), Input::Resume)]));
    assert!(!stage.row("job").unwrap().state.as_ref().unwrap().is_paused());
    stage.take(slow.frame(5, &[("acme", "job".to_owned(), Input::Delete)]));
    assert!(stage.row("job").unwrap().state.is_none());
}

/// A frame that was held up gives its reports the clock's time, which another gateway's may be ahead of by now.
#[test]
fn heartbeats_count_whichever_gateway_was_behind() {
    let mut stage = Stage::new();
    let (mut one, mut other) = (Gateway::new(1), Gateway::new(2));
    stage.take(one.frame(0, &[register("job", spec(None, Some(60))), status("job", Running, Some("r"))]));
    stage.take(other.frame(0, &[]));
    let beats = [heartbeat("job", Some("r")), heartbeat("job", Some("r"))];
    stage.take(other.frame(2, &beats));
    // It is behind the other one, and its two have the same time.
    stage.take(one.frame(1, &beats));
    other.skew_ms = -3_000;
    stage.take(other.frame(3, &beats));
    stage.take(one.frame(4, &beats));
    let view = stage.row("job").and_then(|row| row.state.as_ref()).map(|state| state.view(second(4)));
    assert_eq!(view.map(|view| view.open_runs[0].heartbeats), Some(8));
}
