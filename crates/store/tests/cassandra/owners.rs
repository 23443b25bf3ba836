//! Several processes that take a store for theirs.

use std::collections::BTreeSet;
use std::sync::Arc;

use ronda_domain::record::OccurrenceStatus;
use ronda_schemas::row::PartitionRow;
use ronda_store::cassandra::{CassandraOptions, CassandraStore};
use ronda_store::conformance::fixture::{Owner, deleted, due, everything, key, occurrence, refusal, row, tenant};
use ronda_store::error::StoreErrorKind;
use ronda_store::port::{Commit, PartitionStore as _, SchedulerReads as _};
use ronda_testbed::{Link, Mode};

use crate::keyspace;

/// The server fences, not the process: an owner that another process has replaced covers nothing, brings nothing back, and its entries
/// are not shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_another_process_replaced_covers_nothing() {
    let keyspace = keyspace().await;
    let (one, other) = (keyspace.store().await, keyspace.store().await);
    let (kept, removed, job) = (key("acme", "kept"), key("acme", "removed"), key("acme", "job"));
    let entry = |status| vec![(job.clone(), occurrence(&due(60), status))];
    let mut stalled = Owner::acquire(&one, 0, 1).await;
    for position in 1..=3 {
        stalled.put(&one, vec![row(&kept, position), row(&removed, position)]).await;
    }
    let mut owner = Owner::acquire(&other, 0, 1).await;
    let commit = Commit {
        rows: vec![row(&kept, 10)],
        removed: vec![removed.clone()],
        occurrences: entry(OccurrenceStatus::Succeeded),
        ..owner.next_commit()
    };
    other.commit(Arc::new(commit)).await.expect("commit");

    let late = Commit {
        rows: vec![row(&kept, 4), row(&removed, 4)],
        occurrences: entry(OccurrenceStatus::Missed),
        ..stalled.next_commit()
    };
    let late = Arc::new(late);
    for _ in 0..2 {
        assert_eq!(refusal(one.commit(Arc::clone(&late)).await), StoreErrorKind::Fenced);
    }
    for store in [&one, &other] {
        let found = store.scheduler("acme", "kept").await.expect("scheduler").expect("a row");
        assert_eq!(found.position, 10);
        assert_eq!(store.scheduler("acme", "removed").await.expect("scheduler"), None);
        let listed = store.schedulers(&tenant("acme"), None, 9).await.expect("schedulers");
        assert_eq!(listed.len(), 1, "{listed:?}");
        let history = store.history(&job, &everything()).await.expect("history").entries;
        let statuses: Vec<_> = history.iter().map(|entry| entry.occurrence.status).collect();
        assert_eq!(statuses, [OccurrenceStatus::Succeeded]);
    }
}

/// Where several acquire one partition at the same time no epoch is given out twice, and one of them owns it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acquisitions_at_the_same_time_all_differ() {
    let keyspace = keyspace().await;
    let mut acquiring = Vec::new();
    for _ in 0..3 {
        let store = Arc::new(keyspace.store().await);
        acquiring.push(tokio::spawn(async move {
            let mut rows = Vec::new();
            for _ in 0..5 {
                rows.push(store.acquire(1, 2).await.expect("acquire"));
            }
            (store, rows)
        }));
    }
    let (mut epochs, mut owners) = (BTreeSet::new(), Vec::new());
    for acquired in acquiring {
        let (store, rows) = acquired.await.expect("an owner");
        assert!(rows.is_sorted_by_key(|row| row.epoch));
        owners.push((store, rows.last().expect("a row").clone()));
        for row in rows {
            assert!(epochs.insert(row.epoch), "epoch {} twice", row.epoch);
        }
    }
    assert_eq!(epochs.len(), 15);
    // Only when nobody acquires any more is there one owner.
    for (store, partition) in owners {
        let is_last = epochs.last() == Some(&partition.epoch);
        let commit = Commit { partition, ..Commit::default() };
        assert_eq!(store.commit(Arc::new(commit)).await.is_ok(), is_last);
    }
}

/// What one owner knows to be in the list may have been taken out by another meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduler_that_another_owner_removed_is_listed_again() {
    let keyspace = keyspace().await;
    let (one, other) = (keyspace.store().await, keyspace.store().await);
    let job = key("acme", "job");
    Owner::acquire(&one, 0, 1).await.put(&one, vec![row(&job, 1)]).await;
    Owner::acquire(&other, 0, 1).await.put(&other, vec![deleted(&job, 2)]).await;
    assert!(one.schedulers(&tenant("acme"), None, 9).await.expect("schedulers").is_empty());
    assert!(one.tenants().await.expect("tenants").is_empty());
    Owner::acquire(&one, 0, 1).await.put(&one, vec![row(&job, 3)]).await;
    let listed = other.schedulers(&tenant("acme"), None, 9).await.expect("schedulers");
    assert_eq!(listed.iter().map(|row| row.position).collect::<Vec<_>>(), [3]);
}

/// A repartitioning that was broken off keeps everybody out until it is run again, or given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repartitioning_that_was_broken_off_is_finished_or_given_up() {
    let keyspace = keyspace().await;
    let store = keyspace.store().await;
    let mut owner = Owner::acquire(&store, 1, 2).await;
    owner.put(&store, Vec::new()).await;
    let broken_off = "UPDATE ks.meta SET moving_to = 8 WHERE what = 'partitions' IF EXISTS";

    keyspace.cql(broken_off).await;
    for partitions in [2, 8] {
        let refused = store.acquire(0, partitions).await.expect_err("a repartitioning is under way");
        assert_eq!(refused.kind, StoreErrorKind::Conflict);
        assert!(refused.message.contains("from 2 command partitions to 8"), "{refused}");
    }
    store.repartition(2).await.expect("given up");
    store.acquire(0, 2).await.expect("acquire");

    keyspace.cql(broken_off).await;
    let other = keyspace.store().await;
    let (first, second) = tokio::join!(store.repartition(8), other.repartition(8));
    first.and(second).expect("both at once");
    assert_eq!(refusal(store.commit(Arc::new(owner.next_commit())).await), StoreErrorKind::Fenced);
    for partition in 0..8 {
        let row = other.acquire(partition, 8).await.expect("acquire");
        assert_eq!((row.partitions, row.cursor), (8, 1));
        assert!(row.epoch > owner.partition.epoch + 1);
    }
}

/// Who stalls between asking for how many partitions there are and owning one of them owns nothing when they changed meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquisition_during_a_repartitioning_owns_nothing() {
    let keyspace = keyspace().await;
    let (store, other) = (Arc::new(keyspace.store().await), keyspace.store().await);
    store.acquire(0, 2).await.expect("acquire");
    for partitions in [4, 2, 4] {
        let before = if partitions == 4 { 2 } else { 4 };
        let racing = Arc::clone(&store);
        let acquiring = tokio::spawn(async move {
            let mut acquired = Vec::new();
            while let Ok(row) = racing.acquire(0, before).await {
                acquired.push(row);
            }
            acquired
        });
        other.repartition(partitions).await.expect("repartition");
        let acquired = acquiring.await.expect("an owner");
        let now = other.partition(0).await.expect("partition").expect("a row");
        for row in acquired {
            assert!(row.epoch < now.epoch, "{} after {}", row.epoch, now.epoch);
            let commit = Commit { partition: row, ..Commit::default() };
            assert_eq!(refusal(store.commit(Arc::new(commit)).await), StoreErrorKind::Fenced);
        }
        assert_eq!(other.partition(0).await.expect("partition"), Some(now));
    }
}

/// A repartitioning that stood still while it was given up, owners went on, and another one began, does not end that other one with what it
/// had read before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repartitioning_that_was_given_up_ends_no_other_one() {
    let keyspace = keyspace().await;
    let link = Link::to(keyspace.address).await.expect("a link");
    let options = CassandraOptions { nodes: vec![link.address().to_string()], ..keyspace.options() };
    let (stalled, store) = (CassandraStore::connect(options).await.expect("connect"), keyspace.store().await);
    Owner::acquire(&store, 0, 2).await.put(&store, Vec::new()).await;
    let stalled = tokio::spawn(async move { stalled.repartition(1024).await });
    while store.acquire(0, 2).await.is_ok() {}
    link.set(Mode::Freeze);

    store.repartition(2).await.expect("given up");
    let mut owner = Owner::acquire(&store, 0, 2).await;
    for _ in 0..3 {
        owner.put(&store, Vec::new()).await;
    }
    let now = store.partition(0).await.expect("partition");
    keyspace.cql("UPDATE ks.meta SET moving_to = 1024, holder = 5 WHERE what = 'partitions' IF EXISTS").await;
    link.set(Mode::Pass);
    assert_eq!(refusal(stalled.await.expect("a task")), StoreErrorKind::Conflict);
    // It may have raised the epoch before it noticed, which costs the owner another acquisition and nothing else.
    let then = store.partition(0).await.expect("partition");
    let kept = |row: &Option<PartitionRow>| row.as_ref().map(|row| (row.partitions, row.cursor));
    assert_eq!(kept(&then), kept(&now));
    store.repartition(1024).await.expect("the other one ends");
    let row = store.acquire(7, 1024).await.expect("acquire");
    assert_eq!(Some(row.cursor), now.as_ref().map(|row| row.cursor));
    assert!(now.is_some_and(|now| now.epoch < row.epoch));
}

/// Tables that were copied one after another, with a change of owners in between, and put back: rows of epochs that the partition's row has
/// not come to would cover whatever the next owner writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_whose_epoch_was_put_back_below_its_rows_owns_nothing_until_it_is_above_them() {
    let keyspace = keyspace().await;
    let job = key("acme", "job");
    let before = keyspace.store().await;
    for position in 1..=3 {
        Owner::acquire(&before, 0, 1).await.put(&before, vec![row(&job, position)]).await;
    }
    let session = keyspace.session().await;
    let query = format!("SELECT generation FROM {}.partitions", keyspace.name);
    let found = session.query_unpaged(query, ()).await.expect("a query").into_rows_result().expect("rows");
    let (generation,) = found.single_row::<(i64,)>().expect("a partition");
    let set = "UPDATE ks.partitions SET epoch = 1, commits = 1";
    keyspace.cql(&format!("{set} WHERE generation = {generation} AND partition = 0 IF EXISTS")).await;

    let store = keyspace.store().await;
    let mut refused = 0;
    let mut owner = loop {
        let owner = Owner::acquire(&store, 0, 1).await;
        match store.load(0, 1, None, 9).await {
            Ok(rows) => {
                assert_eq!(rows.iter().map(|row| row.position).collect::<Vec<_>>(), [3]);
                break owner;
            }
            Err(error) => {
                assert_eq!(error.kind, StoreErrorKind::Fenced);
                assert!(error.message.contains("epoch"), "{error}");
                refused += 1;
            }
        }
    };
    owner.put(&store, vec![row(&job, 4)]).await;
    let found = store.scheduler("acme", "job").await.expect("scheduler").expect("a row");
    assert_eq!(found.position, 4, "what the new owner writes counts");
    assert_eq!((refused, owner.partition.epoch), (2, 4));
    assert_eq!(store.load(0, 1, None, 9).await.expect("its own rows").len(), 1);
}
