//! Replaying a log gives the same, byte for byte, wherever an owner was killed.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod stage;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;
use ronda_domain::input::{Input, ReportedStatus};
use ronda_processor::{Config, Denied, Incoming, PartitionCore};
use ronda_schemas::event::{EventBatch, EventEnvelope};
use ronda_schemas::frame::FrameKind;
use ronda_schemas::row::PartitionRow;
use stage::{Asked, Gateway, Shadow, Stage, at, bytes, frame, heartbeat, register, second, spec, status};

const IDS: [&str; 4] = ["a", "b", "c", "d"];
const RUNS: [&str; 3] = ["r1", "r2", "r3"];

#[derive(Clone, Debug)]
enum Act {
    Register(usize, u32),
    Delete(usize),
    Heartbeat(usize, usize),
    Status(usize, usize, ReportedStatus),
    Pass(i64),
    Lose,
    Restart,
    Step(i64),
    /// The gateway publishes its last frame once more.
    Again,
    /// Somebody publishes directly; with an id of its own, or one of a few.
    Direct(Said, Option<u8>),
}

/// What a direct message says.
#[derive(Clone, Debug)]
enum Said {
    Register(usize),
    Delete(usize),
    Heartbeat(usize),
    Status(usize, usize, &'static str),
    Batch(usize, usize),
    Rubbish,
    Stranger,
}

fn said() -> impl Strategy<Value = Said> {
    let status = prop::sample::select(vec!["running", "success", "failed"]);
    prop_oneof![
        1 => (0..4_usize).prop_map(Said::Register),
        1 => (0..4_usize).prop_map(Said::Delete),
        3 => (0..4_usize).prop_map(Said::Heartbeat),
        5 => (0..4_usize, 0..3_usize, status).prop_map(|(id, run, status)| Said::Status(id, run, status)),
        2 => (0..4_usize, 0..4_usize).prop_map(|(one, other)| Said::Batch(one, other)),
        1 => Just(Said::Rubbish),
        1 => Just(Said::Stranger),
    ]
}

/// The message. Those of the same bytes have an id of their own or are retries, under the same id.
fn published(said: &Said, id: Option<usize>, number: usize) -> Incoming {
    let (id, number) = match id {
        Some(id) => (format!("id-{id}"), id),
        None => (format!("number-{number}"), number),
    };
    let named = |id: &usize| IDS[*id];
    let time = format!("2026-11-23T18:{:02}:{:02}Z", number / 60 % 60, number % 60);
    let beat = |id| format!(r#"{{"type":"heartbeat","scheduler_id":"{}","occurred_at":"{time}"}}"#, named(id));
    let text = match said {
        Said::Register(id) => format!(
            r#"{{"type":"register","id":"{}","name":"{number}","start_grace_seconds":10,"schedule":{{"every_seconds":45}}}}"#,
            named(id)
        ),
        Said::Delete(id) => format!(r#"{{"type":"delete","scheduler_id":"{}"}}{}"#, named(id), " ".repeat(number)),
        Said::Heartbeat(id) => beat(id),
        Said::Status(id, run, status) => format!(
            r#"{{"type":"status","scheduler_id":"{}","status":"{status}","run_id":"{}","occurred_at":"{time}"}}"#,
            named(id),
            RUNS[*run]
        ),
        Said::Batch(one, other) => format!("[{},{{\"type\":\"tick\"}},{}]", beat(one), beat(other)),
        Said::Rubbish => format!("rubbish {number}"),
        Said::Stranger => beat(&0),
    };
    match said {
        Said::Stranger => {
            let denied = Denied { code: "unauthorized", detail: "no key".to_owned() };
            stage::direct_with(text, Some(&id), Err(denied))
        }
        _ => stage::direct(text, Some(&id)),
    }
}

fn act() -> impl Strategy<Value = Act> {
    use ReportedStatus::{Cancelled, Failed, Running, Success};
    let status = prop::sample::select(vec![Running, Success, Failed, Cancelled]);
    prop_oneof![
        2 => (0..4_usize, 0..3_u32).prop_map(|(id, kind)| Act::Register(id, kind)),
        1 => (0..4_usize).prop_map(Act::Delete),
        3 => (0..4_usize, 0..4_usize).prop_map(|(id, run)| Act::Heartbeat(id, run)),
        6 => (0..4_usize, 0..4_usize, status).prop_map(|(id, run, status)| Act::Status(id, run, status)),
        6 => (1..3_i64).prop_map(Act::Pass),
        1 => (10..200_i64).prop_map(Act::Pass),
        1 => Just(Act::Lose),
        1 => Just(Act::Restart),
        1 => prop::sample::select(vec![-400_000, -20_000, 0, 20_000, 8_000_000]).prop_map(Act::Step),
        1 => Just(Act::Again),
        8 => (said(), prop::option::of(0..3_u8)).prop_map(|(said, id)| Act::Direct(said, id)),
    ]
}

fn asked(act: &Act) -> Option<Asked> {
    let run = |run: usize| RUNS.get(run).copied();
    Some(match act {
        Act::Register(id, kind) => {
            let every = (*kind != 1).then_some(30 + kind * 15);
            register(IDS[*id], spec(every, Some(20)))
        }
        Act::Delete(id) => ("acme", IDS[*id].to_owned(), Input::Delete),
        Act::Heartbeat(id, of) => heartbeat(IDS[*id], run(*of)),
        Act::Status(id, of, reported) => status(IDS[*id], *reported, run(*of)),
        Act::Pass(_) | Act::Lose | Act::Restart | Act::Step(_) | Act::Again | Act::Direct(..) => return None,
    })
}

/// The log that these acts make: commands gather until time passes. It begins with what was published directly before any gateway was
/// there, and ends with pulses, so that all settles.
///
/// A publisher tries again only while its first try may come again, which is for so many messages.
fn log(early: &[Said], acts: &[Act], retries_within: usize) -> Vec<Incoming> {
    let mut firsts: BTreeMap<(usize, String), usize> = BTreeMap::new();
    let mut gateway = Gateway::new(1);
    let (mut now, mut gathered, mut log, mut last) = (0, Vec::new(), Vec::new(), Bytes::new());
    let publish = |log: &mut Vec<Incoming>, frame: Bytes| {
        log.push(Incoming::frame(None, frame.clone()));
        frame
    };
    for (number, said) in early.iter().enumerate() {
        let mut incoming = published(said, None, acts.len() + number);
        let at = second(i64::try_from(number).unwrap() - 100);
        incoming.direct.as_mut().unwrap().origin.published_ms = Some(at.as_millis());
        log.push(incoming);
    }
    publish(&mut log, frame(&gateway.header(0, FrameKind::Join), &[]));
    for (number, act) in acts.iter().enumerate() {
        gathered.extend(asked(act));
        match act {
            Act::Pass(seconds) => {
                now += seconds;
                last = publish(&mut log, gateway.frame(now, &std::mem::take(&mut gathered)));
            }
            Act::Lose => gateway.number += 1,
            Act::Restart => {
                gateway = Gateway { skew_ms: gateway.skew_ms, ..Gateway::new(gateway.id + 1) };
                now += 1;
                last = publish(&mut log, frame(&gateway.header(now, FrameKind::JoinAlone), &[]));
            }
            Act::Step(skew_ms) => gateway.skew_ms = *skew_ms,
            Act::Again if !last.is_empty() => {
                publish(&mut log, last.clone());
            }
            Act::Direct(said, Some(id)) => {
                let first = firsts.entry((usize::from(*id), format!("{said:?}"))).or_insert(log.len());
                if log.len() - *first >= retries_within {
                    *first = log.len();
                }
                let id = usize::from(*id) + 10 * *first;
                log.push(published(said, Some(id), number));
            }
            Act::Direct(said, None) => log.push(published(said, None, number)),
            _ => {}
        }
    }
    publish(&mut log, gateway.frame(now + 1, &gathered));
    for more in 2..6 {
        publish(&mut log, gateway.frame(now + more, &[]));
    }
    log
}

/// A queue as its reader sees it.
struct Reading<'a> {
    log: &'a [Incoming],
    /// A broker without positions hands out so many unsettled messages; `None`: a log.
    window: Option<usize>,
    /// How many were delivered, and how many are settled.
    next: usize,
    settled: usize,
}

impl Reading<'_> {
    fn open(&mut self, cursor: u64) {
        self.next = if self.window.is_some() { self.settled } else { usize::try_from(cursor).unwrap() };
    }

    fn receive(&mut self, most: usize) -> Vec<Incoming> {
        let room = self.window.map_or(most, |window| most.min(window - (self.next - self.settled)));
        let range = self.next..self.log.len().min(self.next + room);
        let deliver = |index: usize| match self.window {
            Some(_) => self.log[index].clone(),
            None => Incoming { position: Some(index as u64 + 1), ..self.log[index].clone() },
        };
        let deliveries = range.clone().map(deliver).collect();
        self.next = range.end;
        deliveries
    }

    /// All but the newest of these, that were delivered and are not in hand, are settled.
    fn settle(&mut self, in_hand: usize, but: usize) {
        self.settled = self.settled.max((self.next - in_hand).saturating_sub(but));
    }
}

fn told(batches: &[(u32, EventBatch)], ids: &mut BTreeSet<String>) {
    ids.extend(batches.iter().flat_map(|(_, batch)| batch.events.iter().map(EventEnvelope::id)));
}

/// The event queue takes what is held back.
fn release(core: &mut PartitionCore, underway: &mut Vec<(u32, EventBatch)>, ids: &mut BTreeSet<String>) {
    while !underway.is_empty() {
        told(underway, ids);
        *underway = core.next_publish();
    }
    core.published();
}

/// One step of an owner's life.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// How many deliveries it takes, if it has none left.
    size: usize,
    /// After how many writes it ends.
    writes: usize,
    /// After how many batches of events it ends.
    told: usize,
    /// How many of the committed messages it can't settle.
    unsettled: usize,
    /// Whether the queue delivers all that is not settled once more.
    reconnects: bool,
    /// Whether the event queue takes nothing of this step's events, nor of what is held back; of what a new owner recovers as well.
    holds: bool,
    /// Whether it tells the clock before its commit, as an owner does that keeps commits open.
    tells: bool,
}

impl Turn {
    const STEADY: Self = Self {
        size: 3,
        writes: usize::MAX,
        told: usize::MAX,
        unsettled: 0,
        reconnects: false,
        holds: false,
        tells: false,
    };
}

fn turn() -> impl Strategy<Value = Turn> {
    let writes = prop_oneof![0..14_usize, Just(usize::MAX)];
    let chances = (prop::bool::weighted(0.2), prop::bool::weighted(0.4), prop::bool::weighted(0.5));
    (1..8_usize, writes, 0..6_usize, 0..8_usize, chances).prop_map(
        |(size, writes, told, unsettled, (reconnects, holds, tells))| Turn {
            size,
            writes,
            told,
            unsettled,
            reconnects,
            holds,
            tells,
        },
    )
}

/// The clock was told before its commit: the position through which all had been taken in, and what had been told by then.
type Clock = (u64, BTreeSet<String>);

/// Plays a log with an owner that is killed again and again, as the runner does it: what a step did not consume is given to the next
/// one as it is.
fn play_with_kills(
    log: &[Incoming],
    turns: &[Turn],
    config: &Config,
    window: Option<usize>,
) -> (Shadow, BTreeSet<String>, Vec<Clock>) {
    let (mut shadow, mut ids, mut clocks) = (Shadow::new(), BTreeSet::new(), Vec::new());
    let mut plan = turns.iter().copied();
    let mut queue = Reading { log, window, next: 0, settled: 0 };
    let mut owners = 0;
    'owners: loop {
        let (mut core, recovered) = take_over(&mut shadow, config, window);
        let mut underway = Vec::new();
        if turns.get(owners % turns.len().max(1)).is_some_and(|turn| turn.holds) && !recovered.is_empty() {
            core.hold_recovered();
            underway = recovered;
        } else {
            told(&recovered, &mut ids);
        }
        owners += 1;
        queue.open(shadow.partition.cursor);
        let mut received = Vec::new();
        loop {
            let turn = plan.next().unwrap_or(Turn::STEADY);
            if received.is_empty() {
                received.extend(queue.receive(turn.size));
            }
            if received.is_empty() {
                if queue.next == log.len() {
                    release(&mut core, &mut underway, &mut ids);
                    return (shadow, ids, clocks);
                }
                // It gives no more before some are settled.
                queue.settle(0, 0);
                continue;
            }
            let step = stage::step_with(&mut core, &mut received, |core| {
                if core.must_publish() {
                    release(core, &mut underway, &mut ids);
                }
                if turn.tells && !core.tell_clock().is_empty() {
                    clocks.push((core.cursor(), ids.clone()));
                }
            });
            let first = turn.told.min(step.publish_first.len());
            told(&step.publish_first[..first], &mut ids);
            if first < step.publish_first.len() || !shadow.write(&step.commit, turn.writes) {
                continue 'owners;
            }
            core.committed();
            if turn.holds && !core.is_holding() && !step.publish.is_empty() {
                core.hold(&step.commit);
                underway = step.publish;
            } else if turn.told < step.publish.len() {
                told(&step.publish[..turn.told], &mut ids);
                continue 'owners;
            } else if !core.is_holding() {
                told(&step.publish, &mut ids);
                core.published();
            } else if !turn.holds {
                release(&mut core, &mut underway, &mut ids);
            }
            if !core.is_underway() {
                queue.settle(received.len(), turn.unsettled);
            }
            if turn.reconnects && window.is_some() {
                queue.next = queue.settled;
                // What it has in hand comes again, and more than the window is never in hand.
                received.truncate(usize::from(core.is_underway()));
            }
        }
    }
}

fn take_over(shadow: &mut Shadow, config: &Config, window: Option<usize>) -> (PartitionCore, Vec<(u32, EventBatch)>) {
    shadow.take_over_as(config, |core| match window {
        Some(window) => core.counting(window),
        None => core,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn an_owner_killed_between_any_two_writes_changes_nothing(
        early in prop::collection::vec(said(), 0..4),
        acts in prop::collection::vec(act(), 5..60),
        turns in prop::collection::vec(turn(), 0..20),
        commit_records in prop::sample::select(vec![1, 3, 20_000]),
        window in prop::sample::select(vec![None, Some(1), Some(3), Some(8)]),
    ) {
        let log = log(&early, &acts, window.unwrap_or(usize::MAX));
        let mut whole = Stage::new();
        (whole.core, _) = take_over(&mut whole.shadow, &Config::default(), window);
        let mut known = vec![whole.ids()];
        for (position, incoming) in (1..).zip(&log) {
            let position = window.is_none().then_some(position);
            whole.take_all(vec![Incoming { position, ..incoming.clone() }]);
            known.push(whole.ids());
        }
        let config = Config { commit_records, ..Config::default() };
        let (killed, ids, clocks) = play_with_kills(&log, &turns, &config, window);
        // Where the clock is told before its commit, everything that had to be told by then has been, whoever was killed.
        for (through, told) in clocks.iter().filter(|_| window.is_none()) {
            let missing: Vec<_> = known[usize::try_from(*through).unwrap()].difference(told).collect();
            prop_assert!(missing.is_empty(), "through {}: {:?}", through, missing);
        }
        prop_assert_eq!(&ids, &whole.ids());
        // A deleted row may still wait for the commit after the one in which its events went out.
        let states = |shadow: &Shadow| -> Vec<_> {
            shadow.rows.values().filter(|row| row.state.is_some()).map(|row| (row.key.clone(), row.state.clone())).collect()
        };
        prop_assert_eq!(states(&killed), states(&whole.shadow));
        prop_assert_eq!(&killed.occurrences, &whole.shadow.occurrences);
        prop_assert_eq!(&killed.runs, &whole.shadow.runs);
        prop_assert_eq!(&killed.errors, &whole.shadow.errors);
        let (one, other) = (&killed.partition, &whole.shadow.partition);
        prop_assert_eq!((one.cursor, one.watermark, &one.gateways), (other.cursor, other.watermark, &other.gateways));
        prop_assert_eq!(one.applied + one.refused, other.applied + other.refused);
        let recent = |row: &PartitionRow| row.direct.as_ref().map(|direct| direct.recent.clone()).unwrap_or_default();
        prop_assert_eq!(recent(one), recent(other));
    }

    #[test]
    fn the_same_log_gives_the_same_commits_byte_for_byte(acts in prop::collection::vec(act(), 5..60)) {
        let log = log(&[], &acts, usize::MAX);
        let run = || {
            let mut stage = Stage::new();
            log.iter().for_each(|incoming| stage.take_direct(incoming.clone()));
            stage.commits.iter().map(bytes).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

#[test]
fn events_that_a_killed_owner_did_not_publish_come_again_with_the_same_ids_and_are_cleared_by_the_next_write() {
    let mut gateway = Gateway::new(1);
    let mut shadow = Shadow::new();
    let config = Config::default();
    let (mut core, _) = shadow.take_over(&config);
    let step = stage::step(&mut core, &mut at(1, [gateway.frame(0, &[register("a", spec(None, None))])]).collect());
    assert!(shadow.write(&step.commit, usize::MAX));
    let mut first = BTreeSet::new();
    told(&step.publish, &mut first);
    assert_eq!(first.len(), 1);
    let (mut core, recovered) = shadow.take_over(&config);
    let mut again = BTreeSet::new();
    told(&recovered, &mut again);
    assert_eq!(again, first);
    let frame = gateway.frame(1, &[status("a", ReportedStatus::Running, Some("r1"))]);
    let mut next = at(2, [frame]).collect();
    let step = stage::step(&mut core, &mut next);
    assert!(shadow.write(&step.commit, usize::MAX));
    core.committed();
    core.published();
    let kept: Vec<_> = shadow.rows.values().flat_map(|row| row.outbox.iter().map(EventEnvelope::id)).collect();
    assert!(kept.iter().all(|id| !first.contains(id)), "{kept:?}");
}

#[test]
fn what_is_held_back_is_in_the_store_and_bounded() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let failed = |run: usize| status("a", ReportedStatus::Failed, Some(Box::leak(format!("r{run}").into_boxed_str())));
    let asked = [register("a", spec(None, None)), register("b", spec(None, None))];
    let mut deliveries = at(1, [gateway.frame(0, &asked)]).collect();
    let step = stage::step(&mut stage.core, &mut deliveries);
    assert!(stage.shadow.write(&step.commit, usize::MAX));
    stage.core.committed();
    stage.core.hold(&step.commit);
    let mut underway = step.publish;
    let (mut ids, mut commits) = (BTreeSet::new(), 0);
    while !stage.core.must_publish() {
        commits += 1;
        let mut deliveries =
            at(1 + commits, [gateway.frame(1, &[failed(usize::try_from(commits).unwrap())])]).collect();
        let is_full = &mut false;
        let step = stage::step_with(&mut stage.core, &mut deliveries, |core| *is_full = core.must_publish());
        if *is_full {
            break;
        }
        assert!(step.publish.is_empty() && step.publish_first.is_empty());
        assert!(stage.shadow.write(&step.commit, usize::MAX));
        stage.core.committed();
    }
    assert!((300..=1_000).contains(&commits), "one row carries no more than it may: {commits}");
    let (_, recovered) = stage.shadow.clone().take_over(&Config::default());
    release(&mut stage.core, &mut underway, &mut ids);
    let mut stored = BTreeSet::new();
    told(&recovered, &mut stored);
    assert!(stored.len() > 300 && stored.iter().any(|id| id.starts_with("acme/b/")));
    assert!(stored.is_subset(&ids), "what a killed owner leaves is all in the store, and was all published here");
    assert!(!stage.core.is_holding() && stage.core.unpublished() == 0);
}

#[test]
fn what_a_frame_brought_before_its_owner_was_killed_is_not_told_again() {
    const JOBS: usize = 40;
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    let asked: Vec<_> = (0..JOBS).map(|n| register(&format!("job-{n}"), spec(Some(60), None))).collect();
    stage.take(gateway.frame(0, &asked));
    let back = 3 * 86_400;
    stage.pulse(&mut gateway, back..=back + 10);
    // Their grace, given again after the gap, is over.
    let long: Vec<_> = at(stage.position + 1, [gateway.frame(back + 11, &[])]).collect();
    let before = stage.events.len();
    for _ in 0..12 {
        let (through, step) = stage.core.step(&long);
        assert_eq!(through, 0, "it takes many commits");
        stage.finish(step);
    }
    let first: BTreeSet<_> = stage.events.iter().skip(before).map(EventEnvelope::id).collect();
    assert!(first.len() > 100_000);
    let (mut core, recovered) = stage.shadow.take_over(&Config::default());
    assert!(recovered.is_empty(), "{}", recovered.len());
    // The next owner goes on where it was, but for the scheduler that was being judged.
    let mut again = BTreeSet::new();
    let (_, step) = core.step(&long);
    told(&step.publish_first, &mut again);
    assert!(again.intersection(&first).count() < 5_000, "{}", again.intersection(&first).count());
}

#[test]
fn a_deleted_row_stays_until_its_events_are_published_and_goes_with_the_next_commit() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("a", spec(None, None))]));
    stage.take(gateway.frame(1, &[("acme", "a".to_owned(), Input::Delete)]));
    assert!(stage.row("a").unwrap().state.is_none());
    assert!(!stage.row("a").unwrap().outbox.is_empty());
    stage.take(gateway.frame(2, &[]));
    assert!(stage.row("a").is_none());
    assert_eq!(stage.core.schedulers(), 0);
    stage.take(gateway.frame(3, &[register("a", spec(None, None))]));
    assert!(stage.row("a").unwrap().state.is_some());
}

#[test]
fn a_deleted_row_stays_while_the_next_owner_holds_its_events_back() {
    let mut stage = Stage::new();
    let mut gateway = Gateway::new(1);
    stage.take(gateway.frame(0, &[register("a", spec(None, None))]));
    let mut deletion = at(2, [gateway.frame(1, &[("acme", "a".to_owned(), Input::Delete)])]).collect();
    let step = stage::step(&mut stage.core, &mut deletion);
    assert!(stage.shadow.write(&step.commit, usize::MAX));
    // It is killed before it publishes.
    let (core, recovered) = stage.shadow.take_over(&Config::default());
    stage.core = core;
    stage.core.hold_recovered();
    for second in 2..5 {
        let mut pulse = at(u64::try_from(second).unwrap() + 1, [gateway.frame(second, &[])]).collect();
        let step = stage::step(&mut stage.core, &mut pulse);
        assert!(stage.shadow.write(&step.commit, usize::MAX));
        stage.core.committed();
    }
    let (mut found, mut again) = (BTreeSet::new(), BTreeSet::new());
    told(&recovered, &mut found);
    told(&stage.shadow.clone().take_over(&Config::default()).1, &mut again);
    assert!(!found.is_empty() && again == found, "whoever comes next finds them: {again:?}");
    release(&mut stage.core, &mut recovered.clone(), &mut again);
    stage.position = 5;
    stage.take(gateway.frame(6, &[]));
    assert!(stage.row("a").is_none(), "and then it goes");
}
