//! One task a partition: closes frames, numbers them, and has one in flight at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ronda_queue::QueueError;
use ronda_schemas::frame::FrameKind;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::Shared;
use super::completion::Lost;
use super::filling::{Filling, Moment, Numbering};
use super::lane::{Lane, LaneState, Work};

/// Shortest and longest pause between two attempts to publish the same frame.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// So long a frame is tried while the queue is known to be away. More than a confirmation takes as a rule: a partition that still gets
/// through loses nothing by it.
const KNOWN_AWAY: Duration = Duration::from_millis(400);
/// So many turns of the runtime without a command are a moment with nothing to take.
const QUIET_TURNS: u32 = 2;
/// While a frame gathers for long, it is looked at this often whether it is full.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) struct Sender {
    lane: Arc<Lane>,
    shared: Arc<Shared>,
    next_number: u64,
    /// Numbers given up since the last confirmed frame; at most one, because nothing but empty frames is sent until one is confirmed.
    abandoned: Vec<u64>,
    next_pulse: Instant,
}

/// Why a frame was given up.
enum GivenUp {
    /// The last attempt's failure.
    Failed(QueueError),
    /// Shutdown came first.
    Stopped,
}

impl GivenUp {
    fn reason(&self) -> String {
        match self {
            Self::Failed(error) => error.to_string(),
            Self::Stopped => String::from("the gateway stops"),
        }
    }
}

impl Sender {
    pub(super) fn new(lane: Arc<Lane>, shared: Arc<Shared>) -> Self {
        Self { lane, shared, next_number: 1, abandoned: Vec::new(), next_pulse: Instant::now() }
    }

    /// Joins, sends until the lane is closed and empty, and leaves.
    pub(super) async fn run(mut self) {
        let join = if self.shared.alone { FrameKind::JoinAlone } else { FrameKind::Join };
        if !self.insist(join, self.shared.now()).await {
            return;
        }
        self.lane.set_state(LaneState::Open);
        self.shared.joined();
        loop {
            self.gather().await;
            match self.lane.next(|| self.shared.now()) {
                Work::Frame(filling, at) => self.send(filling, at).await,
                // Only now is it certain that the pulse gets ahead of nothing.
                Work::Nothing(at) if Instant::now() >= self.next_pulse => {
                    self.insist(FrameKind::Normal, at).await;
                }
                Work::Nothing(_) => {
                    tokio::select! {
                        () = self.lane.woken() => {}
                        () = sleep_until(self.next_pulse) => {}
                    }
                }
                Work::Finished => break,
            }
        }
        self.leave().await;
    }

    /// The next frame fills while commands come in, for a bounded time, so that fewer and larger ones share the cost of a publish. Once
    /// there has been nothing to take for a moment, waiting would only cost time.
    ///
    /// Where each publish is dear, it gathers for a fixed time from its first command on, and a quiet moment does not end that. One
    /// that somebody waits for gathers as well: it is a short time beside that of the publish, and clients that wait for each report
    /// would otherwise pay a publish for each.
    async fn gather(&self) {
        if let Some(dear) = self.shared.queue.capabilities().linger {
            let gathers = dear.max(self.shared.linger);
            while let Some(since) = self.lane.filling_since() {
                let filled = Duration::from_millis(self.shared.clock.mono_millis().saturating_sub(since));
                let Some(left) = gathers.checked_sub(filled).filter(|left| !left.is_zero()) else { break };
                sleep(left.min(LOOK_EVERY)).await;
            }
            return;
        }
        let until = Instant::now() + self.shared.linger;
        let mut taken = self.lane.taken();
        let mut quiet = 0;
        while quiet < QUIET_TURNS && Instant::now() < until {
            yield_now().await;
            let now = self.lane.taken();
            quiet = if now == taken { quiet + 1 } else { 0 };
            taken = now;
        }
    }

    fn numbering(&mut self) -> Numbering {
        let number = self.next_number;
        self.next_number += 1;
        let abandoned = std::mem::take(&mut self.abandoned);
        Numbering { gateway: self.shared.gateway, number, abandoned, refused: self.lane.take_refused() }
    }

    /// A frame goes out: the next pulse is a period away.
    fn pulsed(&mut self) {
        self.next_pulse = Instant::now() + self.shared.pulse_period;
    }

    /// Publishes a frame of commands; after bounded retries its requests are told that it failed.
    async fn send(&mut self, filling: Filling, at: Moment) {
        let size = filling.buffer.len();
        let commands = filling.buffer.count();
        let numbering = self.numbering();
        let number = numbering.number;
        let declared = numbering.abandoned.clone();
        self.pulsed();
        let (frame, completion) = filling.close(numbering, at);
        let deadline = Instant::now() + self.shared.retry_for;
        let outcome = self.publish(&frame, Some(deadline)).await;
        self.lane.released(size);
        match outcome {
            Ok(()) => {
                completion.confirm(number);
                self.shared.metrics.frame(commands, frame.len());
            }
            Err(given_up) => {
                // It may have arrived all the same: its number is declared, so that nobody takes the hole for a loss.
                self.abandoned = declared;
                self.abandoned.push(number);
                self.lane.set_state(LaneState::Down);
                // Whatever becomes of the hole in the numbers: if the frame arrived late, there is none.
                self.lane.note_refused();
                completion.fail(Lost::Maybe);
                self.lane.fail_waiting();
                self.shared.metrics.given_up(commands);
                self.report(number, commands, &given_up);
                self.recover().await;
            }
        }
    }

    fn report(&self, number: u64, commands: u32, given_up: &GivenUp) {
        let reason = given_up.reason();
        warn!(
            partition = self.lane.partition,
            frame.number = number,
            frame.commands = commands,
            reason,
            "gave up a frame: its requests were answered 503; writes to this partition are refused until the queue answers"
        );
    }

    /// Sends one empty frame until it arrives, then takes commands again.
    async fn recover(&mut self) {
        self.shared.lane_down();
        if self.insist(FrameKind::Normal, self.shared.now()).await {
            self.lane.set_state(LaneState::Open);
            self.shared.lane_up();
            info!(partition = self.lane.partition, "the queue answers again: writes to this partition are taken");
        }
    }

    /// Publishes an empty frame however long it takes; `false`: shutdown came first.
    ///
    /// A pulse is retried as it is, so that a long outage doesn't use up numbers. While it is tried without success the lane counts as down.
    async fn insist(&mut self, kind: FrameKind, at: Moment) -> bool {
        let numbering = self.numbering();
        let number = numbering.number;
        let declared = numbering.abandoned.clone();
        self.pulsed();
        let frame = numbering.empty_frame(at, kind);
        let deadline = Instant::now() + self.shared.retry_for;
        let Err(given_up) = self.publish(&frame, Some(deadline)).await else {
            self.shared.metrics.frame(0, frame.len());
            return true;
        };
        let was_open = self.lane.state() == LaneState::Open;
        if was_open {
            self.lane.set_state(LaneState::Down);
            self.lane.fail_waiting();
            self.shared.lane_down();
            let reason = given_up.reason();
            warn!(
                partition = self.lane.partition,
                reason, "no pulse gets through: writes to this partition are refused"
            );
        }
        let arrived = self.publish(&frame, None).await.is_ok();
        if !arrived {
            self.abandoned = declared;
            self.abandoned.push(number);
        } else if was_open {
            self.lane.set_state(LaneState::Open);
            self.shared.lane_up();
            info!(partition = self.lane.partition, "pulses get through again: writes to this partition are taken");
        }
        arrived
    }

    /// Publishes one frame, again and again until the deadline, which is near while other partitions have found the queue away. A deadline
    /// of `None` is never, but shutdown ends it.
    async fn publish(&self, frame: &Bytes, deadline: Option<Instant>) -> Result<(), GivenUp> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let is_hopeless = deadline.is_some() && self.shared.is_away();
            let deadline =
                deadline.map(|deadline| if is_hopeless { deadline.min(started + KNOWN_AWAY) } else { deadline });
            let attempt_timeout = self.shared.attempt_timeout;
            let attempt_timeout = if is_hopeless { attempt_timeout.min(KNOWN_AWAY) } else { attempt_timeout };
            let attempt = timeout(attempt_timeout, self.shared.queue.publish(self.lane.partition, frame.clone()));
            let error = match attempt.await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) => QueueError::transient(
                    ronda_queue::QueueErrorKind::Unavailable,
                    pause,
                    "the queue did not confirm in time; is it reachable?",
                ),
            };
            self.shared.metrics.publish_failed();
            let wait = error.retry_after.unwrap_or(pause).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            let over = deadline.is_some_and(|deadline| Instant::now() + wait >= deadline);
            if over || (deadline.is_some() && !error.retryable) {
                return Err(GivenUp::Failed(error));
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.shared.stopping.cancelled() => return Err(GivenUp::Stopped),
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Says that nothing more comes. One round of attempts: a gateway that can't say so is dropped for its silence.
    async fn leave(&mut self) {
        let now = self.shared.now();
        let frame = self.numbering().empty_frame(now, FrameKind::Leave);
        let deadline = Instant::now() + self.shared.retry_for;
        if self.publish(&frame, Some(deadline)).await.is_err() {
            warn!(
                partition = self.lane.partition,
                "could not say goodbye; the partition waits until this gateway is dropped for its silence"
            );
        }
    }
}
