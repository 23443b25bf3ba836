//! Many at once, many of one slot, and an index that lags behind.

use std::collections::BTreeSet;
use std::sync::Arc;

use ronda_domain::id::SchedulerKey;
use ronda_store::conformance::fixture::{Owner, deleted, key, refusal, row, tenant};
use ronda_store::dynamodb::DynamoOptions;
use ronda_store::error::StoreErrorKind;
use ronda_store::port::{Commit, LabelStore, PartitionStore, SchedulerReads};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{by, made, open, server};
use ronda_testbed::{AwsProxy, Fate};

/// However many acquire a partition at the same time, each has an epoch of its own; and a store is made for one number of partitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_who_acquire_has_an_epoch_of_its_own() {
    let store = Arc::new(open(made().await).await);
    let acquiring = (0..24).map(|number| {
        let store = Arc::clone(&store);
        // Half of them have another number in mind.
        let partitions = if number % 2 == 0 { 2 } else { 4 };
        tokio::spawn(async move { (partitions, store.acquire(0, partitions).await) })
    });
    let (mut epochs, mut numbers, mut refused) = (Vec::new(), BTreeSet::new(), 0);
    for acquiring in acquiring.collect::<Vec<_>>() {
        match acquiring.await.expect("a task") {
            (partitions, Ok(row)) => {
                numbers.insert(partitions);
                epochs.push(row.epoch);
            }
            (_, Err(error)) => {
                assert_eq!(error.kind, StoreErrorKind::OtherPartitions);
                refused += 1;
            }
        }
    }
    epochs.sort_unstable();
    assert_eq!((epochs, refused), ((1..=12).collect(), 12));
    assert_eq!(numbers.len(), 1, "the store is for one number");
}

/// From one partition to as many as there are slots, and back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_become_as_many_as_there_are_slots() {
    let store = open(made().await).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    owner.partition.applied = 7;
    owner.put(&store, vec![row(&key("acme", "job"), 1)]).await;
    store.repartition(1_024).await.expect("repartition");
    let slot = key("acme", "job").slot();
    let taken = store.acquire(slot, 1_024).await.expect("acquire");
    assert!(taken.epoch > owner.partition.epoch + 1, "{taken:?}");
    assert_eq!(taken.cursor, owner.partition.cursor);
    assert_eq!(store.load(slot, 1_024, None, 9).await.expect("load").len(), 1);
    assert_eq!(refusal(store.commit(Arc::new(owner.next_commit())).await), StoreErrorKind::Fenced);
    store.repartition(1).await.expect("repartition");
    let back = store.acquire(0, 1).await.expect("acquire");
    assert!(back.epoch > taken.epoch && back.applied == 7, "{back:?}");
}

/// Keys that all lie in one slot.
fn of_one_slot(count: usize) -> Vec<SchedulerKey> {
    let slot = key("acme", "job-0").slot();
    let keys = (0..).map(|number| key("acme", &format!("job-{number}")));
    keys.filter(|key| key.slot() == slot).take(count).collect()
}

/// A slot that does not fit into an answer, with removed schedulers in it, is loaded whole in pages of any size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_loaded_whole_wherever_answers_end() {
    let options = made().await;
    let proxy = AwsProxy::to(server().address(), |action, body| {
        if action != "Query" {
            return Fate::Pass;
        }
        let mut request = body.clone();
        request["Limit"] = json!(body["Limit"].as_u64().unwrap_or(2).min(2));
        Fate::Change { request, answer: Box::new(|answer| answer) }
    });
    let proxy = proxy.await.expect("a proxy");
    let store = open(by(&options, proxy.address())).await;
    let mut owner = Owner::acquire(&store, 0, 1_024).await;
    let keys = of_one_slot(20);
    owner.put(&store, keys.iter().map(|key| row(key, 1)).collect()).await;
    let (gone, kept): (Vec<_>, Vec<_>) =
        keys.iter().cloned().enumerate().partition(|(place, _)| (3..12).contains(place));
    let commit = Commit { removed: gone.into_iter().map(|(_, key)| key).collect(), ..owner.next_commit() };
    store.commit(Arc::new(commit)).await.expect("commit");
    let kept: BTreeSet<SchedulerKey> = kept.into_iter().map(|(_, key)| key).collect();
    for limit in [1, 2, 5, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.load(keys[0].slot(), 1_024, after.as_ref(), limit).await.expect("load");
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit);
            after = Some(last.key.clone());
            seen.extend(page.into_iter().map(|row| row.key));
        }
        assert_eq!(seen.len(), kept.len(), "in pages of {limit}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), kept, "in pages of {limit}");
    }
}

/// An index that still has what is deleted shows none of it, and pages come full all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_lags_behind_shows_nothing_that_is_deleted() {
    let options = made().await;
    let ghosts = ["job-1", "job-3", "job-5"];
    let proxy = AwsProxy::to(server().address(), move |action, body| {
        if action != "Query" || body["IndexName"].is_null() {
            return Fate::Pass;
        }
        let after = body["ExpressionAttributeValues"][":after"]["S"].as_str().unwrap_or_default().to_owned();
        let limit = usize::try_from(body["Limit"].as_u64().expect("a limit")).expect("a small one");
        let answer = move |mut answer: Value| {
            let id = |item: &Value| item["scheduler"]["S"].as_str().expect("an id").to_owned();
            let mut items = answer["Items"].as_array().cloned().expect("items");
            let ghost = |id: &&str| json!({"tenant": {"S": "acme"}, "scheduler": {"S": id}});
            items.extend(ghosts.iter().filter(|id| **id > after.as_str()).map(ghost));
            items.sort_by_key(id);
            if items.len() > limit {
                items.truncate(limit);
                answer["LastEvaluatedKey"] = items.last().cloned().expect("an item");
            }
            answer["Count"] = json!(items.len());
            answer["Items"] = json!(items);
            answer
        };
        Fate::Change { request: body.clone(), answer: Box::new(answer) }
    });
    let proxy = proxy.await.expect("a proxy");
    let store = open(by(&options, proxy.address())).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    owner.put(&store, (0..8).map(|number| row(&key("acme", &format!("job-{number}")), 1)).collect()).await;
    // One is deleted and two are removed.
    owner.put(&store, vec![deleted(&key("acme", "job-1"), 2)]).await;
    let removed = vec![key("acme", "job-3"), key("acme", "job-5")];
    store.commit(Arc::new(Commit { removed, ..owner.next_commit() })).await.expect("commit");
    let expected = ["job-0", "job-2", "job-4", "job-6", "job-7"];
    for limit in [1, 2, 3, 100] {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let after = seen.last().map(|id| ronda_store::conformance::fixture::id(id));
            let page = store.schedulers(&tenant("acme"), after.as_ref(), limit).await.expect("schedulers");
            seen.extend(page.iter().map(|row| row.key.scheduler.to_string()));
            if page.len() < limit {
                break;
            }
        }
        assert_eq!(seen, expected, "in pages of {limit}");
    }
}

/// However many partitions commit at the same time, a process has no more calls under way than it may, and others don't wait for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_share_the_calls_of_a_process() {
    const MOST: usize = 6;
    let options = made().await;
    let (is_held, mut held) = mpsc::unbounded_channel();
    let proxy = AwsProxy::to(server().address(), move |action, body| {
        let is_row = action == "PutItem" && body["TableName"].as_str().is_some_and(|name| name.ends_with("schedulers"));
        if !is_row {
            return Fate::Pass;
        }
        let (go_on, until) = oneshot::channel();
        is_held.send(go_on).expect("the test counts");
        Fate::Hold(until)
    });
    let proxy = proxy.await.expect("a proxy");
    let options =
        DynamoOptions { calls_in_flight: MOST, attempt_timeout_ms: 60_000, call_timeout_ms: 60_000, ..options };
    let store = Arc::new(open(by(&options, proxy.address())).await);
    let mut committing = Vec::new();
    for partition in 0..4 {
        let mut owner = Owner::acquire(&*store, partition, 4).await;
        let names = (0..).map(|number| key("acme", &format!("job-{number}")));
        let rows = names.filter(|key| key.slot() % 4 == partition).take(5).map(|key| row(&key, 1)).collect();
        let store = Arc::clone(&store);
        committing.push(tokio::spawn(async move { owner.put(&*store, rows).await }));
    }
    let mut under_way = Vec::new();
    while under_way.len() < MOST {
        under_way.push(held.recv().await.expect("a row"));
    }
    for _ in 0..20 {
        store.label("identity").await.expect("others don't wait");
    }
    assert!(held.try_recv().is_err(), "more than {MOST} calls under way");
    drop(under_way);
    let committed = futures::future::try_join_all(committing);
    tokio::pin!(committed);
    loop {
        tokio::select! {
            Some(go_on) = held.recv() => drop(go_on),
            done = &mut committed => break drop(done.expect("all commits")),
        }
    }
    for partition in 0..4 {
        assert_eq!(store.load(partition, 4, None, 9).await.expect("load").len(), 5);
    }
}
