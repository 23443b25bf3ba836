//! A queue and a store that fail while they are told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::time::Timestamp;
use ronda_queue::{
    Capabilities, Depth, EmbeddedQueue, Partition, Position, Published, Queue, QueueError, QueueErrorKind, Receiver,
};
use ronda_schemas::lease::{AssignmentRow, Group, MemberRow};
use ronda_schemas::row::{ApiKeyRow, ErrorRow, IdempotencyRow, IdempotentAnswer, PartitionRow, SchedulerRow};
use ronda_store::embedded::EmbeddedStore;
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{
    Commit, ErrorCursor, HistoryPage, HistoryQuery, IdempotencyClaim, IdempotencyStore, KeyStore, LabelStore,
    LeaseStore, LeaseTable, PartitionStore, PurgeCursor, Purged, Retention, SchedulerReads, Store, SurfaceStore,
    SurfaceWrite,
};

const WORKS: u8 = 0;
const HANGS: u8 = 1;
const FAILS: u8 = 2;
const PANICS: u8 = 3;

/// A queue that stops confirming while told to.
pub(crate) struct FaultyQueue {
    inner: Arc<EmbeddedQueue>,
    switch: QueueSwitch,
}

/// Tells a [`FaultyQueue`] what to do.
#[derive(Clone, Default)]
pub(crate) struct QueueSwitch {
    mode: Arc<AtomicU8>,
    /// The only partition that does as told, counted from 1; 0: all do.
    only: Arc<AtomicU32>,
}

impl QueueSwitch {
    pub(crate) fn works(&self) {
        self.mode.store(WORKS, Ordering::SeqCst);
    }

    pub(crate) fn hangs(&self) {
        self.mode.store(HANGS, Ordering::SeqCst);
    }

    pub(crate) fn fails(&self) {
        self.mode.store(FAILS, Ordering::SeqCst);
    }

    /// The other partitions work from now on.
    pub(crate) fn only_in(&self, partition: Partition) {
        self.only.store(partition + 1, Ordering::SeqCst);
    }

    fn mode_of(&self, partition: Partition) -> u8 {
        match self.only.load(Ordering::SeqCst) {
            0 => self.mode.load(Ordering::SeqCst),
            only if only == partition + 1 => self.mode.load(Ordering::SeqCst),
            _ => WORKS,
        }
    }

    pub(crate) fn panics(&self) {
        self.mode.store(PANICS, Ordering::SeqCst);
    }

    pub(crate) fn wrap(&self, inner: Arc<EmbeddedQueue>) -> Arc<dyn Queue> {
        Arc::new(FaultyQueue { inner, switch: self.clone() })
    }
}

#[async_trait]
impl Queue for FaultyQueue {
    fn partitions(&self) -> u32 {
        self.inner.partitions()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn publish(&self, partition: Partition, message: Bytes) -> Result<Published, QueueError> {
        match self.switch.mode_of(partition) {
            HANGS => std::future::pending().await,
            FAILS => Err(QueueError::transient(QueueErrorKind::Unavailable, Duration::from_millis(20), "told to fail")),
            PANICS => panic!("told to panic"),
            _ => self.inner.publish(partition, message).await,
        }
    }

    async fn open(&self, partition: Partition, after: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
        self.inner.open(partition, after).await
    }

    async fn depth(&self, partition: Partition) -> Result<Depth, QueueError> {
        self.inner.depth(partition).await
    }
}

/// A store that can't be asked while it is told so.
pub(crate) struct FaultyStore {
    inner: Arc<EmbeddedStore>,
    switches: Switches,
}

/// What it is told to do.
#[derive(Default)]
struct Switches {
    /// It can't be asked at all.
    down: Arc<AtomicBool>,
    /// Only a scheduler's row can't be read.
    rows_down: Arc<AtomicBool>,
    /// What is asked on the way of a write is not answered.
    silent: Arc<AtomicBool>,
    /// Only lists of schedulers are never answered.
    lists_hang: Arc<AtomicBool>,
}

/// How a test's store is wrapped.
type Wrap = Box<dyn FnOnce(Arc<EmbeddedStore>) -> Arc<dyn Store> + Send>;

impl FaultyStore {
    /// Wraps a store that can't be asked at all while it is told so, and the switch that tells it.
    pub(crate) fn that_fails() -> (Wrap, Arc<AtomicBool>) {
        Self::wrap(|switches| &switches.down)
    }

    /// The same of one whose schedulers' rows can't be read.
    pub(crate) fn that_hides_rows() -> (Wrap, Arc<AtomicBool>) {
        Self::wrap(|switches| &switches.rows_down)
    }

    /// The same of one that does not answer.
    pub(crate) fn that_hangs() -> (Wrap, Arc<AtomicBool>) {
        Self::wrap(|switches| &switches.silent)
    }

    /// The same of one that never answers what lists schedulers.
    pub(crate) fn that_lists_for_ever() -> (Wrap, Arc<AtomicBool>) {
        Self::wrap(|switches| &switches.lists_hang)
    }

    /// Wraps a store with one of its switches.
    fn wrap(which: fn(&Switches) -> &Arc<AtomicBool>) -> (Wrap, Arc<AtomicBool>) {
        let switches = Switches::default();
        let switch = Arc::clone(which(&switches));
        (Box::new(move |inner| Arc::new(Self { inner, switches })), switch)
    }

    async fn answers(&self) {
        if self.switches.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }

    fn up(&self) -> Result<&EmbeddedStore, StoreError> {
        if self.switches.down.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "told to fail"));
        }
        Ok(&self.inner)
    }
}

#[async_trait]
impl PartitionStore for FaultyStore {
    async fn acquire(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError> {
        self.up()?.acquire(partition, partitions).await
    }

    async fn load(
        &self,
        partition: u32,
        partitions: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        self.up()?.load(partition, partitions, after, limit).await
    }

    async fn commit(&self, commit: Arc<Commit>) -> Result<(), StoreError> {
        self.up()?.commit(commit).await
    }

    async fn check_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError> {
        self.up()?.check_owner(partition, epoch).await
    }

    async fn repartition(&self, partitions: u32) -> Result<(), StoreError> {
        self.up()?.repartition(partitions).await
    }
}

#[async_trait]
impl SchedulerReads for FaultyStore {
    async fn partition(&self, partition: u32) -> Result<Option<PartitionRow>, StoreError> {
        self.up()?.partition(partition).await
    }

    async fn scheduler(&self, tenant: &str, scheduler: &str) -> Result<Option<SchedulerRow>, StoreError> {
        self.answers().await;
        if self.switches.rows_down.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "told to fail"));
        }
        self.up()?.scheduler(tenant, scheduler).await
    }

    async fn schedulers(
        &self,
        tenant: &TenantId,
        after: Option<&SchedulerId>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        if self.switches.lists_hang.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        self.up()?.schedulers(tenant, after, limit).await
    }

    async fn history(&self, key: &SchedulerKey, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        self.up()?.history(key, query).await
    }

    async fn errors(
        &self,
        tenant: &TenantId,
        after: Option<ErrorCursor>,
        limit: usize,
    ) -> Result<Vec<ErrorRow>, StoreError> {
        self.up()?.errors(tenant, after, limit).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        self.up()?.tenants().await
    }
}

#[async_trait]
impl KeyStore for FaultyStore {
    async fn put_key(&self, key: ApiKeyRow) -> Result<(), StoreError> {
        self.up()?.put_key(key).await
    }

    async fn key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.answers().await;
        self.up()?.key(hash).await
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.up()?.keys(tenant).await
    }
}

#[async_trait]
impl IdempotencyStore for FaultyStore {
    async fn claim(&self, tenant: &TenantId, key: &str, row: IdempotencyRow) -> Result<IdempotencyClaim, StoreError> {
        self.answers().await;
        self.up()?.claim(tenant, key, row).await
    }

    async fn take_over(
        &self,
        tenant: &TenantId,
        key: &str,
        found: &IdempotencyRow,
        row: IdempotencyRow,
    ) -> Result<bool, StoreError> {
        self.up()?.take_over(tenant, key, found, row).await
    }

    async fn answer(&self, tenant: &TenantId, key: &str, answer: IdempotentAnswer) -> Result<(), StoreError> {
        self.up()?.answer(tenant, key, answer).await
    }

    async fn release(&self, tenant: &TenantId, key: &str) -> Result<(), StoreError> {
        self.up()?.release(tenant, key).await
    }
}

#[async_trait]
impl SurfaceStore for FaultyStore {
    async fn acquire_shard(&self, shard: u32) -> Result<u64, StoreError> {
        self.up()?.acquire_shard(shard).await
    }

    async fn commit_surfaces(&self, shard: u32, epoch: u64, writes: Vec<SurfaceWrite>) -> Result<(), StoreError> {
        self.up()?.commit_surfaces(shard, epoch, writes).await
    }

    async fn surfaces(
        &self,
        shard: u32,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.up()?.surfaces(shard, prefix, after, limit).await
    }
}

#[async_trait]
impl LabelStore for FaultyStore {
    async fn label(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.up()?.label(name).await
    }

    async fn put_label(&self, name: &str, expected: Option<&str>, text: &str) -> Result<bool, StoreError> {
        self.up()?.put_label(name, expected, text).await
    }
}

#[async_trait]
impl LeaseStore for FaultyStore {
    async fn leases(&self, group: Group) -> Result<LeaseTable, StoreError> {
        self.up()?.leases(group).await
    }

    async fn put_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        self.up()?.put_member(group, member).await
    }

    async fn remove_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        self.up()?.remove_member(group, member).await
    }

    async fn swap_assignment(&self, group: Group, assignment: &AssignmentRow) -> Result<bool, StoreError> {
        self.up()?.swap_assignment(group, assignment).await
    }
}

#[async_trait]
impl Retention for FaultyStore {
    async fn purge(&self, before: Timestamp, resume: Option<PurgeCursor>, limit: usize) -> Result<Purged, StoreError> {
        self.up()?.purge(before, resume, limit).await
    }
}
