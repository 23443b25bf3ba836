//! From stored rows to a core: what was left unpublished, and rows that are ahead of the cursor.

use ronda_domain::next_deadline;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::EventBatch;
use ronda_schemas::row::SchedulerRow;

use super::PartitionCore;
use super::schedulers::SlotId;
use super::unpublished::Unpublished;

impl PartitionCore {
    /// Takes a stored row in. Each key once.
    pub fn load(&mut self, row: SchedulerRow) {
        let SchedulerRow { key, state, epoch: _, position, outbox } = row;
        let outbox = if position > self.published { outbox } else { Vec::new() };
        let key = self.schedulers.share_tenant(key);
        // Rows ahead of the cursor may have been written behind the first frame, which is to come again.
        if self.watermark == Timestamp::MIN && position <= self.cursor {
            self.made_up = state.as_ref().map_or(self.made_up, |state| self.made_up.max(state.registered_at()));
        }
        let id = self.schedulers.insert(key, state, position);
        if !outbox.is_empty() {
            self.work.recovered.extend(outbox.iter().cloned());
            self.unpublished.keep(Some(id), outbox);
        }
        if position > self.cursor {
            self.ahead.insert(id, position);
            // Written again under this owner's epoch before the cursor passes it: an owner in between could still cover it.
            self.mark_dirty(id);
        } else {
            self.settle_in(id);
        }
    }

    /// What was found in the rows so far and may never have been published, once it is so many events: to be published before more
    /// rows are loaded.
    #[must_use]
    pub fn recovered(&mut self, at_least: usize) -> Vec<(u32, EventBatch)> {
        if self.work.recovered.len() < at_least {
            return Vec::new();
        }
        self.unpublished = Unpublished::default();
        self.announcer.events_alone(std::mem::take(&mut self.work.recovered))
    }

    /// Ends the loading. What it returns has to be published before the first step: it may never have been. Or it is
    /// [held back](Self::hold_recovered).
    #[must_use]
    pub fn recover(&mut self) -> Vec<(u32, EventBatch)> {
        self.published = self.cursor;
        let mut dirty = std::mem::take(&mut self.work.dirty);
        self.schedulers.sort(&mut dirty);
        self.work.dirty = dirty;
        self.announcer.events_alone(std::mem::take(&mut self.work.recovered))
    }

    /// Rows that the cursor has now passed are like all others.
    pub(super) fn pass_ahead(&mut self, position: u64) {
        if self.ahead.is_empty() {
            return;
        }
        let mut passed: Vec<SlotId> = self.ahead.iter().filter(|(_, at)| **at < position).map(|(id, _)| *id).collect();
        self.schedulers.sort(&mut passed);
        for id in passed {
            self.ahead.remove(&id);
            self.settle_in(id);
        }
    }

    fn settle_in(&mut self, id: SlotId) {
        match self.schedulers.slot(id).state.as_ref().map(next_deadline) {
            Some(Some(deadline)) => self.timers.arm(&mut self.schedulers, id, deadline),
            Some(None) => {}
            None if self.is_holding() => self.deleted.push(id),
            None => self.removable.push(id),
        }
    }
}
