//! One call to the channel, made only while its shard may be believed to be ours.
//!
//! A channel can't be fenced, so a process that stood still between the claim of a call and the call itself must find that out before it
//! sends: by its own monotonic clock, and, when too much of that has passed, by asking the store.

use std::sync::Arc;
use std::time::Duration;

use ronda_runtime::Clock;
use ronda_store::error::StoreErrorKind;
use ronda_store::port::Store;

use crate::channel::{Channel, ChannelError, ChannelErrorKind};
use crate::core::{Call, Request};
use crate::surface::{Outcome, Work};

/// How often the store is asked before one call; then it was too slow each time.
const QUESTIONS: u32 = 3;
/// Pause before a call is tried again that was not made because the store could not say whose it is.
const PAUSE: Duration = Duration::from_secs(1);

/// What became of a claimed call.
#[derive(Debug)]
pub(super) enum Attempt {
    /// It was made, or certainly not, with this outcome.
    Made(Result<Outcome, ChannelError>),
    /// It was not made: its shard is somebody else's.
    Fenced,
}

/// What a call is made with.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    /// How old what the store said may be, in milliseconds.
    pub(super) fresh_ms: u64,
}

impl Caller {
    /// Makes a call whose claim the store was asked to commit, and did, at this monotonic time.
    pub(super) async fn make(&self, call: &Call, asked_ms: u64) -> Attempt {
        // A lookup changes nothing.
        if call.work != Work::Find
            && let Err(instead) = self.look(call, asked_ms).await
        {
            return instead;
        }
        Attempt::Made(carry_out(self.channel.as_ref(), call.request.clone()).await)
    }

    /// Asks the store whether the shard is still ours, unless it said so a moment ago.
    async fn look(&self, call: &Call, mut asked_ms: u64) -> Result<(), Attempt> {
        let is_fresh = |asked_ms: u64| self.clock.mono_millis().saturating_sub(asked_ms) <= self.fresh_ms;
        for _ in 0..QUESTIONS {
            if is_fresh(asked_ms) {
                return Ok(());
            }
            metrics::counter!("ronda_notifier_looks_before_a_call_total").increment(1);
            // From when the question was asked: however long the answer took, nobody was owner before us in between.
            asked_ms = self.clock.mono_millis();
            match self.store.commit_surfaces(call.shard, call.epoch, Vec::new()).await {
                Ok(()) => {}
                Err(error) if error.kind == StoreErrorKind::Fenced => return Err(Attempt::Fenced),
                Err(error) => return Err(not_made(&format!("the store can't say whether it is still ours: {error}"))),
            }
        }
        if is_fresh(asked_ms) {
            Ok(())
        } else {
            Err(not_made("the store takes too long to say whether it is still ours"))
        }
    }
}

fn not_made(why: &str) -> Attempt {
    let kind = ChannelErrorKind::NotSent { retry_after: PAUSE, rate_limited: false };
    Attempt::Made(Err(ChannelError { kind, message: why.to_owned() }))
}

async fn carry_out(channel: &dyn Channel, request: Request) -> Result<Outcome, ChannelError> {
    match request {
        Request::Post(request) => channel.post(request).await.map(Outcome::Posted),
        Request::Update(request) => channel.update(request).await.map(|()| Outcome::Edited),
        Request::Find(request) => channel.find(request).await.map(Outcome::Found),
        Request::Delete { channel: place, ts } => channel.delete(&place, &ts).await.map(|()| Outcome::Deleted),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use async_trait::async_trait;
    use ronda_runtime::ManualClock;
    use ronda_store::embedded::{EmbeddedOptions, EmbeddedStore};
    use ronda_store::port::SurfaceStore as _;

    use super::*;
    use crate::channel::{FindRequest, Found, Pacing, PostRequest, Posted, UpdateRequest};

    /// A channel that counts deletions, the simplest call of all.
    #[derive(Default)]
    struct Counting(AtomicU32);

    #[async_trait]
    impl Channel for Counting {
        fn kind(&self) -> &'static str {
            "counting"
        }

        fn pacing(&self) -> Pacing {
            Pacing { post_interval: Duration::ZERO, edit_interval: Duration::ZERO }
        }

        async fn check(&self, _: &[String]) -> Result<String, ChannelError> {
            unreachable!("not asked for")
        }

        async fn post(&self, _: PostRequest) -> Result<Posted, ChannelError> {
            unreachable!("not asked for")
        }

        async fn update(&self, _: UpdateRequest) -> Result<(), ChannelError> {
            unreachable!("not asked for")
        }

        async fn delete(&self, _: &str, _: &str) -> Result<(), ChannelError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        async fn find(&self, _: FindRequest) -> Result<Vec<Found>, ChannelError> {
            unreachable!("not asked for")
        }
    }

    fn call(epoch: u64) -> Call {
        let (channel, ts) = ("C".to_owned(), "1".to_owned());
        let work = Work::Delete { channel: channel.clone(), ts: ts.clone() };
        let request = Request::Delete { channel: channel.clone(), ts };
        Call { shard: 0, epoch, key: "k".to_owned(), channel, work, request, claimed_wall_ms: 0 }
    }

    #[tokio::test]
    async fn who_stood_still_between_claim_and_call_asks_the_store_whose_the_shard_is() {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(EmbeddedStore::open(dir.path(), EmbeddedOptions::default()).unwrap());
        let epoch = store.acquire_shard(0).await.unwrap();
        let (clock, channel) = (Arc::new(ManualClock::at(0)), Arc::new(Counting::default()));
        let caller = Caller {
            channel: Arc::clone(&channel) as _,
            store: Arc::clone(&store) as _,
            clock: Arc::clone(&clock) as _,
            fresh_ms: 5_000,
        };
        let made = || channel.0.load(Ordering::Relaxed);
        clock.advance(65_001);
        assert!(matches!(caller.make(&call(epoch), 60_000).await, Attempt::Made(Ok(Outcome::Deleted))));
        assert_eq!(made(), 1, "the store said that it still is ours");

        store.acquire_shard(0).await.unwrap();
        assert!(matches!(caller.make(&call(epoch), 60_000).await, Attempt::Fenced));
        assert_eq!(made(), 1, "nothing was sent");
        assert!(matches!(caller.make(&call(epoch), 60_001).await, Attempt::Made(Ok(_))), "it said so a moment ago");
    }
}
