//! What a process works with: queues and store, each in its data directory or on a server.

use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ronda_queue::embedded::OpenError;
use ronda_queue::{
    Broker, BrokerOptions, EmbeddedBroker, EmbeddedOptions as QueueOptions, EmbeddedQueue, Queue, QueueError, Role,
};
use ronda_store::embedded::{EmbeddedOptions as StoreOptions, EmbeddedStore};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::Store;

use crate::config::Settings;
use crate::exit::{Code, Failure, chain};
use crate::{broker, identity, socket, store};

/// Most bytes of the events' queue on disk.
const EVENTS_MAX_BYTES: u64 = 1 << 30;
/// Most bytes of the dead letters' queue on disk; the oldest go then.
const DEAD_LETTERS_MAX_BYTES: u64 = 64 << 20;
/// Room in the dead letters' queue comes back by so many bytes.
const DEAD_LETTERS_SEGMENT_BYTES: u64 = 4 << 20;
/// Most bytes of dead letters in memory: nobody reads along.
const DEAD_LETTERS_TAIL_BYTES: usize = 1 << 20;

/// How long a part is waited for that another process has open: a command such as `keys create` has it for a moment.
pub const LOCK_WAIT: Duration = Duration::from_secs(5);
/// Pause between two attempts at it.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What a process works with.
pub struct Parts {
    /// Commands, in frames.
    pub commands: Arc<dyn Queue>,
    /// Derived events.
    pub events: Arc<dyn Queue>,
    /// What could not be read.
    pub dead_letters: Arc<dyn Queue>,
    /// Rows.
    pub store: Arc<dyn Store>,
    /// What the queues are on.
    pub backend: Backend,
    /// What the store is on.
    pub rows: Rows,
}

/// What the store is on.
pub enum Rows {
    /// Files of the data directory.
    Embedded(Arc<EmbeddedStore>),
    /// A server that others share, whose name for people this is.
    Server(String),
}

/// What the queues are on.
pub enum Backend {
    /// Files of the data directory.
    Embedded(Embedded),
    /// A broker, whose name for people this is.
    Broker(Arc<dyn Broker>, broker::Name),
}

/// The embedded queues, by their own type: they can be dead while the process lives.
pub struct Embedded {
    commands: Arc<EmbeddedQueue>,
    events: Arc<EmbeddedQueue>,
    /// The dead letters, a ring.
    pub dead_letters: Arc<EmbeddedQueue>,
}

impl Embedded {
    /// One of them.
    #[must_use]
    pub const fn queue(&self, role: Role) -> &Arc<EmbeddedQueue> {
        match role {
            Role::Commands => &self.commands,
            Role::Events => &self.events,
            Role::DeadLetters => &self.dead_letters,
        }
    }
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

/// The refusal of a store that another process has open, in the words of an embedded queue.
fn locked(store: &Path, pid: Option<i32>) -> Failure {
    let owner = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
    let what = format!(
        "store directory {store:?}: another ronda{owner} has it open; stop that one first, or give this one a data directory of its own"
    );
    Failure::new(Code::Data, what)
}

fn store_not_opened(store: &Path, error: &StoreError) -> NotOpened {
    let failure = match error.kind {
        StoreErrorKind::Locked => locked(store, None),
        StoreErrorKind::Full => Failure::new(Code::Failed, chain(error)),
        _ => Failure::new(Code::Data, chain(error)),
    };
    NotOpened { failure, is_locked: error.kind == StoreErrorKind::Locked }
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
    /// Opens everything, and makes what is missing of files and queues. What a killed process left is read; a server that is away is waited for,
    /// for a bounded time.
    ///
    /// # Errors
    /// Another process owns the directory, it or the queues were made with another number of partitions, a part of it is gone, or it is
    /// damaged; the broker or the store's server can't be used.
    pub async fn open(settings: &Settings) -> Result<Self, Failure> {
        if !settings.store.url.is_embedded() {
            return Self::open_on_servers(settings).await;
        }
        let on_broker = (!settings.queue.url.is_embedded()).then(|| broker::Name::of(settings));
        if let Some(name) = &on_broker {
            let data = &settings.storage.data;
            // Only who owns the directory listens there. Embedded queues have a lock that tells the owner.
            if let Some(pid) = socket::owner(data).await {
                return Err(locked(&data.join("store"), Some(pid)));
            }
            identity::look_on_broker(data, name).await?;
        }
        let of_thread = settings.clone();
        // On a thread of its own: when one ends, the allocator gives back what was needed for a moment only.
        let open = move || std::thread::spawn(move || open_directory(&of_thread)).join();
        let opened = tokio::task::spawn_blocking(open).await.map_err(|error| Failure::other(chain(&error)))?;
        let (embedded, store) = opened.map_err(|_| Failure::other("opening the data directory ended in a panic"))??;
        let rows = Rows::Embedded(Arc::clone(&store));
        if let Some(embedded) = embedded {
            let queue = |role| Arc::clone(embedded.queue(role)) as Arc<dyn Queue>;
            let (commands, events, dead_letters) =
                (queue(Role::Commands), queue(Role::Events), queue(Role::DeadLetters));
            return Ok(Self { commands, events, dead_letters, store, backend: Backend::Embedded(embedded), rows });
        }
        let (broker, [commands, events, dead_letters]) = broker::start(settings).await?;
        let backend = Backend::Broker(broker, on_broker.unwrap_or_else(|| broker::Name::of(settings)));
        Ok(Self { commands, events, dead_letters, store, backend, rows })
    }

    /// Nothing of it lies in a directory.
    async fn open_on_servers(settings: &Settings) -> Result<Self, Failure> {
        let (name, place) = (broker::Name::of(settings), settings.store.url.place());
        let store = store::reach(settings).await?;
        identity::look_on_server(Arc::clone(&store), &place, &name).await?;
        let (broker, [commands, events, dead_letters]) = broker::start(settings).await?;
        let (backend, rows) = (Backend::Broker(broker, name), Rows::Server(place));
        Ok(Self { commands, events, dead_letters, store, backend, rows })
    }

    /// What an error of the store means for whoever started this.
    #[must_use]
    pub fn store_failure(&self, error: &StoreError) -> Failure {
        match &self.rows {
            Rows::Embedded(_) => Failure::new(Code::Data, chain(error)),
            Rows::Server(place) => {
                Failure::new(Code::Store, format!("the store {place} can't be used: {}", chain(error)))
            }
        }
    }

    /// Whether everything of this machine that accepted data passes through can still be written. A full disk is no reason to say no: what is
    /// refused then is taken again once there is room.
    ///
    /// # Errors
    /// Which part it is, and its own words.
    pub fn check(&self) -> Result<(), String> {
        if let Backend::Embedded(Embedded { commands, events, .. }) = &self.backend {
            for (name, queue) in [("commands", commands), ("events", events)] {
                queue.check().map_err(|error| format!("the queue of {name}: {}", chain(&error)))?;
            }
        }
        match &self.rows {
            Rows::Embedded(store) => store.check().map_err(|error| format!("the store: {}", chain(&error))),
            // It comes back.
            Rows::Server(_) => Ok(()),
        }
    }

    /// Writes what waits and lets everything go.
    pub async fn close(self) {
        match self.backend {
            Backend::Embedded(Embedded { commands, events, dead_letters }) => {
                for queue in [commands, events, dead_letters] {
                    queue.close().await;
                }
            }
            Backend::Broker(broker, _) => broker.close().await,
        }
    }
}

/// Opens what lies in the data directory; blocks while what a killed process left is read.
fn open_directory(settings: &Settings) -> Result<(Option<Embedded>, Arc<EmbeddedStore>), Failure> {
    identity::look(&settings.storage.data)?;
    make_directory(&settings.storage.data)?;
    let mut embedded = None;
    if settings.queue.url.is_embedded() {
        let queues = embedded_broker(settings);
        let open = |role| queues.open(role).map_err(NotOpened::from);
        // The commands first: their lock tells who owns the directory, and nothing but `up` takes it. Whoever has one of the other parts
        // open now is a short command.
        let commands = open(Role::Commands).map_err(|refusal| refusal.failure)?;
        let events = open(Role::Events).map_err(|refusal| refusal.failure)?;
        let dead_letters = patiently(|| open(Role::DeadLetters))?;
        embedded = Some(Embedded { commands, events, dead_letters });
    }
    Ok((embedded, patiently(|| open_store(settings).map(Arc::new))?))
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

/// Where the embedded queues lie.
#[must_use]
pub fn queue_directory(settings: &Settings) -> PathBuf {
    settings.storage.data.join("queue")
}

/// The embedded queues of a data directory. Nothing is opened yet.
#[must_use]
pub fn embedded_broker(settings: &Settings) -> EmbeddedBroker {
    let (storage, queue) = (&settings.storage, &settings.queue);
    let options = |partitions, max_bytes| QueueOptions { partitions, max_bytes, ..QueueOptions::default() };
    EmbeddedBroker::new(queue_directory(settings), |role| match role {
        // They stop earlier than the store does, so that on a disk that fills up what was accepted is worked off, which gives room back. The
        // side queues are on the way of that and go on.
        Role::Commands => QueueOptions {
            min_free_bytes: storage.min_free_bytes.saturating_mul(2),
            ..options(storage.partitions, queue.max_bytes)
        },
        Role::Events => options(queue.event_partitions, EVENTS_MAX_BYTES),
        Role::DeadLetters => QueueOptions {
            segment_bytes: DEAD_LETTERS_SEGMENT_BYTES,
            drops_oldest: true,
            tail_bytes: DEAD_LETTERS_TAIL_BYTES,
            ..options(1, DEAD_LETTERS_MAX_BYTES)
        },
    })
}

/// How the broker that the settings name is reached, and what shall be on it.
#[must_use]
pub fn broker_options(settings: &Settings) -> BrokerOptions {
    let queue = &settings.queue;
    BrokerOptions {
        prefix: queue.prefix.clone(),
        partitions: settings.storage.partitions,
        event_partitions: queue.event_partitions,
        max_bytes: queue.max_bytes,
        replicas: queue.replicas,
        credentials_file: queue.credentials_file.clone(),
        ca_file: queue.ca_file.clone(),
        client_certificate_file: queue.client_certificate_file.clone(),
        client_key_file: queue.client_key_file.clone(),
        ..BrokerOptions::new(queue.url.expose())
    }
}

/// What a failed queue operation means for a command: damage in the data directory, or a broker that can't be used.
#[must_use]
pub fn queue_failure(settings: &Settings, error: &QueueError) -> Failure {
    if settings.queue.url.is_embedded() {
        Failure::new(Code::Data, chain(error))
    } else {
        broker::failure(settings, error)
    }
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
    let store = storage.data.join("store");
    EmbeddedStore::open(&store, options).map_err(|error| store_not_opened(&store, &error))
}
