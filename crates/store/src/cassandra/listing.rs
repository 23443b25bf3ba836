//! A tenant's schedulers in order, and the tenants; and the part of the port that reads.

use async_trait::async_trait;
use futures::{FutureExt as _, TryStreamExt as _};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_schemas::row::{ErrorRow, PartitionRow, SchedulerRow};

use super::client::side_by_side;
use super::schema::LIST_BUCKETS;
use super::{CassandraStore, int, limit_of};
use crate::error::{StoreError, StoreErrorKind};
use crate::port::{ErrorCursor, HistoryPage, HistoryQuery, SchedulerReads};

/// The one storage partition of lists that stay short.
pub(super) const SHELF: i32 = 0;
/// So many tenants are looked at side by side, each with a handful of requests.
const TENANTS_AT_A_TIME: usize = 8;
/// Fewest ids that are read of each part of a list: parts are not equally full.
const LEAST_OF_A_PART: usize = 16;

/// Ids of a list, as far as all of its parts were read.
struct Candidates {
    ids: Vec<String>,
    is_end: bool,
}

/// Brings the parts of a list together. Beyond the last id of a part that goes on, others may be missing.
fn merge(parts: Vec<Vec<String>>, part_limit: usize) -> Candidates {
    let horizon = parts.iter().filter(|part| part.len() >= part_limit).filter_map(|part| part.last().cloned()).min();
    let mut ids: Vec<String> = parts.into_iter().flatten().collect();
    ids.sort_unstable();
    if let Some(horizon) = &horizon {
        ids.retain(|id| id <= horizon);
    }
    Candidates { ids, is_end: horizon.is_none() }
}

impl CassandraStore {
    async fn list_page(&self, tenant: &TenantId, after: &str, limit: usize) -> Result<Candidates, StoreError> {
        let part_limit = (limit / 8).max(LEAST_OF_A_PART).min(limit.max(1));
        let parts = (0..LIST_BUCKETS).map(|bucket| self.list_part(tenant, bucket, after, part_limit).boxed()).collect();
        let parts = side_by_side(parts, self.in_flight()).await?;
        Ok(merge(parts, part_limit))
    }

    async fn list_part(
        &self,
        tenant: &TenantId,
        bucket: u32,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let values = (tenant.as_str(), int(bucket), after, limit_of(limit));
        let ids = self.client.rows("listing schedulers", &self.client.statements.listed, values).await?;
        ids.map_ok(|(id,): (String,)| id).try_collect().await
    }

    /// The rows of ids, in their order, without those that are not shown.
    async fn shown_rows(&self, tenant: &TenantId, ids: &[String]) -> Result<Vec<SchedulerRow>, StoreError> {
        let rows = ids.iter().map(|id| self.row(tenant.as_str(), id).boxed()).collect();
        let rows: Vec<Option<SchedulerRow>> = side_by_side(rows, self.in_flight()).await?;
        Ok(rows.into_iter().flatten().filter(|row| row.state.is_some()).collect())
    }

    /// A tenant, if it has schedulers or keys.
    async fn look_for(&self, name: &str) -> Result<Option<TenantId>, StoreError> {
        let tenant = TenantId::new(name).map_err(|error| {
            StoreError::new(StoreErrorKind::Unreadable, format!("listing tenants: {name:?} {error}"))
        })?;
        Ok(self.has_anything(&tenant).await?.then_some(tenant))
    }

    /// Whether a tenant has schedulers or keys.
    async fn has_anything(&self, tenant: &TenantId) -> Result<bool, StoreError> {
        if !self.key_hashes(Some(tenant)).await?.is_empty() {
            return Ok(true);
        }
        Ok(!self.list_page(tenant, "", 1).await?.ids.is_empty())
    }
}

#[async_trait]
impl SchedulerReads for CassandraStore {
    async fn partition(&self, partition: u32) -> Result<Option<PartitionRow>, StoreError> {
        self.partition_row(partition).await
    }

    async fn scheduler(&self, tenant: &str, scheduler: &str) -> Result<Option<SchedulerRow>, StoreError> {
        Ok(self.row(tenant, scheduler).await?.filter(|row| row.state.is_some()))
    }

    async fn is_registered(&self, tenant: &str, scheduler: &str) -> Result<bool, StoreError> {
        self.is_shown(tenant, scheduler).await
    }

    async fn schedulers(
        &self,
        tenant: &TenantId,
        after: Option<&SchedulerId>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        let mut after = after.map_or("", |id| id.as_str()).to_owned();
        let mut rows = Vec::new();
        while rows.len() < limit {
            let wanted = limit - rows.len();
            let Candidates { ids, is_end } = self.list_page(tenant, &after, wanted).await?;
            for ids in ids.chunks(wanted.max(1)) {
                rows.extend(self.shown_rows(tenant, ids).await?);
                if rows.len() >= limit {
                    break;
                }
            }
            let Some(last) = ids.into_iter().next_back().filter(|_| !is_end) else { break };
            after = last;
        }
        rows.truncate(limit);
        Ok(rows)
    }

    async fn history(&self, key: &SchedulerKey, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        Box::pin(self.history_page(key, query)).await
    }

    async fn errors(
        &self,
        tenant: &TenantId,
        after: Option<ErrorCursor>,
        limit: usize,
    ) -> Result<Vec<ErrorRow>, StoreError> {
        Box::pin(self.error_page(tenant, after, limit)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let doing = "listing tenants";
        let names = self.client.rows(doing, &self.client.statements.tenants, (SHELF,)).await?;
        let names: Vec<String> = names.map_ok(|(name,): (String,)| name).try_collect().await?;
        let found =
            side_by_side(names.iter().map(|name| self.look_for(name).boxed()).collect(), TENANTS_AT_A_TIME).await?;
        Ok(found.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_merged_as_far_as_all_were_read() {
        let part = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let merged = merge(vec![part(&["a", "m"]), part(&["b", "c"]), part(&["z"])], 2);
        assert_eq!(merged.ids, ["a", "b", "c"], "the second part may go on with d");
        assert!(!merged.is_end);
        let merged = merge(vec![part(&["a"]), part(&[]), part(&["z"])], 2);
        assert_eq!(merged.ids, ["a", "z"]);
        assert!(merged.is_end);
    }
}
