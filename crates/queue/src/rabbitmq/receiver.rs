//! Receiving: one consumer with manual acknowledgements, on a channel of its own.
//!
//! **Order.** A quorum queue keeps what an owner gives back apart from the rest, and hands it out first. Among what was given back it
//! keeps the order in which it came back, so a second owner that took only a part of it and died would put that part behind the rest.
//! Every consumer therefore has the same prefetch, [`MAX_UNSETTLED`], and never another: whatever one owner had in hand, the next gets
//! whole, at once and in order, and gives back whole. The consumer is never cancelled either, only its channel closed: a cancelled one
//! would keep what it has in hand while the next, already active, gets what is newer.
//!
//! **A broken connection.** The receiver makes its channel anew by itself. What was not settled comes again in the old order, from the
//! first message that is not settled, as `redelivered`, before anything new; there is no other sign. A token of the channel that broke is
//! of no use to the broker: settling by it succeeds and does nothing, because the same messages come again with tokens of their own.
//! Tokens only grow, so one of an earlier channel can't be taken for one of this channel.
//!
//! **Memory.** At most [`MAX_UNSETTLED`] messages are here, returned or not, since the broker sends no more than that.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use lapin::message::Delivery as Arrived;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connection::{ANSWER_WITHIN, Line, answered, closed, unavailable};
use super::origin::Recipient;
use crate::error::{QueueError, QueueErrorKind};
use crate::port::{Delivery, ReceiveLimit, Receiver, Token};

/// Deliveries that a receiver can have unsettled: its prefetch. Part of how order is kept, so a change of it needs all consumers stopped.
pub(super) const MAX_UNSETTLED: u16 = 256;
/// How long a receiver tries by itself before its reader hears of it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts to have a channel.
const PAUSE: Duration = Duration::from_millis(100);

/// What receivers of one queue share.
pub(super) struct Source {
    pub(super) line: Arc<Line>,
    pub(super) consumer_tag: String,
    pub(super) recipient: Recipient,
    /// Unsettled deliveries of this process, by partition: the broker counts only what nobody has in hand.
    pub(super) held: Vec<AtomicU64>,
}

impl Source {
    fn held(&self, partition: u32) -> Option<&AtomicU64> {
        usize::try_from(partition).ok().and_then(|partition| self.held.get(partition))
    }
}

/// A channel with its consumer.
struct Session {
    channel: Channel,
    consumer: Option<Consumer>,
    since: Instant,
}

impl Drop for Session {
    fn drop(&mut self) {
        let (channel, consumer) = (self.channel.clone(), self.consumer.take());
        // Without a runtime the process ends, and the connection with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // The channel first: a consumer that goes before it would be cancelled.
            let _ = timeout(ANSWER_WITHIN, channel.close(200, "done".into())).await;
            drop(consumer);
        });
    }
}

async fn open(source: Arc<Source>, queue: String, pause: Duration) -> Result<Session, QueueError> {
    let deadline = Instant::now() + PATIENCE;
    tokio::time::sleep(pause).await;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let connection = source.line.connection(left).await?;
        let opened = answered("opening a channel to consume", async {
            let channel = connection.create_channel().await?;
            channel.basic_qos(MAX_UNSETTLED, BasicQosOptions::default()).await?;
            let (queue, tag) = (queue.as_str().into(), source.consumer_tag.as_str().into());
            let consumer =
                channel.basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default()).await?;
            Ok(Session { channel, consumer: Some(consumer), since: Instant::now() })
        });
        match opened.await {
            Ok(session) => return Ok(session),
            Err(error) if error.kind != QueueErrorKind::Unavailable || Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

pub(super) struct RabbitReceiver {
    source: Arc<Source>,
    partition: u32,
    queue: String,
    session: Option<Session>,
    /// A task of its own, so that a receive that is given up doesn't leave a half-made consumer that holds messages.
    opening: Option<JoinHandle<Result<Session, QueueError>>>,
    /// Arrived, and not returned yet.
    waiting: VecDeque<Arrived>,
    /// Tokens up to this one are of earlier channels; a token of this one is its delivery tag more than that.
    base: u64,
    /// The newest delivery tag of this channel that was returned, that arrived, and through which the broker was told that they are settled.
    returned: u64,
    arrived: u64,
    acknowledged: u64,
    /// What of this receiver is in the source's count.
    counted: u64,
}

impl RabbitReceiver {
    /// Opens it: returns when the broker knows the consumer.
    pub(super) async fn open(source: Arc<Source>, partition: u32, queue: String) -> Result<Self, QueueError> {
        let mut receiver = Self {
            source,
            partition,
            queue,
            session: None,
            opening: None,
            waiting: VecDeque::new(),
            base: 0,
            returned: 0,
            arrived: 0,
            acknowledged: 0,
            counted: 0,
        };
        receiver.have_session(Duration::ZERO).await?;
        Ok(receiver)
    }

    async fn have_session(&mut self, pause: Duration) -> Result<(), QueueError> {
        if self.session.is_some() {
            return Ok(());
        }
        let opening =
            self.opening.get_or_insert_with(|| tokio::spawn(open(Arc::clone(&self.source), self.queue.clone(), pause)));
        let opened = opening.await;
        self.opening = None;
        self.session = Some(opened.unwrap_or_else(|_| Err(closed()))?);
        Ok(())
    }

    /// Takes in what has arrived. `false`: the channel is gone.
    fn drain(&mut self) -> bool {
        let Some(consumer) = self.session.as_mut().and_then(|session| session.consumer.as_mut()) else { return false };
        loop {
            match consumer.next().now_or_never() {
                None => break,
                Some(Some(Ok(arrived))) => {
                    self.arrived = arrived.delivery_tag;
                    self.waiting.push_back(arrived);
                }
                Some(Some(Err(_)) | None) => return false,
            }
        }
        self.count();
        true
    }

    /// Lets a channel go that is of no use any more; what it brought comes again.
    fn give_up_session(&mut self) {
        self.count_to(0);
        self.session = None;
        self.waiting.clear();
        self.base += self.returned;
        (self.returned, self.arrived, self.acknowledged) = (0, 0, 0);
    }

    fn count(&mut self) {
        self.count_to(self.arrived - self.acknowledged);
    }

    fn count_to(&mut self, unsettled: u64) {
        if let Some(held) = self.source.held(self.partition) {
            // In this order it never falls below what others have in it.
            held.fetch_add(unsettled, Ordering::Relaxed);
            held.fetch_sub(self.counted, Ordering::Relaxed);
            self.counted = unsettled;
        }
    }

    fn take(&mut self, limit: ReceiveLimit) -> Vec<Delivery> {
        let mut taken: Vec<Delivery> = Vec::new();
        let mut bytes = 0;
        while taken.len() < limit.messages.max(1)
            && let Some(next) = self.waiting.front()
            && (taken.is_empty() || bytes + next.data.len() <= limit.bytes)
            && let Some(next) = self.waiting.pop_front()
        {
            bytes += next.data.len();
            self.returned = next.delivery_tag;
            taken.push(Delivery {
                position: None,
                token: Token(self.base + next.delivery_tag),
                redelivered: self.source.recipient.redelivered(&next),
                origin: self.source.recipient.origin(&next).map(Box::new),
                message: Bytes::from(next.data),
            });
        }
        taken
    }
}

impl Drop for RabbitReceiver {
    fn drop(&mut self) {
        self.count_to(0);
    }
}

#[async_trait]
impl Receiver for RabbitReceiver {
    async fn receive(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        let mut pause = Duration::ZERO;
        loop {
            self.have_session(pause).await?;
            let mut usable = self.drain();
            if usable && self.waiting.is_empty() {
                let Some(consumer) = self.session.as_mut().and_then(|session| session.consumer.as_mut()) else {
                    continue;
                };
                match consumer.next().await {
                    Some(Ok(arrived)) => {
                        self.arrived = arrived.delivery_tag;
                        self.waiting.push_back(arrived);
                        usable = self.drain();
                    }
                    _ => usable = false,
                }
            }
            if usable {
                return Ok(self.take(limit));
            }
            tracing::warn!(queue = %self.queue, "a channel to RabbitMQ ended; what was not settled comes again");
            // One that ends as soon as it is there must not be made in a tight loop.
            let short = self.session.as_ref().is_some_and(|session| session.since.elapsed() < PAUSE);
            pause = if short { PAUSE } else { Duration::ZERO };
            self.give_up_session();
        }
    }

    async fn settle(&mut self, through: Token) -> Result<(), QueueError> {
        if through.0 > self.base + self.returned {
            let what = format!("token {} is none that this receiver of {} has given", through.0, self.queue);
            return Err(QueueError::permanent(QueueErrorKind::InvalidToken, what));
        }
        let tag = through.0.saturating_sub(self.base);
        let Some(session) = &self.session else { return Ok(()) };
        if tag == 0 || tag < self.acknowledged {
            return Ok(());
        }
        let channel = session.channel.clone();
        let acknowledge = tag > self.acknowledged;
        // From here on the broker may know: telling it twice would end the channel.
        self.acknowledged = tag;
        self.count();
        let told = async {
            if acknowledge {
                channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
            }
            // Acknowledgements have no answer. That to whatever follows on the channel says that the broker has taken them.
            channel.basic_qos(MAX_UNSETTLED, BasicQosOptions::default()).await
        };
        match timeout(ANSWER_WITHIN, told).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                tracing::debug!(queue = %self.queue, error = %error, "a settle got lost with its channel; its messages come again");
                Ok(())
            }
            Err(_) => Err(unavailable(format!("RabbitMQ did not take a settle within {ANSWER_WITHIN:?}"))),
        }
    }
}
