//! What is kept of the past: one record an occurrence or unscheduled run, one a run.

use serde::{Deserialize, Serialize};

use crate::attention::Acknowledgment;
use crate::id::RunId;
use crate::time::Timestamp;

/// What a judgement is about: a slot that the schedule expected, a run that it did not, or the scheduler's own heartbeat.
///
/// Fixed once its first record is written: everything that follows refers to it. Orders by time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// The occurrence that was due at this time.
    Occurrence {
        /// When it was due.
        due: Timestamp,
    },
    /// A run that fills no occurrence.
    Run {
        /// When it started, as known when it was first judged.
        started: Timestamp,
        /// Its id.
        run_id: RunId,
    },
    /// The scheduler's heartbeat without any run, which fell silent after this time.
    Silence {
        /// The last heartbeat before the silence; or the resume, when it had been silent before the pause.
        since: Timestamp,
    },
}

impl Subject {
    /// The time that this subject sorts by in a history.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        match self {
            Self::Occurrence { due } => *due,
            Self::Run { started, .. } => *started,
            Self::Silence { since } => *since,
        }
    }
}

/// Where an occurrence, or an unscheduled run, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OccurrenceStatus {
    /// Due, or about to be, and not yet started.
    Expected,
    /// A run is open.
    Running,
    /// Its last run ended well.
    Succeeded,
    /// Its last run ended badly.
    Failed,
    /// Its last run was stopped by somebody.
    Cancelled,
    /// Its run decided that there was nothing to do.
    Skipped,
    /// It did not start in time.
    Missed,
    /// It started, and then fell silent or ran too long.
    Stale,
    /// Ronda could not hear, so it can't tell.
    Unknown,
}

impl OccurrenceStatus {
    /// Whether this is a reason to alert somebody.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::Missed | Self::Stale)
    }

    /// Whether this counts towards recovery: it ended well, or there was nothing to do.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Succeeded | Self::Skipped)
    }

    /// Whether nothing more is expected of it, though corrections may still come.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        !matches!(self, Self::Expected | Self::Running)
    }
}

/// Why a run is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaleReason {
    /// No heartbeat within `heartbeat_timeout_seconds`.
    NoHeartbeat,
    /// Longer than `max_run_seconds`.
    OverMaxRun,
}

/// A judgement that later turned out otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Correction {
    /// When it was corrected, by the partition's clock.
    pub at: Timestamp,
    /// What had been said.
    pub from: OccurrenceStatus,
    /// What is said now.
    pub to: OccurrenceStatus,
}

/// One entry of the history: an occurrence, an unscheduled run or a silence. Written again, whole, whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OccurrenceRecord {
    /// What it is about; its key.
    pub subject: Subject,
    /// Where it is.
    pub status: OccurrenceStatus,
    /// When its first run started.
    pub started_at: Option<Timestamp>,
    /// When it ended, was missed, or was found stale.
    pub ended_at: Option<Timestamp>,
    /// How late after the grace it started, in milliseconds; only when it did.
    pub late_start_ms: Option<i64>,
    /// Why it is, or was last, stale.
    pub stale: Option<StaleReason>,
    /// How many runs it has.
    pub runs: u32,
    /// Judgements that turned out otherwise, oldest first; the last 16.
    pub corrections: Vec<Correction>,
    /// Who looked after it first, when anybody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledgment: Option<Acknowledgment>,
}

/// One run within a history entry. Written when the run is first judged and whenever it is judged anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The history entry that it belongs to.
    pub subject: Subject,
    /// Its id.
    pub run_id: RunId,
    /// Where it is.
    pub status: OccurrenceStatus,
    /// When its start was received, or the earliest sign of it.
    pub started_at: Timestamp,
    /// When its end was received, or when it was found stale.
    pub ended_at: Option<Timestamp>,
    /// The client's own time of its last message, as given.
    pub occurred_at: Option<Timestamp>,
    /// What went wrong, in the job's words.
    pub error: Option<Box<str>>,
    /// The process's exit code.
    pub exit_code: Option<i32>,
    /// How long it took by the client's account, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Further facts as pairs.
    pub metadata: Vec<(Box<str>, Box<str>)>,
    /// The last progress that was reported.
    pub progress: Option<Progress>,
    /// How many heartbeats it sent.
    pub heartbeats: u64,
}

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all, when known.
    pub total: Option<u64>,
    /// What it is doing, in the job's words.
    pub message: Option<Box<str>>,
}
