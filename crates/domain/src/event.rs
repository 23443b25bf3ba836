//! Derived events: what the domain concludes, for those who tell people.

use serde::{Deserialize, Serialize};

use crate::attention::{Actor, Mute};
use crate::record::{OccurrenceStatus, StaleReason, Subject};
use crate::time::Timestamp;

/// One conclusion about one scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Unique within the scheduler, and the same whenever the same history is replayed: the registration, the subject and the
    /// transition, counted where a transition can happen again. With tenant and scheduler it is unique everywhere.
    pub id: Box<str>,
    /// When it was concluded, by the partition's clock.
    pub at: Timestamp,
    /// What was concluded.
    pub kind: EventKind,
}

/// What can be concluded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// The scheduler itself changed.
    Lifecycle(Lifecycle),
    /// An occurrence, an unscheduled run or the scheduler's own heartbeat changed.
    Changed(Change),
    /// Enough went wrong in a row to tell somebody.
    AlertOpened {
        /// The alert's id: the same in everything that follows of it.
        alert: Box<str>,
        /// What opened it.
        cause: Change,
        /// How many bad occurrences in a row there were.
        streak: u32,
    },
    /// What is wrong has changed: stale has become failed, a missed one has started late, one more has failed.
    AlertChanged {
        /// Which alert.
        alert: Box<str>,
        /// What changed.
        cause: Change,
        /// How many bad occurrences in a row there are by now.
        streak: u32,
    },
    /// It is over.
    AlertResolved {
        /// Which alert.
        alert: Box<str>,
        /// When it had been opened.
        opened_at: Timestamp,
        /// What ended it.
        resolution: Resolution,
    },
    /// Somebody looks after it since the time of the event; once an alert.
    AlertAcknowledged {
        /// Which alert.
        alert: Box<str>,
        /// Who.
        by: Actor,
    },
    /// Nobody wants to hear of the scheduler until a time.
    Muted(Mute),
    /// People want to hear of the scheduler again, before its mute is over.
    Unmuted {
        /// Who said so.
        by: Actor,
    },
}

/// What happened to a scheduler itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// It was made.
    Registered,
    /// Its description changed.
    Updated,
    /// Nothing is expected of it for now.
    Paused,
    /// It is expected again.
    Resumed,
    /// It was removed.
    Deleted,
}

/// One occurrence, unscheduled run or heartbeat that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which.
    pub subject: Subject,
    /// What had been said.
    pub from: OccurrenceStatus,
    /// What is said now.
    pub to: OccurrenceStatus,
    /// Whether this takes back an earlier judgement (missed → running, stale → succeeded, …).
    pub correction: bool,
    /// When its first run started.
    pub started_at: Option<Timestamp>,
    /// When it ended, was missed or was found stale.
    pub ended_at: Option<Timestamp>,
    /// How late after its grace it started, in milliseconds.
    pub late_start_ms: Option<i64>,
    /// Why it is, or was, stale.
    pub stale: Option<StaleReason>,
    /// The run that decided it.
    pub run_id: Option<Box<str>>,
    /// What went wrong, in the job's words; cut to 500 bytes, and then with ` … ` in its middle.
    pub error: Option<Box<str>>,
    /// The process's exit code.
    pub exit_code: Option<i32>,
    /// How long the run took, in milliseconds: by the client's account, else by ours.
    pub duration_ms: Option<u64>,
}

/// How an alert ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Resolution {
    /// Enough occurrences in a row ended well.
    Recovered {
        /// The one that made it enough.
        by: Change,
    },
    /// The very occurrence that opened it ended well after all, or somebody had stopped it.
    CompletedLate {
        /// That occurrence.
        by: Change,
    },
    /// The scheduler was paused.
    Paused,
    /// The scheduler was removed.
    Deleted,
}
