//! A commit's events on their way out, beside the commits that follow when that takes long.

use std::sync::Arc;
use std::time::Duration;

use ronda_schemas::event::EventBatch;
use ronda_store::port::{Commit, KeyStore, PartitionStore, Retention};

use super::{BEAT, Owner};
use crate::core::PartitionCore;
use crate::runner::pause::{pause, sleep};
use crate::runner::vitals::Trouble;
use crate::runner::{AbortOnDrop, ProcessorError, publish, telemetry};

/// So long the next commit waits for the events of the one before. Then they are left to the rows that carry them, and commands are taken
/// on: an event queue that takes nothing must not keep the commands in theirs, which may be what fills the broker.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is being published, if that takes long.
#[derive(Default)]
pub(super) struct Outgoing(Option<AbortOnDrop<Result<(), ProcessorError>>>);

impl Outgoing {
    /// Publishes; whether it is done. If it takes long it goes on by itself.
    pub(super) async fn publish(
        &mut self,
        publishing: impl Future<Output = Result<(), ProcessorError>> + Send + 'static,
    ) -> Result<bool, ProcessorError> {
        let mut publishing = Box::pin(publishing);
        tokio::select! {
            biased;
            outcome = &mut publishing => outcome.map(|()| true),
            () = sleep(PATIENCE) => {
                self.go_on(publishing);
                Ok(false)
            }
        }
    }

    /// Publishes by itself.
    pub(super) fn go_on(&mut self, publishing: impl Future<Output = Result<(), ProcessorError>> + Send + 'static) {
        self.0 = Some(AbortOnDrop(tokio::spawn(publishing)));
    }

    /// Waits until what is under way is out; for ever while nothing is. Cancel-safe.
    pub(super) async fn done(&mut self) -> Result<(), ProcessorError> {
        let Some(task) = &mut self.0 else { return std::future::pending().await };
        let outcome = (&mut task.0).await.unwrap_or(Err(ProcessorError::Panicked));
        self.0 = None;
        outcome
    }

    /// Whether something was under way and has ended, which [`done`](Self::done) then tells at once.
    pub(super) fn has_ended(&self) -> bool {
        self.0.as_ref().is_some_and(|task| task.0.is_finished())
    }
}

impl<S: PartitionStore + Retention + KeyStore + ?Sized + 'static> Owner<S> {
    /// Publishes the events of a commit that is durable. When they can't be published soon, they are held back: the rows carry them.
    pub(super) async fn send(
        &mut self,
        core: &mut PartitionCore,
        batches: Vec<(u32, EventBatch)>,
        commit: &Commit,
    ) -> Result<(), ProcessorError> {
        if !core.is_holding() {
            let publishing = self.publishing(batches);
            if self.outgoing.publish(publishing).await? {
                core.published();
                return Ok(());
            }
            core.hold(commit);
            self.warn_held(core);
        }
        self.tell_held(core);
        Ok(())
    }

    /// Publishes what a former owner may not have; if that takes long, it is held back, too.
    pub(super) async fn send_recovered(
        &mut self,
        core: &mut PartitionCore,
        batches: Vec<(u32, EventBatch)>,
    ) -> Result<(), ProcessorError> {
        let publishing = self.publishing(batches);
        if !self.outgoing.publish(publishing).await? {
            core.hold_recovered();
            self.warn_held(core);
            self.tell_held(core);
        }
        Ok(())
    }

    /// Tells how far all has been judged while a commit stays open.
    pub(super) async fn tell_clock(&mut self, core: &mut PartitionCore) -> Result<(), ProcessorError> {
        if !self.keeps_commits_open() {
            return Ok(());
        }
        let batches = core.tell_clock();
        if batches.is_empty() {
            return Ok(());
        }
        let publishing = self.publishing(batches);
        if !self.outgoing.publish(publishing).await? {
            // There is nothing that a row would have to carry, and yet nothing may get ahead of it.
            core.hold(&Commit::default());
            self.warn_held(core);
            self.tell_held(core);
        }
        telemetry::state(self.partition, core);
        self.shared.vitals.set_watermark(self.partition, core.watermark());
        Ok(())
    }

    fn warn_held(&self, core: &PartitionCore) {
        let (partition, events) = (self.partition, core.unpublished());
        tracing::warn!(
            partition,
            events,
            "the event queue has not taken all within a second; the store keeps the events, and commands are taken on"
        );
    }

    /// Readiness says it until the next commit.
    fn tell_held(&self, core: &PartitionCore) {
        let text = format!("the event queue is slow or takes nothing; {} events wait in the store", core.unpublished());
        self.shared.vitals.set_trouble(self.partition, Trouble { text, is_lasting: false });
    }

    /// The events under way are out: what was held back meanwhile is next.
    pub(super) fn published(&mut self, core: &mut PartitionCore) {
        let batches = core.next_publish();
        if batches.is_empty() {
            core.published();
            telemetry::state(self.partition, core);
            tracing::info!(partition = self.partition, "the event queue has taken all that was held back");
        } else {
            let publishing = self.publishing(batches);
            self.outgoing.go_on(publishing);
        }
    }

    /// Waits until what is held back is out, if the next commit must not add to it; `false`: it is time to stop.
    pub(super) async fn make_room(&mut self, core: &mut PartitionCore) -> Result<bool, ProcessorError> {
        while self.outgoing.has_ended() || core.must_publish() {
            tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Ok(false),
                outcome = self.outgoing.done() => {
                    outcome?;
                    self.published(core);
                }
                _ = pause(BEAT, &self.cancel) => self.beat(),
            }
        }
        Ok(true)
    }

    /// What publishes these, for a task of its own.
    fn publishing(
        &self,
        batches: Vec<(u32, EventBatch)>,
    ) -> impl Future<Output = Result<(), ProcessorError>> + Send + use<S> {
        let (shared, partition, cancel) = (Arc::clone(&self.shared), self.partition, self.cancel.clone());
        let events = Arc::clone(&self.shared.events);
        let told = move |text| shared.vitals.hindered(partition, text);
        async move { publish::events(&events, batches, &cancel, told).await }
    }
}
