//! What things cost, as DynamoDB itself counts it; docs/stores-dynamodb.md repeats these figures.

use std::sync::Arc;

use ronda_schemas::lease::{AssignmentRow, Group, MemberId, MemberRow, Slot};
use ronda_store::conformance::fixture::{Owner, due, everything, key, occurrence, row, tenant};
use ronda_store::dynamodb::Usage;
use ronda_store::port::{Commit, LeaseStore, PartitionStore, SchedulerReads, SurfaceStore, SurfaceWrite};

use super::{made, open};

const HEARTBEATS: usize = 1_000;

/// A commit of heartbeats reads nothing, and writes each scheduler's row and the partition's: one call and one unit each, and no index.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_is_one_write_and_no_read() {
    let store = open(made().await).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let rows = |position: usize| {
        let row = |number| row(&key("acme", &format!("nightly-billing-{number}")), position as u64);
        (0..HEARTBEATS).map(row).collect::<Vec<_>>()
    };
    let before = store.usage();
    store.commit(Arc::new(Commit { rows: rows(1), ..owner.next_commit() })).await.expect("commit");
    let first = store.usage().since(before);
    eprintln!("the first commit of {HEARTBEATS} schedulers: {first:?}");
    let before = store.usage();
    store.commit(Arc::new(Commit { rows: rows(2), ..owner.next_commit() })).await.expect("commit");
    let steady = store.usage().since(before);
    eprintln!("a commit of {HEARTBEATS} heartbeats: {steady:?}");
    let expected = HEARTBEATS as f64 + 1.0;
    assert_eq!(steady, Usage { calls: HEARTBEATS as u64 + 1, read_units: 0.0, write_units: expected });
    // New ones are written to the index as well, and their tenant to its list once.
    assert_eq!((first.calls, first.read_units), (HEARTBEATS as u64 + 2, 0.0));
    assert!(first.write_units > steady.write_units, "{first:?}");
}

/// What else is read and written, for the documentation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_other_calls_are_as_few_as_the_documentation_says() {
    let store = open(made().await).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let job = key("acme", "job-7");
    let rows = (0..100).map(|number| row(&key("acme", &format!("job-{number}")), 1)).collect();
    owner.put(&store, rows).await;
    let mut last = store.usage();
    let mut calls_of = |what: &str| {
        let usage = store.usage();
        let spent = usage.since(last);
        last = usage;
        eprintln!("{what}: {spent:?}");
        spent.calls
    };
    let entry = (job.clone(), occurrence(&due(1), ronda_domain::record::OccurrenceStatus::Failed));
    let commit = Commit { occurrences: vec![entry], ..owner.next_commit() };
    store.commit(Arc::new(commit)).await.expect("commit");
    assert_eq!(calls_of("a commit with one entry of a history"), 2);
    store.scheduler("acme", "job-7").await.expect("scheduler");
    assert_eq!(calls_of("a scheduler"), 1);
    assert!(store.is_registered("acme", "job-7").await.expect("is registered"));
    assert_eq!(calls_of("whether a scheduler is registered"), 1);
    store.schedulers(&tenant("acme"), None, 100).await.expect("schedulers");
    assert_eq!(calls_of("a list of 100 schedulers"), 2);
    store.history(&job, &everything()).await.expect("history");
    assert_eq!(calls_of("a history of one entry"), 1);
    let epoch = store.acquire_shard(0).await.expect("acquire shard");
    assert_eq!(calls_of("acquiring a shard"), 2);
    for writes in [1_usize, 99, 100, 1_000] {
        let write = |number| SurfaceWrite { key: format!("alert/{number}"), row: Some(vec![7; 300]) };
        store.commit_surfaces(0, epoch, (0..writes).map(write).collect()).await.expect("commit");
        let calls = calls_of(&format!("a commit of {writes} surfaces"));
        // Beyond one transaction: each part is written, read, applied and removed; head and journal's end beside.
        let parts = writes.div_ceil(99) as u64;
        let expected = if parts == 1 { 1 } else { 3 * parts + 2 + parts.div_ceil(25) };
        assert_eq!(calls, expected, "{writes} surfaces");
    }
    store.load(0, 1, None, 1_000).await.expect("load");
    assert_eq!(calls_of("loading 100 schedulers out of 1,024 slots"), 1_024);
}

/// What replicas do all the time must be cheap: a look at a thousand partitions and twelve members is one unit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_look_at_the_leases_is_one_unit() {
    let store = open(made().await).await;
    let id = |number| MemberId(u64::MAX - number);
    let member = |number| MemberRow {
        id: id(number),
        name: format!("ronda-processor-7d9f8b6c5-{number:05}/1").into(),
        renewals: 1_000_000,
        leaving: false,
        partitions: 1_024,
    };
    let slots = (0..1_024).map(|slot| Slot::Held(id(slot % 12))).collect();
    let spent = async |what: &str, before: Usage| {
        let spent = store.usage().since(before);
        eprintln!("{what}: {spent:?}");
        spent
    };
    let before = store.usage();
    store.put_member(Group::Processor, &member(0)).await.expect("put");
    let put = spent("a sign of life", before).await;
    assert_eq!(put, Usage { calls: 1, read_units: 0.0, write_units: 1.0 });
    let before = store.usage();
    store.swap_assignment(Group::Processor, &AssignmentRow { version: 1, slots }).await.expect("swap");
    let swap = spent("a swap of 1,024 partitions", before).await;
    assert_eq!(swap, Usage { calls: 1, read_units: 0.0, write_units: 3.0 });
    for number in 1..12 {
        store.put_member(Group::Processor, &member(number)).await.expect("put");
    }
    let before = store.usage();
    assert_eq!(store.leases(Group::Processor).await.expect("leases").members.len(), 12);
    let look = spent("a look at 1,024 partitions and 12 members", before).await;
    assert_eq!(look, Usage { calls: 1, read_units: 1.0, write_units: 0.0 });
}
