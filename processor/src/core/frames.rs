//! One frame: its gateway's news, then its commands, then what the clock's new time brings about.

use ronda_domain::id::{MessageId, TenantId, partition_of};
use ronda_domain::input::{Gap, Input};
use ronda_domain::time::Timestamp;
use ronda_domain::{Refusal, Scheduler, apply};
use ronda_schemas::command::Command;
use ronda_schemas::event::{BlindNotice, BlindReason, ClockHeld, EventEnvelope, LostFrames, SchedulerSummary};
use ronda_schemas::frame::{Frame, FrameHeader, FrameKind};

use super::blindness::{self, Blind};
use super::errors::{self, Reason};
use super::gateways::{Arrival, News};
use super::incoming::Place;
use super::judging::Opened;
use super::schedulers::{BadKey, SlotId};
use super::watermark::Held;
use super::{PartitionCore, watermark};

/// A clock that will stand still for longer than this is told to the operator, in milliseconds: five minutes.
const HELD_TOLD_MS: i64 = 300_000;

impl PartitionCore {
    pub(super) fn frame(&mut self, place: Place<'_>, frame: &Frame<'_>) {
        let was_held = watermark::held(&self.gateways, self.watermark);
        let Arrival::New(mut news) = self.gateways.arrive(&frame.header) else {
            self.work.counts.repeated_frames += 1;
            return;
        };
        self.work.counts.frames += 1;
        let (late, late_tenants) = (std::mem::take(&mut news.late), std::mem::take(&mut news.late_tenants));
        self.late.note(self.watermark, late, late_tenants);
        // A clock that is in doubt counts nowhere.
        let header = FrameHeader { wall: news.wall, ..frame.header.clone() };
        self.tell_lost(&header, &news);
        let mut reached = watermark::reached(self.gateways.entries(), self.watermark);
        if self.watermark == Timestamp::MIN {
            reached = reached.max(self.made_up);
        }
        let blind = match self.watermark {
            Timestamp::MIN => self.blind_at_first(reached),
            before => blindness::find(&self.gateways, &news, &header, before, reached),
        };
        if let Some(blind) = blind {
            self.blind(place.position, &header, blind);
            self.watermark = self.watermark.max(blind.gap.until);
        }
        self.commands(place, Opened { header, reached, was_held }, 0, frame);
    }

    /// Applies the frame's commands from this one on, and then what its header says; as far as the commit has room.
    pub(super) fn commands(&mut self, place: Place<'_>, opened: Opened, next: u32, frame: &Frame<'_>) {
        let header = &opened.header;
        let skipped = usize::try_from(next).unwrap_or(usize::MAX);
        for (index, command) in (0_u32..).zip(frame.commands()).skip(skipped) {
            if self.is_full() {
                return self.leave_off(place, opened, index);
            }
            match command {
                Ok(command) => {
                    // Never before the clock: what is judged stays judged.
                    let at = header.wall.plus_millis(-i64::from(command.age_ms)).max(self.watermark);
                    let own = MessageId { source: header.gateway, sequence: header.number, index };
                    self.command(place, (at, command.message.unwrap_or(own)), Some(index), &command);
                }
                Err(error) => self.put_aside(place, Some(index), "bad_command", &error.to_string()),
            }
        }
        if header.kind == FrameKind::Leave {
            self.gateways.leave(header.gateway);
        }
        self.watermark = self.watermark.max(opened.reached);
        self.tell_held(opened.was_held);
        self.tell_left_out();
        self.tick(place.position, MessageId { source: header.gateway, sequence: header.number, index: u32::MAX });
    }

    /// What was registered before the first frame of all came by direct messages that have the broker's time: until that frame nobody
    /// could be heard by a gateway.
    fn blind_at_first(&self, reached: Timestamp) -> Option<Blind> {
        let registered = self.schedulers.by_key().into_iter().filter_map(|id| self.schedulers.slot(id).state.as_ref());
        let from = registered.map(Scheduler::registered_at).min().filter(|from| *from < reached)?;
        let gap = Gap { from, until: reached };
        let is_long = reached.millis_since(from) > self.gateways.hole_ms();
        Some(Blind { gap, told: is_long.then_some(gap), reason: BlindReason::NoPulse })
    }

    fn tell_lost(&mut self, header: &FrameHeader, news: &News) {
        let at = if self.watermark == Timestamp::MIN { header.wall } else { self.watermark };
        for (first, last) in news.lost.iter().copied() {
            self.work.counts.lost_frames =
                self.work.counts.lost_frames.saturating_add((last - first).saturating_add(1));
            let lost = LostFrames { partition: self.partition, gateway: header.gateway, first, last, at };
            self.work.events.push((None, EventEnvelope::Lost(lost)));
        }
    }

    /// Tells the operator, once, of a clock that will stand still for long.
    fn tell_held(&mut self, before: Option<Held>) {
        let is_long = |held: &Held| held.millis() > HELD_TOLD_MS;
        let now = watermark::held(&self.gateways, self.watermark).filter(is_long);
        if let Some(Held { clock, gateway, wall }) = now.filter(|_| before.is_none_or(|before| !is_long(&before))) {
            let held = ClockHeld { partition: self.partition, gateway, clock, wall };
            self.work.events.push((None, EventEnvelope::Held(held)));
        }
    }

    /// Tells every scheduler of the partition that nothing could be heard, and every tenant once, if it was for long enough.
    fn blind(&mut self, position: u64, header: &FrameHeader, blind: Blind) {
        let Blind { gap, told, reason } = blind;
        self.work.counts.blind_gaps += u64::from(told.is_some());
        let message = MessageId { source: header.gateway, sequence: header.number, index: u32::MAX };
        let mut notices: Vec<(SlotId, BlindNotice)> = Vec::new();
        for id in self.schedulers.by_key() {
            let slot = self.schedulers.slot(id);
            let Some(state) = slot.state.as_ref().filter(|state| state.registered_at() < gap.until) else {
                continue;
            };
            if let Some(told) = told {
                if notices.last().is_none_or(|(_, notice)| notice.tenant != slot.key.tenant) {
                    notices.push((id, self.notice(&slot.key.tenant, told, reason)));
                }
                if let Some((_, notice)) = notices.last_mut().filter(|_| blindness::concerns(state, told)) {
                    notice.total = notice.total.saturating_add(1);
                    if notice.schedulers.len() < blindness::MAX_NAMED {
                        notice.schedulers.push(slot.key.scheduler.clone());
                    }
                }
            }
            if !self.ahead.contains_key(&id) {
                self.give(id, position, &Input::Blind(gap), gap.until, message);
            }
        }
        for (first, notice) in notices {
            self.send(first, position, notice);
        }
    }

    /// A notice travels with the row of its tenant's first scheduler. Were it in the partition's row, an owner killed between the
    /// two could leave rows that show no longer that a notice is due: all of the tenant's schedulers may have been deleted since.
    fn send(&mut self, first: SlotId, position: u64, notice: BlindNotice) {
        let carrier = (!self.ahead.contains_key(&first)).then_some(first);
        if carrier.is_some() {
            self.schedulers.slot_mut(first).position = position;
            self.mark_dirty(first);
        }
        self.work.events.push((carrier, EventEnvelope::Blind(Box::new(notice))));
    }

    fn notice(&self, tenant: &TenantId, gap: Gap, reason: BlindReason) -> BlindNotice {
        BlindNotice { tenant: tenant.clone(), partition: self.partition, gap, reason, schedulers: Vec::new(), total: 0 }
    }

    /// Applies one command.
    pub(super) fn command(
        &mut self,
        place: Place<'_>,
        (at, message): (Timestamp, MessageId),
        index: Option<u32>,
        command: &Command<'_>,
    ) {
        let known = self.schedulers.find(command.tenant, command.scheduler);
        let id = match known {
            Some(id) => id,
            None => match self.admit(command) {
                Ok(id) => id,
                Err(BadKeyOr::Key(BadKey::Tenant(error))) => {
                    // Nobody's error feed can be told.
                    self.put_aside(place, index, "bad_tenant", &format!("tenant {error}"));
                    return;
                }
                Err(BadKeyOr::Key(BadKey::Scheduler(error))) => {
                    let why = Reason { code: "invalid_id", detail: format!("scheduler id {error}") };
                    return self.refuse(place, index, command, (at, message), why);
                }
                Err(BadKeyOr::Refused(why)) => {
                    return self.refuse(place, index, command, (at, message), why);
                }
            },
        };
        if self.ahead.contains_key(&id) {
            // The row was written by a former owner whose commit did not come to its end: it holds this already.
            self.count_applied();
            return;
        }
        let at = self.said_at(id, &command.input, at, message);
        if let Some(refusal) = self.give(id, place.position, &command.input, at, message) {
            if known.is_none() && self.schedulers.slot(id).state.is_none() {
                self.schedulers.remove(id);
            }
            let why = Reason { code: refusal.code(), detail: refusal.to_string() };
            return self.refuse(place, index, command, (at, message), why);
        }
        self.count_applied();
    }

    /// When it counts. In the queue's order is what is said to a scheduler itself, through gateways whose clocks differ, and whatever
    /// has the partition's clock for its time.
    fn said_at(&self, id: SlotId, input: &Input<'_>, at: Timestamp, message: MessageId) -> Timestamp {
        let Some(state) = self.schedulers.slot(id).state.as_ref() else { return at };
        match input {
            Input::Register(_)
            | Input::Delete
            | Input::Pause
            | Input::Resume
            | Input::Mute { .. }
            | Input::Unmute { .. } => state.said_at(at, message),
            Input::Acknowledge { alert: None, .. } => state.acknowledged_at(at),
            Input::Status(_) | Input::Heartbeat(_) if at == self.watermark => state.reported_at(at),
            _ => at,
        }
    }

    fn count_applied(&mut self) {
        self.applied = self.applied.saturating_add(1);
        self.work.counts.applied += 1;
    }

    /// A place for a scheduler that isn't known, if the command makes it.
    fn admit(&mut self, command: &Command<'_>) -> Result<SlotId, BadKeyOr> {
        let refused = |code, detail| Err(BadKeyOr::Refused(Reason { code, detail }));
        let key = self.schedulers.key(command.tenant, command.scheduler).map_err(BadKeyOr::Key);
        let belongs = partition_of(command.tenant, command.scheduler, self.partitions);
        if key.is_ok() && belongs != self.partition {
            let detail = format!("it was sent to partition {} and belongs to partition {belongs}", self.partition);
            return refused("wrong_partition", detail);
        }
        if !matches!(command.input, Input::Register(_)) {
            let refusal = Refusal::UnknownScheduler;
            return refused(refusal.code(), refusal.to_string());
        }
        let key = key?;
        Ok(self.schedulers.insert(key, None, 0))
    }

    fn refuse(
        &mut self,
        place: Place<'_>,
        index: Option<u32>,
        command: &Command<'_>,
        (at, message): (Timestamp, MessageId),
        why: Reason,
    ) {
        self.refused = self.refused.saturating_add(1);
        self.work.counts.refused += 1;
        match TenantId::new(command.tenant) {
            Ok(tenant) => {
                // Its publisher may have gone by an old number of partitions: a redrive sends it where it belongs.
                if place.direct().is_some() && why.code == "wrong_partition" {
                    self.put_aside_direct(place, command.tenant, index, why.code, &why.detail);
                }
                self.tell_error(place, errors::entry(tenant, command, at, message, why));
            }
            Err(error) => self.put_aside(place, index, "bad_tenant", &format!("tenant {error}")),
        }
    }

    /// Applies one input to one scheduler.
    pub(super) fn give(
        &mut self,
        id: SlotId,
        position: u64,
        input: &Input<'_>,
        at: Timestamp,
        message: MessageId,
    ) -> Option<Refusal> {
        let slot = self.schedulers.slot_mut(id);
        let before = matches!(input, Input::Delete)
            .then(|| slot.state.as_ref().map(|state| Box::new(SchedulerSummary::at(state, at))))
            .flatten();
        apply(&mut slot.state, &slot.key, input, at, message, &mut self.effects);
        let refused = self.effects.refused.take();
        self.collect(id, position, before.as_deref());
        refused
    }
}

enum BadKeyOr {
    Key(BadKey),
    Refused(Reason),
}
