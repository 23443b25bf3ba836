//! Calls that ended when their shard was somebody else's already.
//!
//! A channel can't be fenced: a call may reach it late, from a process that stood still after its last look at the store. Whoever owns the
//! shard by then looks for what comes late, but only once more; so the sender does its part as well when it learns that it was late.
//! Both follow the same rules, so they don't work against each other: of the messages of one surface the earliest stays, and a sender
//! removes none but its own; and what a message says is what the surface's row says.

use std::sync::Arc;
use std::time::Duration;

use ronda_runtime::Clock;
use ronda_store::port::Store;

use crate::channel::{
    Channel, ChannelError, ChannelErrorKind, FindRequest, Metadata, PostRequest, Posted, UpdateRequest,
};
use crate::config::Config;
use crate::core::{Call, Request, voice};
use crate::render;
use crate::shard::surface_row;
use crate::surface::{Outcome, Phase, Surface};

/// How long after a call without an answer something is done about it: most that arrive at all have arrived by then.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Attempts at one call that is told to wait.
const ATTEMPTS: u32 = 5;
/// The longest such wait that is obeyed: after it others have put things right, or people have.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Edits made to catch up with a row that goes on changing.
const EDITS: u32 = 10;

/// A call that was made, and how it ended.
#[derive(Clone, Debug)]
pub(super) struct Late {
    pub(super) call: Call,
    pub(super) outcome: Result<Outcome, ChannelError>,
}

/// How our own message is known.
enum Own {
    At(String),
    /// Its place was not answered. Whoever owns the shard now posts with a higher generation.
    Generation(u32),
}

/// What late calls are put right with.
#[derive(Clone)]
pub(super) struct Amends {
    pub(super) store: Arc<dyn Store>,
    pub(super) channel: Arc<dyn Channel>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: Arc<Config>,
    pub(super) installation: String,
    /// How long a message may take until a lookup finds it.
    pub(super) history_lag: Duration,
}

impl Amends {
    /// Puts right what a late call may have done.
    pub(super) async fn make(self, late: Late) {
        let Late { call, outcome } = &late;
        let is_unknown = |error: &ChannelError| matches!(error.kind, ChannelErrorKind::Ambiguous);
        match (&call.request, outcome) {
            (Request::Post(post), Ok(Outcome::Posted(posted))) => {
                let looks = [Duration::ZERO, self.history_lag];
                self.remove_twin(call, post, &Own::At(posted.ts.clone()), &posted.channel, &looks).await;
            }
            (Request::Post(post), Err(error)) if is_unknown(error) => {
                let looks = [FIRST_LOOK, self.history_lag, self.history_lag];
                self.remove_twin(call, post, &Own::Generation(post.metadata.generation), &post.channel, &looks).await;
            }
            // Nobody will look for it where it is.
            (Request::Post(_), Err(ChannelError { kind: ChannelErrorKind::Orphaned { stray }, .. })) => {
                self.remove(call, stray).await;
            }
            (Request::Update(update), Ok(Outcome::Edited)) => self.bring_up_to_date(call, update).await,
            (Request::Update(update), Err(error)) if is_unknown(error) => {
                tokio::time::sleep(FIRST_LOOK).await;
                self.bring_up_to_date(call, update).await;
            }
            // It changed nothing, or what anybody would have changed.
            _ => {}
        }
    }

    /// Removes our message if there is an earlier one of its surface. If ours is the earliest, it is the one that stays.
    async fn remove_twin(&self, call: &Call, post: &PostRequest, own: &Own, channel: &str, looks: &[Duration]) {
        for pause in looks {
            tokio::time::sleep(*pause).await;
            // Not found, or unreadable, is no reason to remove anything.
            let Ok(found) = self.channel.find(self.lookup(call, post, channel)).await else { continue };
            let earliest = found.iter().map(|message| &message.ts).min();
            let is_own = |ts: &str, generation: u32| match own {
                Own::At(at) => ts == at,
                Own::Generation(ours) => generation == *ours,
            };
            let found_own = found.iter().filter(|message| is_own(&message.ts, message.generation));
            let mut places: Vec<&String> = found_own.map(|message| &message.ts).collect();
            if let Own::At(at) = own
                && places.is_empty()
            {
                // Too new for the lookup, and there all the same.
                places.push(at);
            }
            let late = places.into_iter().filter(|ts| earliest.is_some_and(|earliest| earliest < *ts));
            let late: Vec<Posted> = late.map(|ts| Posted { channel: channel.to_owned(), ts: ts.clone() }).collect();
            for twin in &late {
                self.remove(call, twin).await;
            }
            if !late.is_empty() {
                return;
            }
        }
    }

    async fn remove(&self, call: &Call, message: &Posted) {
        tracing::warn!(surface.key = %call.key, ts = %message.ts, "a message was posted after its partition was taken over; it is removed");
        metrics::counter!("ronda_notifier_late_calls_total", "what" => "post").increment(1);
        let removed = self.patiently(|| self.channel.delete(&message.channel, &message.ts)).await;
        if let Err(error) = removed {
            tracing::error!(surface.key = %call.key, error = %error, "a message that was posted late can't be removed");
        }
    }

    /// An edit came late: what the row says by now is shown again, as often as that has changed meanwhile.
    async fn bring_up_to_date(&self, call: &Call, edit: &UpdateRequest) {
        let mut shown = edit.metadata.revision;
        for _ in 0..EDITS {
            let Some(surface) = self.row(call).await else { return };
            let is_there = surface.applied.as_ref().is_some_and(|applied| applied.ts == edit.ts);
            if !is_there || surface.phase == Phase::Gone || surface.desired <= shown {
                return;
            }
            tracing::warn!(surface.key = %call.key, revision = shown, newest = surface.desired, "an edit was made after its partition was taken over; the newest is shown again");
            metrics::counter!("ronda_notifier_late_calls_total", "what" => "edit").increment(1);
            shown = surface.desired;
            let again = UpdateRequest {
                content: render::surface(&surface, &voice(&self.config, &surface)),
                metadata: Metadata {
                    installation: self.installation.clone(),
                    k: surface.key.clone(),
                    generation: surface.generation,
                    revision: surface.desired,
                },
                about: surface.about(),
                ..edit.clone()
            };
            match self.patiently(|| self.channel.update(again.clone())).await {
                Ok(()) => {}
                Err(error) if matches!(error.kind, ChannelErrorKind::Ambiguous) => {}
                Err(error) => {
                    tracing::error!(surface.key = %call.key, error = %error, "a message that was edited late can't be put right");
                    return;
                }
            }
        }
    }

    /// The surface as it is kept by whoever owns its shard.
    async fn row(&self, call: &Call) -> Option<Surface> {
        let key = surface_row(&call.key);
        let read = self.store.surfaces(call.shard, &key, None, 1).await;
        let rows = read.inspect_err(|error| tracing::warn!(error = %error, "a surface can't be read")).ok()?;
        let (_, row) = rows.into_iter().find(|(found, _)| *found == key)?;
        Surface::of_row(&row).ok()
    }

    /// Makes a call, again when it is told to wait.
    async fn patiently<T, F, Fut>(&self, mut attempt: F) -> Result<T, ChannelError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, ChannelError>>,
    {
        let mut left = ATTEMPTS;
        loop {
            left -= 1;
            match attempt().await {
                Err(ChannelError { kind: ChannelErrorKind::NotSent { retry_after, .. }, .. }) if left > 0 => {
                    tokio::time::sleep(retry_after.min(LONGEST_WAIT)).await;
                }
                // Removing what is gone, or showing the same again, does no harm.
                Err(ChannelError { kind: ChannelErrorKind::Ambiguous, .. }) if left > 0 => {
                    tokio::time::sleep(FIRST_LOOK).await;
                }
                other => return other,
            }
        }
    }

    fn lookup(&self, call: &Call, post: &PostRequest, channel: &str) -> FindRequest {
        FindRequest {
            channel: channel.to_owned(),
            thread_ts: post.thread_ts.clone(),
            installation: self.installation.clone(),
            k: post.metadata.k.clone(),
            oldest_ms: call.looked_for_from_ms(),
            // Ours may have come as late as now.
            claimed_ms: (call.claimed_wall_ms, self.clock.wall_millis()),
        }
    }
}
