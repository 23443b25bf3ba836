//! One member: out of what it reads, what its service shall work on, and which swap to try. No clock, no store.

use std::collections::{BTreeMap, BTreeSet};

use ronda_schemas::lease::{AssignmentRow, MemberId, MemberRow, Slot};
use ronda_store::lease::LeaseTable;

use crate::config::Timing;
use crate::plan::{Standing, Standings, plan};
use crate::vigil::{Reading, Vigil};

/// Nobody waits for more than so many others to plan.
const MOST_AHEAD: usize = 3;

/// Who came and went since the last look, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) joined: Vec<Box<str>>,
    pub(crate) left: Vec<Box<str>>,
    pub(crate) died: Vec<Box<str>>,
}

/// A swap to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Swap {
    pub(crate) row: AssignmentRow,
    /// How many partitions are given on to who shall have them.
    pub(crate) given: usize,
    /// How many are to move, that were not before.
    pub(crate) moves: usize,
    /// How many are taken from the dead.
    pub(crate) taken: usize,
    /// How many that nobody had are handed out.
    pub(crate) handed_out: usize,
}

/// What is to be done in the store.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) swap: Option<Swap>,
    /// Rows of the dead.
    pub(crate) remove: Vec<MemberRow>,
    /// One's own row is not there as it should be.
    pub(crate) renew: bool,
    /// Something is awaited: look again soon.
    pub(crate) hurry: bool,
    /// It has left.
    pub(crate) done: bool,
}

/// One member's mind.
#[derive(Debug)]
pub(crate) struct Member {
    me: MemberId,
    partitions: u32,
    timing: Timing,
    vigil: Vigil,
    table: LeaseTable,
    /// Nothing is known before the first read.
    has_read: bool,
    live: BTreeMap<MemberId, Box<str>>,
    /// What its service was told last.
    assigned: BTreeSet<u32>,
    /// Since when its partitions that move away are seen to, in milliseconds.
    moving_since_ms: BTreeMap<u32, u64>,
    /// When the assignment changed last.
    changed_ms: u64,
    /// Since when somebody should have planned.
    plan_due_since_ms: Option<u64>,
    leaving_since_ms: Option<u64>,
}

impl Member {
    pub(crate) fn new(me: MemberId, partitions: u32, timing: Timing, now_ms: u64) -> Self {
        Self {
            me,
            partitions,
            timing,
            vigil: Vigil::new(me, timing),
            table: LeaseTable::default(),
            has_read: false,
            live: BTreeMap::new(),
            assigned: BTreeSet::new(),
            moving_since_ms: BTreeMap::new(),
            changed_ms: now_ms,
            plan_due_since_ms: None,
            leaving_since_ms: None,
        }
    }

    /// What it was told last to work on.
    pub(crate) fn assigned(&self) -> &BTreeSet<u32> {
        &self.assigned
    }

    /// How many live, itself included.
    pub(crate) fn live(&self) -> usize {
        self.live.len()
    }

    /// Whether the assignment is for another number of partitions and nobody may change that yet.
    pub(crate) fn other_partitions(&self) -> Option<usize> {
        let slots = self.table.assignment.slots.len();
        (slots != 0 && !self.fits()).then_some(slots)
    }

    fn fits(&self) -> bool {
        u32::try_from(self.table.assignment.slots.len()) == Ok(self.partitions)
    }

    /// Takes note of what was read.
    pub(crate) fn observe(&mut self, table: LeaseTable, reading: Reading) -> News {
        self.vigil.observe(&table, reading);
        if table.assignment.version != self.table.assignment.version {
            self.plan_due_since_ms = None;
            self.changed_ms = reading.ended_ms;
        }
        self.table = table;
        self.has_read = true;
        self.note_who_lives()
    }

    fn note_who_lives(&mut self) -> News {
        let standings = self.standings();
        let is_live = |row: &&MemberRow| standings.get(&row.id) == Some(&Standing::Live);
        let live: BTreeMap<MemberId, Box<str>> =
            self.table.members.iter().filter(is_live).map(|row| (row.id, row.name.clone())).collect();
        let mut news = News::default();
        for (member, name) in &live {
            if !self.live.contains_key(member) {
                news.joined.push(name.clone());
            }
        }
        for (member, name) in &self.live {
            match standings.get(member) {
                Some(Standing::Live) => {}
                Some(Standing::Dead) => news.died.push(name.clone()),
                _ => news.left.push(name.clone()),
            }
        }
        self.live = live;
        news
    }

    fn standings(&self) -> Standings {
        let mut standings = self.vigil.standings(&self.table, self.partitions);
        if self.leaving_since_ms.is_some() {
            // Others see it when they read the row.
            standings.insert(self.me, Standing::Going);
        }
        standings
    }

    /// It is to leave.
    pub(crate) fn leave(&mut self, now_ms: u64) {
        self.leaving_since_ms.get_or_insert(now_ms);
    }

    /// It is not waited for any longer that its service lets go.
    pub(crate) fn give_up(&mut self) {
        self.assigned.clear();
    }

    /// A swap took place.
    pub(crate) fn swapped(&mut self, row: AssignmentRow, now_ms: u64) {
        self.table.assignment = row;
        self.plan_due_since_ms = None;
        self.changed_ms = now_ms;
    }

    /// What its service shall work on; and how many of those that it was told of are somebody else's meanwhile. `open`: what the service may still
    /// be working on.
    pub(crate) fn assign(&mut self, now_ms: u64, open: &BTreeSet<u32>) -> (BTreeSet<u32>, usize) {
        let mut assigned = BTreeSet::new();
        let mut moving_since_ms = BTreeMap::new();
        let mut mine = 0;
        for (partition, slot) in (0..).zip(&self.table.assignment.slots) {
            let was_assigned = self.assigned.contains(&partition);
            mine += usize::from(was_assigned && slot.holder() == Some(self.me));
            let is_to_work = match *slot {
                // What it is about to let go of it gets again afterwards.
                Slot::Held(holder) if holder == self.me => {
                    if self.leaving_since_ms.is_some() {
                        was_assigned && self.waits_for_heirs(now_ms)
                    } else {
                        was_assigned || !open.contains(&partition)
                    }
                }
                // It goes on until the other one has had time to see it, and is waiting.
                Slot::Moving { from, .. } if from == self.me => {
                    let since = self.moving_since_ms.get(&partition).copied().unwrap_or(now_ms);
                    moving_since_ms.insert(partition, since);
                    was_assigned && now_ms.saturating_sub(since) < self.timing.poll_ms
                }
                _ => false,
            };
            if is_to_work {
                assigned.insert(partition);
            }
        }
        let lost = self.assigned.len() - mine;
        self.moving_since_ms = moving_since_ms;
        self.assigned = assigned;
        (self.assigned.clone(), lost)
    }

    /// Whether a plan for what it leaves behind may yet come.
    fn waits_for_heirs(&self, now_ms: u64) -> bool {
        let has_heirs = self.live.keys().any(|member| *member != self.me);
        has_heirs && self.leaving_since_ms.is_some_and(|since| now_ms.saturating_sub(since) < 2 * self.timing.poll_ms)
    }

    /// What to do in the store. `open`: what the service may still be working on, after it was told what to work on. `gives`: whether what it has
    /// let go of is to be given on already, or more of it awaited.
    pub(crate) fn next(&mut self, now_ms: u64, open: &BTreeSet<u32>, gives: bool) -> Next {
        if !self.has_read {
            return Next { hurry: true, done: self.leaving_since_ms.is_some(), ..Next::default() };
        }
        let standings = self.standings();
        let mut slots = self.table.assignment.slots.clone();
        let given = if gives { self.let_go_of(&mut slots, open) } else { 0 };
        let mut swap =
            (given > 0).then(|| Swap { row: self.following(&slots), given, moves: 0, taken: 0, handed_out: 0 });
        match self.planned(&slots, &standings) {
            None => self.plan_due_since_ms = None,
            Some(planned) => {
                let since = *self.plan_due_since_ms.get_or_insert(now_ms);
                if now_ms.saturating_sub(since) >= self.patience_ms(&standings) {
                    swap = Some(self.swap_of(given, &slots, &planned, &standings));
                }
            }
        }
        Next {
            swap,
            remove: self.dead_rows(&standings),
            renew: !self.is_written(),
            hurry: self.is_in_a_hurry(now_ms),
            done: self.leaving_since_ms.is_some() && open.is_empty() && !self.is_named(),
        }
    }

    fn following(&self, slots: &[Slot]) -> AssignmentRow {
        AssignmentRow { version: self.table.assignment.version.saturating_add(1), slots: slots.to_vec() }
    }

    /// Gives on what its service has let go of; answers how much.
    fn let_go_of(&self, slots: &mut [Slot], open: &BTreeSet<u32>) -> usize {
        let mut given = 0;
        for (partition, slot) in (0..).zip(slots) {
            if self.assigned.contains(&partition) || open.contains(&partition) {
                continue;
            }
            match *slot {
                Slot::Moving { from, to } if from == self.me => *slot = Slot::Held(to),
                Slot::Held(holder) if holder == self.me && self.leaving_since_ms.is_some() => *slot = Slot::Free,
                _ => continue,
            }
            given += 1;
        }
        given
    }

    /// What the slots should be instead, if they should be something else and this member knows enough to say so.
    fn planned(&self, slots: &[Slot], standings: &Standings) -> Option<Vec<Slot>> {
        if !self.vigil.may_plan(&self.table) {
            return None;
        }
        if self.fits() {
            let planned = plan(slots, standings);
            return (planned != slots).then_some(planned);
        }
        if !standings.values().any(|standing| *standing == Standing::Live) {
            return None;
        }
        // Their number was changed, and all who are there know it: nobody has anything of what there was.
        let agrees =
            |row: &MemberRow| row.partitions == self.partitions || standings.get(&row.id) == Some(&Standing::Dead);
        let free = vec![Slot::Free; usize::try_from(self.partitions).ok()?];
        self.table.members.iter().all(agrees).then(|| plan(&free, standings))
    }

    /// How long to leave a plan to others, in milliseconds: who has partitions and the least id plans at once.
    fn patience_ms(&self, standings: &Standings) -> u64 {
        if self.leaving_since_ms.is_some() {
            return 0;
        }
        if standings.get(&self.me) != Some(&Standing::Live) {
            // Without a row that it can see it would give itself nothing.
            return u64::MAX;
        }
        let named: BTreeSet<MemberId> = self.named().collect();
        let place = |member: &MemberId| (!named.contains(member), *member);
        let live = standings.iter().filter(|(_, standing)| **standing == Standing::Live).map(|(member, _)| member);
        let mine = place(&self.me);
        let ahead = live.map(place).filter(|other| *other < mine).count().min(MOST_AHEAD);
        2 * self.timing.poll_ms * u64::try_from(ahead).unwrap_or(1)
    }

    fn swap_of(&self, given: usize, before: &[Slot], planned: &[Slot], standings: &Standings) -> Swap {
        let was_dead =
            |slot: &Slot| slot.holder().is_some_and(|holder| standings.get(&holder) == Some(&Standing::Dead));
        let is_new_move = |(before, after): &(&Slot, &Slot)| matches!(after, Slot::Moving { .. }) && before != after;
        let is_handed_out = |(before, after): &(&Slot, &Slot)| before.holder().is_none() && after.holder().is_some();
        let first = before.is_empty();
        Swap {
            row: self.following(planned),
            given,
            moves: before.iter().zip(planned).filter(is_new_move).count(),
            taken: before.iter().filter(|slot| was_dead(slot)).count(),
            handed_out: if first { planned.len() } else { before.iter().zip(planned).filter(is_handed_out).count() },
        }
    }

    /// Rows of the dead who have nothing any more; who would plan removes them.
    fn dead_rows(&self, standings: &Standings) -> Vec<MemberRow> {
        if self.patience_ms(standings) > 0 || self.leaving_since_ms.is_some() {
            return Vec::new();
        }
        let named: BTreeSet<MemberId> = self.named().collect();
        let is_over = |row: &&MemberRow| standings.get(&row.id) == Some(&Standing::Dead) && !named.contains(&row.id);
        self.table.members.iter().filter(is_over).cloned().collect()
    }

    fn named(&self) -> impl Iterator<Item = MemberId> {
        self.table.assignment.slots.iter().flat_map(|slot| [slot.holder(), slot.target()]).flatten()
    }

    fn is_named(&self) -> bool {
        self.named().any(|member| member == self.me)
    }

    fn is_written(&self) -> bool {
        let leaves = self.leaving_since_ms.is_some();
        self.table.members.iter().any(|row| row.id == self.me && row.leaving == leaves)
    }

    /// While partitions come or go, and for some time only: one that nobody lets go of is nothing to hurry for.
    fn is_in_a_hurry(&self, now_ms: u64) -> bool {
        let moves = self.table.assignment.slots.iter().any(|slot| match *slot {
            Slot::Moving { from, to } => from == self.me || to == self.me,
            Slot::Free | Slot::Held(_) => false,
        });
        let waits = moves || self.leaving_since_ms.is_some() || !self.is_written() || !self.is_named();
        waits && now_ms.saturating_sub(self.changed_ms) < self.timing.lease_ms
    }
}

#[cfg(test)]
#[path = "member_tests.rs"]
mod tests;
