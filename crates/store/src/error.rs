//! Why a store could not do what it was asked.

use std::time::Duration;

use thiserror::Error;

/// A store's refusal or failure, classified by the adapter that met it.
#[derive(Debug, Error)]
#[error("{kind}: {message}")]
pub struct StoreError {
    /// Which kind of failure.
    pub kind: StoreErrorKind,
    /// What happened, where, and what to do.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// When to try again, if the store said so.
    pub retry_after: Option<Duration>,
    /// The adapter's own error.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StoreErrorKind {
    /// Another owner has taken over: stop writing.
    #[error("fenced")]
    Fenced,
    /// It contradicts what is stored.
    #[error("conflict")]
    Conflict,
    /// It is made for another number of partitions: whoever was started for this one can't go on.
    #[error("another number of partitions")]
    OtherPartitions,
    /// The store can't be asked now.
    #[error("unavailable")]
    Unavailable,
    /// Another process has it open.
    #[error("locked")]
    Locked,
    /// No room.
    #[error("full")]
    Full,
    /// What is stored can't be read by this release, or is damaged.
    #[error("unreadable")]
    Unreadable,
    /// Too large, or otherwise not storable.
    #[error("invalid")]
    Invalid,
}

impl StoreError {
    /// A failure without a source.
    pub fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        let retryable = matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Full);
        Self { kind, message: message.into(), retryable, retry_after: None, source: None }
    }

    /// The same with the error that caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}
