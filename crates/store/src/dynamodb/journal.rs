//! Changes of surfaces that are too many for one transaction.
//!
//! They are written as items of a journal under (epoch, number), which nobody reads. Then the shard's head is made to name the journal, on
//! condition of the epoch: that is the moment of the commit. Then the journal is applied, a part a transaction, each on condition that the
//! head still names it, so that who stood still meanwhile applies nothing over what came later; and the head is cleared. Whoever acquires the
//! shard, reads it or writes to it finishes what the head names first. Journals that no head came to name go when the shard is acquired next.

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::db::{Condition, Outcome, names_in, values_of};
use super::item::{Item, bytes, damaged, get_bytes, get_number, get_text, item, number, text};
use super::stamp::Stamp;
use super::surfaces::{MOST_WRITES, Writes, head_key, incomplete, mine, size_of};
use super::tables::Table;
use super::{DynamoStore, invalid};
use crate::error::StoreError;

/// Most bytes of a part; DynamoDB takes 400 KB. One write of the largest size fits.
const MOST_PART_BYTES: usize = 370_000;
/// Parts that are written at one time.
const AT_ONCE: usize = 8;

fn name_of(stamp: Stamp) -> String {
    format!("{:016x}-{:016x}", stamp.epoch, stamp.number)
}

fn part_key(shard: u32, journal: &str, part: usize) -> Item {
    item([("shard", number(shard)), ("place", text(format!("j{journal}/{part:08}")))])
}

/// Cuts changes into parts, each of which one transaction and one item take.
fn cut(writes: &Writes) -> Vec<AttributeValue> {
    let (mut parts, mut part, mut size) = (Vec::new(), Vec::new(), 0);
    for (key, row) in writes {
        let more = size_of(key, row.as_ref());
        if part.len() >= MOST_WRITES || (size + more > MOST_PART_BYTES && !part.is_empty()) {
            parts.push(AttributeValue::L(std::mem::take(&mut part)));
            size = 0;
        }
        size += more;
        let mut write = item([("key", text(key))]);
        write.extend(row.as_ref().map(|row| (String::from("row"), bytes(row.as_slice()))));
        part.push(AttributeValue::M(write));
    }
    parts.push(AttributeValue::L(part));
    parts
}

fn read_part(item: &Item) -> Option<Writes> {
    let writes = item.get("writes")?.as_l().ok()?;
    let write = |write: &AttributeValue| {
        let write = write.as_m().ok()?;
        Some((get_text(write, "key")?.to_owned(), get_bytes(write, "row").map(<[u8]>::to_vec)))
    };
    writes.iter().map(write).collect()
}

impl DynamoStore {
    /// Writes a journal and makes the head name it. Done: with the head as it is then.
    pub(super) async fn write_journal(
        &self,
        shard: u32,
        epoch: u64,
        stamp: Stamp,
        writes: &Writes,
    ) -> Result<Outcome, StoreError> {
        let journal = name_of(stamp);
        let parts = cut(writes);
        let count = parts.len();
        let puts = parts.into_iter().enumerate().map(|(part, writes)| {
            let mut item = part_key(shard, &journal, part);
            item.insert(String::from("writes"), writes);
            async move { self.db.put(Table::Surfaces, &item, None).await.map(drop) }
        });
        let puts: Vec<_> = puts.collect();
        stream::iter(puts).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        let mut condition = mine(epoch, stamp);
        condition.values.extend([(":journal", text(&journal)), (":parts", number(count))]);
        let change = "SET #stamp = :stamp, #journal = :journal, #parts = :parts";
        self.db.update(Table::Surfaces, &head_key(shard), change, &condition).await
    }

    /// Finishes the journal that a head names, if it names one.
    pub(super) async fn apply_journal(&self, shard: u32, head: &Item) -> Result<(), StoreError> {
        let Some(journal) = get_text(head, "journal") else { return Ok(()) };
        let count: usize = get_number(head, "parts").ok_or_else(|| damaged("a shard's head"))?;
        // One after the other: transactions that look at the same head are in each other's way.
        for part in 0..count {
            self.apply_part(shard, journal, part).await?;
        }
        let named = Condition::new("#journal = :journal", [(":journal", text(journal))]);
        // Refused: somebody else has finished it.
        self.db.update(Table::Surfaces, &head_key(shard), "REMOVE #journal, #parts", &named).await?;
        self.db.delete_many(Table::Surfaces, (0..count).map(|part| part_key(shard, journal, part)).collect()).await
    }

    async fn apply_part(&self, shard: u32, journal: &str, part: usize) -> Result<(), StoreError> {
        let Some(found) = self.db.get(Table::Surfaces, part_key(shard, journal, part)).await? else {
            let head = self.db.get(Table::Surfaces, head_key(shard)).await?;
            let is_named = head.is_some_and(|head| get_text(&head, "journal") == Some(journal));
            // Not named any more: somebody else has finished it.
            return if is_named { Err(incomplete(shard)) } else { Ok(()) };
        };
        let writes = read_part(&found).ok_or_else(|| incomplete(shard))?;
        let named = Condition::new("#journal = :journal", [(":journal", text(journal))]);
        let check = ConditionCheck::builder()
            .table_name(self.db.name(Table::Surfaces))
            .set_key(Some(head_key(shard)))
            .condition_expression(named.text)
            .set_expression_attribute_names(names_in(named.text))
            .set_expression_attribute_values(values_of(&named.values))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let check = check.build().map_err(|error| invalid("a transaction can't be built").caused_by(error))?;
        let mut items = vec![TransactWriteItem::builder().condition_check(check).build()];
        items.extend(self.transaction_of(shard, writes)?);
        // Refused: somebody else has finished it.
        self.db.transact(items, &format!("applying a journal of shard {shard}")).await.map(drop)
    }

    /// Removes the journals of earlier owners: no head can come to name them any more.
    pub(super) async fn sweep_journals(&self, shard: u32, epoch: u64) -> Result<(), StoreError> {
        let values = [(":shard", number(shard)), (":first", text("j")), (":own", text(format!("j{epoch:016x}")))];
        let condition = Condition::new("#shard = :shard AND #place BETWEEN :first AND :own", values);
        let old = self.db.query_all(Table::Surfaces, condition).await?;
        let key = |mut item: Item| {
            item.retain(|name, _| name == "shard" || name == "place");
            item
        };
        self.db.delete_many(Table::Surfaces, old.into_iter().map(key).collect()).await
    }
}
