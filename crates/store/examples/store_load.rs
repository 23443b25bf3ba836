//! Measures the embedded store through its port. The figures are in `docs/adr/0004-embedded-store.md`.
//!
//! `cargo run --release -p ronda-store --example store_load -- DIR`: DIR must not exist; it lies on the disk to measure.
#![allow(clippy::print_stdout, reason = "a measuring tool prints what it measured")]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ronda_domain::id::SchedulerKey;
use ronda_schemas::codec::Versioned as _;
use ronda_store::conformance::fixture::{Owner, key, row};
use ronda_store::embedded::{EmbeddedOptions, EmbeddedStore};
use ronda_store::port::{PartitionStore as _, SchedulerReads as _};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const PARTITIONS: u32 = 8;
const ROWS: u32 = 100_000;

fn keys_of(partition: u32) -> Vec<SchedulerKey> {
    let keys = (0..ROWS).map(|number| key(&format!("tenant-{}", number % 20), &format!("nightly-job-{number:06}")));
    keys.filter(|key| key.hash() % PARTITIONS == partition).collect()
}

/// Each partition commits its share of the rows over and over, in commits of so many, all partitions at once.
async fn commits(store: &Arc<EmbeddedStore>, size: usize, count: usize) -> Outcome<()> {
    let begun = Instant::now();
    let owners = (0..PARTITIONS).map(|partition| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut owner = Owner::acquire(&*store, partition, PARTITIONS).await;
            let rows: Vec<_> = keys_of(partition).iter().map(|key| row(key, 1)).collect();
            let mut turn = rows.iter().cycle();
            let mut times = Vec::with_capacity(count);
            let begun = Instant::now();
            for _ in 0..count {
                let rows = turn.by_ref().take(size).cloned().collect();
                let start = Instant::now();
                owner.put(&*store, rows).await;
                times.push(start.elapsed());
            }
            (times, begun.elapsed())
        })
    });
    let (mut times, mut longest): (Vec<Duration>, Duration) = (Vec::new(), Duration::ZERO);
    for owner in owners.collect::<Vec<_>>() {
        let (more, elapsed) = owner.await?;
        times.extend(more);
        longest = longest.max(elapsed);
    }
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1_000];
    let rows = times.len() * size;
    println!(
        "{PARTITIONS} owners, commits of {size:4} rows: {:7.0} rows/s, {:6.0} commits/s, p50 {:?}, p99 {:?} ({:?} with setting up)",
        rows as f64 / longest.as_secs_f64(),
        times.len() as f64 / longest.as_secs_f64(),
        at(500),
        at(990),
        begun.elapsed(),
    );
    Ok(())
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("?").trim().to_owned()
}

async fn load(store: &EmbeddedStore) -> Outcome<usize> {
    let mut count = 0;
    for partition in 0..PARTITIONS {
        let mut after = None;
        loop {
            let page = store.load(partition, PARTITIONS, after.as_ref(), 1_000).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            count += page.len();
        }
    }
    Ok(count)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Outcome<()> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("usage: store_load DIR")?);
    let store = Arc::new(EmbeddedStore::open(&dir, EmbeddedOptions::default())?);
    println!("a row of {} bytes", row(&key("tenant-1", "nightly-job-000001"), 1).encode()?.len());
    commits(&store, 1_000, 13).await?;
    commits(&store, 1_000, 40).await?;
    commits(&store, 64, 500).await?;
    commits(&store, 1, 1_000).await?;
    println!("{} resident", resident());
    drop(store);

    let start = Instant::now();
    let store = EmbeddedStore::open(&dir, EmbeddedOptions::default())?;
    println!("reopened in {:?}, {} resident", start.elapsed(), resident());
    let start = Instant::now();
    let count = load(&store).await?;
    println!("loaded {count} rows of {PARTITIONS} partitions in {:?}, {} resident", start.elapsed(), resident());
    let start = Instant::now();
    for number in 0..10_000 {
        let scheduler = format!("nightly-job-{number:06}");
        store.scheduler(&format!("tenant-{}", number % 20), &scheduler).await?.ok_or("a row is missing")?;
    }
    println!("one scheduler read and decoded in {:?}", start.elapsed() / 10_000);
    Ok(())
}
