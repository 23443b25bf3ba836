//! When a commit is due, and how much goes into it.

use std::time::Duration;

use ronda_queue::{ReceiveLimit, Receiver};
use ronda_store::port::{KeyStore, PartitionStore, Retention};

use super::{BEAT, Owner, commands};
use crate::core::PartitionCore;
use crate::runner::ProcessorError;
use crate::runner::batch::Batch;
use crate::runner::pause::pause;

/// Commits are this far apart where somebody waits for one.
const AWAITED_INTERVAL: Duration = Duration::from_millis(20);
/// Commits are this far apart, however long the interval, where people are to be told something; and what came in waits for the core no longer,
/// which finds out whether they are.
const NEWS_INTERVAL: Duration = Duration::from_millis(500);
/// Most messages, and most of their bytes, in one commit, however far apart commits are: so much the queue has to keep, and the next owner takes in
/// again.
const MOST_MESSAGES: usize = 100_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;

impl<S: PartitionStore + Retention + KeyStore + ?Sized + 'static> Owner<S> {
    /// How much more to receive: for what is in hand, and for the commit that it goes into.
    pub(super) fn room(&self, batch: &Batch) -> ReceiveLimit {
        let config = &self.shared.config;
        let in_commit = self.max_unsettled.min(MOST_MESSAGES).saturating_sub(batch.count);
        ReceiveLimit {
            messages: config.receive_messages.saturating_sub(batch.waiting.len()).min(in_commit),
            bytes: config
                .receive_bytes
                .saturating_sub(batch.waiting_bytes())
                .min(MOST_BYTES.saturating_sub(batch.bytes)),
        }
    }

    fn interval(&self) -> Duration {
        Duration::from_millis(u64::from(self.shared.config.commit_interval_ms))
    }

    /// Whether a commit may stay open for so long that what it has to tell can't wait for its end.
    pub(super) fn keeps_commits_open(&self) -> bool {
        self.interval() > NEWS_INTERVAL
    }

    /// How long it is until the commit is due.
    fn due_in(&self, core: &PartitionCore, batch: &Batch) -> Duration {
        let interval = self.interval();
        let interval = match batch.is_awaited {
            true => interval.min(AWAITED_INTERVAL),
            // What is held back goes out between commits.
            false if core.has_news() || core.is_holding() => interval.min(NEWS_INTERVAL),
            false => interval,
        };
        interval.saturating_sub(self.since_commit.elapsed())
    }

    /// Receives more for the same commit; `false`: it is due, or has no room, or what waits is to be taken in first.
    pub(super) async fn more(
        &self,
        core: &PartitionCore,
        receiver: &mut dyn Receiver,
        batch: &mut Batch,
    ) -> Result<bool, ProcessorError> {
        let due_in = self.due_in(core, batch);
        let left = batch.waiting_for().map_or(due_in, |waiting| due_in.min(NEWS_INTERVAL.saturating_sub(waiting)));
        let room = self.room(batch);
        if self.shared.commands.capabilities().blocks_until_settled {
            return Ok(false);
        }
        if left.is_zero() || room.messages == 0 || room.bytes == 0 {
            return Ok(false);
        }
        let more = tokio::select! {
            biased;
            goes_on = pause(left.min(BEAT), &self.cancel) => {
                self.beat();
                return Ok(goes_on && left > BEAT);
            }
            more = receiver.receive(room) => more.map_err(commands)?,
        };
        self.admit(core, batch, more).await?;
        Ok(true)
    }
}
