//! Events that are committed and not published, while the event queue takes none.
//!
//! As a rule a commit's events are out before the next commit is closed. When that takes long, the owner goes on: whatever a row carries it
//! carries on when it is written again, so every event is in the store until it is out, and commands can be settled meanwhile. How much
//! is held back so is bounded.

use hashbrown::HashMap;
use ronda_schemas::event::{EventBatch, EventEnvelope};
use ronda_store::port::Commit;

use super::PartitionCore;
use super::outbox::MAX_CARRIED;
use super::schedulers::SlotId;

/// Most events of a partition that are held back. With the longest texts they are some 20 MB. The notifier has to know so many of each
/// partition by their ids (its `SEEN_CHUNKS`), since an owner that is killed while they go out publishes them again.
pub(crate) const MAX_HELD: usize = 4_000;

/// What is held back.
#[derive(Debug, Default)]
pub(super) struct Unpublished {
    is_holding: bool,
    /// What the stored rows carry, some of which may be out; `None`: the partition's.
    carried: HashMap<Option<SlotId>, Vec<EventEnvelope>>,
    count: usize,
    /// Of these, what is to be published once the events under way are out.
    waiting: Vec<EventEnvelope>,
}

impl Unpublished {
    pub(super) const fn is_holding(&self) -> bool {
        self.is_holding
    }

    /// What a row is to carry: what it carries already, and what is new.
    pub(super) fn carry(&mut self, id: Option<SlotId>, new: Vec<EventEnvelope>) -> Vec<EventEnvelope> {
        if !self.is_holding {
            return new;
        }
        let Some(carried) = self.carried.get_mut(&id) else {
            if !new.is_empty() {
                self.keep(id, new.clone());
            }
            return new;
        };
        self.count += new.len();
        carried.extend(new);
        carried.clone()
    }

    /// What is to be published now of a commit's events: nothing while others are under way.
    pub(super) fn after_those(&mut self, events: Vec<EventEnvelope>) -> Vec<EventEnvelope> {
        if !self.is_holding {
            return events;
        }
        self.waiting.extend(events);
        Vec::new()
    }

    pub(super) fn keep(&mut self, id: Option<SlotId>, events: Vec<EventEnvelope>) {
        self.count += events.len();
        self.carried.insert(id, events);
    }

    /// Whether no row would have to carry more than it may with these as well, nor all of them together.
    fn has_room(&self, events: &[(Option<SlotId>, EventEnvelope)]) -> bool {
        let mut counts: HashMap<Option<SlotId>, usize> = HashMap::new();
        let is_row_full = events.iter().any(|(id, _)| {
            let carried = || self.carried.get(id).map_or(0, Vec::len);
            let count = counts.entry(*id).or_insert_with(carried);
            *count += 1;
            *count > MAX_CARRIED
        });
        !is_row_full && self.count + events.len() <= MAX_HELD
    }
}

impl PartitionCore {
    /// The events of this commit, which is durable, are not out yet, and the next commit is not to wait for them. Until they are
    /// [published](Self::published), steps have nothing to publish after their commit: see [`next_publish`](Self::next_publish).
    pub fn hold(&mut self, commit: &Commit) {
        self.unpublished = Unpublished { is_holding: true, ..Unpublished::default() };
        for row in commit.rows.iter().filter(|row| !row.outbox.is_empty()) {
            let id = self.schedulers.find(row.key.tenant.as_str(), row.key.scheduler.as_str());
            if id.is_some() {
                self.unpublished.keep(id, row.outbox.clone());
            }
        }
        if !commit.partition.outbox.is_empty() {
            self.unpublished.keep(None, commit.partition.outbox.clone());
        }
    }

    /// What [`recover`](Self::recover) returned is not out yet, and the first step is not to wait for it either.
    pub fn hold_recovered(&mut self) {
        self.unpublished.is_holding = true;
        self.published = self.last.published;
        self.deleted.append(&mut self.removable);
    }

    /// Whether events of earlier commits are held back.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        self.unpublished.is_holding()
    }

    /// Whether all that is held back has to be out before the next commit is closed: there is no more room, or the commit has events that
    /// rows can't carry, which would get ahead of them.
    #[must_use]
    pub fn must_publish(&self) -> bool {
        self.is_holding() && (self.underway.is_some() || !self.unpublished.has_room(&self.work.events))
    }

    /// The events under way are out: what is to be published next of what is held back. When nothing is, everything is
    /// [published](Self::published).
    #[must_use]
    pub fn next_publish(&mut self) -> Vec<(u32, EventBatch)> {
        let events = std::mem::take(&mut self.unpublished.waiting);
        if events.is_empty() {
            return Vec::new();
        }
        self.announcer.batches(events, self.last.watermark)
    }

    /// How many events are held back, at most.
    #[must_use]
    pub const fn unpublished(&self) -> usize {
        self.unpublished.count
    }
}
