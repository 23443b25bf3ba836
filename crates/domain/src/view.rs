//! What people and programs get to see of a scheduler's state.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::attention::{Acknowledgment, Mute};
use crate::id::RunId;
use crate::occurrence::Occurrence;
use crate::record::{OccurrenceStatus, Progress, StaleReason, Subject};
use crate::run::{Place, Run};
use crate::scheduler::Scheduler;
use crate::time::Timestamp;

/// How a scheduler is, in one word. What needs a person comes before what doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SchedulerStatus {
    /// Registered; nothing has happened yet.
    New,
    /// The last thing that happened was good, or neutral.
    Healthy,
    /// A run is open.
    Running,
    /// An occurrence is due and has not started; its grace is not over.
    Late,
    /// The last occurrence ended badly.
    Failed,
    /// The last occurrence, or the heartbeat, fell silent or ran too long.
    Stale,
    /// The last occurrence did not start in time.
    Missed,
    /// Ronda could not hear, so it can't tell.
    Unknown,
    /// Nothing is expected of it.
    Paused,
}

impl SchedulerStatus {
    /// Every status, in order.
    pub const ALL: [Self; 9] = [
        Self::New,
        Self::Healthy,
        Self::Running,
        Self::Late,
        Self::Failed,
        Self::Stale,
        Self::Missed,
        Self::Unknown,
        Self::Paused,
    ];

    /// The lower-case word that filters and answers use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Healthy => "healthy",
            Self::Running => "running",
            Self::Late => "late",
            Self::Failed => "failed",
            Self::Stale => "stale",
            Self::Missed => "missed",
            Self::Unknown => "unknown",
            Self::Paused => "paused",
        }
    }
}

impl fmt::Display for SchedulerStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a [`SchedulerStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of new, healthy, running, late, failed, stale, missed, unknown, paused")]
pub struct NotAStatus;

impl FromStr for SchedulerStatus {
    type Err = NotAStatus;

    fn from_str(text: &str) -> Result<Self, NotAStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(NotAStatus)
    }
}

/// A scheduler's state at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulerView {
    /// In one word.
    pub status: SchedulerStatus,
    /// Whether it is paused.
    pub paused: bool,
    /// The earliest due time that is neither started nor missed yet; may be past while the grace lasts.
    pub next_due: Option<Timestamp>,
    /// Runs that have not ended, stale ones included, oldest first.
    pub open_runs: Vec<RunView>,
    /// The newest occurrence, unscheduled run or silence.
    pub last: Option<OccurrenceView>,
    /// The alert that is open.
    pub alert: Option<AlertView>,
    /// Nobody wants to hear of it for now.
    pub mute: Option<Mute>,
    /// When the last heartbeat of any kind was received.
    pub last_heartbeat_at: Option<Timestamp>,
    /// How many in a row went wrong.
    pub bad_streak: u32,
    /// How many in a row went well.
    pub good_streak: u32,
    /// When it was registered first.
    pub registered_at: Timestamp,
    /// When its description, or whether it is paused, last changed.
    pub updated_at: Timestamp,
    /// Goes up by one with every change of description, pause and resume; 1 after registration.
    pub revision: u64,
}

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunView {
    /// Its id.
    pub run_id: RunId,
    /// Whether the client named it; else the id was made for it.
    pub named: bool,
    /// `Running`, `Stale` or `Unknown`, as last judged.
    pub status: OccurrenceStatus,
    /// When its start was received, or the earliest sign of it.
    pub started_at: Timestamp,
    /// When it last said anything.
    pub last_sign_at: Timestamp,
    /// The client's own time of its last message.
    pub occurred_at: Option<Timestamp>,
    /// The due time of the occurrence that it fills.
    pub due: Option<Timestamp>,
    /// Why it is stale.
    pub stale: Option<StaleReason>,
    /// When it will be, or was, stale unless it says something.
    pub deadline: Option<Timestamp>,
    /// How many heartbeats it sent.
    pub heartbeats: u64,
    /// How far it has come.
    pub progress: Option<Progress>,
}

/// One history entry as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OccurrenceView {
    /// What it is about.
    pub subject: Subject,
    /// Where it is.
    pub status: OccurrenceStatus,
    /// When its first run started.
    pub started_at: Option<Timestamp>,
    /// When it ended, was missed, or was found stale.
    pub ended_at: Option<Timestamp>,
    /// How late after its grace it started, in milliseconds.
    pub late_start_ms: Option<i64>,
    /// Why it is stale.
    pub stale: Option<StaleReason>,
    /// The run that decided it, while that is remembered.
    pub run_id: Option<RunId>,
    /// What went wrong, in the job's words, while the run is remembered.
    pub error: Option<Box<str>>,
    /// The process's exit code, while the run is remembered.
    pub exit_code: Option<i32>,
}

/// An open alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertView {
    /// Its id, the same as in its events.
    pub id: Box<str>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// What opened it.
    pub subject: Subject,
    /// How many in a row have gone wrong by now.
    pub streak: u32,
    /// Who looks after it.
    pub acknowledgment: Option<Acknowledgment>,
}

impl Scheduler {
    /// What to show of it at a time (the partition's watermark).
    #[must_use]
    pub fn view(&self, now: Timestamp) -> SchedulerView {
        let mut open_runs: Vec<RunView> = self
            .runs
            .iter()
            .filter(|run| run.placed.is_some() && !run.has_ended())
            .map(|run| self.run_view(run))
            .collect();
        open_runs.sort_unstable_by(|one, other| (one.started_at, &one.run_id).cmp(&(other.started_at, &other.run_id)));
        SchedulerView {
            status: self.status_at(now),
            paused: self.paused,
            next_due: self.expected,
            open_runs,
            last: self.newest().map(|entry| self.occurrence_view(entry)),
            alert: self.alert.as_deref().map(|alert| AlertView {
                id: alert.id.clone(),
                opened_at: alert.opened_at,
                subject: alert.subject.clone(),
                streak: self.bad_streak,
                acknowledgment: alert.acknowledgment.as_deref().cloned(),
            }),
            mute: self.mute_at(now).cloned(),
            last_heartbeat_at: self.last_heartbeat_at,
            bad_streak: self.bad_streak,
            good_streak: self.good_streak,
            registered_at: self.registered_at,
            updated_at: self.updated_at,
            revision: self.revision(),
        }
    }

    /// How it is at a time, in one word: cheap enough for lists.
    #[must_use]
    pub fn status_at(&self, now: Timestamp) -> SchedulerStatus {
        if self.paused {
            return SchedulerStatus::Paused;
        }
        let last = self.newest().map(|entry| entry.status);
        if !last.is_some_and(OccurrenceStatus::is_bad) {
            // Only then: a run whose end was lost must not hide what has happened since.
            if self.expected.is_some_and(|due| due < now) {
                return SchedulerStatus::Late;
            }
            if self.runs.iter().any(|run| run.status() == Some(OccurrenceStatus::Running)) {
                return SchedulerStatus::Running;
            }
        }
        match last {
            None if self.last_heartbeat_at.is_some() => SchedulerStatus::Healthy,
            None => SchedulerStatus::New,
            Some(OccurrenceStatus::Failed) => SchedulerStatus::Failed,
            Some(OccurrenceStatus::Missed) => SchedulerStatus::Missed,
            Some(OccurrenceStatus::Stale) => SchedulerStatus::Stale,
            Some(OccurrenceStatus::Unknown) => SchedulerStatus::Unknown,
            Some(OccurrenceStatus::Running) => SchedulerStatus::Running,
            Some(_) => SchedulerStatus::Healthy,
        }
    }

    /// A silence that goes on counts as the newest.
    fn newest(&self) -> Option<&Occurrence> {
        self.open_silence().or_else(|| self.occurrences.last())
    }

    fn run_view(&self, run: &Run) -> RunView {
        RunView {
            run_id: run.id.clone(),
            named: run.named,
            status: run.status().unwrap_or(OccurrenceStatus::Running),
            started_at: run.started_at(),
            last_sign_at: run.last_sign.max(run.started_at()),
            occurred_at: run.occurred_at,
            due: run.placed.and_then(|(_, place)| match place {
                Place::Due(due) => Some(due),
                Place::Alone => None,
            }),
            stale: run.verdict.and_then(|verdict| verdict.stale),
            deadline: self.run_deadline(run).filter(|_| !self.paused).map(|(deadline, _)| deadline),
            heartbeats: u64::from(run.heartbeats),
            progress: run.progress().cloned(),
        }
    }

    fn occurrence_view(&self, entry: &Occurrence) -> OccurrenceView {
        let is_decider =
            |run: &&Run| run.started_at() == entry.decided_by && run.subject().as_ref() == Some(&entry.subject);
        let run = self.runs.iter().rev().find(is_decider);
        let end = run.and_then(|run| run.end(Timestamp::MAX));
        let detail = end.and_then(|end| end.detail.as_deref());
        OccurrenceView {
            subject: entry.subject.clone(),
            status: entry.status,
            started_at: entry.started_at,
            ended_at: entry.ended_at,
            late_start_ms: entry.late_start_ms(),
            stale: entry.stale,
            run_id: run.map(|run| run.id.clone()),
            error: detail.and_then(|detail| detail.error.clone()),
            exit_code: detail.and_then(|detail| detail.exit_code),
        }
    }
}
