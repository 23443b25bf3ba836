//! Deadlines of schedulers, re-armed lazily: a deadline that moves later costs nothing until the old one comes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ronda_domain::time::Timestamp;

use super::schedulers::{Schedulers, SlotId};

/// The queue of deadlines. Each slot knows the one deadline that it is queued under; other entries of it are left over and skipped.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Timestamp, SlotId)>>,
}

impl Timers {
    /// Makes sure that the slot comes up no later than at this deadline.
    pub(crate) fn arm(&mut self, schedulers: &mut Schedulers, id: SlotId, deadline: Timestamp) {
        let slot = schedulers.slot_mut(id);
        if deadline < slot.armed {
            slot.armed = deadline;
            self.heap.push(Reverse((deadline, id)));
            self.shrink(schedulers);
        }
    }

    /// Takes out the next slot whose queued deadline has come; it may have moved since. The slot is disarmed.
    pub(crate) fn due(&mut self, schedulers: &mut Schedulers, watermark: Timestamp) -> Option<SlotId> {
        while let Some(Reverse((deadline, id))) = self.heap.peek().copied() {
            if deadline > watermark {
                return None;
            }
            self.heap.pop();
            let slot = schedulers.slot_mut(id);
            if slot.armed == deadline {
                slot.armed = Timestamp::MAX;
                return Some(id);
            }
        }
        None
    }

    /// Left-over entries may never outnumber the schedulers.
    fn shrink(&mut self, schedulers: &Schedulers) {
        if self.heap.len() > schedulers.capacity().saturating_mul(2).saturating_add(64) {
            self.heap.retain(|Reverse((deadline, id))| schedulers.slot(*id).armed == *deadline);
        }
    }

    /// Memory held, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.heap.capacity() * size_of::<Reverse<(Timestamp, SlotId)>>()
    }
}
