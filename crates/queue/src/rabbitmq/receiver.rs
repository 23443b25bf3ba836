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

use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use lapin::message::Delivery as Arrived;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connection::{ANSWER_WITHIN, Line, answered, unavailable};
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
    /// The channels of this process, each with its queue: the broker counts only what nobody has in hand.
    pub(super) hands: Mutex<Vec<(String, Weak<Hand>)>>,
}

impl Source {
    /// How many messages of a queue have arrived here and are not settled.
    pub(super) fn in_hand(&self, queue: &str) -> u64 {
        let hands = self.hands.lock();
        let of_queue = hands.iter().filter(|(of, _)| of == queue).filter_map(|(_, hand)| hand.upgrade());
        of_queue.map(|hand| hand.unsettled()).sum()
    }

    fn new_hand(&self, queue: &str) -> Arc<Hand> {
        let hand = Arc::new(Hand::default());
        let mut hands = self.hands.lock();
        hands.retain(|(_, hand)| hand.strong_count() > 0);
        hands.push((queue.to_owned(), Arc::downgrade(&hand)));
        drop(hands);
        hand
    }
}

/// Delivery tags of a channel: the newest that has arrived, and the newest that is settled.
#[derive(Default)]
pub(super) struct Hand {
    arrived: AtomicU64,
    settled: AtomicU64,
}

impl Hand {
    fn unsettled(&self) -> u64 {
        let settled = self.settled.load(Ordering::Relaxed);
        self.arrived.load(Ordering::Relaxed).saturating_sub(settled)
    }
}

/// A channel with its consumer.
struct Session {
    channel: Channel,
    /// Ends with the channel.
    arrivals: mpsc::UnboundedReceiver<Arrived>,
    hand: Arc<Hand>,
    since: Instant,
}

impl Session {
    fn new(channel: Channel, consumer: Consumer, hand: Arc<Hand>) -> Self {
        let (passing, arrivals) = mpsc::unbounded_channel();
        tokio::spawn(take_in(consumer, passing, Arc::clone(&hand)));
        Self { channel, arrivals, hand, since: Instant::now() }
    }
}

/// Takes in what the broker sends, which is no more than the prefetch, so that it is counted before somebody asks for it.
async fn take_in(consumer: Consumer, passing: mpsc::UnboundedSender<Arrived>, hand: Arc<Hand>) {
    // A runtime that ends drops this task before the connection is closed, and dropping a consumer whose channel is open cancels it.
    let mut consumer = ManuallyDrop::new(consumer);
    while let Some(Ok(arrived)) = consumer.next().await {
        hand.arrived.store(arrived.delivery_tag, Ordering::Relaxed);
        // Nobody takes it any more when the session is being closed; the consumer stays until its channel is.
        let _ = passing.send(arrived);
    }
    drop(ManuallyDrop::into_inner(consumer));
}

/// Ends the consumer. One that went before its channel would be cancelled.
async fn end(channel: Channel) {
    let _ = timeout(ANSWER_WITHIN, channel.close(200, "done".into())).await;
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without a runtime the process ends, and the connection with it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(end(self.channel.clone()));
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
            let (of, tag) = (queue.as_str().into(), source.consumer_tag.as_str().into());
            let consumer =
                channel.basic_consume(of, tag, BasicConsumeOptions::default(), FieldTable::default()).await?;
            Ok(Session::new(channel, consumer, source.new_hand(&queue)))
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
    queue: String,
    session: Option<Session>,
    /// A task of its own, so that a receive that is given up doesn't leave a half-made consumer that holds messages.
    opening: Option<JoinHandle<Result<Session, QueueError>>>,
    /// Arrived, but did not fit into what was returned.
    next: Option<Arrived>,
    /// Tokens up to this one are of earlier channels; a token of this one is its delivery tag more than that.
    base: u64,
    /// The newest delivery tag of this channel that was returned, and that through which the broker was told that they are settled.
    returned: u64,
    acknowledged: u64,
}

impl RabbitReceiver {
    /// Opens it: returns when the broker knows the consumer.
    pub(super) async fn open(source: Arc<Source>, queue: String) -> Result<Self, QueueError> {
        let mut receiver =
            Self { source, queue, session: None, opening: None, next: None, base: 0, returned: 0, acknowledged: 0 };
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
        self.session = Some(opened.unwrap_or_else(|_| Err(QueueError::closed()))?);
        Ok(())
    }

    /// Waits until something has arrived; `false`: the channel is gone.
    async fn has_next(&mut self) -> bool {
        let Some(session) = &mut self.session else { return false };
        if !session.channel.status().connected() {
            return false;
        }
        if self.next.is_none() {
            self.next = session.arrivals.recv().await;
        }
        self.next.is_some()
    }

    /// Lets a channel go that is of no use any more; what it brought comes again.
    fn give_up_session(&mut self) {
        self.session = None;
        self.next = None;
        self.base += self.returned;
        (self.returned, self.acknowledged) = (0, 0);
    }

    fn take(&mut self, limit: ReceiveLimit) -> Vec<Delivery> {
        let mut taken: Vec<Delivery> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.next.take().or_else(|| self.session.as_mut()?.arrivals.try_recv().ok()) {
            let fits = taken.len() < limit.messages.max(1) && bytes + next.data.len() <= limit.bytes;
            if !fits && !taken.is_empty() {
                self.next = Some(next);
                break;
            }
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

#[async_trait]
impl Receiver for RabbitReceiver {
    async fn receive(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        let mut pause = Duration::ZERO;
        loop {
            self.have_session(pause).await?;
            if self.has_next().await {
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
        session.hand.settled.store(tag, Ordering::Relaxed);
        let acknowledge = tag > self.acknowledged;
        // From here on the broker may know: telling it twice would end the channel.
        self.acknowledged = tag;
        let told = async {
            if acknowledge {
                channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
            }
            // Acknowledgements have no answer. That to whatever follows on the channel says that the broker's end of it has taken them. It
            // passes them on in turn; the last of many in a row can still get lost when the channel ends, and their messages come again.
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

    async fn close(self: Box<Self>) {
        if let Some(session) = &self.session {
            end(session.channel.clone()).await;
        }
    }
}
