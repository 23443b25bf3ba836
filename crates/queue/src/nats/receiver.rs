//! Reading a partition: a consumer that is made anew from the last message seen, as often as it takes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};

use crate::error::{QueueError, QueueErrorKind};
use crate::port::{Delivery, Partition, ReceiveLimit, Receiver, Token};

use super::connection::Watch;
use super::queue::{Shared, closed, delivery};

/// What the server may send ahead of what is asked for.
const AHEAD_MESSAGES: usize = 2_000;
const AHEAD_BYTES: usize = 4 << 20;
/// What the server counts of a message beside its payload and headers: its subjects.
const SUBJECT_BYTES: usize = 4 << 10;
/// A consumer that nobody reads from goes away after this.
const INACTIVE_AFTER: Duration = Duration::from_secs(30);
/// How long a pull request stands, and how often the server says that it is still there.
const PULL_FOR: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Longest wait between two attempts to make a consumer.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A consumer on the server, and how far it has come.
struct Consumer {
    messages: pull::Stream,
    watch: Watch,
    /// Its own number of the last message.
    seen: u64,
}

enum State {
    Opening(BoxFuture<'static, Result<Consumer, QueueError>>),
    Reading(Box<Consumer>),
}

pub(super) struct NatsReceiver {
    shared: Arc<Shared>,
    partition: Partition,
    /// Place in the stream from which on messages are wanted.
    next: u64,
    state: State,
    /// The consumer broke since the last message.
    failures: u32,
    /// Came, but was over the limit of the last receive.
    held: Option<Delivery>,
}

impl NatsReceiver {
    pub(super) async fn open(shared: Arc<Shared>, partition: Partition, from: u64) -> Result<Self, QueueError> {
        // What this process settled is not offered again, trimmed or not.
        let lane = shared.lane(partition)?;
        let settled = lane.settled.load(Ordering::Acquire);
        let consumer = begin(&shared, partition, from, from.max(settled + 1)).await?;
        let state = State::Reading(Box::new(consumer));
        Ok(Self { next: from.max(settled + 1), shared, partition, state, failures: 0, held: None })
    }

    /// Begins anew where the last message was.
    fn begin_anew(&mut self) {
        let (shared, partition, next) = (Arc::clone(&self.shared), self.partition, self.next);
        let mut failures = self.failures;
        self.failures = self.failures.saturating_add(1);
        self.state = State::Opening(Box::pin(async move {
            loop {
                if failures > 0 {
                    tokio::time::sleep(Duration::from_millis(10 << failures.min(8)).min(LONGEST_WAIT)).await;
                }
                shared.reading.connected().await;
                match begin(&shared, partition, next, next).await {
                    Err(error) if error.retryable => {
                        tracing::debug!(partition, %error, "no consumer could be made; trying again");
                        failures = failures.saturating_add(1);
                    }
                    result => return result,
                }
            }
        }));
    }

    /// The next message. Cancel-safe: what is awaited is kept in `self`.
    async fn next(&mut self) -> Result<Delivery, QueueError> {
        loop {
            let consumer = match &mut self.state {
                State::Opening(opening) => {
                    match opening.await {
                        Ok(consumer) => self.state = State::Reading(Box::new(consumer)),
                        Err(error) => {
                            self.begin_anew();
                            return Err(error);
                        }
                    }
                    continue;
                }
                State::Reading(consumer) => consumer,
            };
            let message = tokio::select! {
                biased;
                message = consumer.messages.next() => message,
                _ = consumer.watch.trouble(None) => None,
            };
            if let Some(delivery) = self.take(message) {
                return Ok(delivery);
            }
        }
    }

    /// A message that is already there.
    fn ready(&mut self) -> Option<Delivery> {
        let State::Reading(consumer) = &mut self.state else { return None };
        // The runtime's budget would make it look empty after some hundred messages.
        let message = tokio::task::coop::unconstrained(consumer.messages.next()).now_or_never()?;
        self.take(message)
    }

    /// Looks at what a consumer gave. When it is not the message after the last one, a new consumer is begun.
    fn take(
        &mut self,
        message: Option<Result<async_nats::jetstream::Message, pull::MessagesError>>,
    ) -> Option<Delivery> {
        if let (State::Reading(consumer), Some(Ok(message))) = (&mut self.state, message)
            && let Ok(info) = message.info()
            && info.consumer_sequence == consumer.seen + 1
            && info.stream_sequence >= self.next
        {
            let position = info.stream_sequence;
            consumer.seen += 1;
            self.next = position + 1;
            self.failures = 0;
            return Some(delivery(&self.shared, position, message.message));
        }
        self.begin_anew();
        None
    }
}

/// Makes a consumer and asks it for messages.
async fn begin(shared: &Shared, partition: Partition, after: u64, from: u64) -> Result<Consumer, QueueError> {
    let watch = shared.reading.watch();
    let last = shared.info().await?.state.last_sequence;
    if after > last.saturating_add(1) {
        let what = format!(
            "stream {} ends at {last}, before the position {} that was read already: it was deleted and made anew, or lost messages in \
             a crash of the server",
            shared.stream,
            after - 1
        );
        return Err(QueueError::permanent(QueueErrorKind::PositionAhead, what));
    }
    let consumer = shared.consumer(partition, from, INACTIVE_AFTER).await?;
    let bytes = AHEAD_BYTES.max(shared.reading.max_payload() + SUBJECT_BYTES);
    let messages = consumer
        .stream()
        .max_messages_per_batch(AHEAD_MESSAGES)
        .max_bytes_per_batch(bytes)
        .expires(PULL_FOR)
        .heartbeat(HEARTBEAT)
        .messages()
        .await
        .map_err(|_| shared.reading.gone())?;
    Ok(Consumer { messages, watch, seen: 0 })
}

#[async_trait]
impl Receiver for NatsReceiver {
    async fn receive(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        let closing = self.shared.closed.clone();
        let first = match self.held.take() {
            Some(held) => held,
            None => tokio::select! {
                biased;
                () = closing.cancelled() => return Err(closed()),
                first = self.next() => first?,
            },
        };
        // Nothing is awaited from here on: this makes the call cancel-safe.
        let mut bytes = first.message.len();
        let mut deliveries = vec![first];
        while deliveries.len() < limit.messages
            && let Some(delivery) = self.ready()
        {
            bytes = bytes.saturating_add(delivery.message.len());
            if bytes > limit.bytes {
                self.held = Some(delivery);
                break;
            }
            deliveries.push(delivery);
        }
        Ok(deliveries)
    }

    async fn settle(&mut self, through: Token) -> Result<(), QueueError> {
        if self.shared.closed.is_cancelled() {
            return Err(closed());
        }
        let handed_out = self.held.as_ref().map_or(self.next, |held| held.token.0);
        if through.0 == 0 || through.0 >= handed_out {
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
