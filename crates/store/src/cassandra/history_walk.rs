//! A page of a history, whatever an entry holds: it may have thousands of runs.

use ronda_domain::record::{OccurrenceRecord, RunRecord};

use super::decode;
use crate::error::StoreError;
use crate::port::{HistoryEntry, HistoryPage, HistoryQuery};

/// Where an entry is in its scheduler's history. Its runs are at the same place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The complement of its time in milliseconds: the newest come first.
    pub(super) age: i64,
    pub(super) kind: i8,
    pub(super) subject_run: String,
}

/// How to go on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Go {
    /// With the next row.
    On,
    /// After all rows of the entry: [`Walk::after`].
    BehindEntry,
    /// Not at all.
    PageIsFull,
}

/// A walk through rows in the order in which they are stored: an entry, then its runs by their ids, of each the greatest epoch's first.
pub(super) struct Walk<'q> {
    query: &'q HistoryQuery,
    /// Where to go on.
    pub(super) after: Place,
    entries: Vec<HistoryEntry>,
    /// The place of the last of them.
    current: Option<Place>,
    /// The run that was looked at last; empty: the entry itself.
    current_run: String,
    /// How many entries and runs were looked at.
    rows: usize,
}

impl<'q> Walk<'q> {
    pub(super) fn new(query: &'q HistoryQuery, after: Place) -> Self {
        Self { query, after, entries: Vec::new(), current: None, current_run: String::new(), rows: 0 }
    }

    pub(super) fn step(&mut self, place: Place, run: &str, row: &[u8]) -> Result<Go, StoreError> {
        let is_current = self.current.as_ref() == Some(&place);
        if is_current && self.current_run == run {
            // An earlier owner's.
            return Ok(Go::On);
        }
        match (is_current, run.is_empty()) {
            (_, true) => self.enter(place, row),
            (true, false) => self.add_run(place, run, row),
            // Its entry has just expired, or is not there yet.
            (false, false) => {
                self.after = place;
                Ok(Go::BehindEntry)
            }
        }
    }

    fn enter(&mut self, place: Place, row: &[u8]) -> Result<Go, StoreError> {
        let is_spent = !self.entries.is_empty() && self.rows >= self.query.max_rows;
        if is_spent || self.entries.len() >= self.query.limit {
            return Ok(Go::PageIsFull);
        }
        self.rows += 1;
        let occurrence = decode::<OccurrenceRecord>(row)?;
        self.entries.push(HistoryEntry { occurrence, runs: Vec::new(), runs_total: 0 });
        self.current = Some(place);
        self.current_run.clear();
        Ok(Go::On)
    }

    fn add_run(&mut self, place: Place, run: &str, row: &[u8]) -> Result<Go, StoreError> {
        let is_alone = self.entries.len() == 1;
        let Some(last) = self.entries.last_mut() else { return Ok(Go::On) };
        if self.rows >= self.query.max_rows {
            if is_alone {
                last.runs_total = last.runs_total.max(u64::from(last.occurrence.runs));
                self.after = place;
                return Ok(Go::BehindEntry);
            }
            // The next page has room for more of it.
            self.entries.pop();
            return Ok(Go::PageIsFull);
        }
        self.rows += 1;
        self.current_run = run.to_owned();
        last.runs_total += 1;
        last.runs.push(decode(row)?);
        // Seldom enough that sorting costs little, often enough that few are held.
        if last.runs.len() > 2 * self.query.runs_each {
            keep_newest(&mut last.runs, self.query.runs_each);
        }
        Ok(Go::On)
    }

    pub(super) fn page(mut self, more: bool) -> HistoryPage {
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
