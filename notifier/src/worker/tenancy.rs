//! Shards come and go while the engine runs.

use std::sync::Arc;

use ronda_lease::{Partitions, Returned};

use super::NotifierError;
use super::engine::{Done, Engine};
use super::holding::{Deed, Holding, Tenure, Then};
use super::load::{self, Patience, Setback};
use super::source::{Of, Reading};
use crate::intake::Now;
use crate::shard::Shard;

impl Engine {
    /// Begins what it takes to work on these shards, and on no others.
    pub(super) fn hold(&mut self, wanted: &Partitions, now: Now) {
        self.holdings.forget_setbacks(now.mono_ms);
        self.holdings.see(wanted);
        for deed in self.holdings.deeds(wanted, self.around.events.partitions(), now.mono_ms) {
            match deed {
                Deed::TakeUp(id) => self.take_up(id),
                Deed::BreakOff(id) => {
                    if let Some(Holding::Coming { stop }) = self.holdings.get(id) {
                        stop.cancel();
                    }
                }
                Deed::Leave(id) => self.leave(id, Then::LetGo, now),
                Deed::SayLetGo(id) => self.say_let_go(id),
            }
        }
    }

    fn take_up(&mut self, id: u32) {
        let stop = self.patience.stop.child_token();
        self.holdings.put(id, Holding::Coming { stop: stop.clone() });
        let within = Some(load::TAKE_UP_PATIENCE);
        let patience = Patience { stop, within, health: self.patience.health.clone() };
        let (store, done) = (Arc::clone(&self.around.store), self.done.clone());
        tokio::spawn(async move {
            let loaded = load::shard(store, id, patience).await;
            let _ = done.send(Done::Loaded(id, loaded.map(|shard| shard.map(Box::new)))).await;
        });
    }

    /// Takes in that a shard was read, or why not.
    pub(super) fn loaded(
        &mut self,
        id: u32,
        loaded: Result<Option<Box<Shard>>, Setback>,
        now: Now,
    ) -> Result<(), NotifierError> {
        let Some(Holding::Coming { stop }) = self.holdings.take(id) else { return Ok(()) };
        let shard = match loaded {
            Ok(Some(shard)) if !stop.is_cancelled() => shard,
            Ok(_) => {
                self.say_let_go(id);
                return Ok(());
            }
            Err(setback) => {
                self.set_back(id, setback)?;
                let until_ms = self.holdings.rests_until(id, now.mono_ms);
                self.holdings.put(id, Holding::Resting { until_ms });
                return Ok(());
            }
        };
        let of = Of { shard: id, epoch: shard.epoch };
        let reading = Reading::start(&self.around.events, of, shard.meta.cursor, self.reads.clone());
        self.core.take_up(*shard, now);
        let (since_ms, asked_ms) = (now.mono_ms, 0);
        let tenure = Tenure { of, reading, taken_in: None, in_flight: 0, uncommitted: Vec::new(), asked_ms, since_ms };
        self.holdings.put(id, Holding::Open(tenure));
        self.holdings.is_there(id);
        tracing::info!(shard = id, epoch = of.epoch, "working on a partition of the event queue");
        Ok(())
    }

    /// Reads and begins nothing more for a shard.
    fn leave(&mut self, id: u32, then: Then, now: Now) {
        match self.holdings.take(id) {
            Some(Holding::Open(tenure)) => {
                tenure.reading.stop();
                self.core.begin_nothing_for(id);
                self.nights.forget(&self.core, id);
                let until_ms = now.mono_ms.saturating_add(self.around.config.drain_ms);
                self.holdings.put(id, Holding::Leaving { tenure, until_ms, then });
            }
            Some(other) => self.holdings.put(id, other),
            None => {}
        }
    }

    /// Commits and closes shards that are given up and wait for nothing any more.
    pub(super) async fn close_what_is_ready(&mut self) -> Result<(), NotifierError> {
        let ready = self.holdings.ready_to_close(self.around.now().mono_ms);
        // What is still in flight is claimed: whoever owns the shard next looks it up.
        self.commit(&ready, true).await?;
        for id in ready {
            match self.holdings.take(id) {
                Some(Holding::Leaving { tenure, then, .. }) => {
                    self.forget(id);
                    self.holdings.put(id, Holding::Closing { then });
                    let done = self.done.clone();
                    tokio::spawn(async move {
                        tenure.reading.end().await;
                        let _ = done.send(Done::Closed(id)).await;
                    });
                }
                // The commit was refused.
                Some(other) => self.holdings.put(id, other),
                None => {}
            }
        }
        Ok(())
    }

    /// Takes in that a shard's receiver is gone.
    pub(super) fn closed(&mut self, id: u32, now: Now) {
        match self.holdings.take(id) {
            Some(Holding::Closing { then: Then::LetGo }) => self.say_let_go(id),
            Some(Holding::Closing { then: Then::Rest }) => {
                let until_ms = self.holdings.rests_until(id, now.mono_ms);
                self.holdings.put(id, Holding::Resting { until_ms });
            }
            Some(other) => self.holdings.put(id, other),
            None => {}
        }
    }

    /// Gives up, for a while, a shard whose rows can still be committed.
    pub(super) fn fail_in_order(&mut self, id: u32, error: NotifierError, now: Now) -> Result<(), NotifierError> {
        self.set_back(id, Setback::Failed(error))?;
        self.leave(id, Then::Rest, now);
        Ok(())
    }

    /// Drops a shard as it is: nothing is committed, nothing settled.
    pub(super) fn drop_at_once(&mut self, of: Of, setback: Setback) -> Result<(), NotifierError> {
        let id = of.shard;
        if self.holdings.tenure(of).is_none() {
            return Ok(());
        }
        let (mut tenure, then) = match self.holdings.take(id) {
            Some(Holding::Open(tenure)) => (tenure, Then::Rest),
            Some(Holding::Leaving { tenure, then, .. }) => (tenure, then),
            _ => return Ok(()),
        };
        let was_lost = matches!(setback, Setback::Fenced);
        self.set_back(id, setback)?;
        for late in std::mem::take(&mut tenure.uncommitted).into_iter().filter(|_| was_lost) {
            self.make_amends(late);
        }
        self.forget(id);
        self.holdings.put(id, Holding::Closing { then });
        let done = self.done.clone();
        tokio::spawn(async move {
            tenure.reading.break_off().await;
            let _ = done.send(Done::Closed(id)).await;
        });
        Ok(())
    }

    fn forget(&mut self, id: u32) {
        self.nights.forget(&self.core, id);
        self.core.let_go(id);
    }

    fn say_let_go(&mut self, id: u32) {
        self.holdings.take(id);
        self.returned.push(Returned::LetGo(id));
        tracing::info!(shard = id, "let go of a partition of the event queue");
    }

    /// Takes in what went wrong with a shard, and says so.
    ///
    /// # Errors
    /// What no shard can go on after.
    fn set_back(&mut self, id: u32, setback: Setback) -> Result<(), NotifierError> {
        match setback {
            Setback::Fenced => {
                metrics::counter!("ronda_notifier_partitions_lost_total", "why" => "fenced").increment(1);
                tracing::warn!(shard = id, "another notifier has taken over a partition of the event queue");
                self.returned.push(Returned::Fenced(id));
                self.holdings.set_back(id, None);
            }
            Setback::Away(error) => {
                tracing::warn!(shard = id, error = %error, "a partition of the event queue waits for the store");
                self.holdings.is_away(id, format!("partition {id} of the event queue waits for the store: {error}"));
            }
            Setback::Failed(error) if error.ends_all() => return Err(error),
            Setback::Failed(error) => {
                metrics::counter!("ronda_notifier_partitions_lost_total", "why" => "failed").increment(1);
                tracing::error!(shard = id, error = %error, "a partition of the event queue can't be worked on; it is tried again after a while");
                self.holdings.set_back(id, Some(format!("partition {id} of the event queue: {error}")));
            }
        }
        Ok(())
    }
}
