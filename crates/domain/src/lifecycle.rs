//! Registration, change, pause, resume and deletion; and what a blind interval does.

use crate::deadline::next_silence;
use crate::effects::{Effects, Refusal};
use crate::event::{Event, EventKind, Lifecycle, Resolution};
use crate::id::{MessageId, RunId};
use crate::input::Gap;
use crate::record::{OccurrenceStatus, StaleReason};
use crate::run::{Run, Verdict};
use crate::scheduler::Scheduler;
use crate::spec::{Schedule, SchedulerSpec};
use crate::time::Timestamp;

/// An end that was not taken is said again within this, in seconds.
const END_AGAIN_SECONDS: u32 = 60;

/// Makes a scheduler, or changes it.
pub(crate) fn register(
    slot: &mut Option<Scheduler>,
    spec: &SchedulerSpec,
    at: Timestamp,
    message: MessageId,
    effects: &mut Effects,
) {
    match slot {
        Some(known) => known.update(spec, at, message, effects),
        None => {
            let made = Scheduler::new(spec.clone(), at, message);
            made.say(Lifecycle::Registered, at, effects);
            *slot = Some(made);
            effects.changed = true;
        }
    }
}

/// Removes a scheduler.
pub(crate) fn delete(slot: &mut Option<Scheduler>, at: Timestamp, message: MessageId, effects: &mut Effects) {
    let Some(known) = slot else {
        effects.refused = Some(Refusal::UnknownScheduler);
        return;
    };
    if (at, message) <= known.spec_key {
        return;
    }
    known.settle(at, effects);
    known.end_open_runs(at, effects);
    known.drop_alert(Resolution::Deleted, at, effects);
    known.say(Lifecycle::Deleted, at, effects);
    effects.changed = true;
    *slot = None;
}

impl Scheduler {
    fn say(&self, what: Lifecycle, at: Timestamp, effects: &mut Effects) {
        let word = match what {
            Lifecycle::Registered => "registered",
            Lifecycle::Updated => "updated",
            Lifecycle::Paused => "paused",
            Lifecycle::Resumed => "resumed",
            Lifecycle::Deleted => "deleted",
        };
        let id = self.event_id(&format!("scheduler:{}:{}:{word}", self.registered_at.as_millis(), self.revision));
        effects.events.push(Event { id, at, kind: EventKind::Lifecycle(what) });
    }

    fn revise(&mut self, at: Timestamp, effects: &mut Effects) {
        self.revision = self.revision.saturating_add(1);
        self.updated_at = at;
        self.note_fact(at);
        effects.changed = true;
    }

    /// Registered again. An older registration than the known one changes nothing; one of the same content only makes those between
    /// them older.
    fn update(&mut self, spec: &SchedulerSpec, at: Timestamp, message: MessageId, effects: &mut Effects) {
        if (at, message) <= self.spec_key {
            return;
        }
        self.spec_key = (at, message);
        effects.changed = true;
        if *spec == self.spec {
            return;
        }
        self.settle(at, effects);
        let is_rescheduled = spec.schedule != self.spec.schedule;
        self.spec = spec.clone();
        if is_rescheduled {
            self.expect_from(at);
        }
        self.revise(at, effects);
        self.say(Lifecycle::Updated, at, effects);
    }

    /// What was expected and has not come is withdrawn; the next is the first one due after this time.
    fn expect_from(&mut self, at: Timestamp) {
        self.armed_from = at;
        self.before = None;
        if let Some(rare) = self.rare.as_deref_mut() {
            rare.gaps = Vec::new();
            rare.late = None;
            rare.filled = Vec::new();
        }
        let due = || crate::schedule::next_due(&self.spec.schedule, self.registered_at, at);
        self.expected = if self.paused { None } else { due() };
    }

    /// Expects nothing until it is resumed.
    pub(crate) fn pause(&mut self, at: Timestamp, message: MessageId, effects: &mut Effects) {
        if !self.is_latest_said(at, message, effects) || self.paused {
            return;
        }
        self.settle(at, effects);
        self.paused = true;
        self.expect_from(at);
        self.drop_alert(Resolution::Paused, at, effects);
        self.revise(at, effects);
        self.say(Lifecycle::Paused, at, effects);
    }

    /// Expects it again: everything counts from `at`. A silence that was found before is set aside: another one begins here.
    pub(crate) fn resume(&mut self, at: Timestamp, message: MessageId, effects: &mut Effects) {
        if !self.is_latest_said(at, message, effects) || !self.paused {
            return;
        }
        self.settle(at, effects);
        self.paused = false;
        self.expect_from(at);
        let rearmed = &mut self.rare_mut().rearmed;
        rearmed.at = rearmed.at.max(at);
        let silent = self.silent_worker();
        for run in &mut self.runs {
            if run.status() == Some(OccurrenceStatus::Running) || silent.as_ref() == Some(&run.id) {
                run.rearm(at);
            }
        }
        self.revise(at, effects);
        self.say(Lifecycle::Resumed, at, effects);
    }

    /// Whether a pause or resume is newer than all before it. It is remembered in any case: an older one that comes after it finds
    /// out by that, also when there was nothing to change.
    fn is_latest_said(&mut self, at: Timestamp, message: MessageId, effects: &mut Effects) -> bool {
        // Nothing older than its registration is meant for it.
        let first = (self.registered_at, MessageId { source: 0, sequence: 0, index: 0 });
        let is_latest = (at, message) > self.rare().pause_key.max(first);
        if is_latest {
            self.rare_mut().pause_key = (at, message);
            effects.changed = true;
        }
        is_latest
    }

    /// The run of a worker without a schedule that was heard of last, when it fell silent: no due time asks for it again.
    fn silent_worker(&self) -> Option<RunId> {
        let is_running = |run: &Run| run.status() == Some(OccurrenceStatus::Running);
        if self.spec.schedule != Schedule::None || self.runs.iter().any(is_running) {
            return None;
        }
        let last = self.runs.iter().max_by_key(|run| (run.last_at(), &run.id))?;
        let verdict = last.verdict.filter(|verdict| verdict.stale == Some(StaleReason::NoHeartbeat))?;
        (verdict.status == OccurrenceStatus::Stale).then(|| last.id.clone())
    }

    /// A history should not show runs as open for ever of which nothing will be heard.
    fn end_open_runs(&mut self, at: Timestamp, effects: &mut Effects) {
        for index in 0..self.runs.len() {
            let Some(run) = self.runs.get(index).filter(|run| run.status() == Some(OccurrenceStatus::Running)) else {
                continue;
            };
            let Some(subject) = run.subject() else { continue };
            let verdict = Verdict { status: OccurrenceStatus::Unknown, ended_at: Some(at), stale: None, message: 0 };
            effects.runs.push(crate::conclude::run_record(run, subject.clone(), verdict));
            let entry = self.entry(&subject);
            if entry.status == OccurrenceStatus::Running {
                entry.ended_at = Some(at);
                entry.go_to(OccurrenceStatus::Unknown, at);
                effects.occurrences.push(entry.record());
            }
        }
    }

    /// Nothing could be heard for a while: whatever was being waited for then gets its time again.
    pub(crate) fn blind(&mut self, gap: Gap, effects: &mut Effects) {
        if gap.until <= gap.from {
            return;
        }
        for index in 0..self.runs.len() {
            let Some(run) = self.runs.get(index).filter(|run| run.started_at() < gap.until && !run.has_ended()) else {
                continue;
            };
            let Some((deadline, _)) = self.run_deadline(run).filter(|(deadline, _)| *deadline >= gap.from) else {
                continue;
            };
            let Some(run) = self.runs.get_mut(index).filter(|run| run.rearmed().blind_until < gap.until) else {
                continue;
            };
            // Its heartbeat may have been refused at any time of the gap. How long it may run is put off only when that was over in the
            // gap, and no heartbeat will tell.
            let is_put_off = self.spec.heartbeat_timeout_seconds.is_none() && deadline <= gap.until;
            run.rearm(if is_put_off { gap.until } else { Timestamp::MIN }).note_blind(gap);
            effects.changed = true;
        }
        self.blind_silence(gap, effects);
        let opens = self.expected.map(|due| due.minus_seconds(self.spec.early_window_seconds));
        if opens.is_some_and(|opens| opens <= gap.until) && self.remember_gap(gap) {
            effects.changed = true;
        }
    }

    /// Not everybody was heard for a while: whatever would be given up in it has its time again from its end, and is then judged as ever.
    ///
    /// What was heard counts first. How long a run may take is only put off until its end would have been said again.
    pub(crate) fn put_off(&mut self, gap: Gap, now: Timestamp, effects: &mut Effects) {
        if self.paused || gap.until <= gap.from || !self.may_be_silent(now) {
            return;
        }
        self.settle(now, effects);
        let is_in_it = |deadline: Timestamp| gap.from <= deadline && deadline <= gap.until;
        let longest = self.spec.max_run_seconds.unwrap_or_default();
        let ends_at = gap.until.plus_seconds(longest.min(END_AGAIN_SECONDS)).minus_seconds(longest);
        for index in 0..self.runs.len() {
            // Its heartbeat is overdue first, or its end; when the one is put off, the other may be next.
            for _ in 0..2 {
                let Some(run) = self.runs.get(index).filter(|run| run.status() == Some(OccurrenceStatus::Running))
                else {
                    break;
                };
                let Some((_, reason)) = self.run_deadline(run).filter(|(deadline, _)| is_in_it(*deadline)) else {
                    break;
                };
                let Some(run) = self.runs.get_mut(index) else { break };
                match reason {
                    StaleReason::NoHeartbeat => run.rearm(Timestamp::MIN).blind_until = gap.until,
                    StaleReason::OverMaxRun => _ = run.rearm(ends_at),
                }
                effects.changed = true;
            }
        }
        if self.silence_deadline().is_some_and(|(deadline, _)| is_in_it(deadline)) {
            let rearmed = &mut self.rare_mut().rearmed;
            rearmed.at = rearmed.at.max(gap.until);
            effects.changed = true;
        }
        let waited_for = self.expected.filter(|due| !self.is_filled(*due));
        if waited_for.is_some_and(|due| is_in_it(self.start_deadline(due).at)) {
            let late = &mut self.rare_mut().late;
            *late = Some(
                late.map_or(gap, |before| Gap { from: before.from.min(gap.from), until: before.until.max(gap.until) }),
            );
            effects.changed = true;
        }
    }

    /// Whether something is waited for in vain, as far as can be told before the newest facts are looked at.
    fn may_be_silent(&self, now: Timestamp) -> bool {
        let spec = &self.spec;
        let waits = [spec.heartbeat_timeout_seconds, spec.max_run_seconds, Some(spec.start_grace_seconds)];
        let shortest = waits.into_iter().flatten().min().unwrap_or_default();
        let after_fact = self.facts_at.map(|fact| fact.plus_seconds(shortest));
        next_silence(self).into_iter().chain(after_fact).any(|silent| silent <= now)
    }

    fn blind_silence(&mut self, gap: Gap, effects: &mut Effects) {
        if self.is_silence_hidden(gap) && self.rare().rearmed.blind_until < gap.until {
            let rearmed = &mut self.rare_mut().rearmed;
            rearmed.at = rearmed.at.max(gap.until);
            rearmed.note_blind(gap);
            effects.changed = true;
        }
    }
}
