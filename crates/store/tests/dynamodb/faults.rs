//! Throttling, conflicts, batches done in part, lost calls and answers, late ones, and pages that end anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ronda_schemas::row::ApiKeyRow;
use ronda_store::conformance::fixture::{Owner, api_key, claim, key, now, refusal, row, tenant};
use ronda_store::conformance::{StoreHarness, commits, histories, lists, notes};
use ronda_store::dynamodb::DynamoOptions;
use ronda_store::error::StoreErrorKind;
use ronda_store::port::{
    Commit, IdempotencyClaim, IdempotencyStore, KeyStore, PartitionStore, SchedulerReads, Store, SurfaceStore,
    SurfaceWrite,
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{KEEP_SECONDS, OnDynamoDb, by, made, open, server};
use ronda_testbed::{AwsProxy, Fate, call_dynamodb};

fn is_for(body: &Value, table: &str) -> bool {
    body["TableName"].as_str().is_some_and(|name| name.ends_with(table))
}

/// Says yes so many times.
fn times(count: usize) -> impl FnMut() -> bool {
    let mut left = count;
    move || {
        let is_left = left > 0;
        left = left.saturating_sub(1);
        is_left
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_is_waited_out_and_told_when_it_lasts() {
    let options = made().await;
    let left = Arc::new(AtomicUsize::new(0));
    let throttled = Arc::clone(&left);
    let proxy = AwsProxy::to(server().address(), move |action, body| {
        let take = |left: usize| left.checked_sub(1);
        if action == "PutItem"
            && is_for(body, "schedulers")
            && throttled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
        {
            return Fate::refuse("ProvisionedThroughputExceededException");
        }
        Fate::Pass
    });
    let proxy = proxy.await.expect("a proxy");
    let store = open(by(&options, proxy.address())).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    left.store(2, Ordering::Relaxed);
    owner.put(&store, vec![row(&key("acme", "job"), 1)]).await;
    assert_eq!(left.load(Ordering::Relaxed), 0, "it was throttled");
    left.store(usize::MAX, Ordering::Relaxed);
    let commit = Arc::new(Commit { rows: vec![row(&key("acme", "job"), 2)], ..owner.next_commit() });
    let error = store.commit(Arc::clone(&commit)).await.expect_err("it lasts");
    assert!(error.kind == StoreErrorKind::Unavailable && error.retryable, "{error}");
    assert!(error.retry_after >= Some(Duration::from_secs(1)), "{error}");
    assert_eq!(store.partition(0).await.expect("partition").map(|row| row.cursor), Some(1), "rows come first");
    left.store(0, Ordering::Relaxed);
    store.commit(commit).await.expect("the same commit again");
    let found = store.scheduler("acme", "job").await.expect("scheduler").map(|row| row.position);
    assert_eq!(found, Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_with_transactions_are_tried_again() {
    let options = made().await;
    let (mut on_put, mut on_transaction) = (times(2), times(2));
    let proxy = AwsProxy::to(server().address(), move |action, body| match action {
        "PutItem" if is_for(body, "schedulers") && on_put() => Fate::refuse("TransactionConflictException"),
        "TransactWriteItems" if on_transaction() => Fate::Answer(
            400,
            json!({
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "Message": "Transaction cancelled [None, TransactionConflict]",
                "CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict", "Message": "told so"}],
            }),
        ),
        _ => Fate::Pass,
    });
    let proxy = proxy.await.expect("a proxy");
    let store = open(by(&options, proxy.address())).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    owner.put(&store, vec![row(&key("acme", "job"), 1)]).await;
    let epoch = store.acquire_shard(0).await.expect("acquire shard");
    store.commit_surfaces(0, epoch, vec![write("alert/1", "one")]).await.expect("commit");
    assert_eq!(store.surfaces(0, "", None, 9).await.expect("surfaces").len(), 1);
    assert_eq!(proxy.calls().get("TransactWriteItems"), Some(&3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_throttled_says_so() {
    let options = made().await;
    let proxy = AwsProxy::to(server().address(), move |action, _| match action {
        "TransactWriteItems" => Fate::Answer(
            400,
            json!({
                "__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException",
                "Message": "Transaction cancelled [ThrottlingError, None]",
                "CancellationReasons": [{"Code": "ThrottlingError", "Message": "told so"}, {"Code": "None"}],
            }),
        ),
        _ => Fate::Pass,
    });
    let proxy = proxy.await.expect("a proxy");
    let store = open(by(&options, proxy.address())).await;
    let epoch = store.acquire_shard(0).await.expect("acquire shard");
    let error = store.commit_surfaces(0, epoch, vec![write("alert/1", "one")]).await.expect_err("throttled");
    assert!(error.retryable && error.retry_after >= Some(Duration::from_secs(1)), "{error}");
}

fn write(key: &str, row: &str) -> SurfaceWrite {
    SurfaceWrite { key: key.into(), row: Some(row.as_bytes().to_vec()) }
}

/// Half of every batch is left undone, for as long as there is more than one item in it.
fn half_undone(action: &str, body: &Value) -> Fate {
    let (items, undone) = match action {
        "BatchGetItem" => ("Keys", "UnprocessedKeys"),
        "BatchWriteItem" => ("", "UnprocessedItems"),
        _ => return Fate::Pass,
    };
    let requests = body["RequestItems"].as_object().expect("requests");
    let (name, all) = requests.iter().next().expect("a table");
    let list = if items.is_empty() { all } else { &all[items] };
    let list = list.as_array().expect("items");
    if list.len() < 2 {
        return Fate::Pass;
    }
    let (done, left) = list.split_at(list.len() / 2);
    let with = |half: &[Value]| {
        let mut table = all.clone();
        if items.is_empty() {
            table = json!(half);
        } else {
            table[items] = json!(half);
        }
        json!({ name: table })
    };
    let (mut request, left) = (body.clone(), with(left));
    request["RequestItems"] = with(done);
    let answer = move |mut answer: Value| {
        answer[undone] = left;
        answer
    };
    Fate::Change { request, answer: Box::new(answer) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_which_half_is_left_undone_is_finished() {
    let options = made().await;
    let proxy = AwsProxy::to(server().address(), half_undone).await.expect("a proxy");
    let store = open(by(&options, proxy.address())).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let mut names: Vec<String> = (0..150).map(|number| format!("job-{number}")).collect();
    owner.put(&store, names.iter().map(|name| row(&key("acme", name), 1)).collect()).await;
    names.sort();
    let listed = store.schedulers(&tenant("acme"), None, 1_000).await.expect("schedulers");
    assert_eq!(listed.iter().map(|row| row.key.scheduler.as_str()).collect::<Vec<_>>(), names);
    // Journals are removed in batches.
    let epoch = store.acquire_shard(0).await.expect("acquire shard");
    let writes = (0..300).map(|number| write(&format!("alert/{number}"), "row")).collect();
    store.commit_surfaces(0, epoch, writes).await.expect("commit");
    assert_eq!(store.surfaces(0, "alert/", None, 1_000).await.expect("surfaces").len(), 300);
    assert_eq!(super::steps::journal_items(&options, 0).await, 0);
}

/// The suite's cases by way of a proxy.
struct Through {
    direct: OnDynamoDb,
    proxy: AwsProxy,
    max_attempts: u32,
}

#[async_trait]
impl StoreHarness for Through {
    async fn open(&self) -> Arc<dyn Store> {
        let options = by(&self.direct.options, self.proxy.address());
        let options = DynamoOptions { max_attempts: self.max_attempts, history_keep_seconds: KEEP_SECONDS, ..options };
        Arc::new(open(options).await)
    }

    fn expires_by_itself(&self) -> bool {
        true
    }
}

/// However few items DynamoDB puts into an answer, and wherever it ends it, nothing is lost or comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_may_end_anywhere() {
    let short = |action: &str, body: &Value| {
        if !matches!(action, "Query" | "Scan") {
            return Fate::Pass;
        }
        let mut request = body.clone();
        request["Limit"] = json!(body["Limit"].as_u64().unwrap_or(3).min(3));
        Fate::Change { request, answer: Box::new(|answer| answer) }
    };
    let through = async || {
        let direct = OnDynamoDb::new().await;
        Through { direct, proxy: AwsProxy::to(server().address(), short).await.expect("a proxy"), max_attempts: 3 }
    };
    histories::pages_of_a_history_lose_and_repeat_nothing(&through().await).await;
    histories::an_entry_comes_with_its_newest_runs(&through().await).await;
    histories::a_page_of_a_history_looks_at_no_more_than_it_may(&through().await).await;
    histories::errors_come_newest_first_in_pages(&through().await).await;
    lists::schedulers_come_by_id_in_pages(&through().await).await;
    lists::tenants_are_those_with_schedulers_or_keys(&through().await).await;
    notes::keys_are_put_found_listed_and_revoked(&through().await).await;
    notes::surfaces_are_read_by_prefix_in_pages(&through().await).await;
}

/// Calls that do not arrive, and answers that do not come back after what was asked is done, are tried again without doing it twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_calls_and_lost_answers_change_nothing() {
    let through = async || {
        let mut count = 0_u32;
        let flaky = move |action: &str, _: &Value| {
            if matches!(action, "DescribeTable") {
                return Fate::Pass;
            }
            count += 1;
            match count % 20 {
                7 => Fate::LoseAnswer,
                13 => Fate::Lose,
                _ => Fate::Pass,
            }
        };
        let direct = OnDynamoDb::new().await;
        Through { direct, proxy: AwsProxy::to(server().address(), flaky).await.expect("a proxy"), max_attempts: 6 }
    };
    commits::a_commit_is_seen_and_survives_reopening(&through().await).await;
    commits::an_older_epoch_is_fenced_out_whole(&through().await).await;
    commits::acquiring_raises_the_epoch_and_keeps_the_rest(&through().await).await;
    commits::the_number_of_partitions_changes_as_a_whole(&through().await).await;
    commits::a_large_commit_is_kept_whole(&through().await).await;
    lists::a_scheduler_comes_back_after_deletion(&through().await).await;
    notes::one_of_many_claims_wins(&through().await).await;
    notes::one_of_many_takes_a_claim_over(&through().await).await;
    notes::a_claim_is_answered_and_given_again(&through().await).await;
    notes::a_claim_is_given_back(&through().await).await;
    notes::surfaces_are_read_by_prefix_in_pages(&through().await).await;
    notes::surfaces_are_fenced_by_epoch(&through().await).await;
}

/// A commit of surfaces that was carried out, though its answer was lost, is found to be done, however large it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_fences_no_owner_of_a_shard() {
    let options = made().await;
    for count in [0, 1, 150] {
        let mut lose = times(1);
        let proxy = AwsProxy::to(server().address(), move |action, body| {
            // The first change of the head is the acquisition's.
            let is_commit =
                body.to_string().contains("SET #stamp") && matches!(action, "UpdateItem" | "TransactWriteItems");
            if is_commit && lose() { Fate::LoseAnswer } else { Fate::Pass }
        });
        let proxy = proxy.await.expect("a proxy");
        let store = open(by(&options, proxy.address())).await;
        let epoch = store.acquire_shard(count).await.expect("acquire shard");
        let writes: Vec<_> = (0..count).map(|number| write(&format!("alert/{number}"), "row")).collect();
        store.commit_surfaces(count, epoch, writes.clone()).await.expect("commit");
        let rows = store.surfaces(count, "", None, 999).await.expect("surfaces");
        assert_eq!(rows.len(), writes.len());
        assert_eq!(super::steps::journal_items(&options, count).await, 0);
        let written = proxy.calls().get("PutItem").copied().unwrap_or_default();
        assert_eq!(written, if count == 150 { 2 } else { 0 }, "a journal is not written twice");
        store.commit_surfaces(count, epoch, writes).await.expect("it goes on");
    }
}

/// A call that is not answered ends in time, and says that it may or may not have been carried out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_is_unavailable_in_time() {
    let options = made().await;
    let proxy =
        AwsProxy::to(server().address(), |action, _| if action == "PutItem" { Fate::Silence } else { Fate::Pass });
    let proxy = proxy.await.expect("a proxy");
    let direct = open(options.clone()).await;
    let mut owner = Owner::acquire(&direct, 0, 1).await;
    let hasty = DynamoOptions { attempt_timeout_ms: 2_000, max_attempts: 1, ..by(&options, proxy.address()) };
    let silent = open(hasty).await;
    let commit = Arc::new(Commit { rows: vec![row(&key("acme", "job"), 1)], ..owner.next_commit() });
    let waited = tokio::time::timeout(Duration::from_secs(20), silent.commit(Arc::clone(&commit))).await;
    let error = waited.expect("in time").expect_err("nobody answers");
    assert!(error.kind == StoreErrorKind::Unavailable && error.retryable, "{error}");
    direct.commit(commit).await.expect("the same commit by another way");
}

/// An owner's call that timed out and is carried out long after does not cover what the same owner wrote later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_carried_out_late_covers_nothing() {
    let options = made().await;
    let (mut rows, mut partitions, mut surfaces, mut keys) = (times(1), times(1), times(1), times(1));
    let is_on = Arc::new(AtomicUsize::new(0));
    let keeps = Arc::clone(&is_on);
    let proxy = AwsProxy::to(server().address(), move |action, body| {
        if keeps.load(Ordering::Relaxed) == 0 {
            return Fate::Pass;
        }
        let is_kept = match action {
            "PutItem" if is_for(body, "schedulers") => rows(),
            "PutItem" if is_for(body, "partitions") => partitions(),
            "PutItem" if is_for(body, "keys") => keys(),
            "TransactWriteItems" => surfaces(),
            _ => false,
        };
        if is_kept { Fate::Keep } else { Fate::Pass }
    });
    let proxy = proxy.await.expect("a proxy");
    // Each attempt is the caller's own, so that the second is another commit to the store.
    let store = open(DynamoOptions { max_attempts: 1, ..by(&options, proxy.address()) }).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let epoch = store.acquire_shard(0).await.expect("acquire shard");
    is_on.store(1, Ordering::Relaxed);
    let job = key("acme", "job");
    for position in 1..=2 {
        let commit = Arc::new(Commit { rows: vec![row(&job, position)], ..owner.next_commit() });
        // Of the first commit, a row is kept back and then the partition's row.
        while let Err(error) = store.commit(Arc::clone(&commit)).await {
            assert!(error.retryable, "{error}");
        }
        let text = format!("as of {position}");
        while let Err(error) = store.commit_surfaces(0, epoch, vec![write("alert/1", &text)]).await {
            assert!(error.retryable, "{error}");
        }
    }
    let new = api_key("acme", 1, 1);
    while let Err(error) = store.put_key(new.clone()).await {
        assert!(error.retryable, "{error}");
    }
    let revoked = ApiKeyRow { revoked_at: Some(now()), ..new };
    store.put_key(revoked.clone()).await.expect("put key");
    let answers = proxy.carry_out_kept().await.expect("answers");
    assert_eq!(answers.len(), 4);
    for answer in &answers {
        let why = answer["__type"].as_str().unwrap_or_default();
        assert!(why.contains("ConditionalCheckFailed") || why.contains("TransactionCanceled"), "{answer}");
    }
    assert_eq!(store.scheduler("acme", "job").await.expect("scheduler").map(|row| row.position), Some(2));
    assert_eq!(store.partition(0).await.expect("partition").map(|row| row.cursor), Some(2));
    let rows = store.surfaces(0, "", None, 9).await.expect("surfaces");
    assert_eq!(rows, [(String::from("alert/1"), b"as of 2".to_vec())]);
    assert_eq!(store.key(&revoked.hash).await.expect("key"), Some(revoked));
}

/// A key that was given back, though the answer got lost, and that somebody else claimed before it was asked again, stays theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_gives_back_nobody_elses_claim() {
    let options = made().await;
    let ((is_held, mut held), (go_on, mut until)) = (mpsc::unbounded_channel(), oneshot::channel());
    let mut deletions = 0;
    let proxy = AwsProxy::to(server().address(), move |action, _| {
        deletions += u32::from(action == "DeleteItem");
        match (action, deletions) {
            ("DeleteItem", 1) => Fate::LoseAnswer,
            ("DeleteItem", 2) => {
                is_held.send(()).expect("the test waits");
                Fate::Hold(std::mem::replace(&mut until, oneshot::channel().1))
            }
            _ => Fate::Pass,
        }
    });
    let proxy = proxy.await.expect("a proxy");
    let (store, other) = (open(by(&options, proxy.address())).await, open(options.clone()).await);
    let (acme, theirs) = (tenant("acme"), claim(2, now()));
    store.claim(&acme, "night", claim(1, now())).await.expect("claim");
    let giving_back = tokio::spawn(async move { store.release(&tenant("acme"), "night").await });
    held.recv().await.expect("it is tried again");
    assert_eq!(other.claim(&acme, "night", theirs.clone()).await.expect("claim"), IdempotencyClaim::Claimed);
    go_on.send(()).expect("it waits");
    giving_back.await.expect("a task").expect("given back");
    let found = other.claim(&acme, "night", claim(3, now())).await.expect("claim");
    assert_eq!(found, IdempotencyClaim::Existing(theirs));
}

/// A store whose tables are gone says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_gone_is_named() {
    let options = made().await;
    let store = open(options.clone()).await;
    let name = format!("{}-partitions", options.prefix);
    call_dynamodb(server().address(), "DeleteTable", &json!({ "TableName": name })).await.expect("an answer");
    let error = store.acquire(0, 1).await.expect_err("it is gone");
    assert!(error.kind == StoreErrorKind::Conflict && error.message.contains("migration"), "{error}");
    assert!(error.message.contains(&name), "{error}");
    assert_eq!(refusal(store.acquire(0, 1).await), StoreErrorKind::Conflict);
}
