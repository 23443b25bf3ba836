//! One caller's changes on their way into a group commit.

use std::collections::HashMap;

use fjall::{PersistMode, Slice};

use super::fault::explain;
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
            own.extend(more);
        }
    }

    /// Makes all of it durable, or none. Answers the commit's number.
    pub(super) fn write(self, tables: &Tables) -> Result<u64, StoreError> {
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
        batch.commit().map_err(|error| explain(error, tables.dir()))?;
        Ok(sequence)
    }
}

/// One caller's view: the engine, what the group's earlier callers change, and its own changes over it.
pub(super) struct Transaction<'a> {
    tables: &'a Tables,
    group: &'a Changes,
    own: Changes,
}

impl<'a> Transaction<'a> {
    pub(super) fn new(tables: &'a Tables, group: &'a Changes) -> Self {
        Self { tables, group, own: Changes::new() }
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

    pub(super) fn contains(&self, table: Table, key: &[u8]) -> Result<bool, StoreError> {
        match self.changed(table, key) {
            Some(value) => Ok(value.is_some()),
            None => self.tables.contains(table, key),
        }
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
        let stored = self.number(key)?.unwrap_or(0);
        if stored == epoch && epoch > 0 {
            return Ok(());
        }
        let message =
            format!("{what} belongs to the owner of epoch {stored}, not to that of epoch {epoch}: stop writing to it");
        Err(StoreError::new(StoreErrorKind::Fenced, message))
    }
}
