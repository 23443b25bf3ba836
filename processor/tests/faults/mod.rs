//! A store whose commits go wrong as a test wants it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "each test file uses its own part of it; a store can be slow"
)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use ronda_domain::id::{SchedulerKey, TenantId};
use ronda_domain::time::Timestamp;
use ronda_schemas::row::{ApiKeyRow, PartitionRow, SchedulerRow};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{Commit, KeyStore, PartitionStore, PurgeCursor, Purged, Retention, Store};
use tokio::sync::RwLock;

/// What becomes of a commit.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It is made, and nobody hears so.
    AnswerLost,
    /// It is not made.
    Unavailable,
    /// It is not made, and is to be tried again after a while.
    Throttled(Duration),
    /// It is made, nobody hears so, and somebody else acquires the partition at once.
    AnswerLostAndFenced,
    /// Somebody else acquires the partition before it.
    Fenced,
}

/// The store, and what is to happen to it.
pub struct Faulty {
    pub store: Arc<dyn Store>,
    /// Of the next commits, in turn.
    faults: Mutex<VecDeque<Fault>>,
    /// It takes no commits, lets nobody acquire and loads nothing.
    pub is_away: AtomicBool,
    /// Commits wait while a test holds it.
    pub gate: RwLock<()>,
    /// Commits asked for, those that wait included.
    pub asked: AtomicUsize,
    /// It passes for one that writes its rows one by one.
    pub is_scattered: AtomicBool,
    /// How often an owner asked whether it still is one.
    pub checks: AtomicUsize,
    /// Pages asked for.
    pub loads: AtomicUsize,
    /// How far it is away: a page takes so much longer.
    pub way: Mutex<Duration>,
    /// Pages on their way, now and at most.
    pub loading: (AtomicUsize, AtomicUsize),
}

impl Faulty {
    pub fn new(store: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::clone(store),
            faults: Mutex::default(),
            is_away: AtomicBool::new(false),
            gate: RwLock::new(()),
            asked: AtomicUsize::new(0),
            is_scattered: AtomicBool::new(false),
            checks: AtomicUsize::new(0),
            loads: AtomicUsize::new(0),
            way: Mutex::default(),
            loading: <(AtomicUsize, AtomicUsize)>::default(),
        })
    }

    pub fn then(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().extend(faults);
    }

    /// Whether all faults have come about.
    pub fn is_through(&self) -> bool {
        self.faults.lock().is_empty()
    }

    fn is_there(&self) -> Result<(), StoreError> {
        if self.is_away.load(Ordering::SeqCst) { Err(away()) } else { Ok(()) }
    }

    async fn acquired_by_another(&self, commit: &Commit) -> Result<(), StoreError> {
        self.store.acquire(commit.partition.partition, commit.partition.partitions).await.map(drop)
    }
}

fn away() -> StoreError {
    let retryable = StoreError::new(StoreErrorKind::Unavailable, "the store is away");
    assert!(retryable.retryable);
    retryable
}

#[async_trait]
impl PartitionStore for Faulty {
    fn is_atomic(&self) -> bool {
        !self.is_scattered.load(Ordering::SeqCst)
    }

    async fn acquire(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError> {
        self.is_there()?;
        self.store.acquire(partition, partitions).await
    }

    async fn load(
        &self,
        partition: u32,
        partitions: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError> {
        self.is_there()?;
        self.loads.fetch_add(1, Ordering::SeqCst);
        let way = *self.way.lock();
        let now = self.loading.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.loading.1.fetch_max(now, Ordering::SeqCst);
        if !way.is_zero() {
            tokio::time::sleep(way).await;
        }
        let page = self.store.load(partition, partitions, after, limit).await;
        self.loading.0.fetch_sub(1, Ordering::SeqCst);
        page
    }

    async fn commit(&self, commit: Arc<Commit>) -> Result<(), StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _open = self.gate.read().await;
        self.is_there()?;
        let fault = self.faults.lock().pop_front();
        match fault {
            None => self.store.commit(commit).await,
            Some(Fault::AnswerLost) => {
                self.store.commit(commit).await?;
                Err(away())
            }
            Some(Fault::Unavailable) => Err(away()),
            Some(Fault::Throttled(wait)) => Err(StoreError { retry_after: Some(wait), ..away() }),
            Some(Fault::AnswerLostAndFenced) => {
                self.store.commit(Arc::clone(&commit)).await?;
                self.acquired_by_another(&commit).await?;
                Err(away())
            }
            Some(Fault::Fenced) => {
                self.acquired_by_another(&commit).await?;
                self.store.commit(commit).await
            }
        }
    }

    async fn check_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError> {
        self.is_there()?;
        self.checks.fetch_add(1, Ordering::SeqCst);
        self.store.check_owner(partition, epoch).await
    }

    async fn repartition(&self, partitions: u32) -> Result<(), StoreError> {
        self.store.repartition(partitions).await
    }
}

#[async_trait]
impl Retention for Faulty {
    async fn purge(&self, before: Timestamp, resume: Option<PurgeCursor>, limit: usize) -> Result<Purged, StoreError> {
        self.store.purge(before, resume, limit).await
    }
}

#[async_trait]
impl KeyStore for Faulty {
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
