//! The parts of the port that write.

use std::sync::Arc;

use async_trait::async_trait;
use ronda_domain::id::{SLOTS, SchedulerKey, TenantId};
use ronda_domain::time::Timestamp;
use ronda_schemas::codec::Versioned;
use ronda_schemas::row::{ApiKeyRow, IdempotencyRow, IdempotentAnswer, PartitionRow, SchedulerRow};

use super::tables::{PARTITIONS_KEY, Table, decode, encode};
use super::transaction::{Transaction, check_epoch};
use super::{EmbeddedStore, invalid, key, reads};
use crate::error::{StoreError, StoreErrorKind};
use crate::port::{
    Commit, ErrorCursor, IdempotencyClaim, IdempotencyStore, KeyStore, PartitionStore, SurfaceStore, SurfaceWrite,
};

const MAX_SURFACE_KEY_BYTES: usize = 512;
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 1024;
/// Largest single row, in bytes: anything larger is a mistake, and would hold up all that waits behind it.
const MAX_ROW_BYTES: usize = 16 * 1024 * 1024;
/// About what a record of a commit takes, in bytes.
const USUAL_RECORD_BYTES: usize = 512;

/// Writes a commit, all or nothing of it: an error leaves the transaction to be thrown away.
fn write(commit: &Commit, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
    let own = &commit.partition;
    transaction.fence(&key::partition_epoch(own.partition), own.epoch, &format!("partition {}", own.partition))?;
    for row in &commit.rows {
        transaction.set_indexed(key::index(&row.key), row.state.is_some())?;
        put(transaction, Table::Rows, place_of(&row.key), row).map_err(|error| {
            let SchedulerKey { tenant, scheduler } = &row.key;
            StoreError { message: format!("scheduler {tenant}/{scheduler}: {}", error.message), ..error }
        })?;
    }
    for removed in &commit.removed {
        transaction.set_indexed(key::index(removed), false)?;
        transaction.remove(Table::Rows, place_of(removed));
    }
    for (scheduler, record) in &commit.occurrences {
        put(transaction, Table::History, key::entry(scheduler, &record.subject), record)?;
    }
    for (scheduler, record) in &commit.runs {
        put(transaction, Table::History, key::run(scheduler, &record.subject, record.run_id.as_str()), record)?;
    }
    for error in &commit.errors {
        let place = key::error(&error.tenant, ErrorCursor { at: error.at, message: error.message });
        put(transaction, Table::Errors, place, error)?;
    }
    put(transaction, Table::Partitions, key::partition(own.partition).to_vec(), own)
}

fn place_of(scheduler: &SchedulerKey) -> Vec<u8> {
    key::row(scheduler.tenant.as_str(), scheduler.scheduler.as_str())
}

fn put<T: Versioned>(
    transaction: &mut Transaction<'_>,
    table: Table,
    place: Vec<u8>,
    value: &T,
) -> Result<(), StoreError> {
    let bytes = encode(value)?;
    check_row_size(bytes.len())?;
    transaction.put(table, place, bytes);
    Ok(())
}

fn check_row_size(bytes: usize) -> Result<(), StoreError> {
    if bytes > MAX_ROW_BYTES {
        return Err(invalid(format!("a row of {bytes} bytes; the largest may have {MAX_ROW_BYTES}")));
    }
    Ok(())
}

/// Checks the number of partitions against the one that the store was made for.
fn check_partitions(transaction: &mut Transaction<'_>, partitions: u32) -> Result<(), StoreError> {
    match transaction.number(PARTITIONS_KEY)? {
        None => {
            transaction.put(Table::Meta, PARTITIONS_KEY.to_vec(), u64::from(partitions).to_be_bytes().to_vec());
            Ok(())
        }
        Some(made_for) if made_for == u64::from(partitions) => Ok(()),
        Some(made_for) => Err(StoreError::new(
            StoreErrorKind::OtherPartitions,
            format!(
                "this store was made for {made_for} command partitions and is asked for {partitions}: set the number of partitions back to \
                 {made_for}, or change it with 'ronda queue repartition'"
            ),
        )),
    }
}

/// Makes the rows of other partitions out of those that are there.
fn repartition(transaction: &mut Transaction<'_>, partitions: u32) -> Result<(), StoreError> {
    let Some(made_for) = transaction.number(PARTITIONS_KEY)? else { return Ok(()) };
    if made_for == u64::from(partitions) {
        return Ok(());
    }
    let mut all = PartitionRow { partitions, watermark: Timestamp::MAX, ..PartitionRow::default() };
    for partition in 0..SLOTS {
        // Also of partitions that there were once: an owner of those must not come back either.
        all.epoch = all.epoch.max(transaction.number(&key::partition_epoch(partition))?.unwrap_or(0));
        let place = key::partition(partition);
        let Some(bytes) = transaction.get(Table::Partitions, &place)? else { continue };
        let row: PartitionRow = decode(&bytes)?;
        all.cursor = all.cursor.max(row.cursor);
        if row.watermark > Timestamp::MIN {
            all.watermark = all.watermark.min(row.watermark);
        }
        all.applied += row.applied;
        all.refused += row.refused;
        transaction.remove(Table::Partitions, place.to_vec());
    }
    if all.watermark == Timestamp::MAX {
        all.watermark = Timestamp::MIN;
    }
    all.epoch += 1;
    all.published = all.cursor;
    for partition in 0..partitions.max(u32::try_from(made_for).unwrap_or(SLOTS)) {
        transaction.put(Table::Meta, key::partition_epoch(partition), all.epoch.to_be_bytes().to_vec());
        if partition < partitions {
            put(
                transaction,
                Table::Partitions,
                key::partition(partition).to_vec(),
                &PartitionRow { partition, ..all.clone() },
            )?;
            (all.applied, all.refused) = (0, 0);
        }
    }
    transaction.put(Table::Meta, PARTITIONS_KEY.to_vec(), u64::from(partitions).to_be_bytes().to_vec());
    Ok(())
}

pub(super) fn check_partition(partition: u32, partitions: u32) -> Result<(), StoreError> {
    if partition < partitions && partitions.is_power_of_two() && partitions <= SLOTS {
        return Ok(());
    }
    Err(invalid(format!("partition {partition} of {partitions}: there must be 1, 2, 4, … {SLOTS}, counted from 0")))
}

#[async_trait]
impl PartitionStore for EmbeddedStore {
    fn is_atomic(&self) -> bool {
        true
    }

    async fn acquire(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError> {
        check_partition(partition, partitions)?;
        let acquire = move |transaction: &mut Transaction<'_>| {
            check_partitions(transaction, partitions)?;
            let place = key::partition(partition);
            let mut row = match transaction.get(Table::Partitions, &place)? {
                Some(bytes) => decode(&bytes)?,
                None => PartitionRow { partition, partitions, watermark: Timestamp::MIN, ..PartitionRow::default() },
            };
            row.epoch = transaction.raise_epoch(key::partition_epoch(partition))?;
            transaction.put(Table::Partitions, place.to_vec(), encode(&row)?);
            Ok(row)
        };
        self.committer.submit(256, acquire).await
    }

    async fn load(
        &self,
        partition: u32,
        partitions: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        check_partition(partition, partitions)?;
        let after = after.cloned();
        self.scan(move |tables| reads::load(tables, partition, partitions, after.as_ref(), limit)).await
    }

    async fn commit(&self, commit: Arc<Commit>) -> Result<(), StoreError> {
        // Encoded by the committer: thousands of rows would hold up everything else that runs on the caller's thread.
        let Commit { rows, removed, occurrences, runs, errors, .. } = &*commit;
        let records = rows.len() + removed.len() + occurrences.len() + runs.len() + errors.len();
        let size = records.saturating_mul(USUAL_RECORD_BYTES);
        self.committer.submit(size, move |transaction| write(&commit, transaction)).await
    }

    async fn check_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError> {
        let stored = self.engine.tables()?.number(&key::partition_epoch(partition))?;
        check_epoch(stored, epoch, &format!("partition {partition}"))
    }

    async fn repartition(&self, partitions: u32) -> Result<(), StoreError> {
        check_partition(0, partitions)?;
        self.committer.submit(256, move |transaction| repartition(transaction, partitions)).await
    }
}

#[async_trait]
impl KeyStore for EmbeddedStore {
    async fn put_key(&self, row: ApiKeyRow) -> Result<(), StoreError> {
        let bytes = encode(&row)?;
        let put = move |transaction: &mut Transaction<'_>| {
            transaction.put(Table::Keys, row.hash.to_vec(), bytes);
            Ok(())
        };
        self.committer.submit(512, put).await
    }

    async fn key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.engine.tables()?.get(Table::Keys, hash)?.map(|bytes| decode(&bytes)).transpose()
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError> {
        let tenant = tenant.cloned();
        self.scan(move |tables| reads::keys(tables, tenant.as_ref())).await
    }
}

fn check_idempotency_key(text: &str) -> Result<(), StoreError> {
    if text.len() > MAX_IDEMPOTENCY_KEY_BYTES {
        return Err(invalid(format!(
            "an idempotency key of {} bytes; at most {MAX_IDEMPOTENCY_KEY_BYTES}",
            text.len()
        )));
    }
    Ok(())
}

#[async_trait]
impl IdempotencyStore for EmbeddedStore {
    async fn claim(&self, tenant: &TenantId, key: &str, row: IdempotencyRow) -> Result<IdempotencyClaim, StoreError> {
        check_idempotency_key(key)?;
        let place = key::idempotency(tenant, key);
        // What can be read is durable, so a second attempt need not wait for the disk.
        if let Some(bytes) = self.engine.tables()?.get(Table::Idempotency, &place)? {
            return decode(&bytes).map(IdempotencyClaim::Existing);
        }
        let bytes = encode(&row)?;
        let claim = move |transaction: &mut Transaction<'_>| {
            if let Some(existing) = transaction.get(Table::Idempotency, &place)? {
                return decode(&existing).map(IdempotencyClaim::Existing);
            }
            transaction.put(Table::Idempotency, place, bytes);
            Ok(IdempotencyClaim::Claimed)
        };
        self.committer.submit(256, claim).await
    }

    async fn take_over(
        &self,
        tenant: &TenantId,
        key: &str,
        found: &IdempotencyRow,
        row: IdempotencyRow,
    ) -> Result<bool, StoreError> {
        check_idempotency_key(key)?;
        let place = key::idempotency(tenant, key);
        let (found, bytes) = (found.clone(), encode(&row)?);
        let size = bytes.len() + 256;
        let take_over = move |transaction: &mut Transaction<'_>| {
            let unchanged = match transaction.get(Table::Idempotency, &place)? {
                Some(existing) => decode::<IdempotencyRow>(&existing)? == found,
                None => false,
            };
            if unchanged {
                transaction.put(Table::Idempotency, place, bytes);
            }
            Ok(unchanged)
        };
        self.committer.submit(size, take_over).await
    }

    async fn answer(&self, tenant: &TenantId, key: &str, answer: IdempotentAnswer) -> Result<(), StoreError> {
        check_idempotency_key(key)?;
        check_row_size(answer.body.len())?;
        let place = key::idempotency(tenant, key);
        let size = answer.body.len() + 256;
        let write = move |transaction: &mut Transaction<'_>| {
            let Some(bytes) = transaction.get(Table::Idempotency, &place)? else {
                return Err(StoreError::new(
                    StoreErrorKind::Conflict,
                    "nobody holds this idempotency key: it was given back, or was kept for its 24 hours",
                ));
            };
            let mut row: IdempotencyRow = decode(&bytes)?;
            row.answer = Some(answer);
            let bytes = encode(&row)?;
            transaction.put(Table::Idempotency, place, bytes);
            Ok(())
        };
        self.committer.submit(size, write).await
    }

    async fn release(&self, tenant: &TenantId, key: &str) -> Result<(), StoreError> {
        check_idempotency_key(key)?;
        let place = key::idempotency(tenant, key);
        let release = move |transaction: &mut Transaction<'_>| {
            let Some(bytes) = transaction.get(Table::Idempotency, &place)? else { return Ok(()) };
            if decode::<IdempotencyRow>(&bytes)?.answer.is_some() {
                return Err(StoreError::new(
                    StoreErrorKind::Conflict,
                    "this idempotency key has been answered: it can't be given back",
                ));
            }
            transaction.remove(Table::Idempotency, place);
            Ok(())
        };
        self.committer.submit_removal(64, release).await
    }
}

#[async_trait]
impl SurfaceStore for EmbeddedStore {
    async fn acquire_shard(&self, shard: u32) -> Result<u64, StoreError> {
        self.committer.submit(64, move |transaction| transaction.raise_epoch(key::shard_epoch(shard))).await
    }

    async fn commit_surfaces(&self, shard: u32, epoch: u64, writes: Vec<SurfaceWrite>) -> Result<(), StoreError> {
        let mut size = 0;
        for write in &writes {
            let row_bytes = write.row.as_ref().map_or(0, Vec::len);
            check_row_size(row_bytes)?;
            if write.key.len() > MAX_SURFACE_KEY_BYTES {
                return Err(invalid(format!(
                    "a surface key of {} bytes; at most {MAX_SURFACE_KEY_BYTES}",
                    write.key.len()
                )));
            }
            size += write.key.len() + row_bytes;
        }
        let commit = move |transaction: &mut Transaction<'_>| {
            transaction.fence(&key::shard_epoch(shard), epoch, &format!("shard {shard}"))?;
            for write in writes {
                let place = key::surface(shard, &write.key);
                match write.row {
                    Some(row) => transaction.put(Table::Surfaces, place, row),
                    None => transaction.remove(Table::Surfaces, place),
                }
            }
            Ok(())
        };
        self.committer.submit(size, commit).await
    }

    async fn surfaces(
        &self,
        shard: u32,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.scan(move |tables| reads::surfaces(tables, shard, &prefix, after.as_deref(), limit)).await
    }
}
