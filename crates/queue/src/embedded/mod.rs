//! The queue inside the process: one directory, one append-only log that all partitions share, one writer.
//!
//! All partitions share the log so that one fsync makes publishes to any of them durable. The price is that space
//! comes back by whole segments: the slowest partition decides. Why a log of our own: docs/adr/0002-embedded-queue.md.
//!
//! ```text
//! publish ──► inbox ──► writer thread: write, fdatasync ──► log state ──► receivers (memory, or segment files)
//!                                                              ▲
//! settle ──────────────────────────────────────────────────────┴──► housekeeping thread: remove, note
//! ```
//!
//! Invariants: positions of a partition have no holes and are never used twice; readers see durable messages only; a
//! group is written only after the one before it is durable; the newest segment is never removed.

mod broker;
mod disk;
mod housekeeping;
mod inbox;
mod lock;
mod notes;
mod options;
mod receiver;
mod record;
mod recovery;
mod repartition;
mod segment;
mod state;
mod stretch;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::error::{QueueError, QueueErrorKind};
use crate::port::{Capabilities, Depth, Partition, Position, Published, Queue, Receiver};

pub use broker::EmbeddedBroker;
use disk::{Disk, RealDisk};
use housekeeping::{Housekeeper, Housekeeping};
use inbox::{Inbox, Pending, Phase};
use lock::DirLock;
pub use options::{EmbeddedOptions, MAX_PARTITIONS, OpenError};
use receiver::EmbeddedReceiver;
pub use repartition::repartition;
use segment::sync_dir;
use state::LogState;
use writer::Writer;

/// What publishers, receivers and the two threads share.
#[derive(Debug)]
struct Shared {
    inbox: Inbox,
    log: Mutex<LogState>,
    housekeeping: Housekeeping,
    closed: AtomicBool,
    /// How many messages had to make room for newer ones.
    shed: AtomicU64,
}

impl Shared {
    /// Lets go of the oldest messages until the rest has no more than so many bytes.
    fn shed(&self, most_bytes: u64) {
        let messages = self.log.lock().shed(most_bytes);
        if messages > 0 {
            self.shed.fetch_add(messages, Ordering::Relaxed);
            tracing::warn!(messages, "the queue let go of its oldest messages to make room for newer ones");
            self.housekeeping.note();
        }
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// A durable queue in a directory of its own. Used by one process at a time.
#[derive(Debug)]
pub struct EmbeddedQueue {
    shared: Arc<Shared>,
    options: EmbeddedOptions,
    dir: PathBuf,
    running: Mutex<Option<Running>>,
}

/// What an open queue holds on to.
#[derive(Debug)]
struct Running {
    shared: Arc<Shared>,
    writer: JoinHandle<()>,
    housekeeper: JoinHandle<()>,
    /// Let go last, when nobody touches the files any more.
    _lock: DirLock,
}

impl EmbeddedQueue {
    /// Opens the queue in a directory, or makes it. Reads and checks what is there, at about the disk's speed.
    ///
    /// # Errors
    /// Another process has it open, it has another number of partitions, it is damaged, or the file system refuses.
    pub fn open(dir: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self, OpenError> {
        Self::open_on(dir.as_ref(), options, RealDisk)
    }

    fn open_on(dir: &Path, options: EmbeddedOptions, disk: impl Disk) -> Result<Self, OpenError> {
        let options = options.checked()?;
        make_dir(dir)?;
        let lock = DirLock::take(dir)?;
        let recovered = recovery::recover(dir, &options)?;
        let used = recovered.segments.iter().map(|segment| segment.length).sum();
        let Some(newest) = recovered.segments.back() else {
            return Err(OpenError::InvalidOptions { what: "the log has no segment".to_owned() });
        };
        let (file, segment) = (Arc::clone(&newest.file), newest.id);
        let (salt, length) = (newest.salt, newest.length);
        let shared = Arc::new(Shared {
            inbox: Inbox::new(used, options.max_bytes, options.max_pending_bytes as u64),
            log: Mutex::new(LogState::new(recovered.segments, &recovered.next, &recovered.settled, options.tail_bytes)),
            housekeeping: Housekeeping::default(),
            closed: AtomicBool::new(false),
            shed: AtomicU64::new(0),
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            disk,
            dir: dir.to_owned(),
            segment_bytes: options.segment_bytes,
            min_free_bytes: options.min_free_bytes,
            kept_bytes: options.kept_bytes(),
            file,
            segment,
            salt,
            length,
            next: recovered.next,
            next_group: recovered.next_group,
            buffer: Vec::new(),
            positions: Vec::new(),
            failing: false,
        };
        let keeper =
            Housekeeper { shared: Arc::clone(&shared), dir: dir.to_owned(), interval: options.settle_interval };
        if let Some(most_bytes) = options.kept_bytes() {
            // A log that is full already takes no message that could begin a segment. The newest one may have begun with as much before it.
            shared.shed(most_bytes + options.segment_bytes);
            keeper.remove_settled(&mut false);
        }
        let running = start(dir, lock, writer, keeper)?;
        shared.housekeeping.look();
        Ok(Self { shared, options, dir: dir.to_owned(), running: Mutex::new(Some(running)) })
    }

    /// The directory that the queue lies in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes of all segment files, together with what is on its way into them. At most `max_bytes`.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.shared.inbox.used_bytes()
    }

    /// How many messages that nobody had settled were let go since this was opened, to make room for newer ones. Only with
    /// [`drops_oldest`](EmbeddedOptions::drops_oldest).
    #[must_use]
    pub fn shed_messages(&self) -> u64 {
        self.shared.shed.load(Ordering::Relaxed)
    }

    /// Whether the queue can still take messages. When not, only opening it anew helps.
    ///
    /// # Errors
    /// `Closed`, or `Unavailable` once the disk failed to make a write durable or the thread that writes is gone.
    pub fn check(&self) -> Result<(), QueueError> {
        if let Some(refusal) = self.shared.inbox.phase().refusal() {
            return Err(refusal);
        }
        if self.running.lock().as_ref().is_some_and(|running| running.writer.is_finished()) {
            let what = "the queue's writer ended by itself; restart ronda, which reads back what is there";
            return Err(QueueError::permanent(QueueErrorKind::Unavailable, what));
        }
        Ok(())
    }

    /// Closes the queue: publishes that wait are stored and answered, later ones are refused, receivers end. The
    /// directory is free for another process when this returns. Closing again does nothing.
    pub async fn close(&self) {
        self.begin_close();
        let running = self.running.lock().take();
        if let Some(running) = running {
            // Joining can take as long as the fsync under way. A failed join only means that it is over already.
            let _ = tokio::task::spawn_blocking(move || running.join()).await;
        }
    }

    fn begin_close(&self) {
        self.shared.inbox.end(Phase::Closed);
        self.shared.closed.store(true, Ordering::Release);
    }

    fn known(&self, partition: Partition) -> Result<u16, QueueError> {
        let known = u16::try_from(partition).ok().filter(|_| partition < self.options.partitions);
        known.ok_or_else(|| QueueError::invalid_partition(partition, self.options.partitions))
    }

    fn invalid(&self, partition: Partition) -> QueueError {
        QueueError::invalid_partition(partition, self.options.partitions)
    }
}

impl Running {
    fn join(self) {
        // The housekeeper goes last, so that its notes include what the writer wrote last.
        let writer = self.writer.join();
        self.shared.housekeeping.end();
        let housekeeper = self.housekeeper.join();
        if writer.is_err() || housekeeper.is_err() {
            tracing::error!("a thread of the queue panicked");
        }
    }
}

impl Drop for EmbeddedQueue {
    fn drop(&mut self) {
        self.begin_close();
        if let Some(running) = self.running.lock().take() {
            running.join();
        }
    }
}

fn make_dir(dir: &Path) -> Result<(), OpenError> {
    // From the directory up: all that have to be made, and then the one that they are made in. An entry is durable once its own directory
    // was synced.
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(dir).map_err(OpenError::io("can't make", dir))?;
    for made in missing {
        let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_dir(parent).map_err(OpenError::io("can't sync", parent))?;
    }
    Ok(())
}

fn start(dir: &Path, lock: DirLock, writer: Writer<impl Disk>, housekeeper: Housekeeper) -> Result<Running, OpenError> {
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
    let shared = Arc::clone(&writer.shared);
    let housekeeper = thread("queue-keeper").spawn(move || housekeeper.run());
    let housekeeper = housekeeper.map_err(OpenError::io("can't start a thread for", dir))?;
    let writer = thread("queue-writer").spawn(move || writer.run());
    let writer = writer.map_err(|error| {
        shared.housekeeping.end();
        OpenError::io("can't start a thread for", dir)(error)
    })?;
    Ok(Running { shared, writer, housekeeper, _lock: lock })
}

#[async_trait]
impl Queue for EmbeddedQueue {
    fn partitions(&self) -> u32 {
        self.options.partitions
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            max_message_bytes: self.options.max_message_bytes,
            positions: true,
            log: true,
            refuses_when_full: !self.options.drops_oldest,
            max_unsettled: None,
            blocks_until_settled: false,
            linger: None,
            direct: false,
        }
    }

    async fn publish(&self, partition: Partition, message: Bytes) -> Result<Published, QueueError> {
        let partition = self.known(partition)?;
        let too_large = || QueueError::too_large(message.len(), self.options.max_message_bytes);
        if message.len() > self.options.max_message_bytes {
            return Err(too_large());
        }
        let length = u32::try_from(message.len()).map_err(|_| too_large())?;
        let (reply, answer) = oneshot::channel();
        self.shared.inbox.push(Pending { partition, message, length, reply })?;
        answer.await.unwrap_or_else(|_| {
            let refusal = self.shared.inbox.phase().refusal();
            Err(refusal.unwrap_or_else(QueueError::closed))
        })
    }

    async fn open(&self, partition: Partition, after: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
        self.known(partition)?;
        if self.shared.is_closed() {
            return Err(QueueError::closed());
        }
        let log = self.shared.log.lock();
        let (Some(newest), Some(progress)) = (log.newest(partition), log.watch(partition)) else {
            return Err(self.invalid(partition));
        };
        drop(log);
        let after = after.map_or(0, |after| after.0);
        if after > newest {
            let what = format!(
                "partition {partition}: asked for what follows position {after}, but {newest} is the newest ever \
                 published: {} is not the queue that the reader's cursor belongs to, or it was rolled back",
                self.dir.display()
            );
            return Err(QueueError::permanent(QueueErrorKind::PositionAhead, what));
        }
        Ok(Box::new(EmbeddedReceiver { shared: Arc::clone(&self.shared), partition, next: after + 1, progress }))
    }

    async fn depth(&self, partition: Partition) -> Result<Depth, QueueError> {
        let depth = self.shared.log.lock().depth(partition);
        depth.ok_or_else(|| self.invalid(partition))
    }
}
