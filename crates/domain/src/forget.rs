//! Keeping a state small: what is no longer needed for a late word goes, leaving a hash behind.

use crate::limits::{
    FORGOTTEN_SECONDS, MAX_ENDED_RUNS, MAX_ENDED_SECONDS, MAX_FORGOTTEN_AT_ONCE, MAX_FORGOTTEN_RUNS,
    MAX_KEPT_OCCURRENCES, MAX_STALE_RUNS, MIN_FORGOTTEN_RUNS,
};
use crate::record::{OccurrenceStatus, Subject};
use crate::run::{Place, Run, hash_run};
use crate::scheduler::Scheduler;
use crate::time::Timestamp;

/// Whether two hashes of forgotten runs are of the same one.
pub(crate) const fn is_same(one: u64, other: u64) -> bool {
    one | 1 == other | 1
}

/// Whether what is forgotten had ended; else it was one of too many.
pub(crate) const fn has_ended(hash: u64) -> bool {
    hash & 1 == 1
}

impl Scheduler {
    /// What is known of a forgotten run, or of the message that ended it: its hash, and when it was heard of last.
    pub(crate) fn forgotten(&self, hash: u64) -> Option<&(u64, Timestamp)> {
        self.forgotten.iter().find(|(known, _)| is_same(*known, hash))
    }

    /// Forgets the oldest of what is over.
    pub(crate) fn forget(&mut self) {
        self.forget_runs(MAX_ENDED_RUNS, Run::has_ended);
        self.forget_long_ended();
        self.forget_runs(MAX_STALE_RUNS, |run| {
            matches!(run.status(), Some(OccurrenceStatus::Stale | OccurrenceStatus::Unknown))
        });
        self.forget_entries();
    }

    fn forget_runs(&mut self, keep: usize, is_over: impl Fn(&Run) -> bool) {
        let is_spare = |run: &&Run| is_over(run) && !self.is_decisive(run);
        let over: Vec<(Timestamp, &Run)> =
            self.runs.iter().filter(is_spare).map(|run| (run.started_at(), run)).collect();
        if over.len() <= keep {
            return;
        }
        let mut order: Vec<_> = over.into_iter().map(|(started, run)| (started, run.id.clone())).collect();
        order.sort_unstable();
        let excess = order.len().saturating_sub(keep);
        for (_, id) in order.into_iter().take(excess) {
            let Ok(index) = self.runs.binary_search_by(|run| run.id.cmp(&id)) else { continue };
            let run = self.runs.remove(index);
            self.remember_hashes(&run);
        }
        self.runs.shrink_to_fit();
    }

    /// Whether it decides its entry as soon as the other runs of that are over: it is the last one that ended, and one is not.
    fn is_decisive(&self, run: &Run) -> bool {
        let Some((_, place @ Place::Due(_))) = run.placed else { return false };
        let is_of_it = |other: &&Run| other.placed.is_some_and(|(_, theirs)| theirs == place) && other.id != run.id;
        let others = || self.runs.iter().filter(is_of_it);
        let order = (run.started_at(), &run.id);
        run.has_ended()
            && others().any(|other| !other.has_ended())
            && others().all(|other| !other.has_ended() || (other.started_at(), &other.id) < order)
    }

    /// A run that ended long ago makes way for the one that is open now.
    fn forget_long_ended(&mut self) {
        let open = self.runs.iter().filter(|run| run.status() == Some(OccurrenceStatus::Running));
        let Some(open) = open.max_by_key(|run| run.started_at()).map(|run| (run.started_at(), run.subject())) else {
            return;
        };
        let now = self.judged_at;
        let is_long_over = |run: &Run| {
            let ended = run.verdict.and_then(|verdict| verdict.ended_at);
            run.has_ended()
                && ended.is_some_and(|ended| ended.plus_seconds(MAX_ENDED_SECONDS) <= now)
                && run.last_at() < open.0
                && run.subject() != open.1
        };
        while let Some(index) = self.runs.iter().position(|run| is_long_over(run) && !self.is_decisive(run)) {
            let run = self.runs.remove(index);
            self.remember_hashes(&run);
            self.runs.shrink_to_fit();
        }
    }

    fn remember_hashes(&mut self, run: &Run) {
        if let Some(own) = &mut self.own_heartbeat_at {
            // What was heard of the run was a sign of the scheduler's life, too.
            *own = run.last_at().max(*own);
        }
        let ends = run.ends.iter().filter(|end| end.unnamed != 0).map(|end| end.unnamed);
        for hash in ends.chain([hash_run(run.id.as_str())]) {
            self.remember_hash(if run.has_ended() { hash | 1 } else { hash & !1 }, run.last_at());
        }
    }

    /// Remembers what is over by its hash, and the oldest only by their time.
    ///
    /// That time stays before the latest tick: no new message is older than the partition's clock, so none is ever taken for a
    /// copy. Rather than that, when very many are over at one time, copies of the oldest are taken for new.
    fn remember_hash(&mut self, hash: u64, last: Timestamp) {
        let mut forgotten = std::mem::take(&mut self.forgotten).into_vec();
        forgotten.reserve_exact(1);
        forgotten.push((hash, last));
        let mut gone = 0_usize;
        while let Some((_, oldest)) = forgotten.get(gone).copied() {
            let count = forgotten.len().saturating_sub(gone);
            let is_long_over = oldest.plus_seconds(FORGOTTEN_SECONDS) < last;
            let most = if is_long_over { MIN_FORGOTTEN_RUNS } else { MAX_FORGOTTEN_RUNS };
            let is_of_now = oldest >= self.ticked_at;
            if count <= if is_of_now { MAX_FORGOTTEN_AT_ONCE } else { most } {
                break;
            }
            if !is_of_now {
                self.horizon = self.horizon.max(oldest);
            }
            gone = gone.saturating_add(1);
        }
        forgotten.drain(..gone);
        self.forgotten = forgotten.into();
    }

    /// Entries are kept while a run of theirs is, and the newest few; a silence until it is broken; what went wrong last while somebody
    /// may say that he looks after it.
    fn forget_entries(&mut self) {
        let excess = self.occurrences.len().saturating_sub(MAX_KEPT_OCCURRENCES);
        if excess == 0 {
            return;
        }
        let mut held: Vec<Subject> = self.runs.iter().filter_map(Run::subject).collect();
        held.extend(self.open_silence().map(|silence| silence.subject.clone()));
        held.extend(self.alert.as_ref().and(self.newest_bad.as_deref()).cloned());
        let mut closed = self.closed_until;
        let mut position = 0_usize;
        self.occurrences.retain(|entry| {
            position = position.saturating_add(1);
            let keep = position > excess || held.contains(&entry.subject);
            if let (false, Subject::Occurrence { due }) = (keep, &entry.subject) {
                closed = closed.max(*due);
            }
            keep
        });
        self.closed_until = closed;
        self.occurrences.shrink_to_fit();
    }
}
