//! What applying an input asks the caller to do.

use thiserror::Error;

use crate::event::Event;
use crate::record::{OccurrenceRecord, RunRecord};

/// What came of one or several inputs. Made once and reused: [`apply`](crate::apply()) only adds to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// Conclusions to publish, in the order in which they were drawn.
    pub events: Vec<Event>,
    /// History entries to write; one of the same subject replaces the earlier one.
    pub occurrences: Vec<OccurrenceRecord>,
    /// Runs to write; one of the same subject and run id replaces the earlier one.
    pub runs: Vec<RunRecord>,
    /// Whether the state is another than before, so that its row has to be written.
    pub changed: bool,
    /// Why the last input was refused: nothing came of it.
    pub refused: Option<Refusal>,
}

impl Effects {
    /// Nothing so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.occurrences.clear();
        self.runs.clear();
        self.changed = false;
        self.refused = None;
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.occurrences.is_empty()
            && self.runs.is_empty()
            && !self.changed
            && self.refused.is_none()
    }
}

/// Why an input could not be applied. For the tenant's processing-error feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// Nobody registered this scheduler, or it was deleted.
    #[error("no scheduler of this id is registered; register it first")]
    UnknownScheduler,
    /// The run id is not one: see [`check_run_id`](crate::id::check_run_id).
    #[error("the run id is not valid; use 1 to 128 letters, digits, '_', '-', '.' and ':'")]
    InvalidRunId,
    /// A run of this id ended before the latest due time: the id was used again.
    #[error(
        "a run of this id has ended already; give every run an id of its own, such as a UUID or the time of its start"
    )]
    RunAlreadyEnded,
    /// The alert that somebody acknowledged is not open, or not any more.
    #[error("the alert is over, and nothing was acknowledged; see whether the scheduler has another one by now")]
    AlertOver,
}

impl Refusal {
    /// A short constant name for machines.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownScheduler => "unknown_scheduler",
            Self::InvalidRunId => "invalid_run_id",
            Self::RunAlreadyEnded => "run_already_ended",
            Self::AlertOver => "alert_over",
        }
    }
}
