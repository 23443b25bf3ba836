//! What can go wrong with a queue, as callers need to know it: what kind, whether to try again, and when.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The kinds of failure that a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QueueErrorKind {
    /// The queue holds as much as it may. Nothing was stored; it takes messages again once some are settled.
    Full,
    /// The message is larger than [`Capabilities::max_message_bytes`](crate::Capabilities::max_message_bytes).
    TooLarge,
    /// There is no such partition.
    InvalidPartition,
    /// A position is remembered that the queue never gave out, or gave out a second time: the queue's data was replaced or rolled back while
    /// the reader's cursor was kept.
    PositionAhead,
    /// A settle token that this receiver never handed out.
    InvalidToken,
    /// The backend can't be used just now. A publish that ends so may or may not have been stored.
    Unavailable,
    /// The queue was closed in this process.
    Closed,
    /// Stored data is not what was written.
    Corrupt,
    /// This kind of queue does not do that.
    Unsupported,
    /// What the broker has is not what was asked for: another number of partitions, a queue of another kind, a missing permission.
    Mismatch,
    /// The broker refuses who we say that we are.
    Denied,
    /// A setting can't be used.
    InvalidOptions,
}

/// A failed queue operation.
///
/// `retryable` and `retry_after` are decided by the adapter, which alone knows what its backend's answer meant.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct QueueError {
    /// What kind of failure this is.
    pub kind: QueueErrorKind,
    /// Whether the same call can succeed later without anybody changing it.
    pub retryable: bool,
    /// How long to wait before trying again, where the adapter has an idea.
    pub retry_after: Option<Duration>,
    /// What was wrong and what to do, for a person.
    pub message: Cow<'static, str>,
    /// The error underneath, if any. Shared, because one failed group fails many publishes.
    #[source]
    pub source: Option<Arc<dyn Error + Send + Sync>>,
}

impl QueueError {
    /// An error that trying again does not help against.
    #[must_use]
    pub fn permanent(kind: QueueErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, retryable: false, retry_after: None, message: message.into(), source: None }
    }

    /// An error that may be gone after a while.
    #[must_use]
    pub fn transient(kind: QueueErrorKind, retry_after: Duration, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, retryable: true, retry_after: Some(retry_after), message: message.into(), source: None }
    }

    /// The same error with the one underneath attached.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The answer of a queue that was closed.
    #[must_use]
    pub fn closed() -> Self {
        Self::permanent(QueueErrorKind::Closed, "the queue is closed")
    }

    /// The answer to a partition number that the queue doesn't have.
    #[must_use]
    pub fn invalid_partition(partition: u32, partitions: u32) -> Self {
        Self::permanent(
            QueueErrorKind::InvalidPartition,
            format!("partition {partition} does not exist: the queue has {partitions}, counted from 0"),
        )
    }

    /// The answer to a message over the size limit.
    #[must_use]
    pub fn too_large(message_bytes: usize, max_message_bytes: usize) -> Self {
        Self::permanent(
            QueueErrorKind::TooLarge,
            format!("a message of {message_bytes} bytes is over the queue's limit of {max_message_bytes} bytes"),
        )
    }
}
