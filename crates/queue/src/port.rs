//! The queue port: the one shape that logs and acknowledging brokers share.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::{QueueError, QueueErrorKind};

/// Number of a partition, counted from 0.
pub type Partition = u32;

/// Position of a message in its partition: the broker's own sequence, strictly increasing from 1, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a queue can do: differences between backends are values, not surprises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The largest message that a publish takes, in bytes.
    pub max_message_bytes: usize,
    /// Messages have a [`Position`]. Without them a receiver always starts at the oldest unsettled message.
    pub positions: bool,
    /// The queue is a log: any number of receivers read a partition, each from a position of its own, and settling
    /// trims. Otherwise it is a broker: one receiver a partition, and settling acknowledges.
    pub log: bool,
    /// A full queue refuses publishes (`Full`) and keeps what it has. Otherwise its limit is the operator's concern.
    pub refuses_when_full: bool,
    /// Most deliveries that a receiver can have unsettled: beyond it [`Receiver::receive`] waits until some are settled, and of what was
    /// settled no more than so many messages can come again. `None`: any number.
    pub max_unsettled: Option<usize>,
    /// Nothing more comes while anything is unsettled, however little: what was received is to be settled at once.
    pub blocks_until_settled: bool,
    /// How long it is worth to gather messages into one, since each publish is dear. `None`: not worth any wait.
    pub linger: Option<Duration>,
    /// Others than Ronda may publish onto it: deliveries may have an [`origin`](Delivery::origin).
    pub direct: bool,
}

/// Answer to a publish: the message is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Where the message is, on queues that have positions.
    pub position: Option<Position>,
}

/// How much is in a partition; what lag is computed from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// The newest durable message ever published (it may be settled already); `None` if there never was one.
    pub newest: Option<Position>,
    /// The oldest message that is not settled; `None` if there is none.
    pub oldest: Option<Position>,
    /// Messages that are not settled.
    pub messages: u64,
    /// Bytes that the backend holds for the partition; may count settled messages that are not yet removed. `None` where it can't be told.
    pub bytes: Option<u64>,
    /// How long ago the oldest message that is not settled was published, in milliseconds, where the backend knows.
    pub oldest_age_ms: Option<u64>,
}

/// How much one [`Receiver::receive`] may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveLimit {
    /// Most messages to return; 0 counts as 1.
    pub messages: usize,
    /// Most message bytes to return. The first message is returned even if it alone is larger.
    pub bytes: usize,
}

impl Default for ReceiveLimit {
    fn default() -> Self {
        Self { messages: 256, bytes: 4 * 1024 * 1024 }
    }
}

/// Names a delivery to the receiver that made it, for [`Receiver::settle`]. What the number means is the adapter's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// A message as a receiver gets it.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where the message is, on queues that have positions.
    pub position: Option<Position>,
    /// The message itself.
    pub message: Bytes,
    /// What to settle it with. It outlives the message, so that the bytes need not be kept until the commit.
    pub token: Token,
    /// It may have been delivered before. On queues with positions always `false`: there the position tells.
    pub redelivered: bool,
    /// Where it comes from, if it was not published by [`Queue::publish`]: somebody put it onto the broker directly.
    pub origin: Option<Box<Origin>>,
}

/// What the broker says of a message that was published onto it directly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The tenant that the subject or routing key names, unchecked. The broker's own permissions say who may use it; `None` on brokers
    /// whose messages have no such thing.
    pub tenant: Option<String>,
    /// The publisher's own id of the message, or the broker's; unique within the partition.
    pub message_id: Option<String>,
    /// Headers or attributes: names in lower case, values that are text; at most [`MAX_HEADERS`] of them.
    pub headers: Vec<(String, String)>,
    /// Where it was published to: a subject, an exchange with its routing key, or a queue.
    pub source: String,
    /// When the broker took it, by its own clock, in milliseconds since the Unix epoch. Given by queues that
    /// [block](Capabilities::blocks_until_settled): there nobody can wait for a later message to know what time it is.
    pub published_ms: Option<i64>,
}

/// Most headers of a direct message that are passed on.
pub const MAX_HEADERS: usize = 32;
/// Longest header value that is passed on, in bytes.
pub const MAX_HEADER_BYTES: usize = 1_024;

impl Origin {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A queue of ordered partitions.
///
/// Every adapter passes the cases of the `conformance` module.
#[async_trait]
pub trait Queue: Send + Sync + 'static {
    /// How many partitions there are. Fixed when the queue is made.
    fn partitions(&self) -> u32;

    /// What this queue can do.
    fn capabilities(&self) -> Capabilities;

    /// What tells this queue from another one that is made under its name later, where positions begin anew: a short line of text. Remember it
    /// beside a [`Position`]. `None` where the backend has no such thing.
    fn life(&self) -> Option<String> {
        None
    }

    /// Why the backend takes no messages for now, though it is there and gives messages out: a clause for people. `None`: nothing of that kind is
    /// known.
    fn hindrance(&self) -> Option<String> {
        None
    }

    /// Appends a message to a partition and returns once it is durable.
    ///
    /// Dropping the future does not take the message back: it may or may not be stored. Publishes to one partition
    /// that wait for each other are ordered; concurrent ones are in the order in which they were first polled, except
    /// that on SQS those that went out together may change places where it took only some of them.
    ///
    /// # Errors
    /// `InvalidPartition`, `TooLarge`, `Full` (nothing was stored), `Unavailable` (it may have been), `Closed`; `PositionAhead` where the queue
    /// was rolled back, so that readers would pass the message over.
    async fn publish(&self, partition: Partition, message: Bytes) -> Result<Published, QueueError>;

    /// Puts a message onto the queue as a direct publisher does, with what there is in its origin: to give a dead letter another try, and
    /// for tests. Tells when it is durable, as [`publish`](Self::publish) does.
    ///
    /// # Errors
    /// As [`publish`](Self::publish); `Unsupported` on queues that take no direct messages.
    async fn publish_direct(
        &self,
        partition: Partition,
        message: Bytes,
        origin: &Origin,
    ) -> Result<Published, QueueError> {
        let _ = (partition, message, origin);
        Err(QueueError::permanent(QueueErrorKind::Unsupported, "this queue takes no direct messages"))
    }

    /// Opens a partition for reading.
    ///
    /// With a position, the first delivery is the oldest kept message after it; without, the oldest kept one. Queues
    /// without positions ignore it. A reader whose cursor lies before what was trimmed starts at the oldest kept
    /// message: compare [`Depth::oldest`] where that must be noticed.
    ///
    /// # Errors
    /// `InvalidPartition`, `PositionAhead` if the position was never given out, `Unavailable`, `Closed`.
    async fn open(&self, partition: Partition, after: Option<Position>) -> Result<Box<dyn Receiver>, QueueError>;

    /// How much is in a partition.
    ///
    /// # Errors
    /// `InvalidPartition`, `Unavailable`, `Closed`.
    async fn depth(&self, partition: Partition) -> Result<Depth, QueueError>;
}

/// Reads one partition in order.
#[async_trait]
pub trait Receiver: Send {
    /// Waits until at least one message is there, then returns those that are ready, in order, up to `limit`.
    ///
    /// Never returns an empty list, and only durable messages. Cancel-safe: a message that was not returned is
    /// returned by the next call.
    ///
    /// # Errors
    /// `Unavailable`, `Closed`, `Corrupt`, `Denied`; `PositionAhead` where the queue was rolled back, and others have places that were read.
    async fn receive(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError>;

    /// Everything up to and including the delivery of this token is done with: a log trims, a broker acknowledges.
    ///
    /// Settling again, or settling less than before, changes nothing. After a crash a log may offer settled messages
    /// once more; readers that keep their own cursor never notice.
    ///
    /// # Errors
    /// `InvalidToken`, `Unavailable`, `Closed`.
    async fn settle(&mut self, through: Token) -> Result<(), QueueError>;

    /// Ends the reader and waits, for a bounded time, until the broker knows: what it has in hand and did not settle can go to the next one then.
    /// A reader that is dropped comes to the same end, some time later.
    async fn close(self: Box<Self>) {}
}
