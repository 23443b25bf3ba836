//! Making and checking the tables.

use ronda_store::cassandra::{CassandraOptions, CassandraStore, check, migrate};
use ronda_store::error::StoreErrorKind;
use ronda_store::port::SurfaceStore as _;

use crate::bed::Keyspace;
use crate::{keyspace, server};

/// Nothing there: said by the check and by a start, with what to run. Two that migrate at once both come to the same end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_once_by_several_at_once() {
    let keyspace = Keyspace::named(server());
    let options = keyspace.options();
    let findings = check(&options).await.expect("check");
    assert_eq!(findings, [format!("there is no keyspace {} with tables in it", keyspace.name)]);
    let refused = CassandraStore::connect(options.clone()).await.map(drop).expect_err("no tables");
    assert_eq!(refused.kind, StoreErrorKind::Conflict);
    assert!(refused.message.contains("migrate"), "{refused}");

    let (first, second) = tokio::join!(migrate(&options), migrate(&options));
    first.and(second).expect("both at once");
    migrate(&options).await.expect("once more");
    assert_eq!(check(&options).await.expect("check"), Vec::<String>::new());
    keyspace.store().await;
}

/// Every difference is said at once; tables of a newer release are left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_difference_is_said_at_once() {
    let keyspace = keyspace().await;
    keyspace.cql("DROP TABLE ks.tenants").await;
    keyspace.cql("ALTER TABLE ks.schedulers DROP shown").await;
    keyspace.cql("DROP TABLE ks.error_days").await;
    keyspace.cql("CREATE TABLE ks.error_days (tenant text PRIMARY KEY, age text)").await;
    let findings = check(&keyspace.options()).await.expect("check");
    let expected = [
        "column schedulers.shown is missing",
        "table tenants is missing",
        "column error_days.age is regular text, not clustering bigint",
    ];
    assert_eq!(findings, expected);
    let refused = migrate(&keyspace.options()).await.expect_err("tables of another shape");
    assert!(refused.kind == StoreErrorKind::Conflict && refused.message.contains("error_days.age"), "{refused}");
    assert!(!refused.message.contains("tenants"), "what was missing was made: {refused}");

    let keyspace = crate::keyspace().await;
    keyspace.cql("UPDATE ks.meta SET version = 2 WHERE what = 'schema' IF EXISTS").await;
    for refused in [check(&keyspace.options()).await.map(drop), migrate(&keyspace.options()).await] {
        let refused = refused.expect_err("a newer release's tables");
        assert!(refused.kind == StoreErrorKind::Unreadable && refused.message.contains("version 2"), "{refused}");
    }
}

/// A column that came with a later release is added to tables that are there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_is_missing_is_added() {
    let keyspace = keyspace().await;
    keyspace.store().await.acquire_shard(0).await.expect("acquire shard");
    keyspace.cql("ALTER TABLE ks.surfaces DROP commits").await;
    assert_eq!(check(&keyspace.options()).await.expect("check"), ["column surfaces.commits is missing"]);
    migrate(&keyspace.options()).await.expect("migrate");
    assert_eq!(check(&keyspace.options()).await.expect("check"), Vec::<String>::new());
    let store = keyspace.store().await;
    let epoch = store.acquire_shard(0).await.expect("acquire shard");
    store.commit_surfaces(0, epoch, Vec::new()).await.expect("commit");
}

/// Nodes of a datacenter that is not there are never found: a start says so instead of waiting for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_datacenter_that_is_not_there_is_refused() {
    let keyspace = keyspace().await;
    let named = |name: &str| CassandraOptions { datacenter: Some(name.to_owned()), ..keyspace.options() };
    CassandraStore::connect(named("datacenter1")).await.expect("connect");
    let refused = CassandraStore::connect(named("elsewhere")).await.map(drop).expect_err("nobody is there");
    assert_eq!(refused.kind, StoreErrorKind::Invalid);
    assert!(refused.message.contains("datacenter1"), "{refused}");
}
