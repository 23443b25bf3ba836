//! One partition's buffer: what fills while a frame is in flight.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use ronda_schemas::command::Command;
use ronda_schemas::frame::{CommandBuffer, MAX_REFUSED_TENANTS, Refused};
use tokio::sync::Notify;

use super::completion::{FrameCompletion, Lost};
use super::filling::{Filling, Moment};
use super::{SubmitError, Ticket, Until};

/// Whether a lane takes commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LaneState {
    /// Its first frame is not confirmed yet.
    Joining,
    /// It takes commands.
    Open,
    /// The queue does not answer; it is asked again and again with empty frames.
    Down,
    /// It takes no more commands; what is there is still sent.
    Closed,
}

#[derive(Debug)]
struct Inner {
    waiting: VecDeque<Filling>,
    /// Encoded size of all that is waiting or in flight, in bytes.
    buffered: usize,
    state: LaneState,
    /// Whether the sender sleeps until somebody wakes it.
    idle: bool,
}

/// How much a lane takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneLimits {
    /// Size at which a frame is full, in bytes.
    pub(super) frame_bytes: usize,
    /// Most bytes waiting or in flight.
    pub(super) buffered_bytes: usize,
}

/// One partition's buffer.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) partition: u32,
    limits: LaneLimits,
    inner: Mutex<Inner>,
    taken: AtomicU64,
    /// Whose reports were refused since the last frame was numbered.
    refused: Mutex<Refused>,
    wake: Notify,
}

/// What the sender finds when it looks.
#[derive(Debug)]
pub(super) enum Work {
    /// A frame to send, taken at this time: whatever comes later is not in it and has no earlier time.
    Frame(Filling, Moment),
    /// Nothing waited at this time; it will be woken.
    Nothing(Moment),
    /// Nothing, and nothing will come.
    Finished,
}

impl Lane {
    pub(super) fn new(partition: u32, limits: LaneLimits) -> Self {
        let inner = Inner { waiting: VecDeque::new(), buffered: 0, state: LaneState::Joining, idle: false };
        Self {
            partition,
            limits,
            inner: Mutex::new(inner),
            taken: 0.into(),
            refused: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Takes a command into the frame that fills. The clock is read while the lane is locked, so that no frame and no pulse with a
    /// later time gets ahead of it.
    pub(super) fn push(
        &self,
        command: &Command<'_>,
        until: Until,
        clock: impl FnOnce() -> Moment,
    ) -> Result<Ticket, SubmitError> {
        let mut inner = self.inner.lock();
        let now = clock();
        let limits = self.limits;
        let (filling, before) =
            inner.filling(limits, 0, now).inspect_err(|error| self.note_refusal(command.tenant, error))?;
        let index = filling.push(command, now).map_err(SubmitError::Encoding)?;
        filling.wanted(until);
        let ticket = Ticket { partition: self.partition, index, completion: Arc::clone(&filling.completion) };
        inner.took(limits, before, now);
        self.rouse(inner);
        Ok(ticket)
    }

    /// Takes a tenant's encoded commands into the frame that fills, all or none; the clock as with [`push`](Self::push).
    pub(super) fn append(
        &self,
        tenant: &str,
        commands: &CommandBuffer,
        clock: impl FnOnce() -> Moment,
    ) -> Result<Ticket, SubmitError> {
        let mut inner = self.inner.lock();
        let now = clock();
        let limits = self.limits;
        let filling = inner.filling(limits, commands.len(), now);
        let (filling, before) = filling.inspect_err(|error| self.note_refusal(tenant, error))?;
        let index = filling.buffer.count();
        filling.append(commands, now);
        let ticket = Ticket { partition: self.partition, index, completion: Arc::clone(&filling.completion) };
        inner.took(limits, before, now);
        self.rouse(inner);
        Ok(ticket)
    }

    fn note_refusal(&self, tenant: &str, error: &SubmitError) {
        match error {
            // Before it has joined nobody counts on it.
            SubmitError::Starting | SubmitError::Encoding(_) => {}
            // One tenant can fill the buffer. Whoever else is refused so is noted as well.
            SubmitError::Full => self.note_refused_of(tenant),
            SubmitError::Away | SubmitError::Unconfirmed | SubmitError::Closed => self.note_refused(),
        }
    }

    /// Somebody was told to come again, who was not heard so, and nobody knows who.
    pub(super) fn note_refused(&self) {
        *self.refused.lock() = Refused::Anybody;
    }

    /// Somebody of this tenant was told to come again.
    pub(super) fn note_refused_of(&self, tenant: &str) {
        let mut refused = self.refused.lock();
        match &mut *refused {
            Refused::Anybody => {}
            Refused::Nobody => *refused = Refused::Tenants(vec![tenant.into()]),
            Refused::Tenants(tenants) if tenants.iter().any(|known| **known == *tenant) => {}
            Refused::Tenants(tenants) if tenants.len() < MAX_REFUSED_TENANTS => tenants.push(tenant.into()),
            Refused::Tenants(_) => *refused = Refused::Anybody,
        }
    }

    /// Who was refused since this was last asked.
    pub(super) fn take_refused(&self) -> Refused {
        std::mem::take(&mut self.refused.lock())
    }

    fn rouse(&self, mut inner: parking_lot::MutexGuard<'_, Inner>) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let idle = std::mem::take(&mut inner.idle);
        drop(inner);
        if idle {
            self.wake.notify_one();
        }
    }

    /// The oldest frame that waits.
    pub(super) fn next(&self, clock: impl FnOnce() -> Moment) -> Work {
        let mut inner = self.inner.lock();
        let now = clock();
        match inner.waiting.pop_front() {
            Some(filling) => {
                inner.idle = false;
                Work::Frame(filling, now)
            }
            None if inner.state == LaneState::Closed => Work::Finished,
            None => {
                inner.idle = true;
                Work::Nothing(now)
            }
        }
    }

    /// Returns once there may be work.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Says that a frame of this encoded size is no longer in memory.
    pub(super) fn released(&self, bytes: usize) {
        let mut inner = self.inner.lock();
        inner.buffered = inner.buffered.saturating_sub(bytes);
    }

    /// Changes whether commands are taken. A closed lane stays closed.
    pub(super) fn set_state(&self, state: LaneState) {
        let mut inner = self.inner.lock();
        if inner.state != LaneState::Closed {
            inner.state = state;
        }
    }

    /// Takes no more commands and lets the sender finish.
    pub(super) fn close(&self) {
        self.inner.lock().state = LaneState::Closed;
        self.wake.notify_one();
    }

    /// Whether commands are taken just now.
    pub(super) fn state(&self) -> LaneState {
        self.inner.lock().state
    }

    /// Gives up every frame that waits: none of them was sent.
    pub(super) fn fail_waiting(&self) {
        let failed: Vec<Arc<FrameCompletion>> = {
            let mut inner = self.inner.lock();
            let bytes: usize = inner.waiting.iter().map(|filling| filling.buffer.len()).sum();
            inner.buffered = inner.buffered.saturating_sub(bytes);
            inner.waiting.drain(..).map(|filling| filling.completion).collect()
        };
        if !failed.is_empty() {
            self.note_refused();
        }
        for completion in failed {
            completion.fail(Lost::Surely);
        }
    }

    /// When the frame that is next began to fill, on the monotonic clock, if it may still: it is not full, nor is any behind it.
    pub(super) fn filling_since(&self) -> Option<u64> {
        let inner = self.inner.lock();
        let only = inner.waiting.front().filter(|filling| inner.waiting.len() == 1 && !filling.is_sealed());
        only.filter(|_| inner.state == LaneState::Open).map(Filling::opened_mono)
    }

    /// Changes whenever a command is taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Bytes waiting or in flight.
    pub(super) fn buffered(&self) -> usize {
        self.inner.lock().buffered
    }
}

impl Inner {
    /// The frame that takes so many more bytes, and its size before.
    fn filling(&mut self, limits: LaneLimits, more: usize, now: Moment) -> Result<(&mut Filling, usize), SubmitError> {
        match self.state {
            LaneState::Open => {}
            LaneState::Joining => return Err(SubmitError::Starting),
            LaneState::Down => return Err(SubmitError::Away),
            LaneState::Closed => return Err(SubmitError::Closed),
        }
        if self.buffered.saturating_add(more) >= limits.buffered_bytes {
            return Err(SubmitError::Full);
        }
        let fits = self.waiting.back_mut().is_some_and(|filling| {
            if filling.buffer.len().saturating_add(more) > limits.frame_bytes {
                filling.seal(now);
            }
            !filling.is_sealed()
        });
        if !fits {
            self.waiting.push_back(Filling::open(now));
        }
        match self.waiting.back_mut() {
            Some(filling) => {
                let before = filling.buffer.len();
                Ok((filling, before))
            }
            None => Err(SubmitError::Full),
        }
    }

    fn took(&mut self, limits: LaneLimits, before: usize, now: Moment) {
        if let Some(filling) = self.waiting.back_mut() {
            let after = filling.buffer.len();
            self.buffered += after.saturating_sub(before);
            if after >= limits.frame_bytes {
                filling.seal(now);
            }
        }
    }
}
