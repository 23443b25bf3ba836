//! A partition's commit: history and errors, and then rows, plainly and side by side; then the partition's row on condition of its epoch.

use std::collections::{HashMap, HashSet};

use futures::FutureExt as _;
use ronda_domain::id::SchedulerKey;
use ronda_domain::record::{OccurrenceRecord, RunRecord};
use ronda_schemas::row::{ErrorRow, SchedulerRow};

use super::client::side_by_side;
use super::ownership::Stamp;
use super::schema::LIST_BUCKETS;
use super::{CassandraStore, encode, fenced, int};
use crate::error::{StoreError, StoreErrorKind};
use crate::port::Commit;

const DOING: &str = "committing";

/// One thing that a commit changes.
#[derive(Clone, Copy)]
enum Change<'c> {
    Row(&'c SchedulerRow),
    Removed(&'c SchedulerKey),
    Occurrence(&'c SchedulerKey, &'c OccurrenceRecord),
    Run(&'c SchedulerKey, &'c RunRecord),
    Error(&'c ErrorRow),
}

impl Change<'_> {
    /// Whether it is a scheduler's row, or its removal.
    const fn is_row(&self) -> bool {
        matches!(self, Self::Row(_) | Self::Removed(_))
    }
}

/// What a commit changes, each thing once: all of a commit has one timestamp, and of two writes with one timestamp the greater value stays.
fn changes(commit: &Commit) -> Vec<Change<'_>> {
    let removed: HashSet<_> = commit.removed.iter().collect();
    let rows: HashMap<_, _> = commit.rows.iter().map(|row| (&row.key, row)).collect();
    let occurrences: HashMap<_, _> =
        commit.occurrences.iter().map(|(key, record)| ((key, &record.subject), record)).collect();
    let runs: HashMap<_, _> =
        commit.runs.iter().map(|(key, record)| ((key, &record.subject, &record.run_id), record)).collect();
    let errors: HashMap<_, _> =
        commit.errors.iter().map(|error| ((&error.tenant, error.at, error.message), error)).collect();
    let rows = rows.into_iter().filter(|(key, _)| !removed.contains(key)).map(|(_, row)| Change::Row(row));
    let changes = rows.chain(removed.iter().map(|key| Change::Removed(key)));
    let changes = changes.chain(occurrences.into_iter().map(|((key, _), record)| Change::Occurrence(key, record)));
    let changes = changes.chain(runs.into_iter().map(|((key, _, _), record)| Change::Run(key, record)));
    changes.chain(errors.into_values().map(Change::Error)).collect()
}

/// In which part of its tenant's list a scheduler is.
pub(super) fn list_bucket(key: &SchedulerKey) -> i32 {
    // Not by the slot's bits: a tenant's schedulers of one partition would share a few buckets.
    int((key.hash() >> 16) % LIST_BUCKETS)
}

impl CassandraStore {
    pub(super) async fn write_commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let own = &commit.partition;
        let stamp = self.ownership.stamp(own.partition, own.epoch)?;
        let row = encode(own)?;
        // Nobody writes again what follows from a row that is there.
        let (rows, records): (Vec<_>, Vec<_>) = changes(commit).into_iter().partition(Change::is_row);
        for changes in [records, rows] {
            let writes = changes.into_iter().map(|change| self.write_change(own.partition, stamp, change).boxed());
            let seen = side_by_side(writes.collect(), self.in_flight()).await?;
            self.ownership.add(own.partition, own.epoch, seen.into_iter().flatten());
        }

        let statements = &self.client.statements;
        let values = (stamp.commit, row, stamp.generation, int(own.partition), stamp.epoch, stamp.commit);
        if self.client.conditional(DOING, &statements.move_partition, values).await? {
            return Ok(());
        }
        let place = self.place(&statements.partition, stamp.generation, own.partition).await?;
        if place.is_some_and(|place| place.epoch == own.epoch) {
            let message = format!("partition {} was moved by another call of the same owner meanwhile", own.partition);
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        }
        Err(self.replaced(own.partition, own.epoch))
    }

    /// Reads the partition's row as of all that was conditional before.
    pub(super) async fn read_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError> {
        let generation = self.ownership.generation(partition, epoch)?;
        let place = self.place(&self.client.statements.partition, generation, partition).await?;
        if place.is_some_and(|place| place.epoch == epoch) { Ok(()) } else { Err(self.replaced(partition, epoch)) }
    }

    /// Takes note that the partition is somebody else's.
    fn replaced(&self, partition: u32, epoch: u64) -> StoreError {
        self.ownership.end(partition, epoch);
        fenced(format!("partition {partition} belongs to another owner than that of epoch {epoch}"))
    }

    /// Most requests that are under way at a time.
    pub(super) fn in_flight(&self) -> usize {
        self.options.requests_in_flight
    }

    /// Writes a change, and answers what need not be written again.
    async fn write_change(&self, partition: u32, stamp: Stamp, change: Change<'_>) -> Result<Vec<u64>, StoreError> {
        match change {
            Change::Row(row) => Box::pin(self.put_row(partition, stamp, row)).await,
            Change::Removed(key) => Box::pin(self.remove_row(partition, stamp, key)).await,
            Change::Occurrence(key, record) => {
                let row = encode(record)?;
                Box::pin(self.put_history(partition, stamp, key, &record.subject, "", row)).await
            }
            Change::Run(key, record) => {
                let row = encode(record)?;
                Box::pin(self.put_history(partition, stamp, key, &record.subject, record.run_id.as_str(), row)).await
            }
            Change::Error(error) => Box::pin(self.put_error(partition, error)).await,
        }
    }

    async fn put_row(&self, partition: u32, stamp: Stamp, row: &SchedulerRow) -> Result<Vec<u64>, StoreError> {
        let SchedulerKey { tenant, scheduler } = &row.key;
        let bytes = encode(row).map_err(|error| StoreError {
            message: format!("scheduler {tenant}/{scheduler}: {}", error.message),
            ..error
        })?;
        let is_shown = row.state.is_some();
        let values = (stamp.timestamp, is_shown, bytes, int(row.key.slot()), tenant.as_str(), scheduler.as_str());
        let put = self.client.write(DOING, &self.client.statements.put_row, values);
        if is_shown {
            let ((), seen) = futures::try_join!(put, self.list(partition, stamp, &row.key))?;
            Ok(seen)
        } else {
            futures::try_join!(put, self.unlist(partition, stamp, &row.key))?;
            Ok(Vec::new())
        }
    }

    async fn remove_row(&self, partition: u32, stamp: Stamp, key: &SchedulerKey) -> Result<Vec<u64>, StoreError> {
        let values = (stamp.timestamp, int(key.slot()), key.tenant.as_str(), key.scheduler.as_str());
        let remove = self.client.write(DOING, &self.client.statements.remove_row, values);
        futures::try_join!(remove, self.unlist(partition, stamp, key))?;
        Ok(Vec::new())
    }

    /// Puts a scheduler into its tenant's list, unless this owner has done so.
    async fn list(&self, partition: u32, stamp: Stamp, key: &SchedulerKey) -> Result<Vec<u64>, StoreError> {
        let name = self.ownership.name(("scheduler", key));
        if self.ownership.has_seen(partition, name) {
            return Ok(Vec::new());
        }
        let tenant = self.put_tenant(partition, key.tenant.as_str());
        let values = (key.tenant.as_str(), list_bucket(key), key.scheduler.as_str(), int(key.slot()), stamp.timestamp);
        let list = self.client.write(DOING, &self.client.statements.list, values);
        let (mut seen, ()) = futures::try_join!(tenant, list)?;
        seen.push(name);
        Ok(seen)
    }

    async fn unlist(&self, partition: u32, stamp: Stamp, key: &SchedulerKey) -> Result<(), StoreError> {
        self.ownership.forget(partition, self.ownership.name(("scheduler", key)));
        let values = (stamp.timestamp, key.tenant.as_str(), list_bucket(key), key.scheduler.as_str());
        self.client.write(DOING, &self.client.statements.unlist, values).await
    }

    async fn put_tenant(&self, partition: u32, tenant: &str) -> Result<Vec<u64>, StoreError> {
        let name = self.ownership.name(("tenant", tenant));
        if self.ownership.has_seen(partition, name) {
            return Ok(Vec::new());
        }
        self.client.write(DOING, &self.client.statements.put_tenant, (super::listing::SHELF, tenant)).await?;
        Ok(vec![name])
    }
}
