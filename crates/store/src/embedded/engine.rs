//! The open engine, shared by readers and the committer, and opened anew after a failed write.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use rustix::fs::Advice;

use super::fault::Failure;
use super::options::EmbeddedOptions;
use super::tables::{SEQUENCE_KEY, Tables};
use super::witness::Witness;
use crate::error::{StoreError, StoreErrorKind};

/// How many bytes are free on the disk of a folder.
pub(super) type FreeSpace = Box<dyn Fn(&Path) -> std::io::Result<u64> + Send + Sync>;

/// How long readers of a broken engine are waited for before it is opened anew.
const READERS_LEAVE_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Engine {
    dir: PathBuf,
    options: EmbeddedOptions,
    tables: RwLock<Option<Arc<Tables>>>,
    witness: Witness,
    free_space: FreeSpace,
    /// Whether the last commit was refused or failed.
    refusing: AtomicBool,
    /// Why nothing is written before a restart.
    dead: OnceLock<String>,
}

impl Engine {
    pub(super) fn open(dir: &Path, options: EmbeddedOptions, free_space: FreeSpace) -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| {
            StoreError::new(StoreErrorKind::Unavailable, format!("{}: {error}", dir.display())).caused_by(error)
        };
        make_dir(dir).map_err(failed)?;
        let tables = open_tables(dir, &options)?;
        let witness = Witness::open(dir)?;
        // The engine's folder and the witness are new entries, too.
        sync_dir(dir).map_err(failed)?;
        witness.check(tables.number(SEQUENCE_KEY)?.unwrap_or(0))?;
        let tables = RwLock::new(Some(Arc::new(tables)));
        Ok(Self {
            dir: dir.to_owned(),
            options,
            tables,
            witness,
            free_space,
            refusing: AtomicBool::new(false),
            dead: OnceLock::new(),
        })
    }

    /// The tables, for as long as the answer is held.
    pub(super) fn tables(&self) -> Result<Arc<Tables>, StoreError> {
        self.tables.read().clone().ok_or_else(|| {
            let message = format!("{} is being opened anew after a failed write: try again", self.dir.display());
            StoreError::new(StoreErrorKind::Unavailable, message)
        })
    }

    pub(super) fn note(&self, sequence: u64) {
        self.witness.note(sequence);
    }

    pub(super) fn set_refusing(&self, refusing: bool) {
        self.refusing.store(refusing, Ordering::Relaxed);
    }

    pub(super) fn is_refusing(&self) -> bool {
        self.refusing.load(Ordering::Relaxed)
    }

    /// Nothing more is written before a restart.
    pub(super) fn give_up(&self, why: &str) {
        let _ = self.dead.set(why.to_owned());
    }

    /// Why nothing is written before a restart, if that is so.
    pub(super) fn dead(&self) -> Option<&str> {
        self.dead.get().map(String::as_str)
    }

    /// Refuses a write for which there is no room. What frees space may use half of what is held back.
    pub(super) fn check_room(&self, frees: bool) -> Result<(), Failure> {
        let needed = if frees { self.options.min_free_bytes / 2 } else { self.options.min_free_bytes };
        match (self.free_space)(&self.dir) {
            Ok(free) if free < needed => Err(Failure::new(
                StoreErrorKind::Full,
                format!(
                    "{} has {free} bytes left on its disk and {needed} are needed to go on safely; nothing was written: make room",
                    self.dir.display()
                ),
            )),
            Ok(_) => Ok(()),
            Err(error) => {
                // Not knowing is no reason to stop: the engine says itself when it can't write.
                tracing::warn!(%error, dir = %self.dir.display(), "free space could not be read");
                Ok(())
            }
        }
    }

    /// Closes an engine that takes no more writes and opens it anew; only the committer may.
    pub(super) fn reopen(&self) -> Result<Arc<Tables>, StoreError> {
        if let Some(broken) = self.tables.write().take() {
            let deadline = Instant::now() + READERS_LEAVE_WITHIN;
            while Arc::strong_count(&broken) > 1 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        let tables = Arc::new(open_tables(&self.dir, &self.options)?);
        self.witness.check(tables.number(SEQUENCE_KEY)?.unwrap_or(0))?;
        *self.tables.write() = Some(Arc::clone(&tables));
        tracing::info!(dir = %self.dir.display(), "the store was opened anew after a failed write");
        Ok(tables)
    }
}

/// Makes a folder and all above it that are missing. An entry is durable once its own folder was synced.
fn make_dir(dir: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.is_dir()).collect();
    std::fs::create_dir_all(dir)?;
    for made in missing {
        sync_dir(made.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

fn sync_dir(dir: &Path) -> std::io::Result<()> {
    std::fs::File::open(dir)?.sync_all()
}

fn open_tables(dir: &Path, options: &EmbeddedOptions) -> Result<Tables, StoreError> {
    let engine = dir.join("engine");
    forget_cached(&engine);
    Tables::open(&engine, options)
}

/// Has the journals read from the disk: after a failed fsync the system's cache may hold what the disk does not, and the process that saw it
/// fail may be gone. Best effort: a system that keeps them cached is no worse than without it.
fn forget_cached(engine: &Path) {
    let Ok(entries) = std::fs::read_dir(engine) else { return };
    let journals = entries.flatten().filter(|entry| entry.path().extension().is_some_and(|ext| ext == "jnl"));
    for file in journals.filter_map(|entry| std::fs::File::open(entry.path()).ok()) {
        // Pages that wait to be written can't be dropped; if they can't be written either, it is better known now.
        if let Err(error) = file.sync_all().and_then(|()| Ok(rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?)) {
            tracing::warn!(%error, dir = %engine.display(), "a journal could not be made to be read from the disk");
        }
    }
}

/// What the file system says.
pub(super) fn free_space(dir: &Path) -> std::io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
