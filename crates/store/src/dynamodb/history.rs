//! A page of a history, whatever an entry holds: it may have thousands of runs.

use ronda_domain::id::SchedulerKey;
use ronda_domain::record::{OccurrenceRecord, RunRecord};
use ronda_schemas::codec::Versioned;

use super::db::{Condition, Query};
use super::item::{Item, bytes, damaged, get_bytes, item, text};
use super::tables::Table;
use super::{DynamoStore, key, overflow};
use crate::error::StoreError;
use crate::port::{HistoryEntry, HistoryPage, HistoryQuery};

/// Items of one read: enough for a page of most histories, and few where only the newest are asked for.
const READ: std::ops::RangeInclusive<usize> = 32..=1_000;

impl DynamoStore {
    pub(super) async fn history_page(
        &self,
        scheduler: &SchedulerKey,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, StoreError> {
        let scheduler = key::scheduler(scheduler);
        let end = key::before(query.from.max(self.kept_from()));
        let mut from = key::before(query.until).to_vec();
        if let Some(after) = &query.after {
            from = from.max(key::behind(&key::entry(after)));
        }
        let mut walk = Walk { query, entries: Vec::new(), current: Vec::new(), rows: 0 };
        'read: while from.as_slice() < end.as_slice() {
            let (items, more) = self.read_history(&scheduler, &from, &end, walk.wants()).await?;
            for item in &items {
                let place = get_bytes(item, "place").ok_or_else(|| damaged("a history"))?;
                match walk.step(place)? {
                    Go::Entry => match self.history_row(item, &scheduler, place).await? {
                        Some(occurrence) => walk.enter(place, occurrence),
                        None => {
                            from = key::behind(place);
                            continue 'read;
                        }
                    },
                    Go::Run => walk.add(self.history_row(item, &scheduler, place).await?),
                    Go::BehindEntry => {
                        from = key::behind(key::entry_of(place).ok_or_else(|| damaged("a history"))?);
                        continue 'read;
                    }
                    Go::PageIsFull => return Ok(walk.page(true)),
                }
            }
            let Some(last) = items.last().and_then(|item| get_bytes(item, "place")).filter(|_| more) else { break };
            from = key::successor(last);
        }
        Ok(walk.page(false))
    }

    /// Some items from a place on, at least one if there is any; and whether there may be more.
    async fn read_history(
        &self,
        scheduler: &str,
        from: &[u8],
        end: &[u8],
        wanted: usize,
    ) -> Result<(Vec<Item>, bool), StoreError> {
        let mut start = None;
        loop {
            let values = [(":scheduler", text(scheduler)), (":from", bytes(from)), (":end", bytes(end))];
            // No item has the end itself as its place: a kind stands behind each time.
            let condition = Condition::new("#scheduler = :scheduler AND #place BETWEEN :from AND :end", values);
            let query = Query { table: Table::History, index: None, condition, limit: wanted, start };
            let page = self.db.query(query).await?;
            if !page.items.is_empty() || page.next.is_none() {
                return Ok((page.items, page.next.is_some()));
            }
            start = page.next;
        }
    }

    /// The record of an item. `None`: it has just expired.
    async fn history_row<T: Versioned>(
        &self,
        from: &Item,
        scheduler: &str,
        place: &[u8],
    ) -> Result<Option<T>, StoreError> {
        const ATTEMPTS: usize = 3;
        let owner = overflow::owner(Table::History, &[scheduler.as_bytes(), place]);
        if let Some(row) = self.db.row(from, &owner).await? {
            return Ok(Some(row));
        }
        for _ in 0..ATTEMPTS {
            let key = item([("scheduler", text(scheduler)), ("place", bytes(place))]);
            let Some(item) = self.db.get(Table::History, key).await? else { return Ok(None) };
            if let Some(row) = self.db.row(&item, &owner).await? {
                return Ok(Some(row));
            }
        }
        Err(damaged(T::WHAT))
    }
}

/// What an item is to the page.
enum Go {
    Entry,
    Run,
    BehindEntry,
    PageIsFull,
}

struct Walk<'q> {
    query: &'q HistoryQuery,
    entries: Vec<HistoryEntry>,
    /// The place of the last of them.
    current: Vec<u8>,
    /// How many entries and runs were looked at.
    rows: usize,
}

impl Walk<'_> {
    /// How many items to read next.
    fn wants(&self) -> usize {
        let rows = self.query.max_rows.saturating_sub(self.rows).saturating_add(1);
        let entries = self.query.limit.saturating_sub(self.entries.len()).saturating_add(1).saturating_mul(2);
        rows.min(entries.max(*READ.start())).clamp(1, *READ.end())
    }

    fn step(&mut self, place: &[u8]) -> Result<Go, StoreError> {
        let entry = key::entry_of(place).ok_or_else(|| damaged("a history"))?;
        let is_spent = self.rows >= self.query.max_rows;
        if entry.len() == place.len() {
            let is_full = self.entries.len() >= self.query.limit || (is_spent && !self.entries.is_empty());
            return Ok(if is_full { Go::PageIsFull } else { Go::Entry });
        }
        let alone = self.entries.len() == 1;
        match self.entries.last_mut() {
            Some(last) if *entry == *self.current => {
                if !is_spent {
                    return Ok(Go::Run);
                }
                if alone {
                    last.runs_total = last.runs_total.max(u64::from(last.occurrence.runs));
                    return Ok(Go::BehindEntry);
                }
                // The next page has room for more of it.
                self.entries.pop();
                Ok(Go::PageIsFull)
            }
            // The run's entry has just expired.
            _ => Ok(Go::BehindEntry),
        }
    }

    fn enter(&mut self, place: &[u8], occurrence: OccurrenceRecord) {
        self.rows += 1;
        self.entries.push(HistoryEntry { occurrence, runs: Vec::new(), runs_total: 0 });
        self.current = place.to_vec();
    }

    fn add(&mut self, run: Option<RunRecord>) {
        self.rows += 1;
        let (Some(last), Some(run)) = (self.entries.last_mut(), run) else { return };
        last.runs_total += 1;
        last.runs.push(run);
        // Seldom enough that sorting costs little, often enough that few are held.
        if last.runs.len() > 2 * self.query.runs_each {
            keep_newest(&mut last.runs, self.query.runs_each);
        }
    }

    fn page(mut self, more: bool) -> HistoryPage {
        for entry in &mut self.entries {
            keep_newest(&mut entry.runs, self.query.runs_each);
        }
        let last = self.entries.last().map(|entry| entry.occurrence.subject.clone());
        HistoryPage { next: last.filter(|_| more), entries: self.entries }
    }
}

/// Sorts runs, the oldest first, and leaves no more than so many of the newest.
fn keep_newest(runs: &mut Vec<RunRecord>, most: usize) {
    runs.sort_by(|left, right| (left.started_at, &left.run_id).cmp(&(right.started_at, &right.run_id)));
    runs.drain(..runs.len().saturating_sub(most));
}
