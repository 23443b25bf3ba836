//! What is true of a run, whoever believes what.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use ronda_lease::MemberId;
use tokio::time::Instant;

/// For how long a member was still or cut off, in milliseconds, until it has been well for a while. What the store does to all alike is no excuse,
/// and doesn't make anybody well.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    since_ms: Option<u64>,
    before_ms: u64,
    well_since_ms: Option<u64>,
}

impl Trouble {
    fn lasts_ms(&self, now_ms: u64, notices_within_ms: u64) -> u64 {
        if self.well_since_ms.is_some_and(|well| now_ms - well > notices_within_ms) {
            return 0;
        }
        self.before_ms + self.since_ms.map_or(0, |since| now_ms - since)
    }

    fn changes(&mut self, now_ms: u64, notices_within_ms: u64, is_troubled: bool, is_out: bool) {
        self.before_ms = self.lasts_ms(now_ms, notices_within_ms);
        self.since_ms = is_troubled.then_some(now_ms);
        let is_well = !is_troubled && !is_out;
        self.well_since_ms = is_well.then(|| self.well_since_ms.unwrap_or(now_ms));
    }
}

#[derive(Default)]
struct State {
    /// Who works on a partition, and since when.
    workers: BTreeMap<u32, BTreeSet<MemberId>>,
    /// When the last one stopped, and who.
    ended_ms: BTreeMap<u32, (u64, MemberId)>,
    troubles: BTreeMap<MemberId, Trouble>,
    /// For how long partitions stood still between two that worked on them, in milliseconds.
    pauses_ms: Vec<u64>,
    /// How often a partition got another worker than the one before.
    moves: usize,
    is_out: bool,
    /// When the store came back last, in milliseconds.
    back_ms: Option<u64>,
    wrongs: Vec<String>,
    /// What happened, for whoever has to find out why.
    log: Vec<String>,
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

    pub(crate) fn log(&self, what: &str) {
        let line = format!("{:>7} {what}", self.now_ms());
        self.state.lock().log.push(line);
    }

    /// All that was logged.
    pub(crate) fn story(&self) -> String {
        self.state.lock().log.join("\n")
    }

    pub(crate) fn comes(&self, member: MemberId) {
        self.log(&format!("{member} comes"));
        self.state.lock().troubles.insert(member, Trouble::default());
    }

    /// A process is gone: it works on nothing.
    pub(crate) fn goes(&self, member: MemberId) {
        self.log(&format!("{member} is gone"));
        let now_ms = self.now_ms();
        let mut state = self.state.lock();
        let worked: Vec<u32> = state
            .workers
            .iter()
            .filter(|(_, workers)| workers.contains(&member))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in worked {
            if let Some(workers) = state.workers.get_mut(&partition) {
                workers.remove(&member);
            }
            state.ended_ms.insert(partition, (now_ms, member));
        }
        state.troubles.remove(&member);
    }

    /// A process stands still, or can't reach the store, from now on; or does no longer.
    pub(crate) fn is_in_trouble(&self, member: MemberId, is_troubled: bool) {
        self.log(&format!("{member} is in trouble: {is_troubled}"));
        let (now_ms, mut state) = (self.now_ms(), self.state.lock());
        let is_out = state.is_out;
        let trouble = state.troubles.entry(member).or_default();
        trouble.changes(now_ms, self.notices_within_ms, is_troubled, is_out);
    }

    /// The store is away for all; or is there again.
    pub(crate) fn is_out(&self, is_out: bool) {
        self.log(&format!("the store is away: {is_out}"));
        let (now_ms, mut state) = (self.now_ms(), self.state.lock());
        state.is_out = is_out;
        if !is_out {
            state.back_ms = Some(now_ms);
        }
        for trouble in state.troubles.values_mut() {
            let is_troubled = trouble.since_ms.is_some();
            trouble.changes(now_ms, self.notices_within_ms, is_troubled, is_out);
        }
    }

    /// What a service reads of its assignment.
    pub(crate) fn is_told(&self, member: MemberId, assigned: &BTreeSet<u32>) {
        self.log(&format!("{member} is told {assigned:?}"));
    }

    pub(crate) fn begins(&self, partition: u32, member: MemberId) {
        let now_ms = self.now_ms();
        let mut state = self.state.lock();
        let others = state.workers.entry(partition).or_default().clone();
        // After an outage there are two beats for a sign of life, however long the silence was before.
        let is_just_back = state.back_ms.is_some_and(|back| now_ms - back < 2 * self.excuse_ms);
        let excuse_ms = if is_just_back { self.excuse_ms / 2 } else { self.excuse_ms };
        let is_excused = |member: MemberId| {
            let trouble = state.troubles.get(&member);
            trouble.is_some_and(|trouble| trouble.lasts_ms(now_ms, self.notices_within_ms) >= excuse_ms)
        };
        let wrong = others.iter().find(|other| !is_excused(member) && !is_excused(**other)).copied();
        if let Some(other) = wrong {
            state.wrongs.push(format!("at {now_ms} ms {member} begins with {partition}, on which {other} works"));
        }
        if let Some((ended_ms, before)) = state.ended_ms.get(&partition).copied()
            && before != member
        {
            state.moves += 1;
            if others.is_empty() {
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
