//! Ids that nobody else makes: for deduplication and for attempts to receive.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{QueueError, QueueErrorKind};

pub(super) struct Ids {
    /// Random, so that no other process and no former one has it.
    stem: String,
    next: AtomicU64,
}

impl Ids {
    pub(super) fn new() -> Result<Self, QueueError> {
        let mut stem = [0; 16];
        getrandom::fill(&mut stem).map_err(|error| {
            QueueError::permanent(QueueErrorKind::Unavailable, format!("the system gives no random bytes: {error}"))
        })?;
        Ok(Self { stem: format!("{:032x}", u128::from_le_bytes(stem)), next: AtomicU64::new(0) })
    }

    pub(super) fn next(&self) -> String {
        format!("{}-{}", self.stem, self.next.fetch_add(1, Ordering::Relaxed))
    }
}
