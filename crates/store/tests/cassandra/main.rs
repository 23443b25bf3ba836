//! The adapter to Cassandra and ScyllaDB on Apache Cassandra: the port's suite, and what only this store can do wrong.

mod bed;
mod members;
mod owners;
mod schema;
mod surfaces;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ronda_store::cassandra::{CassandraOptions, CassandraStore};
use ronda_store::conformance::fixture::{Owner, claim, due, everything, key, now, occurrence, refusal, row, tenant};
use ronda_store::error::StoreErrorKind;
use ronda_store::port::{Commit, IdempotencyClaim, IdempotencyStore as _, PartitionStore as _, SchedulerReads as _};
use ronda_testbed::Cassandra;

use bed::Keyspace;

/// Panics when there is no server: the tests are about nothing else.
fn server() -> SocketAddr {
    static SERVER: OnceLock<Cassandra> = OnceLock::new();
    SERVER.get_or_init(|| Cassandra::start(false).expect("Cassandra")).address()
}

async fn keyspace() -> Keyspace {
    Keyspace::made(server()).await
}

ronda_store::store_conformance_tests!(keyspace().await);

/// A row that a newer release has written is refused by name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_a_newer_version_is_unreadable() {
    let keyspace = keyspace().await;
    let store = keyspace.store().await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let job = key("acme", "job");
    let commit = Commit {
        rows: vec![row(&job, 1)],
        occurrences: vec![(job.clone(), occurrence(&due(1), ronda_domain::record::OccurrenceStatus::Missed))],
        ..owner.next_commit()
    };
    store.commit(commit.into()).await.expect("commit");
    // `[99, nil]` in MessagePack, later than everything.
    let slot = job.slot();
    let later = "USING TIMESTAMP 9000000000000000 SET row = 0x9263c0";
    keyspace
        .cql(&format!("UPDATE ks.schedulers {later} WHERE slot = {slot} AND tenant = 'acme' AND scheduler = 'job'"))
        .await;
    let place = "bucket = 0 AND age = -1001 AND kind = 0 AND subject_run = '' AND run = '' AND epoch = 1";
    keyspace.cql(&format!("UPDATE ks.history {later} WHERE tenant = 'acme' AND scheduler = 'job' AND {place}")).await;

    for refused in [
        store.scheduler("acme", "job").await.expect_err("a scheduler"),
        store.load(0, 1, None, 10).await.expect_err("a partition's rows"),
        store.schedulers(&tenant("acme"), None, 10).await.expect_err("a list"),
        store.history(&job, &everything()).await.expect_err("a history"),
    ] {
        assert!(refused.kind == StoreErrorKind::Unreadable && !refused.retryable, "{refused}");
        assert!(refused.message.contains("has version 99"), "{refused}");
    }
    assert!(store.is_registered("acme", "job").await.expect("is_registered"), "this reads no row");
}

/// How often tables of a keyspace were `read`, or there was a `write`, on the server.
async fn counts(keyspace: &Keyspace, what: &str) -> BTreeMap<String, i64> {
    let query = format!("SELECT keyspace_name, table_name, count FROM system_views.local_{what}_latency");
    let rows =
        keyspace.session().await.query_unpaged(query, ()).await.expect("a query").into_rows_result().expect("rows");
    let rows = rows.rows::<(String, String, i64)>().expect("counts").map(|row| row.expect("a count"));
    rows.filter(|row| row.0 == keyspace.name).map(|(_, table, count)| (table, count)).collect()
}

/// In steady state a commit with one heartbeat reads nothing, and writes one row and the partition's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heartbeat_is_one_write() {
    const COMMITS: u64 = 20;
    let keyspace = keyspace().await;
    let store = keyspace.store().await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let job = key("acme", "job");
    owner.put(&store, vec![row(&job, 1)]).await;
    let before = (counts(&keyspace, "read").await, counts(&keyspace, "write").await);
    for position in 2..2 + COMMITS {
        owner.put(&store, vec![row(&job, position)]).await;
    }
    let after = (counts(&keyspace, "read").await, counts(&keyspace, "write").await);
    let changed = |before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>| -> Vec<(String, i64)> {
        let changed = after.iter().map(|(table, count)| (table.clone(), count - before.get(table).unwrap_or(&0)));
        changed.filter(|(_, change)| *change != 0).collect()
    };
    let commits = i64::try_from(COMMITS).expect("a number");
    let writes = [("partitions".to_owned(), commits), ("schedulers".to_owned(), commits)];
    assert_eq!(changed(&before.1, &after.1), writes);
    // To judge its condition the server itself reads the partition's row.
    let reads = changed(&before.0, &after.0);
    assert!(reads.iter().all(|(table, _)| table == "partitions"), "{reads:?}");
}

/// What has a time to live goes by itself, and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_goes_when_its_time_is_over() {
    const KEEP_SECONDS: u32 = 3;
    let keyspace = keyspace().await;
    let options = CassandraOptions { idempotency_keep_seconds: KEEP_SECONDS, ..keyspace.options() };
    let store = CassandraStore::connect(options).await.expect("connect");
    let (acme, begin) = (tenant("acme"), Instant::now());
    let first = claim(1, now());
    assert_eq!(store.claim(&acme, "retry", first.clone()).await.expect("claim"), IdempotencyClaim::Claimed);
    let taken_over = store.take_over(&acme, "retry", &first, claim(1, now())).await.expect("take over");
    assert!(taken_over);
    let deadline = begin + Duration::from_secs(60);
    loop {
        let claimed = store.claim(&acme, "retry", claim(2, now())).await.expect("claim");
        let elapsed = begin.elapsed();
        if claimed == IdempotencyClaim::Claimed {
            assert!(elapsed > Duration::from_secs(u64::from(KEEP_SECONDS) - 1), "gone after {elapsed:?}");
            break;
        }
        assert!(Instant::now() < deadline, "still there after {elapsed:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// History has a time to live that counts from its own time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_written_with_a_time_to_live() {
    const DAY_SECONDS: u32 = 24 * 3_600;
    let keyspace = keyspace().await;
    let options = CassandraOptions { history_keep_seconds: DAY_SECONDS.into(), ..keyspace.options() };
    let store = CassandraStore::connect(options).await.expect("connect");
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let subject = ronda_domain::record::Subject::Occurrence { due: now().minus_seconds(3_600) };
    let entry = occurrence(&subject, ronda_domain::record::OccurrenceStatus::Missed);
    let commit = Commit { occurrences: vec![(key("acme", "job"), entry)], ..owner.next_commit() };
    store.commit(commit.into()).await.expect("commit");
    let session = keyspace.session().await;
    let query = format!("SELECT TTL(row) FROM {}.history", keyspace.name);
    let rows = session.query_unpaged(query, ()).await.expect("a query").into_rows_result().expect("rows");
    let (ttl,): (Option<i32>,) = rows.single_row().expect("one row");
    let left = i64::from(DAY_SECONDS) - 3_600;
    assert!(ttl.is_some_and(|ttl| (left - 600..=left).contains(&ttl.into())), "{ttl:?}");
}

/// A login that is refused, or nobody there, says so and where.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_told_with_the_address() {
    let keyspace = Keyspace::named(([127, 0, 0, 1], ronda_testbed::free_port().expect("a port")).into());
    let options = CassandraOptions { connect_timeout: Duration::from_secs(2), ..keyspace.options() };
    let refused = CassandraStore::connect(options).await.map(drop).expect_err("nobody listens");
    assert!(refused.kind == StoreErrorKind::Unavailable && refused.retryable, "{refused}");
    assert!(refused.message.contains(&keyspace.address.to_string()), "{refused}");
    let odd = CassandraOptions { keyspace: "No-Name".to_owned(), ..keyspace.options() };
    assert_eq!(refusal(CassandraStore::connect(odd).await.map(drop)), StoreErrorKind::Invalid);
}
