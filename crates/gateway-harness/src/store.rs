//! A store to stand in for one that several processes share: it knows one key, and that every scheduler exists.

use std::sync::Arc;

use async_trait::async_trait;
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::time::Timestamp;
use ronda_schemas::lease::{AssignmentRow, Group, MemberRow};
use ronda_schemas::row::{ApiKeyRow, ErrorRow, IdempotencyRow, IdempotentAnswer, PartitionRow, SchedulerRow, Scopes};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{
    Commit, ErrorCursor, HistoryPage, HistoryQuery, IdempotencyClaim, IdempotencyStore, KeyStore, LabelStore,
    LeaseStore, LeaseTable, PartitionStore, PurgeCursor, Purged, Retention, SchedulerReads, SurfaceStore, SurfaceWrite,
};
use sha2::{Digest, Sha256};

/// One key that may do everything; all else can't be asked.
pub(crate) struct OneKey(ApiKeyRow);

impl OneKey {
    pub(crate) fn new(tenant: TenantId, key: &[u8]) -> Self {
        Self(ApiKeyRow {
            hash: Sha256::digest(key).into(),
            id: "harness".into(),
            tenant,
            name: "harness".into(),
            scopes: Scopes { ingest: true, read: true, admin: true },
            rate_limit_per_minute: u32::MAX,
            created_at: Timestamp::from_millis(0),
            expires_at: None,
            revoked_at: None,
        })
    }
}

fn nothing<T>() -> Result<T, StoreError> {
    Err(StoreError::new(StoreErrorKind::Unavailable, "this gateway was started without a store, to try it with others"))
}

#[async_trait]
impl PartitionStore for OneKey {
    async fn acquire(&self, _: u32, _: u32) -> Result<PartitionRow, StoreError> {
        nothing()
    }

    async fn repartition(&self, _: u32) -> Result<(), StoreError> {
        nothing()
    }

    async fn load(&self, _: u32, _: u32, _: Option<&SchedulerKey>, _: usize) -> Result<Vec<SchedulerRow>, StoreError> {
        nothing()
    }

    async fn commit(&self, _: Arc<Commit>) -> Result<(), StoreError> {
        nothing()
    }

    async fn check_owner(&self, _: u32, _: u64) -> Result<(), StoreError> {
        nothing()
    }
}

#[async_trait]
impl SchedulerReads for OneKey {
    async fn partition(&self, _: u32) -> Result<Option<PartitionRow>, StoreError> {
        nothing()
    }

    async fn scheduler(&self, _: &str, _: &str) -> Result<Option<SchedulerRow>, StoreError> {
        nothing()
    }

    async fn is_registered(&self, _: &str, _: &str) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn schedulers(
        &self,
        _: &TenantId,
        _: Option<&SchedulerId>,
        _: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        nothing()
    }

    async fn history(&self, _: &SchedulerKey, _: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        nothing()
    }

    async fn errors(&self, _: &TenantId, _: Option<ErrorCursor>, _: usize) -> Result<Vec<ErrorRow>, StoreError> {
        nothing()
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        Ok(vec![self.0.tenant.clone()])
    }
}

#[async_trait]
impl KeyStore for OneKey {
    async fn put_key(&self, _: ApiKeyRow) -> Result<(), StoreError> {
        nothing()
    }

    async fn key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        Ok((self.0.hash == *hash).then(|| self.0.clone()))
    }

    async fn keys(&self, _: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError> {
        Ok(vec![self.0.clone()])
    }
}

#[async_trait]
impl IdempotencyStore for OneKey {
    async fn claim(&self, _: &TenantId, _: &str, _: IdempotencyRow) -> Result<IdempotencyClaim, StoreError> {
        nothing()
    }

    async fn take_over(
        &self,
        _: &TenantId,
        _: &str,
        _: &IdempotencyRow,
        _: IdempotencyRow,
    ) -> Result<bool, StoreError> {
        nothing()
    }

    async fn answer(&self, _: &TenantId, _: &str, _: IdempotentAnswer) -> Result<(), StoreError> {
        nothing()
    }

    async fn release(&self, _: &TenantId, _: &str) -> Result<(), StoreError> {
        nothing()
    }
}

#[async_trait]
impl SurfaceStore for OneKey {
    async fn acquire_shard(&self, _: u32) -> Result<u64, StoreError> {
        nothing()
    }

    async fn commit_surfaces(&self, _: u32, _: u64, _: Vec<SurfaceWrite>) -> Result<(), StoreError> {
        nothing()
    }

    async fn surfaces(&self, _: u32, _: &str, _: Option<&str>, _: usize) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        nothing()
    }
}

#[async_trait]
impl LabelStore for OneKey {
    async fn label(&self, _: &str) -> Result<Option<String>, StoreError> {
        nothing()
    }

    async fn put_label(&self, _: &str, _: Option<&str>, _: &str) -> Result<bool, StoreError> {
        nothing()
    }
}

#[async_trait]
impl LeaseStore for OneKey {
    async fn leases(&self, _: Group) -> Result<LeaseTable, StoreError> {
        nothing()
    }

    async fn put_member(&self, _: Group, _: &MemberRow) -> Result<(), StoreError> {
        nothing()
    }

    async fn remove_member(&self, _: Group, _: &MemberRow) -> Result<(), StoreError> {
        nothing()
    }

    async fn swap_assignment(&self, _: Group, _: &AssignmentRow) -> Result<bool, StoreError> {
        nothing()
    }
}

#[async_trait]
impl Retention for OneKey {
    async fn purge(&self, _: Timestamp, _: Option<PurgeCursor>, _: usize) -> Result<Purged, StoreError> {
        nothing()
    }
}
