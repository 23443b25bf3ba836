//! Which occurrence a run belongs to, and until when an occurrence may start.

use crate::input::Gap;
use crate::limits::{MAX_FILLED_AHEAD, MAX_GAPS};
use crate::occurrence::Occurrence;
use crate::record::Subject;
use crate::run::{Place, Run};
use crate::schedule::Plan;
use crate::scheduler::Scheduler;
use crate::time::Timestamp;

/// When an occurrence that has not started is given up, and whether Ronda could hear all the while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StartDeadline {
    pub(crate) at: Timestamp,
    pub(crate) blind: bool,
}

/// What one judgement has found out about the schedule: made ready once, and not at all when nothing asks.
#[derive(Debug, Default)]
pub(crate) struct Dues {
    plan: Option<Plan>,
    /// A due time, and the one after it.
    next: Option<(Timestamp, Option<Timestamp>)>,
}

impl Dues {
    fn plan(&mut self, state: &Scheduler) -> &Plan {
        self.plan.get_or_insert_with(|| Plan::new(&state.spec.schedule, state.registered_at))
    }

    /// The first due time after this one.
    pub(crate) fn next(&mut self, state: &Scheduler, due: Timestamp) -> Option<Timestamp> {
        match self.next {
            Some((known, next)) if known == due => next,
            _ => {
                let next = self.plan(state).next_due(due);
                self.next = Some((due, next));
                next
            }
        }
    }
}

impl Scheduler {
    /// The latest due time up to which a start counts for an occurrence, given when the run started: a pure function of its
    /// start, so that retries and late starts go to the same occurrence, whatever came first.
    pub(crate) fn place(&self, dues: &mut Dues, started: Timestamp) -> Place {
        let floor = self.armed_from.max(self.closed_until);
        if self.paused {
            return Place::Alone;
        }
        match self.latest_due(dues, started.plus_seconds(self.spec.early_window_seconds)) {
            Some(due) if due > floor || self.has_entry_due(due) => Place::Due(due),
            _ => Place::Alone,
        }
    }

    /// Whether a run that was over at one time can't be one that starts at another, because something came due in between.
    pub(crate) fn has_come_due(&self, over: Timestamp, start: Timestamp) -> bool {
        let place = self.place(&mut Dues::default(), start);
        matches!(place, Place::Due(due) if due.minus_seconds(self.spec.early_window_seconds) > over)
    }

    /// The latest time up to `until` at which something was due; `None`: nothing was since `armed_from`. Searched for only when
    /// it is none of those that are known.
    fn latest_due(&self, dues: &mut Dues, until: Timestamp) -> Option<Timestamp> {
        let found = match (self.before, self.expected) {
            (before, expected) if expected.is_none_or(|due| until < due) && before.is_none_or(|due| due <= until) => {
                before
            }
            (_, Some(due)) if due <= until && dues.next(self, due).is_none_or(|next| until < next) => Some(due),
            _ => dues.plan(self).latest_due(self.armed_from, until),
        };
        // Every history that is tried in a test tries this, too.
        #[cfg(test)]
        assert_eq!(found, dues.plan(self).latest_due(self.armed_from, until));
        found
    }

    /// How long an occurrence may wait for its start. A blind time that hides its start, or over its deadline, gives it its grace
    /// again, in which a client whose report was not taken says it once more; the former makes it unknown, not missed, without.
    pub(crate) fn start_deadline(&self, due: Timestamp) -> StartDeadline {
        let mut deadline = StartDeadline { at: due.plus_seconds(self.spec.start_grace_seconds), blind: false };
        if self.rare().filled.len() > MAX_FILLED_AHEAD {
            // No later run can be this one's any more: a start belongs to the latest due time before it.
            return StartDeadline { at: due, ..deadline };
        }
        for gap in &self.rare().gaps {
            let hides_start = self.hides_start(*gap, due);
            if hides_start || (gap.from <= deadline.at && deadline.at <= gap.until) {
                let again = gap.until.plus_seconds(self.spec.start_grace_seconds);
                deadline = StartDeadline { at: deadline.at.max(again), blind: deadline.blind || hides_start };
            }
        }
        match self.rare().late.filter(|late| late.from <= deadline.at && deadline.at <= late.until) {
            Some(late) => self.late_deadline(due, deadline, late),
            None => deadline,
        }
    }

    /// The same when the start may have come late: it has its grace again. If another was due meanwhile, a late start would have
    /// counted for that one, so that this one's silence says nothing.
    fn late_deadline(&self, due: Timestamp, deadline: StartDeadline, late: Gap) -> StartDeadline {
        let again = late.until.plus_seconds(self.spec.start_grace_seconds);
        let next = crate::schedule::next_due(&self.spec.schedule, self.registered_at, due);
        let is_mistaken = next.is_some_and(|next| next.minus_seconds(self.spec.early_window_seconds) <= late.until);
        StartDeadline { at: deadline.at.max(again), blind: deadline.blind || is_mistaken }
    }

    /// Whether a start of this occurrence, and all that followed of it, is likely to have been reported in a blind time.
    ///
    /// That is so when a punctual job would have started in it, by a clock that differs from ours as much as the early window
    /// allows; or when it took more than half of the grace. Else a whole run would have to lie in the hole, late, when most of
    /// the grace was heard: then it was missed, lest every restart of ours within a long grace should hide a miss.
    fn hides_start(&self, gap: Gap, due: Timestamp) -> bool {
        let (early, grace) = (self.spec.early_window_seconds, self.spec.start_grace_seconds);
        let is_punctual = due.minus_seconds(early) <= gap.until && gap.from <= due.plus_seconds(early.min(grace));
        let closes = due.plus_seconds(grace);
        let unheard_ms = gap.until.min(closes).millis_since(gap.from.max(due));
        is_punctual || unheard_ms > closes.millis_since(due).checked_div(2).unwrap_or(0)
    }

    /// Whether a blind time took something from this scheduler that a person should know of: a start was due in it, a run was open,
    /// or its own heartbeat was waited for.
    #[must_use]
    pub fn is_concerned_by(&self, gap: Gap) -> bool {
        if self.paused || gap.until <= self.registered_at {
            return false;
        }
        let is_open = |run: &Run| run.placed.is_some() && !run.has_ended() && run.started_at() < gap.until;
        self.is_start_hidden(gap) || self.is_silence_hidden(gap) || self.runs.iter().any(is_open)
    }

    /// Whether a start was waited for that a blind time hides.
    fn is_start_hidden(&self, gap: Gap) -> bool {
        let Some(expected) = self.expected else { return false };
        let early = self.spec.early_window_seconds;
        let (from, until) = (gap.from.minus_seconds(early), gap.until.plus_seconds(early).plus_millis(1));
        let dues = || crate::schedule::dues(&self.spec.schedule, self.registered_at, expected.max(from), until, 1);
        self.hides_start(gap, expected) || (expected < until && dues().next().is_some())
    }

    /// Whether the scheduler's own heartbeat was being waited for in a blind time.
    pub(crate) fn is_silence_hidden(&self, gap: Gap) -> bool {
        self.silence_deadline().is_some_and(|(deadline, since)| since < gap.until && deadline >= gap.from)
    }

    /// Remembers a blind interval; the list stays short by joining neighbours.
    pub(crate) fn remember_gap(&mut self, gap: Gap) -> bool {
        let gaps = &mut self.rare_mut().gaps;
        if gaps.contains(&gap) {
            return false;
        }
        gaps.push(gap);
        gaps.sort_unstable();
        if gaps.len() > MAX_GAPS {
            let oldest = gaps.remove(0);
            if let Some(next) = gaps.first_mut() {
                next.from = oldest.from;
                next.until = next.until.max(oldest.until);
            }
        }
        true
    }

    /// Drops blind intervals that no expected occurrence can overlap any more.
    pub(crate) fn drop_old_gaps(&mut self) {
        let opens = self.expected.map(|due| due.minus_seconds(self.spec.early_window_seconds));
        let Some(rare) = self.rare.as_deref_mut() else { return };
        rare.gaps.retain(|gap| opens.is_some_and(|opens| opens <= gap.until));
        rare.late = rare.late.filter(|late| opens.is_some_and(|opens| opens <= late.until));
    }

    /// The remembered entry of a subject, made when there is none.
    pub(crate) fn entry(&mut self, subject: &Subject) -> &mut Occurrence {
        let order = (subject.time(), subject);
        let index = match self.occurrences.binary_search_by(|known| known.order().cmp(&order)) {
            Ok(index) => index,
            Err(index) => {
                self.occurrences.reserve_exact(1);
                self.occurrences.insert(index, Occurrence::new(subject.clone()));
                index
            }
        };
        // The index was found or made in the lines above.
        #[allow(clippy::indexing_slicing)]
        &mut self.occurrences[index]
    }

    fn has_entry_due(&self, due: Timestamp) -> bool {
        let subject = Subject::Occurrence { due };
        self.occurrences.binary_search_by(|known| known.order().cmp(&(due, &subject))).is_ok()
    }

    /// Whether a run has started for an expected occurrence.
    pub(crate) fn is_filled(&self, due: Timestamp) -> bool {
        self.rare().filled.binary_search(&due).is_ok() || self.has_entry_due(due)
    }

    /// Remembers that an occurrence has its run, while an earlier one is still waited for.
    pub(crate) fn fill(&mut self, due: Timestamp) {
        let is_ahead = self.expected.is_some_and(|expected| due > expected);
        // The expected one itself is passed in the same judgement: its entry says so.
        if let Err(index) = self.rare().filled.binary_search(&due)
            && is_ahead
        {
            self.rare_mut().filled.insert(index, due);
        }
    }
}

impl Run {
    /// The history entry that it belongs to, once placed.
    pub(crate) fn subject(&self) -> Option<Subject> {
        self.placed.map(|(started, place)| match place {
            Place::Due(due) => Subject::Occurrence { due },
            Place::Alone => Subject::Run { started, run_id: self.id.clone() },
        })
    }
}
