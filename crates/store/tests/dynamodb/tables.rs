//! How the tables are made and checked, and what lies in them.

use std::sync::Arc;

use ronda_domain::record::OccurrenceStatus;
use ronda_store::conformance::fixture::{
    Owner, at, due, error, everything, key, occurrence, refusal, registered, row, run, tenant,
};
use ronda_store::dynamodb::{Billing, DynamoOptions, DynamoStore, check, migrate};
use ronda_store::error::StoreErrorKind;
use ronda_store::port::{Commit, LeaseStore, PartitionStore, SchedulerReads, SurfaceStore, SurfaceWrite};
use ronda_testbed::DynamoDb;
use serde_json::{Value, json};

use super::{KEEP_SECONDS, made, open, options, server};
use ronda_testbed::call_dynamodb;

async fn ask(action: &str, options: &DynamoOptions, table: &str, more: Value) -> Value {
    let mut body = more;
    body["TableName"] = json!(format!("{}-{table}", options.prefix));
    call_dynamodb(server().address(), action, &body).await.expect("an answer")
}

async fn items(options: &DynamoOptions, table: &str) -> Vec<Value> {
    let (mut items, mut request) = (Vec::new(), json!({"ConsistentRead": true}));
    loop {
        let found = ask("Scan", options, table, request.clone()).await;
        items.extend(found["Items"].as_array().cloned().expect("items"));
        if found["LastEvaluatedKey"].is_null() {
            return items;
        }
        request["ExclusiveStartKey"] = found["LastEvaluatedKey"].clone();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_once_however_many_make_them() {
    let options = options(server(), server().address());
    let missing = DynamoStore::connect(options.clone()).await.expect_err("nothing is there");
    assert_eq!(missing.kind, StoreErrorKind::Conflict);
    for word in ["-partitions is missing", "-overflow is missing", "migration"] {
        assert!(missing.message.contains(word), "{word}: {missing}");
    }
    assert_eq!(check(&options).await.expect("check").len(), 9);
    let (one, other) = tokio::join!(migrate(&options), migrate(&options));
    let made: Vec<String> = [one.expect("migrate"), other.expect("migrate")].concat();
    assert_eq!(made.iter().filter(|line| line.starts_with("made table")).count(), 9, "{made:?}");
    assert_eq!(migrate(&options).await.expect("migrate"), Vec::<String>::new());
    assert_eq!(check(&options).await.expect("check"), Vec::<String>::new());
    open(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_difference_is_told_at_once() {
    let options = made().await;
    let off = json!({"TimeToLiveSpecification": {"Enabled": false, "AttributeName": "expires"}});
    ask("UpdateTimeToLive", &options, "history", off).await;
    ask("DeleteTable", &options, "keys", json!({})).await;
    ask("DeleteTable", &options, "surfaces", json!({})).await;
    let other = json!({
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "BillingMode": "PAY_PER_REQUEST",
    });
    ask("CreateTable", &options, "surfaces", other).await;
    let told = check(&options).await.expect("check").join("; ");
    for word in ["history does not remove", "keys is missing", "surfaces has other keys than shard (N) and place (S)"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    // What is another table is left to its owner.
    let refused = migrate(&options).await.expect_err("another table");
    assert!(refused.kind == StoreErrorKind::Conflict && refused.message.contains("surfaces"), "{refused}");
    let told = check(&options).await.expect("check");
    assert_eq!(told.len(), 1, "all else is there: {told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capacity_and_protection_are_as_the_options_say() {
    let options = DynamoOptions {
        billing: Billing::Provisioned { read_units: 7, write_units: 11 },
        deletion_protection: true,
        ..options(server(), server().address())
    };
    migrate(&options).await.expect("migrate");
    let found = ask("DescribeTable", &options, "schedulers", json!({})).await;
    let table = &found["Table"];
    let index = &table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"];
    for throughput in [&table["ProvisionedThroughput"], index] {
        assert_eq!(
            (throughput["ReadCapacityUnits"].as_i64(), throughput["WriteCapacityUnits"].as_i64()),
            (Some(7), Some(11))
        );
    }
    assert_eq!(table["DeletionProtectionEnabled"], json!(true));
    let bad = DynamoOptions { prefix: String::from("a/b"), ..options };
    assert_eq!(refusal(migrate(&bad).await), StoreErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layout_of_a_newer_release_is_refused() {
    let options = made().await;
    open(options.clone()).await.acquire(0, 1).await.expect("acquire");
    let raise = json!({
        "Key": {"name": {"S": "meta"}},
        "UpdateExpression": "SET version = :version",
        "ExpressionAttributeValues": {":version": {"N": "99"}},
    });
    ask("UpdateItem", &options, "partitions", raise).await;
    let refused = DynamoStore::connect(options).await.expect_err("a newer layout");
    assert!(refused.kind == StoreErrorKind::Unreadable && refused.message.contains("99"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_a_newer_release_are_refused() {
    use ronda_schemas::lease::{AssignmentRow, Group, MemberId, MemberRow};
    let options = made().await;
    let store = open(options.clone()).await;
    let assignment = AssignmentRow { version: 1, slots: Vec::new() };
    assert!(store.swap_assignment(Group::Processor, &assignment).await.expect("swap"));
    let member = MemberRow { id: MemberId(7), name: "host/1".into(), renewals: 1, leaving: false, partitions: 4 };
    store.put_member(Group::Notifier, &member).await.expect("put");
    for place in ["leases/processor|assignment", "leases/notifier|member/0000000000000007"] {
        let (list, tenant) = place.split_once('|').expect("two parts");
        let newer = json!({
            "Key": {"list": {"S": list}, "tenant": {"S": tenant}},
            "UpdateExpression": "SET #row = :row",
            "ConditionExpression": "attribute_exists(#row)",
            "ExpressionAttributeNames": {"#row": "row"},
            // `[99, nil]` in MessagePack.
            "ExpressionAttributeValues": {":row": {"B": "kmPA"}},
        });
        ask("UpdateItem", &options, "tenants", newer).await;
    }
    for group in Group::ALL {
        let refused = store.leases(group).await.expect_err("a newer release's");
        assert!(refused.kind == StoreErrorKind::Unreadable && refused.message.contains("version 99"), "{refused}");
    }
}

/// What is kept for a time says until when, by its own time; a removed scheduler leaves what keeps older owners out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expires_says_when() {
    let options = made().await;
    let store = open(options.clone()).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let job = key("acme", "job");
    let commit = Commit {
        rows: vec![row(&job, 1)],
        occurrences: vec![(job.clone(), occurrence(&due(1_000), OccurrenceStatus::Succeeded))],
        runs: vec![(job.clone(), run(&due(1_000), "run-1", 5_000))],
        errors: vec![error("acme", 2_000, 1)],
        ..owner.next_commit()
    };
    store.commit(Arc::new(commit)).await.expect("commit");
    let expires = |items: Vec<Value>| {
        let mut all: Vec<_> = items
            .iter()
            .map(|item| item["expires"]["N"].as_str().map(|text| text.parse::<u64>().expect("a number")))
            .collect();
        all.sort_unstable();
        all
    };
    assert_eq!(expires(items(&options, "schedulers").await), [None]);
    // A run goes with its entry.
    assert_eq!(expires(items(&options, "history").await), [Some(KEEP_SECONDS + 1_000); 2]);
    let day = 86_400;
    assert_eq!(expires(items(&options, "errors").await), [Some(KEEP_SECONDS + 2_000), Some(KEEP_SECONDS + day)]);
    let commit = Commit { removed: vec![job.clone()], ..owner.next_commit() };
    store.commit(Arc::new(commit)).await.expect("commit");
    let left = items(&options, "schedulers").await;
    let [left] = left.as_slice() else { panic!("one item") };
    assert!(left["expires"].is_object() && left["stamp"].is_object() && left["row"].is_null(), "{left}");
    owner.put(&store, vec![row(&job, 3)]).await;
    assert_eq!(expires(items(&options, "schedulers").await), [None], "it is back for good");
}

/// A row that no item takes is kept in parts, of which only the last row's stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_larger_than_an_item_are_kept_in_parts() {
    let options = made().await;
    let store = open(options.clone()).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let job = key("acme", "job");
    for (position, bytes, parts) in [(1, 1 << 20, 3), (2, 500_000, 2), (3, 10, 2), (4, 2 << 20, 6)] {
        let mut large = row(&job, position);
        large.state = registered(&job, &"n".repeat(bytes));
        owner.put(&store, vec![large.clone()]).await;
        assert_eq!(store.scheduler("acme", "job").await.expect("scheduler").as_ref(), Some(&large));
        assert_eq!(store.load(0, 1, None, 9).await.expect("load"), [large.clone()]);
        assert_eq!(store.schedulers(&tenant("acme"), None, 9).await.expect("schedulers"), [large]);
        assert_eq!(items(&options, "overflow").await.len(), parts, "{bytes} bytes");
    }
    // A partition's row too: it may have thousands of events.
    owner.partition.late = vec![ronda_domain::input::Gap { from: at(1), until: at(2) }; 60_000];
    owner.put(&store, Vec::new()).await;
    assert_eq!(store.partition(0).await.expect("partition").as_ref(), Some(&owner.partition));
    let next = store.acquire(0, 1).await.expect("acquire");
    assert_eq!(next.late.len(), 60_000);
    // And what is past everything is refused with its size.
    let mut huge = row(&job, 5);
    huge.state = registered(&job, &"n".repeat(17 << 20));
    let commit = Commit { partition: next, rows: vec![huge], ..Commit::default() };
    assert_eq!(refusal(store.commit(Arc::new(commit)).await), StoreErrorKind::Invalid);
    let epoch = store.acquire_shard(0).await.expect("acquire shard");
    let surface = SurfaceWrite { key: String::from("a"), row: Some(vec![0; 350_001]) };
    assert_eq!(refusal(store.commit_surfaces(0, epoch, vec![surface]).await), StoreErrorKind::Invalid);
    // As many of the largest as no transaction takes.
    let large = |number| SurfaceWrite { key: format!("{number}"), row: Some(vec![7; 350_000]) };
    store.commit_surfaces(0, epoch, (0..20).map(large).collect()).await.expect("commit");
    assert_eq!(store.surfaces(0, "", None, 99).await.expect("surfaces").len(), 20);
}

/// What was confirmed is there after the server was killed and started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_has_what_was_confirmed() {
    let mut own = DynamoDb::start(true).expect("DynamoDB Local");
    let options = options(&own, own.address());
    migrate(&options).await.expect("migrate");
    let store = open(options).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let job = key("acme", "job");
    let commit = Commit {
        rows: vec![row(&job, 1)],
        occurrences: vec![(job.clone(), occurrence(&due(1), OccurrenceStatus::Succeeded))],
        ..owner.next_commit()
    };
    store.commit(Arc::new(commit)).await.expect("commit");
    own.kill();
    let gone = store.scheduler("acme", "job").await.expect_err("nobody is there");
    assert!(gone.kind == StoreErrorKind::Unavailable && gone.retryable, "{gone}");
    own.restart().expect("restart");
    // The same store goes on, without being opened anew.
    assert_eq!(store.scheduler("acme", "job").await.expect("scheduler"), Some(row(&job, 1)));
    assert_eq!(store.history(&job, &everything()).await.expect("history").entries.len(), 1);
    assert_eq!(store.partition(0).await.expect("partition").as_ref(), Some(&owner.partition));
    owner.put(&store, vec![row(&job, 2)]).await;
}
