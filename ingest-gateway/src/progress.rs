//! Waiting until a frame is applied: one look at a partition's row serves everybody who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ronda_store::port::Store;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::debug;

/// How far this gateway's frames have been applied.
pub(crate) struct Progress {
    store: Arc<dyn Store>,
    gateway: u64,
    poll_every: Duration,
    partitions: Box<[Arc<PartitionProgress>]>,
}

#[derive(Default)]
struct PartitionProgress {
    applied: AtomicU64,
    waiting: AtomicUsize,
    polling: Mutex<bool>,
    moved: Notify,
}

/// Counts one who waits for as long as it lives, so that a dropped request stops the looking.
struct Waiting<'a>(&'a PartitionProgress);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Progress {
    pub(crate) fn new(store: Arc<dyn Store>, gateway: u64, partitions: u32, poll_every: Duration) -> Self {
        let partitions = (0..partitions).map(|_| Arc::default()).collect();
        Self { store, gateway, poll_every, partitions }
    }

    /// Waits until a frame is applied and its rows are written; `false`: the time ran out.
    pub(crate) async fn applied(&self, partition: u32, number: u64, deadline: Instant) -> bool {
        let Some(progress) = self.partitions.get(partition as usize) else { return false };
        progress.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(progress);
        self.look(partition, progress);
        loop {
            let moved = progress.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            if progress.applied.load(Ordering::Acquire) >= number {
                return true;
            }
            if timeout_at(deadline, moved).await.is_err() {
                return progress.applied.load(Ordering::Acquire) >= number;
            }
        }
    }

    /// Sees to it that somebody looks at the partition's row.
    fn look(&self, partition: u32, progress: &Arc<PartitionProgress>) {
        let mut polling = progress.polling.lock();
        if !std::mem::replace(&mut *polling, true) {
            let store = Arc::clone(&self.store);
            tokio::spawn(poll(store, self.gateway, partition, Arc::clone(progress), self.poll_every));
        }
    }
}

async fn poll(store: Arc<dyn Store>, gateway: u64, partition: u32, progress: Arc<PartitionProgress>, every: Duration) {
    loop {
        match store.partition(partition).await {
            Ok(Some(row)) => {
                if let Some(row) = row.gateways.iter().find(|row| row.gateway == gateway)
                    && progress.applied.fetch_max(row.number, Ordering::AcqRel) < row.number
                {
                    progress.moved.notify_waiters();
                }
            }
            Ok(None) => {}
            Err(error) => debug!(%error, partition, "could not read how far the partition has come"),
        }
        {
            let mut polling = progress.polling.lock();
            if progress.waiting.load(Ordering::Acquire) == 0 {
                *polling = false;
                return;
            }
        }
        sleep(every).await;
    }
}
