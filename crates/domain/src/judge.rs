//! Ticks: drawing conclusions from the facts, as of a time up to which all of them are in.

use crate::effects::Effects;
use crate::limits::{MAX_DUES_PER_TICK, MAX_OPEN_RUNS};
use crate::matching::Dues;
use crate::occurrence::Occurrence;
use crate::record::{OccurrenceStatus, StaleReason, Subject};
use crate::run::{Place, Run, Verdict};
use crate::scheduler::Scheduler;
use crate::spec::Schedule;
use crate::time::Timestamp;

/// What changed in one judgement.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Entries as they were before, with what they were; those that were touched at all.
    pub(crate) before: Vec<Occurrence>,
}

impl Findings {
    /// Remembers how an entry was, the first time that it is touched.
    pub(crate) fn note(&mut self, entry: &Occurrence) {
        if self.before.iter().rev().all(|known| known.subject != entry.subject) {
            self.before.push(entry.clone());
        }
    }
}

impl Scheduler {
    /// The watermark has come to `at`.
    pub(crate) fn tick(&mut self, at: Timestamp, effects: &mut Effects) {
        if crate::next_deadline(self).is_some_and(|deadline| deadline <= at) {
            let at = at.max(self.ticked_at);
            self.ticked_at = at;
            self.judge(at.max(self.judged_at), Some(at), effects);
        }
    }

    /// Concludes what the facts up to `now` say, without giving up on anything that may still be heard of: for what can't
    /// wait for the watermark.
    pub(crate) fn settle(&mut self, now: Timestamp, effects: &mut Effects) {
        self.judge(now.max(self.judged_at), None, effects);
    }

    /// As [`settle`](Self::settle), with every fact that is there: too many have come between two ticks.
    pub(crate) fn settle_all(&mut self, now: Timestamp, effects: &mut Effects) {
        let last = self.runs.iter().map(Run::last_at).fold(now, Timestamp::max);
        self.settle(last, effects);
    }

    /// One judgement of the facts up to `now`, and of the silence up to `watermark`; `None`: of no silence.
    fn judge(&mut self, now: Timestamp, watermark: Option<Timestamp>, effects: &mut Effects) {
        let watermark = watermark.filter(|_| !self.paused);
        let mut findings = Findings::default();
        self.judged_at = now;
        self.give_out_pending(now);
        let mut dues = Dues::default();
        self.place_runs(now, &mut dues, &mut findings);
        self.judge_runs(now, watermark, effects);
        self.judge_entries(now, &mut findings);
        self.advance_dues(now, watermark, &mut dues, &mut findings);
        self.judge_silence(now, watermark, &mut findings);
        self.facts_at = self.next_fact(now);
        effects.changed = true;
        self.conclude(now, findings, effects);
        self.forget();
    }

    /// The earliest fact later than `now`.
    fn next_fact(&self, now: Timestamp) -> Option<Timestamp> {
        let pending = self.pending().iter().map(|held| held.key.0);
        let runs = self.runs.iter().flat_map(|run| {
            let unplaced = run.placed.is_none().then_some(run.first_at());
            run.ends.iter().map(|end| end.at).chain(unplaced)
        });
        pending.chain(runs).filter(|at| *at > now).min()
    }

    /// Gives every run that has started its history entry.
    fn place_runs(&mut self, now: Timestamp, dues: &mut Dues, findings: &mut Findings) {
        for index in 0..self.runs.len() {
            let Some(run) = self.runs.get(index).filter(|run| run.placed.is_none() && run.first_at() <= now) else {
                continue;
            };
            let started = run.started_at();
            let place = self.place(dues, started);
            let Some(run) = self.runs.get_mut(index) else { continue };
            run.placed = Some((started, place));
            let Some(subject) = run.subject() else { continue };
            if let Place::Due(due) = place {
                self.fill(due);
            }
            let grace = self.spec.start_grace_seconds;
            let entry = self.entry(&subject);
            findings.note(entry);
            entry.runs = entry.runs.saturating_add(1);
            if entry.started_at.is_none_or(|first| started < first) {
                entry.started_at = Some(started);
                entry.set_late_start(match place {
                    Place::Due(due) => Some(started.millis_since(due.plus_seconds(grace))).filter(|late| *late > 0),
                    Place::Alone => None,
                });
            }
        }
    }

    /// When a run that says nothing more will be given up, and why.
    ///
    /// After a blind time it gets its whole heartbeat time-out to be heard again, and is not judged by anything else before: it may
    /// have ended in between, and its client is still to say so again.
    pub(crate) fn run_deadline(&self, run: &Run) -> Option<(Timestamp, StaleReason)> {
        let rearmed = run.rearmed();
        let silent = self.spec.heartbeat_timeout_seconds.map(|seconds| {
            let last = run.heard_at().max(rearmed.at).max(rearmed.blind_until);
            (last.plus_seconds(seconds), StaleReason::NoHeartbeat)
        });
        let long = self.spec.max_run_seconds.map(|seconds| {
            let start = run.started_at().max(rearmed.at);
            (start.plus_seconds(seconds), StaleReason::OverMaxRun)
        });
        match silent {
            Some(silent) if run.is_unheard_since_blind() => Some(silent),
            _ => silent.into_iter().chain(long).min(),
        }
    }

    fn verdict(&self, run: &Run, now: Timestamp, watermark: Option<Timestamp>) -> Verdict {
        if let Some(end) = run.end(now) {
            return Verdict { status: end.outcome(), ended_at: Some(end.at), stale: None, message: end.message };
        }
        if run.given_up {
            let kept = run.verdict.filter(|verdict| verdict.status == OccurrenceStatus::Unknown);
            let unknown = Verdict { status: OccurrenceStatus::Unknown, ended_at: Some(now), stale: None, message: 0 };
            return kept.unwrap_or(unknown);
        }
        let deadline = self.run_deadline(run);
        let Some(watermark) = watermark else {
            // What was given up stays so until its deadline has moved.
            let has_passed = |ended| deadline.is_none_or(|(deadline, _)| deadline <= ended);
            let before = run.verdict.filter(|before| before.ended_at.is_some_and(has_passed));
            return before.unwrap_or(Verdict::RUNNING);
        };
        match deadline {
            Some((deadline, reason)) if watermark > deadline => {
                // One that has to send heartbeats would have been heard since.
                let is_long = reason == StaleReason::OverMaxRun && run.is_unheard_since_blind();
                let is_hidden = self.spec.max_run_seconds.is_some_and(|seconds| run.is_end_hidden(seconds));
                let (status, stale) = match is_long && is_hidden {
                    true => (OccurrenceStatus::Unknown, None),
                    false => (OccurrenceStatus::Stale, Some(reason)),
                };
                Verdict { status, ended_at: Some(deadline), stale, message: 0 }
            }
            _ => Verdict::RUNNING,
        }
    }

    /// Judges every run, gives up the oldest when too many are open, and writes what changed.
    fn judge_runs(&mut self, now: Timestamp, watermark: Option<Timestamp>, effects: &mut Effects) {
        let newest = self.newest_unnamed();
        let is_superseded = |run: &Run| newest.is_some_and(|newest| run.is_superseded_by(newest));
        for run in &mut self.runs {
            let is_open = run.ends.is_empty() && run.status().is_none_or(|status| status == OccurrenceStatus::Running);
            run.given_up |= is_open && is_superseded(run);
        }
        let mut open: Vec<(Timestamp, usize)> = Vec::new();
        for index in 0..self.runs.len() {
            let Some(run) = self.runs.get(index).filter(|run| run.placed.is_some()) else { continue };
            let (started, mut verdict) = (run.started_at(), self.verdict(run, now, watermark));
            if verdict.status == OccurrenceStatus::Running && is_superseded(run) {
                // It was stale, and a change of the time-outs made it open again.
                verdict = self.give_up(index, now);
            }
            if verdict.status == OccurrenceStatus::Running {
                open.push((started, index));
            }
            self.set_verdict(index, verdict, effects);
        }
        if open.len() <= MAX_OPEN_RUNS {
            return;
        }
        open.sort_unstable();
        let excess = open.len().saturating_sub(MAX_OPEN_RUNS);
        for (_, index) in open.into_iter().take(excess) {
            let unknown = self.give_up(index, now);
            self.set_verdict(index, unknown, effects);
        }
    }

    /// Waits for a run no longer; answers what becomes of it.
    fn give_up(&mut self, index: usize, now: Timestamp) -> Verdict {
        if let Some(run) = self.runs.get_mut(index) {
            run.given_up = true;
        }
        Verdict { status: OccurrenceStatus::Unknown, ended_at: Some(now), stale: None, message: 0 }
    }

    /// The last occurrence with a run without an id, and when the youngest such run of it started.
    fn newest_unnamed(&self) -> Option<(Timestamp, Timestamp)> {
        self.runs.iter().filter_map(Run::unnamed_of_due).max()
    }

    fn set_verdict(&mut self, index: usize, verdict: Verdict, effects: &mut Effects) {
        let Some(run) = self.runs.get_mut(index) else { return };
        if run.verdict == Some(verdict) {
            return;
        }
        run.verdict = Some(verdict);
        if let Some(subject) = run.subject() {
            effects.runs.push(crate::conclude::run_record(run, subject, verdict));
        }
    }

    /// Judges the entries that have runs, by their runs.
    fn judge_entries(&mut self, now: Timestamp, findings: &mut Findings) {
        let mut subjects: Vec<Subject> = self.runs.iter().filter_map(Run::subject).collect();
        subjects.sort_unstable();
        subjects.dedup();
        for subject in subjects {
            let runs = || self.runs.iter().filter(|run| run.subject().as_ref() == Some(&subject));
            let order = |run: &&Run| (run.started_at(), run.id.clone());
            let running = runs().filter(|run| run.status() == Some(OccurrenceStatus::Running)).max_by_key(order);
            let last = runs().max_by_key(order);
            let Some((decider, verdict)) = running.or(last).and_then(|run| Some((run.started_at(), run.verdict?)))
            else {
                continue;
            };
            let entry = self.entry(&subject);
            // The run that decided is forgotten, and an earlier one is not: it stays decided, unless that one was open again.
            let was_ended = entry.status.is_ended();
            if decider < entry.decided_by && was_ended && verdict.status != OccurrenceStatus::Running {
                continue;
            }
            let stale = verdict.stale.or(entry.stale);
            if (entry.status, entry.ended_at, entry.stale) == (verdict.status, verdict.ended_at, stale) {
                continue;
            }
            findings.note(entry);
            entry.decided_by = entry.decided_by.max(decider);
            entry.ended_at = verdict.ended_at;
            entry.stale = stale;
            if entry.status != verdict.status {
                entry.go_to(verdict.status, now);
            }
        }
    }

    /// Goes on from due time to due time: past those that are filled, and past those that did not start in time.
    fn advance_dues(&mut self, now: Timestamp, watermark: Option<Timestamp>, dues: &mut Dues, findings: &mut Findings) {
        for _ in 0..MAX_DUES_PER_TICK {
            let Some(due) = self.expected else { break };
            if !self.is_filled(due) {
                let deadline = self.start_deadline(due);
                if watermark.is_none_or(|watermark| watermark <= deadline.at) {
                    break;
                }
                let status = if deadline.blind { OccurrenceStatus::Unknown } else { OccurrenceStatus::Missed };
                let entry = self.entry(&Subject::Occurrence { due });
                findings.note(entry);
                entry.ended_at = Some(deadline.at);
                entry.go_to(status, now);
            }
            self.before = Some(due);
            self.expected = dues.next(self, due);
            let next = self.expected.unwrap_or(Timestamp::MAX);
            if let Some(rare) = self.rare.as_deref_mut() {
                rare.filled.retain(|filled| *filled >= next);
            }
        }
        self.drop_old_gaps();
    }

    /// When the scheduler's own heartbeat is overdue, and since when it is silent; `None`: it is not waited for, or was found silent.
    ///
    /// After a blind time it has its whole time-out again; what is silent all through that is silent. After a pause it has that too,
    /// and a silence from before it is not the one that begins then.
    pub(crate) fn silence_deadline(&self) -> Option<(Timestamp, Timestamp)> {
        let seconds = self.spec.heartbeat_timeout_seconds.filter(|_| self.spec.schedule == Schedule::None)?;
        let own = self.own_heartbeat_at?;
        let is_open = |run: &Run| run.status() == Some(OccurrenceStatus::Running);
        if self.runs.iter().any(is_open) {
            return None;
        }
        let last = self.runs.iter().filter(|run| run.placed.is_some()).map(Run::last_at).fold(own, Timestamp::max);
        let rearmed = self.rare().rearmed.at;
        let since = match self.open_silence() {
            None => last,
            Some(known) if known.ended_at < Some(rearmed) => last.max(rearmed),
            Some(_) => return None,
        };
        Some((last.max(rearmed).plus_seconds(seconds), since))
    }

    /// The silence that was found and has not been broken.
    pub(crate) fn open_silence(&self) -> Option<&Occurrence> {
        let is_silence = |entry: &&Occurrence| matches!(entry.subject, Subject::Silence { .. });
        let last = self.occurrences.iter().rev().find(is_silence)?;
        (last.status != OccurrenceStatus::Succeeded).then_some(last)
    }

    fn judge_silence(&mut self, now: Timestamp, watermark: Option<Timestamp>, findings: &mut Findings) {
        let heard = self.runs.iter().filter(|run| run.placed.is_some()).map(Run::last_at);
        let heard = heard.chain(self.own_heartbeat_at).max();
        let broken = self.open_silence().filter(|silence| heard > Some(silence.subject.time()));
        if let Some(subject) = broken.map(|silence| silence.subject.clone()) {
            let entry = self.entry(&subject);
            findings.note(entry);
            entry.ended_at = heard;
            entry.go_to(OccurrenceStatus::Succeeded, now);
        }
        let Some((deadline, since)) = self.silence_deadline() else { return };
        if watermark.is_none_or(|watermark| watermark <= deadline) {
            return;
        }
        let entry = self.entry(&Subject::Silence { since });
        if entry.status.is_ended() {
            return;
        }
        findings.note(entry);
        entry.ended_at = Some(deadline);
        entry.stale = Some(StaleReason::NoHeartbeat);
        entry.go_to(OccurrenceStatus::Stale, now);
    }
}
