//! Who lives, as one member sees it: by counters that rise, and its own monotonic clock.

use std::collections::{BTreeMap, BTreeSet};

use ronda_schemas::lease::{MemberId, MemberRow};
use ronda_store::lease::LeaseTable;

use crate::config::Timing;
use crate::plan::{Standing, Standings};

/// A gap between two reads of more than so many poll periods says nothing of the others: the store did not answer, or this process stood still.
const MOST_POLLS: u64 = 4;

/// When a read of the store began and ended, by the reader's monotonic clock, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) began_ms: u64,
    pub(crate) ended_ms: u64,
}

/// What is known of a member.
#[derive(Clone, Copy, Debug)]
struct Sight {
    /// Its counter; `None`: it has no row.
    renewals: Option<u64>,
    /// For how long the counter has stood still, in milliseconds.
    silent_ms: u64,
    /// Whether it was seen to rise, or was new: a row alone may have been left by somebody who is long gone.
    proven: bool,
}

/// One member's watch over all.
#[derive(Debug)]
pub(crate) struct Vigil {
    me: MemberId,
    timing: Timing,
    last_ended_ms: Option<u64>,
    sights: BTreeMap<MemberId, Sight>,
}

impl Vigil {
    pub(crate) fn new(me: MemberId, timing: Timing) -> Self {
        Self { me, timing, last_ended_ms: None, sights: BTreeMap::new() }
    }

    /// Takes note of what was read. Silence is counted between two reads that followed one another, so an outage of the store makes nobody dead;
    /// and only by who is seen to renew its own row, so a store that takes no writes doesn't either. After both, whoever was thought nearly dead
    /// has time for a sign of life.
    pub(crate) fn observe(&mut self, table: &LeaseTable, reading: Reading) {
        let between = self.last_ended_ms.map_or(0, |last| reading.began_ms.saturating_sub(last));
        self.last_ended_ms = Some(reading.ended_ms);
        let poll_ms = self.timing.poll_ms;
        let is_broken = between > MOST_POLLS * poll_ms;
        let gap_ms = if is_broken { poll_ms } else { between };
        let rows: BTreeMap<MemberId, &MemberRow> = table.members.iter().map(|row| (row.id, row)).collect();
        let named = table.assignment.slots.iter().flat_map(|slot| [slot.holder(), slot.target()]).flatten();
        let known: BTreeSet<MemberId> = named.chain(rows.keys().copied()).collect();
        self.sights.retain(|member, _| known.contains(member));
        self.look_at(self.me, rows.get(&self.me).copied(), gap_ms);
        let is_renewed = self
            .sights
            .get(&self.me)
            .is_some_and(|own| own.renewals.is_some() && own.silent_ms <= 2 * self.timing.beat_ms);
        if is_broken || !is_renewed {
            self.grant_time();
        }
        let gap_ms = if is_renewed { gap_ms } else { 0 };
        let me = self.me;
        for member in known.into_iter().filter(|member| *member != me) {
            self.look_at(member, rows.get(&member).copied(), gap_ms);
        }
    }

    fn grant_time(&mut self) {
        let most_ms = self.timing.lease_ms - 2 * self.timing.beat_ms;
        for sight in self.sights.values_mut() {
            sight.silent_ms = sight.silent_ms.min(most_ms);
        }
    }

    fn look_at(&mut self, member: MemberId, row: Option<&MemberRow>, gap_ms: u64) {
        let renewals = row.map(|row| row.renewals);
        let Some(sight) = self.sights.get_mut(&member) else {
            let proven = renewals.is_some_and(|renewals| renewals <= 1);
            self.sights.insert(member, Sight { renewals, silent_ms: 0, proven });
            return;
        };
        match (sight.renewals, renewals) {
            (Some(before), Some(now)) if before != now => *sight = Sight { renewals, silent_ms: 0, proven: true },
            // It may have been put late, by somebody who is gone.
            (None, Some(now)) => *sight = Sight { renewals, silent_ms: 0, proven: now <= 1 },
            _ => {
                sight.renewals = renewals;
                sight.silent_ms = sight.silent_ms.saturating_add(gap_ms);
            }
        }
    }

    fn is_dead(&self, member: MemberId) -> bool {
        member != self.me && self.sights.get(&member).is_some_and(|sight| sight.silent_ms >= self.timing.lease_ms)
    }

    fn is_proven(&self, member: MemberId) -> bool {
        member == self.me || self.sights.get(&member).is_some_and(|sight| sight.proven)
    }

    /// What to think of those who have a row or are named in the assignment. Who was started for another number of partitions than there are
    /// slots, or has not shown yet that it lives, gets nothing.
    pub(crate) fn standings(&self, table: &LeaseTable, partitions: u32) -> Standings {
        let mut standings: Standings = self.sights.keys().map(|member| (*member, Standing::Going)).collect();
        for row in &table.members {
            if !row.leaving && row.partitions == partitions && self.is_proven(row.id) {
                standings.insert(row.id, Standing::Live);
            }
        }
        for (member, standing) in &mut standings {
            if self.is_dead(*member) {
                *standing = Standing::Dead;
            }
        }
        standings
    }

    /// Whether enough is known to plan: of whoever has something it is known whether it lives.
    pub(crate) fn may_plan(&self, table: &LeaseTable) -> bool {
        let is_known = |member: MemberId| {
            let sight = self.sights.get(&member);
            self.is_proven(member) || self.is_dead(member) || sight.is_some_and(|sight| sight.renewals.is_none())
        };
        table.assignment.slots.iter().flat_map(|slot| [slot.holder(), slot.target()]).flatten().all(is_known)
    }
}

#[cfg(test)]
mod tests {
    use ronda_schemas::lease::{AssignmentRow, Slot};

    use super::*;
    use crate::config::LeaseConfig;

    const ME: MemberId = MemberId(1);
    const OTHER: MemberId = MemberId(2);
    /// Lease 10,000, beat 2,000, poll 500.
    const POLL_MS: u64 = 500;

    struct Watch {
        vigil: Vigil,
        now_ms: u64,
        own: u64,
    }

    impl Watch {
        fn new() -> Self {
            let timing = Timing::of(&LeaseConfig::default()).unwrap();
            Self { vigil: Vigil::new(ME, timing), now_ms: 77, own: 0 }
        }

        /// A read after so long, in which the other's counter is so, and one's own has risen.
        fn read(&mut self, after_ms: u64, other: Option<u64>) -> Standing {
            self.own += 1;
            self.read_of(after_ms, other)
        }

        fn read_of(&mut self, after_ms: u64, other: Option<u64>) -> Standing {
            self.now_ms += after_ms;
            let row = |id, renewals| MemberRow { id, name: "".into(), renewals, leaving: false, partitions: 2 };
            let members = [Some(row(ME, self.own)), other.map(|renewals| row(OTHER, renewals))];
            let assignment = AssignmentRow { version: 1, slots: vec![Slot::Held(OTHER), Slot::Held(ME)] };
            let table = LeaseTable { assignment, members: members.into_iter().flatten().collect() };
            self.vigil.observe(&table, Reading { began_ms: self.now_ms, ended_ms: self.now_ms });
            self.vigil.standings(&table, 2)[&OTHER]
        }
    }

    #[test]
    fn who_stands_still_for_a_lease_is_dead_and_not_before() {
        let mut watch = Watch::new();
        assert_eq!(watch.read(0, Some(1)), Standing::Live);
        for _ in 0..19 {
            assert_eq!(watch.read(POLL_MS, Some(1)), Standing::Live);
        }
        assert_eq!(watch.read(POLL_MS, Some(1)), Standing::Dead);
        assert_eq!(watch.read(POLL_MS, Some(2)), Standing::Live, "it comes back");
    }

    #[test]
    fn an_outage_or_a_stall_of_ones_own_makes_nobody_dead() {
        let mut watch = Watch::new();
        watch.read(0, Some(1));
        for _ in 0..100 {
            assert_eq!(watch.read(60_000, Some(1)), Standing::Live);
        }
        // It has two beats more.
        for _ in 0..6 {
            assert_eq!(watch.read(POLL_MS, Some(1)), Standing::Live);
        }
        assert_eq!(watch.read(POLL_MS, Some(1)), Standing::Dead);
        assert_eq!(watch.read(3_000, Some(1)), Standing::Live, "nobody is dead for good");
    }

    #[test]
    fn who_is_not_seen_to_renew_itself_judges_nobody() {
        let mut watch = Watch::new();
        watch.read(0, Some(1));
        for _ in 0..100 {
            assert_eq!(watch.read_of(POLL_MS, Some(1)), Standing::Live);
        }
        // Writes are taken again; the others have time to say so.
        for _ in 0..10 {
            assert_eq!(watch.read(POLL_MS, Some(1)), Standing::Live);
        }
    }

    #[test]
    fn a_row_that_was_left_behind_is_no_sign_of_life() {
        let mut watch = Watch::new();
        assert_eq!(watch.read(0, Some(40)), Standing::Going);
        assert_eq!(watch.read(POLL_MS, Some(40)), Standing::Going);
        assert_eq!(watch.read(POLL_MS, Some(41)), Standing::Live);
        assert_eq!(watch.read(POLL_MS, None), Standing::Going);
        assert_eq!(watch.read(POLL_MS, Some(41)), Standing::Going, "put late");
    }

    #[test]
    fn who_is_named_without_a_row_is_dead_after_a_lease() {
        let mut watch = Watch::new();
        assert_eq!(watch.read(0, None), Standing::Going);
        for _ in 0..19 {
            assert_eq!(watch.read(POLL_MS, None), Standing::Going);
        }
        assert_eq!(watch.read(POLL_MS, None), Standing::Dead);
    }
}
