//! What is registered: the description of one scheduler.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A scheduler as its owner described it. Made by [`SpecDraft::validate`](crate::SpecDraft::validate), which holds every limit.
///
/// Everything that may be absent has had its default filled in, so equal content compares equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchedulerSpec {
    /// What people call it; the id when none was given.
    pub name: Box<str>,
    /// What it does, in its owner's words; may be empty.
    pub description: Box<str>,
    /// The team that it belongs to; may be empty.
    pub team: Box<str>,
    /// Where it runs, such as `production`; may be empty.
    pub environment: Box<str>,
    /// Free labels, sorted, without repeats.
    pub tags: Box<[Box<str>]>,
    /// When it is expected to start.
    pub schedule: Schedule,
    /// How long after its due time a start is still in time, in seconds.
    pub start_grace_seconds: u32,
    /// How long before its due time a start still counts for that occurrence, in seconds.
    pub early_window_seconds: u32,
    /// How long a run may last before it is stale, in seconds; `None`: as long as it likes.
    pub max_run_seconds: Option<u32>,
    /// How long a run may stay silent before it is stale, in seconds; `None`: heartbeats are not expected.
    pub heartbeat_timeout_seconds: Option<u32>,
    /// So many bad occurrences in a row open an alert; at least 1.
    pub alert_after: u8,
    /// So many good occurrences in a row resolve it; at least 1.
    pub recover_after: u8,
    /// How much it matters.
    pub severity: Severity,
    /// Where it says what to do; may be empty.
    pub runbook_url: Box<str>,
}

/// When a scheduler is expected to start a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Schedule {
    /// Never by itself: only heartbeats or ad-hoc runs.
    None,
    /// By a five-field cron expression or an `@` name, on the wall clock of a zone.
    Cron {
        /// As given, with white space folded; checked to parse.
        expression: Box<str>,
        /// IANA name in its canonical spelling; checked to exist.
        timezone: Box<str>,
    },
    /// Every so many seconds.
    Every {
        /// The period, in seconds; at least 1.
        seconds: u32,
        /// Due times are this time plus whole periods; `None`: counted from the registration.
        anchor: Option<Timestamp>,
    },
}

/// How much a scheduler matters, least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Worth looking at in the morning.
    #[default]
    Warning,
    /// Worth waking somebody.
    Critical,
}
