//! Schedulers' rows: one, or those of a partition.

use futures::{StreamExt as _, TryStreamExt as _};
use ronda_domain::id::{SLOTS, SchedulerKey, check_id, hash_of};
use ronda_schemas::row::SchedulerRow;

use super::{CassandraStore, decode, int, limit_of};
use crate::error::StoreError;

/// So many slots are read side by side. What is read beyond the page is thrown away.
const SLOTS_AHEAD: usize = 8;

/// A row as it is stored, and the timestamp that it was written with.
struct Stored {
    row: Vec<u8>,
    written: i64,
}

/// The key of a scheduler's row; `None`: a text that no id can be.
fn place_of<'t>(tenant: &'t str, scheduler: &'t str) -> Option<(i32, &'t str, &'t str)> {
    let is_id = check_id(tenant).is_ok() && check_id(scheduler).is_ok();
    is_id.then(|| (int(hash_of(tenant, scheduler) % SLOTS), tenant, scheduler))
}

impl CassandraStore {
    /// A row, of a deleted scheduler as well.
    pub(super) async fn row(&self, tenant: &str, scheduler: &str) -> Result<Option<SchedulerRow>, StoreError> {
        let Some(place) = place_of(tenant, scheduler) else { return Ok(None) };
        let doing = "reading a scheduler";
        let found: Option<(Option<Vec<u8>>,)> = self.client.first(doing, &self.client.statements.row, place).await?;
        found.and_then(|(row,)| row).map(|row| decode(&row)).transpose()
    }

    /// Whether there is a row, and not of a deleted scheduler.
    pub(super) async fn is_shown(&self, tenant: &str, scheduler: &str) -> Result<bool, StoreError> {
        let Some(place) = place_of(tenant, scheduler) else { return Ok(false) };
        let doing = "looking for a scheduler";
        let found: Option<(Option<bool>,)> = self.client.first(doing, &self.client.statements.shown, place).await?;
        Ok(matches!(found, Some((Some(true),))))
    }

    pub(super) async fn load_rows(
        &self,
        partition: u32,
        partitions: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        let first_slot = after.map_or(0, SchedulerKey::slot);
        let slots = (first_slot..SLOTS).filter(|slot| slot % partitions == partition);
        let reads = slots.map(|slot| self.load_slot(slot, after.filter(|_| slot == first_slot), limit));
        let mut slots = futures::stream::iter(reads).buffered(SLOTS_AHEAD);
        let mut rows = Vec::new();
        while let Some(found) = slots.try_next().await? {
            rows.extend(found.into_iter().take(limit - rows.len()));
            if rows.len() >= limit {
                break;
            }
        }
        // What can't be read can't be read by the next owner either.
        let decoded = rows.iter().map(|row| decode(&row.row)).collect::<Result<_, _>>()?;
        if let Some(newest) = rows.iter().map(|row| row.written).max() {
            self.ownership.covers(partition, newest)?;
        }
        Ok(decoded)
    }

    /// A slot's rows, as stored, after a scheduler.
    async fn load_slot(
        &self,
        slot: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<Stored>, StoreError> {
        // No id is empty.
        let (tenant, scheduler) = after.map_or(("", ""), |after| (after.tenant.as_str(), after.scheduler.as_str()));
        let values = (int(slot), tenant, scheduler, limit_of(limit));
        let rows = self.client.rows("loading a partition", &self.client.statements.rows, values).await?;
        let stored = async |(row, written): (Option<Vec<u8>>, Option<i64>)| {
            Ok(row.zip(written).map(|(row, written)| Stored { row, written }))
        };
        rows.try_filter_map(stored).try_collect().await
    }
}
