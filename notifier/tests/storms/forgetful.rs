//! A store that forgets claims: what the notifier would be without them, although it has no such switch.
//!
//! A commit in which a message is claimed for a post is acknowledged, and all of it is kept but the claim: in the store the message stays
//! `Absent`. Within a process nothing changes; whoever takes the rows up after it, does not know that a call was made.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::time::Timestamp;
use ronda_schemas::lease::{AssignmentRow, Group, MemberRow};
use ronda_schemas::row::{ApiKeyRow, ErrorRow, IdempotencyRow, IdempotentAnswer, PartitionRow, SchedulerRow};
use ronda_store::error::StoreError;
use ronda_store::port::{
    Commit, ErrorCursor, HistoryPage, HistoryQuery, IdempotencyClaim, IdempotencyStore, KeyStore, LabelStore,
    LeaseStore, LeaseTable, PartitionStore, PurgeCursor, Purged, Retention, SchedulerReads, Store, SurfaceStore,
    SurfaceWrite,
};

/// `{"Posting": [fence, revision]}` in MessagePack, up to its two numbers.
const POSTING: &[u8] = b"\x81\xa7Posting\x92";
/// `"Absent"` in MessagePack.
const ABSENT: &[u8] = b"\xa6Absent";

pub(crate) struct Forgetful {
    store: Arc<dyn Store>,
    forgotten: AtomicU64,
}

impl Forgetful {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, forgotten: AtomicU64::new(0) }
    }

    /// How many claims were forgotten.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    fn forget(&self, write: SurfaceWrite) -> SurfaceWrite {
        let Some(row) = write.row.as_deref().and_then(without_claim) else { return write };
        self.forgotten.fetch_add(1, Ordering::Relaxed);
        SurfaceWrite { row: Some(row), ..write }
    }
}

/// A surface's row as it would be had nobody claimed its post; `None`: nobody has.
fn without_claim(row: &[u8]) -> Option<Vec<u8>> {
    let at = row.windows(POSTING.len()).position(|window| window == POSTING)?;
    let (before, claim) = row.split_at(at);
    let fence = &claim[POSTING.len()..];
    let revision = &fence[number_length(fence)..];
    let after = &revision[number_length(revision)..];
    Some([before, ABSENT, after].concat())
}

/// How many bytes a MessagePack number takes.
fn number_length(bytes: &[u8]) -> usize {
    match bytes[0] {
        0..=0x7f => 1,
        0xcc => 2,
        0xcd => 3,
        0xce => 5,
        0xcf => 9,
        other => panic!("{other:#x} begins no number"),
    }
}

#[async_trait]
impl PartitionStore for Forgetful {
    fn is_atomic(&self) -> bool {
        self.store.is_atomic()
    }

    async fn acquire(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError> {
        self.store.acquire(partition, partitions).await
    }

    async fn load(
        &self,
        partition: u32,
        partitions: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        self.store.load(partition, partitions, after, limit).await
    }

    async fn commit(&self, commit: Arc<Commit>) -> Result<(), StoreError> {
        self.store.commit(commit).await
    }

    async fn check_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError> {
        self.store.check_owner(partition, epoch).await
    }

    async fn repartition(&self, partitions: u32) -> Result<(), StoreError> {
        self.store.repartition(partitions).await
    }
}

#[async_trait]
impl SchedulerReads for Forgetful {
    async fn partition(&self, partition: u32) -> Result<Option<PartitionRow>, StoreError> {
        self.store.partition(partition).await
    }

    async fn scheduler(&self, tenant: &str, scheduler: &str) -> Result<Option<SchedulerRow>, StoreError> {
        self.store.scheduler(tenant, scheduler).await
    }

    async fn is_registered(&self, tenant: &str, scheduler: &str) -> Result<bool, StoreError> {
        self.store.is_registered(tenant, scheduler).await
    }

    async fn schedulers(
        &self,
        tenant: &TenantId,
        after: Option<&SchedulerId>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        self.store.schedulers(tenant, after, limit).await
    }

    async fn history(&self, key: &SchedulerKey, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        self.store.history(key, query).await
    }

    async fn errors(
        &self,
        tenant: &TenantId,
        after: Option<ErrorCursor>,
        limit: usize,
    ) -> Result<Vec<ErrorRow>, StoreError> {
        self.store.errors(tenant, after, limit).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        self.store.tenants().await
    }
}

#[async_trait]
impl KeyStore for Forgetful {
    async fn put_key(&self, key: ApiKeyRow) -> Result<(), StoreError> {
        self.store.put_key(key).await
    }

    async fn key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.store.key(hash).await
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.store.keys(tenant).await
    }
}

#[async_trait]
impl IdempotencyStore for Forgetful {
    async fn claim(&self, tenant: &TenantId, key: &str, row: IdempotencyRow) -> Result<IdempotencyClaim, StoreError> {
        self.store.claim(tenant, key, row).await
    }

    async fn take_over(
        &self,
        tenant: &TenantId,
        key: &str,
        found: &IdempotencyRow,
        row: IdempotencyRow,
    ) -> Result<bool, StoreError> {
        self.store.take_over(tenant, key, found, row).await
    }

    async fn answer(&self, tenant: &TenantId, key: &str, answer: IdempotentAnswer) -> Result<(), StoreError> {
        self.store.answer(tenant, key, answer).await
    }

    async fn release(&self, tenant: &TenantId, key: &str) -> Result<(), StoreError> {
        self.store.release(tenant, key).await
    }
}

#[async_trait]
impl SurfaceStore for Forgetful {
    async fn acquire_shard(&self, shard: u32) -> Result<u64, StoreError> {
        self.store.acquire_shard(shard).await
    }

    async fn commit_surfaces(&self, shard: u32, epoch: u64, writes: Vec<SurfaceWrite>) -> Result<(), StoreError> {
        let writes = writes.into_iter().map(|write| self.forget(write)).collect();
        self.store.commit_surfaces(shard, epoch, writes).await
    }

    async fn surfaces(
        &self,
        shard: u32,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.store.surfaces(shard, prefix, after, limit).await
    }
}

#[async_trait]
impl LabelStore for Forgetful {
    async fn label(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.store.label(name).await
    }

    async fn put_label(&self, name: &str, expected: Option<&str>, text: &str) -> Result<bool, StoreError> {
        self.store.put_label(name, expected, text).await
    }
}

#[async_trait]
impl LeaseStore for Forgetful {
    async fn leases(&self, group: Group) -> Result<LeaseTable, StoreError> {
        self.store.leases(group).await
    }

    async fn put_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        self.store.put_member(group, member).await
    }

    async fn remove_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        self.store.remove_member(group, member).await
    }

    async fn swap_assignment(&self, group: Group, assignment: &AssignmentRow) -> Result<bool, StoreError> {
        self.store.swap_assignment(group, assignment).await
    }
}

#[async_trait]
impl Retention for Forgetful {
    async fn purge(&self, before: Timestamp, resume: Option<PurgeCursor>, limit: usize) -> Result<Purged, StoreError> {
        self.store.purge(before, resume, limit).await
    }
}
