//! The notifier's rows: a shard is one storage partition, whose head (static columns) has the owner's epoch and perhaps names a journal.
//!
//! What fits into one conditional batch is one. What does not becomes a journal ([`surface_journal`](super::surface_journal)). Either way the head
//! takes the commit's number, which is greater than that of all before it: one that a node carries out late, when its owner has long gone on,
//! finds a greater one there.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::TryStreamExt as _;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;

use super::surface_journal::Journal;
use super::{CassandraStore, check_row_size, fenced, int, invalid, limit_of};
use crate::error::StoreError;
use crate::port::{SurfaceStore, SurfaceWrite};

const MAX_KEY_BYTES: usize = 512;
/// Most bytes of one batch: well below the 50 KiB at which Cassandra refuses one with its settings as they come.
pub(super) const BATCH_BYTES: usize = 24 * 1024;
/// What a change takes in a batch beside its key and row, in bytes; rounded up.
const CHANGE_BYTES: usize = 64;
const COMMITTING: &str = "committing surfaces";

/// Changes of a commit: each key once, as it was said last.
pub(super) type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// What a shard's head says.
pub(super) struct Head {
    epoch: u64,
    /// The number of the epoch's last commit.
    commits: i64,
    pub(super) journal: Option<Journal>,
}

/// About how much of a batch a change takes.
pub(super) fn size_of(key: &str, row: Option<&Vec<u8>>) -> usize {
    CHANGE_BYTES + key.len() + row.map_or(0, Vec::len)
}

fn checked(writes: Vec<SurfaceWrite>) -> Result<Changes, StoreError> {
    for write in &writes {
        check_row_size(write.row.as_ref().map_or(0, Vec::len))?;
        if write.key.len() > MAX_KEY_BYTES {
            return Err(invalid(format!("a surface key of {} bytes; at most {MAX_KEY_BYTES}", write.key.len())));
        }
    }
    Ok(writes.into_iter().map(|write| (write.key, write.row)).collect())
}

impl CassandraStore {
    pub(super) async fn head(&self, statement: &PreparedStatement, shard: u32) -> Result<Option<Head>, StoreError> {
        type Found = (i32, Option<i64>, Option<i64>, Option<i64>, Option<i64>, Option<i32>);
        let found: Option<Found> = self.client.first("reading a shard", statement, (int(shard),)).await?;
        let Some((_, Some(epoch), commits, journal_epoch, journal, items)) = found else { return Ok(None) };
        let journal = journal_epoch.zip(journal).zip(items);
        let journal = journal.map(|((epoch, number), items)| Journal { epoch, number, items });
        Ok(Some(Head { epoch: epoch.cast_unsigned(), commits: commits.unwrap_or(0), journal }))
    }

    /// A change as part of a batch.
    pub(super) fn change(&self, shard: u32, key: String, row: Option<Vec<u8>>) -> (&PreparedStatement, Vec<CqlValue>) {
        let place = [CqlValue::Int(int(shard)), CqlValue::Text(key)];
        match row {
            Some(row) => {
                (&self.client.statements.put_surface, place.into_iter().chain([CqlValue::Blob(row)]).collect())
            }
            None => (&self.client.statements.remove_surface, place.into()),
        }
    }

    /// Raises a shard's epoch.
    async fn raise_shard(&self, shard: u32) -> Result<u64, StoreError> {
        let (doing, statements) = ("acquiring a shard", &self.client.statements);
        let mut lost = 0;
        loop {
            let before = self.head(&statements.shard, shard).await?.map(|head| head.epoch);
            let epoch = before.unwrap_or(0) + 1;
            let values = (epoch.cast_signed(), int(shard), before.map(u64::cast_signed));
            if self.client.conditional(doing, &statements.raise_shard, values).await? {
                return Ok(epoch);
            }
            lost += 1;
            self.client.pause(doing, lost).await?;
        }
    }

    /// Commits what fits into one batch; `false`: the head is not as it has to be.
    async fn commit_batch(&self, shard: u32, epoch: u64, number: i64, changes: &Changes) -> Result<bool, StoreError> {
        let (epoch, number) = (CqlValue::BigInt(epoch.cast_signed()), CqlValue::BigInt(number));
        let guard = vec![number.clone(), CqlValue::Int(int(shard)), epoch, number];
        let mut statements = vec![(&self.client.statements.guard_shard, guard)];
        statements.extend(changes.iter().map(|(key, row)| self.change(shard, key.clone(), row.clone())));
        self.client.conditional_batch(COMMITTING, statements).await
    }

    /// Commits by a journal that is written already: from when the head names it, it counts.
    async fn commit_journal(&self, shard: u32, epoch: u64, number: i64, journal: Journal) -> Result<bool, StoreError> {
        let Journal { epoch: journal_epoch, number: name, items } = journal;
        let values = (number, journal_epoch, name, items, int(shard), epoch.cast_signed(), number);
        let named = self.client.conditional(COMMITTING, &self.client.statements.name_journal, values).await?;
        if named {
            self.apply_journal(shard, journal).await?;
        }
        Ok(named)
    }

    async fn try_commit(
        &self,
        shard: u32,
        epoch: u64,
        changes: &Changes,
        journal: Option<Journal>,
    ) -> Result<(), StoreError> {
        let mut lost = 0;
        loop {
            let number = self.now_micros();
            let is_committed = match journal {
                None => self.commit_batch(shard, epoch, number, changes).await?,
                Some(journal) => self.commit_journal(shard, epoch, number, journal).await?,
            };
            if is_committed {
                return Ok(());
            }
            match self.head(&self.client.statements.shard, shard).await? {
                // A driver that tried again may have met itself, and somebody else may have applied the journal already.
                Some(Head { epoch: now, commits, journal }) if (now, commits) == (epoch, number) => {
                    return match journal {
                        Some(own) => self.apply_journal(shard, own).await,
                        None => Ok(()),
                    };
                }
                Some(Head { journal: Some(own), .. }) if Some(own) == journal => {
                    return self.apply_journal(shard, own).await;
                }
                Some(Head { epoch: now, journal: Some(before), .. }) if now == epoch => {
                    self.apply_journal(shard, before).await?;
                }
                Some(Head { epoch: now, journal: None, .. }) if now == epoch => {}
                other => {
                    let now = other.map_or(0, |head| head.epoch);
                    return Err(fenced(format!(
                        "shard {shard} belongs to the owner of epoch {now}, not to that of {epoch}"
                    )));
                }
            }
            lost += 1;
            self.client.pause(COMMITTING, lost).await?;
        }
    }

    async fn apply_named(&self, statement: &PreparedStatement, shard: u32) -> Result<(), StoreError> {
        match self.head(statement, shard).await? {
            Some(Head { journal: Some(journal), .. }) => self.apply_journal(shard, journal).await,
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl SurfaceStore for CassandraStore {
    async fn acquire_shard(&self, shard: u32) -> Result<u64, StoreError> {
        let _alone = self.alone(("shard", shard)).await;
        let epoch = self.raise_shard(shard).await?;
        self.apply_named(&self.client.statements.shard, shard).await?;
        self.remove_old_journals(shard, epoch).await?;
        Ok(epoch)
    }

    async fn commit_surfaces(&self, shard: u32, epoch: u64, writes: Vec<SurfaceWrite>) -> Result<(), StoreError> {
        let changes = checked(writes)?;
        if epoch == 0 {
            return Err(fenced(format!("shard {shard} was not acquired")));
        }
        let bytes: usize = changes.iter().map(|(key, row)| size_of(key, row.as_ref())).sum();
        let _alone = self.alone(("shard", shard)).await;
        let journal = if bytes > BATCH_BYTES { Some(self.write_journal(shard, epoch, &changes).await?) } else { None };
        let committed = Box::pin(self.try_commit(shard, epoch, &changes, journal)).await;
        if let (Err(error), Some(journal)) = (&committed, journal)
            && error.kind == crate::error::StoreErrorKind::Fenced
        {
            // No head will ever name it. What can't be removed now, the shard's next owner removes.
            let _ = self.remove_journal(shard, journal).await;
        }
        committed
    }

    async fn surfaces(
        &self,
        shard: u32,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let statements = &self.client.statements;
        self.apply_named(&statements.shard_as_confirmed, shard).await?;
        let (statement, from) = match after {
            Some(after) if after >= prefix => (&statements.surfaces_after, after),
            _ => (&statements.surfaces_from, prefix),
        };
        let values = (int(shard), from, limit_of(limit));
        let mut rows = self.client.rows("reading surfaces", statement, values).await?;
        let mut found = Vec::new();
        while let Some((key, row)) = rows.try_next().await? {
            let (key, row): (Option<String>, Option<Vec<u8>>) = (key, row);
            match (key, row) {
                (Some(key), Some(row)) if key.starts_with(prefix) => found.push((key, row)),
                // A head without rows.
                (None, _) | (_, None) => {}
                _ => break,
            }
        }
        Ok(found)
    }
}
