//! Work of several steps that ends between any two of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ronda_store::conformance::fixture::{Owner, at, key, refusal, row};
use ronda_store::dynamodb::{DynamoOptions, DynamoStore};
use ronda_store::error::StoreErrorKind;
use ronda_store::port::{Commit, PartitionStore, SchedulerReads, SurfaceStore, SurfaceWrite};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{by, made, open, server};
use ronda_testbed::{AwsProxy, Fate, call_dynamodb};

/// Lets so many writes through and then none, as a process that ends there.
struct Ending {
    proxy: AwsProxy,
    left: Arc<AtomicUsize>,
}

impl Ending {
    async fn new() -> Self {
        let left = Arc::new(AtomicUsize::new(usize::MAX));
        let shared = Arc::clone(&left);
        let proxy = AwsProxy::to(server().address(), move |action, _| {
            let is_write = matches!(action, "PutItem" | "UpdateItem" | "TransactWriteItems" | "BatchWriteItem");
            let take = |left: usize| left.checked_sub(1);
            if is_write && shared.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
                return Fate::dead();
            }
            Fate::Pass
        });
        Self { proxy: proxy.await.expect("a proxy"), left }
    }

    fn after(&self, writes: usize) {
        self.left.store(writes, Ordering::Relaxed);
    }
}

/// How many items of journals a shard has.
pub(crate) async fn journal_items(options: &DynamoOptions, shard: u32) -> u64 {
    let query = json!({
        "TableName": format!("{}-surfaces", options.prefix),
        "KeyConditionExpression": "#shard = :shard AND begins_with(#place, :journal)",
        "ExpressionAttributeNames": {"#shard": "shard", "#place": "place"},
        "ExpressionAttributeValues": {":shard": {"N": shard.to_string()}, ":journal": {"S": "j"}},
        "ConsistentRead": true,
    });
    let answer = call_dynamodb(server().address(), "Query", &query).await.expect("an answer");
    answer["Count"].as_u64().expect("a count")
}

const SURFACES: usize = 250;

fn surfaces(text: &str) -> Vec<SurfaceWrite> {
    let write = |number| SurfaceWrite { key: format!("alert/{number}"), row: Some(text.as_bytes().to_vec()) };
    (0..SURFACES).map(write).collect()
}

/// Everything in a shard: one text, if it is whole.
async fn texts(store: &DynamoStore, shard: u32) -> Vec<String> {
    let rows = store.surfaces(shard, "alert/", None, 10_000).await.expect("surfaces");
    assert_eq!(rows.len(), SURFACES);
    let mut texts: Vec<_> = rows.into_iter().map(|(_, row)| String::from_utf8(row).expect("text")).collect();
    texts.dedup();
    texts
}

/// Whether the reader or the next owner comes first, all of a large commit is there or none of it, and nothing is left over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_commit_of_surfaces_is_whole_wherever_it_ends() {
    let options = made().await;
    let ending = Ending::new().await;
    let direct = open(options.clone()).await;
    let dying = open(by(&options, ending.proxy.address())).await;
    let (mut shard, mut outcomes) = (0, Vec::new());
    for writes in 0.. {
        let mut is_done = false;
        for is_read_first in [false, true] {
            shard += 1;
            ending.after(usize::MAX);
            let epoch = dying.acquire_shard(shard).await.expect("acquire shard");
            dying.commit_surfaces(shard, epoch, surfaces("old")).await.expect("commit");
            ending.after(writes);
            is_done = dying.commit_surfaces(shard, epoch, surfaces("new")).await.is_ok();
            let read = if is_read_first { texts(&direct, shard).await } else { Vec::new() };
            let next = direct.acquire_shard(shard).await.expect("acquire shard");
            let found = texts(&direct, shard).await;
            assert!(found == ["old"] || found == ["new"], "after {writes} writes: {found:?}");
            assert!(!is_done || found == ["new"], "it was said to be done");
            assert!(!is_read_first || read == found, "what was read stays");
            assert_eq!(journal_items(&options, shard).await, 0, "after {writes} writes");
            outcomes.push(found);
            ending.after(usize::MAX);
            let late = dying.commit_surfaces(shard, epoch, surfaces("late")).await;
            assert_eq!(refusal(late), StoreErrorKind::Fenced);
            direct.commit_surfaces(shard, next, surfaces("next")).await.expect("the next owner goes on");
            assert_eq!(texts(&direct, shard).await, ["next"]);
        }
        if is_done {
            break;
        }
        assert!(writes < 100, "it comes to an end");
    }
    assert!(outcomes.contains(&vec![String::from("old")]) && outcomes.contains(&vec![String::from("new")]));
}

/// The owner itself finds that its commit was done though it was told otherwise, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_finishes_its_own_journal_before_it_writes_more() {
    let options = made().await;
    let ending = Ending::new().await;
    let store = open(by(&options, ending.proxy.address())).await;
    let epoch = store.acquire_shard(0).await.expect("acquire shard");
    store.commit_surfaces(0, epoch, surfaces("old")).await.expect("commit");
    // Three parts and the head; then nothing of it can be applied.
    ending.after(4);
    store.commit_surfaces(0, epoch, surfaces("new")).await.expect_err("it ends there");
    ending.after(usize::MAX);
    let one = SurfaceWrite { key: String::from("alert/7"), row: Some(b"newest".to_vec()) };
    store.commit_surfaces(0, epoch, vec![one]).await.expect("commit");
    let mut found = texts(&store, 0).await;
    found.sort();
    found.dedup();
    assert_eq!(found, ["new", "newest"]);
}

/// Who stood still while applying a journal applies nothing over what came later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_owner_applies_no_journal_over_later_rows() {
    let options = made().await;
    let (go, held) = oneshot::channel();
    let (reached, is_reached) = oneshot::channel();
    let mut held = Some((held, reached));
    let proxy = AwsProxy::to(server().address(), move |action, body: &Value| {
        let is_check = body["TransactItems"][0]["ConditionCheck"].is_object();
        if action == "TransactWriteItems"
            && is_check
            && let Some((held, reached)) = held.take()
        {
            let _ = reached.send(());
            return Fate::Hold(held);
        }
        Fate::Pass
    });
    let proxy = proxy.await.expect("a proxy");
    let stalled = open(by(&options, proxy.address())).await;
    let epoch = stalled.acquire_shard(0).await.expect("acquire shard");
    let commit = tokio::spawn(async move { stalled.commit_surfaces(0, epoch, surfaces("stalled")).await });
    is_reached.await.expect("it applies");
    let direct = open(options.clone()).await;
    let next = direct.acquire_shard(0).await.expect("acquire shard");
    assert_eq!(texts(&direct, 0).await, ["stalled"], "it was committed");
    let removal = (0..SURFACES).map(|number| SurfaceWrite { key: format!("alert/{number}"), row: None }).collect();
    direct.commit_surfaces(0, next, removal).await.expect("commit");
    go.send(()).expect("it goes on");
    commit.await.expect("a task").expect("its commit was done");
    assert!(direct.surfaces(0, "", None, 9).await.expect("surfaces").is_empty(), "what was removed stays away");
}

/// A change of the number of partitions goes on wherever it ended, and no owner of before writes any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_partitions_is_finished_wherever_it_ended() {
    let options = made().await;
    let ending = Ending::new().await;
    let direct = open(options.clone()).await;
    let mut cursor = 0;
    for writes in 0.. {
        let dying = open(by(&options, ending.proxy.address())).await;
        ending.after(usize::MAX);
        let mut owners = Vec::new();
        for partition in 0..2 {
            let mut owner = Owner::acquire(&dying, partition, 2).await;
            cursor += 10;
            owner.partition.cursor = cursor;
            owner.partition.watermark = at(i64::from(partition) + 1);
            owner.put(&dying, Vec::new()).await;
            owners.push(owner);
        }
        let epoch = owners.iter().map(|owner| owner.partition.epoch).max().expect("owners");
        ending.after(writes);
        let is_done = dying.repartition(4).await.is_ok();
        // In between, whoever asks is told that it is under way, or is an owner that loses it to whoever goes on.
        match direct.acquire(0, 2).await {
            Ok(_) => assert_eq!(writes, 0, "it was announced"),
            Err(error) => {
                assert!(matches!(error.kind, StoreErrorKind::Conflict | StoreErrorKind::OtherPartitions), "{error}");
            }
        }
        let (one, other) = tokio::join!(direct.repartition(4), direct.repartition(4));
        assert!(one.is_ok() || other.is_ok(), "{one:?} {other:?}");
        direct.repartition(4).await.expect("it is for that number");
        for partition in 0..4 {
            let row = direct.partition(partition).await.expect("partition").expect("a row");
            assert!(row.epoch > epoch && row.partitions == 4, "{row:?}");
            assert_eq!((row.cursor, row.watermark), (cursor + 1, at(1)));
        }
        ending.after(usize::MAX);
        for owner in &mut owners {
            assert_eq!(refusal(dying.commit(Arc::new(owner.next_commit())).await), StoreErrorKind::Fenced);
        }
        assert_eq!(refusal(direct.acquire(0, 2).await), StoreErrorKind::OtherPartitions);
        Owner::acquire(&direct, 3, 4).await.put(&direct, Vec::new()).await;
        direct.repartition(2).await.expect("and back");
        cursor += 10;
        if is_done {
            break;
        }
        assert!(writes < 100, "it comes to an end");
    }
}

/// Who read the old number, and comes back after it was changed, owns nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acquisition_that_met_the_old_number_owns_nothing() {
    let options = made().await;
    let direct = open(options.clone()).await;
    let mut owner = Owner::acquire(&direct, 0, 2).await;
    owner.put(&direct, vec![row(&key("acme", "job"), 1)]).await;
    let (go, held) = oneshot::channel();
    let (reached, is_reached) = oneshot::channel();
    let mut held = Some((held, reached));
    let proxy = AwsProxy::to(server().address(), move |action, _| {
        if action == "UpdateItem"
            && let Some((held, reached)) = held.take()
        {
            let _ = reached.send(());
            return Fate::Hold(held);
        }
        Fate::Pass
    });
    let proxy = proxy.await.expect("a proxy");
    let late = open(by(&options, proxy.address())).await;
    let acquiring = tokio::spawn(async move { late.acquire(0, 2).await });
    is_reached.await.expect("it met the old number");
    direct.repartition(1).await.expect("repartition");
    go.send(()).expect("it goes on");
    let refused = acquiring.await.expect("a task").expect_err("it comes too late");
    assert_eq!(refused.kind, StoreErrorKind::OtherPartitions);
    let row = direct.partition(0).await.expect("partition").expect("a row");
    assert_eq!((row.partitions, row.cursor), (1, owner.partition.cursor));
}

/// A commit that ends between any two of its rows moves nothing, and is done by trying it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_ended_halfway_is_tried_again() {
    let options = made().await;
    let ending = Ending::new().await;
    let store = open(by(&options, ending.proxy.address())).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    owner.put(&store, vec![row(&key("acme", "job-0"), 1)]).await;
    let rows = (0..5).map(|number| row(&key("acme", &format!("job-{number}")), 2)).collect();
    let commit = Arc::new(Commit { rows, ..owner.next_commit() });
    for writes in 0..6 {
        ending.after(writes);
        assert_eq!(refusal(store.commit(Arc::clone(&commit)).await), StoreErrorKind::Unavailable);
        assert_eq!(store.partition(0).await.expect("partition").map(|row| row.cursor), Some(1));
    }
    ending.after(6);
    store.commit(commit).await.expect("five rows and the partition's");
    assert_eq!(store.partition(0).await.expect("partition").map(|row| row.cursor), Some(2));
    assert_eq!(store.load(0, 1, None, 10).await.expect("load").len(), 5);
}
