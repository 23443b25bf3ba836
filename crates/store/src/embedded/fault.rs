//! The engine's errors as the port's, with what to do about them.

use std::path::Path;

use crate::error::{StoreError, StoreErrorKind};

/// A failure that several callers are told of.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: StoreErrorKind,
    pub(super) message: String,
    retryable: bool,
}

impl Failure {
    pub(super) fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        let StoreError { kind, message, retryable, .. } = StoreError::new(kind, message);
        Self { kind, message, retryable }
    }

    /// One that only a restart of the process can help.
    pub(super) fn for_good(message: impl Into<String>) -> Self {
        Self { retryable: false, ..Self::new(StoreErrorKind::Unavailable, message) }
    }
}

impl From<&Failure> for StoreError {
    fn from(failure: &Failure) -> Self {
        let mut error = Self::new(failure.kind, failure.message.clone());
        error.retryable = failure.retryable;
        error
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        Self { kind: error.kind, message: error.message.clone(), retryable: error.retryable }
    }
}

/// Whether a write failed in such a way that the system's cache may hold what the disk does not: anything but a write for which there was no
/// room, above all a failed fsync. After that the system counts the pages as written, so reading them back proves nothing.
pub(super) fn spoils_cache(error: &fjall::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull, WriteZero};
    let (fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io))) = error else { return false };
    !matches!(io.kind(), StorageFull | QuotaExceeded | WriteZero)
}

/// What an engine's error means. `place`: the file or folder that was being read or written.
pub(super) fn explain(error: fjall::Error, place: &Path) -> StoreError {
    use fjall::{Error, LsmError};
    let place = place.display();
    let (kind, message) = match &error {
        Error::Io(io) | Error::Storage(LsmError::Io(io)) => {
            let kind = match io.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => StoreErrorKind::Unreadable,
                _ => StoreErrorKind::Unavailable,
            };
            (kind, format!("{place}: {io}"))
        }
        Error::Locked => (
            StoreErrorKind::Locked,
            format!("{place} is open in another process: stop that one, or use another data directory"),
        ),
        Error::Poisoned => (
            StoreErrorKind::Unavailable,
            format!("{place} takes no more writes after an earlier one failed; it is opened anew at the next attempt"),
        ),
        Error::InvalidVersion(Some(version)) => (
            StoreErrorKind::Unreadable,
            format!("{place}/version says that it was written by another major version of the engine ({version:?})"),
        ),
        Error::InvalidVersion(None) => (StoreErrorKind::Unreadable, format!("{place}/version is damaged; {RESTORE}")),
        Error::JournalRecovery(why) => {
            (StoreErrorKind::Unreadable, format!("a journal ({place}/*.jnl) is damaged: {why:?}; {RESTORE}"))
        }
        other => (StoreErrorKind::Unreadable, format!("a file under {place} is damaged: {other}; {RESTORE}")),
    };
    StoreError::new(kind, message).caused_by(error)
}

/// What to do about damage.
pub(super) const RESTORE: &str = "check the disk, and restore the data directory from a backup";
