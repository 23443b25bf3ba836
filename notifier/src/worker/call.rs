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
