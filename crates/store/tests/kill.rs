//! A store whose process is killed at any moment has every confirmed commit, whole, and no part of another.

#![allow(clippy::print_stdout, reason = "the child tells by it what was confirmed")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use ronda_domain::record::OccurrenceStatus;
use ronda_store::conformance::fixture::{Owner, due, everything, key, occurrence, row, run};
use ronda_store::embedded::{EmbeddedOptions, EmbeddedStore};
use ronda_store::port::{Commit, PartitionStore as _, SchedulerReads as _};

const CHILD_DIR: &str = "RONDA_STORE_KILL_TEST_DIR";
const PARTITIONS: u32 = 2;
const ROWS: u64 = 20;
/// Printed before each confirmed commit's partition and position.
const MARK: &str = "confirmed ";

fn open(dir: &Path) -> EmbeddedStore {
    // A small table is written out often, so that some kills come in the middle of that.
    let options =
        EmbeddedOptions { min_free_bytes: 1024 * 1024, memtable_bytes: 64 * 1024, ..EmbeddedOptions::default() };
    EmbeddedStore::open(dir, options).expect("open")
}

/// What a partition commits at a position: the same rows each time, and a history entry with a run.
fn commit(owner: &mut Owner) -> Commit {
    let mut commit = owner.next_commit();
    let (partition, position) = (commit.partition.partition, commit.partition.cursor);
    commit.rows = (0..ROWS).map(|number| row(&key("acme", &format!("job-{partition}-{number}")), position)).collect();
    let scheduler = key("acme", &format!("job-{partition}-0"));
    let subject = due(i64::try_from(position).expect("a small number"));
    commit.occurrences = vec![(scheduler.clone(), occurrence(&subject, OccurrenceStatus::Succeeded))];
    commit.runs = vec![(scheduler, run(&subject, "run-1", 1))];
    commit
}

/// The process that is killed. Does nothing unless the other test starts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let store = std::sync::Arc::new(open(Path::new(&dir)));
    let mut owners = tokio::task::JoinSet::new();
    for partition in 0..PARTITIONS {
        owners.spawn(own(std::sync::Arc::clone(&store), partition));
    }
    while let Some(owner) = owners.join_next().await {
        owner.expect("an owner");
    }
}

/// Commits until it is killed, or far longer than the other test takes.
async fn own(store: std::sync::Arc<EmbeddedStore>, partition: u32) {
    let mut owner = Owner::acquire(&*store, partition, PARTITIONS).await;
    for _ in 0..1_000_000 {
        let commit = commit(&mut owner);
        let position = commit.partition.cursor;
        store.commit(Arc::new(commit)).await.expect("commit");
        println!("{MARK}{partition} {position}");
    }
}

/// Starts the child, kills it after so many confirmations, and answers the last confirmed position of each partition.
fn kill_after(dir: &Path, confirmations: usize, last: &mut [u64; PARTITIONS as usize]) {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["child", "--exact", "--nocapture"])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the child");
    let output = child.stdout.take().expect("its output");
    let (sender, lines) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            // The test runner's own text may come before it on the same line.
            if let Some((_, confirmed)) = line.split_once(MARK) {
                let (partition, position) = confirmed.split_once(' ').expect("two numbers");
                let numbers: (usize, u64) = (partition.parse().expect("a number"), position.parse().expect("a number"));
                let _ = sender.send(numbers);
            }
        }
    });
    let mut seen = 0;
    while seen < confirmations {
        let (partition, position) = lines.recv_timeout(Duration::from_secs(60)).expect("the child commits");
        last[partition] = position;
        seen += 1;
    }
    // SIGKILL.
    child.kill().expect("kill");
    child.wait().expect("wait");
    reader.join().expect("the reader");
    for (partition, position) in lines.try_iter() {
        last[partition] = position;
    }
}

#[tokio::test]
async fn every_confirmed_commit_survives_a_kill_whole() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut confirmed = [0; PARTITIONS as usize];
    for confirmations in [1, 7, 40, 150, 333] {
        kill_after(dir.path(), confirmations, &mut confirmed);
        let store = open(dir.path());
        for (partition, last) in (0..PARTITIONS).zip(&mut confirmed) {
            let cursor = store.partition(partition).await.expect("partition").map_or(0, |row| row.cursor);
            assert!(cursor >= *last, "partition {partition} ends at {cursor}, and {last} was confirmed");
            check_whole(&store, partition, cursor).await;
            // The child goes on from what is there.
            *last = cursor;
        }
    }
}

async fn check_whole(store: &EmbeddedStore, partition: u32, cursor: u64) {
    if cursor == 0 {
        return;
    }
    for number in 0..ROWS {
        let found = store.scheduler("acme", &format!("job-{partition}-{number}")).await.expect("scheduler");
        assert_eq!(found.map(|row| row.position), Some(cursor), "row {number} of partition {partition}");
    }
    let scheduler = key("acme", &format!("job-{partition}-0"));
    let history = store.history(&scheduler, &everything()).await.expect("history").entries;
    assert_eq!(history.len() as u64, cursor, "every commit's history entry is there");
    assert!(history.iter().all(|entry| entry.runs.len() == 1), "with its run");
    assert!(store.load(partition, PARTITIONS, None, 1).await.is_ok());
}
