//! API keys.

use async_trait::async_trait;
use futures::{FutureExt as _, TryStreamExt as _};
use ronda_domain::id::TenantId;
use ronda_schemas::row::ApiKeyRow;

use super::client::side_by_side;
use super::listing::SHELF;
use super::{CassandraStore, decode, encode};
use crate::error::StoreError;
use crate::port::KeyStore;

const READING: &str = "reading API keys";
const WRITING: &str = "writing an API key";

impl CassandraStore {
    /// The hashes of all keys, or of a tenant's.
    pub(super) async fn key_hashes(&self, tenant: Option<&TenantId>) -> Result<Vec<Vec<u8>>, StoreError> {
        let statements = &self.client.statements;
        let rows = match tenant {
            Some(tenant) => self.client.rows(READING, &statements.tenant_keys, (SHELF, tenant.as_str())).await?,
            None => self.client.rows(READING, &statements.all_keys, (SHELF,)).await?,
        };
        rows.map_ok(|(_, hash): (String, Vec<u8>)| hash).try_collect().await
    }

    async fn key_row(&self, hash: &[u8]) -> Result<Option<ApiKeyRow>, StoreError> {
        let found: Option<(Option<Vec<u8>>,)> =
            self.client.first(READING, &self.client.statements.key, (hash,)).await?;
        found.and_then(|(row,)| row).map(|row| decode(&row)).transpose()
    }
}

#[async_trait]
impl KeyStore for CassandraStore {
    async fn put_key(&self, key: ApiKeyRow) -> Result<(), StoreError> {
        let (statements, row, tenant) = (&self.client.statements, encode(&key)?, key.tenant.as_str());
        let hash = key.hash.as_slice();
        // In the lists first: a key that works and can't be found could not be revoked.
        self.client.write(WRITING, &statements.list_key, (SHELF, tenant, hash)).await?;
        self.client.write(WRITING, &statements.put_tenant, (SHELF, tenant)).await?;
        for lost in 1.. {
            if self.client.conditional(WRITING, &statements.make_key, (hash, row.as_slice())).await?
                || self.client.conditional(WRITING, &statements.change_key, (row.as_slice(), hash)).await?
            {
                break;
            }
            self.client.pause(WRITING, lost).await?;
        }
        Ok(())
    }

    async fn key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.key_row(hash).await
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError> {
        let hashes = self.key_hashes(tenant).await?;
        let rows = hashes.iter().map(|hash| self.key_row(hash).boxed()).collect();
        let rows: Vec<Option<ApiKeyRow>> = side_by_side(rows, self.in_flight()).await?;
        let mut rows: Vec<_> = rows.into_iter().flatten().collect();
        rows.sort_by(|left, right| (left.created_at, &left.id).cmp(&(right.created_at, &right.id)));
        Ok(rows)
    }
}
