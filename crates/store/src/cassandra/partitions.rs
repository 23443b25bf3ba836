//! Partitions' rows and who owns them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use ronda_domain::id::{SLOTS, SchedulerKey};
use ronda_domain::time::Timestamp;
use ronda_schemas::row::{PartitionRow, SchedulerRow};
use scylla::statement::prepared::PreparedStatement;

use super::ownership::MAX_EPOCH;
use super::{CassandraStore, conflict, decode, int, invalid};
use crate::error::{StoreError, StoreErrorKind};
use crate::port::{Commit, PartitionStore};

/// The row of `meta` that says for how many partitions the store is.
pub(super) const PARTITIONS: &str = "partitions";

/// For how many partitions the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    /// Which rows of partitions are the current ones.
    pub(super) generation: i64,
    pub(super) partitions: u32,
    /// A repartitioning to so many is under way, or was broken off.
    pub(super) moving_to: Option<u32>,
    /// Which one: random, so that one that was given up is not taken for another one to the same number.
    pub(super) mover: Option<i64>,
}

impl Meta {
    /// Refuses another number of partitions.
    fn check(self, partitions: u32) -> Result<(), StoreError> {
        let made_for = self.partitions;
        if let Some(moving_to) = self.moving_to {
            return Err(conflict(format!(
                "this store is being changed from {made_for} command partitions to {moving_to} and is asked for {partitions}: wait for \
                 'ronda queue repartition', or run it again if it was broken off"
            )));
        }
        if made_for == partitions {
            return Ok(());
        }
        let message = format!(
            "this store was made for {made_for} command partitions and is asked for {partitions}: set the number of partitions back to \
             {made_for}, or change it with 'ronda queue repartition'"
        );
        Err(StoreError::new(StoreErrorKind::OtherPartitions, message))
    }
}

/// A partition's row as stored: its epoch, and what was committed last.
pub(super) struct Place {
    pub(super) epoch: u64,
    row: Option<Vec<u8>>,
}

impl Place {
    /// The row with its epoch; one that nobody has committed to is fresh.
    pub(super) fn row(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError> {
        let row = match &self.row {
            Some(bytes) => decode(bytes)?,
            None => PartitionRow { partition, partitions, watermark: Timestamp::MIN, ..PartitionRow::default() },
        };
        Ok(PartitionRow { epoch: self.epoch, ..row })
    }
}

pub(super) fn check_partition(partition: u32, partitions: u32) -> Result<(), StoreError> {
    if partition < partitions && partitions.is_power_of_two() && partitions <= SLOTS {
        return Ok(());
    }
    Err(invalid(format!("partition {partition} of {partitions}: there must be 1, 2, 4, … {SLOTS}, counted from 0")))
}

/// An epoch as it is stored.
pub(super) fn stored_epoch(epoch: u64) -> Result<i64, StoreError> {
    if epoch > MAX_EPOCH {
        return Err(invalid(format!(
            "a partition was acquired {MAX_EPOCH} times: write timestamps have no more room; copy the store into a new keyspace"
        )));
    }
    i64::try_from(epoch).map_err(|_| invalid(format!("{epoch} is no epoch")))
}

impl CassandraStore {
    pub(super) async fn meta(&self, statement: &PreparedStatement) -> Result<Option<Meta>, StoreError> {
        type Found = (Option<i64>, Option<i32>, Option<i32>, Option<i64>);
        let found: Option<Found> = self.client.first("reading meta", statement, (PARTITIONS,)).await?;
        let Some((Some(generation), Some(partitions), moving_to, mover)) = found else { return Ok(None) };
        Ok(Some(Meta {
            generation,
            partitions: partitions.cast_unsigned(),
            moving_to: moving_to.map(i32::cast_unsigned),
            mover,
        }))
    }

    /// For how many partitions the store is, said by whoever asks first.
    async fn made_for(&self, partitions: u32) -> Result<Meta, StoreError> {
        let statements = &self.client.statements;
        if let Some(meta) = self.meta(&statements.meta).await? {
            return Ok(meta);
        }
        let doing = "making meta";
        let generation = super::client::random()?;
        let made =
            self.client.conditional(doing, &statements.make_meta, (PARTITIONS, generation, int(partitions))).await?;
        if made {
            return Ok(Meta { generation, partitions, moving_to: None, mover: None });
        }
        self.meta(&statements.meta).await?.ok_or_else(|| super::errors::gone(doing))
    }

    pub(super) async fn place(
        &self,
        statement: &PreparedStatement,
        generation: i64,
        partition: u32,
    ) -> Result<Option<Place>, StoreError> {
        let doing = format!("reading partition {partition}");
        let found: Option<(Option<i64>, Option<Vec<u8>>)> =
            self.client.first(&doing, statement, (generation, int(partition))).await?;
        Ok(found.and_then(|(epoch, row)| Some(Place { epoch: epoch?.cast_unsigned(), row })))
    }

    /// Raises a partition's epoch and answers it; `None`: nobody has ever acquired it, and it is not to be made.
    pub(super) async fn raise(
        &self,
        generation: i64,
        partition: u32,
        is_made: bool,
    ) -> Result<Option<u64>, StoreError> {
        let (doing, statements) = (format!("acquiring partition {partition}"), &self.client.statements);
        for lost in 1.. {
            let place = self.place(&statements.partition, generation, partition).await?;
            let number = int(partition);
            let (epoch, raised) = match place {
                Some(place) => {
                    let (before, epoch) = (stored_epoch(place.epoch)?, place.epoch + 1);
                    let values = (stored_epoch(epoch)?, generation, number, before);
                    (epoch, self.client.conditional(&doing, &statements.raise_partition, values).await?)
                }
                None if is_made => {
                    let values = (generation, number, 1_i64, None::<Vec<u8>>);
                    (1, self.client.conditional(&doing, &statements.make_partition, values).await?)
                }
                None => return Ok(None),
            };
            if raised {
                return Ok(Some(epoch));
            }
            self.client.pause(&doing, lost).await?;
        }
        Ok(None)
    }

    /// A partition's row, as of its last commit.
    pub(super) async fn partition_row(&self, partition: u32) -> Result<Option<PartitionRow>, StoreError> {
        let statements = &self.client.statements;
        let read = async |generation| self.place(&statements.partition_as_confirmed, generation, partition).await;
        // Nearly always it is still where it was, so both are asked for at the same time.
        let guess = self.generation.load(Ordering::Relaxed);
        let (meta, place) = futures::try_join!(self.meta(&statements.meta_as_confirmed), read(guess))?;
        let Some(meta) = meta else { return Ok(None) };
        let place = if meta.generation == guess { place } else { read(meta.generation).await? };
        self.generation.store(meta.generation, Ordering::Relaxed);
        place.map(|place| place.row(partition, meta.partitions)).transpose()
    }
}

#[async_trait]
impl PartitionStore for CassandraStore {
    async fn acquire(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError> {
        check_partition(partition, partitions)?;
        let meta = self.made_for(partitions).await?;
        meta.check(partitions)?;
        let epoch = self.raise(meta.generation, partition, true).await?;
        let statements = &self.client.statements;
        let place = self.place(&statements.partition, meta.generation, partition).await?;
        // A repartitioning that began in between has not fenced this epoch, perhaps: then it is nobody's.
        let now = self.meta(&statements.meta).await?;
        let (Some(epoch), Some(place), Some(now)) = (epoch, place, now) else {
            return Err(super::errors::gone(&format!("acquiring partition {partition}")));
        };
        now.check(partitions)?;
        if now.generation != meta.generation {
            return Err(conflict(format!(
                "partition {partition}: the partitions were made anew meanwhile; acquire it again"
            )));
        }
        self.generation.store(meta.generation, Ordering::Relaxed);
        self.ownership.begin(partition, meta.generation, epoch);
        Ok(PartitionRow { epoch, ..place.row(partition, partitions)? })
    }

    async fn load(
        &self,
        partition: u32,
        partitions: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        check_partition(partition, partitions)?;
        self.load_rows(partition, partitions, after, limit).await
    }

    async fn commit(&self, commit: Arc<Commit>) -> Result<(), StoreError> {
        Box::pin(self.write_commit(&commit)).await
    }

    async fn check_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError> {
        self.read_owner(partition, epoch).await
    }

    async fn repartition(&self, partitions: u32) -> Result<(), StoreError> {
        check_partition(0, partitions)?;
        Box::pin(self.make_partitions(partitions)).await
    }
}
