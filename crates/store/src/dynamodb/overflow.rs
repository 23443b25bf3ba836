//! What a row takes in its item; and in parts of its own, when it is too large for one.
//!
//! Parts are written before the item that names them, under the item's stamp, so that they are never changed. Those of earlier stamps go
//! once the item is written; those that a crash leaves go with the row's next large write, or by their time to live.

use futures::stream::{self, StreamExt, TryStreamExt};
use ronda_schemas::codec::Versioned;

use super::db::{Condition, Db};
use super::item::{Item, bytes, damaged, decode, get_bytes, get_number, item, number};
use super::stamp::Stamp;
use super::tables::{EXPIRES, Table};
use crate::error::StoreError;

/// Most bytes of a row within its item. DynamoDB takes 400 KB with all names and keys.
pub(super) const MOST_INLINE_BYTES: usize = 380_000;
const PART_BYTES: usize = 380_000;
/// Largest row, in bytes: anything larger is a mistake.
const MOST_BYTES: usize = 16 * 1024 * 1024;
const ROW: &str = "row";
const PARTS: &str = "parts";
const STAMP: &str = "stamp";
/// Parts that are written at one time.
const AT_ONCE: usize = 4;

/// Where an item's parts are: its table and key.
pub(super) fn owner(table: Table, key: &[&[u8]]) -> Vec<u8> {
    let mut out = table.suffix().as_bytes().to_vec();
    for part in key {
        out.push(0);
        out.extend_from_slice(part);
    }
    out
}

/// Whether an item has a row, in whatever form.
pub(super) fn has_row(item: &Item) -> bool {
    item.contains_key(ROW) || item.contains_key(PARTS)
}

pub(super) fn is_large(row: &[u8]) -> bool {
    row.len() > MOST_INLINE_BYTES
}

fn places(stamp: Stamp, count: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..count).map(move |part| [&stamp.to_bytes()[..], &u32::try_from(part).unwrap_or(u32::MAX).to_be_bytes()].concat())
}

impl Db {
    /// Puts a row into its item, which must have its stamp, or into parts that it names.
    pub(super) async fn lay(
        &self,
        into: &mut Item,
        row: Vec<u8>,
        owner: &[u8],
        stamp: Stamp,
    ) -> Result<(), StoreError> {
        if !is_large(&row) {
            into.insert(ROW.to_owned(), bytes(row));
            return Ok(());
        }
        if row.len() > MOST_BYTES {
            return Err(super::invalid(format!("a row of {} bytes; the largest may have {MOST_BYTES}", row.len())));
        }
        let expires = into.get(EXPIRES).cloned();
        let parts: Vec<&[u8]> = row.chunks(PART_BYTES).collect();
        into.insert(PARTS.to_owned(), number(parts.len()));
        let writes = places(stamp, parts.len()).zip(&parts).map(|(place, part)| {
            let mut item = item([("owner", bytes(owner)), ("place", bytes(place)), ("bytes", bytes(*part))]);
            item.extend(expires.clone().map(|expires| (EXPIRES.to_owned(), expires)));
            async move { self.put(Table::Overflow, &item, None).await.map(drop) }
        });
        let writes: Vec<_> = writes.collect();
        stream::iter(writes).buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    /// Removes the parts of earlier rows of an owner, once a later one is in its place: no item names them any more.
    pub(super) async fn tidy(&self, owner: &[u8], stamp: Stamp) -> Result<(), StoreError> {
        let values = [(":owner", bytes(owner)), (":stamp", bytes(stamp.to_bytes()))];
        let condition = Condition::new("#owner = :owner AND #place < :stamp", values);
        let old = self.query_all(Table::Overflow, condition).await?;
        let key = |mut item: Item| {
            item.retain(|name, _| name == "owner" || name == "place");
            item
        };
        self.delete_many(Table::Overflow, old.into_iter().map(key).collect()).await
    }

    /// The row of an item. `None`: its parts are gone, since it was written anew meanwhile.
    pub(super) async fn row<T: Versioned>(&self, from: &Item, owner: &[u8]) -> Result<Option<T>, StoreError> {
        if let Some(row) = get_bytes(from, ROW) {
            return decode(row).map(Some);
        }
        let count: usize = get_number(from, PARTS).ok_or_else(|| damaged(T::WHAT))?;
        let stamp = get_bytes(from, STAMP).and_then(Stamp::read).ok_or_else(|| damaged(T::WHAT))?;
        let key = |place: Vec<u8>| item([("owner", bytes(owner)), ("place", bytes(place))]);
        let mut parts = self.get_many(Table::Overflow, places(stamp, count).map(key).collect()).await?;
        if parts.len() < count {
            return Ok(None);
        }
        parts.sort_by(|left, right| get_bytes(left, "place").cmp(&get_bytes(right, "place")));
        let row: Vec<u8> = parts.iter().filter_map(|part| get_bytes(part, "bytes")).flatten().copied().collect();
        decode(&row).map(Some)
    }
}
