//! What holds for every history, tried on random ones.
//!
//! A history is a row of windows: facts received in it, in any order, then perhaps something said to the scheduler itself,
//! then the tick at the window's end.

mod attention;

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::attention::By;
use crate::event::{Event, EventKind, Lifecycle};
use crate::id::{MessageId, SchedulerId, SchedulerKey, TenantId};
use crate::input::{Gap, HeartbeatReport, Input, ProgressReport, ReportedStatus, StatusReport};
use crate::limits::{MAX_KNOWN_HEARTBEATS, MAX_KNOWN_SAID};
use crate::record::{OccurrenceStatus, StaleReason, Subject};
use crate::spec::{Schedule, SchedulerSpec};
use crate::time::Timestamp;
use crate::{Effects, Scheduler, SpecDraft, apply, next_deadline};

/// One window is this long.
const WINDOW_MS: i64 = 45_000;

/// A report with what it is about, owned.
#[derive(Clone, Debug, PartialEq)]
struct Fact {
    at: Timestamp,
    message: MessageId,
    /// `None`: a heartbeat.
    status: Option<ReportedStatus>,
    run: Option<&'static str>,
    occurred_at: Option<Timestamp>,
    number: u64,
}

impl Fact {
    fn input(&self) -> Input<'_> {
        match self.status {
            Some(status) => Input::Status(StatusReport {
                status,
                run_id: self.run,
                occurred_at: self.occurred_at,
                error: (status == ReportedStatus::Failed).then_some("no"),
                exit_code: None,
                duration_ms: self.number.is_multiple_of(3).then_some(self.number * 1_000),
                metadata: Vec::new(),
            }),
            None => Input::Heartbeat(HeartbeatReport {
                run_id: self.run,
                occurred_at: self.occurred_at,
                progress: Some(ProgressReport { done: self.number, total: None, message: None }),
            }),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Fact(Fact),
    Other(Input<'static>, Timestamp, MessageId),
}

struct World {
    slot: Option<Scheduler>,
    events: Vec<Event>,
    effects: Effects,
}

fn key() -> SchedulerKey {
    SchedulerKey { tenant: TenantId::new("t").unwrap(), scheduler: SchedulerId::new("s").unwrap() }
}

impl World {
    fn run(steps: &[Step]) -> Self {
        let mut world = Self { slot: None, events: Vec::new(), effects: Effects::new() };
        steps.iter().for_each(|step| world.step(step));
        world
    }

    fn apply(&mut self, input: &Input<'_>, at: Timestamp, message: MessageId) {
        self.effects.clear();
        apply(&mut self.slot, &key(), input, at, message, &mut self.effects);
        self.events.append(&mut self.effects.events);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Fact(fact) => self.apply(&fact.input(), fact.at, fact.message),
            Step::Other(input, at, message) => self.apply(input, *at, *message),
        }
    }

    fn ids(&self) -> BTreeSet<&str> {
        self.events.iter().map(|event| &*event.id).collect()
    }

    /// The state without what is only a count of arrivals, or says when somebody last looked.
    fn state(&self) -> Option<Scheduler> {
        let mut state = self.slot.clone()?;
        state.judged_at = Timestamp::MIN;
        state.ticked_at = Timestamp::MIN;
        for run in &mut state.runs {
            run.heartbeats = 0;
            run.known_heartbeats = Box::default();
        }
        Some(state)
    }
}

fn specs() -> impl Strategy<Value = SchedulerSpec> {
    let schedule = prop_oneof![
        Just(Schedule::None),
        (20u32..200).prop_map(|seconds| Schedule::Every { seconds, anchor: None }),
        Just(Schedule::Cron { expression: "* * * * *".into(), timezone: "Asia/Jakarta".into() }),
    ];
    let seconds = || proptest::option::of(10u32..150);
    (schedule, 0u32..100, 0u32..20, seconds(), seconds(), 1u8..4, 1u8..3).prop_map(
        |(schedule, grace, early, max_run, silent, alert_after, recover_after)| SchedulerSpec {
            schedule,
            start_grace_seconds: grace,
            early_window_seconds: early,
            max_run_seconds: max_run,
            heartbeat_timeout_seconds: silent,
            alert_after,
            recover_after,
            ..plain_spec()
        },
    )
}

fn window_end(window: usize) -> Timestamp {
    Timestamp::from_millis((i64::try_from(window).unwrap() + 1) * WINDOW_MS)
}

fn facts(window: usize) -> impl Strategy<Value = Vec<Fact>> {
    let status = proptest::option::weighted(
        0.6,
        prop_oneof![
            3 => Just(ReportedStatus::Running),
            3 => Just(ReportedStatus::Success),
            2 => Just(ReportedStatus::Failed),
            1 => Just(ReportedStatus::Cancelled),
            1 => Just(ReportedStatus::Skipped),
        ],
    );
    let run = proptest::option::weighted(0.7, proptest::sample::select(vec!["a", "b", "c", "d", "e"]));
    let occurred = proptest::option::weighted(0.2, -200_000_000i64..200_000_000);
    let fact = (1..WINDOW_MS, status, run, occurred, 0u64..100);
    proptest::collection::vec(fact, 0..7).prop_map(move |facts| {
        let start = window_end(window).plus_millis(-WINDOW_MS);
        let fact = |(index, (offset, status, run, occurred, number)): (usize, (i64, _, _, Option<i64>, u64))| Fact {
            at: start.plus_millis(offset),
            message: MessageId {
                source: 1,
                sequence: u64::try_from(window).unwrap() + 10,
                index: u32::try_from(index).unwrap(),
            },
            status,
            run,
            occurred_at: occurred.map(|by| start.plus_millis(by)),
            number,
        };
        let mut facts: Vec<Fact> = facts.into_iter().enumerate().map(fact).collect();
        facts.sort_by_key(|fact| (fact.at, fact.message));
        facts
    })
}

/// What may happen to the scheduler itself at a window's end.
fn lifecycle() -> impl Strategy<Value = Option<Input<'static>>> {
    proptest::option::weighted(0.3, said_to_it())
}

fn said_to_it() -> impl Strategy<Value = Input<'static>> {
    let update = specs().prop_map(|spec| Input::Register(Box::new(spec)));
    let by = proptest::sample::select(vec!["ratna", "bayu"]).prop_map(|name| By { source: "slack", id: name, name });
    let acknowledge = by.clone().prop_map(|by| Input::Acknowledge { alert: None, by });
    // Ends before, in and long after the history.
    let mute = (-WINDOW_MS..20 * WINDOW_MS, by.clone())
        .prop_map(|(until, by)| Input::Mute { until: Timestamp::from_millis(until), by });
    let unmute = by.prop_map(|by| Input::Unmute { by });
    prop_oneof![Just(Input::Pause), Just(Input::Resume), update, acknowledge, mute, unmute]
}

/// Windows of facts, with what happens to the scheduler at the end of each.
type History = (SchedulerSpec, Vec<(Vec<Fact>, Option<Input<'static>>)>);

fn history(windows: usize) -> impl Strategy<Value = History> {
    let windows: Vec<_> = (0..windows).map(|window| (facts(window), lifecycle())).collect();
    (specs(), windows)
}

fn register(spec: &SchedulerSpec) -> Step {
    Step::Other(Input::Register(Box::new(spec.clone())), Timestamp::from_millis(0), MessageId::default())
}

fn plain_spec() -> SchedulerSpec {
    SpecDraft { id: "s".to_owned(), ..SpecDraft::default() }.validate().unwrap()
}

/// What follows a window's facts.
fn ending(window: usize, lifecycle: Option<&Input<'static>>) -> Vec<Step> {
    let at = window_end(window);
    let message = MessageId { source: 2, sequence: u64::try_from(window).unwrap(), index: 0 };
    let mut steps = vec![Step::Other(Input::Tick, at, message)];
    if let Some(input) = lifecycle {
        steps.push(Step::Other(input.clone(), at, message));
        steps.push(Step::Other(Input::Tick, at, message));
    }
    steps
}

fn plain_log((spec, windows): &History) -> Vec<Step> {
    let mut log = vec![register(spec)];
    for (window, (facts, lifecycle)) in windows.iter().enumerate() {
        log.extend(facts.iter().cloned().map(Step::Fact));
        log.extend(ending(window, lifecycle.as_ref()));
    }
    log.push(Step::Other(Input::Tick, window_end(windows.len() + 20), MessageId::default()));
    log
}

/// The same with each window's facts in another order, and copies of facts in their own window and in later ones.
fn disturbed_log((spec, windows): &History, order: &[usize], copies: &[(usize, usize)]) -> Vec<Step> {
    let mut log = vec![register(spec)];
    for (window, (facts, lifecycle)) in windows.iter().enumerate() {
        let mut facts = facts.clone();
        for (from, delay) in copies {
            let Some(source) = window.checked_sub(*delay).and_then(|source| windows.get(source)) else { continue };
            facts.extend(source.0.get(*from).cloned());
        }
        for (index, other) in order.iter().enumerate() {
            if let (Some(one), Some(other)) = (index.checked_rem(facts.len()), other.checked_rem(facts.len())) {
                facts.swap(one, other);
            }
        }
        log.extend(facts.into_iter().map(Step::Fact));
        log.extend(ending(window, lifecycle.as_ref()));
    }
    log.push(Step::Other(Input::Tick, window_end(windows.len() + 20), MessageId::default()));
    log
}

fn extreme() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(i64::MIN),
        Just(i64::MAX),
        any::<i64>(),
        -1_000_000i64..1_000_000,
        1_700_000_000_000i64..1_900_000_000_000,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any order of the messages between two ticks, with copies there and later: the same state, the same events.
    #[test]
    fn order_and_copies_change_nothing(
        history in history(5),
        order in proptest::collection::vec(0usize..8, 8),
        copies in proptest::collection::vec((0usize..7, 0usize..4), 0..5),
    ) {
        let plain = World::run(&plain_log(&history));
        let disturbed = World::run(&disturbed_log(&history, &order, &copies));
        prop_assert_eq!(plain.ids(), disturbed.ids());
        prop_assert_eq!(plain.state(), disturbed.state());
    }

    /// A whole log applied twice is the log applied once.
    #[test]
    fn a_log_twice_is_a_log_once(history in history(6), gap in proptest::option::of(1i64..500_000)) {
        let mut log = plain_log(&history);
        if let Some(length) = gap {
            // Nothing is heard in it, so it comes after the last facts.
            let from = window_end(history.1.len() - 1);
            let until = from.plus_millis(length);
            for input in [Input::Blind(Gap { from, until }), Input::Late(Gap { from, until })] {
                log.insert(log.len() - 1, Step::Other(input, until, MessageId::default()));
            }
        }
        let once = World::run(&log);
        let twice = World::run(&[log.clone(), log].concat());
        prop_assert_eq!(once.state(), twice.state());
        prop_assert_eq!(once.ids(), twice.ids());
        prop_assert_eq!(once.events.len(), twice.events.len());
    }

    /// No two events have one id; a miss is not found before its grace is over, a stale run not before its time-out.
    #[test]
    fn nothing_is_said_twice_or_early(history in history(6)) {
        let world = World::run(&plain_log(&history));
        prop_assert_eq!(world.ids().len(), world.events.len());
        for event in &world.events {
            let EventKind::Changed(change) = &event.kind else { continue };
            if let (OccurrenceStatus::Missed, Subject::Occurrence { due }) = (change.to, &change.subject) {
                let least = history.1.iter().filter_map(|(_, input)| match input {
                    Some(Input::Register(spec)) => Some(spec.start_grace_seconds),
                    _ => None,
                });
                let least = least.chain([history.0.start_grace_seconds]).min().unwrap();
                prop_assert!(event.at > due.plus_seconds(least));
            }
            if change.to == OccurrenceStatus::Stale {
                prop_assert!(change.ended_at.is_some_and(|found| found < event.at));
            }
        }
    }

    /// Whatever was resolved before: one that is found to have failed has an alert, when one is enough.
    #[test]
    fn a_failure_is_told((mut spec, windows) in history(6)) {
        let strict = |input: Option<Input<'static>>| match input {
            Some(Input::Register(spec)) => Some(Input::Register(Box::new(SchedulerSpec { alert_after: 1, ..*spec }))),
            other => other,
        };
        spec.alert_after = 1;
        let windows = windows.into_iter().map(|(facts, input)| (facts, strict(input))).collect();
        let world = World::run(&plain_log(&(spec, windows)));
        let mut is_paused = false;
        for (index, event) in world.events.iter().enumerate() {
            match &event.kind {
                EventKind::Lifecycle(Lifecycle::Paused) => is_paused = true,
                EventKind::Lifecycle(Lifecycle::Resumed) => is_paused = false,
                EventKind::Changed(change) if change.to == OccurrenceStatus::Failed && !is_paused => {
                    let next = world.events.get(index + 1).map(|event| &event.kind);
                    let is_told = matches!(next, Some(EventKind::AlertOpened { .. } | EventKind::AlertChanged { .. }));
                    prop_assert!(is_told, "{:?} after {:?}", next, event);
                }
                _ => {}
            }
        }
    }

    /// A worker that says nothing after it was resumed is told of, whatever it had said, and been told of, before.
    #[test]
    fn a_worker_that_is_silent_after_a_pause_is_told_of(
        seconds in 10u32..150,
        (_, windows) in history(4),
        resumes_after_ms in 1i64..500_000,
    ) {
        let spec = SchedulerSpec {
            heartbeat_timeout_seconds: Some(seconds),
            ..plain_spec()
        };
        let is_beat = |fact: &Fact| fact.status.is_none();
        let only_pauses = |input: Option<Input<'static>>| input.filter(|input| !matches!(input, Input::Register(_)));
        let windows: Vec<_> = windows
            .into_iter()
            .map(|(facts, input)| (facts.into_iter().filter(is_beat).collect::<Vec<_>>(), only_pauses(input)))
            .collect();
        prop_assume!(windows.iter().any(|(facts, _)| !facts.is_empty()));
        let mut world = World::run(&plain_log(&(spec, windows)));
        let paused_at = window_end(30);
        let resumed_at = paused_at.plus_millis(resumes_after_ms);
        let message = |index| MessageId { source: 4, sequence: 1, index };
        world.apply(&Input::Pause, paused_at, message(0));
        world.apply(&Input::Resume, resumed_at, message(1));
        world.apply(&Input::Tick, resumed_at.plus_seconds(seconds), message(2));
        prop_assert!(world.slot.as_ref().unwrap().alert.is_none());
        world.apply(&Input::Tick, resumed_at.plus_seconds(seconds).plus_millis(1), message(3));
        prop_assert!(world.slot.as_ref().unwrap().alert.is_some());
        prop_assert_eq!(world.ids().len(), world.events.len());
    }

    /// A scheduler that is deleted and registered again is another one: its events are none of the former's.
    #[test]
    fn a_scheduler_made_anew_has_ids_of_its_own(history in history(3), at_once in any::<bool>()) {
        let mut log = plain_log(&history);
        let end = window_end(3);
        let message = |index| MessageId { source: 4, sequence: 1, index };
        let again = if at_once { Timestamp::from_millis(0) } else { end };
        log.insert(1, Step::Other(Input::Delete, Timestamp::from_millis(0), message(0)));
        log.insert(2, Step::Other(Input::Register(Box::new(history.0.clone())), Timestamp::from_millis(0), message(1)));
        log.push(Step::Other(Input::Delete, end, message(2)));
        log.push(Step::Other(Input::Register(Box::new(history.0.clone())), again, message(3)));
        // Registered in the past, it gets the same facts again: all that differs is the message that made it.
        log.extend(plain_log(&history).into_iter().skip(1));
        let world = World::run(&log);
        prop_assert_eq!(world.ids().len(), world.events.len());
    }

    /// A job that starts in time, says that it is alive in time and ends in time is never found missed or stale, however
    /// rarely the clock ticks, and whatever lies between.
    #[test]
    fn a_job_that_reports_in_time_raises_no_alarm(
        jobs in proptest::collection::vec((0u32..=25, proptest::collection::vec(1i64..=10_000, 0..5), 1i64..=10_000), 1..12),
        ticks in proptest::collection::btree_set(0i64..1_500_000, 0..40),
        named in any::<bool>(),
    ) {
        let spec = SchedulerSpec {
            schedule: Schedule::Every { seconds: 120, anchor: None },
            start_grace_seconds: 20,
            early_window_seconds: 5,
            heartbeat_timeout_seconds: Some(10),
            max_run_seconds: Some(60),
            ..plain_spec()
        };
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
        let mut steps: Vec<(Timestamp, Step)> = Vec::new();
        let mut message = MessageId { source: 1, sequence: 1, index: 0 };
        let mut end = Timestamp::default();
        for (job, (start, beats, rest)) in jobs.iter().enumerate() {
            let due = Timestamp::from_seconds((i64::try_from(job).unwrap() + 1) * 120);
            let mut at = due.minus_seconds(5).plus_seconds(*start);
            let mut say = |at, status| {
                message.sequence += 1;
                let run = named.then(|| names[job]);
                steps.push((at, Step::Fact(Fact { at, message, status, run, occurred_at: None, number: 1 })));
            };
            say(at, Some(ReportedStatus::Running));
            for beat in beats {
                at = at.plus_millis(*beat);
                say(at, None);
            }
            end = at.plus_millis(*rest);
            say(end, Some(ReportedStatus::Success));
        }
        let ticks = ticks.into_iter().map(Timestamp::from_millis).filter(|at| *at <= end);
        let mut world = World::run(&[register(&spec)]);
        let mut ticks = ticks.peekable();
        for (at, step) in &steps {
            while let Some(tick) = ticks.next_if(|tick| tick <= at) {
                world.apply(&Input::Tick, tick, MessageId::default());
            }
            world.step(step);
        }
        world.apply(&Input::Tick, end, MessageId::default());
        for event in &world.events {
            if let EventKind::Changed(change) = &event.kind {
                prop_assert!(!change.to.is_bad(), "{:?}", event);
            }
        }
    }

    /// A tick before the deadline does nothing at all, so more or fewer of them make no difference.
    #[test]
    fn a_tick_before_the_deadline_does_nothing(history in history(4), early in 0i64..100_000) {
        let mut world = World { slot: None, events: Vec::new(), effects: Effects::new() };
        for step in plain_log(&history) {
            world.step(&step);
            let Some(state) = &world.slot else { continue };
            let before = state.clone();
            let at = next_deadline(state).map_or(Timestamp::MAX, |deadline| deadline.plus_millis(-1 - early));
            world.apply(&Input::Tick, at, MessageId::default());
            prop_assert_eq!(world.slot.as_ref(), Some(&before));
            prop_assert!(world.effects.is_empty());
        }
    }

    /// However many come at one time, and whichever of the clocks that received them was behind: each counts, and no copy does.
    #[test]
    fn each_heartbeat_of_a_run_counts_once(
        beats in proptest::collection::vec((0i64..4, proptest::option::of((0usize..MAX_KNOWN_HEARTBEATS, 0i64..4))), 1..60),
        named in any::<bool>(),
    ) {
        let mut world = World::run(&[register(&plain_spec())]);
        let beat = |at, index| Fact {
            at: Timestamp::from_seconds(100 + at),
            message: MessageId { source: 1, sequence: 1, index: u32::try_from(index).unwrap() },
            status: None,
            run: named.then_some("a"),
            occurred_at: None,
            number: 1,
        };
        let start = Fact { status: Some(ReportedStatus::Running), run: Some("a"), ..beat(-1, beats.len()) };
        world.step(&Step::Fact(start));
        for (index, (at, copy)) in beats.iter().enumerate() {
            world.step(&Step::Fact(beat(*at, index)));
            if let Some((earlier, at)) = copy.and_then(|(by, at)| Some((index.checked_sub(by)?, at))) {
                world.step(&Step::Fact(beat(at, earlier)));
            }
        }
        // One more of the moment that was judged last, from a source that sorts before the others.
        let last = beat(beats.iter().map(|(at, _)| *at).max().unwrap(), 0);
        world.apply(&Input::Tick, last.at, MessageId::default());
        world.step(&Step::Fact(Fact { message: MessageId { source: 0, ..last.message }, ..last }));
        world.apply(&Input::Tick, Timestamp::from_seconds(200), MessageId::default());
        let counted: Vec<_> = world.slot.as_ref().unwrap().runs.iter().map(|run| run.heartbeats).collect();
        prop_assert_eq!(counted, [u32::try_from(beats.len()).unwrap() + 1]);
    }

    /// Whatever comes, whenever: no panic, and the clock gets on.
    #[test]
    fn anything_is_survived(
        spec in specs(),
        steps in proptest::collection::vec((extreme(), extreme(), 0u8..12, facts(0)), 1..5),
    ) {
        let mut world = World { slot: None, events: Vec::new(), effects: Effects::new() };
        for (index, (at, other, kind, facts)) in steps.into_iter().enumerate() {
            let (at, other) = (Timestamp::from_millis(at), Timestamp::from_millis(other));
            let message = MessageId { source: 3, sequence: u64::try_from(index).unwrap(), index: 0 };
            let input = match kind {
                0 | 1 => Input::Register(Box::new(spec.clone())),
                2 => Input::Pause,
                3 => Input::Resume,
                4 => Input::Delete,
                5 => Input::Blind(Gap { from: at, until: other }),
                6 => Input::Late(Gap { from: at, until: other }),
                7 => Input::Acknowledge { alert: None, by: By { source: "", id: "", name: "" } },
                8 => Input::Mute { until: other, by: By { source: "", id: "", name: "" } },
                9 => Input::Unmute { by: By { source: "", id: "", name: "" } },
                _ => Input::Tick,
            };
            world.apply(&input, at, message);
            for mut fact in facts {
                fact.at = fact.at.plus_millis(other.as_millis());
                fact.occurred_at = fact.occurred_at.map(|_| at);
                world.step(&Step::Fact(fact));
            }
            world.apply(&Input::Tick, other, message);
            if let Some(state) = &world.slot {
                let _ = state.view(other);
                let bytes = rmp_serde::to_vec(state).unwrap();
                prop_assert_eq!(&rmp_serde::from_slice::<Scheduler>(&bytes).unwrap(), state);
            }
        }
    }

    /// Ticks at the deadlines come to an end: each is later than the one before, or works off a bounded part of a backlog.
    #[test]
    fn deadlines_move_on(history in history(4)) {
        let mut world = World::run(&plain_log(&history));
        for _ in 0..50 {
            let Some(deadline) = world.slot.as_ref().and_then(next_deadline) else { break };
            world.apply(&Input::Tick, deadline, MessageId::default());
            let next = world.slot.as_ref().and_then(next_deadline);
            prop_assert!(next.is_none_or(|next| next > deadline), "{:?} after {:?}", next, deadline);
        }
    }
}

#[test]
fn stale_reasons_order_by_name_only() {
    // The earliest deadline decides; at the same time silence is named first.
    assert!(StaleReason::NoHeartbeat < StaleReason::OverMaxRun);
}
