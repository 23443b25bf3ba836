//! Leases, as Cassandra orders their writes.

use ronda_schemas::lease::{AssignmentRow, Group, MemberId, MemberRow};
use ronda_store::cassandra::{check, migrate};
use ronda_store::error::StoreErrorKind;
use ronda_store::port::LeaseStore as _;

use crate::keyspace;

fn member(renewals: u64) -> MemberRow {
    MemberRow { id: MemberId(u64::MAX), name: "host/1".into(), renewals, leaving: false, partitions: 4 }
}

/// Members' states are ordered by their counters, whatever clocks say and whenever they come; what was removed stays so until it is renewed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_sign_of_life_covers_and_brings_back_nothing() {
    let keyspace = keyspace().await;
    let store = keyspace.store().await;
    let members = async || store.leases(Group::Notifier).await.expect("leases").members;
    store.put_member(Group::Notifier, &member(3)).await.expect("put");
    store.put_member(Group::Notifier, &member(2)).await.expect("a late one");
    assert_eq!(members().await, [member(3)]);
    store.remove_member(Group::Notifier, &member(3)).await.expect("remove");
    store.put_member(Group::Notifier, &member(3)).await.expect("a late one");
    assert!(members().await.is_empty());
    store.put_member(Group::Notifier, &member(4)).await.expect("put");
    assert_eq!(members().await, [member(4)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_a_newer_release_are_refused() {
    let keyspace = keyspace().await;
    let store = keyspace.store().await;
    let assignment = AssignmentRow { version: 1, slots: Vec::new() };
    assert!(store.swap_assignment(Group::Processor, &assignment).await.expect("swap"));
    store.put_member(Group::Notifier, &member(1)).await.expect("put");
    // `[99, nil]` in MessagePack.
    keyspace.cql("UPDATE ks.lease_assignments SET row = 0x9263c0 WHERE pool = 'processor' IF EXISTS").await;
    let place = "pool = 'notifier' AND member = -1";
    keyspace.cql(&format!("UPDATE ks.lease_members USING TIMESTAMP 9 SET row = 0x9263c0 WHERE {place}")).await;
    for group in Group::ALL {
        let refused = store.leases(group).await.expect_err("a newer release's");
        assert!(refused.kind == StoreErrorKind::Unreadable && refused.message.contains("version 99"), "{refused}");
    }
}

/// Tables that were made before there were leases get what is missing, and lose nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_from_before_leases_are_completed() {
    let keyspace = keyspace().await;
    keyspace.cql("DROP TABLE ks.lease_members").await;
    keyspace.cql("DROP TABLE ks.lease_assignments").await;
    let missing = ["table lease_assignments is missing", "table lease_members is missing"];
    assert_eq!(check(&keyspace.options()).await.expect("check"), missing);
    migrate(&keyspace.options()).await.expect("migrate");
    assert_eq!(check(&keyspace.options()).await.expect("check"), Vec::<String>::new());
    let store = keyspace.store().await;
    store.put_member(Group::Processor, &member(1)).await.expect("put");
    assert_eq!(store.leases(Group::Processor).await.expect("leases").members, [member(1)]);
}
