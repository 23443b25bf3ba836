//! A server that stands still, is killed, or is cut off while the store is at work: nothing that was confirmed is lost, nothing is doubled,
//! and what is not known is told as such.

#[path = "cassandra/bed.rs"]
#[allow(dead_code, reason = "the other cases do more past the adapter")]
mod bed;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ronda_domain::record::OccurrenceStatus;
use ronda_store::cassandra::{CassandraOptions, CassandraStore};
use ronda_store::conformance::fixture::{Owner, claim, due, everything, key, now, occurrence, row, tenant};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{
    Commit, IdempotencyClaim, IdempotencyStore as _, PartitionStore as _, SchedulerReads as _, SurfaceStore as _,
    SurfaceWrite,
};
use ronda_testbed::{Cassandra, Link, Mode};
use tokio::sync::{Mutex, MutexGuard};

use bed::Keyspace;

/// How long anything may take that comes back to life.
const WITHIN: Duration = Duration::from_secs(300);

/// The one server of these cases, for one case at a time. Panics when there is none.
async fn server() -> MutexGuard<'static, Option<Cassandra>> {
    static SERVER: Mutex<Option<Cassandra>> = Mutex::const_new(None);
    let mut server = SERVER.lock().await;
    if server.is_none() {
        *server = Some(Cassandra::start(true).expect("Cassandra"));
    }
    server
}

/// A store that waits for no answer longer than two seconds, through an address of its own.
async fn impatient(keyspace: &Keyspace, via: std::net::SocketAddr) -> CassandraStore {
    let options = CassandraOptions {
        nodes: vec![via.to_string()],
        request_timeout: Duration::from_secs(2),
        page_rows: 1,
        ..keyspace.options()
    };
    CassandraStore::connect(options).await.expect("connect")
}

fn is_unknown(error: &StoreError) -> bool {
    error.kind == StoreErrorKind::Unavailable && error.retryable && !error.message.is_empty()
}

/// Tries until it is done, as the processor does. Answers how often the store could not say.
async fn persist(store: &CassandraStore, commit: Commit) -> usize {
    let (commit, deadline, mut unknown) = (Arc::new(commit), Instant::now() + WITHIN, 0);
    while let Err(error) = store.commit(Arc::clone(&commit)).await {
        assert!(is_unknown(&error), "{error}");
        assert!(Instant::now() < deadline, "after {unknown} attempts: {error}");
        unknown += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    unknown
}

fn next(owner: &mut Owner, number: u64) -> Commit {
    let job = key("acme", &format!("job-{number}"));
    let second = i64::try_from(number).expect("a number");
    Commit {
        rows: vec![row(&job, number), row(&key("acme", "every"), number)],
        occurrences: vec![(key("acme", "every"), occurrence(&due(second), OccurrenceStatus::Succeeded))],
        ..owner.next_commit()
    }
}

async fn check_all(store: &CassandraStore, commits: u64) {
    let count = usize::try_from(commits).expect("a number");
    assert_eq!(store.partition(0).await.expect("partition").map(|row| row.cursor), Some(commits));
    let every = store.scheduler("acme", "every").await.expect("scheduler").expect("a row");
    assert_eq!(every.position, commits, "the last commit's row covers all before it");
    assert_eq!(store.load(0, 1, None, 10_000).await.expect("load").len(), count + 1);
    assert_eq!(store.schedulers(&tenant("acme"), None, 10_000).await.expect("schedulers").len(), count + 1);
    let history = store.history(&key("acme", "every"), &everything()).await.expect("history").entries;
    assert_eq!(history.len(), count);
}

/// A server that stands still answers nothing within the time-out, and takes the same commit when it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_to_a_server_that_stands_still_is_unknown_and_can_be_tried_again() {
    let guard = server().await;
    let server = guard.as_ref().expect("a server");
    let keyspace = Keyspace::made(server.address()).await;
    let store = impatient(&keyspace, server.address()).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    persist(&store, next(&mut owner, 1)).await;
    server.stall();
    let (begin, commit) = (Instant::now(), Arc::new(next(&mut owner, 2)));
    let refused = store.commit(Arc::clone(&commit)).await;
    server.resume();
    let error = refused.expect_err("nobody answers");
    assert!(is_unknown(&error), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    persist(&store, (*commit).clone()).await;
    check_all(&store, 2).await;
}

/// Commits go on over a kill: each is tried until it is confirmed, and what was confirmed is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_go_on_when_the_server_was_killed() {
    let mut guard = server().await;
    let server = guard.as_mut().expect("a server");
    let keyspace = Keyspace::made(server.address()).await;
    let store = Arc::new(impatient(&keyspace, server.address()).await);
    let committing = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut owner = Owner::acquire(&*store, 0, 1).await;
            let (mut commits, mut unknown) = (0, 0);
            // Some more behind the kill.
            while unknown == 0 || commits < 40 {
                commits += 1;
                unknown += persist(&store, next(&mut owner, commits)).await;
            }
            commits
        })
    };
    let deadline = Instant::now() + WITHIN;
    while store.partition(0).await.expect("partition").is_none_or(|row| row.cursor < 5) {
        assert!(Instant::now() < deadline, "no five commits");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::task::block_in_place(|| {
        server.kill();
        server.restart().expect("the server comes back");
    });
    let commits = committing.await.expect("an owner");
    let fresh = keyspace.store().await;
    check_all(&fresh, commits).await;
}

/// A connection that breaks in the middle of something long is an error, never a short answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_breaks_off_is_an_error() {
    const ENTRIES: u64 = 300;
    let guard = server().await;
    let server = guard.as_ref().expect("a server");
    let keyspace = Keyspace::made(server.address()).await;
    let direct = keyspace.store().await;
    let mut owner = Owner::acquire(&direct, 0, 1).await;
    let mut commit = owner.next_commit();
    let job = key("acme", "job");
    for number in 0..ENTRIES {
        let subject = due(i64::try_from(number).expect("a number"));
        commit.occurrences.push((job.clone(), occurrence(&subject, OccurrenceStatus::Succeeded)));
    }
    persist(&direct, commit).await;

    let (mut broken, mut after) = (0, Duration::from_millis(400));
    // Sooner each time, until it is in the middle.
    while broken == 0 {
        let link = Link::to(server.address()).await.expect("a link");
        let store = impatient(&keyspace, link.address()).await;
        let job = job.clone();
        let reading = tokio::spawn(async move { store.history(&job, &everything()).await });
        tokio::time::sleep(after).await;
        link.set(Mode::Cut);
        match reading.await.expect("a reader") {
            Ok(page) => {
                assert_eq!((page.entries.len(), page.next), (usize::try_from(ENTRIES).expect("a number"), None));
            }
            Err(error) => {
                assert!(is_unknown(&error), "{error}");
                broken += 1;
            }
        }
        after = after.mul_f64(0.7);
        assert!(after > Duration::from_micros(10), "no read was ever broken off");
    }
}

/// What took place though its answer got lost is not done twice, and not taken for somebody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_unknown_and_the_same_again_succeeds() {
    let guard = server().await;
    let server = guard.as_ref().expect("a server");
    let keyspace = Keyspace::made(server.address()).await;
    let link = Link::to(server.address()).await.expect("a link");
    let store = impatient(&keyspace, link.address()).await;
    let mut owner = Owner::acquire(&store, 0, 1).await;
    let epoch = store.acquire_shard(0).await.expect("acquire shard");
    persist(&store, next(&mut owner, 1)).await;
    let (acme, first) = (tenant("acme"), claim(1, now()));
    let writes: Vec<_> =
        (0..300).map(|number| SurfaceWrite { key: format!("row-{number:03}"), row: Some(vec![7; 200]) }).collect();
    let commit = next(&mut owner, 2);

    link.set(Mode::LoseAnswers);
    let refusals = [
        store.commit(Arc::new(commit.clone())).await.expect_err("no answer"),
        store.commit_surfaces(0, epoch, writes.clone()).await.expect_err("no answer"),
        store.claim(&acme, "retry", first.clone()).await.map(drop).expect_err("no answer"),
    ];
    for error in refusals {
        assert!(is_unknown(&error), "{error}");
    }
    link.set(Mode::Cut);
    link.set(Mode::Pass);

    persist(&store, commit).await;
    check_all(&store, 2).await;
    let deadline = Instant::now() + WITHIN;
    while let Err(error) = store.commit_surfaces(0, epoch, writes.clone()).await {
        assert!(is_unknown(&error) && Instant::now() < deadline, "{error}");
    }
    let other = keyspace.store().await;
    assert_eq!(other.surfaces(0, "", None, 1_000).await.expect("surfaces").len(), writes.len());
    // The first read before the claim got no answer, so it never came to be.
    assert_eq!(store.claim(&acme, "retry", first).await.expect("claim"), IdempotencyClaim::Claimed);
}

/// A commit of surfaces that a node carries out late, after its owner has given it up and gone on by another node, covers nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_commit_of_surfaces_covers_nothing() {
    let guard = server().await;
    let server = guard.as_ref().expect("a server");
    let keyspace = Keyspace::made(server.address()).await;
    let link = Link::to(server.address()).await.expect("a link");
    let (stalled, other) = (impatient(&keyspace, link.address()).await, keyspace.store().await);
    let put = |key: &str, row: &[u8]| SurfaceWrite { key: key.to_owned(), row: Some(row.to_vec()) };
    let epoch = stalled.acquire_shard(0).await.expect("acquire shard");
    stalled.commit_surfaces(0, epoch, vec![put("cursor", b"1")]).await.expect("commit");

    link.set(Mode::Freeze);
    let error = stalled.commit_surfaces(0, epoch, vec![put("cursor", b"2")]).await.expect_err("no answer");
    assert!(is_unknown(&error), "{error}");
    for cursor in [b"2", b"3"] {
        other.commit_surfaces(0, epoch, vec![put("cursor", cursor)]).await.expect("commit");
    }
    link.set(Mode::Pass);
    // Behind it, on its way.
    stalled.commit_surfaces(0, epoch, vec![put("other", b"1")]).await.expect("commit");
    let found = other.surfaces(0, "cursor", None, 9).await.expect("surfaces");
    assert_eq!(found, [("cursor".to_owned(), b"3".to_vec())]);
}
