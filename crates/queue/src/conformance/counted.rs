//! A queue in memory that is as brokers are: without positions, with one receiver a partition that acknowledges, and with direct messages.
//! For the tests of what reads queues.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::error::{QueueError, QueueErrorKind};
use crate::port::{
    Capabilities, Delivery, Depth, Origin, Partition, Position, Published, Queue, ReceiveLimit, Receiver, Token,
};

const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// The queue.
pub struct CountedQueue {
    partitions: Vec<Arc<Shared>>,
    max_unsettled: usize,
    max_bytes: usize,
    blocks: bool,
    /// So many publishes fail.
    failing_publishes: AtomicU32,
}

struct Shared {
    kept: Mutex<Kept>,
    /// Told of each change.
    changes: watch::Sender<()>,
}

/// One partition.
#[derive(Default)]
struct Kept {
    messages: Vec<(Bytes, Option<Box<Origin>>)>,
    bytes: usize,
    /// How many are settled, and how many were ever delivered.
    settled: usize,
    delivered: usize,
    /// Which receiver is served: the one that was opened last.
    receivers: u64,
    /// So many settles fail.
    failing_settles: u32,
}

impl CountedQueue {
    /// A queue of so many partitions, whose receivers get so many messages before they settle some.
    #[must_use]
    pub fn new(partitions: u32, max_unsettled: usize) -> Self {
        Self::limited(partitions, max_unsettled, usize::MAX)
    }

    /// The same with room for so many bytes in each partition.
    #[must_use]
    pub fn limited(partitions: u32, max_unsettled: usize, max_bytes: usize) -> Self {
        let partition = |_| Arc::new(Shared { kept: Mutex::new(Kept::default()), changes: watch::channel(()).0 });
        let partitions = (0..partitions).map(partition).collect();
        Self {
            partitions,
            max_unsettled: max_unsettled.max(1),
            max_bytes,
            blocks: false,
            failing_publishes: AtomicU32::new(0),
        }
    }

    /// The same, and receivers get nothing more while anything is unsettled.
    #[must_use]
    pub fn blocking(self) -> Self {
        Self { blocks: true, ..self }
    }

    /// Makes the next settles of all partitions fail.
    pub fn fail_settles(&self, times: u32) {
        for partition in &self.partitions {
            partition.kept.lock().failing_settles = times;
        }
    }

    /// Makes the next publishes fail, as while a broker is away.
    pub fn fail_publishes(&self, times: u32) {
        self.failing_publishes.store(times, Ordering::SeqCst);
    }

    fn of(&self, partition: Partition) -> Result<&Arc<Shared>, QueueError> {
        let found = usize::try_from(partition).ok().and_then(|index| self.partitions.get(index));
        found.ok_or_else(|| QueueError::invalid_partition(partition, self.partitions()))
    }

    fn put(&self, partition: Partition, message: Bytes, origin: Option<&Origin>) -> Result<Published, QueueError> {
        let shared = self.of(partition)?;
        let left = |left: u32| left.checked_sub(1);
        if self.failing_publishes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            let wait = std::time::Duration::from_millis(1);
            return Err(QueueError::transient(QueueErrorKind::Unavailable, wait, "told to fail"));
        }
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(QueueError::too_large(message.len(), MAX_MESSAGE_BYTES));
        }
        let mut kept = shared.kept.lock();
        if kept.bytes.saturating_add(message.len()) > self.max_bytes {
            let wait = std::time::Duration::from_millis(20);
            return Err(QueueError::transient(QueueErrorKind::Full, wait, "the queue is full"));
        }
        kept.bytes += message.len();
        kept.messages.push((message, origin.cloned().map(Box::new)));
        drop(kept);
        shared.changes.send_replace(());
        Ok(Published { position: None })
    }
}

#[async_trait]
impl Queue for CountedQueue {
    fn partitions(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_message_bytes: MAX_MESSAGE_BYTES,
            positions: false,
            log: false,
            refuses_when_full: self.max_bytes != usize::MAX,
            max_unsettled: Some(self.max_unsettled),
            blocks_until_settled: self.blocks,
            linger: None,
            direct: true,
        }
    }

    async fn publish(&self, partition: Partition, message: Bytes) -> Result<Published, QueueError> {
        self.put(partition, message, None)
    }

    async fn publish_direct(
        &self,
        partition: Partition,
        message: Bytes,
        origin: &Origin,
    ) -> Result<Published, QueueError> {
        self.put(partition, message, Some(origin))
    }

    async fn open(&self, partition: Partition, _: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
        let shared = Arc::clone(self.of(partition)?);
        let mut kept = shared.kept.lock();
        kept.receivers += 1;
        let (receiver, next) = (kept.receivers, kept.settled);
        drop(kept);
        // A former receiver that waits sees that it is no longer served.
        shared.changes.send_replace(());
        let changes = shared.changes.subscribe();
        Ok(Box::new(Reading {
            shared,
            changes,
            receiver,
            next,
            max_unsettled: self.max_unsettled,
            blocks: self.blocks,
        }))
    }

    async fn depth(&self, partition: Partition) -> Result<Depth, QueueError> {
        let kept = self.of(partition)?.kept.lock();
        let messages = kept.messages.len() - kept.settled;
        Ok(Depth {
            messages: u64::try_from(messages).unwrap_or(u64::MAX),
            bytes: u64::try_from(kept.bytes).ok(),
            ..Depth::default()
        })
    }
}

struct Reading {
    shared: Arc<Shared>,
    changes: watch::Receiver<()>,
    receiver: u64,
    next: usize,
    max_unsettled: usize,
    blocks: bool,
}

impl Reading {
    fn ready(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        let mut kept = self.shared.kept.lock();
        if kept.receivers != self.receiver {
            return Err(QueueError::permanent(QueueErrorKind::Closed, "another receiver has taken the partition over"));
        }
        let blocked = self.blocks && self.next > kept.settled;
        let end = if blocked { self.next } else { kept.messages.len().min(kept.settled + self.max_unsettled) };
        let mut deliveries = Vec::new();
        let mut bytes = 0;
        while self.next < end && deliveries.len() < limit.messages.max(1) {
            let Some((message, origin)) = kept.messages.get(self.next) else { break };
            bytes += message.len();
            if bytes > limit.bytes && !deliveries.is_empty() {
                break;
            }
            deliveries.push(Delivery {
                position: None,
                message: message.clone(),
                token: Token(u64::try_from(self.next).unwrap_or(u64::MAX)),
                redelivered: self.next < kept.delivered,
                origin: origin.clone(),
            });
            self.next += 1;
        }
        kept.delivered = kept.delivered.max(self.next);
        Ok(deliveries)
    }
}

#[async_trait]
impl Receiver for Reading {
    async fn receive(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        loop {
            self.changes.borrow_and_update();
            let deliveries = self.ready(limit)?;
            if !deliveries.is_empty() {
                return Ok(deliveries);
            }
            if self.changes.changed().await.is_err() {
                return Err(QueueError::permanent(QueueErrorKind::Closed, "the queue is gone"));
            }
        }
    }

    async fn settle(&mut self, through: Token) -> Result<(), QueueError> {
        let through = usize::try_from(through.0).unwrap_or(usize::MAX);
        if through >= self.next {
            return Err(QueueError::permanent(
                QueueErrorKind::InvalidToken,
                "this receiver never handed that token out",
            ));
        }
        let mut kept = self.shared.kept.lock();
        if kept.receivers != self.receiver {
            return Ok(());
        }
        if let Some(left) = kept.failing_settles.checked_sub(1) {
            kept.failing_settles = left;
            let wait = std::time::Duration::from_millis(20);
            return Err(QueueError::transient(QueueErrorKind::Unavailable, wait, "told to fail"));
        }
        while kept.settled <= through {
            let settled = kept.settled;
            let bytes = kept.messages.get_mut(settled).map_or(0, |(message, _)| std::mem::take(message).len());
            kept.bytes = kept.bytes.saturating_sub(bytes);
            kept.settled += 1;
        }
        drop(kept);
        self.shared.changes.send_replace(());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{QueueHarness, Setup};

    struct Harness(Arc<CountedQueue>);

    #[async_trait]
    impl QueueHarness for Harness {
        async fn start(setup: Setup) -> Self {
            let max_bytes = if setup.small { 4 << 20 } else { usize::MAX };
            Self(Arc::new(CountedQueue::limited(setup.partitions, 1_000, max_bytes)))
        }

        fn queue(&self) -> Arc<dyn Queue> {
            Arc::clone(&self.0) as _
        }

        async fn reopen(&mut self) {}
    }

    crate::queue_conformance_tests!(Harness);
}
