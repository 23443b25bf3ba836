//! The parts of the port that read.

use std::collections::BTreeSet;
use std::ops::Bound;

use async_trait::async_trait;
use fjall::{Readable as _, Slice, Snapshot};
use ronda_domain::id::{SLOTS, SchedulerId, SchedulerKey, TenantId, check_id};
use ronda_schemas::row::{ApiKeyRow, ErrorRow, PartitionRow, SchedulerRow};

use super::fault::RESTORE;
use super::tables::{Table, Tables, decode};
use super::{EmbeddedStore, history, key};
use crate::error::{StoreError, StoreErrorKind};
use crate::port::{ErrorCursor, HistoryPage, HistoryQuery, SchedulerReads};

/// Room for so many rows at most is made before they are read: a list that grows leaves a trail of outgrown memory.
const MOST_RESERVED_ROWS: usize = 1_024;

/// One moment of the tables, however long the reading takes.
pub(super) struct View<'a> {
    tables: &'a Tables,
    snapshot: Snapshot,
}

impl<'a> View<'a> {
    pub(super) fn new(tables: &'a Tables) -> Self {
        Self { tables, snapshot: tables.db.snapshot() }
    }

    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Slice>, StoreError> {
        self.snapshot.get(self.tables.keyspace(table), key).map_err(|error| self.tables.failed(table, error))
    }

    /// A table's entries between two keys, in order.
    pub(super) fn range<'s>(
        &'s self,
        table: Table,
        from: Bound<&[u8]>,
        until: Bound<&[u8]>,
    ) -> impl Iterator<Item = Result<(Slice, Slice), StoreError>> + use<'s, 'a> {
        let entries = self.snapshot.range::<&[u8], _>(self.tables.keyspace(table), (from, until));
        entries.map(move |entry| entry.into_inner().map_err(|error| self.tables.failed(table, error)))
    }

    /// A table's entries whose key begins so and comes after another.
    pub(super) fn prefix_after<'s>(
        &'s self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
    ) -> impl Iterator<Item = Result<(Slice, Slice), StoreError>> + use<'s, 'a> {
        let end = key::after_prefix(prefix);
        let until = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let from = match after {
            // A place before the prefix is no place within it.
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let is_past_end = end.as_deref().is_some_and(|end| after.is_some_and(|after| after >= end));
        (!is_past_end).then(|| self.range(table, from, until)).into_iter().flatten()
    }
}

/// A partition's rows: those of the slots that are the partition modulo the number of partitions.
pub(super) fn load(
    tables: &Tables,
    partition: u32,
    partitions: u32,
    after: Option<&SchedulerKey>,
    limit: usize,
) -> Result<Vec<SchedulerRow>, StoreError> {
    let view = View::new(tables);
    let after_key = after.map(|after| key::row(after.tenant.as_str(), after.scheduler.as_str()));
    let first_slot = after.map_or(0, SchedulerKey::slot);
    let slots = (0..SLOTS).filter(|slot| slot % partitions == partition && *slot >= first_slot);
    let mut rows = Vec::with_capacity(limit.min(MOST_RESERVED_ROWS));
    for slot in slots {
        let start = key::slot_start(slot);
        let from = match &after_key {
            Some(after_key) if slot == first_slot => Bound::Excluded(after_key.as_slice()),
            _ => Bound::Included(start.as_slice()),
        };
        let end = key::slot_start(slot + 1);
        for entry in view.range(Table::Rows, from, Bound::Excluded(&end)) {
            if rows.len() >= limit {
                return Ok(rows);
            }
            rows.push(decode(&entry?.1)?);
        }
    }
    Ok(rows)
}

fn list(
    tables: &Tables,
    tenant: &TenantId,
    after: Option<&SchedulerId>,
    limit: usize,
) -> Result<Vec<SchedulerRow>, StoreError> {
    let view = View::new(tables);
    let after = after.map(|id| key::index(&SchedulerKey { tenant: tenant.clone(), scheduler: id.clone() }));
    let mut rows = Vec::new();
    for entry in view.prefix_after(Table::Index, &key::tenant(tenant), after.as_deref()).take(limit) {
        let found = key::read_index(&entry?.0).ok_or_else(|| damaged("index"))?;
        let place = key::row(found.tenant.as_str(), found.scheduler.as_str());
        // Index and rows change in the same commit, and this is one moment of both.
        let row = view.get(Table::Rows, &place)?.ok_or_else(|| damaged("index"))?;
        rows.push(decode(&row)?);
    }
    Ok(rows)
}

pub(super) fn damaged(table: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unreadable, format!("an entry of table {table} is damaged; {RESTORE}"))
}

fn errors(
    tables: &Tables,
    tenant: &TenantId,
    after: Option<ErrorCursor>,
    limit: usize,
) -> Result<Vec<ErrorRow>, StoreError> {
    let view = View::new(tables);
    let after = after.map(|cursor| key::error(tenant, cursor));
    let entries = view.prefix_after(Table::Errors, &key::tenant(tenant), after.as_deref());
    entries.take(limit).map(|entry| decode(&entry?.1)).collect()
}

fn tenants(tables: &Tables) -> Result<Vec<TenantId>, StoreError> {
    let view = View::new(tables);
    let mut found: BTreeSet<TenantId> = keys(tables, None)?.into_iter().map(|row| row.tenant).collect();
    // From tenant to tenant rather than from scheduler to scheduler.
    let mut from = Vec::new();
    loop {
        let next = view.range(Table::Index, Bound::Included(&from), Bound::Unbounded).next();
        let Some(entry) = next else { break };
        let (place, _) = entry?;
        let scheduler = key::read_index(&place).ok_or_else(|| damaged("index"))?;
        let Some(end) = key::after_prefix(&key::tenant(&scheduler.tenant)) else { break };
        found.insert(scheduler.tenant);
        from = end;
    }
    Ok(found.into_iter().collect())
}

pub(super) fn keys(tables: &Tables, tenant: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError> {
    let view = View::new(tables);
    let mut rows = Vec::new();
    for entry in view.range(Table::Keys, Bound::Unbounded, Bound::Unbounded) {
        let row: ApiKeyRow = decode(&entry?.1)?;
        if tenant.is_none_or(|tenant| row.tenant == *tenant) {
            rows.push(row);
        }
    }
    rows.sort_by(|left, right| (left.created_at, &left.id).cmp(&(right.created_at, &right.id)));
    Ok(rows)
}

pub(super) fn surfaces(
    tables: &Tables,
    shard: u32,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let view = View::new(tables);
    let after = after.map(|after| key::surface(shard, after));
    let entries = view.prefix_after(Table::Surfaces, &key::surface(shard, prefix), after.as_deref());
    let read = |entry: Result<(Slice, Slice), StoreError>| {
        let (place, row) = entry?;
        let text =
            place.get(4..).and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or_else(|| damaged("surfaces"))?;
        Ok((text.to_owned(), row.to_vec()))
    };
    entries.take(limit).map(read).collect()
}

#[async_trait]
impl SchedulerReads for EmbeddedStore {
    async fn partition(&self, partition: u32) -> Result<Option<PartitionRow>, StoreError> {
        let found = self.engine.tables()?.get(Table::Partitions, &key::partition(partition))?;
        found.map(|bytes| decode(&bytes)).transpose()
    }

    async fn scheduler(&self, tenant: &str, scheduler: &str) -> Result<Option<SchedulerRow>, StoreError> {
        if check_id(tenant).is_err() || check_id(scheduler).is_err() {
            return Ok(None);
        }
        let found = self.engine.tables()?.get(Table::Rows, &key::row(tenant, scheduler))?;
        let row: Option<SchedulerRow> = found.map(|bytes| decode(&bytes)).transpose()?;
        Ok(row.filter(|row| row.state.is_some()))
    }

    async fn is_registered(&self, tenant: &str, scheduler: &str) -> Result<bool, StoreError> {
        let (Ok(tenant), Ok(scheduler)) = (TenantId::new(tenant), SchedulerId::new(scheduler)) else {
            return Ok(false);
        };
        self.engine.tables()?.contains(Table::Index, &key::index(&SchedulerKey { tenant, scheduler }))
    }

    async fn schedulers(
        &self,
        tenant: &TenantId,
        after: Option<&SchedulerId>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        let (tenant, after) = (tenant.clone(), after.cloned());
        self.scan(move |tables| list(tables, &tenant, after.as_ref(), limit)).await
    }

    async fn history(&self, scheduler: &SchedulerKey, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        let (scheduler, query) = (scheduler.clone(), query.clone());
        self.scan(move |tables| history::page(tables, &scheduler, &query)).await
    }

    async fn errors(
        &self,
        tenant: &TenantId,
        after: Option<ErrorCursor>,
        limit: usize,
    ) -> Result<Vec<ErrorRow>, StoreError> {
        let tenant = tenant.clone();
        self.scan(move |tables| errors(tables, &tenant, after, limit)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        self.scan(tenants).await
    }
}
