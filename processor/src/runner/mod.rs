//! The loop around the core: one supervised task a partition.

mod admission;
mod batch;
mod lag;
mod partition;
mod pause;
mod publish;
mod retention;
mod telemetry;
mod vitals;

use std::sync::Arc;
use std::time::Duration;

use ronda_queue::{Queue, QueueError};
use ronda_runtime::{CancellationToken, Health};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{KeyStore, PartitionStore, Retention};
use thiserror::Error;
use tokio::task::JoinSet;

use crate::config::{Config, ConfigError};
use admission::Admission;
use partition::Owner;
use pause::Backoff;
use vitals::{Trouble, Vitals};

/// First and longest wait before a partition is taken up again.
const RESTART: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));

/// Why a processor, or one of its partitions, stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProcessorError {
    /// Settings that can't be used.
    #[error("processor settings: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<ConfigError>),
    /// The store refused or failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// A queue refused or failed.
    #[error("{which} queue: {source}")]
    Queue {
        /// Which of the three.
        which: &'static str,
        /// What it said.
        source: QueueError,
    },
    /// Something of our own can't be encoded.
    #[error("{0}")]
    Encode(#[from] ronda_schemas::codec::DecodeError),
    /// It was told to stop while it was trying again.
    #[error("stopped before the backend came back; what is not committed will be read again")]
    Stopped,
    /// A defect in the processor itself: it would go round for ever.
    #[error(
        "nothing came of the message at position {position}, and it is not through; it is started again from the last commit"
    )]
    NoProgress {
        /// Where in the command queue.
        position: u64,
    },
    /// A defect in the processor itself.
    #[error("the partition's task panicked; it is started again from the last commit")]
    Panicked,
}

impl ProcessorError {
    /// Whether the same log leads to it again and again.
    const fn is_defect(&self) -> bool {
        match self {
            Self::Store(error) => matches!(error.kind, StoreErrorKind::Invalid),
            Self::Encode(_) | Self::NoProgress { .. } | Self::Panicked => true,
            Self::Config(_) | Self::Queue { .. } | Self::Stopped => false,
        }
    }
}

/// A processor of all partitions of a command queue. `S` is the store, usually `dyn Store`.
pub struct Processor<S: ?Sized> {
    shared: Arc<Shared<S>>,
}

/// What all partitions share.
struct Shared<S: ?Sized> {
    config: Config,
    commands: Arc<dyn Queue>,
    events: Arc<dyn Queue>,
    dead_letters: Arc<dyn Queue>,
    store: Arc<S>,
    vitals: Vitals,
    admission: Admission,
}

impl<S: PartitionStore + Retention + KeyStore + ?Sized + 'static> Processor<S> {
    /// Makes a processor; nothing runs yet.
    ///
    /// # Errors
    /// [`ProcessorError::Config`] with every setting that can't be used.
    pub fn build(
        config: Config,
        commands: Arc<dyn Queue>,
        events: Arc<dyn Queue>,
        dead_letters: Arc<dyn Queue>,
        store: Arc<S>,
        health: &Health,
    ) -> Result<Self, ProcessorError> {
        config.check().map_err(ProcessorError::Config)?;
        telemetry::describe();
        let vitals = Vitals::new(health, commands.partitions());
        let admission = Admission::new(config.direct_access.clone());
        Ok(Self { shared: Arc::new(Shared { config, commands, events, dead_letters, store, vitals, admission }) })
    }

    /// Runs until it is cancelled; then each partition finishes its step, commits, publishes and settles it.
    ///
    /// A partition that fails or panics is taken up again from its last commit, after a wait; the others go on meanwhile.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(lag::watch(Arc::clone(&self.shared), cancel.clone()));
        for partition in 0..self.shared.commands.partitions() {
            tasks.spawn(supervise(Arc::clone(&self.shared), partition, cancel.clone()));
        }
        while tasks.join_next().await.is_some() {}
        self.shared.vitals.rest();
    }
}

async fn supervise<S>(shared: Arc<Shared<S>>, partition: u32, cancel: CancellationToken)
where
    S: PartitionStore + Retention + KeyStore + ?Sized + 'static,
{
    let mut backoff = Backoff::new(RESTART.0, RESTART.1);
    while !cancel.is_cancelled() {
        let owner = Owner::new(Arc::clone(&shared), partition, cancel.clone());
        let commits = shared.vitals.commits(partition);
        // A task of its own: a panic ends only it, and comes out here.
        let mut task = AbortOnDrop(tokio::spawn(Box::pin(owner.run())));
        let error = match (&mut task.0).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => ProcessorError::Panicked,
        };
        shared.vitals.set_ready(partition, false);
        shared.vitals.set_trouble(partition, Trouble { text: error.to_string(), is_lasting: error.is_defect() });
        telemetry::restarted(partition);
        tracing::error!(partition, error = %error, "a partition stopped; it will be taken up again");
        if shared.vitals.commits(partition) != commits {
            backoff.reset();
        }
        // A restart of the process would do no better, and would stop the other partitions, too: readiness tells it.
        shared.vitals.beat_of(partition);
        if !backoff.wait(None, &cancel).await {
            return;
        }
    }
}

/// A supervisor that is dropped takes its task along.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
