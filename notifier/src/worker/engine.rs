//! The core with store and channel: commits what it claims before it calls, and what it learns after.

use std::sync::Arc;
use std::time::Duration;

use ronda_lease::{Partitions, Returned};
use ronda_runtime::CancellationToken;
use ronda_store::port::SchedulerReads;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::DropGuard;

use super::call::{Attempt, Caller};
use super::holding::Holdings;
use super::late::{Amends, Late};
use super::load::{self, Patience, Setback};
use super::nights::Nights;
use super::source::{Of, Read};
use super::{NotifierError, Surroundings};
use crate::channel::ChannelError;
use crate::core::{Call, Core};
use crate::intake::Now;
use crate::manners::Manners;
use crate::shard::Shard;
use crate::status::NotifierStatus;

/// How long cursor and clocks alone may stay uncommitted, in milliseconds.
const META_INTERVAL_MS: u64 = 2_000;
/// Pause between two questions whether our credentials are good, until they are, in milliseconds.
const CHECK_INTERVAL_MS: u64 = 60_000;

/// What a task of ours came back with.
#[derive(Debug)]
pub(super) enum Done {
    Call(Box<Call>, Attempt),
    Check(Result<String, ChannelError>),
    /// A shard was taken up; `None`: that was not wanted any more.
    Loaded(u32, Result<Option<Box<Shard>>, Setback>),
    /// A shard's receiver is gone.
    Closed(u32),
    /// The installation's name; `None`: it was not wanted any more.
    Named(Result<Option<String>, NotifierError>),
}

/// See the module.
pub(super) struct Engine {
    pub(super) core: Core,
    pub(super) around: Surroundings,
    pub(super) holdings: Holdings,
    pub(super) nights: Nights,
    pub(super) patience: Patience,
    pub(super) done: mpsc::Sender<Done>,
    pub(super) reads: mpsc::Sender<Read>,
    /// What is to be told of the shards.
    pub(super) returned: Vec<Returned>,
    wanted: Partitions,
    caller: Caller,
    /// What is being put right.
    amends: JoinSet<()>,
    is_naming: bool,
    /// Once we are to end: until when what is being put right is waited for.
    ends_by_ms: Option<u64>,
    next_meta_ms: u64,
    next_check_ms: Option<u64>,
    connected: Option<bool>,
    identity: Option<String>,
    check_error: Option<String>,
    /// Whatever was begun ends with the engine.
    _ends: DropGuard,
}

impl Engine {
    /// Without shards yet.
    pub(super) fn new(
        around: Surroundings,
        done: mpsc::Sender<Done>,
        reads: mpsc::Sender<Read>,
        mut patience: Patience,
    ) -> Self {
        let stop: CancellationToken = patience.stop.child_token();
        patience.stop = stop.clone();
        let Surroundings { config, events, store, channel, clock } = &around;
        let core = Core::new(
            Arc::clone(config),
            Manners::of_channel(channel.as_ref(), config.channels()),
            events.partitions(),
        );
        let caller = Caller {
            channel: Arc::clone(channel),
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            fresh_ms: config.claim_fresh_ms,
        };
        let nights = Nights::new(Arc::clone(store) as Arc<dyn SchedulerReads>, patience.health.clone());
        Self {
            core,
            around,
            holdings: Holdings::default(),
            nights,
            patience,
            done,
            reads,
            returned: Vec::new(),
            wanted: Partitions::default(),
            caller,
            amends: JoinSet::new(),
            is_naming: false,
            ends_by_ms: None,
            next_meta_ms: 0,
            next_check_ms: Some(0),
            connected: None,
            identity: None,
            check_error: None,
            _ends: stop.drop_guard(),
        }
    }

    /// Takes in which shards are ours to work on.
    pub(super) fn want(&mut self, wanted: Partitions) {
        self.wanted = wanted;
    }

    /// Lets go of everything.
    pub(super) fn end(&mut self) {
        let now_ms = self.around.clock.mono_millis();
        self.ends_by_ms = Some(now_ms.saturating_add(self.around.config.drain_ms));
        self.wanted = Partitions::default();
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ends_by_ms.is_some()
    }

    pub(super) fn has_ended(&self) -> bool {
        let is_right = |by_ms| self.amends.is_empty() || self.around.clock.mono_millis() >= by_ms;
        self.holdings.is_empty() && self.ends_by_ms.is_some_and(is_right)
    }

    /// Whether what is ours has been taken up, or could not be.
    pub(super) fn has_begun(&self) -> bool {
        self.holdings.have_been_tried(&self.wanted)
    }

    /// Whether there is something to do, so that the next turn need not wait.
    pub(super) fn is_reading(&self) -> bool {
        self.nights.is_reading()
    }

    /// How long it is until the next message has waited long enough, if nothing happens before.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let due_ms = self.core.next_due_ms()?;
        Some(Duration::from_millis(due_ms.saturating_sub(self.around.clock.mono_millis())))
    }

    /// What is to be told of the shards.
    pub(super) fn take_returned(&mut self) -> Vec<Returned> {
        std::mem::take(&mut self.returned)
    }

    pub(super) fn status(&self) -> NotifierStatus {
        NotifierStatus {
            channel: self.around.channel.kind(),
            connected: self.connected,
            identity: self.identity.clone(),
            last_error: self.core.last_error.clone().or_else(|| self.check_error.clone()),
            posts: self.core.posts,
            edits: self.core.edits,
            backlog: self.core.backlog(),
            shards: self.holdings.open(),
            trouble: self.holdings.trouble(),
        }
    }

    /// Takes in what a partition delivered.
    pub(super) fn take_in(&mut self, read: Read, now: Now) -> Result<(), NotifierError> {
        // What an earlier reader had on the way comes to whoever reads next.
        if !self.holdings.is_open(read.of) {
            return Ok(());
        }
        let delivered = match read.what {
            Ok(delivered) => delivered,
            Err(error) => return self.fail_in_order(read.of.shard, error, now),
        };
        for (position, batch) in &delivered.batches {
            match batch {
                Some(batch) => self.core.ingest(read.of.shard, *position, batch, now),
                None => self.core.skip(read.of.shard, *position, now),
            }
        }
        if let Some(tenure) = self.holdings.tenure(read.of) {
            tenure.taken_in = Some(delivered.token);
        }
        Ok(())
    }

    /// Takes in what a task came back with.
    pub(super) fn finish(&mut self, done: Done, now: Now) -> Result<(), NotifierError> {
        match done {
            Done::Call(call, attempt) => return self.called(*call, attempt),
            Done::Check(Ok(identity)) => {
                self.connected = Some(true);
                self.identity = Some(identity);
                self.check_error = None;
            }
            Done::Check(Err(error)) => {
                tracing::error!(error = %error, "the channel does not accept us");
                self.connected = Some(false);
                self.check_error = Some(error.to_string());
                self.next_check_ms = Some(now.mono_ms + CHECK_INTERVAL_MS);
            }
            Done::Loaded(id, loaded) => return self.loaded(id, loaded, now),
            Done::Closed(id) => self.closed(id, now),
            Done::Named(named) => {
                self.is_naming = false;
                if let Some(name) = named? {
                    self.core.name(name);
                }
            }
        }
        Ok(())
    }

    fn called(&mut self, call: Call, attempt: Attempt) -> Result<(), NotifierError> {
        let of = Of { shard: call.shard, epoch: call.epoch };
        let outcome = match attempt {
            Attempt::Made(outcome) => outcome,
            Attempt::Fenced => {
                self.core.abandon(&call);
                return self.drop_at_once(of, Setback::Fenced);
            }
        };
        let is_ours = self.core.settle(&call, &outcome, self.around.now());
        let late = Late { call, outcome };
        match self.holdings.tenure(of).filter(|_| is_ours) {
            Some(tenure) => {
                tenure.in_flight = tenure.in_flight.saturating_sub(1);
                tenure.uncommitted.push(late);
            }
            None => self.make_amends(late),
        }
        Ok(())
    }

    /// Puts right, beside everything else, what a call may have done that came late.
    pub(super) fn make_amends(&mut self, late: Late) {
        let Surroundings { config, store, channel, clock, .. } = &self.around;
        let amends = Amends {
            store: Arc::clone(store),
            channel: Arc::clone(channel),
            clock: Arc::clone(clock),
            config: Arc::clone(config),
            installation: self.core.installation().unwrap_or_default().to_owned(),
            history_lag: Duration::from_secs(config.reconcile_interval_seconds),
        };
        self.amends.spawn(amends.make(late));
    }

    /// One round: shards come and go, nights are opened, time is told, claims are committed and called.
    pub(super) async fn turn(&mut self, now: Now) -> Result<(), NotifierError> {
        self.hold(&Arc::clone(&self.wanted), now);
        self.core.open_nights(now);
        if let Err((shard, error)) = self.nights.read_on(&mut self.core).await {
            self.fail_in_order(shard, NotifierError::Store(error), now)?;
        }
        self.core.tick(now);
        let mut calls = Vec::new();
        while let Some(call) = self.core.next_call(now) {
            calls.push(call);
        }
        let is_meta_due = now.mono_ms >= self.next_meta_ms;
        if is_meta_due {
            self.next_meta_ms = now.mono_ms + META_INTERVAL_MS;
        }
        self.commit(&self.holdings.with_rows(), is_meta_due).await?;
        for call in calls {
            self.send(call);
        }
        self.close_what_is_ready().await?;
        while self.amends.try_join_next().is_some() {}
        self.check(now);
        self.ask_for_the_name();
        Ok(())
    }

    /// Makes a claimed call, if its claim is committed.
    fn send(&mut self, call: Call) {
        let Some(tenure) = self.holdings.tenure(Of { shard: call.shard, epoch: call.epoch }) else {
            self.core.abandon(&call);
            return;
        };
        tenure.in_flight += 1;
        let (asked_ms, caller, done) = (tenure.asked_ms, self.caller.clone(), self.done.clone());
        tokio::spawn(async move {
            let attempt = caller.make(&call, asked_ms).await;
            // Nobody listens any more: the process is ending, and the claim is committed.
            let _ = done.send(Done::Call(Box::new(call), attempt)).await;
        });
    }

    fn check(&mut self, now: Now) {
        if self.next_check_ms.is_some_and(|at| now.mono_ms >= at) {
            self.next_check_ms = None;
            let (channel, done) = (Arc::clone(&self.around.channel), self.done.clone());
            let channels = self.around.config.channels();
            tokio::spawn(async move {
                let answer = channel.check(&channels).await;
                let _ = done.send(Done::Check(answer)).await;
            });
        }
    }

    /// Without the name of the installation nothing may be sent; whoever owns another shard than the one that has it reads it there.
    fn ask_for_the_name(&mut self) {
        if self.is_naming || self.core.installation().is_some() || self.holdings.open() == 0 {
            return;
        }
        self.is_naming = true;
        let (store, patience, done) = (Arc::clone(&self.around.store), self.patience.clone(), self.done.clone());
        tokio::spawn(async move {
            let named = load::installation(store, patience).await;
            let _ = done.send(Done::Named(named)).await;
        });
    }
}
