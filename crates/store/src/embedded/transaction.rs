//! One caller's changes on their way into a group commit.

use std::hash::BuildHasher as _;

use fjall::{PersistMode, Slice};
use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

use super::fault::{explain, spoils_cache};
use super::tables::{SEQUENCE_KEY, Table, Tables, read_number};
use crate::error::{StoreError, StoreErrorKind};

/// Changes that are not in the engine yet; `None`: removed. Each key is there once: the engine numbers a batch, not its parts, so two
/// changes of one key in one batch would have no order.
pub(super) struct Changes {
    tables: [HashMap<Vec<u8>, Option<Vec<u8>>>; Table::ALL.len()],
}

impl Changes {
    pub(super) fn new() -> Self {
        Self { tables: std::array::from_fn(|_| HashMap::new()) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tables.iter().all(HashMap::is_empty)
    }

    fn of(&self, table: Table) -> &HashMap<Vec<u8>, Option<Vec<u8>>> {
        &self.tables[table.place()]
    }

    fn set(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.tables[table.place()].insert(key, value);
    }

    /// Takes over later changes.
    pub(super) fn absorb(&mut self, later: Self) {
        for (own, more) in self.tables.iter_mut().zip(later.tables) {
            if own.is_empty() {
                *own = more;
            } else {
                own.extend(more);
            }
        }
    }

    /// Makes all of it durable, or none. Answers the commit's number.
    pub(super) fn write(self, tables: &Tables) -> Result<u64, WriteFailure> {
        let sequence = tables.number(SEQUENCE_KEY)?.unwrap_or(0).saturating_add(1);
        let count = self.tables.iter().map(HashMap::len).sum::<usize>();
        let mut batch =
            fjall::OwnedWriteBatch::with_capacity(tables.db.clone(), count + 1).durability(Some(PersistMode::SyncData));
        for (table, changes) in Table::ALL.into_iter().zip(self.tables) {
            let keyspace = tables.keyspace(table);
            for (key, value) in changes {
                match value {
                    Some(value) => batch.insert(keyspace, key, value),
                    None => batch.remove(keyspace, key),
                }
            }
        }
        batch.insert(tables.keyspace(Table::Meta), SEQUENCE_KEY, sequence.to_be_bytes());
        batch.commit().map_err(|error| WriteFailure {
            spoils_cache: spoils_cache(&error),
            error: explain(error, tables.dir()),
        })?;
        Ok(sequence)
    }
}

/// Why a group could not be written.
pub(super) struct WriteFailure {
    pub(super) error: StoreError,
    /// Whether what is read back in this process can't be trusted any more.
    pub(super) spoils_cache: bool,
}

impl From<StoreError> for WriteFailure {
    fn from(error: StoreError) -> Self {
        Self { error, spoils_cache: false }
    }
}

/// Which keys were seen in the engine: nearly every row that is put belongs to a scheduler that has long been in the index, and asking the
/// engine for each would be most of what the committer does. Keys are told apart by 64 bits of a hash with a seed of this process.
#[derive(Default)]
pub(super) struct Seen {
    hasher: DefaultHashBuilder,
    keys: HashSet<u64>,
}

impl Seen {
    /// Most keys; then it begins anew.
    const MAX: usize = 1 << 20;

    fn contains(&self, key: &[u8]) -> bool {
        self.keys.contains(&self.hasher.hash_one(key))
    }

    fn add(&mut self, key: &[u8]) {
        if self.keys.len() >= Self::MAX {
            self.keys.clear();
        }
        self.keys.insert(self.hasher.hash_one(key));
    }

    fn remove(&mut self, key: &[u8]) {
        self.keys.remove(&self.hasher.hash_one(key));
    }
}

/// One caller's view: the engine, what the group's earlier callers change, and its own changes over it.
pub(super) struct Transaction<'a> {
    tables: &'a Tables,
    group: &'a Changes,
    own: Changes,
    /// Keys of the index that are in the engine.
    indexed: &'a mut Seen,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(tables: &'a Tables, group: &'a Changes, indexed: &'a mut Seen) -> Self {
        Self { tables, group, own: Changes::new(), indexed }
    }

    pub(super) fn into_changes(self) -> Changes {
        self.own
    }

    fn changed(&self, table: Table, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.own.of(table).get(key).or_else(|| self.group.of(table).get(key))
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        match self.changed(table, key) {
            Some(value) => Ok(value.as_deref().map(Slice::from)),
            None => self.tables.get(table, key),
        }
    }

    /// Sees to it that a scheduler is in the index, or is not.
    pub(super) fn set_indexed(&mut self, key: Vec<u8>, shown: bool) -> Result<(), StoreError> {
        // A removal forgets the key before anything else, even if it comes to nothing: what was seen is in the engine and stays there.
        if !shown {
            self.indexed.remove(&key);
        } else if self.indexed.contains(&key) {
            return Ok(());
        }
        let is_there = match self.changed(Table::Index, &key) {
            Some(value) => value.is_some(),
            None => {
                let is_there = self.tables.contains(Table::Index, &key)?;
                if is_there && shown {
                    self.indexed.add(&key);
                }
                is_there
            }
        };
        match (shown, is_there) {
            (true, false) => self.put(Table::Index, key, Vec::new()),
            (false, true) => self.remove(Table::Index, key),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn number(&self, key: &[u8]) -> Result<Option<u64>, StoreError> {
        self.get(Table::Meta, key)?.map(|bytes| read_number(&bytes)).transpose()
    }

    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.own.set(table, key, Some(value));
    }

    pub(super) fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.own.set(table, key, None);
    }

    /// Raises the epoch under a key of `meta` and answers it.
    pub(super) fn raise_epoch(&mut self, key: Vec<u8>) -> Result<u64, StoreError> {
        let epoch = self.number(&key)?.unwrap_or(0) + 1;
        self.put(Table::Meta, key, epoch.to_be_bytes().to_vec());
        Ok(epoch)
    }

    /// Refuses an owner of an earlier epoch than the stored one.
    pub(super) fn fence(&self, key: &[u8], epoch: u64, what: &str) -> Result<(), StoreError> {
        check_epoch(self.number(key)?, epoch, what)
    }
}

/// Refuses an owner that is not the one whose epoch is stored.
pub(super) fn check_epoch(stored: Option<u64>, epoch: u64, what: &str) -> Result<(), StoreError> {
    let stored = stored.unwrap_or(0);
    if stored == epoch && epoch > 0 {
        return Ok(());
    }
    let message =
        format!("{what} belongs to the owner of epoch {stored}, not to that of epoch {epoch}: stop writing to it");
    Err(StoreError::new(StoreErrorKind::Fenced, message))
}
