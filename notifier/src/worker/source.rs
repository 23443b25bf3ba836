//! Reading the event queue: one task a partition, which hands on what it got and settles what was committed.

use std::sync::Arc;
use std::time::Duration;

use ronda_queue::{Delivery, Position, Queue, QueueErrorKind, ReceiveLimit, Receiver, Token};
use ronda_runtime::CancellationToken;
use ronda_schemas::codec::{DecodeError, Versioned};
use ronda_schemas::event::EventBatch;
use tokio::sync::{mpsc, watch};

use super::NotifierError;
use super::engine::Engine;

/// Pause after a failed read that may succeed later.
const PAUSE: Duration = Duration::from_secs(1);
/// Groups of batches that may wait to be taken in: the queue keeps the rest.
const WAITING: usize = 8;

/// What a partition delivered.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) shard: usize,
    pub(super) batches: Vec<(Option<u64>, Option<EventBatch>)>,
    /// Settles all of them, once committed.
    pub(super) token: Token,
}

type Sender = mpsc::Sender<Result<Batches, NotifierError>>;

/// Starts a reader for each of the engine's shards.
pub(super) fn start(
    events: &Arc<dyn Queue>,
    engine: &mut Engine,
    cancel: &CancellationToken,
) -> mpsc::Receiver<Result<Batches, NotifierError>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    for (shard, cursor, committed) in engine.readers() {
        let reader = Reader { events: Arc::clone(events), shard, cursor, committed, sender: sender.clone() };
        let cancel = cancel.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = reader.run() => {}
            }
        });
    }
    receiver
}

struct Reader {
    events: Arc<dyn Queue>,
    shard: usize,
    cursor: u64,
    committed: watch::Receiver<Option<Token>>,
    sender: Sender,
}

impl Reader {
    async fn run(mut self) {
        if let Err(error) = self.read().await {
            // Nobody listens any more: the engine is ending as well.
            let _ = self.sender.send(Err(error)).await;
        }
    }

    fn partition(&self) -> u32 {
        u32::try_from(self.shard).unwrap_or(u32::MAX)
    }

    async fn read(&mut self) -> Result<(), NotifierError> {
        let mut receiver = self.open().await?;
        // What could not be settled is tried again: a queue may give nothing more until it is.
        let mut is_unsettled = false;
        loop {
            tokio::select! {
                changed = self.committed.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    is_unsettled = !self.settle(receiver.as_mut()).await;
                }
                () = tokio::time::sleep(PAUSE), if is_unsettled => is_unsettled = !self.settle(receiver.as_mut()).await,
                received = receiver.receive(ReceiveLimit::default()) => match received {
                    Ok(deliveries) => {
                        if self.hand_on(&deliveries).await.is_err() {
                            return Ok(());
                        }
                    }
                    Err(error) if error.retryable => tokio::time::sleep(error.retry_after.unwrap_or(PAUSE)).await,
                    Err(error) if error.kind == QueueErrorKind::Closed => return Ok(()),
                    Err(error) => {
                        return Err(NotifierError::Queue { shard: self.partition(), message: error.to_string() });
                    }
                }
            }
        }
    }

    /// Settles what is committed; whether that was done.
    async fn settle(&mut self, receiver: &mut dyn Receiver) -> bool {
        let token = *self.committed.borrow_and_update();
        let Some(token) = token else { return true };
        let settled = receiver.settle(token).await;
        if let Err(error) = &settled {
            tracing::warn!(partition = self.shard, error = %error, "committed events could not be settled; that is tried again");
        }
        settled.is_ok()
    }

    async fn open(&self) -> Result<Box<dyn Receiver>, NotifierError> {
        let mut after = (self.cursor > 0).then_some(Position(self.cursor));
        loop {
            match self.events.open(self.partition(), after).await {
                Ok(receiver) => return Ok(receiver),
                // Not a second time: then its beginning is of no use either.
                Err(error) if error.kind == QueueErrorKind::PositionAhead && after.is_some() => {
                    tracing::error!(
                        partition = self.shard,
                        cursor = self.cursor,
                        "the event queue is older than the notifier's rows: was its data replaced? It is read from its beginning; events seen before are dropped"
                    );
                    after = None;
                }
                Err(error) if error.retryable => tokio::time::sleep(error.retry_after.unwrap_or(PAUSE)).await,
                Err(error) => {
                    return Err(NotifierError::Queue { shard: self.partition(), message: error.to_string() });
                }
            }
        }
    }

    async fn hand_on(&self, deliveries: &[Delivery]) -> Result<(), ()> {
        let mut batches = Vec::with_capacity(deliveries.len());
        let mut token = None;
        let mut newer = None;
        for delivery in deliveries {
            let batch = match EventBatch::decode(&delivery.message) {
                Ok(batch) => Some(batch),
                Err(error @ DecodeError::NewerVersion { .. }) => {
                    newer = Some(NotifierError::Event { shard: self.partition(), error });
                    break;
                }
                Err(error) => {
                    metrics::counter!("ronda_notifier_unreadable_batches_total").increment(1);
                    tracing::error!(partition = self.shard, error = %error, "an event batch can't be read and is passed over");
                    None
                }
            };
            batches.push((delivery.position.map(|position| position.0), batch));
            token = Some(delivery.token);
        }
        if let Some(token) = token {
            self.sender.send(Ok(Batches { shard: self.shard, batches, token })).await.map_err(drop)?;
        }
        match newer {
            // What comes from there on waits for the release that can read it.
            Some(error) => {
                let _ = self.sender.send(Err(error)).await;
                Err(())
            }
            None => Ok(()),
        }
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
        let (_tell, committed) = watch::channel(None);
        let reader = Reader { events: Arc::clone(&events) as Arc<dyn Queue>, shard: 0, cursor: 7, committed, sender };
        reader.run().await;
        assert!(matches!(failures.recv().await, Some(Err(NotifierError::Queue { shard: 0, .. }))));
        assert_eq!(events.opened.load(Ordering::Relaxed), 2, "behind the cursor, and from its beginning");
    }
}
