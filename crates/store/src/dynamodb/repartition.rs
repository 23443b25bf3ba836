//! Another number of partitions, in steps of which each may be the last before a crash; whoever runs it again goes on, and two at once
//! end in the same state.
//!
//! 1. The meta item says to which number it goes. From here on nobody acquires.
//! 2. Each old partition is closed and its epoch raised, once and for good: what is computed from them is the same for everybody.
//! 3. The new partitions' rows are written, under the next generation, where there are none yet.
//! 4. The meta item goes to the new number and generation, if it is still as in step 1.

use futures::stream::{self, StreamExt, TryStreamExt};
use ronda_domain::time::Timestamp;
use ronda_schemas::row::PartitionRow;

use super::DynamoStore;
use super::db::{Condition, Outcome};
use super::item::{bytes, damaged, encode, number};
use super::partitions::{Meta, check_partition, meta_key, partition_key, unfinished};
use super::tables::Table;
use crate::error::{StoreError, StoreErrorKind};

/// Partitions that are worked on at one time.
const AT_ONCE: usize = 32;

impl DynamoStore {
    pub(super) async fn change_partitions(&self, partitions: u32) -> Result<(), StoreError> {
        check_partition(0, partitions)?;
        let Some(meta) = self.read_meta().await? else { return Ok(()) };
        match meta.changing_to {
            None if meta.partitions == partitions => return Ok(()),
            Some(to) if to != partitions => return Err(unfinished(meta.partitions, to)),
            None if !self.announce(meta, partitions).await? => return Err(crossed(partitions)),
            _ => {}
        }
        let closing: Vec<_> = (0..meta.partitions).map(|partition| self.close(meta, partition)).collect();
        let old: Vec<PartitionRow> = stream::iter(closing).buffer_unordered(AT_ONCE).try_collect().await?;
        let new = combine(&old, partitions);
        let opening: Vec<_> = new.iter().map(|row| self.open(meta.generation + 1, row)).collect();
        stream::iter(opening).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        self.flip(meta, partitions).await
    }

    /// `false`: somebody else changes it.
    async fn announce(&self, meta: Meta, partitions: u32) -> Result<bool, StoreError> {
        let values = [(":to", number(partitions)), (":generation", number(meta.generation))];
        let unchanged = Condition::new(
            "#generation = :generation AND (attribute_not_exists(#changing_to) OR #changing_to = :to)",
            values,
        );
        let announced = self.db.update(Table::Partitions, &meta_key(), "SET #changing_to = :to", &unchanged).await?;
        Ok(matches!(announced, Outcome::Done(_)))
    }

    /// Ends a partition for good, and answers how far it came.
    async fn close(&self, meta: Meta, partition: u32) -> Result<PartitionRow, StoreError> {
        let key = partition_key(meta.generation, partition);
        let values = [(":zero", number(0)), (":one", number(1))];
        let open = Condition::new("attribute_not_exists(#closed)", values);
        let close = "SET #epoch = if_not_exists(#epoch, :zero) + :one, #closed = :one";
        let (Outcome::Done(item) | Outcome::Refused(item)) =
            self.db.update(Table::Partitions, &key, close, &open).await?;
        self.partition_row(&item, meta, partition).await?.ok_or_else(|| damaged("a closed partition's row"))
    }

    async fn open(&self, generation: u64, row: &PartitionRow) -> Result<(), StoreError> {
        let mut item = partition_key(generation, row.partition);
        item.insert(String::from("epoch"), number(row.epoch));
        item.insert(String::from("row"), bytes(encode(row)?));
        let absent = Condition::new("attribute_not_exists(#name)", []);
        self.db.put(Table::Partitions, &item, Some(&absent)).await.map(drop)
    }

    async fn flip(&self, meta: Meta, partitions: u32) -> Result<(), StoreError> {
        let values = [
            (":to", number(partitions)),
            (":generation", number(meta.generation)),
            (":next", number(meta.generation + 1)),
        ];
        let announced = Condition::new("#generation = :generation AND #changing_to = :to", values);
        let change = "SET #partitions = :to, #generation = :next REMOVE #changing_to";
        self.db.update(Table::Partitions, &meta_key(), change, &announced).await?;
        // By us, or by somebody who did the same.
        match self.read_meta().await? {
            Some(Meta { partitions: now, changing_to: None, .. }) if now == partitions => Ok(()),
            _ => Err(crossed(partitions)),
        }
    }
}

/// The rows of the new partitions.
fn combine(old: &[PartitionRow], partitions: u32) -> Vec<PartitionRow> {
    let mut all = PartitionRow { partitions, watermark: Timestamp::MAX, ..PartitionRow::default() };
    for row in old {
        all.epoch = all.epoch.max(row.epoch);
        all.cursor = all.cursor.max(row.cursor);
        if row.watermark > Timestamp::MIN {
            all.watermark = all.watermark.min(row.watermark);
        }
        all.applied += row.applied;
        all.refused += row.refused;
    }
    if all.watermark == Timestamp::MAX {
        all.watermark = Timestamp::MIN;
    }
    all.epoch += 1;
    all.published = all.cursor;
    let row = |partition| {
        let (applied, refused) = if partition == 0 { (all.applied, all.refused) } else { (0, 0) };
        PartitionRow { partition, applied, refused, ..all.clone() }
    };
    (0..partitions).map(row).collect()
}

fn crossed(partitions: u32) -> StoreError {
    let message = format!(
        "the number of partitions was changed by somebody else meanwhile: ask again for {partitions} if it is still wanted"
    );
    StoreError::new(StoreErrorKind::Conflict, message)
}
