//! The state of one scheduler.

use serde::{Deserialize, Serialize};

use crate::id::MessageId;
use crate::input::{Gap, ProgressReport};
use crate::occurrence::Occurrence;
use crate::record::{Progress, Subject};
use crate::run::{End, Run};
use crate::spec::{Schedule, SchedulerSpec};
use crate::time::Timestamp;

/// All that is known of one scheduler. Changed by [`apply`](crate::apply()) only; the same inputs make the same state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheduler {
    pub(crate) spec: SchedulerSpec,
    pub(crate) registered_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) revision: u64,
    pub(crate) paused: bool,
    /// The registration that the spec is from; older ones are ignored.
    pub(crate) spec_key: Key,
    /// The last pause or resume; older ones are ignored.
    pub(crate) pause_key: Key,
    /// Only occurrences due after this time are expected.
    pub(crate) armed_from: Timestamp,
    /// The earliest due time that is neither filled nor missed.
    pub(crate) expected: Option<Timestamp>,
    /// Due times later than `expected` that have their runs already, in order; rarely any.
    pub(crate) filled: Vec<Timestamp>,
    /// Facts up to this time have been looked at; never goes back.
    pub(crate) judged_at: Timestamp,
    /// The latest tick; never goes back. No deadline later than this has been judged.
    pub(crate) ticked_at: Timestamp,
    /// The earliest fact that no tick has looked at.
    pub(crate) facts_at: Option<Timestamp>,
    pub(crate) last_heartbeat_at: Option<Timestamp>,
    /// The last heartbeat that was no run's.
    pub(crate) own_heartbeat_at: Option<Timestamp>,
    /// Its own heartbeat's deadline counts from here at the earliest.
    pub(crate) rearmed_at: Timestamp,
    /// The end of the last blind interval that its own heartbeat was awaited across.
    pub(crate) blind_until: Timestamp,
    /// Blind intervals that an expected occurrence may overlap, in order.
    pub(crate) gaps: Vec<Gap>,
    /// By id.
    pub(crate) runs: Vec<Run>,
    /// By time.
    pub(crate) occurrences: Vec<Occurrence>,
    /// Messages without a run id that no tick has given to a run, by time.
    pub(crate) pending: Vec<Pending>,
    /// Heartbeats without a run id up to here were given out; an older one is a copy.
    pub(crate) pending_key: Key,
    /// Hashes of forgotten runs, and of the messages that ended them without naming them, with the time of the last message;
    /// oldest first.
    pub(crate) forgotten: Vec<(u64, Timestamp)>,
    /// Messages of unknown runs up to this time are copies: even the hashes are forgotten.
    pub(crate) horizon: Timestamp,
    /// Occurrences due up to this time are forgotten.
    pub(crate) closed_until: Timestamp,
    pub(crate) bad_streak: u32,
    pub(crate) good_streak: u32,
    pub(crate) newest_bad: Option<Box<Subject>>,
    pub(crate) alert: Option<Box<Alert>>,
}

/// Orders messages, and tells a copy from the message.
pub(crate) type Key = (Timestamp, MessageId);

/// An open alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alert {
    pub(crate) id: Box<str>,
    pub(crate) opened_at: Timestamp,
    pub(crate) subject: Subject,
}

/// A message without a run id: whose it is depends on what else was received before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) key: Key,
    pub(crate) fact: PendingFact,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum PendingFact {
    Heartbeat { occurred_at: Option<Timestamp>, progress: Option<Box<Progress>> },
    End(Box<End>),
}

impl Scheduler {
    /// A scheduler as it is right after its registration.
    pub(crate) fn new(spec: SchedulerSpec, at: Timestamp, message: MessageId) -> Self {
        let expected = crate::schedule::next_due(&spec.schedule, at, at);
        Self {
            spec,
            registered_at: at,
            updated_at: at,
            revision: 1,
            paused: false,
            spec_key: (at, message),
            pause_key: (Timestamp::MIN, MessageId::default()),
            armed_from: at,
            expected,
            filled: Vec::new(),
            judged_at: Timestamp::MIN,
            ticked_at: Timestamp::MIN,
            facts_at: None,
            last_heartbeat_at: None,
            own_heartbeat_at: None,
            rearmed_at: Timestamp::MIN,
            blind_until: Timestamp::MIN,
            gaps: Vec::new(),
            runs: Vec::new(),
            occurrences: Vec::new(),
            pending: Vec::new(),
            pending_key: (Timestamp::MIN, MessageId::default()),
            forgotten: Vec::new(),
            horizon: Timestamp::MIN,
            closed_until: Timestamp::MIN,
            bad_streak: 0,
            good_streak: 0,
            newest_bad: None,
            alert: None,
        }
    }

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

    /// Whether this is the hash of something that is over and forgotten.
    pub(crate) fn has_forgotten(&self, hash: u64) -> bool {
        self.forgotten.iter().any(|(known, _)| *known == hash)
    }

    /// Remembers that a tick at `at` or later has something to look at.
    pub(crate) fn note_fact(&mut self, at: Timestamp) {
        self.facts_at = Some(self.facts_at.map_or(at, |earliest| earliest.min(at)));
    }

    /// About how much memory it takes, in bytes, the heap included; allocator overhead is not.
    #[must_use]
    pub fn approximate_memory_bytes(&self) -> usize {
        let texts = [&self.spec.name, &self.spec.description, &self.spec.team, &self.spec.environment]
            .map(|text| text.len())
            .iter()
            .sum::<usize>();
        let tags: usize = self.spec.tags.iter().map(|tag| tag.len().saturating_add(size_of::<Box<str>>())).sum();
        let schedule = match &self.spec.schedule {
            Schedule::Cron { expression, timezone } => expression.len().saturating_add(timezone.len()),
            _ => 0,
        };
        let runs: usize = self.runs.iter().map(run_heap_bytes).sum();
        let parts = [
            size_of::<Self>(),
            texts,
            tags,
            schedule,
            self.spec.runbook_url.len(),
            runs,
            self.runs.capacity().saturating_mul(size_of::<Run>()),
            self.occurrences.capacity().saturating_mul(size_of::<Occurrence>()),
            self.occurrences.iter().map(Occurrence::heap_bytes).sum(),
            self.pending.capacity().saturating_mul(size_of::<Pending>()),
            self.gaps.capacity().saturating_mul(size_of::<Gap>()),
            self.filled.capacity().saturating_mul(size_of::<Timestamp>()),
            self.forgotten.capacity().saturating_mul(size_of::<(u64, Timestamp)>()),
            self.alert.as_ref().map_or(0, |alert| size_of::<Alert>().saturating_add(alert.id.len())),
        ];
        parts.iter().fold(0, |sum: usize, part| sum.saturating_add(*part))
    }
}

fn run_heap_bytes(run: &Run) -> usize {
    let details = run.ends.iter().filter_map(|end| end.detail.as_ref()).map(|detail| {
        let metadata: usize = detail.metadata.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum();
        let error = detail.error.as_ref().map_or(0, |error| error.len());
        size_of::<crate::run::Detail>().saturating_add(metadata).saturating_add(error)
    });
    let ends = run.ends.capacity().saturating_mul(size_of::<End>());
    let progress = run.progress.as_ref().map_or(0, |_| size_of::<Progress>());
    run.id.as_str().len().saturating_add(details.sum()).saturating_add(ends).saturating_add(progress)
}

impl<'a> From<&'a Progress> for ProgressReport<'a> {
    fn from(progress: &'a Progress) -> Self {
        Self { done: progress.done, total: progress.total, message: progress.message.as_deref() }
    }
}
