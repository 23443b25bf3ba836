//! Commits of surfaces that are too large for one batch.
//!
//! 1. The changes are written as items of a journal that has a number of its own: nobody reads them yet.
//! 2. The shard's head names the journal, on condition of its epoch: that is the moment of the commit.
//! 3. The items are applied, on condition that the head still names the journal; several may do so at the same time.
//! 4. The head is cleared, on the same condition, and the items are removed.
//!
//! Whoever acquires or reads a shard, or commits to it, does 3 and 4 first if they are left over. A journal that no head came to name
//! is removed by the shard's next owner.

use futures::{FutureExt as _, TryStreamExt as _};
use scylla::value::CqlValue;

use super::client::{random, side_by_side};
use super::surfaces::{BATCH_BYTES, Changes, size_of};
use super::{CassandraStore, int};
use crate::error::{StoreError, StoreErrorKind};

const WRITING: &str = "writing a journal of surfaces";
const APPLYING: &str = "applying a journal of surfaces";

/// A journal's name and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Journal {
    /// Epoch of the owner that wrote it.
    pub(super) epoch: i64,
    /// Its number: random, so that no two are alike.
    pub(super) number: i64,
    /// How many items it has.
    pub(super) items: i32,
}

/// A change as a journal has it.
type Item = (String, Option<Vec<u8>>);

/// Puts changes into parts that each fit into a batch; what fits into none is alone.
fn parts(items: Vec<Item>) -> Vec<Vec<Item>> {
    let mut parts: Vec<Vec<Item>> = Vec::new();
    let mut room = 0;
    for (key, row) in items {
        let bytes = size_of(&key, row.as_ref());
        match parts.last_mut().filter(|_| bytes <= room) {
            Some(part) => {
                room -= bytes;
                part.push((key, row));
            }
            None => {
                room = BATCH_BYTES.saturating_sub(bytes);
                parts.push(vec![(key, row)]);
            }
        }
    }
    parts
}

impl CassandraStore {
    /// Writes changes as a journal.
    pub(super) async fn write_journal(&self, shard: u32, epoch: u64, changes: &Changes) -> Result<Journal, StoreError> {
        let items = i32::try_from(changes.len()).unwrap_or(i32::MAX);
        let journal = Journal { epoch: epoch.cast_signed(), number: random()?, items };
        let writes = (0_i32..).zip(changes).map(|(item, (key, row))| {
            let values = (int(shard), journal.epoch, journal.number, item, key, row);
            self.client.write(WRITING, &self.client.statements.put_journal_item, values).boxed()
        });
        side_by_side(writes.collect(), self.in_flight()).await?;
        Ok(journal)
    }

    /// Applies a journal that a head names, and clears the head.
    pub(super) async fn apply_journal(&self, shard: u32, journal: Journal) -> Result<(), StoreError> {
        let statements = &self.client.statements;
        let values = (int(shard), journal.epoch, journal.number);
        let items = self.client.rows(APPLYING, &statements.journal_items, values).await?;
        let items: Vec<Item> = items.try_collect().await?;
        if i32::try_from(items.len()).is_ok_and(|items| items == journal.items) {
            for part in parts(items) {
                if !self.apply_part(shard, journal, part).await? {
                    // Somebody else has applied it all.
                    return Ok(());
                }
            }
            if self.client.conditional(APPLYING, &statements.clear_journal, values).await? {
                self.remove_journal(shard, journal).await?;
            }
            return Ok(());
        }
        match self.head(&statements.shard, shard).await? {
            Some(head) if head.journal == Some(journal) => Err(StoreError::new(
                StoreErrorKind::Unreadable,
                format!("{APPLYING}: shard {shard} names one of {} items, which are not all there", journal.items),
            )),
            // Somebody else has applied it, and removed items as these were read.
            _ => Ok(()),
        }
    }

    /// Applies some items; `false`: the head names this journal no more.
    async fn apply_part(&self, shard: u32, journal: Journal, mut part: Vec<Item>) -> Result<bool, StoreError> {
        let statements = &self.client.statements;
        let is_large = part.iter().any(|(key, row)| size_of(key, row.as_ref()) > BATCH_BYTES);
        if is_large && let Some((key, Some(row))) = part.pop() {
            let values = (row, int(shard), key, journal.epoch, journal.number);
            return self.client.conditional(APPLYING, &statements.put_large_surface, values).await;
        }
        let guard = vec![
            CqlValue::Int(journal.items),
            CqlValue::Int(int(shard)),
            CqlValue::BigInt(journal.epoch),
            CqlValue::BigInt(journal.number),
        ];
        let mut batch = vec![(&statements.guard_journal, guard)];
        batch.extend(part.into_iter().map(|(key, row)| self.change(shard, key, row)));
        self.client.conditional_batch(APPLYING, batch).await
    }

    /// Removes a journal's items.
    pub(super) async fn remove_journal(&self, shard: u32, journal: Journal) -> Result<(), StoreError> {
        let values = (int(shard), journal.epoch, journal.number);
        self.client.write(APPLYING, &self.client.statements.remove_journal, values).await
    }

    /// Removes journals of former owners. The head names none of them any more.
    pub(super) async fn remove_old_journals(&self, shard: u32, epoch: u64) -> Result<(), StoreError> {
        let values = (int(shard), epoch.cast_signed());
        self.client.write(APPLYING, &self.client.statements.remove_old_journals, values).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_fit_into_a_batch_and_lose_nothing() {
        let sizes = [10, 20_000, 3_000, 5_000, 100_000, 1, 24_000];
        let items: Vec<Item> = sizes.iter().map(|size| (size.to_string(), Some(vec![0; *size]))).collect();
        let parts = parts(items.clone());
        for part in &parts {
            let bytes: usize = part.iter().map(|(key, row)| size_of(key, row.as_ref())).sum();
            assert!(bytes <= BATCH_BYTES || part.len() == 1, "{bytes} bytes in {}", part.len());
        }
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1, 1, 2]);
        assert_eq!(parts.concat(), items);
    }
}
