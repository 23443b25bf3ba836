//! When a commit is due, and how much goes into it.

use std::time::Duration;

use ronda_queue::{ReceiveLimit, Receiver};
use ronda_store::port::{KeyStore, PartitionStore, Retention};

use super::{BEAT, Owner, commands};
use crate::core::PartitionCore;
use crate::runner::ProcessorError;
use crate::runner::batch::Batch;
use crate::runner::pause::pause;

/// Commits are this far apart where somebody waits for one, or is to be told that something is wrong.
const AWAITED_INTERVAL: Duration = Duration::from_millis(20);
/// Commits are this far apart, however long the interval, where people are to be told something.
const NEWS_INTERVAL: Duration = Duration::from_millis(500);
/// What came in waits for the core no longer, which finds out whether they are.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Most messages, and most of their bytes, in one commit, however far apart commits are: so much the queue has to keep, and the next owner takes in
/// again.
const MOST_MESSAGES: usize = 100_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Why a commit is not to be kept open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    /// There is no reason.
    None,
    /// It has something to tell.
    News,
    /// Somebody waits for it, or it has to tell that something is wrong.
    Awaited,
}

impl Urgency {
    /// How far commits are apart, where without urgency they are so far.
    fn interval(self, configured: Duration) -> Duration {
        match self {
            Self::None => configured,
            Self::News => configured.min(NEWS_INTERVAL),
            Self::Awaited => configured.min(AWAITED_INTERVAL),
        }
    }
}

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
        let urgency = match batch.is_awaited || core.has_alert() {
            true => Urgency::Awaited,
            // What is held back goes out between commits.
            false if core.has_news() || core.is_holding() => Urgency::News,
            false => Urgency::None,
        };
        let interval = urgency.interval(self.interval());
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
        let left = batch.waiting_for().map_or(due_in, |waiting| due_in.min(LOOK_INTERVAL.saturating_sub(waiting)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_urgent_the_sooner_and_never_later_than_is_configured() {
        let intervals = |configured| {
            let all = [Urgency::None, Urgency::News, Urgency::Awaited];
            all.map(|urgency| urgency.interval(Duration::from_millis(configured)).as_millis())
        };
        assert_eq!(intervals(60_000), [60_000, 500, 20]);
        assert_eq!(intervals(500), [500, 500, 20]);
        assert_eq!(intervals(10), [10, 10, 10]);
    }
}
