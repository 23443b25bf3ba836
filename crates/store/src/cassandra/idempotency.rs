//! Answers given to an `Idempotency-Key`: conditional writes, and a time to live from when a key was claimed or taken over.

use async_trait::async_trait;
use ronda_domain::id::TenantId;
use ronda_schemas::row::{IdempotencyRow, IdempotentAnswer};
use scylla::statement::prepared::PreparedStatement;

use super::{CassandraStore, check_row_size, conflict, decode, encode, invalid, ttl_from};
use crate::error::{StoreError, StoreErrorKind};
use crate::port::{IdempotencyClaim, IdempotencyStore};

const MAX_KEY_BYTES: usize = 1024;
const DOING: &str = "claiming an idempotency key";

/// A claim as stored.
struct Stored {
    bytes: Vec<u8>,
    /// How long it is kept yet, in seconds.
    ttl: i32,
}

fn check_key(text: &str) -> Result<(), StoreError> {
    if text.len() > MAX_KEY_BYTES {
        return Err(invalid(format!("an idempotency key of {} bytes; at most {MAX_KEY_BYTES}", text.len())));
    }
    Ok(())
}

impl CassandraStore {
    async fn stored(
        &self,
        statement: &PreparedStatement,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Option<Stored>, StoreError> {
        let found: Option<(Option<Vec<u8>>, Option<i32>)> =
            self.client.first(DOING, statement, (tenant.as_str(), key)).await?;
        Ok(found.and_then(|(row, ttl)| Some(Stored { bytes: row?, ttl: ttl.unwrap_or(1).max(1) })))
    }

    /// How long a claim has still to live, in seconds; `None`: its time is over.
    fn claim_ttl(&self, row: &IdempotencyRow) -> Option<i32> {
        ttl_from(row.created_at.as_millis(), self.options.idempotency_keep_seconds.into())
    }

    /// Replaces what is stored, if it is still that; `false`: it is not.
    async fn replace(
        &self,
        tenant: &TenantId,
        key: &str,
        found: &[u8],
        row: &[u8],
        ttl: i32,
    ) -> Result<bool, StoreError> {
        let values = (ttl, row, tenant.as_str(), key, found);
        self.client.conditional(DOING, &self.client.statements.change_claim, values).await
    }

    /// Claims a key that nobody holds; `None`: somebody does.
    async fn make_claim(&self, tenant: &TenantId, key: &str, row: &[u8], ttl: i32) -> Result<Option<()>, StoreError> {
        let statements = &self.client.statements;
        let values = (tenant.as_str(), key, row, ttl);
        match self.client.conditional(DOING, &statements.make_claim, values).await {
            Ok(made) => Ok(made.then_some(())),
            // What became of it can be asked for: each claim has a message of its own, so no other is the same.
            Err(error) if error.kind == StoreErrorKind::Unavailable && error.retryable => {
                let stored = self.stored(&statements.claim_as_agreed, tenant, key).await?;
                match stored {
                    Some(stored) if stored.bytes == row => Ok(Some(())),
                    Some(_) => Ok(None),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl IdempotencyStore for CassandraStore {
    async fn claim(&self, tenant: &TenantId, key: &str, row: IdempotencyRow) -> Result<IdempotencyClaim, StoreError> {
        check_key(key)?;
        let (bytes, statements) = (encode(&row)?, &self.client.statements);
        let _alone = self.alone((tenant, key)).await;
        for lost in 1.. {
            let statement = if lost == 1 { &statements.claim } else { &statements.claim_as_agreed };
            if let Some(stored) = self.stored(statement, tenant, key).await? {
                return decode(&stored.bytes).map(IdempotencyClaim::Existing);
            }
            let Some(ttl) = self.claim_ttl(&row) else { break };
            if self.make_claim(tenant, key, &bytes, ttl).await?.is_some() {
                break;
            }
            self.client.pause(DOING, lost).await?;
        }
        Ok(IdempotencyClaim::Claimed)
    }

    async fn take_over(
        &self,
        tenant: &TenantId,
        key: &str,
        found: &IdempotencyRow,
        row: IdempotencyRow,
    ) -> Result<bool, StoreError> {
        check_key(key)?;
        let bytes = encode(&row)?;
        let _alone = self.alone((tenant, key)).await;
        let stored = self.stored(&self.client.statements.claim_as_agreed, tenant, key).await?;
        let Some(stored) = stored else { return Ok(false) };
        if decode::<IdempotencyRow>(&stored.bytes)? != *found {
            return Ok(false);
        }
        // One whose time is over goes at once.
        self.replace(tenant, key, &stored.bytes, &bytes, self.claim_ttl(&row).unwrap_or(1)).await
    }

    async fn answer(&self, tenant: &TenantId, key: &str, answer: IdempotentAnswer) -> Result<(), StoreError> {
        check_key(key)?;
        check_row_size(answer.body.len())?;
        let _alone = self.alone((tenant, key)).await;
        for lost in 1.. {
            let stored = self.stored(&self.client.statements.claim_as_agreed, tenant, key).await?;
            let Some(stored) = stored else {
                return Err(conflict(
                    "nobody holds this idempotency key: it was given back, or was kept for its 24 hours",
                ));
            };
            let mut row: IdempotencyRow = decode(&stored.bytes)?;
            row.answer = Some(answer.clone());
            if self.replace(tenant, key, &stored.bytes, &encode(&row)?, stored.ttl).await? {
                break;
            }
            self.client.pause(DOING, lost).await?;
        }
        Ok(())
    }

    async fn release(&self, tenant: &TenantId, key: &str) -> Result<(), StoreError> {
        check_key(key)?;
        let statements = &self.client.statements;
        let _alone = self.alone((tenant, key)).await;
        let mut given_back = None;
        for lost in 1.. {
            let Some(stored) = self.stored(&statements.claim_as_agreed, tenant, key).await? else { break };
            let row: IdempotencyRow = decode(&stored.bytes)?;
            if *given_back.get_or_insert(row.message) != row.message {
                // By an attempt whose answer was lost; somebody else has claimed the key since.
                break;
            }
            if row.answer.is_some() {
                return Err(conflict("this idempotency key has been answered: it can't be given back"));
            }
            let values = (tenant.as_str(), key, stored.bytes.as_slice());
            if self.client.conditional(DOING, &statements.remove_claim, values).await? {
                break;
            }
            self.client.pause(DOING, lost).await?;
        }
        Ok(())
    }
}
