//! Reading a partition, for the port.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;

use crate::error::{QueueError, QueueErrorKind};
use crate::port::{Delivery, Partition, ReceiveLimit, Receiver, Token};

use super::feed::Taken;
use super::queue::delivery;
use super::reader::Reader;
use super::shared::{Lane, Shared};

/// Where messages come from.
enum Source {
    /// A consumer of its own, as long as this is behind what the feed keeps.
    Own(Box<Reader>),
    /// What the process reads for all partitions.
    Feed,
}

pub(super) struct NatsReceiver {
    shared: Arc<Shared>,
    partition: Partition,
    /// Place in the stream after what was returned last.
    next: u64,
    source: Source,
    /// Came from its own consumer, but was over the limit of the last receive.
    held: Option<Delivery>,
}

impl NatsReceiver {
    pub(super) async fn open(shared: Arc<Shared>, partition: Partition, from: u64) -> Result<Self, QueueError> {
        // What this process settled is not offered again, trimmed or not.
        let next = from.max(shared.lane(partition)?.settled.load(Ordering::Acquire) + 1);
        let own = Reader::open(Arc::clone(&shared), Some(partition), next).await?;
        let lane = shared.lane(partition)?;
        lane.given.begin(next);
        lane.receivers.fetch_add(1, Ordering::AcqRel);
        shared.receivers_changed.notify_one();
        Ok(Self { shared, partition, next, source: Source::Own(Box::new(own)), held: None })
    }

    /// Takes from its own consumer. Nothing is awaited after the first message: this makes the call cancel-safe.
    async fn take_own(&mut self, limit: ReceiveLimit) -> Result<Option<Vec<Delivery>>, QueueError> {
        let Source::Own(reader) = &mut self.source else { return Ok(None) };
        let first = match self.held.take() {
            Some(held) => held,
            None => {
                let (position, message) = reader.next().await?;
                delivery(&self.shared, position, message)
            }
        };
        let mut bytes = first.message.len();
        let mut deliveries = vec![first];
        while deliveries.len() < limit.messages
            && let Some((position, message)) = reader.ready()
        {
            bytes = bytes.saturating_add(message.payload.len());
            let delivery = delivery(&self.shared, position, message);
            if bytes > limit.bytes {
                self.held = Some(delivery);
                break;
            }
            deliveries.push(delivery);
        }
        Ok(Some(deliveries))
    }

    /// Takes from what the process reads for all.
    async fn take_fed(&mut self, limit: ReceiveLimit) -> Result<Option<Vec<Delivery>>, QueueError> {
        let tail = &self.shared.lane(self.partition)?.tail;
        // Stands in line before looking, so that no change is missed.
        let mut changed = pin!(tail.changed.notified());
        changed.as_mut().enable();
        match tail.take(self.next, limit) {
            Taken::Messages(messages) => {
                let deliveries =
                    messages.into_iter().map(|(position, message)| delivery(&self.shared, position, message));
                Ok(Some(deliveries.collect()))
            }
            Taken::Nothing => {
                changed.await;
                Ok(None)
            }
            Taken::Missing => {
                let own = Reader::resume(Arc::clone(&self.shared), self.partition, self.next);
                self.source = Source::Own(Box::new(own));
                Ok(None)
            }
        }
    }

    async fn some(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        loop {
            let got = match &self.source {
                Source::Own(_) => self.take_own(limit).await?,
                Source::Feed => self.take_fed(limit).await?,
            };
            if let Some(deliveries) = got {
                return Ok(deliveries);
            }
        }
    }
}

#[async_trait]
impl Receiver for NatsReceiver {
    async fn receive(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        let closing = self.shared.closed.clone();
        let deliveries = tokio::select! {
            biased;
            () = closing.cancelled() => return Err(QueueError::closed()),
            some = self.some(limit) => some?,
        };
        if let Some(last) = deliveries.last() {
            self.next = last.token.0 + 1;
        }
        let Lane { tail, given, .. } = self.shared.lane(self.partition)?;
        given.add(deliveries.iter().map(|delivery| delivery.token.0));
        if matches!(self.source, Source::Own(_)) && tail.covers(self.next) {
            // What it has beyond is in the tail, or comes there.
            self.held = None;
            self.source = Source::Feed;
        }
        Ok(deliveries)
    }

    async fn settle(&mut self, through: Token) -> Result<(), QueueError> {
        if self.shared.closed.is_cancelled() {
            return Err(QueueError::closed());
        }
        if through.0 == 0 || through.0 >= self.next {
            let what = format!("partition {} never delivered a message with token {}", self.partition, through.0);
            return Err(QueueError::permanent(QueueErrorKind::InvalidToken, what));
        }
        let before = self.shared.lane(self.partition)?.settled.fetch_max(through.0, Ordering::AcqRel);
        if before < through.0 {
            self.shared.to_trim.notify_one();
        }
        Ok(())
    }
}

impl Drop for NatsReceiver {
    fn drop(&mut self) {
        if let Ok(lane) = self.shared.lane(self.partition) {
            lane.receivers.fetch_sub(1, Ordering::AcqRel);
            self.shared.receivers_changed.notify_one();
        }
    }
}
