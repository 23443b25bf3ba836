//! Another number of partitions.
//!
//! First `meta` says where to, which keeps everybody from acquiring; then every old partition's epoch is raised, which ends its owner; then
//! the new rows are written under a generation of their own, which nobody reads; and then `meta` names that generation, on condition that it
//! says the same as at the beginning. Whoever comes after a crash, or at the same time, goes on with what was said: nobody has acquired since, so
//! all read the same, and one wins; what the others wrote is never read. Who stood still while it was given up, and owners went on, finds
//! another number in `meta`, though it may be for as many partitions, and ends nothing.

use futures::FutureExt as _;
use ronda_domain::time::Timestamp;
use ronda_schemas::row::PartitionRow;

use super::client::{random, side_by_side};
use super::partitions::{Meta, PARTITIONS, stored_epoch};
use super::{CassandraStore, conflict, encode, int};
use crate::error::StoreError;

const DOING: &str = "repartitioning";

impl CassandraStore {
    pub(super) async fn make_partitions(&self, partitions: u32) -> Result<(), StoreError> {
        let statements = &self.client.statements;
        let Some(meta) = self.meta(&statements.meta).await? else { return Ok(()) };
        if meta.partitions == partitions {
            return self.give_move_up(meta).await;
        }
        let Some(meta) = self.announce(meta, partitions).await? else { return self.check_done(partitions).await };
        let old = self.fence_all(meta).await?;
        let generation = random()?;
        self.write_new(generation, partitions, &old).await?;
        let values = (generation, int(partitions), PARTITIONS, meta.generation, int(partitions), meta.mover);
        let ended = self.client.conditional(DOING, &statements.end_move, values).await?;
        if ended { Ok(()) } else { self.check_done(partitions).await }
    }

    /// Says where to, or joins who has said the same. `None`: it went somewhere else meanwhile.
    async fn announce(&self, meta: Meta, partitions: u32) -> Result<Option<Meta>, StoreError> {
        if meta.moving_to == Some(partitions) {
            return Ok(Some(meta));
        }
        let (statements, mover) = (&self.client.statements, random()?);
        let before = (meta.generation, meta.moving_to.map(int), meta.mover);
        let values = (int(partitions), mover, PARTITIONS, before.0, before.1, before.2);
        if self.client.conditional(DOING, &statements.begin_move, values).await? {
            return Ok(Some(Meta { moving_to: Some(partitions), mover: Some(mover), ..meta }));
        }
        let now = self.meta(&statements.meta).await?;
        Ok(now.filter(|now| now.generation == meta.generation && now.moving_to == Some(partitions)))
    }

    /// A repartitioning that was broken off, and is no longer wanted, ends.
    async fn give_move_up(&self, meta: Meta) -> Result<(), StoreError> {
        let Some(moving_to) = meta.moving_to else { return Ok(()) };
        let values = (PARTITIONS, meta.generation, int(moving_to));
        self.client.conditional(DOING, &self.client.statements.give_move_up, values).await.map(drop)
    }

    /// Somebody else was faster: with the same, or with something else.
    async fn check_done(&self, partitions: u32) -> Result<(), StoreError> {
        match self.meta(&self.client.statements.meta).await? {
            Some(Meta { partitions: now, moving_to: None, .. }) if now == partitions => Ok(()),
            now => Err(conflict(format!(
                "another repartitioning came between this one to {partitions} partitions and its end ({now:?}): run it again"
            ))),
        }
    }

    /// Ends all owners, and answers what they left.
    async fn fence_all(&self, meta: Meta) -> Result<Vec<PartitionRow>, StoreError> {
        let fences = (0..meta.partitions).map(|partition| self.fence(meta, partition).boxed()).collect();
        Ok(side_by_side(fences, self.in_flight()).await?.into_iter().flatten().collect())
    }

    /// Ends a partition's owner, and answers what it left; `None`: it has never had one.
    async fn fence(&self, meta: Meta, partition: u32) -> Result<Option<PartitionRow>, StoreError> {
        let epoch = self.raise(meta.generation, partition, false).await?;
        let place = self.place(&self.client.statements.partition, meta.generation, partition).await?;
        let (Some(epoch), Some(place)) = (epoch, place) else { return Ok(None) };
        let row = place.row(partition, meta.partitions)?;
        Ok(Some(PartitionRow { epoch: epoch.max(row.epoch), ..row }))
    }

    async fn write_new(&self, generation: i64, partitions: u32, old: &[PartitionRow]) -> Result<(), StoreError> {
        let rows = rows_of(partitions, old);
        let writes = rows.iter().map(|row| self.write_row(generation, row).boxed()).collect();
        side_by_side(writes, self.in_flight()).await.map(drop)
    }

    async fn write_row(&self, generation: i64, row: &PartitionRow) -> Result<(), StoreError> {
        let values = (generation, int(row.partition), stored_epoch(row.epoch)?, Some(encode(row)?));
        self.client.conditional(DOING, &self.client.statements.make_partition, values).await.map(drop)
    }
}

/// The rows of the new partitions: see [`PartitionStore::repartition`](crate::port::PartitionStore::repartition).
fn rows_of(partitions: u32, old: &[PartitionRow]) -> Vec<PartitionRow> {
    let begun = old.iter().map(|row| row.watermark).filter(|watermark| *watermark > Timestamp::MIN);
    let cursor = old.iter().map(|row| row.cursor).max().unwrap_or(0);
    let all = PartitionRow {
        partitions,
        epoch: old.iter().map(|row| row.epoch).max().unwrap_or(0) + 1,
        cursor,
        published: cursor,
        watermark: begun.min().unwrap_or(Timestamp::MIN),
        ..PartitionRow::default()
    };
    let mut rows: Vec<_> = (0..partitions).map(|partition| PartitionRow { partition, ..all.clone() }).collect();
    if let Some(first) = rows.first_mut() {
        first.applied = old.iter().map(|row| row.applied).sum();
        first.refused = old.iter().map(|row| row.refused).sum();
    }
    rows
}
