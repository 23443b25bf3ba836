//! A processor on the embedded store, and queues that a test may choose.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "each test file uses its own part of it; waits for a condition with a deadline"
)]

use std::sync::Arc;
use std::time::Duration;

use ronda_lease::Ownership;
use ronda_processor::{Config, DirectAccess, Processor};
use ronda_queue::embedded::EmbeddedOptions as QueueOptions;
use ronda_queue::{EmbeddedQueue, Origin, Queue, ReceiveLimit};
use ronda_runtime::{CancellationToken, Health};
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::EventBatch;
use ronda_store::embedded::{EmbeddedOptions as StoreOptions, EmbeddedStore};
use ronda_store::port::{KeyStore, PartitionStore, Retention, Store};
use tokio::task::JoinHandle;

pub struct Rig {
    pub dir: tempfile::TempDir,
    pub commands: Arc<dyn Queue>,
    pub events: Arc<dyn Queue>,
    pub dead_letters: Arc<dyn Queue>,
    pub store: Arc<dyn Store>,
    pub health: Health,
}

pub struct Running {
    pub task: JoinHandle<()>,
    pub cancel: CancellationToken,
}

pub fn queue(dir: &std::path::Path, name: &str, partitions: u32) -> Arc<dyn Queue> {
    let options = QueueOptions { partitions, ..QueueOptions::default() };
    Arc::new(EmbeddedQueue::open(dir.join(name), options).unwrap())
}

impl Rig {
    pub fn new() -> Self {
        Self::with(|path| queue(path, "commands", 1))
    }

    pub fn with(commands: impl FnOnce(&std::path::Path) -> Arc<dyn Queue>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions { min_free_bytes: 0, ..StoreOptions::default() };
        let path = dir.path();
        Self {
            commands: commands(path),
            events: queue(path, "events", 4),
            dead_letters: queue(path, "dead-letters", 1),
            store: Arc::new(EmbeddedStore::open(path.join("store"), options).unwrap()),
            health: Health::new(),
            dir,
        }
    }

    pub fn start(&self, config: Config) -> Running {
        self.start_on(Arc::clone(&self.store), config)
    }

    pub fn start_on<S: PartitionStore + Retention + KeyStore + ?Sized + 'static>(
        &self,
        store: Arc<S>,
        config: Config,
    ) -> Running {
        self.start_with(store, config, Ownership::all(self.commands.partitions()))
    }

    pub fn start_with<S: PartitionStore + Retention + KeyStore + ?Sized + 'static>(
        &self,
        store: Arc<S>,
        config: Config,
        ownership: Ownership,
    ) -> Running {
        let (commands, events) = (Arc::clone(&self.commands), Arc::clone(&self.events));
        let letters = Arc::clone(&self.dead_letters);
        let processor = Processor::build(config, commands, events, letters, store, &self.health).unwrap();
        let cancel = CancellationToken::new();
        let token = cancel.clone();
        Running {
            task: tokio::spawn(async move { processor.run(ownership, token).await.expect("no repartitioning") }),
            cancel,
        }
    }

    pub async fn publish(&self, message: bytes::Bytes) -> u64 {
        self.commands.publish(0, message).await.unwrap().position.unwrap().0
    }

    /// Waits until the partition is committed through this position.
    pub async fn committed(&self, position: u64) {
        let is_there = async || {
            let row = self.store.partition(0).await.unwrap();
            row.is_some_and(|row| row.cursor >= position)
        };
        wait_for("the commit", is_there).await;
    }

    /// The ids of all events published so far.
    pub async fn event_ids(&self) -> Vec<String> {
        let batches = self.batches().await;
        batches.iter().flat_map(|batch| batch.events.iter().map(ronda_schemas::event::EventEnvelope::id)).collect()
    }

    pub async fn batches(&self) -> Vec<EventBatch> {
        let mut batches = Vec::new();
        for partition in 0..4 {
            let Some(newest) = self.events.depth(partition).await.unwrap().newest else { continue };
            let mut receiver = self.events.open(partition, None).await.unwrap();
            let mut at = 0;
            while at < newest.0 {
                for delivery in receiver.receive(ReceiveLimit::default()).await.unwrap() {
                    at = delivery.position.unwrap().0;
                    batches.push(EventBatch::decode(&delivery.message).unwrap());
                }
            }
        }
        batches
    }
}

impl Running {
    pub async fn stop(self) {
        self.cancel.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("it stops in time").unwrap();
    }
}

pub async fn wait_for(what: &str, mut is_there: impl AsyncFnMut() -> bool) {
    let until = tokio::time::Instant::now() + Duration::from_secs(120);
    while !is_there().await {
        assert!(tokio::time::Instant::now() < until, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn by_subject() -> Config {
    let direct_access = DirectAccess::Broker { tenant: None };
    Config { direct_access, commit_interval_ms: 20, ..Config::default() }
}

pub fn origin(id: &str, headers: &[(&str, &str)]) -> Origin {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Origin {
        tenant: Some("acme".to_owned()),
        message_id: Some(id.to_owned()),
        headers,
        source: "in".to_owned(),
        published_ms: None,
    }
}

pub async fn publish_direct(rig: &Rig, id: &str, text: String) {
    rig.commands.publish_direct(0, text.into(), &origin(id, &[])).await.unwrap();
}
