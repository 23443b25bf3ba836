//! Error feeds. Each day of a tenant is a storage partition of its own, so that none grows without bound; which days there are is a list
//! under the tenant.

use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use ronda_schemas::row::ErrorRow;

use super::db::{Condition, Query};
use super::item::{Item, bytes, damaged, get_bytes, text};
use super::tables::Table;
use super::{DynamoStore, key, overflow};
use crate::error::StoreError;
use crate::port::ErrorCursor;

/// Most entries of one read.
const MOST_READ: usize = 1_000;
/// Days of one read.
const DAYS: usize = 100;

/// The storage partition of a day.
pub(super) fn of_day(tenant: &TenantId, day: Timestamp) -> String {
    format!("{tenant}/{}", day.as_millis())
}

impl DynamoStore {
    pub(super) async fn error_feed(
        &self,
        tenant: &TenantId,
        after: Option<ErrorCursor>,
        limit: usize,
    ) -> Result<Vec<ErrorRow>, StoreError> {
        let end = key::before(self.kept_from());
        let first_day = after.map_or(key::newest_first(Timestamp::MAX), |after| key::newest_first(key::day(after.at)));
        let from = after.map_or_else(Vec::new, |after| key::successor(&key::error(after)));
        let last_day = key::newest_first(key::day(self.kept_from()));
        let (mut rows, mut start) = (Vec::new(), None);
        if first_day > last_day {
            return Ok(rows);
        }
        loop {
            let values = [(":feed", text(tenant.as_str())), (":first", bytes(first_day)), (":last", bytes(last_day))];
            let condition = Condition::new("#feed = :feed AND #place BETWEEN :first AND :last", values);
            let query = Query { table: Table::Errors, index: None, condition, limit: DAYS, start };
            let days = self.db.query(query).await?;
            for day in &days.items {
                if rows.len() >= limit {
                    return Ok(rows);
                }
                let wanted = limit - rows.len();
                rows.extend(self.errors_of_day(&of_day(tenant, read_day(day)?), &from, &end, wanted).await?);
            }
            start = days.next;
            if start.is_none() {
                return Ok(rows);
            }
        }
    }

    async fn errors_of_day(
        &self,
        feed: &str,
        from: &[u8],
        end: &[u8],
        wanted: usize,
    ) -> Result<Vec<ErrorRow>, StoreError> {
        let (mut rows, mut start) = (Vec::new(), None);
        if from >= end {
            return Ok(rows);
        }
        // No key is empty.
        let from = if from.is_empty() { &[0][..] } else { from };
        while rows.len() < wanted {
            let values = [(":feed", text(feed)), (":from", bytes(from)), (":end", bytes(end))];
            let condition = Condition::new("#feed = :feed AND #place BETWEEN :from AND :end", values);
            let limit = (wanted - rows.len()).min(MOST_READ);
            let page = self.db.query(Query { table: Table::Errors, index: None, condition, limit, start }).await?;
            for item in &page.items {
                let place = get_bytes(item, "place").ok_or_else(|| damaged("an error feed"))?;
                let owner = overflow::owner(Table::Errors, &[feed.as_bytes(), place]);
                rows.extend(self.db.row(item, &owner).await?);
            }
            start = page.next;
            if start.is_none() {
                break;
            }
        }
        Ok(rows)
    }
}

fn read_day(item: &Item) -> Result<Timestamp, StoreError> {
    let place = get_bytes(item, "place").and_then(|place| place.try_into().ok());
    place.map(key::read_newest_first).ok_or_else(|| damaged("an error feed"))
}
