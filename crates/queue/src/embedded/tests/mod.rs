//! The embedded queue against the port's suite and against its own promises.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;

use super::{EmbeddedOptions, EmbeddedQueue};
use crate::conformance::{QueueHarness, Setup};
use crate::port::Queue;

struct Embedded {
    dir: TempDir,
    options: EmbeddedOptions,
    queue: Arc<EmbeddedQueue>,
}

#[async_trait]
impl QueueHarness for Embedded {
    async fn start(setup: Setup) -> Self {
        let mut options = EmbeddedOptions { partitions: setup.partitions, ..EmbeddedOptions::default() };
        if setup.small {
            // Segments so small that a case goes through many of them, and a tail too small to hide the files.
            options.max_bytes = 4 << 20;
            options.segment_bytes = 1;
            options.max_message_bytes = 60_000;
            options.tail_bytes = 10_000;
        }
        let dir = tempfile::tempdir().expect("temporary directory");
        let queue = Arc::new(EmbeddedQueue::open(dir.path(), options.clone()).expect("open"));
        Self { dir, options, queue }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.queue) as _
    }

    async fn reopen(&mut self) {
        self.queue.close().await;
        self.queue = Arc::new(EmbeddedQueue::open(self.dir.path(), self.options.clone()).expect("open again"));
    }
}

crate::queue_conformance_tests!(Embedded);

mod damage;
mod faults;
mod opening;
mod reading;

/// Opens a queue for a test.
fn open(dir: &std::path::Path) -> EmbeddedQueue {
    EmbeddedQueue::open(dir, small()).expect("open")
}

/// Settings that make segments and tails small.
fn small() -> EmbeddedOptions {
    EmbeddedOptions {
        partitions: 2,
        max_bytes: 8 << 20,
        segment_bytes: 64 << 10,
        max_message_bytes: 64 << 10,
        tail_bytes: 8 << 10,
        ..EmbeddedOptions::default()
    }
}

/// Publishes one message after the other, so that each is a group of its own.
async fn publish(queue: &EmbeddedQueue, partition: u32, messages: impl IntoIterator<Item = Vec<u8>>) {
    for message in messages {
        queue.publish(partition, message.into()).await.expect("publish");
    }
}

/// Everything that is in a partition now, with positions.
async fn read_all(queue: &EmbeddedQueue, partition: u32) -> Vec<(u64, Vec<u8>)> {
    let count = queue.depth(partition).await.expect("depth").messages;
    let mut receiver = Queue::open(queue, partition, None).await.expect("open");
    let mut all = Vec::new();
    while (all.len() as u64) < count {
        for delivery in receiver.receive(crate::ReceiveLimit::default()).await.expect("receive") {
            all.push((delivery.position.expect("position").0, delivery.message.to_vec()));
        }
    }
    all
}

/// Segment files in order.
fn segments(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("list").map(|entry| entry.expect("entry").path());
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    paths.sort();
    paths
}
