//! The engine's errors as the port's, with what to do about them.

use std::path::Path;

use crate::error::{StoreError, StoreErrorKind};

/// A failure that several callers are told of.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: StoreErrorKind,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(kind: StoreErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl From<&Failure> for StoreError {
    fn from(failure: &Failure) -> Self {
        Self::new(failure.kind, failure.message.clone())
    }
}

impl From<&StoreError> for Failure {
    fn from(error: &StoreError) -> Self {
        Self::new(error.kind, error.message.clone())
    }
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
            StoreErrorKind::Unavailable,
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
