//! The state of one scheduler.

use serde::{Deserialize, Serialize};

use crate::spec::SchedulerSpec;
use crate::time::Timestamp;
use crate::view::{SchedulerStatus, SchedulerView};

/// All that is known of one scheduler. Changed by [`apply`](crate::apply()) only; the same inputs make the same state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheduler {
    spec: SchedulerSpec,
    registered_at: Timestamp,
    updated_at: Timestamp,
    revision: u64,
    paused: bool,
}

impl Scheduler {
    /// Its description.
    #[must_use]
    pub const fn spec(&self) -> &SchedulerSpec {
        &self.spec
    }

    /// Whether nothing is expected of it for now.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// When it was registered first.
    #[must_use]
    pub const fn registered_at(&self) -> Timestamp {
        self.registered_at
    }

    /// When its description, or whether it is paused, last changed.
    #[must_use]
    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// Goes up by one with every change of description, pause and resume; 1 after registration.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// What to show of it at a time (the partition's watermark).
    #[must_use]
    pub fn view(&self, _now: Timestamp) -> SchedulerView {
        SchedulerView {
            status: SchedulerStatus::New,
            paused: self.paused,
            next_due: None,
            open_runs: Vec::new(),
            last: None,
            alert: None,
            last_heartbeat_at: None,
            bad_streak: 0,
            good_streak: 0,
            registered_at: self.registered_at,
            updated_at: self.updated_at,
            revision: self.revision,
        }
    }

    /// About how much memory it takes, in bytes, the heap included.
    #[must_use]
    pub fn approximate_memory_bytes(&self) -> usize {
        size_of::<Self>()
    }
}
