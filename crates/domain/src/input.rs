//! What can happen to a scheduler: commands from outside, and what a partition's clock says.

use crate::attention::By;
use crate::spec::SchedulerSpec;
use crate::time::Timestamp;

/// One thing that happens to one scheduler. Texts are borrowed from the message that carried them.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<'a> {
    /// Make the scheduler, or change what it is.
    Register(Box<SchedulerSpec>),
    /// Remove it.
    Delete,
    /// Expect nothing of it until it is resumed.
    Pause,
    /// Expect it again, from now on.
    Resume,
    /// Somebody looks after what is wrong with it.
    Acknowledge {
        /// Which alert, by its id; `None`: whichever is open then.
        alert: Option<&'a str>,
        /// Who.
        by: By<'a>,
    },
    /// Nobody wants to hear of it until a time.
    Mute {
        /// The end; at most [`MAX_MUTE_SECONDS`](crate::limits::MAX_MUTE_SECONDS) after it was said, or then.
        until: Timestamp,
        /// Who says so.
        by: By<'a>,
    },
    /// People want to hear of it again.
    Unmute {
        /// Who says so.
        by: By<'a>,
    },
    /// A job said where it is.
    Status(StatusReport<'a>),
    /// A job said that it is alive.
    Heartbeat(HeartbeatReport<'a>),
    /// The partition's watermark has come to the `at` of this input: everything received before it has been applied.
    Tick,
    /// Nothing could be received between these two times. Applied with `at` = `gap.until`.
    Blind(Gap),
    /// What was said between these two times may come as late as the second of them, or be said again: not everybody was heard.
    /// Applied with `at` = the partition's watermark, to whom it concerns when something of its is due.
    Late(Gap),
}

/// An interval in which Ronda could not hear anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Gap {
    /// The last time at which everything was still heard.
    pub from: Timestamp,
    /// The first time at which anything was heard again.
    pub until: Timestamp,
}

/// What a job reports of a run. Texts are within [`limits`](crate::limits).
#[derive(Clone, Debug, PartialEq)]
pub struct StatusReport<'a> {
    /// Where the run is.
    pub status: ReportedStatus,
    /// Which run; `None`: the youngest open one that was not named by its client, or one made for this message.
    pub run_id: Option<&'a str>,
    /// The client's own time, kept and shown; orders one run's messages among themselves; never moves a deadline.
    pub occurred_at: Option<Timestamp>,
    /// What went wrong, in the job's words.
    pub error: Option<&'a str>,
    /// The process's exit code.
    pub exit_code: Option<i32>,
    /// How long the run took by the client's account, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Further facts as pairs, in the order given.
    pub metadata: Vec<(&'a str, &'a str)>,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq)]
pub struct HeartbeatReport<'a> {
    /// Which run; `None`: the youngest open one that was not named by its client; the scheduler itself when none is open.
    pub run_id: Option<&'a str>,
    /// The client's own time, kept and shown.
    pub occurred_at: Option<Timestamp>,
    /// How far it has come.
    pub progress: Option<ProgressReport<'a>>,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProgressReport<'a> {
    /// Units done.
    pub done: u64,
    /// Units in all, when known.
    pub total: Option<u64>,
    /// What it is doing, in the job's words.
    pub message: Option<&'a str>,
}

/// The statuses that a job may report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportedStatus {
    /// It has started, or is still going.
    Running,
    /// It ended well.
    Success,
    /// It ended badly.
    Failed,
    /// Somebody stopped it.
    Cancelled,
    /// It decided that there was nothing to do.
    Skipped,
}

impl ReportedStatus {
    /// Whether a run that reported this is over.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Running)
    }
}
