//! Commits, their owners, and loading.

use std::collections::BTreeSet;
use std::sync::Arc;

use ronda_domain::id::{SchedulerKey, partition_of};
use ronda_domain::record::OccurrenceStatus;
use ronda_domain::time::Timestamp;

use super::StoreHarness;
use super::fixture::{Owner, at, due, error, everything, key, occurrence, refusal, row, run, tenant};
use crate::error::StoreErrorKind;
use crate::port::{Commit, Store};

/// A commit with something of everything.
fn full(owner: &mut Owner, scheduler: &SchedulerKey) -> Commit {
    let subject = due(3_600);
    Commit {
        rows: vec![row(scheduler, 1)],
        occurrences: vec![(scheduler.clone(), occurrence(&subject, OccurrenceStatus::Succeeded))],
        runs: vec![(scheduler.clone(), run(&subject, "run-1", 3_605))],
        errors: vec![error("acme", 3_610, 1)],
        ..owner.next_commit()
    }
}

/// How many of a full commit's five parts can be read.
async fn parts_seen(store: &dyn Store, scheduler: &SchedulerKey, cursor: u64) -> usize {
    let stored = store.scheduler(scheduler.tenant.as_str(), scheduler.scheduler.as_str()).await.expect("scheduler");
    let listed = store.schedulers(&scheduler.tenant, None, 10).await.expect("schedulers");
    let history = store.history(scheduler, &everything()).await.expect("history").entries;
    let errors = store.errors(&scheduler.tenant, None, 10).await.expect("errors");
    let partition = store.partition(0).await.expect("partition");
    let seen = [
        stored == Some(row(scheduler, 1)),
        listed == [row(scheduler, 1)],
        history.len() == 1 && history.iter().all(|entry| entry.runs.len() == 1),
        errors == [error("acme", 3_610, 1)],
        partition.is_some_and(|partition| partition.cursor == cursor),
    ];
    seen.into_iter().filter(|seen| *seen).count()
}

/// What was committed can be read at once, and after the store was closed and opened.
pub async fn a_commit_is_seen_and_survives_reopening(harness: &dyn StoreHarness) {
    let scheduler = key("acme", "nightly-billing");
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    owner.partition.watermark = at(3_700);
    owner.partition.applied = 17;
    store.commit(Arc::new(full(&mut owner, &scheduler))).await.expect("commit");
    assert_eq!(parts_seen(&*store, &scheduler, 1).await, 5);
    drop(store);

    let store = harness.open().await;
    assert_eq!(parts_seen(&*store, &scheduler, 1).await, 5);
    assert_eq!(store.partition(0).await.expect("partition"), Some(owner.partition));
    assert_eq!(store.partition(1).await.expect("partition"), None);
}

/// Of a commit that is refused, no part is there; without transactions the partition's row at least is as it was.
pub async fn a_refused_commit_leaves_nothing(harness: &dyn StoreHarness) {
    let scheduler = key("acme", "nightly-billing");
    let store = harness.open().await;
    let mut stalled = Owner::acquire(&*store, 0, 1).await;
    let owner = Owner::acquire(&*store, 0, 1).await;
    assert_eq!(refusal(store.commit(Arc::new(full(&mut stalled, &scheduler))).await), StoreErrorKind::Fenced);
    let check = async |store: &dyn Store| {
        if store.is_atomic() {
            assert_eq!(parts_seen(store, &scheduler, 1).await, 0);
        }
        assert_eq!(store.partition(0).await.expect("partition").as_ref(), Some(&owner.partition));
    };
    check(&*store).await;
    drop(store);
    check(&*harness.open().await).await;
}

/// Once somebody else has acquired the partition, the earlier owner writes nothing more; the new one does.
pub async fn an_older_epoch_is_fenced_out_whole(harness: &dyn StoreHarness) {
    let scheduler = key("acme", "nightly-billing");
    let store = harness.open().await;
    let (removed, late) = (key("acme", "removed"), key("acme", "late"));
    let mut stalled = Owner::acquire(&*store, 0, 2).await;
    stalled.put(&*store, vec![row(&scheduler, 1), row(&removed, 1)]).await;
    let mut owner = Owner::acquire(&*store, 0, 2).await;
    let mut other = Owner::acquire(&*store, 1, 2).await;
    owner.put(&*store, vec![row(&scheduler, 3)]).await;
    let commit = Commit { removed: vec![removed.clone()], ..owner.next_commit() };
    store.commit(Arc::new(commit)).await.expect("commit");

    let rows = vec![row(&scheduler, 2), row(&removed, 2), row(&late, 2)];
    let zombies = Commit { rows, removed: vec![scheduler.clone()], ..stalled.next_commit() };
    assert_eq!(refusal(store.commit(Arc::new(zombies)).await), StoreErrorKind::Fenced);
    let position = async |key: &SchedulerKey| {
        let row = store.scheduler(key.tenant.as_str(), key.scheduler.as_str()).await.expect("scheduler");
        row.map(|row| row.position)
    };
    assert_eq!(position(&scheduler).await, Some(3), "what a newer owner wrote is not covered");
    assert_eq!(position(&removed).await, None, "what a newer owner removed does not come back");
    if store.is_atomic() {
        assert_eq!(position(&late).await, None);
    }
    other.put(&*store, Vec::new()).await;
    let partition = store.partition(0).await.expect("partition").expect("a row");
    assert_eq!((partition.epoch, partition.cursor), (owner.partition.epoch, 3));
}

/// An owner that asks is told whether it still is the owner, whoever acquired the partition by which connection.
pub async fn an_owner_that_asks_is_told_whether_it_was_replaced(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    // The one with transactions belongs to a single process.
    let other = if store.is_atomic() { Arc::clone(&store) } else { harness.open().await };
    assert_eq!(refusal(store.check_owner(0, 0).await), StoreErrorKind::Fenced, "nobody has acquired it");
    let mut first = Owner::acquire(&*store, 0, 2).await;
    let epoch = first.partition.epoch;
    store.check_owner(0, epoch).await.expect("it has acquired it");
    first.put(&*store, Vec::new()).await;
    store.check_owner(0, epoch).await.expect("it has committed");
    Owner::acquire(&*store, 1, 2).await;
    store.check_owner(0, epoch).await.expect("another partition's epoch is another one");
    let second = Owner::acquire(&*other, 0, 2).await;
    other.check_owner(0, second.partition.epoch).await.expect("it is the owner now");
    assert_eq!(refusal(store.check_owner(0, epoch).await), StoreErrorKind::Fenced);
    assert_eq!(refusal(other.check_owner(0, second.partition.epoch + 1).await), StoreErrorKind::Fenced);
}

/// A partition that nobody has acquired takes no commit.
pub async fn nobody_commits_without_acquiring(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    for epoch in [0, 1] {
        let mut commit = Commit::default();
        commit.partition.partitions = 1;
        commit.partition.epoch = epoch;
        assert_eq!(refusal(store.commit(Arc::new(commit)).await), StoreErrorKind::Fenced);
    }
    assert_eq!(store.partition(0).await.expect("partition"), None);
}

/// Every acquisition has a greater epoch, over reopening too; the rest of the row is as it was committed.
pub async fn acquiring_raises_the_epoch_and_keeps_the_rest(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 3, 4).await;
    let fresh = &owner.partition;
    assert_eq!((fresh.partition, fresh.partitions, fresh.cursor), (3, 4, 0));
    assert_eq!(fresh.watermark, Timestamp::MIN);
    owner.partition.watermark = at(5);
    owner.partition.published = 9;
    owner.put(&*store, Vec::new()).await;
    let mut last = owner.partition.epoch;
    drop(store);
    for _ in 0..3 {
        let store = harness.open().await;
        for _ in 0..2 {
            let row = store.acquire(3, 4).await.expect("acquire");
            assert!(row.epoch > last, "epoch {} after {last}", row.epoch);
            assert_eq!(store.partition(3).await.expect("partition").as_ref(), Some(&row));
            last = row.epoch;
            assert_eq!((row.cursor, row.published, row.watermark), (1, 9, at(5)));
        }
    }
}

/// A store is made for one number of partitions; another number is refused with a kind of its own, and says so.
pub async fn another_number_of_partitions_is_refused(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    store.acquire(0, 8).await.expect("acquire");
    let refused = store.acquire(0, 16).await.expect_err("another number");
    assert_eq!(refused.kind, StoreErrorKind::OtherPartitions);
    assert!(refused.message.contains('8') && refused.message.contains("16"), "{}", refused.message);
    store.acquire(7, 8).await.expect("the right number still works");
}

/// Other partitions take over from all of those before: nobody of before writes any more, and no row is ahead of them.
pub async fn the_number_of_partitions_changes_as_a_whole(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    store.repartition(8).await.expect("a store without partitions stays without");
    let mut owners = Vec::new();
    for partition in 0..4 {
        let mut owner = Owner::acquire(&*store, partition, 4).await;
        let index = u64::from(partition);
        // The first of them has heard nothing yet.
        owner.partition.watermark = if partition == 0 { Timestamp::MIN } else { at(100 + i64::from(partition)) };
        (owner.partition.applied, owner.partition.refused) = (10 + index, index);
        for _ in 0..=partition {
            owner.put(&*store, Vec::new()).await;
        }
        owners.push(owner);
    }
    let keys: Vec<_> = (0..50).map(|number| key("acme", &format!("job-{number}"))).collect();
    let [.., last] = owners.as_mut_slice() else { panic!("four owners") };
    last.put(&*store, keys.iter().map(|key| row(key, 5)).collect()).await;
    let (cursor, epoch) = (last.partition.cursor, last.partition.epoch);
    for partitions in [2, 8, 1] {
        store.repartition(partitions).await.expect("repartition");
        store.repartition(partitions).await.expect("again");
        let mut counted = (0, 0);
        for partition in 0..partitions {
            let row = store.partition(partition).await.expect("partition").expect("a row");
            assert_eq!(
                (row.partition, row.partitions, row.cursor, row.published),
                (partition, partitions, cursor, cursor)
            );
            assert!(row.epoch > epoch && row.watermark == at(101) && row.gateways.is_empty(), "{row:?}");
            counted = (counted.0 + row.applied, counted.1 + row.refused);
        }
        assert_eq!(counted, (46, 6));
        assert_eq!(store.partition(partitions).await.expect("partition"), None);
    }
    for owner in &mut owners {
        assert_eq!(refusal(store.commit(Arc::new(owner.next_commit())).await), StoreErrorKind::Fenced);
    }
    drop(store);
    let store = harness.open().await;
    assert_eq!(refusal(store.acquire(0, 4).await.map(drop)), StoreErrorKind::OtherPartitions);
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    owner.put(&*store, Vec::new()).await;
    assert_eq!(store.load(0, 1, None, 100).await.expect("load").len(), keys.len());
}

/// Pages of all partitions together hold every row once, for several numbers of partitions.
pub async fn loading_gives_each_row_to_one_partition(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let keys: Vec<_> = (0..300).map(|number| key(["a", "ab", "a-b"][number % 3], &format!("job-{number}"))).collect();
    owner.put(&*store, keys.iter().map(|key| row(key, 1)).collect()).await;
    for partitions in [1, 2, 8, 64, 1024] {
        let mut seen = BTreeSet::new();
        for partition in 0..partitions {
            let mut after = None;
            loop {
                let page = store.load(partition, partitions, after.as_ref(), 17).await.expect("load");
                assert!(page.len() <= 17);
                let Some(last) = page.last() else { break };
                after = Some(last.key.clone());
                for row in page {
                    let own = partition_of(row.key.tenant.as_str(), row.key.scheduler.as_str(), partitions);
                    assert_eq!(own, partition, "{:?} of {partitions}", row.key);
                    assert!(seen.insert(row.key), "a row came twice");
                }
            }
        }
        assert_eq!(seen, keys.iter().cloned().collect(), "with {partitions} partitions");
    }
}

/// Owners of different partitions commit at the same time, and nothing is lost.
pub async fn concurrent_commits_are_all_kept(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owners = Vec::new();
    for partition in 0..8 {
        let store = Arc::clone(&store);
        owners.push(tokio::spawn(async move {
            let mut owner = Owner::acquire(&*store, partition, 8).await;
            for position in 1..=20 {
                owner.put(&*store, vec![row(&key("acme", &format!("job-{partition}-{position}")), position)]).await;
            }
        }));
    }
    for owner in owners {
        owner.await.expect("an owner");
    }
    drop(store);
    let store = harness.open().await;
    assert_eq!(store.schedulers(&tenant("acme"), None, 1_000).await.expect("schedulers").len(), 160);
    for partition in 0..8 {
        assert_eq!(store.partition(partition).await.expect("partition").map(|row| row.cursor), Some(20));
    }
}

/// A thousand rows, and one of a megabyte, in one commit.
pub async fn a_large_commit_is_kept_whole(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let mut commit = owner.next_commit();
    commit.rows = (0..1_000).map(|number| row(&key("acme", &format!("job-{number}")), number)).collect();
    let mut large = run(&due(1), "large", 1);
    large.error = Some("e".repeat(1 << 20).into());
    commit.occurrences = vec![(key("acme", "job-0"), occurrence(&due(1), OccurrenceStatus::Failed))];
    commit.runs = vec![(key("acme", "job-0"), large.clone())];
    store.commit(Arc::new(commit)).await.expect("commit");
    drop(store);
    let store = harness.open().await;
    assert_eq!(store.load(0, 1, None, 2_000).await.expect("load").len(), 1_000);
    let history = store.history(&key("acme", "job-0"), &everything()).await.expect("history").entries;
    assert_eq!(history.first().map(|entry| entry.runs.as_slice()), Some([large].as_slice()));
}
