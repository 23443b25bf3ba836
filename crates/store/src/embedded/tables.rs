//! The engine's tables, opened and checked.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, Slice};
use ronda_schemas::codec::{DecodeError, Versioned};

use super::fault::{RESTORE, explain};
use super::options::EmbeddedOptions;
use crate::error::{StoreError, StoreErrorKind};

/// How much may stay in memory of what was replayed, in bytes.
const REPLAYED_BYTES: u64 = 2 * 1024 * 1024;
/// How long opening waits for the rest to be written out; it goes on behind.
const WRITE_OUT_WITHIN: Duration = Duration::from_secs(2);

/// Version of the layout of keys and tables; raised when an older release could not read them.
const FORMAT: u32 = 1;
const FORMAT_KEY: &[u8] = b"format";
/// Number of the last commit, in `meta`.
pub(super) const SEQUENCE_KEY: &[u8] = b"sequence";
/// How many partitions the store was made for, in `meta`.
pub(super) const PARTITIONS_KEY: &[u8] = b"partitions";

/// One table: a key space of its own within the one atomic engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// The store's own few values.
    Meta,
    /// Scheduler rows by slot.
    Rows,
    /// Schedulers that are not deleted, by tenant.
    Index,
    /// History entries and their runs.
    History,
    /// Error feeds.
    Errors,
    /// API keys.
    Keys,
    /// Idempotency keys.
    Idempotency,
    /// Partitions' rows.
    Partitions,
    /// The notifier's rows.
    Surfaces,
}

impl Table {
    pub(super) const ALL: [Self; 9] = [
        Self::Meta,
        Self::Rows,
        Self::Index,
        Self::History,
        Self::Errors,
        Self::Keys,
        Self::Idempotency,
        Self::Partitions,
        Self::Surfaces,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Rows => "rows",
            Self::Index => "index",
            Self::History => "history",
            Self::Errors => "errors",
            Self::Keys => "keys",
            Self::Idempotency => "idempotency",
            Self::Partitions => "partitions",
            Self::Surfaces => "surfaces",
        }
    }

    pub(super) const fn place(self) -> usize {
        self as usize
    }
}

/// An open engine.
pub(super) struct Tables {
    pub(super) db: Database,
    keyspaces: Vec<Keyspace>,
    dir: PathBuf,
}

impl Tables {
    /// Opens the engine in a folder, or makes it.
    pub(super) fn open(dir: &Path, options: &EmbeddedOptions) -> Result<Self, StoreError> {
        // The engine's recovery asserts some of what it reads: damage must be an error here, not the end of the process.
        let opened = std::panic::catch_unwind(|| Self::open_engine(dir, options));
        let tables = opened.unwrap_or_else(|_| {
            let dir = dir.display();
            let message = format!("a journal ({dir}/*.jnl) or a table under {dir}/keyspaces is damaged; {RESTORE}");
            Err(StoreError::new(StoreErrorKind::Unreadable, message))
        })?;
        tables.check_format()?;
        tables.write_out_replayed();
        Ok(tables)
    }

    /// Has what was replayed from the journals written out as sorted files. A killed process leaves a full journal, and what is replayed
    /// from it takes several times its size in memory until the tables have grown enough to be written out, which may be days.
    fn write_out_replayed(&self) {
        if self.db.write_buffer_size() < REPLAYED_BYTES {
            return;
        }
        // A failure poisons the engine: the first write tells, and nothing is lost, since the journals stay.
        if let Err(error) = self.write_out_all() {
            tracing::warn!(%error, "what was replayed could not be written out");
        }
    }

    fn write_out_all(&self) -> Result<(), fjall::Error> {
        for keyspace in &self.keyspaces {
            keyspace.rotate_memtable()?;
        }
        let deadline = Instant::now() + WRITE_OUT_WITHIN;
        while self.keyspaces.iter().any(|keyspace| keyspace.sealed_memtable_count() > 0) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        // The engine keeps what it has written out in memory as an older version, for readers that might have begun before. It lets
        // such versions go when a table is turned over and something was written since they were made.
        let meta = self.keyspace(Table::Meta);
        meta.insert(FORMAT_KEY, u64::from(FORMAT).to_be_bytes())?;
        meta.rotate_memtable().map(drop)
    }

    fn open_engine(dir: &Path, options: &EmbeddedOptions) -> Result<Self, StoreError> {
        const LEAST_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
        let failed = |error| explain(error, dir);
        let db = Database::builder(dir)
            .cache_size(options.cache_bytes)
            .max_journaling_size(options.journal_bytes.max(LEAST_JOURNAL_BYTES))
            .worker_threads(2)
            .open()
            .map_err(failed)?;
        let settings = || KeyspaceCreateOptions::default().max_memtable_size(options.memtable_bytes);
        let keyspaces = Table::ALL.iter().map(|table| db.keyspace(table.name(), settings)).collect::<Result<_, _>>();
        Ok(Self { keyspaces: keyspaces.map_err(failed)?, db, dir: dir.to_owned() })
    }

    fn check_format(&self) -> Result<(), StoreError> {
        match self.number(FORMAT_KEY)? {
            None => {
                let mut batch = self.db.batch().durability(Some(fjall::PersistMode::SyncAll));
                batch.insert(self.keyspace(Table::Meta), FORMAT_KEY, u64::from(FORMAT).to_be_bytes());
                batch.commit().map_err(|error| explain(error, &self.dir))
            }
            Some(found) if found <= u64::from(FORMAT) => Ok(()),
            Some(found) => Err(StoreError::new(
                StoreErrorKind::Unreadable,
                format!(
                    "{} has layout {found}; this release reads up to {FORMAT}: use the newer release that wrote it",
                    self.dir.display()
                ),
            )),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn keyspace(&self, table: Table) -> &Keyspace {
        // Made from the same list that gives the places.
        &self.keyspaces[table.place()]
    }

    pub(super) fn failed(&self, table: Table, error: fjall::Error) -> StoreError {
        explain(error, self.keyspace(table).path())
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        self.keyspace(table).get(key).map_err(|error| self.failed(table, error))
    }

    pub(super) fn contains(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        self.keyspace(table).contains_key(key).map_err(|error| self.failed(table, error))
    }

    /// A number of `meta`.
    pub(super) fn number(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        self.get(Table::Meta, key)?.map(|bytes| read_number(&bytes)).transpose()
    }
}

/// A number as `meta` holds it.
pub(super) fn read_number(bytes: &[u8]) -> Result<u64, StoreError> {
    let number = bytes.try_into().map(u64::from_be_bytes);
    number.map_err(|_| {
        StoreError::new(StoreErrorKind::Unreadable, format!("a number in table meta is damaged; {RESTORE}"))
    })
}

/// Reads a row.
pub(super) fn decode<T: Versioned>(bytes: &[u8]) -> Result<T, StoreError> {
    T::decode(bytes).map_err(|error| match error {
        DecodeError::NewerVersion { .. } => StoreError::new(StoreErrorKind::Unreadable, error.to_string()),
        DecodeError::Malformed { .. } => StoreError::new(StoreErrorKind::Unreadable, format!("{error}; {RESTORE}")),
    })
}

/// Writes a row.
pub(super) fn encode<T: Versioned>(value: &T) -> Result<Vec<u8>, StoreError> {
    value.encode().map_err(|error| StoreError::new(StoreErrorKind::Invalid, error.to_string()))
}
