//! The core with its surroundings: event queue, store, clock and channel.
//!
//! One task owns all shards, so that the most urgent message of all is sent next, and no lock is held anywhere. Reading
//! the queue and calling the channel happen in tasks of their own, which only send what they got.

mod engine;
mod source;

use std::sync::Arc;
use std::time::Duration;

use ronda_queue::Queue;
use ronda_runtime::{CancellationToken, Clock, Component, Health};
use ronda_schemas::codec::DecodeError;
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::Store;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::channel::Channel;
use crate::config::{Config, ConfigError};
use crate::intake::Now;
use crate::status::NotifierStatus;
use engine::{Done, Engine, Patience};

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
    /// Another notifier took over this one's partition.
    #[error("another notifier has taken over partition {shard} of the event queue; this one stops")]
    Fenced {
        /// Which partition.
        shard: u32,
    },
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

    fn store(shard: u32, error: StoreError) -> Self {
        if error.kind == StoreErrorKind::Fenced { Self::Fenced { shard } } else { Self::Store(error) }
    }
}

/// The notifier: see the crate.
pub struct Notifier {
    config: Arc<Config>,
    events: Arc<dyn Queue>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    channel: Arc<dyn Channel>,
    health: Component,
    status: watch::Sender<NotifierStatus>,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier").field("config", &self.config).finish_non_exhaustive()
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
        Ok(Self {
            config: Arc::new(config),
            events,
            store,
            clock,
            channel,
            health: health.component("notifier"),
            status: watch::Sender::new(status),
        })
    }

    /// How it is doing, as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<NotifierStatus> {
        self.status.subscribe()
    }

    /// Runs until cancelled; then calls in flight are waited for, up to `drain_ms`, and their outcomes committed.
    ///
    /// # Errors
    /// [`NotifierError`]: another notifier took over, or store or queue failed for good.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), NotifierError> {
        let health = self.health.clone().beating_within(BEAT_WITHIN);
        let answer = self.run_inner(&cancel, &health).await;
        health.set_ready(false, "stopped");
        health.rest();
        answer
    }

    fn now(&self) -> Now {
        Now { wall_ms: self.clock.wall_millis(), mono_ms: self.clock.mono_millis() }
    }

    async fn run_inner(&self, cancel: &CancellationToken, health: &Component) -> Result<(), NotifierError> {
        let (done_sender, mut done) = mpsc::channel(64);
        let shards = self.events.partitions();
        let loaded = Engine::load(
            Arc::clone(&self.config),
            Arc::clone(&self.store),
            Arc::clone(&self.channel),
            shards,
            self.now(),
            done_sender,
            Patience { cancel: cancel.clone(), health: health.clone() },
        )
        .await?;
        let Some(mut engine) = loaded else { return Ok(()) };
        // Readers end with the engine, however it ends.
        let stop_reading = cancel.child_token();
        let _guard = stop_reading.clone().drop_guard();
        let mut batches = source::start(&self.events, &mut engine, &stop_reading);
        health.set_ready(true, "");
        let mut ticker = tokio::time::interval(TICK);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => break,
                Some(outcome) = done.recv() => engine.finish(outcome, self.now()),
                Some(batch) = batches.recv() => engine.take_in(&batch?, self.now()),
                // While a night is read there is no time to wait.
                () = std::future::ready(()), if engine.is_reading() => {}
                _ = ticker.tick() => {}
            }
            // Whatever else is there already shares the commit.
            while let Ok(outcome) = done.try_recv() {
                engine.finish(outcome, self.now());
            }
            for _ in 0..64 {
                let Ok(batch) = batches.try_recv() else { break };
                engine.take_in(&batch?, self.now());
            }
            engine.turn(self.now()).await?;
            health.beat();
            self.publish_status(&engine, health);
        }
        self.drain(&mut engine, &mut done).await
    }

    async fn drain(&self, engine: &mut Engine, done: &mut mpsc::Receiver<Done>) -> Result<(), NotifierError> {
        let deadline = tokio::time::Instant::now() + self.config.drain();
        while engine.in_flight() > 0 {
            match tokio::time::timeout_at(deadline, done.recv()).await {
                Ok(Some(outcome)) => engine.finish(outcome, self.now()),
                // What is still in flight is claimed: the next start looks it up.
                Ok(None) | Err(_) => break,
            }
        }
        engine.commit(self.now(), true).await
    }

    fn publish_status(&self, engine: &Engine, health: &Component) {
        let status = engine.status();
        self.status.send_if_modified(|known| {
            let changed = *known != status;
            if changed {
                metrics::gauge!("ronda_notifier_backlog_surfaces").set(gauge(status.backlog));
                // A destination that refuses us is no reason to send traffic elsewhere, but one to look.
                health.set_ready(true, status.last_error.clone().unwrap_or_default());
                *known = status;
            }
            changed
        });
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge's value need not be exact beyond 2^52")]
fn gauge(value: usize) -> f64 {
    value as f64
}
