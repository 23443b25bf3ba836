//! Making durable what changed of shards: of all of them at once, and no shard waits long for a store that fails another one.

use std::sync::Arc;
use std::time::Duration;

use ronda_runtime::{Clock, Component};
use ronda_store::port::{SurfaceStore, SurfaceWrite};
use tokio::task::JoinSet;

use super::NotifierError;
use super::engine::Engine;
use super::load::{PAUSE, Setback};
use super::source::Of;

/// How long a store is asked again that may do it later, in milliseconds. Then the shard is taken up anew, which waits as long as it takes and
/// keeps no other one waiting.
const PATIENCE_MS: u64 = 5_000;

/// What changed of a shard.
struct Commit {
    of: Of,
    writes: Vec<SurfaceWrite>,
}

impl Commit {
    /// Commits it. Answers when the store was asked to do what it then did, in monotonic milliseconds.
    async fn make(&self, store: &dyn SurfaceStore, clock: &dyn Clock, health: &Component) -> Result<u64, Setback> {
        let Of { shard, epoch } = self.of;
        let begun_ms = clock.mono_millis();
        let mut is_told = false;
        loop {
            let asked_ms = clock.mono_millis();
            match store.commit_surfaces(shard, epoch, self.writes.clone()).await {
                Ok(()) => return Ok(asked_ms),
                Err(error) if error.retryable && clock.mono_millis() < begun_ms + PATIENCE_MS => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(shard, error = %error, "the notifier's rows could not be committed; trying again");
                    }
                    health.beat();
                    let pause = error.retry_after.unwrap_or(PAUSE);
                    tokio::time::sleep(pause.min(Duration::from_millis(PATIENCE_MS))).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Engine {
    /// Commits what changed of these shards; with `all` also what is no more than cursor and clocks. A shard of which that can't be done is
    /// dropped.
    pub(super) async fn commit(&mut self, shards: &[u32], all: bool) -> Result<(), NotifierError> {
        let mut commits = JoinSet::new();
        for id in shards {
            let Some(shard) = self.core.shards.get_mut(*id) else { continue };
            if !(shard.has_changes() || (all && shard.has_news())) {
                continue;
            }
            let of = Of { shard: *id, epoch: shard.epoch };
            let writes = match shard.take_writes() {
                Ok(writes) => writes,
                Err(error) => {
                    self.drop_at_once(of, Setback::Failed(error.into()))?;
                    continue;
                }
            };
            metrics::counter!("ronda_notifier_rows_written_total").increment(writes.len() as u64);
            let (store, clock) = (Arc::clone(&self.around.store), Arc::clone(&self.around.clock));
            let (commit, health) = (Commit { of, writes }, self.patience.health.clone());
            commits.spawn(async move { (of, commit.make(&*store, &*clock, &health).await) });
        }
        while let Some(made) = commits.join_next().await {
            match made {
                Ok((of, Ok(asked_ms))) => self.committed(of, asked_ms),
                Ok((of, Err(setback))) => self.drop_at_once(of, setback)?,
                // Whatever was wrong there, it is known nowhere what became of the shard.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn committed(&mut self, of: Of, asked_ms: u64) {
        let Some(tenure) = self.holdings.tenure(of) else { return };
        tenure.asked_ms = asked_ms;
        tenure.uncommitted.clear();
        if let Some(token) = tenure.taken_in.take() {
            tenure.reading.settle(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use ronda_runtime::{Health, ManualClock};
    use ronda_store::error::{StoreError, StoreErrorKind};

    use super::*;

    /// A store that can't be asked so many times, each of which takes a while.
    struct Away {
        clock: ManualClock,
        refusals: AtomicU32,
        asked: AtomicU32,
    }

    const EACH_MS: u64 = 2_000;

    #[async_trait]
    impl SurfaceStore for Away {
        async fn acquire_shard(&self, _: u32) -> Result<u64, StoreError> {
            unreachable!("not asked for")
        }

        async fn commit_surfaces(&self, _: u32, _: u64, _: Vec<SurfaceWrite>) -> Result<(), StoreError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.clock.advance(EACH_MS);
            let left = |left: u32| left.checked_sub(1);
            if self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_err() {
                return Ok(());
            }
            let mut error = StoreError::new(StoreErrorKind::Unavailable, "it is away");
            error.retry_after = Some(Duration::from_millis(1));
            Err(error)
        }

        async fn surfaces(
            &self,
            _: u32,
            _: &str,
            _: Option<&str>,
            _: usize,
        ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
            unreachable!("not asked for")
        }
    }

    async fn commit(refusals: u32) -> (Result<u64, Setback>, u32) {
        let store = Away { clock: ManualClock::at(0), refusals: AtomicU32::new(refusals), asked: AtomicU32::new(0) };
        let commit = Commit { of: Of { shard: 0, epoch: 1 }, writes: Vec::new() };
        let made = commit.make(&store, &store.clock, &Health::new().component("notifier")).await;
        (made, store.asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_store_that_is_away_is_asked_again_but_not_for_ever() {
        let (made, _) = commit(2).await;
        assert_eq!(made.ok(), Some(2 * EACH_MS), "when it was asked, not when it answered");
        let (made, asked) = commit(u32::MAX).await;
        assert!(matches!(made, Err(Setback::Away(_))), "{made:?}");
        assert_eq!(asked, 3);
    }
}
