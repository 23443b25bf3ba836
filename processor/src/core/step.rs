//! One commit: deliveries are taken in as they come, then closed into what is to be made durable and told.

use hashbrown::HashSet;
use ronda_domain::event::EventKind;
use ronda_domain::record::{OccurrenceRecord, RunRecord};
use ronda_domain::time::Timestamp;
use ronda_schemas::codec::DecodeError;
use ronda_schemas::event::{EventEnvelope, SchedulerEvent, SchedulerSummary};
use ronda_schemas::frame::Frame;
use ronda_schemas::row::{DirectRow, ErrorRow, PartitionRow, SchedulerRow};
use ronda_store::port::Commit;

use super::errors::cut;
use super::incoming::{Incoming, Place};
use super::outbox::{self, Sorted};
use super::schedulers::SlotId;
use super::{Counts, PartitionCore, Step};
use crate::dead_letter::DeadLetter;

/// What a step has gathered so far.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Slots to write, in the order in which they first changed.
    pub(super) dirty: Vec<SlotId>,
    /// Slots that the frame's tick has to look at.
    pub(super) touched: Vec<SlotId>,
    /// Derived events in order; `None`: the partition's own.
    pub(super) events: Vec<(Option<SlotId>, EventEnvelope)>,
    /// Whether some of them say that something is wrong.
    pub(super) has_alert: bool,
    pub(super) occurrences: Vec<(SlotId, OccurrenceRecord)>,
    pub(super) runs: Vec<(SlotId, RunRecord)>,
    pub(super) errors: Vec<ErrorRow>,
    pub(super) dead_letters: Vec<DeadLetter>,
    pub(super) counts: Counts,
    /// Events that a former owner may not have published.
    pub(super) recovered: Vec<EventEnvelope>,
}

impl Work {
    /// What the commit will hold beside rows, and what follows from it, counted.
    pub(super) fn records(&self) -> usize {
        self.events.len() + self.occurrences.len() + self.runs.len() + self.errors.len()
    }

    /// Takes out what can't be in a commit that ends in the middle of a frame: the rows of schedulers that are not through with it.
    fn keep_back(&mut self, unfinished: &HashSet<SlotId>) -> Self {
        Self {
            dirty: self.dirty.extract_if(.., |id| unfinished.contains(id)).collect(),
            touched: std::mem::take(&mut self.touched),
            ..Self::default()
        }
    }
}

/// Whether an event says that something is wrong.
const fn is_alert(kind: &EventKind) -> bool {
    matches!(kind, EventKind::AlertOpened { .. } | EventKind::AlertChanged { .. })
}

impl PartitionCore {
    /// Applies deliveries, oldest first, until the commit is full. Those at or before the cursor are passed over, and so are those of a
    /// queue without positions that were taken before. Answers how many are through; if that is not all of them, the rest is for the
    /// next commit, after [`close`](Self::close), unless it [lacks a clock](Self::lacks_clock).
    pub fn take(&mut self, deliveries: &[Incoming]) -> usize {
        self.lacks_clock = false;
        let mut through = 0;
        for incoming in deliveries {
            let Some(at) = self.time_of(deliveries.get(through..).unwrap_or_default()) else {
                self.lacks_clock = true;
                break;
            };
            if let Some(position) = self.position_of(incoming) {
                self.deliver(Place { position, incoming }, at);
                if self.underway.is_some() {
                    break;
                }
            }
            through += 1;
            if self.wants_commit() {
                break;
            }
        }
        through
    }

    /// Where a delivery is; `None`: it was taken before. On queues without positions messages are counted.
    pub(super) fn position_of(&mut self, incoming: &Incoming) -> Option<u64> {
        if let Some(position) = incoming.position {
            return (position > self.cursor).then_some(position);
        }
        if self.underway.is_none() && self.was_taken(incoming) {
            return None;
        }
        Some(self.cursor.saturating_add(1))
    }

    fn was_taken(&mut self, incoming: &Incoming) -> bool {
        if let Some(frame) = incoming.as_frame() {
            let is_repeated = self.gateways.has(&frame.header);
            self.work.counts.repeated_frames += u64::from(is_repeated);
            return is_repeated;
        }
        let is_repeated = incoming.fingerprint().is_some_and(|fingerprint| self.recent.has(fingerprint));
        self.work.counts.repeated_messages += u64::from(is_repeated);
        is_repeated
    }

    /// How many rows the commit will write.
    #[must_use]
    pub fn changed(&self) -> usize {
        self.work.dirty.len()
    }

    /// One whole step: takes deliveries and closes the commit. Answers how many are through, as [`take`](Self::take) does.
    pub fn step(&mut self, deliveries: &[Incoming]) -> (usize, Step) {
        let through = self.take(deliveries);
        (through, self.close())
    }

    /// Whether the commit has all that it should hold.
    #[must_use]
    pub fn wants_commit(&self) -> bool {
        self.is_underway() || self.is_full() || self.changed() >= self.config.commit_rows
    }

    fn deliver(&mut self, place: Place<'_>, at: Timestamp) {
        match self.underway.take() {
            Some(underway) => self.go_on(underway),
            None => self.begin(place, at),
        }
        if self.underway.is_none() {
            self.pass(place.position, place.incoming);
        }
    }

    /// The message is through.
    pub(super) fn pass(&mut self, position: u64, incoming: &Incoming) {
        self.cursor = position;
        let fingerprint = if incoming.position.is_none() { incoming.fingerprint() } else { None };
        self.recent.take(position, fingerprint);
    }

    fn begin(&mut self, place: Place<'_>, at: Timestamp) {
        self.pass_ahead(place.position);
        if let Some(direct) = place.direct() {
            return self.direct(place, direct, at);
        }
        match Frame::decode(&place.incoming.message) {
            Ok(frame) => self.frame(place, &frame),
            Err(error) => {
                let code = match error {
                    DecodeError::NewerVersion { .. } => "newer_version",
                    DecodeError::Malformed { .. } => "not_a_frame",
                };
                // No gateway writes such: somebody else has found a way to send what passes for a frame. One of a newer gateway may hold
                // reports that were answered 202.
                if code == "not_a_frame" && !self.told.letter("") {
                    self.work.counts.letters_left_out += 1;
                } else {
                    self.put_aside(place, None, code, &error.to_string());
                }
            }
        }
    }

    pub(super) fn put_aside(&mut self, place: Place<'_>, command: Option<u32>, code: &str, detail: &str) {
        let Place { position, incoming } = place;
        // One letter for all commands of a message with the same trouble: each has the whole message in it.
        let mut of_message = self.work.dead_letters.iter_mut().rev().take_while(|letter| letter.position == position);
        if let Some((letter, command)) = of_message.find(|letter| *letter.code == *code).zip(command) {
            letter.more.push(command);
            return;
        }
        self.work.dead_letters.push(DeadLetter {
            partition: self.partition,
            position,
            command,
            more: Vec::new(),
            at: self.watermark,
            code: code.into(),
            detail: cut(detail, 500).into(),
            message_bytes: u64::try_from(incoming.message.len()).unwrap_or(u64::MAX),
            message: incoming.message.clone(),
            origin: incoming.direct.as_deref().map(|direct| Box::new(direct.into())),
        });
    }

    pub(super) fn mark_dirty(&mut self, id: SlotId) {
        let slot = self.schedulers.slot_mut(id);
        if !slot.is_dirty {
            slot.is_dirty = true;
            self.work.dirty.push(id);
        }
    }

    /// Takes over what applying one input to one scheduler asked for.
    pub(super) fn collect(&mut self, id: SlotId, position: u64, before: Option<&SchedulerSummary>) {
        let mut effects = std::mem::take(&mut self.effects);
        let slot = self.schedulers.slot_mut(id);
        if effects.changed || !effects.events.is_empty() {
            slot.position = position;
            if !slot.is_touched {
                slot.is_touched = true;
                self.work.touched.push(id);
            }
        }
        if !effects.events.is_empty() {
            let (key, state) = (&slot.key, slot.state.as_ref());
            let summary_at = |at| state.map(|state| SchedulerSummary::at(state, at)).or_else(|| before.cloned());
            for event in effects.events.drain(..) {
                let Some(summary) = summary_at(event.at) else { continue };
                self.work.has_alert |= is_alert(&event.kind);
                let event = SchedulerEvent { key: key.clone(), summary, event };
                self.work.events.push((Some(id), EventEnvelope::Scheduler(Box::new(event))));
            }
            self.mark_dirty(id);
        }
        if effects.changed {
            self.mark_dirty(id);
        }
        self.work.occurrences.extend(effects.occurrences.drain(..).map(|record| (id, record)));
        self.work.runs.extend(effects.runs.drain(..).map(|record| (id, record)));
        effects.clear();
        self.effects = effects;
    }

    /// Closes what was taken into one commit. While a frame is underway the stored cursor stays where it was: nothing that was taken
    /// since is to be settled before the commit that ends it.
    pub fn close(&mut self) -> Step {
        let mut work = std::mem::take(&mut self.work);
        match &self.underway {
            Some(underway) => {
                let unfinished = self.unfinished(underway, &work.dirty);
                self.work = work.keep_back(&unfinished);
            }
            None => self.gateways.forget(self.watermark),
        }
        work.counts.events = u64::try_from(work.events.len()).unwrap_or(u64::MAX);
        let Sorted { first, then, mut outboxes } = outbox::sort(work.events, self.underway.is_some());
        if then.is_empty() && self.underway.is_none() && !self.is_holding() {
            // Nothing to publish after the commit: a restart has nothing to publish again.
            self.published = self.cursor;
        }
        let outbox = self.unpublished.carry(None, outboxes.remove(&None).unwrap_or_default());
        let mut rows = Vec::with_capacity(work.dirty.len());
        for id in &work.dirty {
            let outbox = self.unpublished.carry(Some(*id), outboxes.remove(&Some(*id)).unwrap_or_default());
            rows.push(self.row(*id, outbox));
        }
        let removed = self.remove_published();
        let partition = self.partition_row();
        self.last.clone_from(&partition);
        let watermark = partition.watermark;
        let commit = Commit {
            partition: PartitionRow { outbox, ..partition },
            rows,
            removed,
            occurrences: latest(work.occurrences, |(id, record)| (*id, record.subject.clone()))
                .map(|(id, record)| (self.schedulers.slot(id).key.clone(), record))
                .collect(),
            runs: latest(work.runs, |(id, record)| (*id, record.subject.clone(), record.run_id.clone()))
                .map(|(id, record)| (self.schedulers.slot(id).key.clone(), record))
                .collect(),
            errors: work.errors,
        };
        self.note_deleted(&work.dirty);
        let publish_first = self.announcer.events_alone(first);
        let is_holding = self.is_holding();
        let then = self.unpublished.after_those(then);
        let publish = if is_holding { Vec::new() } else { self.announcer.batches(then, watermark) };
        Step { publish_first, commit, publish, dead_letters: work.dead_letters, counts: work.counts }
    }

    fn row(&self, id: SlotId, outbox: Vec<EventEnvelope>) -> SchedulerRow {
        let slot = self.schedulers.slot(id);
        SchedulerRow {
            key: slot.key.clone(),
            state: slot.state.clone(),
            epoch: self.epoch,
            position: slot.position,
            outbox,
        }
    }

    /// The partition's own row, but for its events.
    fn partition_row(&self) -> PartitionRow {
        if self.underway.is_some() {
            return PartitionRow { published: self.published, ..self.last.clone() };
        }
        PartitionRow {
            partition: self.partition,
            partitions: self.partitions,
            epoch: self.epoch,
            cursor: self.cursor,
            watermark: self.watermark,
            gateways: self.gateways.to_rows(),
            published: self.published,
            outbox: Vec::new(),
            applied: self.applied,
            refused: self.refused,
            direct: self.direct_row(),
            late: self.late.to_row(),
            late_tenants: self.late.to_rows(),
        }
    }

    fn direct_row(&self) -> Option<Box<DirectRow>> {
        let (recent, told) = (self.recent.to_rows(), self.told.to_rows());
        let is_nothing = recent.is_empty() && told.is_empty();
        // Without anything to count, the minute is only when counting would begin.
        (!is_nothing).then(|| Box::new(DirectRow { recent, minute: self.told.minute(), told }))
    }

    /// Deleted rows whose events are out go now, unless this step wrote them anew, or the stored cursor has yet to come to what
    /// deleted them: a new owner would miss them there.
    fn remove_published(&mut self) -> Vec<ronda_domain::id::SchedulerKey> {
        let mut keys = Vec::new();
        for id in std::mem::take(&mut self.removable) {
            let slot = self.schedulers.slot(id);
            if slot.state.is_some() || slot.is_dirty {
                continue;
            }
            if slot.position > self.last.cursor {
                self.removable.push(id);
                continue;
            }
            keys.push(slot.key.clone());
            self.freed.push(id);
        }
        keys
    }

    /// Rows written without a state go once this step's events are published. Those ahead of the cursor stay until it has passed them.
    fn note_deleted(&mut self, dirty: &[SlotId]) {
        for id in dirty {
            let slot = self.schedulers.slot_mut(*id);
            slot.is_dirty = false;
            if slot.state.is_none() && !self.ahead.contains_key(id) {
                self.deleted.push(*id);
            }
        }
    }
}

/// Keeps the last of those with the same key, in the order of the last ones.
fn latest<T, K: std::hash::Hash + Eq>(records: Vec<T>, key: impl Fn(&T) -> K) -> impl Iterator<Item = T> {
    let mut seen = hashbrown::HashSet::new();
    let mut kept: Vec<T> = records.into_iter().rev().filter(|record| seen.insert(key(record))).collect();
    kept.reverse();
    kept.into_iter()
}
