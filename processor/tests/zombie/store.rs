//! A store that is atomic over single rows only, as DynamoDB and Cassandra are.

use std::collections::BTreeMap;
use std::fmt::Debug;

use ronda_domain::id::{MessageId, SchedulerKey};
use ronda_domain::record::{OccurrenceRecord, RunRecord, Subject};
use ronda_domain::time::Timestamp;
use ronda_schemas::row::{ErrorRow, PartitionRow, SchedulerRow};
use ronda_store::port::Commit;

use super::Slip;

/// What a row is ordered by: its owner's epoch, then the number of the owner's attempt.
pub type Stamp = (u64, u64);

/// Somebody else has acquired the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fenced;

/// How a write is met that comes after a later owner's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is refused (DynamoDB).
    Refuses,
    /// It is lost, and nobody is told (Cassandra).
    Loses,
}

/// One write of a commit.
#[derive(Clone, Debug)]
pub enum Write {
    Row(Box<SchedulerRow>),
    Removed(SchedulerKey),
    Occurrence(SchedulerKey, OccurrenceRecord),
    Run(SchedulerKey, Box<RunRecord>),
    Error(ErrorRow),
    Move(Box<PartitionRow>),
}

/// A value, or what is left of one, with what it was written by.
#[derive(Clone, Debug)]
struct Item<T> {
    stamp: Stamp,
    value: Option<T>,
}

pub struct Store {
    kind: Kind,
    slip: Option<Slip>,
    partition: Item<PartitionRow>,
    epoch: u64,
    rows: BTreeMap<SchedulerKey, Item<SchedulerRow>>,
    occurrences: BTreeMap<(SchedulerKey, Subject), Item<OccurrenceRecord>>,
    runs: BTreeMap<(SchedulerKey, Subject, String), Item<RunRecord>>,
    pub errors: BTreeMap<(Timestamp, MessageId), ErrorRow>,
}

impl Store {
    pub fn new(kind: Kind, slip: Option<Slip>) -> Self {
        let row = PartitionRow { partitions: 1, watermark: Timestamp::MIN, ..PartitionRow::default() };
        Self {
            kind,
            slip,
            partition: Item { stamp: (0, 0), value: Some(row) },
            epoch: 0,
            rows: BTreeMap::new(),
            occurrences: BTreeMap::new(),
            runs: BTreeMap::new(),
            errors: BTreeMap::new(),
        }
    }

    pub fn acquire(&mut self) -> PartitionRow {
        self.epoch += 1;
        PartitionRow { epoch: self.epoch, ..self.partition() }
    }

    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub fn partition(&self) -> PartitionRow {
        self.partition.value.clone().unwrap()
    }

    /// Some rows after a key.
    pub fn page(&self, after: Option<&SchedulerKey>, limit: usize) -> Vec<SchedulerRow> {
        let rows = self.rows.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        rows.filter_map(|(_, item)| item.value.clone()).take(limit).collect()
    }

    /// A commit as single writes. Those of a group are under way together; the last group is the partition's row.
    pub fn writes(&self, commit: &Commit) -> Vec<Vec<Write>> {
        let occurrences = commit.occurrences.iter().cloned().map(|(key, record)| Write::Occurrence(key, record));
        let runs = commit.runs.iter().cloned().map(|(key, record)| Write::Run(key, Box::new(record)));
        let errors = commit.errors.iter().cloned().map(Write::Error);
        let records: Vec<_> = occurrences.chain(runs).chain(errors).collect();
        let removed = commit.removed.iter().cloned().map(Write::Removed);
        let rows = commit.rows.iter().cloned().map(|row| Write::Row(Box::new(row))).chain(removed).collect();
        let end = vec![Write::Move(Box::new(commit.partition.clone()))];
        if self.slip == Some(Slip::RecordsAmongRows) {
            return vec![records.into_iter().chain(rows).collect(), end];
        }
        vec![records, rows, end]
    }

    /// Carries a write out, whenever that is.
    pub fn write(&mut self, write: Write, stamp: Stamp) -> Result<(), Fenced> {
        let is_guarded = self.slip != Some(Slip::NoEpochsOnRows);
        let kind = self.kind;
        match write {
            Write::Move(row) => return self.put_partition(*row, stamp),
            Write::Row(row) => put(&mut self.rows, row.key.clone(), Some(*row), stamp, is_guarded),
            Write::Removed(key) => put(&mut self.rows, key, None, stamp, is_guarded),
            Write::Occurrence(key, record) => {
                put(&mut self.occurrences, (key, record.subject.clone()), Some(record), stamp, is_guarded)
            }
            Write::Run(key, record) => {
                let place = (key, record.subject.clone(), record.run_id.as_str().to_owned());
                put(&mut self.runs, place, Some(*record), stamp, is_guarded)
            }
            Write::Error(error) => {
                self.errors.insert((error.at, error.message), error);
                Ok(())
            }
        }
        .or_else(|later| match kind {
            // One of its own that was tried again is no fence.
            Kind::Refuses if later.0 > stamp.0 => Err(Fenced),
            Kind::Refuses | Kind::Loses => Ok(()),
        })
    }

    fn put_partition(&mut self, row: PartitionRow, stamp: Stamp) -> Result<(), Fenced> {
        if row.epoch != self.epoch && self.slip != Some(Slip::NoFence) {
            return Err(Fenced);
        }
        // An earlier attempt of the same owner, carried out late.
        let is_late = row.epoch == self.partition.stamp.0 && stamp < self.partition.stamp;
        if is_late && self.slip != Some(Slip::LateMoves) {
            return Ok(());
        }
        self.partition = Item { stamp, value: Some(row) };
        Ok(())
    }

    pub fn schedulers(&self) -> Vec<(SchedulerKey, SchedulerRow)> {
        let rows = self.rows.iter().filter_map(|(key, item)| Some((key.clone(), item.value.clone()?)));
        rows.filter(|(_, row)| row.state.is_some()).collect()
    }

    pub fn occurrences(&self) -> BTreeMap<(SchedulerKey, Subject), OccurrenceRecord> {
        self.occurrences.iter().filter_map(|(key, item)| Some((key.clone(), item.value.clone()?))).collect()
    }

    pub fn runs(&self) -> BTreeMap<(SchedulerKey, Subject, String), RunRecord> {
        self.runs.iter().filter_map(|(key, item)| Some((key.clone(), item.value.clone()?))).collect()
    }
}

/// Puts an item unless a later one is there, which it answers.
fn put<K: Ord, T>(
    items: &mut BTreeMap<K, Item<T>>,
    key: K,
    value: Option<T>,
    stamp: Stamp,
    is_guarded: bool,
) -> Result<(), Stamp> {
    if let Some(later) = items.get(&key).map(|item| item.stamp).filter(|later| is_guarded && *later > stamp) {
        return Err(later);
    }
    items.insert(key, Item { stamp, value });
    Ok(())
}
