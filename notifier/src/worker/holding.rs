//! What is with each shard that we have to do with, from its being assigned until it is let go.

use std::collections::{BTreeMap, BTreeSet};

use ronda_queue::Token;
use ronda_runtime::CancellationToken;

use super::late::Late;
use super::source::{Of, Reading};

/// Shards that are taken up at once: each reads its rows into memory.
const COMING_AT_ONCE: usize = 8;
/// How long after its first setback a shard is taken up again, in milliseconds; twice as long after each further one.
const FIRST_REST_MS: u64 = 1_000;
/// The longest such pause.
const LONGEST_REST_MS: u64 = 60_000;
/// A shard that went well for so long has got over its setbacks, in milliseconds.
const STEADY_MS: u64 = 30_000;

/// Where a shard is.
pub(super) enum Holding {
    /// It is being acquired and read.
    Coming { stop: CancellationToken },
    /// It is worked on.
    Open(Tenure),
    /// Nothing more is read or begun for it; calls under way are waited for until then.
    Leaving { tenure: Tenure, until_ms: u64, then: Then },
    /// Nothing is kept of it any more; its receiver is being closed.
    Closing { then: Then },
    /// It is left alone until then; 0: it has only not been begun.
    Resting { until_ms: u64 },
}

/// What follows once a shard's receiver is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is said that we have let go of it, even if it is to be taken up again.
    LetGo,
    /// It is taken up again after a while, if it is still ours to work on.
    Rest,
}

/// What is kept with a shard between its take-up and its end.
pub(super) struct Tenure {
    pub(super) of: Of,
    pub(super) reading: Reading,
    /// Settles what was taken in since the last commit.
    pub(super) taken_in: Option<Token>,
    /// Calls under way.
    pub(super) in_flight: usize,
    /// Calls that ended since the last commit: should that show that the shard was lost before, they came late.
    pub(super) uncommitted: Vec<Late>,
    /// When the store was asked to make the last commit that it confirmed, in monotonic milliseconds.
    pub(super) asked_ms: u64,
    /// Since when it is worked on.
    pub(super) since_ms: u64,
}

/// What is to be done about a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    TakeUp(u32),
    /// Its take-up is not wanted any more.
    BreakOff(u32),
    /// It is to be let go.
    Leave(u32),
    /// Nothing is to be done: it only has to be said that we have let go of it.
    SayLetGo(u32),
}

/// What went wrong with a shard of late.
#[derive(Default)]
struct Setbacks {
    count: u32,
    /// The last one's, unless somebody else had merely taken the shard.
    reason: Option<String>,
}

/// All shards that we have to do with.
#[derive(Default)]
pub(super) struct Holdings {
    held: BTreeMap<u32, Holding>,
    setbacks: BTreeMap<u32, Setbacks>,
}

impl Holdings {
    /// Takes in which shards are ours to work on. Whatever was ours once is said to be let go in the end, also what was never begun.
    pub(super) fn see(&mut self, wanted: &BTreeSet<u32>) {
        for id in wanted {
            self.held.entry(*id).or_insert(Holding::Resting { until_ms: 0 });
        }
    }

    /// What is to be done, when these are ours to work on, of so many partitions.
    pub(super) fn deeds(&self, wanted: &BTreeSet<u32>, partitions: u32, now_ms: u64) -> Vec<Deed> {
        let unwanted = self.held.iter().filter(|(id, _)| !wanted.contains(id)).filter_map(|(id, held)| match held {
            Holding::Coming { stop } if !stop.is_cancelled() => Some(Deed::BreakOff(*id)),
            Holding::Open(_) => Some(Deed::Leave(*id)),
            Holding::Resting { .. } => Some(Deed::SayLetGo(*id)),
            Holding::Coming { .. } | Holding::Leaving { .. } | Holding::Closing { .. } => None,
        });
        let coming = self.held.values().filter(|held| matches!(held, Holding::Coming { .. })).count();
        let is_due = |id: &u32| match self.held.get(id) {
            Some(Holding::Resting { until_ms }) => now_ms >= *until_ms,
            _ => false,
        };
        let due = wanted.range(..partitions).filter(|id| is_due(id)).take(COMING_AT_ONCE.saturating_sub(coming));
        unwanted.chain(due.map(|id| Deed::TakeUp(*id))).collect()
    }

    pub(super) fn put(&mut self, id: u32, holding: Holding) {
        self.held.insert(id, holding);
    }

    pub(super) fn take(&mut self, id: u32) -> Option<Holding> {
        self.held.remove(&id)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Holding> {
        self.held.get(&id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many are worked on.
    pub(super) fn open(&self) -> usize {
        self.held.values().filter(|held| matches!(held, Holding::Open(_))).count()
    }

    /// Whether each of these has been taken up, or could not be.
    pub(super) fn have_been_tried(&self, wanted: &BTreeSet<u32>) -> bool {
        wanted.iter().all(|id| self.setbacks.contains_key(id) || matches!(self.held.get(id), Some(Holding::Open(_))))
    }

    /// Those of which rows are in memory.
    pub(super) fn with_rows(&self) -> Vec<u32> {
        let has_rows = |held: &Holding| matches!(held, Holding::Open(_) | Holding::Leaving { .. });
        self.held.iter().filter(|(_, held)| has_rows(held)).map(|(id, _)| *id).collect()
    }

    /// The tenure of this shard and epoch, if it has not ended.
    pub(super) fn tenure(&mut self, of: Of) -> Option<&mut Tenure> {
        match self.held.get_mut(&of.shard) {
            Some(Holding::Open(tenure) | Holding::Leaving { tenure, .. }) if tenure.of == of => Some(tenure),
            _ => None,
        }
    }

    /// Whether this reader's partition is worked on.
    pub(super) fn is_open(&self, of: Of) -> bool {
        matches!(self.held.get(&of.shard), Some(Holding::Open(tenure)) if tenure.of == of)
    }

    /// Those that are given up and wait for nothing any more.
    pub(super) fn ready_to_close(&self, now_ms: u64) -> Vec<u32> {
        let is_ready = |held: &Holding| match held {
            Holding::Leaving { tenure, until_ms, .. } => tenure.in_flight == 0 || now_ms >= *until_ms,
            _ => false,
        };
        self.held.iter().filter(|(_, held)| is_ready(held)).map(|(id, _)| *id).collect()
    }

    /// Takes in that a shard could not be worked on, and why, if that is worth a word.
    pub(super) fn set_back(&mut self, id: u32, reason: Option<String>) {
        let setbacks = self.setbacks.entry(id).or_default();
        setbacks.count = setbacks.count.saturating_add(1);
        setbacks.reason = reason;
    }

    /// Takes in that the store is away for a shard: it is tried again soon, however often that was.
    pub(super) fn is_away(&mut self, id: u32, reason: String) {
        self.setbacks.entry(id).or_default().reason = Some(reason);
    }

    /// Takes in that a shard was taken up: what was only away is there again.
    pub(super) fn is_there(&mut self, id: u32) {
        self.setbacks.retain(|of, setbacks| *of != id || setbacks.count > 0);
    }

    /// Until when a shard is left alone after its setbacks.
    pub(super) fn rests_until(&self, id: u32, now_ms: u64) -> u64 {
        let count = self.setbacks.get(&id).map_or(0, |setbacks| setbacks.count).max(1);
        now_ms + FIRST_REST_MS.saturating_mul(1 << (count - 1).min(16)).min(LONGEST_REST_MS)
    }

    /// Forgets setbacks that are over, or whose shard is not ours to work on.
    pub(super) fn forget_setbacks(&mut self, now_ms: u64) {
        let held = &self.held;
        self.setbacks.retain(|id, _| match held.get(id) {
            None => false,
            Some(Holding::Open(tenure)) => now_ms < tenure.since_ms + STEADY_MS,
            Some(_) => true,
        });
    }

    /// What is wrong with shards that are ours to work on.
    pub(super) fn trouble(&self) -> Option<String> {
        let reasons = self.setbacks.values().filter_map(|setbacks| setbacks.reason.as_deref());
        let reasons: Vec<&str> = reasons.collect();
        (!reasons.is_empty()).then(|| format!("{}; tried again", reasons.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resting(until_ms: u64) -> Holding {
        Holding::Resting { until_ms }
    }

    #[test]
    fn what_is_ours_is_taken_up_a_few_at_a_time_and_what_rests_when_it_has_rested() {
        let mut holdings = Holdings::default();
        holdings.put(0, resting(500));
        holdings.put(1, Holding::Coming { stop: CancellationToken::new() });
        holdings.see(&(0..12).collect());
        let deeds = holdings.deeds(&(0..12).collect(), 12, 499);
        let taken_up: Vec<Deed> = (2..9).map(Deed::TakeUp).collect();
        assert_eq!(deeds, taken_up, "seven beside the one that is coming");
    }

    #[test]
    fn what_is_not_ours_any_more_is_let_go_wherever_it_is_and_what_is_not_there_is_not_taken_up() {
        let mut holdings = Holdings::default();
        holdings.put(0, resting(500));
        holdings.put(1, Holding::Coming { stop: CancellationToken::new() });
        holdings.see(&[0, 2, 50].into());
        assert_eq!(holdings.deeds(&[0, 2, 50].into(), 12, 0), [Deed::BreakOff(1), Deed::TakeUp(2)], "there is no 50");
        let deeds = holdings.deeds(&BTreeSet::new(), 12, 0);
        assert_eq!(
            deeds,
            [Deed::SayLetGo(0), Deed::BreakOff(1), Deed::SayLetGo(2), Deed::SayLetGo(50)],
            "begun or not"
        );
    }

    #[test]
    fn one_that_is_being_closed_is_not_taken_up_before_that_is_over() {
        let mut holdings = Holdings::default();
        holdings.put(3, Holding::Closing { then: Then::LetGo });
        assert_eq!(holdings.deeds(&[3].into(), 4, 0), []);
        assert_eq!(holdings.deeds(&BTreeSet::new(), 4, 0), [], "that it is let go is said when it is closed");
    }

    #[test]
    fn the_more_setbacks_the_longer_the_rest_and_health_says_why() {
        let mut holdings = Holdings::default();
        holdings.put(2, resting(0));
        let mut rests = Vec::new();
        for _ in 0..8 {
            holdings.set_back(2, Some("partition 2 can't be read".to_owned()));
            rests.push(holdings.rests_until(2, 0));
        }
        assert_eq!(rests, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(holdings.trouble().as_deref(), Some("partition 2 can't be read; tried again"));
        holdings.is_away(3, "partition 3 waits".to_owned());
        assert_eq!(holdings.rests_until(3, 0), 1_000);
        holdings.is_away(3, "partition 3 waits".to_owned());
        assert_eq!(holdings.rests_until(3, 0), 1_000, "an outage of the store makes nobody wait longer after it");
        holdings.is_there(2);
        holdings.is_there(3);
        assert_eq!(holdings.trouble().as_deref(), Some("partition 2 can't be read; tried again"));
        holdings.take(2);
        holdings.forget_setbacks(0);
        assert_eq!(holdings.trouble(), None, "of what is not ours nothing is said");
    }
}
