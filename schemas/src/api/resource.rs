//! What the API answers: schedulers, histories, error feeds and keys. The command line reads the same types.

use std::collections::BTreeMap;

use ronda_domain::record::{OccurrenceStatus, StaleReason};
use ronda_domain::spec::Severity;
use ronda_domain::view::SchedulerStatus;
use serde::{Deserialize, Serialize};

use super::time::Time;
#[cfg(feature = "openapi")]
use super::words;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Page<T> {
    /// What is on the page; may be empty although more pages follow, when filters are narrow.
    pub items: Vec<T>,
    /// Asks for the next page, with the same filters; null at the end.
    pub next_cursor: Option<String>,
}

/// A scheduler: what was registered, and how it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Scheduler))]
pub struct SchedulerResource {
    /// Its id, unique within the tenant.
    #[cfg_attr(feature = "openapi", schema(examples("nightly-billing")))]
    pub id: String,
    /// What people call it; the id when none was given.
    pub name: String,
    /// What it does; may be empty.
    pub description: String,
    /// The team that it belongs to; may be empty.
    pub team: String,
    /// Where it runs; may be empty.
    pub environment: String,
    /// Labels, sorted.
    pub tags: Vec<String>,
    /// When it is expected to start; null: never by itself.
    pub schedule: Option<ScheduleResource>,
    /// How long after its due time a start is still in time, in seconds.
    pub start_grace_seconds: u32,
    /// How long before its due time a start still counts for it, in seconds.
    pub early_window_seconds: u32,
    /// How long a run may last, in seconds; null: as long as it likes.
    pub max_run_seconds: Option<u32>,
    /// How long a run may stay silent, in seconds; null: heartbeats are not expected.
    pub heartbeat_timeout_seconds: Option<u32>,
    /// So many bad occurrences in a row open an alert.
    pub alert_after: u8,
    /// So many good occurrences in a row resolve it.
    pub recover_after: u8,
    /// How much it matters.
    #[cfg_attr(feature = "openapi", schema(value_type = words::SeverityWord))]
    pub severity: Severity,
    /// Where it says what to do; may be empty.
    pub runbook_url: String,
    /// How it is, in one word.
    #[cfg_attr(feature = "openapi", schema(value_type = words::SchedulerStatusWord))]
    pub status: SchedulerStatus,
    /// Whether it is paused.
    pub paused: bool,
    /// The earliest due time that is neither started nor missed yet.
    pub next_due: Option<Time>,
    /// Runs that have not ended, oldest first.
    pub open_runs: Vec<OpenRunResource>,
    /// The newest occurrence, unscheduled run or silence.
    pub last: Option<LastResource>,
    /// The alert that is open.
    pub alert: Option<AlertResource>,
    /// Nobody is told of it before this time: it is muted; null: it is not.
    pub muted_until: Option<Time>,
    /// Who muted it; null: it is not muted.
    pub muted_by: Option<ActorResource>,
    /// When the last heartbeat was received.
    pub last_heartbeat_at: Option<Time>,
    /// How many in a row went wrong.
    pub bad_streak: u32,
    /// How many in a row went well.
    pub good_streak: u32,
    /// When it was registered first.
    pub registered_at: Time,
    /// When its description, or whether it is paused, last changed.
    pub updated_at: Time,
    /// Goes up with every change of its description, pause and resume.
    pub revision: u64,
    /// The time for which all this is said: everything received before it has been judged.
    pub as_of: Time,
}

/// When a scheduler is expected to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = SchedulerSchedule))]
#[serde(untagged)]
pub enum ScheduleResource {
    /// By the wall clock of a zone.
    Cron {
        /// Five fields, or an `@` name.
        cron: String,
        /// IANA name.
        timezone: String,
    },
    /// Every so many seconds.
    Every {
        /// The period, in seconds.
        every_seconds: u32,
        /// Due times are counted from here; null: from the registration.
        anchor: Option<Time>,
    },
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Progress))]
pub struct ProgressResource {
    /// Units done.
    pub done: u64,
    /// Units in all, when known.
    pub total: Option<u64>,
    /// What it is doing.
    pub message: Option<String>,
}

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = OpenRun))]
pub struct OpenRunResource {
    /// Its id.
    pub run_id: String,
    /// Whether the client named it; else the id was made for it.
    pub named: bool,
    /// `running`, `stale` or `unknown`.
    #[cfg_attr(feature = "openapi", schema(value_type = words::OccurrenceStatusWord))]
    pub status: OccurrenceStatus,
    /// When its start was received, or the earliest sign of it.
    pub started_at: Time,
    /// When it last said anything.
    pub last_sign_at: Time,
    /// The client's own time of its last message.
    pub occurred_at: Option<Time>,
    /// The due time of the occurrence that it fills; null: it was not scheduled.
    pub due: Option<Time>,
    /// Why it is stale.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<words::StaleReasonWord>))]
    pub stale_reason: Option<StaleReason>,
    /// When it will be, or was, stale unless it says something.
    pub deadline: Option<Time>,
    /// How many heartbeats it sent.
    pub heartbeats: u64,
    /// How far it has come.
    pub progress: Option<ProgressResource>,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A slot that the schedule expected; its time is when it was due.
    Occurrence,
    /// A run that no slot expected; its time is when it started.
    Run,
    /// The scheduler's own heartbeat fell silent; its time is the last one before.
    Silence,
}

/// The newest entry as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = LastEntry))]
pub struct LastResource {
    /// What it is about.
    pub kind: EntryKind,
    /// Due time, start or last heartbeat, by `kind`.
    pub time: Time,
    /// Where it is.
    #[cfg_attr(feature = "openapi", schema(value_type = words::OccurrenceStatusWord))]
    pub status: OccurrenceStatus,
    /// When its first run started.
    pub started_at: Option<Time>,
    /// When it ended, was missed, or was found stale.
    pub ended_at: Option<Time>,
    /// How late after its grace it started, in milliseconds.
    pub late_start_ms: Option<i64>,
    /// Why it is stale.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<words::StaleReasonWord>))]
    pub stale_reason: Option<StaleReason>,
    /// The run that decided it, while that is remembered.
    pub run_id: Option<String>,
    /// What went wrong, in the job's words.
    pub error: Option<String>,
    /// The process's exit code.
    pub exit_code: Option<i32>,
}

/// An open alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Alert))]
pub struct AlertResource {
    /// Its id.
    pub id: String,
    /// When it was opened.
    pub opened_at: Time,
    /// How many in a row have gone wrong by now.
    pub streak: u32,
    /// Who looks after it; null: nobody has said so.
    pub acknowledgment: Option<AcknowledgmentResource>,
}

/// That somebody looks after what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Acknowledgment))]
pub struct AcknowledgmentResource {
    /// Who.
    pub by: ActorResource,
    /// Since when.
    pub at: Time,
}

/// Who said something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Actor))]
pub struct ActorResource {
    /// What people call them.
    pub name: String,
    /// What they are known by where they said it, such as a key's id; may be empty.
    pub id: String,
    /// Where they said it: `api`, or a chat.
    pub source: String,
}

/// One entry of a history: an occurrence, an unscheduled run or a silence, with its runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = HistoryEntry))]
pub struct HistoryResource {
    /// What it is about.
    pub kind: EntryKind,
    /// Due time, start or last heartbeat, by `kind`; the history is sorted by it, newest first.
    pub time: Time,
    /// Where it is.
    #[cfg_attr(feature = "openapi", schema(value_type = words::OccurrenceStatusWord))]
    pub status: OccurrenceStatus,
    /// When its first run started.
    pub started_at: Option<Time>,
    /// When it ended, was missed, or was found stale.
    pub ended_at: Option<Time>,
    /// How late after the grace it started, in milliseconds.
    pub late_start_ms: Option<i64>,
    /// Why it is, or was last, stale.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<words::StaleReasonWord>))]
    pub stale_reason: Option<StaleReason>,
    /// Judgements that turned out otherwise, oldest first.
    pub corrections: Vec<CorrectionResource>,
    /// Who looked after it first; null: nobody said so.
    pub acknowledgment: Option<AcknowledgmentResource>,
    /// Its newest runs, at most 100, oldest first. Of an entry with thousands these may not be the very newest.
    #[cfg_attr(feature = "openapi", schema(max_items = 100))]
    pub runs: Vec<RunResource>,
    /// How many runs it has in all.
    pub runs_total: u64,
}

/// A judgement that turned out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Correction))]
pub struct CorrectionResource {
    /// When it was corrected.
    pub at: Time,
    /// What had been said.
    #[cfg_attr(feature = "openapi", schema(value_type = words::OccurrenceStatusWord))]
    pub from: OccurrenceStatus,
    /// What is said now.
    #[cfg_attr(feature = "openapi", schema(value_type = words::OccurrenceStatusWord))]
    pub to: OccurrenceStatus,
}

/// One run within a history entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Run))]
pub struct RunResource {
    /// Its id.
    pub run_id: String,
    /// Where it is.
    #[cfg_attr(feature = "openapi", schema(value_type = words::OccurrenceStatusWord))]
    pub status: OccurrenceStatus,
    /// When its start was received, or the earliest sign of it.
    pub started_at: Time,
    /// When its end was received, or when it was found stale.
    pub ended_at: Option<Time>,
    /// The client's own time of its last message.
    pub occurred_at: Option<Time>,
    /// What went wrong, in the job's words.
    pub error: Option<String>,
    /// The process's exit code.
    pub exit_code: Option<i32>,
    /// How long it took by the client's account, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Further facts.
    pub metadata: BTreeMap<String, String>,
    /// The last progress that was reported.
    pub progress: Option<ProgressResource>,
    /// How many heartbeats it sent.
    pub heartbeats: u64,
}

/// A command that was accepted and later refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = ProcessingError))]
pub struct ErrorResource {
    /// When it was received.
    pub at: Time,
    /// Which message it was, unique.
    pub message_id: String,
    /// Which scheduler it named, as given.
    pub scheduler_id: String,
    /// What it asked for: `register`, `status`, `heartbeat`, …
    pub command: String,
    /// A short constant name for machines, such as `unknown_scheduler`.
    pub code: String,
    /// What was wrong and what to do.
    pub detail: String,
}

/// An API key; never the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Key))]
pub struct KeyResource {
    /// Public id, used to revoke it.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// What its maker called it.
    pub name: String,
    /// What it may do: `ingest`, `read`, `admin`.
    pub scopes: Vec<String>,
    /// Requests a minute.
    pub rate_limit_per_minute: u32,
    /// When it was made.
    pub created_at: Time,
    /// When it stops working; null: never.
    pub expires_at: Option<Time>,
    /// When it was revoked; null: it was not.
    pub revoked_at: Option<Time>,
}

/// The answer to a write that is durable and not applied yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Accepted))]
pub struct AcceptedResource {
    /// The scheduler that it is for.
    pub scheduler_id: String,
    /// Always true: what was sent is durable and will be applied.
    pub accepted: bool,
    /// The run's id, when the client gave none and one was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
}
