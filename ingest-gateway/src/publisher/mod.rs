//! From commands to confirmed frames: group commit per partition.
//!
//! While one frame of a partition is in flight the next one fills, and a moment longer if commands keep coming in; whoever put a command
//! into it waits for its confirmation. Frames are numbered from 1 per partition, one in flight at a time. A frame that can't be published within
//! [`publish_retry_ms`](crate::Config::publish_retry_ms) is given up: its requests are answered 503, its number is declared in the next frame,
//! and the partition refuses writes until an empty frame gets through; once half of the partitions do, the others don't try for long. Memory
//! is bounded all the while.

mod completion;
mod filling;
mod lane;
mod metrics;
mod sender;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ronda_domain::id::{MessageId, partition_of};
use ronda_queue::Queue;
use ronda_runtime::{Clock, Component};
use ronda_schemas::codec::DecodeError;
use ronda_schemas::command::Command;
use ronda_schemas::frame::CommandBuffer;
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::completion::{FrameCompletion, Lost};
use self::filling::Moment;
use self::lane::{Lane, LaneLimits};
use self::metrics::PublisherMetrics;
use self::sender::Sender;
use crate::config::Config;

/// Why a command was not taken, or not made durable.
#[derive(Debug, Error)]
pub(crate) enum SubmitError {
    /// The gateway has not joined every partition yet.
    #[error("the gateway is starting; try again in a moment")]
    Starting,
    /// The queue is known to be away, and the command was not handed to it.
    #[error("the queue is away; nothing was accepted, try again")]
    Away,
    /// The queue did not confirm; it may have the command all the same.
    #[error("the queue did not confirm; try again")]
    Unconfirmed,
    /// Too much waits for the queue already.
    #[error("the queue is slower than what comes in; nothing was accepted, try again")]
    Full,
    /// The gateway shuts down.
    #[error("the gateway is shutting down; try again")]
    Closed,
    /// The command can't be written.
    #[error(transparent)]
    Encoding(DecodeError),
}

/// What who sends a command waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// Its frame is in the queue.
    Durable,
    /// Its effects are in the store: the processor is told not to hold its commit back.
    Applied,
}

/// A command's place in a frame that is not confirmed yet.
#[derive(Debug)]
#[must_use = "nothing is accepted before the frame is confirmed"]
pub(crate) struct Ticket {
    partition: u32,
    index: u32,
    completion: Arc<FrameCompletion>,
}

/// Where a durable command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted {
    /// The partition that it went to.
    pub partition: u32,
    /// The command's message: gateway, frame number, index.
    pub message: MessageId,
}

struct Shared {
    gateway: u64,
    alone: bool,
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    component: Component,
    partitions: usize,
    joined: AtomicUsize,
    down: AtomicUsize,
    /// Held from looking at the two until it is told: else what was seen earlier could be told later, and stay.
    telling: Mutex<()>,
    stopping: CancellationToken,
    pulse_period: Duration,
    linger: Duration,
    attempt_timeout: Duration,
    retry_for: Duration,
    metrics: PublisherMetrics,
}

impl Shared {
    fn now(&self) -> Moment {
        Moment { wall: self.clock.wall_millis(), mono: self.clock.mono_millis() }
    }

    fn joined(&self) {
        self.joined.fetch_add(1, Ordering::AcqRel);
        self.tell();
    }

    fn lane_down(&self) {
        self.down.fetch_add(1, Ordering::AcqRel);
        self.tell();
    }

    fn lane_up(&self) {
        self.down.fetch_sub(1, Ordering::AcqRel);
        self.tell();
    }

    /// Whether the queue is known to be away: it doesn't answer for half of the partitions.
    fn is_away(&self) -> bool {
        let down = self.down.load(Ordering::Acquire);
        down > 0 && down * 2 >= self.partitions
    }

    /// Says whether every partition takes requests, and if not, why.
    fn tell(&self) {
        let _telling = self.telling.lock();
        let (joined, down) = (self.joined.load(Ordering::Acquire), self.down.load(Ordering::Acquire));
        let all = self.partitions;
        match (joined == all, down) {
            (true, 0) => self.component.set_ready(true, ""),
            (false, 0) => self.component.set_ready(false, format!("joined {joined} of {all} partitions")),
            _ => self.component.set_ready(false, format!("the queue does not answer for {down} of {all} partitions")),
        }
    }
}

/// Takes commands and makes them durable.
pub(crate) struct Publisher {
    shared: Arc<Shared>,
    lanes: Box<[Arc<Lane>]>,
    frame_bytes: usize,
}

impl Publisher {
    /// A publisher that takes nothing yet: see [`start`](Self::start).
    pub(crate) fn new(
        config: &Config,
        gateway: u64,
        queue: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        component: Component,
    ) -> Self {
        let partitions = queue.partitions();
        // Half of what the queue takes: a frame may pass its size by one command, and ages may be added to it.
        let frame_bytes = config.max_frame_bytes.min(queue.capabilities().max_message_bytes / 2).max(1);
        let limits = LaneLimits { frame_bytes, buffered_bytes: config.max_buffered_bytes };
        let shared = Shared {
            gateway,
            alone: config.alone,
            queue,
            clock,
            component,
            partitions: partitions as usize,
            joined: AtomicUsize::new(0),
            down: AtomicUsize::new(0),
            telling: Mutex::new(()),
            stopping: CancellationToken::new(),
            pulse_period: Duration::from_millis(config.pulse_period_ms.max(1)),
            linger: Duration::from_millis(config.linger_ms),
            attempt_timeout: Duration::from_millis(config.publish_attempt_timeout_ms.max(1)),
            retry_for: Duration::from_millis(config.publish_retry_ms),
            metrics: PublisherMetrics::new(),
        };
        let lanes = (0..partitions).map(|partition| Arc::new(Lane::new(partition, limits))).collect();
        Self { shared: Arc::new(shared), lanes, frame_bytes }
    }

    /// Starts one sender a partition: each joins, then takes commands. They end after [`close`](Self::close).
    pub(crate) fn start(&self) -> JoinSet<()> {
        self.lanes.iter().map(|lane| Sender::new(Arc::clone(lane), Arc::clone(&self.shared)).run()).collect()
    }

    /// Takes no more commands. What was taken is still sent, then the gateway leaves every partition.
    pub(crate) fn close(&self) {
        for lane in &self.lanes {
            lane.close();
        }
        self.shared.stopping.cancel();
    }

    /// Whether every partition was joined: before that no request is taken.
    pub(crate) fn is_joined(&self) -> bool {
        self.shared.joined.load(Ordering::Acquire) == self.shared.partitions
    }

    /// Says in the next frames that somebody was told to come again, and nobody knows who.
    pub(crate) fn note_refused(&self) {
        if self.is_joined() {
            self.lanes.iter().for_each(|lane| lane.note_refused());
        }
    }

    /// Says in the next frames that somebody of this tenant was told to come again.
    pub(crate) fn note_refused_of(&self, tenant: &str) {
        if self.is_joined() {
            self.lanes.iter().for_each(|lane| lane.note_refused_of(tenant));
        }
    }

    /// The random number of this gateway start.
    pub(crate) fn gateway(&self) -> u64 {
        self.shared.gateway
    }

    /// How many partitions there are.
    pub(crate) fn partitions(&self) -> u32 {
        u32::try_from(self.lanes.len()).unwrap_or(u32::MAX)
    }

    /// Bytes that wait or are in flight, over all partitions.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.lanes.iter().map(|lane| lane.buffered()).sum()
    }

    fn ready(&self) -> Result<(), SubmitError> {
        if self.is_joined() { Ok(()) } else { Err(SubmitError::Starting) }
    }

    /// Puts a command into its partition's next frame.
    ///
    /// # Errors
    /// [`SubmitError`]: nothing was taken.
    pub(crate) fn submit(&self, command: &Command<'_>, until: Until) -> Result<Ticket, SubmitError> {
        self.ready()?;
        let partition = partition_of(command.tenant, command.scheduler, self.partitions());
        self.lane(partition)?.push(command, until, || self.shared.now())
    }

    fn lane(&self, partition: u32) -> Result<&Lane, SubmitError> {
        self.lanes.get(partition as usize).map(|lane| &**lane).ok_or(SubmitError::Away)
    }

    /// Waits until a command is durable.
    ///
    /// # Errors
    /// [`SubmitError::Unconfirmed`] when its frame was given up, [`SubmitError::Away`] when that was before it was sent.
    pub(crate) async fn confirmed(&self, ticket: Ticket) -> Result<Accepted, SubmitError> {
        let sequence = ticket.completion.wait().await.map_err(|lost| match lost {
            Lost::Maybe => SubmitError::Unconfirmed,
            Lost::Surely => SubmitError::Away,
        })?;
        let message = MessageId { source: self.shared.gateway, sequence, index: ticket.index };
        Ok(Accepted { partition: ticket.partition, message })
    }

    /// Begins a tenant's bulk: commands are encoded per partition first and taken with one lock each.
    pub(crate) fn bulk<'a>(&'a self, tenant: &'a str) -> Bulk<'a> {
        let buffers = self.lanes.iter().map(|_| Vec::new()).collect();
        Bulk { publisher: self, tenant, parts: buffers }
    }
}

/// Commands of one bulk write, by partition.
pub(crate) struct Bulk<'a> {
    publisher: &'a Publisher,
    tenant: &'a str,
    parts: Vec<Vec<Part>>,
}

#[derive(Default)]
struct Part {
    buffer: CommandBuffer,
    /// The caller's own numbers of the commands.
    items: Vec<u32>,
}

/// What became of the commands of a bulk write.
#[derive(Debug, Default)]
pub(crate) struct BulkOutcome {
    /// How many are durable.
    pub accepted: usize,
    /// The caller's own numbers of those that are not, with the reason.
    pub refused: Vec<(Vec<u32>, SubmitError)>,
}

impl Bulk<'_> {
    /// Encodes a command, under the caller's own number for it.
    ///
    /// # Errors
    /// [`SubmitError::Encoding`]; the others are not affected.
    pub(crate) fn push(&mut self, item: u32, command: &Command<'_>) -> Result<(), SubmitError> {
        let partition = partition_of(command.tenant, command.scheduler, self.publisher.partitions());
        let frame_bytes = self.publisher.frame_bytes;
        let parts = self.parts.get_mut(partition as usize).ok_or(SubmitError::Away)?;
        if parts.last().is_none_or(|part| part.buffer.len() >= frame_bytes) {
            parts.push(Part::default());
        }
        if let Some(part) = parts.last_mut() {
            part.buffer.push(command).map_err(SubmitError::Encoding)?;
            part.items.push(item);
        }
        Ok(())
    }

    /// Takes everything and waits until it is durable or given up.
    pub(crate) async fn commit(self) -> BulkOutcome {
        let mut outcome = BulkOutcome::default();
        let mut tickets = Vec::with_capacity(self.parts.len());
        let ready = self.publisher.ready().is_ok();
        for (partition, part) in
            (0u32..).zip(self.parts).flat_map(|(number, parts)| parts.into_iter().map(move |part| (number, part)))
        {
            let taken = if ready {
                self.publisher
                    .lane(partition)
                    .and_then(|lane| lane.append(self.tenant, &part.buffer, || self.publisher.shared.now()))
            } else {
                Err(SubmitError::Starting)
            };
            match taken {
                Ok(ticket) => tickets.push((ticket, part.items)),
                Err(error) => outcome.refused.push((part.items, error)),
            }
        }
        for (ticket, items) in tickets {
            match self.publisher.confirmed(ticket).await {
                Ok(_) => outcome.accepted += items.len(),
                Err(error) => outcome.refused.push((items, error)),
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests;
