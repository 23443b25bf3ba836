//! Joining what jobs say into the state, in any order and any number of times. Nothing is concluded here.

use crate::effects::{Effects, Refusal};
use crate::forget::{has_ended, is_same};
use crate::id::{MessageId, RunId, check_run_id};
use crate::input::{HeartbeatReport, StatusReport};
use crate::limits::{CLOCKS_APART_MS, MAX_KEPT_RUNS, MAX_PENDING};
use crate::record::{OccurrenceStatus, Progress};
use crate::run::{End, Run, hash_message, hash_run};
use crate::scheduler::{Key, Pending, PendingFact, Scheduler, Unnamed};
use crate::time::Timestamp;

impl Scheduler {
    /// A job said where it is.
    pub(crate) fn status(
        &mut self,
        report: &StatusReport<'_>,
        at: Timestamp,
        message: MessageId,
        effects: &mut Effects,
    ) {
        if report.run_id.is_none() && report.status.is_terminal() {
            self.hold_end(report, at, message, effects);
            return;
        }
        let made;
        let (id, named) = match report.run_id {
            Some(id) => (id, true),
            None => {
                made = message.made_run_id();
                (made.as_str(), false)
            }
        };
        if report.status.is_terminal() && at > self.horizon {
            self.take_back(hash_run(id));
        }
        let is_reuse = named && !report.status.is_terminal() && self.is_reuse(id, at);
        let refusal = is_reuse.then_some(Refusal::RunAlreadyEnded);
        let Some(run) = self.run_for(id, named, at, effects) else {
            effects.refused = effects.refused.or(refusal);
            return;
        };
        if report.status.is_terminal() {
            run.join_end(End::new(report, at, message));
        } else if run.has_ended() {
            effects.refused = refusal;
            let is_news = run.join_afterword(at);
            self.note_afterword(is_news, at, effects);
            return;
        } else {
            run.join_sign(at, report.occurred_at);
        }
        effects.changed = true;
        self.note_fact(at);
    }

    /// A job said that it is alive.
    pub(crate) fn heartbeat(
        &mut self,
        report: &HeartbeatReport<'_>,
        at: Timestamp,
        message: MessageId,
        effects: &mut Effects,
    ) {
        let Some(id) = report.run_id else {
            self.hold_heartbeat(report, at, message, effects);
            return;
        };
        let Some(run) = self.run_for(id, true, at, effects) else { return };
        if run.has_ended() {
            let is_news = run.join_afterword(at);
            self.note_afterword(is_news, at, effects);
            return;
        }
        run.join_heartbeat((at, message), report.occurred_at, report.progress.as_ref());
        let is_news = run.status() != Some(OccurrenceStatus::Running);
        self.last_heartbeat_at = self.last_heartbeat_at.max(Some(at));
        effects.changed = true;
        if is_news {
            self.note_fact(at);
        }
    }

    /// A run that has ended said more: nothing of the run changes, but it is a sign of life that may break a silence.
    fn note_afterword(&mut self, is_news: bool, at: Timestamp, effects: &mut Effects) {
        if is_news {
            effects.changed = true;
            self.note_fact(at);
        }
    }

    /// Whether nothing can come of a start, which its sender should know: the id is that of an earlier run. A mere copy is no reason.
    fn is_reuse(&self, id: &str, at: Timestamp) -> bool {
        let ended = match self.runs.binary_search_by(|run| run.id.as_str().cmp(id)) {
            Ok(index) => {
                let run = self.runs.get(index).filter(|run| run.has_ended());
                run.and_then(|run| run.verdict?.ended_at)
            }
            Err(_) => self.forgotten(hash_run(id)).filter(|(hash, _)| has_ended(*hash)).map(|(_, last)| *last),
        };
        ended.is_some_and(|ended| at > ended && self.has_come_due(ended, at))
    }

    /// An open run that was one of too many is forgotten, but its end counts: as that of a run of which nothing else is known.
    fn take_back(&mut self, hash: u64) {
        if self.forgotten(hash).is_some_and(|(known, _)| !has_ended(*known)) {
            let others = self.forgotten.iter().filter(|(known, _)| !is_same(*known, hash));
            self.forgotten = others.copied().collect();
        }
    }

    /// The run of this id, made when it is new; `None` when it is forgotten, or the id is none.
    fn run_for(&mut self, id: &str, named: bool, at: Timestamp, effects: &mut Effects) -> Option<&mut Run> {
        match self.runs.binary_search_by(|run| run.id.as_str().cmp(id)) {
            Ok(index) => {
                let horizon = self.horizon;
                // A copy from an earlier run of this name, of which even the hash is forgotten, is not this run's.
                let run = self.runs.get_mut(index).filter(|run| at > horizon || at >= run.first_at())?;
                // A client may learn the made id and use it; it stays a run that was opened without a name.
                run.named &= named;
                Some(run)
            }
            Err(_) => {
                if check_run_id(id).is_err() {
                    effects.refused = Some(Refusal::InvalidRunId);
                    return None;
                }
                if at <= self.horizon || self.hear_forgotten(hash_run(id), at, effects) {
                    return None;
                }
                if self.runs.len() >= MAX_KEPT_RUNS {
                    self.settle_all(at, effects);
                }
                self.add_run(RunId::new(id).ok()?, named)
            }
        }
    }

    /// Whether this is a run that is over and forgotten. How late its last word came decides how long copies of it may come.
    fn hear_forgotten(&mut self, hash: u64, at: Timestamp, effects: &mut Effects) -> bool {
        let Some((_, last)) = self.forgotten.iter_mut().find(|(known, _)| is_same(*known, hash)) else { return false };
        effects.changed |= at > *last;
        *last = at.max(*last);
        true
    }

    /// The run of this id, put in its place when there is none.
    fn add_run(&mut self, id: RunId, named: bool) -> Option<&mut Run> {
        let index = match self.runs.binary_search_by(|run| run.id.cmp(&id)) {
            Ok(index) => index,
            Err(index) => {
                self.runs.reserve_exact(1);
                self.runs.insert(index, Run::new(id, named));
                index
            }
        };
        self.runs.get_mut(index)
    }

    fn hold_end(&mut self, report: &StatusReport<'_>, at: Timestamp, message: MessageId, effects: &mut Effects) {
        let hash = hash_message(message);
        let is_copy = self.runs.iter().flat_map(|run| run.ends.iter()).any(|end| end.unnamed == hash);
        if is_copy || self.forgotten(hash).is_some() || at <= self.horizon {
            return;
        }
        let end = Box::new(End::new(report, at, message));
        self.hold(Pending { key: (at, message), fact: PendingFact::End(end) }, effects);
    }

    fn hold_heartbeat(
        &mut self,
        report: &HeartbeatReport<'_>,
        at: Timestamp,
        message: MessageId,
        effects: &mut Effects,
    ) {
        let hash = hash_message(message);
        let is_copy = self.runs.iter().any(|run| run.known_heartbeats.contains(&hash));
        if is_copy || self.was_given_out((at, message)) {
            return;
        }
        self.last_heartbeat_at = self.last_heartbeat_at.max(Some(at));
        let progress = report.progress.as_ref().map(|progress| {
            let message = progress.message.map(Into::into);
            Box::new(Progress { done: progress.done, total: progress.total, message })
        });
        let fact = PendingFact::Heartbeat { occurred_at: report.occurred_at, progress };
        self.hold(Pending { key: (at, message), fact }, effects);
    }

    /// Whether a heartbeat is a copy of one that was given to its run: nothing new comes from before the last tick, but more may come
    /// of its very moment.
    fn was_given_out(&self, key: Key) -> bool {
        let given_out = self.unnamed.as_deref().map(|unnamed| unnamed.given_out);
        given_out.is_some_and(|last| key == last || (key < last && key.0 < self.ticked_at))
    }

    fn hold(&mut self, pending: Pending, effects: &mut Effects) {
        let at = pending.key.0;
        let unnamed = self.unnamed.get_or_insert_with(|| {
            Box::new(Unnamed { given_out: (Timestamp::MIN, MessageId::default()), pending: Vec::new() })
        });
        // A client's second attempt is the same message, received at another time: the earlier one counts, whichever came first.
        if let Some(index) = unnamed.pending.iter().position(|held| held.key.1 == pending.key.1) {
            if unnamed.pending.get(index).is_some_and(|held| held.key <= pending.key) {
                return;
            }
            unnamed.pending.remove(index);
        }
        let index = unnamed.pending.partition_point(|held| held.key < pending.key);
        unnamed.pending.reserve_exact(1);
        unnamed.pending.insert(index, pending);
        if unnamed.pending.len() > MAX_PENDING {
            self.settle_all(self.pending().first().map_or(at, |oldest| oldest.key.0), effects);
        }
        effects.changed = true;
        self.note_fact(at);
    }

    /// Gives the messages without a run id, up to a time and in their order, to the runs that were open when they came.
    pub(crate) fn give_out_pending(&mut self, now: Timestamp) {
        let Some(unnamed) = self.unnamed.as_deref_mut() else { return };
        let ready = unnamed.pending.partition_point(|held| held.key.0 <= now);
        if ready == 0 {
            return;
        }
        let later = unnamed.pending.split_off(ready);
        let given_out = std::mem::replace(&mut unnamed.pending, later);
        unnamed.given_out = given_out.iter().map(|held| held.key).fold(unnamed.given_out, Key::max);
        for held in given_out {
            let target = self.target(held.key.0);
            match held.fact {
                PendingFact::Heartbeat { occurred_at, progress } => {
                    let progress = progress.as_deref().map(Into::into);
                    match target.and_then(|index| self.runs.get_mut(index)) {
                        Some(run) => run.join_heartbeat(held.key, occurred_at, progress.as_ref()),
                        None => self.own_heartbeat_at = self.own_heartbeat_at.max(Some(held.key.0)),
                    }
                }
                PendingFact::End(end) => {
                    let run = match target {
                        Some(index) => self.runs.get_mut(index),
                        None => self.add_run(held.key.1.made_run_id(), false),
                    };
                    if let Some(run) = run {
                        run.join_end(*end);
                    }
                }
            }
        }
    }

    /// Whose a message without a run id is: the youngest unnamed run that was open then, else the only open one.
    ///
    /// If none was, and one begins right after it: that one. Its start was received by a clock that is ahead of the one that received
    /// this.
    fn target(&self, at: Timestamp) -> Option<usize> {
        let open = || self.runs.iter().enumerate().filter(|(_, run)| run.is_open_at(at));
        let unnamed = open().filter(|(_, run)| !run.named).max_by_key(|(_, run)| (run.started_at(), &run.id));
        let mut all = open();
        let only = match (all.next(), all.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        };
        let begins = |run: &Run| {
            let ahead_ms = run.opened_at.millis_since(at);
            !run.named && run.ends.is_empty() && !run.given_up && 0 < ahead_ms && ahead_ms <= CLOCKS_APART_MS
        };
        let next = || self.runs.iter().enumerate().filter(|(_, run)| begins(run)).min_by_key(|(_, run)| run.opened_at);
        unnamed.or(only).or_else(next).map(|(index, _)| index)
    }
}
