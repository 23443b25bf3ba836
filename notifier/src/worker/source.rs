//! Reading the event queue: one task a partition, which hands on what it got and settles what was committed.

use std::sync::Arc;
use std::time::Duration;

use ronda_queue::{Delivery, Position, Queue, QueueError, QueueErrorKind, ReceiveLimit, Receiver, Token};
use ronda_runtime::CancellationToken;
use ronda_schemas::codec::{DecodeError, Versioned};
use ronda_schemas::event::EventBatch;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::NotifierError;

/// Pause after a failed read that may succeed later.
const PAUSE: Duration = Duration::from_secs(1);
/// Groups of batches that may wait to be taken in: the queue keeps the rest.
const WAITING: usize = 8;
/// How long a reader that ends may take to settle what is committed. What it can't comes again, and is known then.
const SETTLE_WITHIN: Duration = Duration::from_secs(2);

/// Which reader speaks: its partition, and with which epoch that was acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub(super) shard: u32,
    pub(super) epoch: u64,
}

/// What a reader comes back with.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) of: Of,
    /// An error is its last word.
    pub(super) what: Result<Batches, NotifierError>,
}

/// What a partition delivered.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) batches: Vec<(Option<u64>, Option<EventBatch>)>,
    /// Settles all of them, once committed.
    pub(super) token: Token,
}

/// Where readers of all partitions put what they got.
pub(super) fn channel() -> (mpsc::Sender<Read>, mpsc::Receiver<Read>) {
    mpsc::channel(WAITING)
}

/// A reader at work; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reading {
    stop: CancellationToken,
    committed: watch::Sender<Option<Token>>,
    task: Option<JoinHandle<()>>,
}

impl Reading {
    /// Begins to read a partition behind a position; 0: from its beginning.
    pub(super) fn start(events: &Arc<dyn Queue>, of: Of, cursor: u64, sender: mpsc::Sender<Read>) -> Self {
        let (committed, stop) = (watch::Sender::new(None), CancellationToken::new());
        let (events, stopped) = (Arc::clone(events), stop.clone());
        let reader = Reader { events, of, cursor, committed: committed.subscribe(), sender, stop: stopped };
        Self { stop, committed, task: Some(tokio::spawn(reader.run())) }
    }

    /// Everything up to this is committed, and to be settled.
    pub(super) fn settle(&self, token: Token) {
        self.committed.send_replace(Some(token));
    }

    /// Receives nothing more; what is committed is still settled.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Settles what is committed, if that does not take long, and returns when the receiver is gone.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        // A reader that knows of nothing to come ends once it has settled what there was.
        drop(std::mem::replace(&mut self.committed, watch::Sender::new(None)));
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(SETTLE_WITHIN, &mut task).await.is_err()
        {
            task.abort();
            let _ = task.await;
        }
    }

    /// Returns when the receiver is gone; nothing more is settled.
    pub(super) async fn break_off(mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct Reader {
    events: Arc<dyn Queue>,
    of: Of,
    cursor: u64,
    committed: watch::Receiver<Option<Token>>,
    sender: mpsc::Sender<Read>,
    stop: CancellationToken,
}

impl Reader {
    async fn run(mut self) {
        if let Err(error) = self.read().await {
            // Nobody listens any more: the engine is ending as well.
            let _ = self.sender.send(Read { of: self.of, what: Err(error) }).await;
        }
    }

    fn failure(&self, error: &QueueError) -> NotifierError {
        let (shard, message) = (self.of.shard, error.to_string());
        if error.kind == QueueErrorKind::PositionAhead {
            NotifierError::RolledBack { shard, message }
        } else {
            NotifierError::Queue { shard, message }
        }
    }

    async fn read(&mut self) -> Result<(), NotifierError> {
        let opened = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            opened = self.open() => opened,
        };
        let mut receiver = opened?;
        let mut is_reading = true;
        // What could not be settled is tried again: a queue may give nothing more until it is.
        let mut is_unsettled = false;
        loop {
            tokio::select! {
                () = self.stop.cancelled(), if is_reading => is_reading = false,
                changed = self.committed.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    is_unsettled = !self.settle(receiver.as_mut()).await;
                }
                () = tokio::time::sleep(PAUSE), if is_unsettled => is_unsettled = !self.settle(receiver.as_mut()).await,
                received = receiver.receive(ReceiveLimit::default()), if is_reading => match received {
                    Ok(deliveries) => is_reading = self.hand_on(&deliveries).await,
                    Err(error) if error.retryable => self.rest(error.retry_after.unwrap_or(PAUSE)).await,
                    Err(error) => return Err(self.failure(&error)),
                }
            }
        }
    }

    /// Waits so long, or until it is to stop.
    async fn rest(&self, pause: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Settles what is committed; whether that was done.
    async fn settle(&mut self, receiver: &mut dyn Receiver) -> bool {
        let token = *self.committed.borrow_and_update();
        let Some(token) = token else { return true };
        let settled = receiver.settle(token).await;
        if let Err(error) = &settled {
            tracing::warn!(partition = self.of.shard, error = %error, "committed events could not be settled; that is tried again");
        }
        settled.is_ok()
    }

    async fn open(&self) -> Result<Box<dyn Receiver>, NotifierError> {
        let mut after = (self.cursor > 0).then_some(Position(self.cursor));
        loop {
            match self.events.open(self.of.shard, after).await {
                Ok(receiver) => return Ok(receiver),
                // Not a second time: then its beginning is of no use either.
                Err(error) if error.kind == QueueErrorKind::PositionAhead && after.is_some() => {
                    tracing::error!(
                        partition = self.of.shard,
                        cursor = self.cursor,
                        "the event queue is older than the notifier's rows: was its data replaced? It is read from its beginning; events seen before are dropped"
                    );
                    after = None;
                }
                Err(error) if error.retryable => tokio::time::sleep(error.retry_after.unwrap_or(PAUSE)).await,
                Err(error) => return Err(self.failure(&error)),
            }
        }
    }

    /// Whether to go on reading. What is not handed on because it is to stop comes again, to whoever reads next.
    async fn hand_on(&self, deliveries: &[Delivery]) -> bool {
        let mut batches = Vec::with_capacity(deliveries.len());
        let mut token = None;
        let mut newer = None;
        for delivery in deliveries {
            let batch = match EventBatch::decode(&delivery.message) {
                Ok(batch) => Some(batch),
                Err(error @ DecodeError::NewerVersion { .. }) => {
                    newer = Some(NotifierError::Event { shard: self.of.shard, error });
                    break;
                }
                Err(error) => {
                    metrics::counter!("ronda_notifier_unreadable_batches_total").increment(1);
                    tracing::error!(partition = self.of.shard, error = %error, "an event batch can't be read and is passed over");
                    None
                }
            };
            batches.push((delivery.position.map(|position| position.0), batch));
            token = Some(delivery.token);
        }
        let read = token.map(|token| Ok(Batches { batches, token }));
        // What comes from a newer one on waits for the release that can read it.
        let is_last = newer.is_some();
        for what in read.into_iter().chain(newer.map(Err)) {
            tokio::select! {
                () = self.stop.cancelled() => return false,
                sent = self.sender.send(Read { of: self.of, what }) => if sent.is_err() { return false },
            }
        }
        !is_last
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;
    use ronda_queue::{Capabilities, Depth, Published, QueueError};

    use super::*;

    /// A queue that was rolled back under the process that has it open.
    #[derive(Default)]
    struct RolledBack {
        opened: AtomicU32,
    }

    #[async_trait]
    impl Queue for RolledBack {
        fn partitions(&self) -> u32 {
            1
        }

        fn capabilities(&self) -> Capabilities {
            unreachable!("not asked for")
        }

        async fn publish(&self, _: u32, _: Bytes) -> Result<Published, QueueError> {
            unreachable!("not published to")
        }

        async fn open(&self, _: u32, _: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
            assert!(self.opened.fetch_add(1, Ordering::Relaxed) < 2, "it is opened again and again");
            Err(QueueError::permanent(QueueErrorKind::PositionAhead, "it was rolled back"))
        }

        async fn depth(&self, _: u32) -> Result<Depth, QueueError> {
            unreachable!("not asked for")
        }
    }

    #[tokio::test]
    async fn a_queue_whose_beginning_is_of_no_use_either_is_given_up() {
        let events: Arc<RolledBack> = Arc::default();
        let (sender, mut failures) = mpsc::channel(1);
        let queue = Arc::clone(&events) as Arc<dyn Queue>;
        let _reading = Reading::start(&queue, Of { shard: 0, epoch: 1 }, 7, sender);
        let failure = failures.recv().await.and_then(|read| read.what.err());
        assert!(matches!(failure, Some(NotifierError::RolledBack { shard: 0, .. })), "{failure:?}");
        assert_eq!(events.opened.load(Ordering::Relaxed), 2, "behind the cursor, and from its beginning");
    }
}
