//! Where publishes wait for the writer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::error::{QueueError, QueueErrorKind};
use crate::port::Published;

use super::record::RECORD_HEADER_BYTES;

/// Whether the queue takes messages.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// It does.
    Open,
    /// The disk failed in a way after which nothing more may be written; says how.
    Poisoned(Arc<std::io::Error>),
    /// It was closed.
    Closed,
}

impl Phase {
    /// The error that a caller gets in this phase, if any.
    pub(super) fn refusal(&self) -> Option<QueueError> {
        match self {
            Self::Open => None,
            Self::Poisoned(cause) => Some(poisoned(cause)),
            Self::Closed => Some(QueueError::closed()),
        }
    }
}

/// The answer once an fsync failed. After that the system may have dropped the dirty pages and call the next fsync
/// a success, so the only safe way on is to read back from the disk what is there.
pub(super) fn poisoned(cause: &Arc<std::io::Error>) -> QueueError {
    let message = "the queue's disk failed to make a write durable, so nothing more is written; check the disk and \
                   restart ronda, which reads back what is there";
    let mut error = QueueError::permanent(QueueErrorKind::Unavailable, message);
    error.source = Some(Arc::clone(cause) as _);
    error
}

/// A publish that waits to be written.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) partition: u16,
    pub(super) message: Bytes,
    /// Length of the message; checked before it comes here.
    pub(super) length: u32,
    pub(super) reply: oneshot::Sender<Result<Published, QueueError>>,
}

impl Pending {
    /// Bytes that it takes in the file.
    pub(super) fn record_bytes(&self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.length)
    }
}

/// Publishes on their way to the disk, and how much room there is.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<InboxState>,
    wake: Condvar,
    max_bytes: u64,
    max_pending_bytes: u64,
}

#[derive(Debug)]
struct InboxState {
    pending: Vec<Pending>,
    pending_bytes: u64,
    /// Bytes of all segment files, together with what is on its way into them.
    used_bytes: u64,
    writer_waits: bool,
    /// How many publishes the writer waits for.
    wanted: usize,
    phase: Phase,
}

impl Inbox {
    pub(super) fn new(used_bytes: u64, max_bytes: u64, max_pending_bytes: u64) -> Self {
        let state = InboxState {
            pending: Vec::new(),
            pending_bytes: 0,
            used_bytes,
            writer_waits: false,
            wanted: 1,
            phase: Phase::Open,
        };
        Self { state: Mutex::new(state), wake: Condvar::new(), max_bytes, max_pending_bytes }
    }

    /// Queues a publish, or refuses it. The writer is woken only if it sleeps.
    pub(super) fn push(&self, pending: Pending) -> Result<(), QueueError> {
        let bytes = pending.record_bytes();
        let mut state = self.state.lock();
        if let Some(refusal) = state.phase.refusal() {
            return Err(refusal);
        }
        if state.used_bytes + bytes > self.max_bytes {
            let what = "the queue is full: it holds as many unprocessed bytes as max_bytes allows";
            return Err(QueueError::transient(QueueErrorKind::Full, Duration::from_secs(1), what));
        }
        if state.pending_bytes + bytes > self.max_pending_bytes && !state.pending.is_empty() {
            let what = "more publishes wait for the disk than max_pending_bytes allows";
            return Err(QueueError::transient(QueueErrorKind::Full, Duration::from_millis(100), what));
        }
        state.used_bytes += bytes;
        state.pending_bytes += bytes;
        state.pending.push(pending);
        if state.writer_waits && state.pending.len() >= state.wanted {
            state.writer_waits = false;
            drop(state);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Waits for publishes and takes all of them into the empty `taken`. `false` once the queue is closed or poisoned
    /// and nothing is left.
    ///
    /// Publishers that were just answered mostly come again at once. So once there is one publish, this waits up to
    /// `linger` for `expected` of them: else the first to come back would have a group to itself, and all others
    /// would wait for two.
    pub(super) fn take(&self, taken: &mut Vec<Pending>, expected: usize, linger: Duration) -> bool {
        let mut state = self.state.lock();
        state.wanted = 1;
        while state.pending.is_empty() {
            if !matches!(state.phase, Phase::Open) {
                return false;
            }
            state.writer_waits = true;
            self.wake.wait(&mut state);
        }
        if state.pending.len() < expected && matches!(state.phase, Phase::Open) {
            state.wanted = expected;
            state.writer_waits = true;
            // Whether it was enough or too long makes no difference: what is there is taken.
            let _ = self.wake.wait_for(&mut state, linger);
        }
        state.writer_waits = false;
        state.pending_bytes = 0;
        std::mem::swap(&mut state.pending, taken);
        true
    }

    /// Lets go of publishes that nobody will write; each of their callers notices.
    pub(super) fn abandon(&self) {
        let abandoned = std::mem::take(&mut self.state.lock().pending);
        drop(abandoned);
    }

    /// Counts bytes that were added to the files besides messages.
    pub(super) fn add_used(&self, bytes: u64) {
        self.state.lock().used_bytes += bytes;
    }

    /// Gives room back: files removed, or messages that were not written after all.
    pub(super) fn release(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.used_bytes = state.used_bytes.saturating_sub(bytes);
    }

    /// Bytes of all files and of what is on its way into them.
    pub(super) fn used_bytes(&self) -> u64 {
        self.state.lock().used_bytes
    }

    /// Ends the taking of messages. The first end counts.
    pub(super) fn end(&self, phase: Phase) {
        let mut state = self.state.lock();
        if matches!(state.phase, Phase::Open) {
            state.phase = phase;
        }
        drop(state);
        self.wake.notify_all();
    }

    /// The phase now.
    pub(super) fn phase(&self) -> Phase {
        self.state.lock().phase.clone()
    }
}
