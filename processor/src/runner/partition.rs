//! The owner of one partition: acquires it, loads it, and then receives, steps, commits, publishes and settles.

mod clockless;
mod loading;
mod pacing;
mod proof;
mod sending;

use std::sync::Arc;
use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_queue::{Delivery, Position, QueueError, Receiver, Token};
use ronda_runtime::CancellationToken;
use ronda_schemas::event::EventBatch;
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{Commit, KeyStore, PartitionStore, Retention};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admission::Waiting;
use super::batch::Batch;
use super::pause::{Backoff, Stopwatch, pause};
use super::{ProcessorError, Shared, publish, retention, telemetry};
use crate::core::{PartitionCore, Step};
use proof::Proof;
use sending::Outgoing;

/// First and longest wait before a commit is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
/// How long a receive may wait before the loop shows that it is alive.
const BEAT: Duration = Duration::from_secs(5);
/// So many message bytes are taken in together, if the commit is not due before: a scheduler that comes up again is still in the
/// processor's cache then, and yet no request waits for long.
const TAKE_BYTES: usize = 128 * 1024;
/// A queue without positions that does not say how many messages may come again is taken to mean this.
const MAX_REDELIVERED: usize = 100_000;
/// Where each message is dear, an idle partition tells the event queue its clock this often. Ends of boards' windows and their grace are
/// multiples of it as a rule.
const SPARING_CLOCK_MS: u32 = 10_000;
/// How soon a settle that failed is tried again while nothing comes in.
const SETTLE_AGAIN: Duration = Duration::from_millis(200);
/// Fewer message bytes are taken in on the loop's own thread: that takes less time than the way to another.
const INLINE_BYTES: usize = 32 * 1024;
/// So do commits of fewer rows.
const INLINE_ROWS: usize = 256;

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
    proof: Proof,
    /// Most messages that the queue gives before some are settled.
    max_unsettled: usize,
    outgoing: Outgoing,
    /// Whether it was told that there is no clock.
    is_clockless_told: bool,
    /// What could not be settled yet though it is committed. A queue may give nothing more until it is.
    unsettled: Option<Token>,
}

impl<S: PartitionStore + Retention + KeyStore + ?Sized + 'static> Owner<S> {
    pub(super) fn new(shared: Arc<Shared<S>>, partition: u32, cancel: CancellationToken) -> Self {
        let max_unsettled = shared.commands.capabilities().max_unsettled.unwrap_or(usize::MAX);
        Self {
            shared,
            partition,
            cancel,
            clock: watch::channel(Timestamp::MIN).0,
            retention: JoinSet::new(),
            since_commit: Stopwatch::start(),
            proof: Proof::default(),
            max_unsettled,
            outgoing: Outgoing::default(),
            is_clockless_told: false,
            unsettled: None,
        }
    }

    /// Owns the partition until it is cancelled, fenced, or something fails that can't be retried.
    pub(super) async fn run(mut self) -> Result<(), ProcessorError> {
        let cancel = self.cancel.clone();
        let (core, mut receiver) = tokio::select! {
            biased;
            // Nothing has been taken in, so there is nothing to finish.
            () = cancel.cancelled() => return Ok(()),
            opened = self.open() => opened?,
        };
        let worked = self.work(core, receiver.as_mut()).await;
        // Before anybody is told that it was let go: the next owner would wait for what is in this one's hand.
        receiver.close().await;
        worked
    }

    /// Takes the partition up and opens its queue where the store's cursor is.
    async fn open(&mut self) -> Result<(PartitionCore, Box<dyn Receiver>), ProcessorError> {
        let (core, cursor) = self.take_up().await?;
        let has_positions = self.shared.commands.capabilities().positions;
        let after = (has_positions && cursor > 0).then_some(Position(cursor));
        let receiver = self.shared.commands.open(self.partition, after).await.map_err(commands)?;
        // Some queues are asked nothing before the first receive: one that is away shall not be taken for one that is up.
        self.shared.commands.depth(self.partition).await.map_err(commands)?;
        self.start_retention();
        tracing::debug!(partition = self.partition, schedulers = core.schedulers(), cursor, "partition is up");
        if self.shared.vitals.set_ready(self.partition, true) {
            tracing::info!(partitions = self.shared.vitals.ours().len(), "all partitions are up");
        }
        Ok((core, receiver))
    }

    async fn work(&mut self, mut core: PartitionCore, receiver: &mut dyn Receiver) -> Result<(), ProcessorError> {
        while let Some(deliveries) = self.receive(&mut core, receiver).await? {
            let mut batch = Batch::default();
            self.admit(&core, &mut batch, deliveries).await?;
            core = self.process(core, receiver, batch).await?;
        }
        Ok(())
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
    async fn receive(
        &mut self,
        core: &mut PartitionCore,
        receiver: &mut dyn Receiver,
    ) -> Result<Option<Vec<Delivery>>, ProcessorError> {
        let room = self.room(&Batch::default());
        loop {
            let wait = if self.unsettled.is_some() { SETTLE_AGAIN } else { BEAT };
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Ok(None),
                outcome = self.outgoing.done() => {
                    outcome?;
                    self.published(core);
                }
                received = receiver.receive(room) => return received.map(Some).map_err(commands),
                // There is nothing to do.
                _ = pause(wait, &self.cancel) => self.beat(),
            }
            if let Some(token) = self.unsettled {
                self.settle(receiver, token).await;
            }
        }
    }

    /// Takes deliveries into the batch, with who may do what.
    async fn admit(
        &self,
        core: &PartitionCore,
        batch: &mut Batch,
        deliveries: Vec<Delivery>,
    ) -> Result<(), ProcessorError> {
        let waiting = Waiting { cancel: &self.cancel, told: |text| self.hindered(text), clock: core.watermark() };
        let shared = &self.shared;
        batch.add(shared.admission.admit(&*shared.store, deliveries, &waiting).await?);
        Ok(())
    }

    /// Everything through this delivery is committed.
    async fn settle(&mut self, receiver: &mut dyn Receiver, token: Token) {
        if !self.may_settle() {
            self.unsettled = Some(token);
            return;
        }
        self.unsettled = receiver.settle(token).await.err().map(|error| {
            // The cursor is in the store: it is settled with the next, or again when nothing comes.
            tracing::warn!(partition = self.partition, error = %error, "committed messages could not be settled");
            token
        });
    }

    /// Takes deliveries through: into the core, a part at a time, and once a commit is due or full: dead letters, commit, publish, settle.
    /// Comes back when all that it received is through.
    async fn process(
        &mut self,
        mut core: PartitionCore,
        receiver: &mut dyn Receiver,
        mut batch: Batch,
    ) -> Result<PartitionCore, ProcessorError> {
        loop {
            telemetry::unapplied(self.partition, batch.oldest);
            let is_little = batch.waiting_bytes() < TAKE_BYTES && !core.is_underway();
            if is_little && self.more(&core, receiver, &mut batch).await? {
                continue;
            }
            let through;
            (core, through) = take(core, &mut batch).await?;
            if core.lacks_clock() {
                if !self.find_clock(&mut core, receiver, &mut batch).await? {
                    // They wait in the queue.
                    return Ok(core);
                }
                continue;
            }
            if !core.wants_commit() {
                self.tell_clock(&mut core).await?;
                if self.more(&core, receiver, &mut batch).await? {
                    continue;
                }
            }
            if !self.make_room(&mut core).await? {
                return Ok(core);
            }
            self.since_commit = Stopwatch::start();
            let position = core.cursor().saturating_add(1);
            let step;
            (core, step) = close(core).await?;
            if through == 0 && !batch.waiting.is_empty() && step.is_empty() {
                return Err(ProcessorError::NoProgress { position });
            }
            self.finish(&mut core, step).await?;
            self.beat();
            if core.is_underway() {
                if self.cancel.is_cancelled() {
                    // The next owner goes on: what is written of the frame is ahead of the cursor.
                    return Ok(core);
                }
                continue;
            }
            if let Some(token) = batch.settled() {
                self.settle(receiver, token).await;
            }
            // What else waits in hand has not been taken in: the next owner gets it.
            if batch.waiting.is_empty() || self.cancel.is_cancelled() {
                telemetry::unapplied(self.partition, None);
                return Ok(core);
            }
        }
    }

    /// Makes a step durable and known.
    async fn finish(&mut self, core: &mut PartitionCore, step: Step) -> Result<(), ProcessorError> {
        self.prove(core.epoch(), step.counts.lost_frames > 0).await?;
        let Step { publish_first, commit, publish: batches, dead_letters, counts } = step;
        telemetry::stepped(&counts, dead_letters.len());
        // Queues that take direct messages are on a broker, and so are all three then.
        let is_shared = self.shared.commands.capabilities().direct;
        publish::dead_letters(&self.shared.dead_letters, dead_letters, is_shared, &self.cancel, |text| {
            self.hindered(text);
        })
        .await?;
        self.publish(publish_first).await?;
        let commit = Arc::new(commit);
        self.commit(&commit).await?;
        core.committed();
        self.send(core, batches, &commit).await?;
        telemetry::state(self.partition, core);
        let shared = &self.shared;
        shared.vitals.set_held(self.partition, core.held());
        shared.vitals.set_watermark(self.partition, core.watermark());
        self.clock.send_replace(core.watermark());
        Ok(())
    }

    async fn publish(&self, batches: Vec<(u32, EventBatch)>) -> Result<(), ProcessorError> {
        publish::events(&self.shared.events, batches, &self.cancel, |text| self.hindered(text)).await
    }

    async fn commit(&mut self, commit: &Arc<Commit>) -> Result<(), ProcessorError> {
        self.try_commit(commit).await?;
        self.shared.vitals.committed(self.partition);
        Ok(())
    }

    /// Commits, however often it has to be tried.
    async fn try_commit(&mut self, commit: &Arc<Commit>) -> Result<(), ProcessorError> {
        let (watch, shared) = (Stopwatch::start(), Arc::clone(&self.shared));
        let asked = self.insist("the store takes no commits", || shared.store.commit(Arc::clone(commit))).await?;
        self.proof.confirmed(asked);
        telemetry::committed(watch.seconds());
        Ok(())
    }

    /// Calls the store until it takes the call; answers a watch that was started before it did.
    async fn insist<F>(&self, what: &'static str, call: impl Fn() -> F) -> Result<Stopwatch, ProcessorError>
    where
        F: Future<Output = Result<(), StoreError>>,
    {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        loop {
            let asked = Stopwatch::start();
            let Err(error) = call().await else { return Ok(asked) };
            if error.kind == StoreErrorKind::Fenced || !error.retryable {
                return Err(error.into());
            }
            tracing::warn!(partition = self.partition, error = %error, "{what}; trying again");
            self.hindered(format!("{what}: {error}"));
            if !backoff.wait(error.retry_after, &self.cancel).await {
                return Err(ProcessorError::Stopped);
            }
        }
    }

    /// It is at work, and comes no further for now: readiness says why until the next commit.
    fn hindered(&self, text: String) {
        self.shared.vitals.hindered(self.partition, text);
    }

    fn beat(&self) {
        self.shared.vitals.beat_of(self.partition);
    }
}

/// Takes what waits into the core, away from the loop's thread when that may take long. Answers how many messages are through.
async fn take(core: PartitionCore, batch: &mut Batch) -> Result<(PartitionCore, usize), ProcessorError> {
    let is_small = batch.waiting_bytes() < INLINE_BYTES && !core.is_underway();
    let mut messages = batch.take_waiting();
    let run = move || {
        let mut core = core;
        let through = core.take(&messages);
        messages.drain(..through);
        (core, through, messages)
    };
    let (core, through, left) = away_unless(is_small, run).await?;
    batch.leave(left);
    Ok((core, through))
}

/// Closes the commit, away from the loop's thread when it is large.
async fn close(core: PartitionCore) -> Result<(PartitionCore, Step), ProcessorError> {
    let is_small = core.changed() < INLINE_ROWS;
    let run = move || {
        let mut core = core;
        let step = core.close();
        (core, step)
    };
    away_unless(is_small, run).await
}

/// Runs work on the loop's own thread, or on one for what takes long.
async fn away_unless<T: Send + 'static>(
    is_small: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ProcessorError> {
    if is_small { Ok(work()) } else { tokio::task::spawn_blocking(work).await.map_err(|_| ProcessorError::Panicked) }
}

fn commands(source: QueueError) -> ProcessorError {
    ProcessorError::Queue { which: "command", source }
}
