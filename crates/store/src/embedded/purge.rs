//! Retention: finding what is too old on a reading thread, removing it through the committer a little at a time.

use std::ops::Bound;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use ronda_domain::time::Timestamp;
use ronda_schemas::row::IdempotencyRow;

use super::tables::{Table, Tables, decode};
use super::transaction::Transaction;
use super::{EmbeddedStore, invalid, key};
use crate::error::StoreError;
use crate::port::{PurgeCursor, Purged, Retention};

/// Most entries removed in one piece of a group commit.
const PIECE: usize = 256;
/// How long an idempotency key is kept, in milliseconds: 24 hours.
const IDEMPOTENCY_MILLIS: i64 = 24 * 60 * 60 * 1_000;

/// The tables that are purged, in order; a cursor is the place in this list and then a key.
const STAGES: [Table; 3] = [Table::History, Table::Errors, Table::Idempotency];

/// What one look at one table found.
#[derive(Default)]
struct Found {
    expired: Vec<Vec<u8>>,
    looked_at: usize,
    /// Where to go on; `None`: the table is through.
    next: Option<Vec<u8>>,
}

/// Which times are too old.
#[derive(Clone, Copy)]
struct Limits {
    before: Timestamp,
    idempotency_before: Timestamp,
}

#[async_trait]
impl Retention for EmbeddedStore {
    async fn purge(&self, before: Timestamp, resume: Option<PurgeCursor>, limit: usize) -> Result<Purged, StoreError> {
        let (mut stage, mut from) = read_cursor(resume)?;
        let limits = Limits { before, idempotency_before: now().plus_millis(-IDEMPOTENCY_MILLIS) };
        let mut budget = limit.max(1);
        let mut removed = 0;
        while let Some(table) = STAGES.get(usize::from(stage)).copied() {
            if budget == 0 {
                return Ok(Purged { removed, next: Some(cursor(stage, &from)) });
            }
            let found = self.scan(move |tables| look(tables, table, &from, limits, budget)).await?;
            budget = budget.saturating_sub(found.looked_at);
            removed += self.remove(table, found.expired, limits.idempotency_before).await?;
            match found.next {
                Some(next) => from = next,
                None => {
                    stage += 1;
                    from = Vec::new();
                }
            }
        }
        Ok(Purged { removed, next: None })
    }
}

impl EmbeddedStore {
    async fn remove(
        &self,
        table: Table,
        mut expired: Vec<Vec<u8>>,
        idempotency_before: Timestamp,
    ) -> Result<usize, StoreError> {
        let mut removed = 0;
        while !expired.is_empty() {
            let rest = expired.split_off(expired.len().min(PIECE));
            let piece = std::mem::replace(&mut expired, rest);
            let size = piece.iter().map(Vec::len).sum();
            let work =
                move |transaction: &mut Transaction<'_>| remove_piece(transaction, table, piece, idempotency_before);
            removed += self.committer.submit_removal(size, work).await?;
        }
        Ok(removed)
    }
}

fn remove_piece(
    transaction: &mut Transaction<'_>,
    table: Table,
    piece: Vec<Vec<u8>>,
    idempotency_before: Timestamp,
) -> Result<usize, StoreError> {
    let mut removed = 0;
    for place in piece {
        // History and errors have their time in their key; an idempotency key may have been claimed anew since it was looked at.
        if table == Table::Idempotency {
            match transaction.get(table, &place)? {
                Some(bytes) if is_expired(&bytes, idempotency_before)? => {}
                _ => continue,
            }
        }
        transaction.remove(table, place);
        removed += 1;
    }
    Ok(removed)
}

fn look(tables: &Tables, table: Table, from: &[u8], limits: Limits, budget: usize) -> Result<Found, StoreError> {
    match table {
        Table::Idempotency => look_at_claims(tables, from, limits.idempotency_before, budget),
        Table::Errors => look_by_owner(tables, table, from, limits.before, budget, key::tenant_owner),
        _ => look_by_owner(tables, table, from, limits.before, budget, key::history_owner),
    }
}

/// Looks through a table whose keys are an owner and then a time, newest first: each owner's new entries are leapt over.
fn look_by_owner(
    tables: &Tables,
    table: Table,
    from: &[u8],
    before: Timestamp,
    budget: usize,
    owner_of: fn(&[u8]) -> Option<&[u8]>,
) -> Result<Found, StoreError> {
    let keyspace = tables.keyspace(table);
    let mut found = Found::default();
    let mut at = from.to_vec();
    while found.looked_at < budget {
        let Some(entry) = keyspace.range::<&[u8], _>((Bound::Included(at.as_slice()), Bound::Unbounded)).next() else {
            return Ok(Found { next: None, ..found });
        };
        let place = entry.key().map_err(|error| tables.failed(table, error))?;
        found.looked_at += 1;
        let Some(owner) = owner_of(&place) else {
            // No key of ours: pass it by.
            at = successor(&place);
            continue;
        };
        let old_from = key::history_before(owner, before);
        if *place < *old_from {
            at = old_from;
            continue;
        }
        // It is looked at again as the first of the old ones.
        found.looked_at -= 1;
        let end = key::after_prefix(owner).unwrap_or_default();
        at = end.clone();
        for entry in keyspace.range::<&[u8], _>((Bound::Included(&*place), Bound::Excluded(end.as_slice()))) {
            let old = entry.key().map_err(|error| tables.failed(table, error))?;
            if found.looked_at >= budget {
                at = old.to_vec();
                break;
            }
            found.looked_at += 1;
            found.expired.push(old.to_vec());
        }
    }
    found.next = Some(at);
    Ok(found)
}

fn look_at_claims(tables: &Tables, from: &[u8], before: Timestamp, budget: usize) -> Result<Found, StoreError> {
    let table = Table::Idempotency;
    let mut found = Found::default();
    for entry in tables.keyspace(table).range::<&[u8], _>((Bound::Included(from), Bound::Unbounded)) {
        let (place, row) = entry.into_inner().map_err(|error| tables.failed(table, error))?;
        if found.looked_at >= budget {
            found.next = Some(place.to_vec());
            break;
        }
        found.looked_at += 1;
        if is_expired(&row, before)? {
            found.expired.push(place.to_vec());
        }
    }
    Ok(found)
}

fn is_expired(row: &[u8], before: Timestamp) -> Result<bool, StoreError> {
    Ok(decode::<IdempotencyRow>(row)?.created_at < before)
}

fn successor(place: &[u8]) -> Vec<u8> {
    [place, &[0]].concat()
}

fn cursor(stage: u8, from: &[u8]) -> PurgeCursor {
    PurgeCursor([&[stage], from].concat())
}

fn read_cursor(cursor: Option<PurgeCursor>) -> Result<(u8, Vec<u8>), StoreError> {
    let Some(PurgeCursor(bytes)) = cursor else { return Ok((0, Vec::new())) };
    match bytes.split_first() {
        Some((stage, from)) if usize::from(*stage) < STAGES.len() => Ok((*stage, from.to_vec())),
        _ => Err(invalid("this is no place where a purge stopped")),
    }
}

/// The wall clock: idempotency keys are kept by it, since it is what their clients live by.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}
