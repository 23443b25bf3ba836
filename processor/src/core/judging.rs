//! Judging: what the clock's new time brings about, in as many commits as it takes.
//!
//! After a long gap one frame can bring more conclusions than a commit should hold. Then the commit takes those schedulers that
//! are through with the frame, and leaves the partition's row as the last whole commit left it: to the store, and to everybody
//! who is told the clock, the frame has not been applied yet. A new owner in between finds the written rows ahead of the cursor,
//! skips them, and comes to the same end: how often a frame was cut changes nothing but the number of commits.

use hashbrown::HashSet;
use ronda_domain::id::MessageId;
use ronda_domain::input::Input;
use ronda_domain::next_deadline;
use ronda_domain::time::Timestamp;
use ronda_schemas::frame::FrameHeader;

use super::PartitionCore;
use super::schedulers::SlotId;

/// Times that one scheduler is judged at one time of the clock; more than one only when a judgement brings another deadline that
/// has passed. What is left over comes with the next frame.
const MAX_TICKS: usize = 100;

/// A frame whose judgements did not fit into one commit.
#[derive(Debug)]
pub(super) struct Underway {
    position: u64,
    message: MessageId,
    /// Still to be judged, the next one last.
    due: Vec<SlotId>,
}

impl Underway {
    /// Schedulers that are not through with the frame.
    pub(super) fn unfinished(&self) -> HashSet<SlotId> {
        self.due.iter().copied().collect()
    }
}

impl PartitionCore {
    /// Judges whatever the clock's new time concerns: what this frame touched, and whose deadline has come. By key, so that the
    /// order doesn't depend on who loaded what when.
    pub(super) fn tick(&mut self, position: u64, header: &FrameHeader) {
        let watermark = self.watermark;
        let mut due = std::mem::take(&mut self.work.touched);
        while let Some(id) = self.timers.due(&mut self.schedulers, watermark) {
            let slot = self.schedulers.slot_mut(id);
            if !slot.is_touched {
                slot.is_touched = true;
                due.push(id);
            }
        }
        due.retain(|id| self.rearm(*id, watermark));
        self.schedulers.sort(&mut due);
        due.reverse();
        let message = MessageId { source: header.gateway, sequence: header.number, index: u32::MAX };
        self.go_on(Underway { position, message, due });
    }

    /// Judges what is due until all of it is, or the commit is full.
    pub(super) fn go_on(&mut self, mut underway: Underway) {
        let full = self.work.records().saturating_add(self.config.commit_records);
        while let Some(id) = underway.due.pop() {
            self.judge(id, underway.position, underway.message);
            if self.work.records() >= full {
                break;
            }
        }
        // Judging touches again; it has been looked at.
        let mut touched = std::mem::take(&mut self.work.touched);
        for id in touched.drain(..) {
            self.schedulers.slot_mut(id).is_touched = false;
        }
        self.work.touched = touched;
        if !underway.due.is_empty() {
            self.underway = Some(underway);
        }
    }

    /// Whether the scheduler's deadline has come; else it is queued under it.
    fn rearm(&mut self, id: SlotId, watermark: Timestamp) -> bool {
        let slot = self.schedulers.slot_mut(id);
        slot.is_touched = false;
        match slot.state.as_ref().and_then(next_deadline) {
            Some(deadline) if deadline <= watermark => true,
            Some(deadline) => {
                self.timers.arm(&mut self.schedulers, id, deadline);
                false
            }
            None => false,
        }
    }

    fn judge(&mut self, id: SlotId, position: u64, message: MessageId) {
        let watermark = self.watermark;
        for _ in 0..MAX_TICKS {
            self.work.counts.ticks += 1;
            let _ = self.give(id, position, &Input::Tick, watermark, message);
            if !self.rearm(id, watermark) {
                return;
            }
        }
        // Queued under a time that has passed, it comes up again with the next frame.
        self.timers.arm(&mut self.schedulers, id, watermark);
    }
}
