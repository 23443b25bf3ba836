//! The embedded parts: a data directory with its queues and its store.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use ronda_queue::{EmbeddedOptions as QueueOptions, EmbeddedQueue};
use ronda_store::embedded::{EmbeddedOptions as StoreOptions, EmbeddedStore};
use ronda_store::error::StoreErrorKind;

use super::identity;
use crate::config::Settings;
use crate::exit::{Code, Failure, chain};

/// Partitions of the queue of derived events.
pub const EVENT_PARTITIONS: u32 = 4;
/// Most bytes of the events' queue on disk.
const EVENTS_MAX_BYTES: u64 = 1 << 30;
/// Most bytes of the dead letters' queue on disk.
const DEAD_LETTERS_MAX_BYTES: u64 = 64 << 20;
/// Most bytes of dead letters in memory: nobody reads along.
const DEAD_LETTERS_TAIL_BYTES: usize = 1 << 20;

/// Everything that one process owns.
pub struct Parts {
    /// Commands, in frames.
    pub commands: Arc<EmbeddedQueue>,
    /// Derived events.
    pub events: Arc<EmbeddedQueue>,
    /// What could not be read.
    pub dead_letters: Arc<EmbeddedQueue>,
    /// Rows.
    pub store: Arc<EmbeddedStore>,
}

/// Makes the data directory, for its owner's eyes only, if it is not there.
///
/// # Errors
/// When the file system refuses.
pub fn make_directory(data: &Path) -> Result<(), Failure> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(|error| {
        Failure::new(Code::Data, format!("the data directory {} can't be made: {error}", data.display()))
    })
}

impl Parts {
    /// Opens everything; blocks while what a killed process left is read.
    ///
    /// # Errors
    /// Another process owns the directory, it was made with another number of partitions, a part of it is gone, or it is damaged.
    pub fn open(settings: &Settings) -> Result<Self, Failure> {
        let storage = &settings.storage;
        identity::look(&storage.data)?;
        make_directory(&storage.data)?;
        let options = |partitions, max_bytes| QueueOptions { partitions, max_bytes, ..QueueOptions::default() };
        let queue = |name: &str, options: QueueOptions| {
            let dir = storage.data.join("queue").join(name);
            EmbeddedQueue::open(dir, options).map(Arc::new).map_err(|error| Failure::new(Code::Data, chain(&error)))
        };
        // The commands first: their lock tells who owns the directory.
        // They stop earlier than the store does, so that on a disk that fills up what was accepted is worked off, which gives room back. The
        // side queues are on the way of that and go on.
        let min_free_bytes = storage.min_free_bytes.saturating_mul(2);
        let commands =
            queue("commands", QueueOptions { min_free_bytes, ..options(storage.partitions, storage.queue_max_bytes) })?;
        let events = queue("events", options(EVENT_PARTITIONS, EVENTS_MAX_BYTES))?;
        let tail_bytes = DEAD_LETTERS_TAIL_BYTES;
        let dead_letters = queue("dead-letters", QueueOptions { tail_bytes, ..options(1, DEAD_LETTERS_MAX_BYTES) })?;
        Ok(Self { commands, events, dead_letters, store: Arc::new(open_store(settings)?) })
    }

    /// Whether everything that accepted data passes through can still be written. A full disk is no reason to say no: what is
    /// refused then is taken again once there is room.
    ///
    /// # Errors
    /// Which part it is, and its own words.
    pub fn check(&self) -> Result<(), String> {
        for (name, queue) in [("commands", &self.commands), ("events", &self.events)] {
            queue.check().map_err(|error| format!("the queue of {name}: {}", chain(&error)))?;
        }
        self.store.check().map_err(|error| format!("the store: {}", chain(&error)))
    }

    /// Writes what waits and lets the directory go.
    pub async fn close(self) {
        for queue in [&self.commands, &self.events, &self.dead_letters] {
            queue.close().await;
        }
    }
}

/// Opens the store alone.
///
/// # Errors
/// As [`Parts::open`].
pub fn open_store(settings: &Settings) -> Result<EmbeddedStore, Failure> {
    let storage = &settings.storage;
    // Opening makes it, and a new one in the place of one that is gone helps nobody.
    identity::look(&storage.data)?;
    let options = StoreOptions {
        cache_bytes: storage.store_cache_bytes,
        min_free_bytes: storage.min_free_bytes,
        ..StoreOptions::default()
    };
    EmbeddedStore::open(storage.data.join("store"), options).map_err(|error| {
        let code = if error.kind == StoreErrorKind::Full { Code::Failed } else { Code::Data };
        Failure::new(code, chain(&error))
    })
}
