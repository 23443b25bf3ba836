//! The embedded store: one directory, one process, no server.
//!
//! Built on the engine fjall, a log-structured merge tree; why, with figures, is in `docs/adr/0004-embedded-store.md`. All writes go
//! through one thread, which writes everybody who waits in one atomic batch with one wait for the disk; checks (fencing epochs, claims)
//! are made in that thread, so they are atomic with what they guard. What a reader sees is durable.
//!
//! - A full disk: a commit is refused as `Full`, nothing changed, while less than `min_free_bytes` is free; it goes on by itself when
//!   there is room. Each call is judged for itself, and what only removes may use half of what is held back. Should a write find no room all
//!   the same, callers are told `Unavailable` (the commit may or may not be there; repeating it is harmless), and the engine is closed and
//!   opened anew before the next write.
//! - A disk that fails to make a commit durable: callers are told `Unavailable`, not to be tried again, and nothing more is written before the
//!   process is started anew, because the system's cache can't be trusted from then on. Opening has the journals read from the disk. What
//!   remains is a disk that fails and then reads back, from a cache of its own, what it did not keep.
//! - A deleted scheduler: its row is hidden from reads at once and stays, for the partition's owner only, until it is removed. Its history is
//!   kept until retention takes it, and a scheduler that is registered again under the same id continues it: what ran under a name stays
//!   findable under it.
//! - Dropping the store writes what waits and closes it. Calls under way keep it open until they have their answer.

mod committer;
mod engine;
mod fault;
mod history;
mod key;
mod labels;
mod leases;
mod options;
mod purge;
mod reads;
mod tables;
mod transaction;
mod witness;
mod writes;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

pub use options::EmbeddedOptions;

use crate::error::{StoreError, StoreErrorKind};
use committer::Committer;
use engine::{Engine, FreeSpace};
use tables::Tables;

/// A store in a directory of its own. See the [module](self).
pub struct EmbeddedStore {
    // Ended before the engine is let go.
    committer: Committer,
    engine: Arc<Engine>,
}

impl EmbeddedStore {
    /// Opens the store in a directory, or makes it. Reads the journal of a process that was killed; blocks meanwhile.
    ///
    /// # Errors
    /// `Locked` when another process has it open, `Unavailable` when the disk fails, `Full` when there is no room, `Unreadable` when it is damaged or
    /// was written by a newer release; the message names the file or folder.
    pub fn open(dir: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self, StoreError> {
        Self::open_with(dir.as_ref(), options, Box::new(engine::free_space))
    }

    fn open_with(dir: &Path, options: EmbeddedOptions, free_space: FreeSpace) -> Result<Self, StoreError> {
        let engine = Arc::new(Engine::open(dir, options, free_space)?);
        let committer = Committer::start(Arc::clone(&engine)).map_err(|error| {
            StoreError::new(StoreErrorKind::Unavailable, format!("the store's committer could not start: {error}"))
        })?;
        Ok(Self { committer, engine })
    }

    /// Whether the store can still write at all. A full disk is no reason to say no: it goes on after that.
    ///
    /// # Errors
    /// `Unavailable` once the thread that writes is gone or the disk failed to make a write durable; only a restart helps.
    pub fn check(&self) -> Result<(), StoreError> {
        self.committer.check()?;
        match self.engine.dead() {
            Some(why) => Err(StoreError::new(StoreErrorKind::Unavailable, why)),
            None => Ok(()),
        }
    }

    /// Writes what waits and closes the store; what dropping it does, by name.
    pub fn close(self) {
        drop(self);
    }

    /// Whether commits are being taken; for readiness.
    ///
    /// # Errors
    /// `Unavailable` while the last commit was refused for want of room, or failed.
    pub fn takes_commits(&self) -> Result<(), StoreError> {
        if self.engine.is_refusing() {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the store takes no commits: its disk is full or failed",
            ));
        }
        Ok(())
    }

    /// Reads that may touch many entries: on a thread that may block.
    async fn scan<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let tables = self.engine.tables()?;
        let done = tokio::task::spawn_blocking(move || read(&tables)).await;
        done.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, format!("a read was given up: {error}")))?
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EmbeddedStore").finish_non_exhaustive()
    }
}

fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}
