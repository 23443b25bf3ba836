//! Reads of scheduler rows and tenants.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use ronda_domain::id::{SLOTS, SchedulerId, SchedulerKey, TenantId};
use ronda_schemas::row::{ErrorRow, PartitionRow, SchedulerRow};

use super::commit::{scheduler_key, scheduler_owner};
use super::db::{Condition, Query};
use super::item::{Item, damaged, get_text, number, text};
use super::overflow::has_row;
use super::tables::{BY_TENANT, SCHEDULER, TENANT, Table};
use super::{DynamoStore, key};
use crate::error::StoreError;
use crate::port::{ErrorCursor, HistoryPage, HistoryQuery, SchedulerReads};

/// The one storage partition of the list of tenants.
pub(super) const TENANTS: &str = "tenants";
/// Slots that are read at one time while nothing is known of how full they are, and at most.
const FIRST_WAVE: usize = 8;
const MOST_WAVE: usize = 32;
/// Reads of tenants at one time.
const AT_ONCE: usize = 16;
/// Most entries of the index that are read at one time, each with a row to follow.
const MOST_LISTED: usize = 1_000;

impl DynamoStore {
    /// Slot by slot, in each by key. Slots are read several at a time: as many as fill the page, by what those before held.
    pub(super) async fn load_rows(
        &self,
        partition: u32,
        partitions: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        let first = after.map_or(0, SchedulerKey::slot);
        let mut slots = (0..SLOTS).filter(|slot| slot % partitions == partition && *slot >= first).peekable();
        let (mut rows, mut read) = (Vec::new(), 0);
        while rows.len() < limit && slots.peek().is_some() {
            let wanted = limit - rows.len();
            let wave = if read == 0 { FIRST_WAVE } else { wanted.saturating_mul(read).div_ceil(rows.len().max(1)) };
            let wave: Vec<u32> = slots.by_ref().take(wave.clamp(1, MOST_WAVE)).collect();
            read += wave.len();
            let reads = wave.into_iter().map(|slot| {
                let after = after.filter(|_| slot == first);
                self.load_slot(slot, after, wanted)
            });
            let reads: Vec<_> = reads.collect();
            let found: Vec<Vec<SchedulerRow>> = stream::iter(reads).buffered(MOST_WAVE).try_collect().await?;
            rows.extend(found.into_iter().flatten());
        }
        rows.truncate(limit);
        Ok(rows)
    }

    /// A slot's rows after a key, at least as many as are wanted if there are.
    async fn load_slot(
        &self,
        slot: u32,
        after: Option<&SchedulerKey>,
        wanted: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        let (mut rows, mut start) = (Vec::new(), after.map(scheduler_key));
        let _turn = self.turn().await;
        loop {
            let condition = Condition::new("#slot = :slot", [(":slot", number(slot))]);
            let limit = wanted - rows.len();
            let page = self.db.query(Query { table: Table::Schedulers, index: None, condition, limit, start }).await?;
            for item in page.items.iter().filter(|item| has_row(item)) {
                let key = read_key(item)?;
                rows.extend(self.scheduler_row(item, &key).await?);
            }
            start = page.next;
            if start.is_none() || rows.len() >= wanted {
                return Ok(rows);
            }
        }
    }

    /// The row of an item. `None`: it is not there any more.
    async fn scheduler_row(&self, item: &Item, key: &SchedulerKey) -> Result<Option<SchedulerRow>, StoreError> {
        const ATTEMPTS: usize = 3;
        let owner = scheduler_owner(key);
        if let Some(row) = self.db.row(item, &owner).await? {
            return Ok(Some(row));
        }
        for _ in 0..ATTEMPTS {
            let found = self.db.get(Table::Schedulers, scheduler_key(key)).await?;
            let Some(item) = found.filter(has_row) else { return Ok(None) };
            if let Some(row) = self.db.row(&item, &owner).await? {
                return Ok(Some(row));
            }
        }
        Err(damaged("a scheduler's row"))
    }

    async fn find_scheduler(&self, key: &SchedulerKey) -> Result<Option<SchedulerRow>, StoreError> {
        let found = self.db.get(Table::Schedulers, scheduler_key(key)).await?;
        // What is deleted is in no index, and not found.
        let Some(item) = found.filter(|item| item.contains_key(TENANT)) else { return Ok(None) };
        self.scheduler_row(&item, key).await
    }

    /// Ids out of the index, and where to go on.
    async fn list_ids(
        &self,
        tenant: &TenantId,
        after: Option<&SchedulerId>,
        limit: usize,
    ) -> Result<(Vec<SchedulerId>, bool), StoreError> {
        let hash = (":tenant", text(tenant.as_str()));
        let condition = match after {
            None => Condition::new("#tenant = :tenant", [hash]),
            Some(after) => {
                Condition::new("#tenant = :tenant AND #scheduler > :after", [hash, (":after", text(after.as_str()))])
            }
        };
        let limit = limit.min(MOST_LISTED);
        let query = Query { table: Table::Schedulers, index: Some(BY_TENANT), condition, limit, start: None };
        let page = self.db.query(query).await?;
        let id = |item: &Item| {
            let id = get_text(item, SCHEDULER).and_then(|id| SchedulerId::new(id).ok());
            id.ok_or_else(|| damaged("the index of schedulers"))
        };
        Ok((page.items.iter().map(id).collect::<Result<_, _>>()?, page.next.is_some()))
    }

    async fn rows_of(&self, tenant: &TenantId, ids: &[SchedulerId]) -> Result<Vec<SchedulerRow>, StoreError> {
        let key = |id: &SchedulerId| SchedulerKey { tenant: tenant.clone(), scheduler: id.clone() };
        let items = self.db.get_many(Table::Schedulers, ids.iter().map(|id| scheduler_key(&key(id))).collect()).await?;
        let mut by_key: HashMap<String, Item> =
            items.into_iter().filter_map(|item| Some((get_text(&item, "key")?.to_owned(), item))).collect();
        let mut rows = Vec::with_capacity(ids.len());
        for key in ids.iter().map(key) {
            // The index lags behind: what is deleted may still be in it.
            let found = by_key.remove(&key::scheduler(&key)).filter(|item| item.contains_key(TENANT));
            if let Some(item) = found {
                rows.extend(self.scheduler_row(&item, &key).await?);
            }
        }
        Ok(rows)
    }

    async fn if_has_schedulers(&self, tenant: TenantId) -> Result<Option<TenantId>, StoreError> {
        let (ids, _) = self.list_ids(&tenant, None, 1).await?;
        Ok((!ids.is_empty()).then_some(tenant))
    }
}

fn read_key(item: &Item) -> Result<SchedulerKey, StoreError> {
    let key = get_text(item, "key").and_then(|key| key.split_once('/')).and_then(|(tenant, scheduler)| {
        Some(SchedulerKey { tenant: TenantId::new(tenant).ok()?, scheduler: SchedulerId::new(scheduler).ok()? })
    });
    key.ok_or_else(|| damaged("a scheduler's key"))
}

#[async_trait]
impl SchedulerReads for DynamoStore {
    async fn partition(&self, partition: u32) -> Result<Option<PartitionRow>, StoreError> {
        self.find_partition(partition).await
    }

    async fn scheduler(&self, tenant: &str, scheduler: &str) -> Result<Option<SchedulerRow>, StoreError> {
        let (Ok(tenant), Ok(scheduler)) = (TenantId::new(tenant), SchedulerId::new(scheduler)) else {
            return Ok(None);
        };
        self.find_scheduler(&SchedulerKey { tenant, scheduler }).await
    }

    async fn is_registered(&self, tenant: &str, scheduler: &str) -> Result<bool, StoreError> {
        let (Ok(tenant), Ok(scheduler)) = (TenantId::new(tenant), SchedulerId::new(scheduler)) else {
            return Ok(false);
        };
        let found = self.db.get(Table::Schedulers, scheduler_key(&SchedulerKey { tenant, scheduler })).await?;
        Ok(found.is_some_and(|item| item.contains_key(TENANT)))
    }

    async fn schedulers(
        &self,
        tenant: &TenantId,
        after: Option<&SchedulerId>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        let (mut rows, mut after) = (Vec::new(), after.cloned());
        while rows.len() < limit {
            let (ids, more) = self.list_ids(tenant, after.as_ref(), limit - rows.len()).await?;
            rows.extend(self.rows_of(tenant, &ids).await?);
            if ids.is_empty() || !more {
                break;
            }
            after = ids.into_iter().next_back();
        }
        Ok(rows)
    }

    async fn history(&self, key: &SchedulerKey, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        self.history_page(key, query).await
    }

    async fn errors(
        &self,
        tenant: &TenantId,
        after: Option<ErrorCursor>,
        limit: usize,
    ) -> Result<Vec<ErrorRow>, StoreError> {
        self.error_feed(tenant, after, limit).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        use crate::port::KeyStore;
        let mut found: BTreeSet<TenantId> = self.keys(None).await?.into_iter().map(|key| key.tenant).collect();
        let condition = Condition::new("#list = :list", [(":list", text(TENANTS))]);
        let listed = self.db.query_all(Table::Tenants, condition).await?;
        let tenant = |item: &Item| get_text(item, TENANT).and_then(|tenant| TenantId::new(tenant).ok());
        // Those who had schedulers once are in the list as well.
        let asked = listed.iter().filter_map(tenant).filter(|tenant| !found.contains(tenant)).collect::<Vec<_>>();
        let asked: Vec<_> = asked.into_iter().map(|tenant| self.if_has_schedulers(tenant)).collect();
        let answers: Vec<Option<TenantId>> = stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await?;
        found.extend(answers.into_iter().flatten());
        Ok(found.into_iter().collect())
    }
}
