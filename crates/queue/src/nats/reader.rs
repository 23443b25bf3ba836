//! Reading the stream: a consumer that is made anew from the last message seen, as often as it takes.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use async_nats::jetstream::consumer::pull;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use tokio::task::coop::unconstrained;

use crate::error::QueueError;
use crate::port::Partition;

use super::events::{Trouble, Watch};
use super::lasting::Lasting;
use super::shared::Shared;

/// What the server may send ahead of what is asked for.
const AHEAD_MESSAGES: usize = 4_000;
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
    /// Where it is asked for messages.
    asked_at: String,
    watch: Watch,
    /// Its own number of the last message.
    seen: u64,
}

enum State {
    Opening(BoxFuture<'static, Result<Consumer, QueueError>>),
    Reading(Box<Consumer>),
}

/// Reads one partition, or the whole stream, in order and without a gap.
pub(super) struct Reader {
    shared: Arc<Shared>,
    /// `None`: all partitions.
    partition: Option<Partition>,
    /// Place in the stream from which on messages are wanted.
    next: u64,
    state: State,
    /// How many consumers broke since the last message.
    failures: u32,
}

impl Reader {
    /// Begins at a place in the stream, and fails if that can't be done now.
    pub(super) async fn open(shared: Arc<Shared>, partition: Option<Partition>, next: u64) -> Result<Self, QueueError> {
        let state = State::Reading(Box::new(begin(&shared, partition, next).await?));
        Ok(Self { shared, partition, next, state, failures: 0 })
    }

    /// Begins at a place in the stream as soon as it can be done.
    pub(super) fn resume(shared: Arc<Shared>, partition: Partition, next: u64) -> Self {
        let state = State::Opening(Box::pin(begin_anew(Arc::clone(&shared), Some(partition), next, 0)));
        Self { shared, partition: Some(partition), next, state, failures: 1 }
    }

    fn begin_anew(&mut self) {
        let begun = begin_anew(Arc::clone(&self.shared), self.partition, self.next, self.failures);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Opening(Box::pin(begun));
    }

    /// The next message and its place. Waits through outages. Cancel-safe: what is awaited is kept in `self`.
    pub(super) async fn next(&mut self) -> Result<(u64, Message), QueueError> {
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
                trouble = consumer.watch.trouble(&consumer.asked_at) => match trouble {
                    Trouble::Lost => None,
                    Trouble::Denied(said) => {
                        self.begin_anew();
                        return Err(self.shared.reading.denied(&said));
                    }
                },
            };
            if let Some(message) = self.take(message) {
                return Ok(message);
            }
        }
    }

    /// A message that is already there.
    pub(super) fn ready(&mut self) -> Option<(u64, Message)> {
        let State::Reading(consumer) = &mut self.state else { return None };
        // The runtime's budget would make it look empty after some hundred messages.
        let message = unconstrained(consumer.messages.next()).now_or_never()?;
        self.take(message)
    }

    /// Looks at what a consumer gave. When it is not the message after the last one, a new consumer is begun.
    fn take(
        &mut self,
        message: Option<Result<async_nats::jetstream::Message, pull::MessagesError>>,
    ) -> Option<(u64, Message)> {
        if let (State::Reading(consumer), Some(Ok(message))) = (&mut self.state, message)
            && let Ok(info) = message.info()
            && info.consumer_sequence == consumer.seen + 1
            && info.stream_sequence >= self.next
        {
            let position = info.stream_sequence;
            self.shared.past.read(position, info.published);
            consumer.seen += 1;
            self.next = position + 1;
            self.failures = 0;
            return Some((position, message.message));
        }
        self.begin_anew();
        None
    }
}

/// Tries to begin until it works, or can't work any more.
async fn begin_anew(
    shared: Arc<Shared>,
    partition: Option<Partition>,
    next: u64,
    mut failures: u32,
) -> Result<Consumer, QueueError> {
    let mut failing = Lasting::default();
    loop {
        if failures > 0 {
            tokio::time::sleep(Duration::from_millis(10 << failures.min(8)).min(LONGEST_WAIT)).await;
        }
        shared.reading.connected().await;
        match begin(&shared, partition, next).await {
            Err(error) if error.retryable => {
                failures = failures.saturating_add(1);
                let stream = &shared.stream;
                match failing.failed(true) {
                    Some(lasted) => {
                        let for_seconds = lasted.as_secs();
                        tracing::warn!(stream, partition, for_seconds, %error, "the stream can't be read; trying on");
                    }
                    None => tracing::debug!(stream, partition, %error, "no consumer could be made; trying again"),
                }
            }
            result => return result,
        }
    }
}

/// Makes a consumer and asks it for messages.
async fn begin(shared: &Shared, partition: Option<Partition>, next: u64) -> Result<Consumer, QueueError> {
    let watch = shared.reading.watch();
    // Where a consumer was lost the stream may have been, too.
    shared.past.doubt();
    let last = shared.info().await?.state.last_sequence;
    if next > last.saturating_add(1) {
        return Err(shared.past.ends_early(last, next - 1));
    }
    let consumer = shared.consumer(partition, next, INACTIVE_AFTER).await?;
    let asked_at = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", shared.stream, consumer.cached_info().name);
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
    Ok(Consumer { messages, asked_at, watch, seen: 0 })
}
