//! From what changed to events, streaks and alerts, in the order of time.

use crate::effects::Effects;
use crate::event::{Change, Event, EventKind, Resolution};
use crate::judge::Findings;
use crate::limits::MAX_EVENT_ERROR_BYTES;
use crate::occurrence::Counted;
use crate::past::Past;
use crate::record::{OccurrenceStatus, RunRecord, Subject};
use crate::run::{End, Run, Verdict};
use crate::scheduler::{Alert, Scheduler};
use crate::time::Timestamp;

/// What goes into a run's history.
pub(crate) fn run_record(run: &Run, subject: Subject, verdict: Verdict) -> RunRecord {
    let end = run.ends.iter().find(|end| end.message == verdict.message && end.outcome() == verdict.status);
    let detail = end.and_then(|end| end.detail.as_deref());
    RunRecord {
        subject,
        run_id: run.id.clone(),
        status: verdict.status,
        started_at: run.started_at(),
        ended_at: verdict.ended_at,
        occurred_at: end.map_or(run.occurred_at, |_| detail.and_then(|detail| detail.occurred_at)),
        error: detail.and_then(|detail| detail.error.clone()),
        exit_code: detail.and_then(|detail| detail.exit_code),
        duration_ms: end.and_then(|end| end.duration_ms),
        metadata: detail.map(|detail| detail.metadata.clone()).unwrap_or_default(),
        progress: run.progress().cloned(),
        heartbeats: u64::from(run.heartbeats),
    }
}

/// What stands in the place of what was cut out of a text.
const ELLIPSIS: &str = " … ";

/// The beginning and the end of a text, cut between characters, and marked as such: some programs say at the beginning what went wrong,
/// others at the end.
fn cut(text: &str, max: usize) -> Box<str> {
    if text.len() <= max {
        return text.into();
    }
    let room = max.saturating_sub(ELLIPSIS.len());
    let (head_room, tail_room) = (room / 2, room.saturating_sub(room / 2));
    let end = (0..=head_room).rev().find(|end| text.is_char_boundary(*end));
    let head = end.and_then(|end| text.get(..end)).unwrap_or_default();
    let begin = (text.len().saturating_sub(tail_room)..=text.len()).find(|begin| text.is_char_boundary(*begin));
    let tail = begin.and_then(|begin| text.get(begin..)).unwrap_or_default();
    [head, ELLIPSIS, tail].concat().into()
}

fn push(effects: &mut Effects, id: impl Into<Box<str>>, at: Timestamp, kind: EventKind) {
    effects.events.push(Event { id: id.into(), at, kind });
}

impl Scheduler {
    /// Writes the entries that were touched, and derives what follows from those that changed their status.
    pub(crate) fn conclude(&mut self, now: Timestamp, findings: Findings, effects: &mut Effects) {
        let mut changes = Vec::new();
        for before in findings.before {
            let entry = self.entry(&before.subject);
            if *entry == before {
                continue;
            }
            effects.occurrences.push(entry.record());
            if entry.status != before.status {
                let time = entry.ended_at.or(entry.started_at).unwrap_or(now);
                changes.push((time, before.subject.time(), before.subject, before.status));
            }
        }
        changes.sort_unstable();
        for (_, _, subject, from) in changes {
            let change = self.describe(&subject, from);
            let id = self.entry(&subject).event_id();
            let id = self.event_id(&id);
            push(effects, id.clone(), now, EventKind::Changed(change.clone()));
            if !self.paused {
                self.count(&id, change, now, effects);
            }
        }
    }

    /// The id of an event of this scheduler, and not of a deleted one whose key it has.
    pub(crate) fn event_id(&self, id: &str) -> Box<str> {
        match self.incarnation {
            0 => id.into(),
            incarnation => format!("{incarnation:016x}:{id}").into(),
        }
    }

    fn describe(&mut self, subject: &Subject, from: OccurrenceStatus) -> Change {
        let entry = self.entry(subject).clone();
        let is_decider = |run: &&Run| {
            run.started_at() == entry.decided_by
                && run.status() == Some(entry.status)
                && run.subject().as_ref() == Some(subject)
        };
        let run = self.runs.iter().rev().find(is_decider);
        let end: Option<&End> = run.and_then(|run| {
            let message = run.verdict.map(|verdict| verdict.message);
            run.ends.iter().find(|end| Some(end.message) == message)
        });
        let detail = end.and_then(|end| end.detail.as_deref());
        let error = detail.and_then(|detail| detail.error.as_deref());
        let ours = match (entry.started_at, entry.ended_at) {
            (Some(started), Some(ended)) => u64::try_from(ended.millis_since(started)).ok(),
            _ => None,
        };
        Change {
            subject: subject.clone(),
            from,
            to: entry.status,
            correction: from.is_ended(),
            started_at: entry.started_at,
            ended_at: entry.ended_at,
            late_start_ms: entry.late_start_ms(),
            stale: entry.stale,
            run_id: run.map(|run| run.id.as_str().into()),
            error: error.map(|error| cut(error, MAX_EVENT_ERROR_BYTES)),
            exit_code: detail.and_then(|detail| detail.exit_code),
            duration_ms: end.and_then(|end| end.duration_ms).or(ours),
        }
    }

    /// Counts one change in the streaks, and opens, changes or resolves the alert.
    fn count(&mut self, id: &str, change: Change, now: Timestamp, effects: &mut Effects) {
        let counted = self.entry(&change.subject).counted;
        if change.to.is_bad() {
            self.count_bad(counted, &change.subject);
            if self.alert.is_none() && self.bad_streak >= u32::from(self.spec.alert_after) {
                self.open_alert(id, change, now, effects);
            } else {
                self.change_alert(id, change, now, effects);
            }
            return;
        }
        let is_over = if change.to.is_good() {
            if counted != Counted::Good {
                Past::note(&mut self.past, &change);
            }
            self.count_good(counted, &change.subject);
            self.good_streak >= u32::from(self.spec.recover_after)
        } else {
            change.to == OccurrenceStatus::Cancelled && self.withdraw(counted, &change.subject)
        };
        if let Some(alert) = self.alert.take_if(|_| is_over) {
            let resolution = if alert.subject == change.subject {
                Resolution::CompletedLate { by: change }
            } else {
                Resolution::Recovered { by: change }
            };
            resolve(&alert, resolution, now, effects);
        } else if change.correction && (change.to.is_good() || change.from.is_bad()) {
            self.change_alert(id, change, now, effects);
        }
    }

    /// One occurrence counts bad once, however often it changes between kinds of bad.
    fn count_bad(&mut self, counted: Counted, subject: &Subject) {
        if counted != Counted::Bad {
            self.bad_streak = self.bad_streak.saturating_add(1);
            self.good_streak = 0;
            self.entry(subject).counted = Counted::Bad;
        }
        let is_newest = self.newest_bad.as_deref().is_none_or(|newest| order(newest) < order(subject));
        if is_newest {
            self.newest_bad = Some(Box::new(subject.clone()));
        }
    }

    /// A good one that is older than the newest bad one says nothing of now; but if it was itself taken for bad, there is one
    /// less in the row.
    fn count_good(&mut self, counted: Counted, subject: &Subject) {
        if counted == Counted::Good {
            return;
        }
        self.entry(subject).counted = Counted::Good;
        if self.newest_bad.as_deref().is_some_and(|newest| order(subject) < order(newest)) {
            if counted == Counted::Bad {
                self.bad_streak = self.bad_streak.saturating_sub(1).max(1);
            }
            return;
        }
        self.good_streak = self.good_streak.saturating_add(1);
        self.end_bad_streak();
    }

    /// Begins the row of bad ones anew: whatever was counted in it counts again when it goes wrong once more.
    fn end_bad_streak(&mut self) {
        self.bad_streak = 0;
        for entry in self.occurrences.iter_mut().filter(|entry| entry.counted == Counted::Bad) {
            entry.counted = Counted::Not;
        }
    }

    /// Somebody stopped what had been taken for bad: there is one less in the row. Says whether the alert that it opened is over.
    fn withdraw(&mut self, counted: Counted, subject: &Subject) -> bool {
        if counted == Counted::Bad {
            self.entry(subject).counted = Counted::Not;
            self.bad_streak = self.bad_streak.saturating_sub(1);
            let bad = self.occurrences.iter().filter(|entry| entry.counted == Counted::Bad);
            self.newest_bad = bad.max_by_key(|entry| entry.order()).map(|entry| Box::new(entry.subject.clone()));
        }
        let is_its_alert = self.alert.as_deref().is_some_and(|alert| alert.subject == *subject);
        is_its_alert && self.bad_streak < u32::from(self.spec.alert_after)
    }

    fn open_alert(&mut self, id: &str, cause: Change, now: Timestamp, effects: &mut Effects) {
        let alert: Box<str> = format!("alert:{id}").into();
        self.alert = Some(Box::new(Alert {
            id: alert.clone(),
            opened_at: now,
            subject: cause.subject.clone(),
            acknowledgment: None,
        }));
        let streak = self.bad_streak;
        push(effects, format!("{alert}:opened"), now, EventKind::AlertOpened { alert, cause, streak });
    }

    fn change_alert(&self, id: &str, cause: Change, now: Timestamp, effects: &mut Effects) {
        let Some(alert) = self.alert.as_deref().map(|alert| alert.id.clone()) else { return };
        let streak = self.bad_streak;
        push(effects, format!("{alert}:changed:{id}"), now, EventKind::AlertChanged { alert, cause, streak });
    }

    /// Ends the alert because nothing is expected any more, and begins all counting anew.
    pub(crate) fn drop_alert(&mut self, resolution: Resolution, now: Timestamp, effects: &mut Effects) {
        if let Some(alert) = self.alert.take() {
            resolve(&alert, resolution, now, effects);
        }
        self.end_bad_streak();
        self.good_streak = 0;
        self.newest_bad = None;
    }
}

fn resolve(alert: &Alert, resolution: Resolution, now: Timestamp, effects: &mut Effects) {
    let kind = EventKind::AlertResolved { alert: alert.id.clone(), opened_at: alert.opened_at, resolution };
    push(effects, format!("{}:resolved", alert.id), now, kind);
}

const fn order(subject: &Subject) -> (Timestamp, &Subject) {
    (subject.time(), subject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_error_is_cut_in_its_middle_between_characters_and_says_so() {
        assert_eq!(&*cut("abc", 3), "abc");
        assert_eq!(&*cut("abcdefghij", 9), "ab … ij");
        assert_eq!(&*cut("aééééééé", 11), "aé … é");
        assert!(cut(&"語".repeat(1_000), 500).len() <= 500);
    }
}
