//! A stage for stories about one partition: gateways with clocks of their own, a core, and a shadow of the store.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses its own part of the stage")]

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use ronda_domain::SpecDraft;
use ronda_domain::event::EventKind;
use ronda_domain::id::{MessageId, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::{HeartbeatReport, Input, ReportedStatus, StatusReport};
use ronda_domain::record::{OccurrenceRecord, OccurrenceStatus, RunRecord, Subject};
use ronda_domain::spec::{Schedule, SchedulerSpec};
use ronda_domain::time::Timestamp;
use ronda_processor::{Access, Config, DeadLetter, Denied, Direct, Incoming, PartitionCore, Step};
use ronda_queue::Origin;
use ronda_schemas::codec::Versioned;
use ronda_schemas::command::Command;
use ronda_schemas::event::{BlindNotice, ClockHeld, EventBatch, EventEnvelope, LostFrames};
use ronda_schemas::frame::{CommandBuffer, FrameHeader, FrameKind, Refused};
use ronda_schemas::row::{ErrorRow, PartitionRow, SchedulerRow, Scopes};
use ronda_store::port::Commit;

pub const START: i64 = 1_795_453_200;
pub type Asked = (&'static str, String, Input<'static>);

pub fn second(second: i64) -> Timestamp {
    Timestamp::from_seconds(START + second)
}

pub fn spec(every_seconds: Option<u32>, heartbeat_timeout_seconds: Option<u32>) -> SchedulerSpec {
    let draft = SpecDraft { id: "job".to_owned(), ..SpecDraft::default() };
    let schedule = every_seconds.map_or(Schedule::None, |seconds| Schedule::Every { seconds, anchor: None });
    let plain = draft.validate().unwrap();
    SchedulerSpec { schedule, heartbeat_timeout_seconds, start_grace_seconds: 10, early_window_seconds: 5, ..plain }
}

pub fn register(id: &str, spec: SchedulerSpec) -> Asked {
    ("acme", id.to_owned(), Input::Register(Box::new(spec)))
}

pub fn status(id: &str, status: ReportedStatus, run_id: Option<&'static str>) -> Asked {
    ("acme", id.to_owned(), Input::Status(report(status, run_id)))
}

/// A report of nothing but a status.
pub const fn report(status: ReportedStatus, run_id: Option<&str>) -> StatusReport<'_> {
    StatusReport {
        status,
        run_id,
        occurred_at: None,
        error: None,
        exit_code: None,
        duration_ms: None,
        metadata: Vec::new(),
    }
}

pub fn heartbeat(id: &str, run_id: Option<&'static str>) -> Asked {
    ("acme", id.to_owned(), Input::Heartbeat(HeartbeatReport { run_id, occurred_at: None, progress: None }))
}

pub fn frame(header: &FrameHeader, asked: &[Asked]) -> Bytes {
    frame_as(header, asked, None)
}

/// A frame whose commands are all one message, wherever they stand.
pub fn frame_as(header: &FrameHeader, asked: &[Asked], message: Option<MessageId>) -> Bytes {
    let mut buffer = CommandBuffer::default();
    for (tenant, scheduler, input) in asked {
        buffer.push(&Command { tenant, scheduler, age_ms: 0, input: input.clone(), message }).unwrap();
    }
    buffer.into_frame(header)
}

/// A gateway start with its clocks.
#[derive(Clone)]
pub struct Gateway {
    pub id: u64,
    pub number: u64,
    /// Added to the true time by its wall clock, in milliseconds.
    pub skew_ms: i64,
}

impl Gateway {
    pub fn new(id: u64) -> Self {
        Self { id, number: 0, skew_ms: 0 }
    }

    pub fn header(&mut self, at: i64, kind: FrameKind) -> FrameHeader {
        self.number += 1;
        FrameHeader {
            gateway: self.id,
            number: self.number,
            wall: second(at).plus_millis(self.skew_ms),
            mono_ms: u64::try_from((at + 1_000_000) * 1_000).unwrap(),
            kind,
            abandoned: Vec::new(),
            refused: Refused::Nobody,
        }
    }

    pub fn frame(&mut self, at: i64, asked: &[Asked]) -> Bytes {
        frame(&self.header(at, FrameKind::Normal), asked)
    }
}

/// Frames as a log delivers them, from this position on.
pub fn at(first: u64, messages: impl IntoIterator<Item = Bytes>) -> impl Iterator<Item = Incoming> {
    (first..).zip(messages).map(|(position, message)| Incoming::frame(Some(position), message))
}

/// A message that somebody of the tenant acme published directly.
pub fn direct(text: impl Into<Bytes>, id: Option<&str>) -> Incoming {
    let scopes = Scopes { ingest: true, read: false, admin: true };
    direct_with(text, id, Ok(Access { tenant: TenantId::new("acme").unwrap(), scopes }))
}

pub fn direct_with(text: impl Into<Bytes>, id: Option<&str>, access: Result<Access, Denied>) -> Incoming {
    let headers = vec![("trace".to_owned(), "7".to_owned())];
    let (tenant, message_id) = (Some("acme".to_owned()), id.map(str::to_owned));
    let origin = Origin { tenant, message_id, headers, source: "ronda.in.acme.job".to_owned(), published_ms: None };
    Incoming { position: None, message: text.into(), direct: Some(Box::new(Direct { origin, access })) }
}

/// Takes deliveries, in two goes while there is room, and closes the commit. Those that are through are gone then.
pub fn step(core: &mut PartitionCore, deliveries: &mut Vec<Incoming>) -> Step {
    step_with(core, deliveries, |_| {})
}

/// The same with something to be done before the commit is closed.
pub fn step_with(
    core: &mut PartitionCore,
    deliveries: &mut Vec<Incoming>,
    before_close: impl FnOnce(&mut PartitionCore),
) -> Step {
    let mut through = core.take(&deliveries[..deliveries.len().div_ceil(2)]);
    deliveries.drain(..through);
    if !core.wants_commit() || core.lacks_clock() {
        let more = core.take(deliveries);
        deliveries.drain(..more);
        through += more;
    }
    before_close(core);
    let step = core.close();
    assert!(through > 0 || !step.is_empty(), "a step that comes no further comes no further for ever");
    step
}

/// What a store without transactions over rows would hold.
#[derive(Clone, Default)]
pub struct Shadow {
    pub partition: PartitionRow,
    pub rows: BTreeMap<SchedulerKey, SchedulerRow>,
    pub occurrences: BTreeMap<(SchedulerKey, Subject), OccurrenceRecord>,
    pub runs: BTreeMap<(SchedulerKey, Subject, String), RunRecord>,
    pub errors: BTreeMap<(Timestamp, ronda_domain::id::MessageId), ErrorRow>,
}

impl Shadow {
    pub fn new() -> Self {
        let partition = PartitionRow { partitions: 1, watermark: Timestamp::MIN, ..PartitionRow::default() };
        Self { partition, ..Self::default() }
    }

    /// Writes a commit up to so many writes; whether all of it was written.
    pub fn write(&mut self, commit: &Commit, mut writes: usize) -> bool {
        let mut may = || {
            let may = writes > 0;
            writes = writes.saturating_sub(1);
            may
        };
        for (key, record) in &commit.occurrences {
            if may() {
                self.occurrences.insert((key.clone(), record.subject.clone()), record.clone());
            }
        }
        for (key, run) in &commit.runs {
            if may() {
                let id = run.run_id.as_str().to_owned();
                self.runs.insert((key.clone(), run.subject.clone(), id), run.clone());
            }
        }
        for error in &commit.errors {
            if may() {
                self.errors.insert((error.at, error.message), error.clone());
            }
        }
        for row in &commit.rows {
            if may() {
                self.rows.insert(row.key.clone(), row.clone());
            }
        }
        for key in &commit.removed {
            if may() {
                self.rows.remove(key);
            }
        }
        let is_whole = may();
        if is_whole {
            assert_eq!(self.partition.epoch, commit.partition.epoch, "the fence");
            self.partition = commit.partition.clone();
        }
        is_whole
    }

    /// A new owner's core, and what it has to publish first.
    pub fn take_over(&mut self, config: &Config) -> (PartitionCore, Vec<(u32, EventBatch)>) {
        self.take_over_as(config, |core| core)
    }

    pub fn take_over_as(
        &mut self,
        config: &Config,
        make: impl FnOnce(PartitionCore) -> PartitionCore,
    ) -> (PartitionCore, Vec<(u32, EventBatch)>) {
        self.partition.epoch += 1;
        let mut core = make(PartitionCore::new(&self.partition, 4, config.clone()));
        for row in self.rows.values() {
            core.load(row.clone());
        }
        let recovered = core.recover();
        (core, recovered)
    }
}

/// A partition on a stage.
pub struct Stage {
    pub core: PartitionCore,
    pub shadow: Shadow,
    pub position: u64,
    pub events: Vec<EventEnvelope>,
    pub batches: Vec<(u32, EventBatch)>,
    pub dead_letters: Vec<DeadLetter>,
    pub commits: Vec<Commit>,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(&Config::default())
    }

    pub fn with(config: &Config) -> Self {
        let mut shadow = Shadow::new();
        let (core, _) = shadow.take_over(config);
        Self {
            core,
            shadow,
            position: 0,
            events: Vec::new(),
            batches: Vec::new(),
            dead_letters: Vec::new(),
            commits: Vec::new(),
        }
    }

    pub fn take(&mut self, message: Bytes) {
        self.take_together([message]);
    }

    /// Takes messages that were received together, as the runner does.
    pub fn take_together(&mut self, messages: impl IntoIterator<Item = Bytes>) {
        let deliveries: Vec<_> = at(self.position + 1, messages).collect();
        self.position += u64::try_from(deliveries.len()).unwrap();
        self.take_all(deliveries);
    }

    pub fn finish(&mut self, step: Step) {
        assert!(self.shadow.write(&step.commit, usize::MAX));
        self.core.committed();
        self.dead_letters.extend(step.dead_letters);
        for published in [step.publish_first, step.publish] {
            self.events.extend(published.iter().flat_map(|(_, batch)| batch.events.clone()));
            self.batches.extend(published);
        }
        self.core.published();
        self.commits.push(step.commit);
    }

    /// Takes a message at the next position of a log.
    pub fn take_direct(&mut self, incoming: Incoming) {
        self.position += 1;
        self.take_all(vec![Incoming { position: Some(self.position), ..incoming }]);
    }

    pub fn take_all(&mut self, mut deliveries: Vec<Incoming>) {
        while !deliveries.is_empty() {
            let step = step(&mut self.core, &mut deliveries);
            self.finish(step);
        }
    }

    /// Pulses in every second of the range.
    pub fn pulse(&mut self, gateway: &mut Gateway, seconds: std::ops::RangeInclusive<i64>) {
        for at in seconds {
            self.take(gateway.frame(at, &[]));
        }
    }

    pub fn notices(&self) -> Vec<BlindNotice> {
        let blind = |event: &EventEnvelope| match event {
            EventEnvelope::Blind(notice) => Some((**notice).clone()),
            _ => None,
        };
        self.events.iter().filter_map(blind).collect()
    }

    pub fn lost(&self) -> Vec<LostFrames> {
        let lost = |event: &EventEnvelope| match event {
            EventEnvelope::Lost(lost) => Some(lost.clone()),
            _ => None,
        };
        self.events.iter().filter_map(lost).collect()
    }

    pub fn held(&self) -> Vec<ClockHeld> {
        let held = |event: &EventEnvelope| match event {
            EventEnvelope::Held(held) => Some(held.clone()),
            _ => None,
        };
        self.events.iter().filter_map(held).collect()
    }

    /// What was concluded of a scheduler, in order.
    pub fn said(&self, id: &str) -> Vec<OccurrenceStatus> {
        let change = |event: &EventEnvelope| match event {
            EventEnvelope::Scheduler(event) if event.key.scheduler.as_str() == id => match &event.event.kind {
                EventKind::Changed(change) => Some(change.to),
                _ => None,
            },
            _ => None,
        };
        self.events.iter().filter_map(change).collect()
    }

    pub fn ids(&self) -> BTreeSet<String> {
        self.events.iter().map(EventEnvelope::id).collect()
    }

    pub fn row(&self, id: &str) -> Option<&SchedulerRow> {
        self.shadow.rows.get(&key(id))
    }
}

pub fn key(id: &str) -> SchedulerKey {
    SchedulerKey { tenant: TenantId::new("acme").unwrap(), scheduler: SchedulerId::new(id).unwrap() }
}

/// A commit as bytes, for comparing.
pub fn bytes(commit: &Commit) -> Vec<u8> {
    let mut out = commit.partition.encode().unwrap();
    for row in &commit.rows {
        out.extend(row.encode().unwrap());
    }
    for error in &commit.errors {
        out.extend(error.encode().unwrap());
    }
    out.extend(format!("{:?}{:?}{:?}", commit.removed, commit.occurrences, commit.runs).into_bytes());
    out
}
