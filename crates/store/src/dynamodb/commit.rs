//! A commit: history and errors, then its rows, one by one, each on condition that nothing later is there; then the partition's row.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use ronda_domain::id::{SchedulerKey, TenantId};
use ronda_domain::record::Subject;
use ronda_domain::time::Timestamp;
use ronda_schemas::codec::Versioned;
use ronda_schemas::row::{ErrorRow, PartitionRow, SchedulerRow};

use super::db::{Condition, Outcome};
use super::item::{Item, bytes, encode, expiry, item, number, text};
use super::partitions::{check_partition, refusal};
use super::stamp::{Stamp, now};
use super::tables::{EXPIRES, SCHEDULER, TENANT, Table};
use super::{DynamoStore, feed, key, overflow, reads};
use crate::error::StoreError;
use crate::port::{Commit, ErrorCursor, PartitionStore};

/// How long a removed scheduler leaves its stamp, in seconds: longer than any owner of before can stand still and then go on.
const TOMBSTONE_SECONDS: u64 = 30 * 24 * 60 * 60;

/// One item of a commit.
struct Write {
    table: Table,
    item: Item,
    /// Goes into the item, or beside it.
    row: Option<Vec<u8>>,
    /// Where its parts are.
    owner: Vec<u8>,
}

impl Write {
    /// Whether it is a scheduler's row, or what is left of one.
    fn is_row(&self) -> bool {
        self.table == Table::Schedulers
    }
}

/// The writes of a commit, each item once: two writes of one item would have no order.
struct Plan {
    stamp: Stamp,
    keep_seconds: u64,
    writes: HashMap<Vec<u8>, Write>,
}

impl Plan {
    fn of(commit: &Commit, stamp: Stamp, keep_seconds: u64) -> Result<Self, StoreError> {
        let mut plan = Self { stamp, keep_seconds, writes: HashMap::with_capacity(commit.rows.len()) };
        for row in &commit.rows {
            plan.put_row(row)?;
        }
        for removed in &commit.removed {
            plan.remove_row(removed);
        }
        for (scheduler, record) in &commit.occurrences {
            plan.put_history(scheduler, &record.subject, key::entry(&record.subject), record)?;
        }
        for (scheduler, record) in &commit.runs {
            let place = key::run(&record.subject, record.run_id.as_str());
            plan.put_history(scheduler, &record.subject, place, record)?;
        }
        for error in &commit.errors {
            plan.put_error(error)?;
        }
        Ok(plan)
    }

    fn add(&mut self, table: Table, mut item: Item, row: Option<Vec<u8>>, owner: Vec<u8>) {
        item.insert(String::from("stamp"), bytes(self.stamp.to_bytes()));
        self.writes.insert(owner.clone(), Write { table, item, row, owner });
    }

    fn put_row(&mut self, row: &SchedulerRow) -> Result<(), StoreError> {
        let mut item = scheduler_key(&row.key);
        // What is deleted is in no list: only items with these two are in the index.
        if row.state.is_some() {
            item.insert(TENANT.to_owned(), text(row.key.tenant.as_str()));
            item.insert(SCHEDULER.to_owned(), text(row.key.scheduler.as_str()));
        }
        self.add(Table::Schedulers, item, Some(encode(row)?), scheduler_owner(&row.key));
        Ok(())
    }

    fn remove_row(&mut self, removed: &SchedulerKey) {
        let mut item = scheduler_key(removed);
        item.insert(EXPIRES.to_owned(), expiry(now(), TOMBSTONE_SECONDS));
        self.add(Table::Schedulers, item, None, scheduler_owner(removed));
    }

    fn put_history<T: Versioned>(
        &mut self,
        scheduler: &SchedulerKey,
        subject: &Subject,
        place: Vec<u8>,
        record: &T,
    ) -> Result<(), StoreError> {
        let scheduler = key::scheduler(scheduler);
        let owner = overflow::owner(Table::History, &[scheduler.as_bytes(), &place]);
        let item = item([
            ("scheduler", text(scheduler)),
            ("place", bytes(place)),
            (EXPIRES, expiry(subject.time(), self.keep_seconds)),
        ]);
        self.add(Table::History, item, Some(encode(record)?), owner);
        Ok(())
    }

    fn put_error(&mut self, error: &ErrorRow) -> Result<(), StoreError> {
        let feed = feed::of_day(&error.tenant, key::day(error.at));
        let place = key::error(ErrorCursor { at: error.at, message: error.message });
        let owner = overflow::owner(Table::Errors, &[feed.as_bytes(), &place]);
        let expires = expiry(error.at, self.keep_seconds);
        let item = item([("feed", text(feed)), ("place", bytes(place)), (EXPIRES, expires)]);
        self.add(Table::Errors, item, Some(encode(error)?), owner);
        Ok(())
    }
}

pub(super) fn scheduler_key(key: &SchedulerKey) -> Item {
    item([("slot", number(key.slot())), ("key", text(key::scheduler(key)))])
}

pub(super) fn scheduler_owner(key: &SchedulerKey) -> Vec<u8> {
    overflow::owner(Table::Schedulers, &[key::scheduler(key).as_bytes()])
}

impl DynamoStore {
    async fn write_commit(&self, commit: &Commit) -> Result<(), StoreError> {
        let stamp = self.stamps.next(commit.partition.epoch);
        let plan = Plan::of(commit, stamp, self.keep_seconds)?;
        // Before what they lead to, so that nothing is there that can't be found.
        self.note_tenants(&commit.rows).await?;
        self.note_days(&commit.errors).await?;
        // Nobody writes again what follows from a row that is there.
        let (rows, records): (Vec<_>, Vec<_>) = plan.writes.into_values().partition(Write::is_row);
        self.write_all(records, stamp).await?;
        self.write_all(rows, stamp).await?;
        self.move_partition(&commit.partition, stamp).await
    }

    async fn write_all(&self, writes: Vec<Write>, stamp: Stamp) -> Result<(), StoreError> {
        let writes = stream::iter(writes).map(|write| self.write(write, stamp));
        writes.buffer_unordered(self.writes_in_flight).try_collect().await
    }

    async fn write(&self, write: Write, stamp: Stamp) -> Result<(), StoreError> {
        let Write { table, mut item, row, owner } = write;
        let _turn = self.turn().await;
        let is_large = row.as_deref().is_some_and(overflow::is_large);
        if let Some(row) = row {
            self.db.lay(&mut item, row, &owner, stamp).await?;
        }
        let not_later =
            Condition::new("attribute_not_exists(#stamp) OR #stamp <= :stamp", [(":stamp", bytes(stamp.to_bytes()))]);
        match self.db.put(table, &item, Some(&not_later)).await? {
            // Elsewhere they expire.
            Outcome::Done(_) if is_large && table == Table::Schedulers => self.db.tidy(&owner, stamp).await,
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(found) => Err(refusal(&format!("a row of table {}", self.db.name(table)), &found, stamp)),
        }
    }

    /// Sees to it that tenants are in the list of them.
    async fn note_tenants(&self, rows: &[SchedulerRow]) -> Result<(), StoreError> {
        let mut new: Vec<&TenantId> = Vec::new();
        for row in rows.iter().filter(|row| row.state.is_some()) {
            // Rows come by the thousand, and few tenants' at a time.
            let tenant = &row.key.tenant;
            if new.last() != Some(&tenant) && !self.known_tenants.contains(tenant) {
                new.push(tenant);
            }
        }
        new.sort_unstable();
        new.dedup();
        let notes: Vec<_> = new.into_iter().map(|tenant| self.note_tenant(tenant.clone())).collect();
        stream::iter(notes).buffer_unordered(self.writes_in_flight).try_collect::<()>().await
    }

    async fn note_tenant(&self, tenant: TenantId) -> Result<(), StoreError> {
        let item = item([("list", text(reads::TENANTS)), (TENANT, text(tenant.as_str()))]);
        self.db.put(Table::Tenants, &item, None).await?;
        self.known_tenants.add(tenant);
        Ok(())
    }

    /// Sees to it that the days of errors are in their tenants' lists of them.
    async fn note_days(&self, errors: &[ErrorRow]) -> Result<(), StoreError> {
        let days: HashSet<_> = errors.iter().map(|error| (error.tenant.clone(), key::day(error.at))).collect();
        let new = days.into_iter().filter(|day| !self.known_days.contains(day));
        let notes: Vec<_> = new.map(|day| self.note_day(day)).collect();
        stream::iter(notes).buffer_unordered(self.writes_in_flight).try_collect::<()>().await
    }

    async fn note_day(&self, day: (TenantId, Timestamp)) -> Result<(), StoreError> {
        let (tenant, start) = &day;
        let item = item([
            ("feed", text(tenant.as_str())),
            ("place", bytes(key::newest_first(*start))),
            (EXPIRES, expiry(key::day_end(*start), self.keep_seconds)),
        ]);
        self.db.put(Table::Errors, &item, None).await?;
        self.known_days.add(day);
        Ok(())
    }
}

#[async_trait]
impl PartitionStore for DynamoStore {
    async fn acquire(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError> {
        check_partition(partition, partitions)?;
        self.acquire_partition(partition, partitions).await
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
        self.write_commit(&commit).await
    }

    async fn check_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError> {
        self.read_owner(partition, epoch).await
    }

    async fn repartition(&self, partitions: u32) -> Result<(), StoreError> {
        self.change_partitions(partitions).await
    }
}
