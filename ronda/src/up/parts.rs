//! The embedded parts: a data directory with its queues and its store.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ronda_queue::embedded::OpenError;
use ronda_queue::{EmbeddedOptions as QueueOptions, EmbeddedQueue};
use ronda_store::embedded::{EmbeddedOptions as StoreOptions, EmbeddedStore};
use ronda_store::error::{StoreError, StoreErrorKind};

use super::identity;
use crate::config::Settings;
use crate::exit::{Code, Failure, chain};

/// Partitions of the queue of derived events.
pub const EVENT_PARTITIONS: u32 = 4;
/// Most bytes of the events' queue on disk.
const EVENTS_MAX_BYTES: u64 = 1 << 30;
/// The dead letters' queue, by name, and …
const DEAD_LETTERS: &str = "dead-letters";
/// … most bytes of it on disk; the oldest go then.
const DEAD_LETTERS_MAX_BYTES: u64 = 64 << 20;
/// Room in the dead letters' queue comes back by so many bytes.
const DEAD_LETTERS_SEGMENT_BYTES: u64 = 4 << 20;
/// Most bytes of dead letters in memory: nobody reads along.
const DEAD_LETTERS_TAIL_BYTES: usize = 1 << 20;

/// How long a part is waited for that another process has open: a command such as `keys create` has it for a moment.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Pause between two attempts at it.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

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

/// Why a part could not be opened.
pub struct NotOpened {
    /// For the user.
    pub failure: Failure,
    /// Another process has it open.
    pub is_locked: bool,
}

impl From<Failure> for NotOpened {
    fn from(failure: Failure) -> Self {
        Self { failure, is_locked: false }
    }
}

impl From<OpenError> for NotOpened {
    fn from(error: OpenError) -> Self {
        let is_locked = matches!(error, OpenError::Locked { .. });
        Self { failure: Failure::new(Code::Data, chain(&error)), is_locked }
    }
}

impl From<StoreError> for NotOpened {
    fn from(error: StoreError) -> Self {
        let code = if error.kind == StoreErrorKind::Full { Code::Failed } else { Code::Data };
        Self { failure: Failure::new(code, chain(&error)), is_locked: error.kind == StoreErrorKind::Locked }
    }
}

/// Makes the data directory, for its owner's eyes only, if it is not there. It is durable when this returns.
///
/// # Errors
/// When the file system refuses.
pub fn make_directory(data: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Code::Data, format!("the data directory {} can't be made: {error}", data.display()))
    };
    let missing: Vec<&Path> = data.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()).collect();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed)?;
    for made in missing {
        // An entry is durable once its own directory was synced.
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
    }
    Ok(())
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
        let queue = |name, options| open_queue(settings, name, options).map(Arc::new);
        // The commands first: their lock tells who owns the directory, and nothing but `up` takes it. Whoever has one of the other parts
        // open now is a short command.
        // They stop earlier than the store does, so that on a disk that fills up what was accepted is worked off, which gives room back. The
        // side queues are on the way of that and go on.
        let min_free_bytes = storage.min_free_bytes.saturating_mul(2);
        let commands = QueueOptions { min_free_bytes, ..options(storage.partitions, storage.queue_max_bytes) };
        let commands = queue("commands", commands).map_err(|refusal| refusal.failure)?;
        let events = queue("events", options(EVENT_PARTITIONS, EVENTS_MAX_BYTES)).map_err(|refusal| refusal.failure)?;
        let dead_letters = patiently(|| open_dead_letters(settings).map(Arc::new))?;
        let store = patiently(|| open_store(settings).map(Arc::new))?;
        Ok(Self { commands, events, dead_letters, store })
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

/// Opens a part that a short command may have open.
fn patiently<T>(open: impl Fn() -> Result<T, NotOpened>) -> Result<T, Failure> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match open() {
            Ok(part) => return Ok(part),
            Err(refusal) if refusal.is_locked && Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
            Err(refusal) => return Err(refusal.failure),
        }
    }
}

fn queue_directory(settings: &Settings, name: &str) -> PathBuf {
    settings.storage.data.join("queue").join(name)
}

fn open_queue(settings: &Settings, name: &str, options: QueueOptions) -> Result<EmbeddedQueue, NotOpened> {
    Ok(EmbeddedQueue::open(queue_directory(settings, name), options)?)
}

/// Where the dead letters' queue lies.
#[must_use]
pub fn dead_letters_directory(settings: &Settings) -> PathBuf {
    queue_directory(settings, DEAD_LETTERS)
}

/// Opens the dead letters' queue alone.
///
/// # Errors
/// As [`Parts::open`].
pub fn open_dead_letters(settings: &Settings) -> Result<EmbeddedQueue, NotOpened> {
    let options = QueueOptions {
        partitions: 1,
        max_bytes: DEAD_LETTERS_MAX_BYTES,
        segment_bytes: DEAD_LETTERS_SEGMENT_BYTES,
        drops_oldest: true,
        tail_bytes: DEAD_LETTERS_TAIL_BYTES,
        ..QueueOptions::default()
    };
    open_queue(settings, DEAD_LETTERS, options)
}

/// Opens the store alone.
///
/// # Errors
/// As [`Parts::open`].
pub fn open_store(settings: &Settings) -> Result<EmbeddedStore, NotOpened> {
    let storage = &settings.storage;
    // Opening makes it, and a new one in the place of one that is gone helps nobody.
    identity::look(&storage.data)?;
    let options = StoreOptions {
        cache_bytes: storage.store_cache_bytes,
        min_free_bytes: storage.min_free_bytes,
        ..StoreOptions::default()
    };
    Ok(EmbeddedStore::open(storage.data.join("store"), options)?)
}
