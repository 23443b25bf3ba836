//! Tenants' error feeds, by storage partitions of a day.
//!
//! An entry is the same whoever writes it, so nothing guards it.

use futures::TryStreamExt as _;
use ronda_domain::id::{MessageId, TenantId};
use ronda_schemas::row::ErrorRow;

use super::schema::DAY_MS;
use super::{CassandraStore, age_of, decode, encode, limit_of};
use crate::error::StoreError;
use crate::port::ErrorCursor;

const READING: &str = "reading an error feed";
const WRITING: &str = "writing to an error feed";

const fn day_of(age: i64) -> i64 {
    (!age).div_euclid(DAY_MS)
}

/// A message as it sorts among those of one moment, the greatest first.
fn message_key(message: MessageId) -> Vec<u8> {
    let MessageId { source, sequence, index } = message;
    [(!source).to_be_bytes().as_slice(), &(!sequence).to_be_bytes(), &(!index).to_be_bytes()].concat()
}

impl CassandraStore {
    pub(super) async fn put_error(&self, partition: u32, error: &ErrorRow) -> Result<Vec<u64>, StoreError> {
        let (row, age) = (encode(error)?, age_of(error.at));
        let Some(ttl) = self.ttl_of(error.at.as_millis()) else { return Ok(Vec::new()) };
        let (tenant, day, message) = (error.tenant.as_str(), day_of(age), message_key(error.message));
        let values = (tenant, day, age, message, row, self.now_micros(), ttl);
        let put = self.client.write(WRITING, &self.client.statements.put_error, values);
        let ((), seen) = futures::try_join!(put, self.put_error_day(partition, tenant, day))?;
        Ok(seen)
    }

    /// Notes that there is something of a day, unless this owner has done so.
    async fn put_error_day(&self, partition: u32, tenant: &str, day: i64) -> Result<Vec<u64>, StoreError> {
        let name = self.ownership.name(("errors", tenant, day));
        let end_ms = day.saturating_add(1).saturating_mul(DAY_MS);
        let Some(ttl) = self.ttl_of(end_ms).filter(|_| !self.ownership.has_seen(partition, name)) else {
            return Ok(Vec::new());
        };
        self.client.write(WRITING, &self.client.statements.put_error_day, (tenant, !day, ttl)).await?;
        Ok(vec![name])
    }

    pub(super) async fn error_page(
        &self,
        tenant: &TenantId,
        after: Option<ErrorCursor>,
        limit: usize,
    ) -> Result<Vec<ErrorRow>, StoreError> {
        let oldest = age_of(self.kept_from());
        let (age, message) =
            after.map_or((i64::MIN, Vec::new()), |after| (age_of(after.at), message_key(after.message)));
        let days = (tenant.as_str(), !day_of(age));
        let days = self.client.rows(READING, &self.client.statements.error_days, days).await?;
        let days: Vec<i64> = days.map_ok(|(age,): (i64,)| !age).try_collect().await?;
        let mut errors = Vec::new();
        for day in days {
            if errors.len() >= limit {
                break;
            }
            let left = limit_of(limit - errors.len());
            let values = (tenant.as_str(), day, age, message.as_slice(), oldest, left);
            let mut rows = self.client.rows(READING, &self.client.statements.errors, values).await?;
            while let Some((row,)) = rows.try_next().await? {
                let row: Option<Vec<u8>> = row;
                if let Some(row) = row {
                    errors.push(decode(&row)?);
                }
            }
        }
        Ok(errors)
    }
}
