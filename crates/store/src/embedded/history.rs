//! A page of a history, whatever an entry holds: it may have thousands of runs.

use std::ops::Bound;

use fjall::Slice;
use ronda_domain::id::SchedulerKey;
use ronda_domain::record::{OccurrenceRecord, RunRecord};

use super::key;
use super::reads::{View, damaged};
use super::tables::{Table, Tables, decode};
use crate::error::StoreError;
use crate::port::{HistoryEntry, HistoryPage, HistoryQuery};

/// Reads a page.
pub(super) fn page(tables: &Tables, scheduler: &SchedulerKey, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
    let view = View::new(tables);
    let owner = key::history(scheduler);
    let end = key::history_before(&owner, query.from);
    let mut from = key::history_before(&owner, query.until);
    if let Some(after) = &query.after {
        from = from.max(behind(&key::entry(scheduler, after)));
    }
    let mut walk = Walk { query, entries: Vec::new(), current: Vec::new(), rows: 0 };
    'leap: while from < end {
        for found in view.range(Table::History, Bound::Included(&from), Bound::Excluded(&end)) {
            let (place, bytes) = found?;
            match walk.step(&place, &bytes)? {
                Go::On => {}
                Go::BehindEntry => {
                    from = behind(key::entry_of(&place).ok_or_else(|| damaged("history"))?);
                    continue 'leap;
                }
                Go::PageIsFull => return Ok(walk.page(true)),
            }
        }
        break;
    }
    Ok(walk.page(false))
}

/// The least key after an entry and all of its runs.
fn behind(entry: &[u8]) -> Vec<u8> {
    key::after_prefix(entry).unwrap_or_default()
}

/// How to go on.
enum Go {
    On,
    BehindEntry,
    PageIsFull,
}

struct Walk<'q> {
    query: &'q HistoryQuery,
    entries: Vec<HistoryEntry>,
    /// The key of the last of them.
    current: Vec<u8>,
    /// How many entries and runs were looked at.
    rows: usize,
}

impl Walk<'_> {
    fn step(&mut self, place: &Slice, bytes: &[u8]) -> Result<Go, StoreError> {
        let entry = key::entry_of(place).ok_or_else(|| damaged("history"))?;
        if entry.len() == place.len() {
            return self.enter(entry, bytes);
        }
        let alone = self.entries.len() == 1;
        match self.entries.last_mut() {
            Some(last) if *entry == *self.current => {
                if self.rows >= self.query.max_rows {
                    if alone {
                        last.runs_total = last.runs_total.max(u64::from(last.occurrence.runs));
                        return Ok(Go::BehindEntry);
                    }
                    // The next page has room for more of it.
                    self.entries.pop();
                    return Ok(Go::PageIsFull);
                }
                self.rows += 1;
                last.runs_total += 1;
                last.runs.push(decode(bytes)?);
                // Seldom enough that sorting costs little, often enough that few are held.
                if last.runs.len() > 2 * self.query.runs_each {
                    keep_newest(&mut last.runs, self.query.runs_each);
                }
                Ok(Go::On)
            }
            // Retention has just taken the run's entry.
            _ => Ok(Go::BehindEntry),
        }
    }

    fn enter(&mut self, entry: &[u8], bytes: &[u8]) -> Result<Go, StoreError> {
        let is_spent = !self.entries.is_empty() && self.rows >= self.query.max_rows;
        if is_spent || self.entries.len() >= self.query.limit {
            return Ok(Go::PageIsFull);
        }
        self.rows += 1;
        let occurrence = decode::<OccurrenceRecord>(bytes)?;
        self.entries.push(HistoryEntry { occurrence, runs: Vec::new(), runs_total: 0 });
        self.current = entry.to_vec();
        Ok(Go::On)
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
