//! The owner of one partition: acquires it, loads it, and then receives, steps, commits, publishes and settles.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ronda_domain::time::Timestamp;
use ronda_queue::{Delivery, Position, QueueError, ReceiveLimit, Receiver, Token};
use ronda_runtime::CancellationToken;
use ronda_schemas::event::EventBatch;
use ronda_schemas::frame::{Frame, FrameKind};
use ronda_store::error::StoreErrorKind;
use ronda_store::port::{Commit, PartitionStore, Retention};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::pause::{Backoff, Stopwatch, pause};
use super::vitals::Trouble;
use super::{ProcessorError, Shared, publish, retention, telemetry};
use crate::core::{PartitionCore, Step};

/// First and longest wait before a commit is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
/// How long a receive may wait before the loop shows that it is alive.
const BEAT: Duration = Duration::from_secs(5);
/// Commits are this far apart where somebody waits for one.
const AWAITED_INTERVAL: Duration = Duration::from_millis(20);
/// Events that a former owner may have left unpublished are published while rows are loaded, so many at a time.
const RECOVER_EVENTS: usize = 1_000;
/// Steps over fewer message bytes run on the loop's own thread: they take less time than the way to another.
const INLINE_BYTES: usize = 32 * 1024;

/// One partition's owner.
pub(super) struct Owner<S: ?Sized> {
    shared: Arc<Shared<S>>,
    partition: u32,
    cancel: CancellationToken,
    clock: watch::Sender<Timestamp>,
    /// Ends with the owner.
    retention: JoinSet<()>,
    /// Since the last commit began.
    since_commit: Stopwatch,
}

impl<S: PartitionStore + Retention + ?Sized + 'static> Owner<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, partition: u32, cancel: CancellationToken) -> Self {
        Self {
            shared,
            partition,
            cancel,
            clock: watch::channel(Timestamp::MIN).0,
            retention: JoinSet::new(),
            since_commit: Stopwatch::start(),
        }
    }

    /// Owns the partition until it is cancelled, fenced, or something fails that can't be retried.
    pub(super) async fn run(mut self) -> Result<(), ProcessorError> {
        let (mut core, cursor) = self.take_up().await?;
        let after = (cursor > 0).then_some(Position(cursor));
        let mut receiver = self.shared.commands.open(self.partition, after).await.map_err(commands)?;
        self.start_retention();
        tracing::debug!(partition = self.partition, schedulers = core.schedulers(), cursor, "partition is up");
        if self.shared.vitals.set_ready(self.partition, true) {
            tracing::info!(partitions = self.shared.commands.partitions(), "all partitions are up");
        }
        while let Some(deliveries) = self.receive(receiver.as_mut()).await? {
            self.since_commit = Stopwatch::start();
            core = self.process(core, receiver.as_mut(), deliveries).await?;
        }
        Ok(())
    }

    /// Takes the partition over and builds its core from the store; what may not have been published is published.
    async fn take_up(&self) -> Result<(PartitionCore, u64), ProcessorError> {
        let shared = &self.shared;
        let partitions = shared.commands.partitions();
        let row = shared.store.acquire(self.partition, partitions).await?;
        let cursor = row.cursor;
        let mut core = PartitionCore::new(&row, shared.events.partitions(), shared.config.clone());
        let mut after = None;
        loop {
            let rows = shared.store.load(self.partition, partitions, after.as_ref(), shared.config.load_rows).await?;
            let Some(last) = rows.last() else { break };
            after = Some(last.key.clone());
            for row in rows {
                core.load(row);
                // Never more in memory than that and one row's: a partition that is taken up again and again would not get further.
                self.publish(core.recovered(RECOVER_EVENTS)).await?;
            }
            self.beat();
            if self.cancel.is_cancelled() {
                return Err(ProcessorError::Stopped);
            }
        }
        self.publish(core.recover()).await?;
        telemetry::state(self.partition, &core);
        Ok((core, cursor))
    }

    fn start_retention(&mut self) {
        if self.partition == 0 {
            let (shared, clock) = (Arc::clone(&self.shared), self.clock.subscribe());
            self.retention.spawn(async move {
                let config = &shared.config;
                retention::run(&*shared.store, clock, config.history_retention_seconds, config.purge_entries).await;
            });
        }
    }

    /// The next deliveries; `None` when it is time to stop.
    async fn receive(&self, receiver: &mut dyn Receiver) -> Result<Option<Vec<Delivery>>, ProcessorError> {
        let config = &self.shared.config;
        let limit = ReceiveLimit { messages: config.receive_messages, bytes: config.receive_bytes };
        let mut deliveries = loop {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Ok(None),
                received = receiver.receive(limit) => break received.map_err(commands)?,
                // There is nothing to do.
                _ = pause(BEAT, &self.cancel) => self.beat(),
            }
        };
        self.collect(receiver, limit, &mut deliveries).await?;
        Ok(Some(deliveries))
    }

    /// Collects more until the next commit is due, or full.
    async fn collect(
        &self,
        receiver: &mut dyn Receiver,
        limit: ReceiveLimit,
        deliveries: &mut Vec<Delivery>,
    ) -> Result<(), ProcessorError> {
        let mut interval = Duration::from_millis(u64::from(self.shared.config.commit_interval_ms));
        let (mut looked_at, mut bytes) = (0, 0);
        loop {
            for delivery in deliveries.iter().skip(looked_at) {
                bytes += delivery.message.len();
                if is_awaited(&delivery.message) {
                    interval = interval.min(AWAITED_INTERVAL);
                }
            }
            looked_at = deliveries.len();
            let left = interval.saturating_sub(self.since_commit.elapsed());
            let room = ReceiveLimit {
                messages: limit.messages.saturating_sub(deliveries.len()),
                bytes: limit.bytes.saturating_sub(bytes),
            };
            if left.is_zero() || room.messages == 0 || room.bytes == 0 {
                return Ok(());
            }
            tokio::select! {
                biased;
                _ = pause(left, &self.cancel) => return Ok(()),
                more = receiver.receive(room) => deliveries.extend(more.map_err(commands)?),
            }
        }
    }

    /// Takes deliveries through: step, dead letters, commit, publish, settle; in several steps if they change too much for one.
    async fn process(
        &self,
        mut core: PartitionCore,
        receiver: &mut dyn Receiver,
        deliveries: Vec<Delivery>,
    ) -> Result<PartitionCore, ProcessorError> {
        let mut messages = Vec::with_capacity(deliveries.len());
        let mut tokens: Vec<Token> = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let position = delivery.position.ok_or(ProcessorError::NoPositions)?;
            messages.push((position.0, delivery.message));
            tokens.push(delivery.token);
        }
        while !messages.is_empty() {
            telemetry::unapplied(self.partition, oldest(&messages));
            let (step, rest);
            (core, step, rest) = compute(core, messages).await?;
            messages = rest;
            if step.is_idle() {
                let position = messages.first().map_or(0, |(position, _)| *position);
                return Err(ProcessorError::NoProgress { position });
            }
            let consumed = step.consumed;
            self.finish(&mut core, step).await?;
            if let Some(through) = tokens.drain(..consumed.min(tokens.len())).next_back()
                && let Err(error) = receiver.settle(through).await
            {
                // The cursor is in the store: a log that could not be trimmed now is trimmed with the next settle.
                tracing::warn!(partition = self.partition, error = %error, "committed messages could not be settled");
            }
            self.beat();
            if core.is_underway() && self.cancel.is_cancelled() {
                // The next owner goes on: what is written of the frame is ahead of the cursor.
                return Ok(core);
            }
        }
        telemetry::unapplied(self.partition, None);
        Ok(core)
    }

    /// Makes a step durable and known.
    async fn finish(&self, core: &mut PartitionCore, step: Step) -> Result<(), ProcessorError> {
        let Step { publish_first, commit, publish: batches, dead_letters, consumed: _, counts } = step;
        telemetry::stepped(&counts, dead_letters.len());
        let shared = &self.shared;
        publish::dead_letters(&shared.dead_letters, dead_letters, &self.cancel, || self.beat()).await?;
        self.publish(publish_first).await?;
        self.commit(commit).await?;
        core.committed();
        self.publish(batches).await?;
        core.published();
        telemetry::state(self.partition, core);
        shared.vitals.set_held(self.partition, core.held());
        self.clock.send_replace(core.watermark());
        Ok(())
    }

    async fn publish(&self, batches: Vec<(u32, EventBatch)>) -> Result<(), ProcessorError> {
        publish::events(&self.shared.events, batches, &self.cancel, || self.beat()).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), ProcessorError> {
        let watch = Stopwatch::start();
        let commit = Arc::new(commit);
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        while let Err(error) = self.shared.store.commit(Arc::clone(&commit)).await {
            self.beat();
            if error.kind == StoreErrorKind::Fenced || !error.retryable {
                return Err(error.into());
            }
            tracing::warn!(partition = self.partition, error = %error, "a commit failed; trying again");
            let text = format!("the store takes no commits: {error}");
            self.shared.vitals.set_trouble(self.partition, Trouble { text, is_lasting: false });
            if !backoff.wait(error.retry_after, &self.cancel).await {
                return Err(ProcessorError::Stopped);
            }
        }
        telemetry::committed(watch.seconds());
        self.shared.vitals.committed(self.partition);
        Ok(())
    }

    fn beat(&self) {
        self.shared.vitals.beat_of(self.partition);
    }
}

/// Whether somebody waits for what is in a frame.
fn is_awaited(message: &[u8]) -> bool {
    Frame::decode(message).is_ok_and(|frame| frame.header.kind == FrameKind::Awaited)
}

type Messages = Vec<(u64, Bytes)>;

/// When the oldest frame among them was closed.
fn oldest(messages: &Messages) -> Option<Timestamp> {
    let wall = |message: &Bytes| Some(Frame::decode(message).ok()?.header.wall);
    messages.iter().find_map(|(_, message)| wall(message))
}

/// Runs a step, away from the loop's thread when it may take long. Answers the messages that are left for the next one.
async fn compute(
    core: PartitionCore,
    mut messages: Messages,
) -> Result<(PartitionCore, Step, Messages), ProcessorError> {
    let bytes: usize = messages.iter().map(|(_, message)| message.len()).sum();
    let is_small = bytes < INLINE_BYTES && !core.is_underway();
    let run = move || {
        let mut core = core;
        let step = core.step(&messages);
        messages.drain(..step.consumed.min(messages.len()));
        (core, step, messages)
    };
    if is_small {
        return Ok(run());
    }
    tokio::task::spawn_blocking(run).await.map_err(|_| ProcessorError::Panicked)
}

fn commands(source: QueueError) -> ProcessorError {
    ProcessorError::Queue { which: "command", source }
}
