//! What is true of a run, whoever believes what.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use ronda_lease::MemberId;
use tokio::time::Instant;

/// What a member has to be excused for having been in, and until when, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    since_ms: Option<u64>,
    excused_until_ms: u64,
}

#[derive(Default)]
struct State {
    /// Who works on a partition, and since when.
    workers: BTreeMap<u32, BTreeSet<MemberId>>,
    /// When the last one stopped, and who.
    ended_ms: BTreeMap<u32, (u64, MemberId)>,
    troubles: BTreeMap<MemberId, Trouble>,
    told: BTreeMap<MemberId, usize>,
    /// For how long partitions stood still between two that worked on them, in milliseconds.
    pauses_ms: Vec<u64>,
    /// How often a partition got another worker than the one before.
    moves: usize,
    wrongs: Vec<String>,
}

pub(crate) struct World {
    started: Instant,
    /// How long one must have been still or cut off to be excused, in milliseconds.
    excuse_ms: u64,
    /// How long it takes to notice after that.
    notices_within_ms: u64,
    state: Mutex<State>,
}

impl World {
    pub(crate) fn new(started: Instant, excuse_ms: u64, notices_within_ms: u64) -> Self {
        Self { started, excuse_ms, notices_within_ms, state: Mutex::default() }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).expect("a time")
    }

    pub(crate) fn comes(&self, member: MemberId) {
        self.state.lock().troubles.insert(member, Trouble::default());
    }

    /// A process is gone: it works on nothing.
    pub(crate) fn goes(&self, member: MemberId) {
        let now_ms = self.now_ms();
        let mut state = self.state.lock();
        let worked: Vec<u32> =
            state.workers.iter().filter(|(_, workers)| workers.contains(&member)).map(|(partition, _)| *partition).collect();
        for partition in worked {
            if let Some(workers) = state.workers.get_mut(&partition) {
                workers.remove(&member);
            }
            state.ended_ms.insert(partition, (now_ms, member));
        }
        state.troubles.remove(&member);
        state.told.remove(&member);
    }

    /// A process stands still, or can't reach the store, from now on.
    pub(crate) fn trouble_begins(&self, member: MemberId) {
        let now_ms = self.now_ms();
        self.state.lock().troubles.entry(member).or_default().since_ms = Some(now_ms);
    }

    pub(crate) fn trouble_ends(&self, member: MemberId) {
        let now_ms = self.now_ms();
        let mut state = self.state.lock();
        let trouble = state.troubles.entry(member).or_default();
        if let Some(since) = trouble.since_ms.take()
            && now_ms - since >= self.excuse_ms
        {
            trouble.excused_until_ms = now_ms + self.notices_within_ms;
        }
    }

    /// What a service reads of its assignment.
    pub(crate) fn is_told(&self, member: MemberId, assigned: &BTreeSet<u32>) {
        self.state.lock().told.insert(member, assigned.len());
    }

    pub(crate) fn begins(&self, partition: u32, member: MemberId) {
        let now_ms = self.now_ms();
        let mut state = self.state.lock();
        let others = state.workers.entry(partition).or_default().clone();
        let is_excused = |member: MemberId| {
            state.troubles.get(&member).is_some_and(|trouble| {
                trouble.excused_until_ms >= now_ms
                    || trouble.since_ms.is_some_and(|since| now_ms - since >= self.excuse_ms)
            })
        };
        let wrong = others.iter().find(|other| !is_excused(member) && !is_excused(**other)).copied();
        if let Some(other) = wrong {
            state.wrongs.push(format!("at {now_ms} ms {member} begins with {partition}, on which {other} works"));
        }
        if let Some((ended_ms, before)) = state.ended_ms.get(&partition).copied().filter(|(_, before)| *before != member) {
            state.moves += 1;
            if state.troubles.contains_key(&before) || others.is_empty() {
                state.pauses_ms.push(now_ms - ended_ms);
            }
        }
        state.workers.entry(partition).or_default().insert(member);
    }

    pub(crate) fn ends(&self, partition: u32, member: MemberId) {
        let now_ms = self.now_ms();
        let mut state = self.state.lock();
        state.workers.entry(partition).or_default().remove(&member);
        state.ended_ms.insert(partition, (now_ms, member));
    }

    /// How many partitions got another worker, and for how long they stood still at most; from here on it is counted anew.
    pub(crate) fn take_moves(&self) -> (usize, u64) {
        let mut state = self.state.lock();
        let pauses = std::mem::take(&mut state.pauses_ms);
        (std::mem::take(&mut state.moves), pauses.into_iter().max().unwrap_or(0))
    }

    pub(crate) fn wrongs(&self) -> Vec<String> {
        self.state.lock().wrongs.clone()
    }

    /// Who works on each partition.
    pub(crate) fn workers(&self) -> BTreeMap<u32, BTreeSet<MemberId>> {
        self.state.lock().workers.clone()
    }
}
