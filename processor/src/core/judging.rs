//! What a frame's header and commands leave to be done: judging what the clock's new time brings about. And how a frame is cut into as
//! many commits as it takes. A direct message is cut only in its judgements: it has few commands.
//!
//! One frame can bring more than a commit should hold: thousands of reports of one scheduler, or every due time of a long gap. Then
//! the commit takes the history of all and the rows of those schedulers that are through with the frame, and leaves the
//! partition's row as the last whole commit left it: to the store, and to everybody who is told the clock, the frame has not been
//! applied yet. Its events are published before it, so no row has to carry them. A new owner in between finds the written rows
//! ahead of the cursor, skips them, and comes to the same end by deriving the rest, with the same ids, again: how often a frame was
//! cut changes nothing but the number of commits.

use hashbrown::HashSet;
use ronda_domain::id::MessageId;
use ronda_domain::input::Input;
use ronda_domain::next_deadline;
use ronda_domain::time::Timestamp;
use ronda_schemas::frame::FrameHeader;

use super::PartitionCore;
use super::incoming::{Incoming, Place};
use super::schedulers::SlotId;
use super::watermark::Held;

/// Times that one scheduler is judged at one time of the clock; more than one only when a judgement brings another deadline that
/// has passed. What is left over comes with the next frame.
const MAX_TICKS: usize = 100;

/// A frame that did not fit into one commit.
#[derive(Debug)]
pub(super) struct Underway {
    position: u64,
    left: Left,
}

/// What is left of it.
#[derive(Debug)]
enum Left {
    /// Its commands from this one on, and all that comes after them.
    Commands { opened: Box<Opened>, next: u32, frame: Incoming },
    /// Judgements.
    Judgements(Judgements),
}

/// A frame whose gateway's news is taken in, and whose commands are not.
#[derive(Debug)]
pub(super) struct Opened {
    /// Its header, with what counts as its wall clock.
    pub(super) header: FrameHeader,
    /// How far the clock goes once its commands are in.
    pub(super) reached: Timestamp,
    /// Whether the clock was held before it.
    pub(super) was_held: Option<Held>,
}

/// Schedulers that are to be judged at the clock's new time.
#[derive(Debug)]
struct Judgements {
    message: MessageId,
    /// The next one last.
    due: Vec<SlotId>,
    /// How often the next one has been judged at this time.
    ticks: usize,
}

impl PartitionCore {
    /// Whether the commit has all that it should hold.
    pub(super) fn is_full(&self) -> bool {
        self.work.records() >= self.config.commit_records
    }

    /// Leaves off in the middle of a frame's commands.
    pub(super) fn leave_off(&mut self, place: Place<'_>, opened: Opened, next: u32) {
        let left = Left::Commands { opened: Box::new(opened), next, frame: place.incoming.clone() };
        self.underway = Some(Underway { position: place.position, left });
    }

    /// Goes on until the frame is through, or the commit is full.
    pub(super) fn go_on(&mut self, underway: Underway) {
        match underway.left {
            Left::Judgements(judgements) => self.judge_all(underway.position, judgements),
            Left::Commands { opened, next, frame } => {
                // It was read before.
                if let Some(read) = frame.as_frame() {
                    let place = Place { position: underway.position, incoming: &frame };
                    self.commands(place, *opened, next, &read);
                }
            }
        }
    }

    /// Schedulers that are not through with the frame, of those that the step changed.
    pub(super) fn unfinished(&self, underway: &Underway, changed: &[SlotId]) -> HashSet<SlotId> {
        match &underway.left {
            Left::Judgements(judgements) => judgements.due.iter().copied().collect(),
            Left::Commands { .. } => {
                let is_in_it = |id: &&SlotId| self.schedulers.slot(**id).position == underway.position;
                changed.iter().filter(is_in_it).copied().collect()
            }
        }
    }

    /// Judges whatever the clock's new time concerns: what this message touched, and whose deadline has come. By key, so that the
    /// order doesn't depend on who loaded what when.
    pub(super) fn tick(&mut self, position: u64, message: MessageId) {
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
        self.judge_all(position, Judgements { message, due, ticks: 0 });
    }

    /// Judges what is due until all of it is, or the commit is full.
    fn judge_all(&mut self, position: u64, mut judgements: Judgements) {
        while let Some(id) = judgements.due.last().copied() {
            if self.judge(id, position, &mut judgements) {
                judgements.due.pop();
                judgements.ticks = 0;
            }
            if self.is_full() {
                break;
            }
        }
        // Judging touches again; it has been looked at.
        let mut touched = std::mem::take(&mut self.work.touched);
        for id in touched.drain(..) {
            self.schedulers.slot_mut(id).is_touched = false;
        }
        self.work.touched = touched;
        if !judgements.due.is_empty() {
            self.underway = Some(Underway { position, left: Left::Judgements(judgements) });
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

    /// Gives a scheduler its time again if not everybody could be heard when it was over; whether nothing of it is due then.
    fn put_off(&mut self, id: SlotId, position: u64, message: MessageId) -> bool {
        let watermark = self.watermark;
        let mut is_put_off = false;
        let tenant = self.schedulers.slot(id).key.tenant.as_str();
        for gap in self.late.begun(tenant, watermark) {
            let _ = self.give(id, position, &Input::Late(gap), watermark, message);
            is_put_off = true;
        }
        is_put_off && !self.rearm(id, watermark)
    }

    /// Judges one scheduler until nothing of it is due, which it answers, or the commit is full.
    fn judge(&mut self, id: SlotId, position: u64, judgements: &mut Judgements) -> bool {
        let watermark = self.watermark;
        if judgements.ticks == 0 && self.put_off(id, position, judgements.message) {
            return true;
        }
        while judgements.ticks < MAX_TICKS {
            judgements.ticks += 1;
            self.work.counts.ticks += 1;
            let _ = self.give(id, position, &Input::Tick, watermark, judgements.message);
            if !self.rearm(id, watermark) {
                return true;
            }
            if self.is_full() {
                return false;
            }
        }
        // Queued under a time that has passed, it comes up again with the next frame.
        self.timers.arm(&mut self.schedulers, id, watermark);
        true
    }
}
