//! A decorator: a store whose calls go wrong as a case wants it, as they do on a network.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::time::Timestamp;
use ronda_schemas::lease::{AssignmentRow, Group, MemberRow};
use ronda_schemas::row::{ApiKeyRow, ErrorRow, IdempotencyRow, IdempotentAnswer, PartitionRow, SchedulerRow};

use crate::error::{StoreError, StoreErrorKind};
use crate::port::{
    Commit, ErrorCursor, HistoryPage, HistoryQuery, IdempotencyClaim, IdempotencyStore, KeyStore, LabelStore,
    LeaseStore, LeaseTable, PartitionStore, PurgeCursor, Purged, Retention, SchedulerReads, Store, SurfaceStore,
    SurfaceWrite,
};

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not arrive.
    CallLost,
    /// It is carried out, and nobody hears so.
    AnswerLost,
    /// It is not carried out, and is to be tried again after a while.
    Throttled(Duration),
    /// Of a commit: nobody hears of it, and it is carried out when the case says so.
    Late,
}

/// A commit that is still on its way.
enum Delayed {
    Partition(Arc<Commit>),
    Surfaces(u32, u64, Vec<SurfaceWrite>),
}

/// The store, and what is to happen to its calls.
pub struct Faulty {
    store: Arc<dyn Store>,
    /// Method and fault, in turn. A call of another method passes.
    faults: Mutex<VecDeque<(&'static str, Fault)>>,
    delayed: Mutex<Vec<Delayed>>,
}

impl Faulty {
    /// A store that does as the other one until it is told to fail.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, faults: Mutex::default(), delayed: Mutex::default() }
    }

    /// What happens to the next call of a method of the port, after what was said before.
    pub fn then(&self, method: &'static str, fault: Fault) {
        self.faults.lock().push_back((method, fault));
    }

    /// Whether all that was to happen has happened.
    #[must_use]
    pub fn is_through(&self) -> bool {
        self.faults.lock().is_empty()
    }

    /// Carries out what was delayed; what came of each, which nobody waits for any more.
    pub async fn carry_out(&self) -> Vec<Result<(), StoreError>> {
        let delayed = std::mem::take(&mut *self.delayed.lock());
        let mut outcomes = Vec::new();
        for one in delayed {
            outcomes.push(match one {
                Delayed::Partition(commit) => self.store.commit(commit).await,
                Delayed::Surfaces(shard, epoch, writes) => self.store.commit_surfaces(shard, epoch, writes).await,
            });
        }
        outcomes
    }

    fn next(&self, method: &'static str) -> Option<Fault> {
        let mut faults = self.faults.lock();
        let is_meant = faults.front().is_some_and(|(of, _)| *of == method);
        if is_meant { faults.pop_front().map(|(_, fault)| fault) } else { None }
    }

    async fn call<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match self.next(method) {
            None => call.await,
            Some(Fault::AnswerLost) => {
                call.await?;
                Err(unavailable("the answer was lost"))
            }
            Some(Fault::CallLost | Fault::Late) => Err(unavailable("the call was lost")),
            Some(Fault::Throttled(wait)) => {
                Err(StoreError { retry_after: Some(wait), ..unavailable("there are too many calls") })
            }
        }
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, why)
}

#[async_trait]
impl PartitionStore for Faulty {
    fn is_atomic(&self) -> bool {
        self.store.is_atomic()
    }

    async fn acquire(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError> {
        self.call("acquire", self.store.acquire(partition, partitions)).await
    }

    async fn load(
        &self,
        partition: u32,
        partitions: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        self.call("load", self.store.load(partition, partitions, after, limit)).await
    }

    async fn commit(&self, commit: Arc<Commit>) -> Result<(), StoreError> {
        if self.faults.lock().front() == Some(&("commit", Fault::Late)) {
            self.delayed.lock().push(Delayed::Partition(Arc::clone(&commit)));
        }
        self.call("commit", self.store.commit(commit)).await
    }

    async fn check_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError> {
        self.call("check_owner", self.store.check_owner(partition, epoch)).await
    }

    async fn repartition(&self, partitions: u32) -> Result<(), StoreError> {
        self.call("repartition", self.store.repartition(partitions)).await
    }
}

#[async_trait]
impl SchedulerReads for Faulty {
    async fn partition(&self, partition: u32) -> Result<Option<PartitionRow>, StoreError> {
        self.call("partition", self.store.partition(partition)).await
    }

    async fn scheduler(&self, tenant: &str, scheduler: &str) -> Result<Option<SchedulerRow>, StoreError> {
        self.call("scheduler", self.store.scheduler(tenant, scheduler)).await
    }

    async fn is_registered(&self, tenant: &str, scheduler: &str) -> Result<bool, StoreError> {
        self.call("is_registered", self.store.is_registered(tenant, scheduler)).await
    }

    async fn schedulers(
        &self,
        tenant: &TenantId,
        after: Option<&SchedulerId>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        self.call("schedulers", self.store.schedulers(tenant, after, limit)).await
    }

    async fn history(&self, key: &SchedulerKey, query: &HistoryQuery) -> Result<HistoryPage, StoreError> {
        self.call("history", self.store.history(key, query)).await
    }

    async fn errors(
        &self,
        tenant: &TenantId,
        after: Option<ErrorCursor>,
        limit: usize,
    ) -> Result<Vec<ErrorRow>, StoreError> {
        self.call("errors", self.store.errors(tenant, after, limit)).await
    }

    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        self.call("tenants", self.store.tenants()).await
    }
}

#[async_trait]
impl KeyStore for Faulty {
    async fn put_key(&self, key: ApiKeyRow) -> Result<(), StoreError> {
        self.call("put_key", self.store.put_key(key)).await
    }

    async fn key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.call("key", self.store.key(hash)).await
    }

    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError> {
        self.call("keys", self.store.keys(tenant)).await
    }
}

#[async_trait]
impl IdempotencyStore for Faulty {
    async fn claim(&self, tenant: &TenantId, key: &str, row: IdempotencyRow) -> Result<IdempotencyClaim, StoreError> {
        self.call("claim", self.store.claim(tenant, key, row)).await
    }

    async fn take_over(
        &self,
        tenant: &TenantId,
        key: &str,
        found: &IdempotencyRow,
        row: IdempotencyRow,
    ) -> Result<bool, StoreError> {
        self.call("take_over", self.store.take_over(tenant, key, found, row)).await
    }

    async fn answer(&self, tenant: &TenantId, key: &str, answer: IdempotentAnswer) -> Result<(), StoreError> {
        self.call("answer", self.store.answer(tenant, key, answer)).await
    }

    async fn release(&self, tenant: &TenantId, key: &str) -> Result<(), StoreError> {
        self.call("release", self.store.release(tenant, key)).await
    }
}

#[async_trait]
impl SurfaceStore for Faulty {
    async fn acquire_shard(&self, shard: u32) -> Result<u64, StoreError> {
        self.call("acquire_shard", self.store.acquire_shard(shard)).await
    }

    async fn commit_surfaces(&self, shard: u32, epoch: u64, writes: Vec<SurfaceWrite>) -> Result<(), StoreError> {
        if self.faults.lock().front() == Some(&("commit_surfaces", Fault::Late)) {
            self.delayed.lock().push(Delayed::Surfaces(shard, epoch, writes.clone()));
        }
        self.call("commit_surfaces", self.store.commit_surfaces(shard, epoch, writes)).await
    }

    async fn surfaces(
        &self,
        shard: u32,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.call("surfaces", self.store.surfaces(shard, prefix, after, limit)).await
    }
}

#[async_trait]
impl LabelStore for Faulty {
    async fn label(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.call("label", self.store.label(name)).await
    }

    async fn put_label(&self, name: &str, expected: Option<&str>, text: &str) -> Result<bool, StoreError> {
        self.call("put_label", self.store.put_label(name, expected, text)).await
    }
}

#[async_trait]
impl LeaseStore for Faulty {
    async fn leases(&self, group: Group) -> Result<LeaseTable, StoreError> {
        self.call("leases", self.store.leases(group)).await
    }

    async fn put_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        self.call("put_member", self.store.put_member(group, member)).await
    }

    async fn remove_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        self.call("remove_member", self.store.remove_member(group, member)).await
    }

    async fn swap_assignment(&self, group: Group, assignment: &AssignmentRow) -> Result<bool, StoreError> {
        self.call("swap_assignment", self.store.swap_assignment(group, assignment)).await
    }
}

#[async_trait]
impl Retention for Faulty {
    async fn purge(&self, before: Timestamp, resume: Option<PurgeCursor>, limit: usize) -> Result<Purged, StoreError> {
        self.call("purge", self.store.purge(before, resume, limit)).await
    }
}
