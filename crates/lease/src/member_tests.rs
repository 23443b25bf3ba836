use proptest::prelude::*;

use super::*;
use crate::config::LeaseConfig;

const ME: MemberId = MemberId(5);
const LESS: MemberId = MemberId(1);
const MORE: MemberId = MemberId(9);
/// Lease 10,000, beat 2,000.
const POLL_MS: u64 = 500;

/// A member with a store that shows it what the test says.
struct Case {
    member: Member,
    now_ms: u64,
    version: u64,
    renewals: u64,
}

impl Case {
    fn new(partitions: u32) -> Self {
        let timing = Timing::of(&LeaseConfig::default()).unwrap();
        Self { member: Member::new(ME, partitions, timing, 0), now_ms: 0, version: 0, renewals: 0 }
    }

    fn row(&self, id: MemberId) -> MemberRow {
        let name = id.to_string().into();
        MemberRow { id, name, renewals: self.renewals, leaving: false, partitions: self.member.partitions }
    }

    /// Reads a table in which these members have risen.
    fn reads(&mut self, slots: &[Slot], members: &[MemberId]) {
        self.renewals += 1;
        let rows = members.iter().map(|id| self.row(*id)).collect();
        self.reads_rows(slots, rows);
    }

    fn reads_rows(&mut self, slots: &[Slot], members: Vec<MemberRow>) {
        if self.member.table.assignment.slots != slots {
            self.version += 1;
        }
        let assignment = AssignmentRow { version: self.version, slots: slots.to_vec() };
        let reading = Reading { began_ms: self.now_ms, ended_ms: self.now_ms };
        self.member.observe(LeaseTable { assignment, members }, reading);
    }

    /// What the service is told, while it may be working on this.
    fn told(&mut self, open: &[u32]) -> Vec<u32> {
        let (assigned, _) = self.member.assign(self.now_ms, &open.iter().copied().collect());
        assigned.into_iter().collect()
    }

    /// What is done, while the service may be working on this.
    fn next(&mut self, open: &[u32]) -> Next {
        self.member.next(self.now_ms, &open.iter().copied().collect(), true)
    }

    fn swap(&mut self, open: &[u32]) -> Option<Vec<Slot>> {
        self.next(open).swap.map(|swap| swap.row.slots)
    }
}

fn moving(from: MemberId, to: MemberId) -> Slot {
    Slot::Moving { from, to }
}

#[test]
fn the_first_one_takes_all_at_once() {
    let mut case = Case::new(3);
    assert!(case.next(&[]).swap.is_none(), "it has read nothing");
    case.reads(&[], &[ME]);
    assert!(case.told(&[]).is_empty());
    let swap = case.next(&[]).swap.expect("a swap");
    assert_eq!((swap.row.version, swap.handed_out), (1, 3));
    case.member.swapped(swap.row, 0);
    assert_eq!(case.told(&[]), [0, 1, 2]);
    let next = case.next(&[0, 1, 2]);
    assert_eq!(next, Next::default(), "nothing to do, and no hurry");
}

#[test]
fn who_does_not_find_its_row_puts_it_and_plans_nothing() {
    let mut case = Case::new(2);
    case.reads(&[], &[]);
    let next = case.next(&[]);
    assert!(next.renew && next.hurry && next.swap.is_none(), "{next:?}");
}

#[test]
fn a_move_is_announced_and_then_given_on_in_one_swap() {
    let mut case = Case::new(3);
    case.reads(&[Slot::Held(ME); 3], &[ME, MORE]);
    assert_eq!(case.told(&[]), [0, 1, 2]);
    let announced = [Slot::Held(ME), moving(ME, MORE), moving(ME, MORE)];
    case.reads(&announced, &[ME, MORE]);
    assert_eq!(case.told(&[0, 1, 2]), [0, 1, 2], "the other one has not seen it yet");
    assert!(case.next(&[0, 1, 2]).hurry);
    case.now_ms += POLL_MS;
    case.reads(&announced, &[ME, MORE]);
    assert_eq!(case.told(&[0, 1, 2]), [0]);
    assert_eq!(case.swap(&[0, 1, 2]), None, "it is still at work");
    assert_eq!(case.swap(&[0, 2]), Some(vec![Slot::Held(ME), Slot::Held(MORE), moving(ME, MORE)]));
    assert_eq!(case.swap(&[0]), Some(vec![Slot::Held(ME), Slot::Held(MORE), Slot::Held(MORE)]));
}

#[test]
fn what_is_being_let_go_of_comes_back_only_after_that() {
    let mut case = Case::new(1);
    case.reads(&[Slot::Held(ME)], &[ME, MORE]);
    assert_eq!(case.told(&[]), [0]);
    case.reads(&[moving(ME, MORE)], &[ME, MORE]);
    assert_eq!(case.told(&[0]), [0]);
    case.now_ms += POLL_MS;
    assert!(case.told(&[0]).is_empty());
    case.reads(&[Slot::Held(ME)], &[ME]);
    assert!(case.told(&[0]).is_empty(), "it is told to end what it is ending");
    assert_eq!(case.told(&[]), [0]);
}

#[test]
fn what_is_lost_is_dropped_at_once() {
    let mut case = Case::new(2);
    case.reads(&[Slot::Held(ME); 2], &[ME, MORE]);
    case.told(&[]);
    case.reads(&[Slot::Held(MORE), Slot::Held(ME)], &[ME, MORE]);
    let (assigned, lost) = case.member.assign(case.now_ms, &[0, 1].into());
    assert_eq!((assigned, lost), ([1].into(), 1));
}

#[test]
fn who_leaves_plans_for_its_heirs_and_ends_when_it_has_nothing() {
    let mut case = Case::new(2);
    let held = [Slot::Held(ME), Slot::Held(LESS)];
    case.reads(&held, &[LESS, ME]);
    assert_eq!(case.told(&[]), [0]);
    case.member.leave(case.now_ms);
    assert_eq!(case.told(&[0]), [0], "until its heir is there");
    let next = case.next(&[0]);
    assert!(next.renew && !next.done);
    let swap = next.swap.expect("a swap");
    assert_eq!(swap.row.slots, [moving(ME, LESS), Slot::Held(LESS)]);
    case.member.swapped(swap.row, case.now_ms);
    assert_eq!(case.told(&[0]), [0]);
    case.now_ms += POLL_MS;
    assert!(case.told(&[0]).is_empty());
    let swap = case.next(&[]).swap.expect("a swap");
    assert_eq!(swap.row.slots, [Slot::Held(LESS); 2]);
    case.member.swapped(swap.row, case.now_ms);
    assert!(case.next(&[]).done);
}

#[test]
fn who_leaves_alone_leaves_all_free() {
    let mut case = Case::new(2);
    case.reads(&[Slot::Held(ME); 2], &[ME]);
    assert_eq!(case.told(&[]), [0, 1]);
    case.member.leave(case.now_ms);
    assert!(case.told(&[0, 1]).is_empty(), "nobody is to be waited for");
    assert_eq!(case.swap(&[0]), Some(vec![Slot::Held(ME), Slot::Free]));
    assert_eq!(case.swap(&[]), Some(vec![Slot::Free; 2]));
}

#[test]
fn a_plan_is_left_to_who_comes_first_for_a_while() {
    let slots = [Slot::Held(LESS), Slot::Held(ME), Slot::Free];
    let mut case = Case::new(3);
    case.reads(&slots, &[LESS, ME]);
    assert_eq!(case.swap(&[1]), None);
    case.now_ms += 2 * POLL_MS - 1;
    case.reads(&slots, &[LESS, ME]);
    assert_eq!(case.swap(&[1]), None);
    case.now_ms += 1;
    assert!(case.swap(&[1]).is_some(), "it does not come");
    // Who has nothing yet comes behind those who have.
    let slots = [Slot::Held(ME), Slot::Free];
    let mut case = Case::new(2);
    case.reads(&slots, &[LESS, ME]);
    assert!(case.swap(&[0]).is_some());
}

#[test]
fn another_number_of_partitions_counts_once_all_who_live_know_it() {
    let mut case = Case::new(4);
    let old = MemberRow { partitions: 2, ..case.row(MORE) };
    let slots = [Slot::Held(MORE), Slot::Held(MORE)];
    for _ in 0..20 {
        case.renewals += 1;
        let own = case.row(ME);
        let renewed = MemberRow { renewals: case.renewals, ..old.clone() };
        case.reads_rows(&slots, vec![own, renewed]);
        assert_eq!((case.swap(&[]), case.member.other_partitions()), (None, Some(2)));
        case.now_ms += POLL_MS;
    }
    case.reads(&slots, &[ME]);
    assert_eq!(case.swap(&[]), Some(vec![Slot::Held(ME); 4]), "the last one who had another is gone");
}

#[test]
fn the_dead_are_removed_once_they_have_nothing() {
    let mut case = Case::new(2);
    let slots = [Slot::Held(ME), Slot::Held(MORE)];
    case.reads(&slots, &[ME, MORE]);
    let silent = case.row(MORE);
    for _ in 0..20 {
        assert_eq!(case.swap(&[0]), None);
        case.now_ms += POLL_MS;
        case.renewals += 1;
        let own = case.row(ME);
        case.reads_rows(&slots, vec![own, silent.clone()]);
    }
    let next = case.next(&[0]);
    assert_eq!(next.remove, [], "it is named yet");
    let swap = next.swap.expect("a swap");
    assert_eq!((&swap.row.slots[..], swap.taken), (&[Slot::Held(ME); 2][..], 1));
    case.member.swapped(swap.row, case.now_ms);
    assert_eq!(case.next(&[0]).remove, [silent]);
}

fn any_slot() -> impl Strategy<Value = Slot> {
    let member = || prop_oneof![Just(ME), Just(LESS), Just(MORE)];
    prop_oneof![
        1 => Just(Slot::Free),
        4 => member().prop_map(Slot::Held),
        3 => (member(), member()).prop_map(|(from, to)| Slot::of(Some(from), Some(to))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Whatever it reads, and whatever its service is at: it works on what is its own alone, and takes from nobody who lives.
    #[test]
    fn nothing_is_taken_from_who_lives(
        tables in proptest::collection::vec((proptest::collection::vec(any_slot(), 6), any::<[bool; 3]>(), 0_u64..3_000), 1..12),
        opens in proptest::collection::vec(proptest::collection::btree_set(0_u32..6, 0..6), 12),
        leaves_at in 0_usize..20,
    ) {
        let mut case = Case::new(6);
        for (at, ((slots, there, after_ms), open)) in tables.into_iter().zip(opens).enumerate() {
            case.now_ms += after_ms;
            if at == leaves_at {
                case.member.leave(case.now_ms);
            }
            let members: Vec<MemberId> = [LESS, ME, MORE].into_iter().zip(there).filter(|(_, there)| *there).map(|(id, _)| id).collect();
            case.reads(&slots, &members);
            let (assigned, _) = case.member.assign(case.now_ms, &open);
            prop_assert!(assigned.iter().all(|partition| slots[*partition as usize].holder() == Some(ME)));
            let open: BTreeSet<u32> = open.union(&assigned).copied().collect();
            let next = case.member.next(case.now_ms, &open, true);
            let Some(swap) = next.swap else { continue };
            prop_assert_eq!(swap.row.version, case.version + 1);
            for (partition, (before, after)) in (0_u32..).zip(slots.iter().zip(&swap.row.slots)) {
                let keeps = match before.holder() {
                    Some(ME) => assigned.contains(&partition) || open.contains(&partition),
                    // Only who has had no row for a lease is dead here.
                    Some(other) => members.contains(&other),
                    None => false,
                };
                prop_assert!(!keeps || after.holder() == before.holder(), "{}: {:?} becomes {:?}", partition, before, after);
            }
        }
    }
}
