//! The core with its surroundings: event queue, store, clock and channel.
//!
//! One task owns all shards that are ours, so that the most urgent message of all is sent next, and no lock is held anywhere.
//! Taking shards up, reading the queue and calling the channel happen in tasks of their own, which only send what they got.

mod call;
mod commit;
mod engine;
mod holding;
mod late;
mod load;
mod nights;
mod source;
mod tenancy;

use std::sync::Arc;
use std::time::Duration;

use ronda_lease::{Ownership, Partitions};
use ronda_queue::Queue;
use ronda_runtime::{CancellationToken, Clock, Component, Health};
use ronda_schemas::codec::DecodeError;
use ronda_store::error::StoreError;
use ronda_store::port::Store;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::channel::Channel;
use crate::config::{Config, ConfigError};
use crate::intake::Now;
use crate::status::NotifierStatus;
use engine::Engine;
use load::Patience;

/// How often time is looked at when nothing else happens.
const TICK: Duration = Duration::from_millis(100);
/// A loop that has not come round for this long is dead.
const BEAT_WITHIN: Duration = Duration::from_secs(60);

/// Why a notifier can't be made, or ended.
#[derive(Debug, Error)]
pub enum NotifierError {
    /// Settings that can't be used; every one of them.
    #[error("the notifier's settings can't be used: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Config(Vec<ConfigError>),
    /// The store failed in a way that waiting does not help against.
    #[error("the notifier's rows can't be kept: {0}")]
    Store(#[source] StoreError),
    /// The event queue failed in a way that waiting does not help against.
    #[error("partition {shard} of the event queue can't be read: {message}")]
    Queue {
        /// Which partition.
        shard: u32,
        /// What happened.
        message: String,
    },
    /// The event queue was put back or made anew under this process. One that starts now reads it from its beginning.
    #[error("partition {shard} of the event queue can't be read on, and a restart is needed: {message}")]
    RolledBack {
        /// Which partition.
        shard: u32,
        /// What happened.
        message: String,
    },
    /// A stored row can't be read.
    #[error("a row of the notifier can't be used: {0}")]
    Row(#[from] DecodeError),
    /// An event was written by a newer release. It is neither passed nor settled, so nothing is lost.
    #[error("partition {shard} of the event queue can't be read on: {error}")]
    Event {
        /// Which partition.
        shard: u32,
        /// What was found.
        #[source]
        error: DecodeError,
    },
    /// The system gives no random numbers.
    #[error("no name for this installation can be made: {message}")]
    Random {
        /// What happened.
        message: String,
    },
}

/// Whether an error comes of data that a newer release wrote.
fn is_newer(error: &(dyn std::error::Error + 'static)) -> bool {
    let newer = |error: &(dyn std::error::Error + 'static)| {
        matches!(error.downcast_ref::<DecodeError>(), Some(DecodeError::NewerVersion { .. }))
    };
    std::iter::successors(Some(error), |error| error.source()).any(newer)
}

impl NotifierError {
    /// Whether a newer release is needed to go on.
    #[must_use]
    pub fn needs_newer_release(&self) -> bool {
        is_newer(self)
    }

    /// Whether there is no use in going on with other partitions.
    fn ends_all(&self) -> bool {
        self.needs_newer_release() || matches!(self, Self::RolledBack { .. } | Self::Random { .. })
    }
}

/// What the notifier works with.
#[derive(Clone)]
struct Surroundings {
    config: Arc<Config>,
    events: Arc<dyn Queue>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    channel: Arc<dyn Channel>,
}

impl Surroundings {
    fn now(&self) -> Now {
        Now { wall_ms: self.clock.wall_millis(), mono_ms: self.clock.mono_millis() }
    }
}

/// The notifier: see the crate.
pub struct Notifier {
    around: Surroundings,
    health: Component,
    status: watch::Sender<NotifierStatus>,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("config", &self.around.config).finish_non_exhaustive()
    }
}

impl Notifier {
    /// Puts a notifier together. Nothing is read or sent yet.
    ///
    /// # Errors
    /// [`NotifierError::Config`] with every setting that can't be used.
    pub fn build(
        config: Config,
        events: Arc<dyn Queue>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        channel: Arc<dyn Channel>,
        health: &Health,
    ) -> Result<Self, NotifierError> {
        config.validate().map_err(NotifierError::Config)?;
        let status = NotifierStatus { channel: channel.kind(), ..NotifierStatus::default() };
        let around = Surroundings { config: Arc::new(config), events, store, clock, channel };
        Ok(Self { around, health: health.component("notifier"), status: watch::Sender::new(status) })
    }

    /// How it is doing, as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<NotifierStatus> {
        self.status.subscribe()
    }

    /// Works on the partitions of the event queue that `ownership` assigns, as they come and go, until cancelled. Of one that goes calls in
    /// flight are waited for, up to `drain_ms`, and their outcomes committed; when it is cancelled, all go.
    ///
    /// # Errors
    /// [`NotifierError`]: data of a newer release, or what no partition can go on after. What stands in the way of one partition alone ends
    /// nothing: it is told in the health, and the partition taken up again after a while.
    pub async fn run(self, ownership: Ownership, cancel: CancellationToken) -> Result<(), NotifierError> {
        let health = self.health.clone().beating_within(BEAT_WITHIN);
        metrics::gauge!("ronda_notifier_partitions").set(0.0);
        let answer = self.run_inner(ownership, &cancel, &health).await;
        let last = self.status.borrow().clone();
        self.publish_status(NotifierStatus { shards: 0, backlog: 0, ..last });
        health.set_ready(false, "stopped");
        health.rest();
        answer
    }

    async fn run_inner(
        &self,
        mut ownership: Ownership,
        cancel: &CancellationToken,
        health: &Component,
    ) -> Result<(), NotifierError> {
        let (done_sender, mut done) = mpsc::channel(64);
        let (read_sender, mut reads) = source::channel();
        let patience = Patience { stop: cancel.clone(), within: None, health: health.clone() };
        let mut engine = Engine::new(self.around.clone(), done_sender, read_sender, patience);
        // Whoever decides what is ours may be gone before us: then nothing is.
        let mut somebody_decides = true;
        let (mut is_ready, mut was_ready) = (false, false);
        let mut ticker = tokio::time::interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled(), if !engine.is_ending() => engine.end(),
                changed = ownership.changed(), if somebody_decides => somebody_decides = changed.is_ok(),
                Some(outcome) = done.recv() => engine.finish(outcome, self.around.now())?,
                Some(read) = reads.recv() => engine.take_in(read, self.around.now())?,
                // While a night is read there is no time to wait.
                () = std::future::ready(()), if engine.is_reading() => {}
                _ = ticker.tick() => {}
                // Nobody waits longer for a message than it is to wait.
                () = after(engine.due_in()) => {}
            }
            // Whatever else is there already shares the commit.
            while let Ok(outcome) = done.try_recv() {
                engine.finish(outcome, self.around.now())?;
            }
            for _ in 0..64 {
                let Ok(read) = reads.try_recv() else { break };
                engine.take_in(read, self.around.now())?;
            }
            if !engine.is_ending() {
                engine.want(if somebody_decides { ownership.assigned() } else { Partitions::default() });
            }
            engine.turn(self.around.now()).await?;
            for returned in engine.take_returned() {
                ownership.tell(returned);
            }
            health.beat();
            is_ready |= engine.has_begun();
            let is_news = self.publish_status(engine.status());
            if is_ready && (is_news || !std::mem::replace(&mut was_ready, true)) {
                // A destination that refuses us is no reason to send traffic elsewhere, but one to look.
                let status = self.status.borrow();
                let reason = status.trouble.as_ref().or(status.last_error.as_ref());
                health.set_ready(true, reason.cloned().unwrap_or_default());
            }
            if engine.has_ended() {
                return Ok(());
            }
        }
    }

    /// Whether anything of it is new.
    fn publish_status(&self, status: NotifierStatus) -> bool {
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            if changed {
                metrics::gauge!("ronda_notifier_backlog_surfaces").set(gauge(status.backlog));
                metrics::gauge!("ronda_notifier_partitions").set(gauge(status.shards));
                *known = status;
            }
            changed
        })
    }
}

/// Returns after so long; never, if that is not known.
async fn after(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge's value need not be exact beyond 2^52")]
fn gauge(value: usize) -> f64 {
    value as f64
}
