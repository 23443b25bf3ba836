//! Rows: what is stored, and how far each partition has come.

use ronda_domain::Scheduler;
use ronda_domain::id::{MessageId, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::Gap;
use ronda_domain::record::{OccurrenceRecord, RunRecord};
use ronda_domain::time::Timestamp;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::codec::Versioned;
use crate::event::EventEnvelope;

/// One scheduler as stored, with the derived events that it has not yet published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchedulerRow {
    /// Which scheduler.
    pub key: SchedulerKey,
    /// Its state; `None`: it was deleted, and the row only stays until its last events are published.
    pub state: Option<Scheduler>,
    /// Epoch of the owner that wrote the row.
    pub epoch: u64,
    /// Queue position of the last message that changed the row; replayed messages up to here are skipped.
    pub position: u64,
    /// Derived events that may not have been published yet, oldest first.
    pub outbox: Vec<EventEnvelope>,
}

impl Versioned for SchedulerRow {
    const WHAT: &'static str = "scheduler row";
    /// 2: the state has its registration's number (`incarnation`). 3: starts that may come late. 4: by which messages a copy of a run's
    /// heartbeat is known. 5: how it went when it went well. 6: who looks after it, and who wants to hear of it.
    /// 7: by which messages a copy of what people said of it is known.
    const VERSION: u32 = 7;

    fn version(&self) -> u32 {
        if self.state.as_ref().is_some_and(Scheduler::knows_said) {
            return 7;
        }
        let has_attention = self.state.as_ref().is_some_and(Scheduler::knows_attention);
        if has_attention || self.outbox.iter().any(EventEnvelope::has_attention) {
            return 6;
        }
        let has_past = self.state.as_ref().is_some_and(|state| state.past().is_some());
        if has_past || self.outbox.iter().any(EventEnvelope::has_past) {
            return 5;
        }
        match &self.state {
            Some(state) if state.knows_heartbeats() => 4,
            Some(state) if state.is_put_off() => 3,
            _ => 2,
        }
    }
}

/// How far one partition has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PartitionRow {
    /// Which partition.
    pub partition: u32,
    /// How many partitions there are; a store made with another number is refused.
    pub partitions: u32,
    /// Fencing token: raised by each new owner.
    pub epoch: u64,
    /// Queue position of the last message that is committed; 0: none.
    pub cursor: u64,
    /// Everything before this time has been judged; `Timestamp::MIN` before the first pulse.
    pub watermark: Timestamp,
    /// The gateways that are live, or were of late.
    pub gateways: Vec<GatewayRow>,
    /// Events of rows changed at or before this position are published.
    pub published: u64,
    /// Derived events of the partition itself that may not have been published yet.
    pub outbox: Vec<EventEnvelope>,
    /// Commands applied since the partition was made.
    pub applied: u64,
    /// Commands refused since the partition was made.
    pub refused: u64,
    /// What it remembers of messages that were published onto the queue directly; `None`: nothing.
    #[serde(default)]
    pub direct: Option<Box<DirectRow>>,
    /// Times, of which the clock has not passed the end, in which not everybody could be heard.
    #[serde(default)]
    pub late: Vec<Gap>,
    /// The same of single tenants.
    #[serde(default)]
    pub late_tenants: Vec<LateRow>,
}

/// By hand, because what is at the end is left out when there is nothing of it, and only then can what is before it be left out, too.
impl Serialize for PartitionRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_late_tenants = !self.late_tenants.is_empty();
        let has_late = has_late_tenants || !self.late.is_empty();
        let has_direct = has_late || self.direct.is_some();
        let more = usize::from(has_direct) + usize::from(has_late) + usize::from(has_late_tenants);
        let mut row = serializer.serialize_struct("PartitionRow", 10 + more)?;
        row.serialize_field("partition", &self.partition)?;
        row.serialize_field("partitions", &self.partitions)?;
        row.serialize_field("epoch", &self.epoch)?;
        row.serialize_field("cursor", &self.cursor)?;
        row.serialize_field("watermark", &self.watermark)?;
        row.serialize_field("gateways", &self.gateways)?;
        row.serialize_field("published", &self.published)?;
        row.serialize_field("outbox", &self.outbox)?;
        row.serialize_field("applied", &self.applied)?;
        row.serialize_field("refused", &self.refused)?;
        if has_direct {
            row.serialize_field("direct", &self.direct)?;
        }
        if has_late {
            row.serialize_field("late", &self.late)?;
        }
        if has_late_tenants {
            row.serialize_field("late_tenants", &self.late_tenants)?;
        }
        row.end()
    }
}

impl Versioned for PartitionRow {
    const WHAT: &'static str = "partition row";
    /// 2: a gateway whose clock isn't followed, or a clock that is held. 3: messages published directly. 4: times in which not
    /// everybody was heard. 5: the same of single tenants.
    const VERSION: u32 = 5;

    fn version(&self) -> u32 {
        if !self.late_tenants.is_empty() {
            return 5;
        }
        if !self.late.is_empty() {
            return 4;
        }
        if self.direct.is_some() {
            return 3;
        }
        let is_doubted = self.gateways.iter().any(|gateway| gateway.ahead.is_some());
        if is_doubted || self.outbox.iter().any(EventEnvelope::is_held) { 2 } else { 1 }
    }
}

/// A time in which one tenant could not be heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateRow {
    /// Which.
    pub tenant: Box<str>,
    /// When.
    pub gap: Gap,
}

/// What a partition remembers of messages that were published onto its queue directly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectRow {
    /// On queues without positions, those that may be delivered again though they are committed: position as counted, and a
    /// fingerprint, oldest first.
    pub recent: Vec<(u64, u64)>,
    /// The minute of the partition's clock that `told` is about, counted from 1970.
    pub minute: i64,
    /// What was wrong in that minute.
    pub told: Vec<ToldRow>,
}

/// How much was wrong with one tenant's direct messages in a minute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldRow {
    /// Whose they were; empty: that can't be told, or there are too many to be told apart.
    pub tenant: Box<str>,
    /// Entries for its error feed, those that were left out included.
    pub errors: u32,
    /// Dead letters, those that were left out included.
    pub letters: u32,
}

/// What a partition knows of one gateway start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayRow {
    /// The gateway start.
    pub gateway: u64,
    /// Number of its last applied frame.
    pub number: u64,
    /// Its wall clock in that frame.
    pub wall: Timestamp,
    /// Its monotonic clock in that frame, in milliseconds.
    pub mono_ms: u64,
    /// Whether it holds the watermark back: it has neither left nor been dropped.
    pub live: bool,
    /// Since when it has been heard without a hole, a clock step, a lost frame or one that was given up.
    pub covered_from: Timestamp,
    /// Its wall clock was stepped far forward and isn't followed yet: `wall` goes on as if it had not been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<ClockAhead>,
}

/// How far a gateway's wall clock is ahead of what is taken for its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAhead {
    /// The gateway's monotonic clock when the step was seen, in milliseconds.
    pub since_mono_ms: u64,
    /// By how much, in milliseconds.
    pub by_ms: i64,
}

/// A command that was accepted and later refused, in its tenant's error feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorRow {
    /// Whose command it was.
    pub tenant: TenantId,
    /// When it was received.
    pub at: Timestamp,
    /// Which message it was: unique.
    pub message: MessageId,
    /// Which scheduler it named, as text: it may not be a valid id.
    pub scheduler: Box<str>,
    /// What it asked for: `register`, `status`, `heartbeat`, …
    pub command: Box<str>,
    /// Machine-readable reason, such as `unknown_scheduler`.
    pub code: Box<str>,
    /// What was wrong and what to do.
    pub detail: Box<str>,
}

impl Versioned for ErrorRow {
    const WHAT: &'static str = "error row";
    const VERSION: u32 = 1;
}

/// An API key as stored: never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyRow {
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// Public id, shown in lists and used to revoke it.
    pub id: Box<str>,
    /// Whose it is.
    pub tenant: TenantId,
    /// What its maker called it.
    pub name: Box<str>,
    /// What it may do.
    pub scopes: Scopes,
    /// Requests a minute.
    pub rate_limit_per_minute: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working; `None`: never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Versioned for ApiKeyRow {
    const WHAT: &'static str = "API key row";
    const VERSION: u32 = 1;
}

/// What a key may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes {
    /// Report statuses and heartbeats, and register schedulers.
    pub ingest: bool,
    /// Read schedulers, histories and errors.
    pub read: bool,
    /// Delete, pause, resume, acknowledge, mute and unmute schedulers, and manage keys.
    pub admin: bool,
}

/// The answer that an `Idempotency-Key` has been given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotencyRow {
    /// SHA-256 of method, path and body.
    pub fingerprint: [u8; 32],
    /// When the key was first seen, or last taken over after an attempt that came to no answer.
    pub created_at: Timestamp,
    /// The answer; `None` while the first request is still being carried out.
    pub answer: Option<IdempotentAnswer>,
    /// Made when the key was first seen; run ids that are made for the client come from it, so that a second attempt after a crash is the same run.
    pub message: MessageId,
}

impl Versioned for IdempotencyRow {
    const WHAT: &'static str = "idempotency row";
    const VERSION: u32 = 1;
}

/// An HTTP answer to be given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdempotentAnswer {
    /// Status code.
    pub status: u16,
    /// Body, as sent.
    pub body: Vec<u8>,
    /// `Location`, when there was one.
    pub location: Option<Box<str>>,
}

impl Versioned for OccurrenceRecord {
    const WHAT: &'static str = "history entry";
    /// 2: who looked after it.
    const VERSION: u32 = 2;

    fn version(&self) -> u32 {
        if self.acknowledgment.is_some() { 2 } else { 1 }
    }
}

impl Versioned for RunRecord {
    const WHAT: &'static str = "run";
    const VERSION: u32 = 1;
}

/// A scheduler id that a list page ends with: the next page begins after it.
pub type ListCursor = SchedulerId;
