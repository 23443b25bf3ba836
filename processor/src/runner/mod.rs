//! The loop around the core: one supervised task for each partition that is assigned.

mod admission;
mod batch;
mod crew;
mod lag;
mod partition;
mod pause;
mod publish;
mod retention;
mod telemetry;
mod vitals;

use std::sync::Arc;
use std::time::Duration;

use ronda_lease::Ownership;
use ronda_queue::{Queue, QueueError};
use ronda_runtime::{CancellationToken, Health};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{KeyStore, PartitionStore, Retention};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::config::{Config, ConfigError};
use admission::Admission;
use crew::Crew;
use vitals::Vitals;

/// How often it is shown that the loop is alive while no partition is there to show it.
const BEAT: Duration = Duration::from_secs(5);

/// So many calls at once ask the store for what partitions begin with: a process may be given a thousand at the same moment, and whoever works on
/// others already needs the store as well.
const BEGINNING_AT_ONCE: usize = 32;

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

    /// Whether the store was repartitioned meanwhile: no wait makes this process fit for it.
    const fn is_repartitioned(&self) -> bool {
        matches!(self, Self::Store(error) if matches!(error.kind, StoreErrorKind::OtherPartitions))
    }

    /// Whether somebody else has acquired the partition.
    const fn is_fence(&self) -> bool {
        matches!(self, Self::Store(error) if matches!(error.kind, StoreErrorKind::Fenced))
    }
}

/// A processor of some partitions of a command queue, as they are assigned. `S` is the store, usually `dyn Store`.
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
    /// Turns to ask the store for what a partition begins with.
    beginning: Semaphore,
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
        let beginning = Semaphore::new(BEGINNING_AT_ONCE);
        Ok(Self {
            shared: Arc::new(Shared { config, commands, events, dead_letters, store, vitals, admission, beginning }),
        })
    }

    /// Works on the partitions that are assigned, until it is cancelled or nobody assigns any more. Of one that is taken away, or of all at
    /// the end, the step under way is finished, committed, published and settled; then that it was let go is told.
    ///
    /// A partition that fails or panics is taken up again from its last commit, after a wait; the others go on meanwhile. One that somebody
    /// else has acquired ends at once, which is told; it is taken up again if it is still assigned after a wait.
    ///
    /// # Errors
    /// When the store is made for another number of partitions by now: all are let go, so that others, started for that number, get them.
    pub async fn run(&self, mut ownership: Ownership, cancel: CancellationToken) -> Result<(), ProcessorError> {
        let vitals = &self.shared.vitals;
        let mut crew = Crew::new(Arc::clone(&self.shared));
        let watch = AbortOnDrop(tokio::spawn(lag::watch(Arc::clone(&self.shared), cancel.clone())));
        let mut end = Ok(());
        loop {
            crew.keep_to(&ownership.assigned());
            ownership.works_on(|partition| crew.works_on(partition));
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                changed = ownership.changed() => if changed.is_err() { break },
                news = crew.news() => if let Some(error) = crew.hear(news, &mut ownership) {
                    end = Err(error);
                    break;
                },
                _ = pause::pause(BEAT, &cancel) => vitals.beat_if_idle(),
            }
        }
        crew.let_all_go(&ownership).await;
        drop(watch);
        vitals.rest();
        end
    }
}

/// A supervisor that is dropped takes its task along.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
