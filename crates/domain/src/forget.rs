//! Keeping a state small: what is no longer needed for a late word goes, leaving a hash behind.

use crate::limits::{MAX_ENDED_RUNS, MAX_ENDED_SECONDS, MAX_FORGOTTEN_RUNS, MAX_KEPT_OCCURRENCES, MAX_STALE_RUNS};
use crate::record::{OccurrenceStatus, Subject};
use crate::run::{Run, hash_run};
use crate::scheduler::Scheduler;
use crate::time::Timestamp;

impl Scheduler {
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
        let over: Vec<(Timestamp, &Run)> =
            self.runs.iter().filter(|run| is_over(run)).map(|run| (run.started_at(), run)).collect();
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
        while let Some(index) = self.runs.iter().position(is_long_over) {
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
        let ends = run.ends.iter().filter(|end| end.unnamed != 0).map(|end| (end.unnamed, run.last_at()));
        for hash in ends.chain([(hash_run(run.id.as_str()), run.last_at())]) {
            let mut forgotten = std::mem::take(&mut self.forgotten).into_vec();
            if forgotten.len() >= MAX_FORGOTTEN_RUNS {
                let (_, last) = forgotten.remove(0);
                self.horizon = self.horizon.max(last);
            }
            forgotten.reserve_exact(1);
            forgotten.push(hash);
            self.forgotten = forgotten.into();
        }
    }

    /// Entries are kept while a run of theirs is, and the newest few; a silence until it is broken.
    fn forget_entries(&mut self) {
        let excess = self.occurrences.len().saturating_sub(MAX_KEPT_OCCURRENCES);
        if excess == 0 {
            return;
        }
        let mut held: Vec<Subject> = self.runs.iter().filter_map(Run::subject).collect();
        held.extend(self.open_silence().map(|silence| silence.subject.clone()));
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
