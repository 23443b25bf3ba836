//! API keys and idempotency keys.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use ronda_schemas::row::{ApiKeyRow, IdempotencyRow, IdempotentAnswer};

use super::db::{Condition, Outcome, Pauses};
use super::item::{Item, bytes, damaged, decode, encode, expiry, get_bytes, item, number, text};
use super::overflow::MOST_INLINE_BYTES;
use super::stamp::now;
use super::tables::{EXPIRES, Table};
use super::{DynamoStore, invalid, no_random};
use crate::error::{StoreError, StoreErrorKind};
use crate::port::{IdempotencyClaim, IdempotencyStore, KeyStore};

/// The attribute that says which call wrote an item.
const CALL: &str = "call";
/// The attribute of API keys that are revoked.
const REVOKED: &str = "revoked";
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 1024;
/// How long an idempotency key is kept: 24 hours.
const KEEP_SECONDS: u32 = 24 * 60 * 60;

#[async_trait]
impl KeyStore for DynamoStore {
    async fn put_key(&self, row: ApiKeyRow) -> Result<(), StoreError> {
        let mut item = item([("hash", bytes(row.hash)), ("row", bytes(encode(&row)?))]);
        if row.revoked_at.is_some() {
            item.insert(REVOKED.to_owned(), number(1));
            return self.db.put(Table::Keys, &item, None).await.map(drop);
        }
        // A call that was given up may be carried out after the key was revoked.
        let not_revoked = Condition::new("attribute_not_exists(#revoked)", []);
        match self.db.put(Table::Keys, &item, Some(&not_revoked)).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(_) => {
                Err(StoreError::new(StoreErrorKind::Conflict, "this API key was revoked: make another one"))
            }
        }
    }

    async fn key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        let found = self.db.get(Table::Keys, item([("hash", bytes(*hash))])).await?;
        found.map(|item| read_key(&item)).transpose()
    }

    /// Reads the whole table: there are few keys, and only people list them.
    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError> {
        let (mut rows, mut start) = (Vec::new(), None);
        loop {
            let page = self.db.scan(Table::Keys, start).await?;
            for item in &page.items {
                rows.push(read_key(item)?);
            }
            start = page.next;
            if start.is_none() {
                break;
            }
        }
        rows.retain(|row| tenant.is_none_or(|tenant| row.tenant == *tenant));
        rows.sort_by(|left, right| (left.created_at, &left.id).cmp(&(right.created_at, &right.id)));
        Ok(rows)
    }
}

fn read_key(item: &Item) -> Result<ApiKeyRow, StoreError> {
    decode(get_bytes(item, "row").ok_or_else(|| damaged("an API key"))?)
}

/// A claim as it is in the table.
struct Held {
    row: IdempotencyRow,
    /// What it is replaced on condition of: decoded and encoded again, a row of an earlier release may look different.
    bytes: Vec<u8>,
}

impl Held {
    fn read(item: &Item) -> Result<Self, StoreError> {
        let bytes = get_bytes(item, "row").ok_or_else(|| damaged("an idempotency key"))?;
        Ok(Self { row: decode(bytes)?, bytes: bytes.to_vec() })
    }

    fn is_kept(&self) -> bool {
        self.row.created_at >= kept_from()
    }

    fn unchanged(&self) -> Condition {
        Condition::new("#row = :row", [(":row", bytes(self.bytes.clone()))])
    }
}

fn kept_from() -> Timestamp {
    now().minus_seconds(KEEP_SECONDS)
}

fn place(tenant: &TenantId, key: &str) -> Result<Item, StoreError> {
    if key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
        let message = format!("an idempotency key of {} bytes; at most {MAX_IDEMPOTENCY_KEY_BYTES}", key.len());
        return Err(invalid(message));
    }
    Ok(item([("key", text(format!("{tenant}/{key}")))]))
}

/// Marks what a call writes. One whose answer was lost is tried again by the SDK, and finds its own item in its way.
fn sign(item: &mut Item) -> Result<AttributeValue, StoreError> {
    let call = number(getrandom::u64().map_err(no_random)?);
    item.insert(CALL.to_owned(), call.clone());
    Ok(call)
}

fn with_row(mut item: Item, row: &IdempotencyRow) -> Result<Item, StoreError> {
    let encoded = encode(row)?;
    if encoded.len() > MOST_INLINE_BYTES {
        let message = format!("an answer of {} bytes; the largest may have {MOST_INLINE_BYTES}", encoded.len());
        return Err(invalid(message));
    }
    item.insert(String::from("row"), bytes(encoded));
    item.insert(String::from("created"), number(row.created_at.as_millis()));
    item.insert(EXPIRES.to_owned(), expiry(row.created_at, KEEP_SECONDS.into()));
    Ok(item)
}

impl DynamoStore {
    async fn held(&self, place: Item) -> Result<Option<Held>, StoreError> {
        let found = self.db.get(Table::Idempotency, place).await?;
        Ok(found.map(|item| Held::read(&item)).transpose()?.filter(Held::is_kept))
    }
}

#[async_trait]
impl IdempotencyStore for DynamoStore {
    async fn claim(&self, tenant: &TenantId, key: &str, row: IdempotencyRow) -> Result<IdempotencyClaim, StoreError> {
        let mut item = with_row(place(tenant, key)?, &row)?;
        let call = sign(&mut item)?;
        let over = [(":kept_from", number(kept_from().as_millis()))];
        let free = Condition::new("attribute_not_exists(#key) OR #created < :kept_from", over);
        match self.db.put(Table::Idempotency, &item, Some(&free)).await? {
            Outcome::Done(_) => Ok(IdempotencyClaim::Claimed),
            Outcome::Refused(found) => {
                if found.get(CALL) == Some(&call) {
                    return Ok(IdempotencyClaim::Claimed);
                }
                Ok(IdempotencyClaim::Existing(Held::read(&found)?.row))
            }
        }
    }

    async fn take_over(
        &self,
        tenant: &TenantId,
        key: &str,
        found: &IdempotencyRow,
        row: IdempotencyRow,
    ) -> Result<bool, StoreError> {
        let place = place(tenant, key)?;
        let Some(held) = self.held(place.clone()).await?.filter(|held| held.row == *found) else { return Ok(false) };
        let mut item = with_row(place, &row)?;
        let call = sign(&mut item)?;
        match self.db.put(Table::Idempotency, &item, Some(&held.unchanged())).await? {
            Outcome::Done(_) => Ok(true),
            Outcome::Refused(found) => Ok(found.get(CALL) == Some(&call)),
        }
    }

    async fn answer(&self, tenant: &TenantId, key: &str, answer: IdempotentAnswer) -> Result<(), StoreError> {
        let place = place(tenant, key)?;
        let mut pauses = Pauses::new();
        loop {
            let Some(held) = self.held(place.clone()).await? else {
                return Err(StoreError::new(
                    StoreErrorKind::Conflict,
                    "nobody holds this idempotency key: it was given back, or was kept for its 24 hours",
                ));
            };
            let row = IdempotencyRow { answer: Some(answer.clone()), ..held.row.clone() };
            let item = with_row(place.clone(), &row)?;
            match self.db.put(Table::Idempotency, &item, Some(&held.unchanged())).await? {
                Outcome::Done(_) => return Ok(()),
                Outcome::Refused(_) if pauses.again().await => {}
                Outcome::Refused(_) => return Err(contended()),
            }
        }
    }

    async fn release(&self, tenant: &TenantId, key: &str) -> Result<(), StoreError> {
        let place = place(tenant, key)?;
        let mut pauses = Pauses::new();
        let mut given_back = None;
        loop {
            let Some(held) = self.held(place.clone()).await? else { return Ok(()) };
            if *given_back.get_or_insert(held.row.message) != held.row.message {
                // By an attempt whose answer was lost; somebody else has claimed the key since.
                return Ok(());
            }
            if held.row.answer.is_some() {
                return Err(StoreError::new(
                    StoreErrorKind::Conflict,
                    "this idempotency key has been answered: it can't be given back",
                ));
            }
            match self.db.delete(Table::Idempotency, place.clone(), &held.unchanged()).await? {
                Outcome::Done(_) => return Ok(()),
                Outcome::Refused(_) if pauses.again().await => {}
                Outcome::Refused(_) => return Err(contended()),
            }
        }
    }
}

fn contended() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "an idempotency key is changed by many at once")
}
