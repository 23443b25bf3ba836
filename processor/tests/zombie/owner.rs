//! An owner of the partition: the runner's steps, each by itself, so that anything can happen between any two.

use std::collections::BTreeMap;

use ronda_domain::id::SchedulerKey;
use ronda_processor::{Config, Incoming, PartitionCore, Step};
use ronda_schemas::event::EventBatch;
use ronda_schemas::row::SchedulerRow;
use ronda_store::port::Commit;

use super::store::{Fenced, Stamp, Write};
use super::{Slip, World};

type Batches = Vec<(u32, EventBatch)>;

pub struct Owner {
    config: Config,
    core: Option<PartitionCore>,
    epoch: u64,
    attempts: u64,
    /// Position of the last message that it received, and messages that the core has not taken.
    received: u64,
    in_hand: Vec<Incoming>,
    /// When it acquired the partition.
    acquired: u64,
    /// When the store last said that it is the owner.
    proved: Option<u64>,
    /// What it has committed and not settled yet.
    unsettled: Option<u64>,
    /// Rows that were ahead when they were loaded.
    ahead: BTreeMap<SchedulerKey, u64>,
    /// What is being published beside the steps.
    held: Batches,
    phase: Phase,
}

enum Phase {
    Acquire,
    Load { after: Option<SchedulerKey> },
    Recover { batches: Batches },
    Take,
    Prove { step: Step },
    PublishFirst { step: Step },
    Write { commit: Commit, publish: Batches, groups: Vec<Vec<Write>>, stamp: Stamp },
    Publish { commit: Commit, batches: Batches },
    Settle,
    Ended,
}

impl Owner {
    pub fn new(config: Config) -> Self {
        Self {
            config,
            core: None,
            epoch: 0,
            attempts: 0,
            received: 0,
            in_hand: Vec::new(),
            acquired: 0,
            proved: None,
            unsettled: None,
            ahead: BTreeMap::new(),
            held: Vec::new(),
            phase: Phase::Acquire,
        }
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// Whether everything is applied, published and settled.
    pub fn is_through(&self, world: &World) -> bool {
        let end = u64::try_from(world.log.len()).unwrap();
        matches!(self.phase, Phase::Take)
            && self.in_hand.is_empty()
            && self.received == end
            && self.held.is_empty()
            && self.core.as_ref().is_some_and(|core| core.cursor() == end && !core.is_underway())
    }

    /// It is killed, or notices that it is replaced: what is under way may still be carried out, at any time.
    pub fn end(&mut self, world: &mut World) {
        if let Phase::Write { groups, stamp, .. } = std::mem::replace(&mut self.phase, Phase::Ended) {
            // Later groups were not sent.
            let sent = groups.into_iter().next().unwrap_or_default();
            world.floating.extend(sent.into_iter().map(|write| (write, stamp)));
        }
    }

    fn core(&mut self) -> &mut PartitionCore {
        self.core.as_mut().unwrap()
    }

    /// Does one thing that one does who has acquired the partition before.
    pub fn advance_as_zombie(&mut self, world: &mut World) {
        if !matches!(self.phase, Phase::Acquire) {
            self.advance(world);
        }
    }

    /// Does one thing.
    pub fn advance(&mut self, world: &mut World) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Ended) {
            Phase::Acquire => self.acquire(world),
            Phase::Load { after } => self.load(world, after.as_ref()),
            Phase::Recover { batches } => self.recover(world, batches),
            Phase::Take => self.take(world),
            Phase::Prove { step } => self.prove(world, step),
            Phase::PublishFirst { step } => self.publish_first(world, step),
            Phase::Write { commit, publish, groups, stamp } => self.write(world, commit, publish, groups, stamp),
            Phase::Publish { commit, batches } => self.publish(world, commit, batches),
            Phase::Settle => self.settle(world),
            Phase::Ended => Phase::Ended,
        };
    }

    fn acquire(&mut self, world: &mut World) -> Phase {
        let row = world.store.acquire();
        if row.cursor < world.trimmed {
            world.fault(format!("messages up to {} were settled, and {} are committed", world.trimmed, row.cursor));
        }
        self.epoch = row.epoch;
        self.acquired = world.turn;
        self.received = row.cursor;
        self.core = Some(PartitionCore::new(&row, 4, self.config.clone()));
        Phase::Load { after: None }
    }

    fn load(&mut self, world: &mut World, after: Option<&SchedulerKey>) -> Phase {
        let limit = 1 + world.chance.below(2);
        let rows = world.store.page(after, limit);
        let Some(last) = rows.last().map(|row| row.key.clone()) else {
            let batches = self.core().recover();
            return Phase::Recover { batches };
        };
        let cursor = self.core().cursor();
        for row in rows {
            if row.position > cursor {
                self.ahead.insert(row.key.clone(), row.position);
            }
            let position = if world.slip == Some(Slip::NoSkip) { row.position.min(cursor) } else { row.position };
            self.core().load(SchedulerRow { position, ..row });
        }
        Phase::Load { after: Some(last) }
    }

    fn recover(&mut self, world: &mut World, mut batches: Batches) -> Phase {
        if !batches.is_empty() && world.chance.once_in(4) {
            self.core().hold_recovered();
            self.held = batches;
            return self.open(world);
        }
        if batches.is_empty() {
            return self.open(world);
        }
        world.told(&[batches.remove(0)]);
        Phase::Recover { batches }
    }

    /// Commits before it takes anything in: whatever it has loaded was there while it was the owner.
    fn open(&mut self, world: &World) -> Phase {
        if world.slip == Some(Slip::NoOpeningCommit) {
            self.proved = Some(self.acquired);
            return Phase::Take;
        }
        Phase::PublishFirst { step: self.step(world) }
    }

    fn step(&mut self, world: &World) -> Step {
        let mut step = self.core().close();
        if world.slip == Some(Slip::NoRewrite) {
            step.commit.rows.retain(|row| self.ahead.get(&row.key) != Some(&row.position));
        }
        step
    }

    fn close(&mut self, world: &World) -> Phase {
        let step = self.step(world);
        let is_proved = self.proved.is_some_and(|proved| world.turn - proved <= world.proved_turns);
        if is_proved || world.slip == Some(Slip::NoProof) {
            Phase::PublishFirst { step }
        } else {
            Phase::Prove { step }
        }
    }

    /// Asks the store whether it is still the owner, before anything leaves it.
    fn prove(&mut self, world: &World, step: Step) -> Phase {
        if world.store.epoch() != self.epoch {
            return Phase::Ended;
        }
        self.proved = Some(world.turn);
        Phase::PublishFirst { step }
    }

    /// What is held back goes out.
    fn release(&mut self, world: &mut World) {
        while !self.held.is_empty() {
            world.told(&self.held);
            self.held = self.core().next_publish();
        }
        self.core().published();
    }

    /// Settles what it has committed, once no former owner trusts its last word any more.
    fn settle_if_it_may(&mut self, world: &mut World) {
        if world.turn - self.acquired > world.proved_turns || world.slip == Some(Slip::SettlesAtOnce) {
            world.trimmed = world.trimmed.max(self.unsettled.take().unwrap_or(0));
        }
    }

    fn take(&mut self, world: &mut World) -> Phase {
        self.settle_if_it_may(world);
        if self.core().is_holding() && world.chance.once_in(3) {
            self.release(world);
            return Phase::Take;
        }
        if self.in_hand.is_empty() {
            // What others have settled is gone, and nothing shows that it was there.
            let from = usize::try_from(self.received.max(world.trimmed)).unwrap();
            let until = world.log.len().min(from + 1 + world.chance.below(5));
            let until = until.max(from);
            self.in_hand.extend_from_slice(&world.log[from..until]);
            self.received = u64::try_from(until).unwrap();
        }
        if self.in_hand.is_empty() && !self.core().is_underway() {
            return Phase::Take;
        }
        let in_hand = std::mem::take(&mut self.in_hand);
        let through = self.core().take(&in_hand);
        self.in_hand.extend_from_slice(&in_hand[through..]);
        if self.core().must_publish() {
            self.release(world);
        }
        self.close(world)
    }

    fn publish_first(&mut self, world: &mut World, mut step: Step) -> Phase {
        if step.publish_first.is_empty() {
            return self.attempt(world, step.commit, step.publish);
        }
        world.told(&[step.publish_first.remove(0)]);
        Phase::PublishFirst { step }
    }

    fn attempt(&mut self, world: &World, commit: Commit, publish: Batches) -> Phase {
        self.attempts += 1;
        let groups = world.store.writes(&commit);
        Phase::Write { commit, publish, groups, stamp: (self.epoch, self.attempts) }
    }

    fn write(
        &mut self,
        world: &mut World,
        commit: Commit,
        publish: Batches,
        mut groups: Vec<Vec<Write>>,
        stamp: Stamp,
    ) -> Phase {
        while groups.first().is_some_and(Vec::is_empty) {
            groups.remove(0);
        }
        let Some(group) = groups.first_mut() else {
            self.core().committed();
            return Phase::Publish { commit, batches: publish };
        };
        if world.chance.once_in(25) {
            // No answer comes: what is under way may be carried out at any time, and the commit is tried again.
            let sent = std::mem::take(group);
            world.floating.extend(sent.into_iter().map(|write| (write, stamp)));
            return self.attempt(world, commit, publish);
        }
        let write = group.swap_remove(world.chance.below(group.len()));
        let is_move = matches!(write, Write::Move(_));
        let written = world.store.write(write, stamp);
        if world.chance.once_in(25) {
            // It was carried out, and nobody hears so.
            return self.attempt(world, commit, publish);
        }
        if is_move && written.is_ok() {
            self.proved = Some(world.turn);
        }
        self.phase = Phase::Write { commit, publish, groups, stamp };
        if written == Err(Fenced) {
            self.end(world);
        }
        std::mem::replace(&mut self.phase, Phase::Ended)
    }

    fn publish(&mut self, world: &mut World, commit: Commit, mut batches: Batches) -> Phase {
        if self.core().is_holding() {
            assert!(batches.is_empty(), "what is held back goes out before it");
            return Phase::Settle;
        }
        if batches.is_empty() {
            self.core().published();
            return Phase::Settle;
        }
        if world.chance.once_in(6) {
            self.core().hold(&commit);
            self.held = batches;
            return Phase::Settle;
        }
        world.told(&[batches.remove(0)]);
        Phase::Publish { commit, batches }
    }

    fn settle(&mut self, world: &mut World) -> Phase {
        if !self.core().is_underway() {
            self.unsettled = Some(self.core().cursor());
        }
        self.settle_if_it_may(world);
        Phase::Take
    }
}
