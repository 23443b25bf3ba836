//! Leases: members' rows and the assignment.

use std::sync::Arc;

use ronda_domain::id::SLOTS;
use ronda_schemas::lease::{AssignmentRow, Group, MemberId, MemberRow, Slot};

use super::StoreHarness;
use super::fixture::refusal;
use crate::error::StoreErrorKind;
use crate::lease::LeaseTable;
use crate::port::Store;

/// A member's row after so many renewals.
fn member(id: u64, renewals: u64) -> MemberRow {
    MemberRow { id: MemberId(id), name: format!("host-{id}/1").into(), renewals, leaving: false, partitions: 4 }
}

/// An assignment of four partitions to one member.
fn all_held_by(id: u64, version: u64) -> AssignmentRow {
    AssignmentRow { version, slots: vec![Slot::Held(MemberId(id)); 4] }
}

async fn table(store: &dyn Store, group: Group) -> LeaseTable {
    store.leases(group).await.expect("leases")
}

/// Members are put, renewed and removed, each for itself, and come by id; ids take all 64 bits.
pub async fn members_are_put_read_and_removed(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    assert_eq!(table(&*store, Group::Processor).await, LeaseTable::default());
    let (least, high, greatest) = (member(0, 1), member(1 << 63, 1), member(u64::MAX, 1));
    for row in [&greatest, &least, &high] {
        store.put_member(Group::Processor, row).await.expect("put");
    }
    let members = vec![least.clone(), high.clone(), greatest.clone()];
    assert_eq!(table(&*store, Group::Processor).await.members, members);

    let renewed = MemberRow { renewals: 2, leaving: true, ..high.clone() };
    store.put_member(Group::Processor, &renewed).await.expect("put");
    store.remove_member(Group::Processor, &greatest).await.expect("remove");
    store.remove_member(Group::Processor, &greatest).await.expect("nothing is there");
    drop(store);
    let store = harness.open().await;
    assert_eq!(table(&*store, Group::Processor).await.members, [least, renewed]);
}

/// Whoever holds a member for dead says what it saw; a sign of life after that counts. What was removed may be put again.
pub async fn a_member_that_was_renewed_is_not_removed(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    for renewals in 1..=3 {
        store.put_member(Group::Notifier, &member(7, renewals)).await.expect("put");
    }
    store.remove_member(Group::Notifier, &member(7, 2)).await.expect("remove");
    assert_eq!(table(&*store, Group::Notifier).await.members, [member(7, 3)]);
    store.remove_member(Group::Notifier, &member(7, 3)).await.expect("remove");
    assert!(table(&*store, Group::Notifier).await.members.is_empty());
    store.put_member(Group::Notifier, &member(7, 4)).await.expect("put");
    assert_eq!(table(&*store, Group::Notifier).await.members, [member(7, 4)]);
    store.remove_member(Group::Notifier, &member(7, 4)).await.expect("remove");
    assert!(table(&*store, Group::Notifier).await.members.is_empty());
}

/// Each version follows the one before, and nothing else.
pub async fn an_assignment_follows_only_the_version_before(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let swap = async |store: &dyn Store, id, version| {
        store.swap_assignment(Group::Processor, &all_held_by(id, version)).await.expect("swap")
    };
    let nothing_before = store.swap_assignment(Group::Processor, &all_held_by(1, 0)).await;
    assert_eq!(refusal(nothing_before), StoreErrorKind::Invalid);
    assert!(!swap(&*store, 1, 2).await, "there is no version 1 yet");
    assert_eq!(table(&*store, Group::Processor).await.assignment, AssignmentRow::default());
    assert!(swap(&*store, 1, 1).await);
    assert!(!swap(&*store, 2, 1).await, "version 1 is there");
    assert!(!swap(&*store, 2, 3).await, "version 2 is not");
    assert!(swap(&*store, 3, 2).await);
    drop(store);
    let store = harness.open().await;
    assert_eq!(table(&*store, Group::Processor).await.assignment, all_held_by(3, 2));
    assert!(swap(&*store, 4, 3).await);
    assert_eq!(table(&*store, Group::Processor).await.assignment, all_held_by(4, 3));
}

/// However many swap at once, of each version there is one.
pub async fn of_swaps_at_once_one_wins(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    for version in 1..=4 {
        let swaps = (1..=8_u64).map(|id| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let swapped = store.swap_assignment(Group::Notifier, &all_held_by(id, version)).await;
                swapped.expect("swap").then_some(id)
            })
        });
        let mut winners = Vec::new();
        for swap in swaps.collect::<Vec<_>>() {
            winners.extend(swap.await.expect("a swap"));
        }
        let [winner] = winners[..] else { panic!("{winners:?} win version {version}") };
        assert_eq!(table(&*store, Group::Notifier).await.assignment, all_held_by(winner, version));
    }
}

/// One group's members and assignment are not the other's.
pub async fn groups_are_apart(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    store.put_member(Group::Processor, &member(1, 1)).await.expect("put");
    assert!(store.swap_assignment(Group::Processor, &all_held_by(1, 1)).await.expect("swap"));
    assert_eq!(table(&*store, Group::Notifier).await, LeaseTable::default());
    store.put_member(Group::Notifier, &member(1, 5)).await.expect("put");
    store.remove_member(Group::Notifier, &member(1, 5)).await.expect("remove");
    assert!(store.swap_assignment(Group::Notifier, &all_held_by(2, 1)).await.expect("swap"));
    let expected = LeaseTable { assignment: all_held_by(1, 1), members: vec![member(1, 1)] };
    assert_eq!(table(&*store, Group::Processor).await, expected);
    assert!(store.tenants().await.expect("tenants").is_empty(), "a group is no tenant");
}

/// As many partitions as there can be, each with a holder and a target of its own, and hundreds of members.
pub async fn the_largest_assignment_fits(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let of = |number: u32| MemberId(u64::MAX - u64::from(number));
    let slots = (0..SLOTS).map(|slot| Slot::Moving { from: of(slot), to: of(slot + SLOTS) }).collect();
    let assignment = AssignmentRow { version: 1, slots };
    assert!(store.swap_assignment(Group::Processor, &assignment).await.expect("swap"));
    for id in 0..300 {
        store.put_member(Group::Processor, &member(id, 1)).await.expect("put");
    }
    let found = table(&*store, Group::Processor).await;
    assert_eq!(found.assignment, assignment);
    assert_eq!(found.members, (0..300).map(|id| member(id, 1)).collect::<Vec<_>>());
}
