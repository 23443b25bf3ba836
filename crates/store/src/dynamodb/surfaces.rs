//! The notifier's rows: all changes of a commit together, on condition of the shard's epoch.
//!
//! What fits into one transaction is one. What does not is written as a journal first; see [`journal`](super::journal).

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};

use super::batch::MOST_TRANSACTED;
use super::db::{Condition, Outcome, Pauses, Query, names_in, values_of};
use super::item::{Item, bytes, damaged, get_bytes, get_number, get_text, item, number, text};
use super::partitions::refusal;
use super::stamp::Stamp;
use super::tables::Table;
use super::{DynamoStore, invalid};
use crate::error::{StoreError, StoreErrorKind};
use crate::port::{SurfaceStore, SurfaceWrite};

const MAX_KEY_BYTES: usize = 512;
/// Largest row: with its key it must fit into one item, also within a journal.
const MAX_ROW_BYTES: usize = 350_000;
/// Most rows that one transaction changes, beside the head.
pub(super) const MOST_WRITES: usize = MOST_TRANSACTED - 1;
/// Most bytes that it carries; DynamoDB takes 4 MB.
const MOST_BYTES: usize = 3_000_000;
/// What an item takes beside key and row, more or less.
const ITEM_BYTES: usize = 64;
/// Largest page that is read at once.
const MOST_READ: usize = 1_000;

pub(super) type Writes = BTreeMap<String, Option<Vec<u8>>>;

/// That nobody else owns the shard, that no journal waits, and that no later commit of the same owner was faster.
const MINE: &str =
    "#epoch = :epoch AND attribute_not_exists(#journal) AND (attribute_not_exists(#stamp) OR #stamp < :stamp)";

pub(super) fn head_key(shard: u32) -> Item {
    item([("shard", number(shard)), ("place", text("h"))])
}

fn row_key(shard: u32, key: &str) -> Item {
    item([("shard", number(shard)), ("place", text(format!("r{key}")))])
}

pub(super) fn size_of(key: &str, row: Option<&Vec<u8>>) -> usize {
    key.len() + row.map_or(0, Vec::len) + ITEM_BYTES
}

/// The changes by key; of several of one key the last counts.
fn check_writes(writes: Vec<SurfaceWrite>) -> Result<Writes, StoreError> {
    for SurfaceWrite { key, row } in &writes {
        if key.len() > MAX_KEY_BYTES {
            return Err(invalid(format!("a surface key of {} bytes; at most {MAX_KEY_BYTES}", key.len())));
        }
        let bytes = row.as_ref().map_or(0, Vec::len);
        if bytes > MAX_ROW_BYTES {
            return Err(invalid(format!("the surface {key:?} has {bytes} bytes; at most {MAX_ROW_BYTES}")));
        }
    }
    Ok(writes.into_iter().map(|write| (write.key, write.row)).collect())
}

fn fits(writes: &Writes) -> bool {
    let size: usize = writes.iter().map(|(key, row)| size_of(key, row.as_ref())).sum();
    writes.len() <= MOST_WRITES && size <= MOST_BYTES
}

pub(super) fn mine(epoch: u64, stamp: Stamp) -> Condition {
    Condition::new(MINE, [(":epoch", number(epoch)), (":stamp", bytes(stamp.to_bytes()))])
}

impl DynamoStore {
    /// Writes of a transaction.
    pub(super) fn transaction_of(&self, shard: u32, writes: Writes) -> Result<Vec<TransactWriteItem>, StoreError> {
        let table = self.db.name(Table::Surfaces);
        let built =
            |error: aws_sdk_dynamodb::error::BuildError| invalid("a transaction can't be built").caused_by(error);
        let one = |(key, row): (String, Option<Vec<u8>>)| {
            let mut item = row_key(shard, &key);
            let whole = TransactWriteItem::builder();
            Ok(match row {
                Some(row) => {
                    item.insert(String::from("row"), bytes(row));
                    let put = Put::builder().table_name(&table).set_item(Some(item)).build().map_err(built)?;
                    whole.put(put).build()
                }
                None => {
                    let delete = Delete::builder().table_name(&table).set_key(Some(item)).build().map_err(built)?;
                    whole.delete(delete).build()
                }
            })
        };
        writes.into_iter().map(one).collect()
    }

    async fn write_at_once(&self, shard: u32, condition: &Condition, writes: Writes) -> Result<Outcome, StoreError> {
        let change = "SET #stamp = :stamp";
        if writes.is_empty() {
            return self.db.update(Table::Surfaces, &head_key(shard), change, condition).await;
        }
        let head = Update::builder()
            .table_name(self.db.name(Table::Surfaces))
            .set_key(Some(head_key(shard)))
            .update_expression(change)
            .condition_expression(condition.text)
            .set_expression_attribute_names(names_in(condition.text))
            .set_expression_attribute_values(values_of(&condition.values))
            .return_values_on_condition_check_failure(
                aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
            );
        let head = head.build().map_err(|error| invalid("a transaction can't be built").caused_by(error))?;
        let mut items = vec![TransactWriteItem::builder().update(head).build()];
        items.extend(self.transaction_of(shard, writes)?);
        self.db.transact(items, &format!("writing surfaces of shard {shard}")).await
    }

    async fn write_surfaces(&self, shard: u32, epoch: u64, writes: Writes) -> Result<(), StoreError> {
        let fits = fits(&writes);
        let mut pauses = Pauses::new();
        loop {
            let stamp = self.stamps.next(epoch);
            let outcome = if fits {
                self.write_at_once(shard, &mine(epoch, stamp), writes.clone()).await?
            } else {
                self.write_journal(shard, epoch, stamp, &writes).await?
            };
            let found = match outcome {
                // It is committed, whoever applies it.
                Outcome::Done(head) => return self.apply_journal(shard, &head).await,
                Outcome::Refused(found) => found,
            };
            if get_bytes(&found, "stamp") == Some(&stamp.to_bytes()) {
                // By an attempt whose answer was lost.
                return self.apply_journal(shard, &found).await;
            }
            let is_own = get_number(&found, "epoch") == Some(epoch);
            if !is_own || !found.contains_key("journal") || !pauses.again().await {
                return Err(refusal(&format!("shard {shard}"), &found, stamp));
            }
            self.apply_journal(shard, &found).await?;
        }
    }

    async fn read_surfaces(
        &self,
        shard: u32,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        // A place before the prefix is no place within it; one behind it is behind all.
        let mut start = match after {
            Some(after) if after.starts_with(prefix) => Some(row_key(shard, after)),
            Some(after) if after > prefix => return Ok(Vec::new()),
            _ => None,
        };
        let mut rows = Vec::new();
        while rows.len() < limit {
            let values = [(":shard", number(shard)), (":prefix", text(format!("r{prefix}")))];
            let condition = Condition::new("#shard = :shard AND begins_with(#place, :prefix)", values);
            let limit = (limit - rows.len()).min(MOST_READ);
            let page = self.db.query(Query { table: Table::Surfaces, index: None, condition, limit, start }).await?;
            for item in &page.items {
                let key = get_text(item, "place").and_then(|place| place.strip_prefix('r'));
                let (Some(key), Some(row)) = (key, get_bytes(item, "row")) else { return Err(damaged("a surface")) };
                rows.push((key.to_owned(), row.to_vec()));
            }
            start = page.next;
            if start.is_none() {
                break;
            }
        }
        Ok(rows)
    }
}

#[async_trait]
impl SurfaceStore for DynamoStore {
    async fn acquire_shard(&self, shard: u32) -> Result<u64, StoreError> {
        let raise = "SET #epoch = if_not_exists(#epoch, :zero) + :one";
        let always = Condition::new("", [(":zero", number(0)), (":one", number(1))]);
        let (Outcome::Done(head) | Outcome::Refused(head)) =
            self.db.update(Table::Surfaces, &head_key(shard), raise, &always).await?;
        let epoch = get_number(&head, "epoch").ok_or_else(|| damaged("a shard's head"))?;
        self.apply_journal(shard, &head).await?;
        self.sweep_journals(shard, epoch).await?;
        Ok(epoch)
    }

    async fn commit_surfaces(&self, shard: u32, epoch: u64, writes: Vec<SurfaceWrite>) -> Result<(), StoreError> {
        self.write_surfaces(shard, epoch, check_writes(writes)?).await
    }

    async fn surfaces(
        &self,
        shard: u32,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let Some(head) = self.db.get(Table::Surfaces, head_key(shard)).await? else { return Ok(Vec::new()) };
        self.apply_journal(shard, &head).await?;
        self.read_surfaces(shard, prefix, after, limit).await
    }
}

/// A head that names a journal which is not there.
pub(super) fn incomplete(shard: u32) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unreadable,
        format!("the journal of shard {shard} is incomplete: restore the tables from a backup"),
    )
}
