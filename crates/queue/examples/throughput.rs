//! What the embedded queue does with many publishers at once, and with a reader behind them.
//!
//! `cargo run --release -p ronda-queue --example throughput [DIRECTORY]`
#![expect(clippy::print_stdout, reason = "a program that prints a table")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ronda_queue::{EmbeddedOptions, EmbeddedQueue, Queue, ReceiveLimit};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const CASE: Duration = Duration::from_secs(4);
const PARTITIONS: u32 = 16;

#[tokio::main]
async fn main() -> Outcome<()> {
    let parent = std::env::args().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    println!("| bytes | publishers | publishes/s | MB/s | p50 ms | p99 ms | read back |");
    println!("|---|---|---|---|---|---|---|");
    for (size, publishers) in
        [(180, 1), (180, 16), (180, 256), (180, 1024), (180, 4096), (65_536, 16), (65_536, 128), (524_288, 32)]
    {
        let dir = tempfile::tempdir_in(&parent)?;
        measure(dir.path(), size, publishers).await?;
    }
    let dir = tempfile::tempdir_in(&parent)?;
    catch_up(dir.path()).await
}

/// Publishes for a while, each publisher waiting for its answer, while one reader a partition reads and settles.
async fn measure(dir: &Path, size: usize, publishers: u32) -> Outcome<()> {
    let options = EmbeddedOptions { partitions: PARTITIONS, ..EmbeddedOptions::default() };
    let queue = Arc::new(EmbeddedQueue::open(dir, options)?);
    let readers: Vec<_> = (0..PARTITIONS).map(|partition| tokio::spawn(read(Arc::clone(&queue), partition))).collect();
    let message = Bytes::from(vec![0x5a; size]);
    let begin = Instant::now();
    let tasks: Vec<_> = (0..publishers)
        .map(|publisher| {
            let (queue, message) = (Arc::clone(&queue), message.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while begin.elapsed() < CASE {
                    let start = Instant::now();
                    queue.publish(publisher % PARTITIONS, message.clone()).await?;
                    times.push(start.elapsed());
                }
                Ok::<_, ronda_queue::QueueError>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let seconds = begin.elapsed().as_secs_f64();
    queue.close().await;
    let mut read_back = 0;
    for reader in readers {
        read_back += reader.await?;
    }
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() - 1) * share / 100).copied().unwrap_or_default();
    println!(
        "| {size} | {publishers} | {:.0} | {:.1} | {:.2} | {:.2} | {:.1} % |",
        times.len() as f64 / seconds,
        (times.len() * size) as f64 / seconds / 1e6,
        at(50).as_secs_f64() * 1e3,
        at(99).as_secs_f64() * 1e3,
        read_back as f64 * 100.0 / times.len() as f64,
    );
    Ok(())
}

/// Reads and settles until the queue closes; returns how many messages there were.
async fn read(queue: Arc<EmbeddedQueue>, partition: u32) -> usize {
    let mut count = 0;
    let Ok(mut receiver) = queue.open(partition, None).await else { return 0 };
    while let Ok(messages) = receiver.receive(ReceiveLimit::default()).await {
        count += messages.len();
        if let Some(last) = messages.last()
            && receiver.settle(last.token).await.is_err()
        {
            break;
        }
    }
    count
}

/// Opening and reading a backlog of 512 MiB from the files.
async fn catch_up(dir: &Path) -> Outcome<()> {
    const MESSAGE: usize = 16 << 10;
    const COUNT: u32 = 32 << 10;
    let options = || EmbeddedOptions { partitions: PARTITIONS, ..EmbeddedOptions::default() };
    let queue = Arc::new(EmbeddedQueue::open(dir, options())?);
    let message = Bytes::from(vec![0x5a; MESSAGE]);
    for first in (0..COUNT).step_by(512) {
        let publishes: Vec<_> = (first..first + 512)
            .map(|number| {
                let (queue, message) = (Arc::clone(&queue), message.clone());
                tokio::spawn(async move { queue.publish(number % PARTITIONS, message).await })
            })
            .collect();
        for publish in publishes {
            publish.await??;
        }
    }
    queue.close().await;
    let begin = Instant::now();
    let queue = EmbeddedQueue::open(dir, options())?;
    let opened = begin.elapsed();
    let begin = Instant::now();
    for partition in 0..PARTITIONS {
        let mut receiver = queue.open(partition, None).await?;
        let mut left = COUNT / PARTITIONS;
        while left > 0 {
            left -= u32::try_from(receiver.receive(ReceiveLimit::default()).await?.len())?;
        }
    }
    let bytes = MESSAGE as f64 * f64::from(COUNT);
    println!(
        "backlog of {:.0} MB: opened and checked in {:.2} s, read by {PARTITIONS} receivers in turn at {:.0} MB/s",
        bytes / 1e6,
        opened.as_secs_f64(),
        bytes / 1e6 / begin.elapsed().as_secs_f64()
    );
    Ok(())
}
