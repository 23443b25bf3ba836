//! Which call is made next, and what its outcome means.

use ronda_domain::time::Timestamp;

use super::{Core, policy, voice};
use crate::channel::{ChannelError, ChannelErrorKind, FindRequest, Metadata, PostRequest, UpdateRequest};
use crate::hash::fnv64;
use crate::intake::{self, Now};
use crate::render;
use crate::shard::Shard;
use crate::storm::{self, Aloud};
use crate::surface::{AdminFacts, AlertTone, Facts, Form, Outcome, Phase, ReplyWhat, Surface, Work};

/// How far a service's clock may be behind ours when messages are looked up by time, in milliseconds. Wide, because a message
/// that is not found is posted again; how much is read is bounded by the adapter. There is no latest time: a service's clock
/// may as well be ahead, and a post may turn up late.
const CLOCK_MARGIN_MS: i64 = 6 * 3_600_000;

/// A claimed call. Its claim has to be committed before it is made.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) shard: u32,
    /// With which epoch the shard was acquired when this was claimed.
    pub(crate) epoch: u64,
    pub(crate) key: String,
    /// The surface's channel, which is busy until the call is settled.
    pub(crate) channel: String,
    pub(crate) work: Work,
    pub(crate) request: Request,
    /// Wall time of the claim.
    pub(crate) claimed_wall_ms: i64,
}

impl Call {
    /// Since which wall time a message is looked for that it may have posted.
    pub(crate) fn looked_for_from_ms(&self) -> i64 {
        self.claimed_wall_ms - CLOCK_MARGIN_MS
    }
}

/// What is asked of the channel.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Post(PostRequest),
    Update(UpdateRequest),
    Find(FindRequest),
    Delete { channel: String, ts: String },
}

/// What can be done about a reply now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    /// No reply, or the parent is there.
    Ready,
    Wait,
    Gone,
}

/// What comes up while the most urgent call is looked for.
#[derive(Default)]
struct Search {
    looked_at: u64,
    /// Those that have lost what they are a reply to.
    orphans: Vec<(u32, String)>,
}

impl Core {
    /// Claims the most urgent call that may be made now.
    pub(crate) fn next_call(&mut self, now: Now) -> Option<Call> {
        let installation = self.installation.clone()?;
        self.look_through(now);
        let mut best: Option<((u8, i64, &str), u32, Work)> = None;
        let mut search = Search::default();
        for shard in self.shards.iter().filter(|shard| !shard.is_leaving) {
            let id = shard.id;
            for line in shard.lines() {
                let Some((surface, work)) = self.first_of(shard, line, now, &mut search) else { continue };
                let order = (priority(surface, &work), surface.created_wall_ms, surface.key.as_str());
                if best.as_ref().is_none_or(|(least, _, _)| order < *least) {
                    best = Some((order, id, work));
                }
            }
        }
        let best = best.map(|((_, _, key), id, work)| (key.to_owned(), id, work));
        metrics::counter!("ronda_notifier_surfaces_looked_at_total").increment(search.looked_at);
        for (id, key) in search.orphans {
            if let Some(shard) = self.shards.get_mut(id) {
                shard.change(&key, |surface| surface.phase = Phase::Gone);
            }
        }
        let (key, id, work) = best?;
        self.claim(id, key, work, installation, now)
    }

    /// The first in a line for which a call may be made now.
    fn first_of<'a>(
        &self,
        shard: &'a Shard,
        line: impl Iterator<Item = &'a Surface>,
        now: Now,
        search: &mut Search,
    ) -> Option<(&'a Surface, Work)> {
        for surface in line {
            search.looked_at += 1;
            let Some(work) = surface.work(now.mono_ms) else { continue };
            if !self.pace.allows(&surface.channel, &work, now.mono_ms) {
                // Nor is anything behind it: the limit is the same.
                return None;
            }
            if !self.looked_up.is_empty() && self.looked_up.contains(&(shard.id, surface.key.clone())) {
                continue;
            }
            match parent_for(shard, surface, &work) {
                Parent::Ready => return Some((surface, work)),
                Parent::Wait => {}
                Parent::Gone => search.orphans.push((shard.id, surface.key.clone())),
            }
        }
        None
    }

    /// Works out what is due; see [`Shard::look_through`].
    pub(super) fn look_through(&mut self, now: Now) {
        let looked_at: usize = self.shards.iter_mut().map(|shard| shard.look_through(now, priority)).sum();
        metrics::counter!("ronda_notifier_surfaces_looked_at_total").increment(u64::try_from(looked_at).unwrap_or(0));
    }

    fn claim(&mut self, id: u32, key: String, work: Work, installation: String, now: Now) -> Option<Call> {
        let shard = self.shards.get_mut(id)?;
        let epoch = shard.epoch;
        let channel = shard.get(&key)?.channel.clone();
        let target = self.manners.of(&channel).kind;
        if work == Work::Post {
            intake::note_lateness(shard, &self.config, &key, now);
        }
        shard.change(&key, |surface| surface.claim(&work, epoch, target, now.wall_ms))?;
        let surface = shard.get(&key)?;
        let thread_ts = thread_of(shard, surface);
        let about = surface.about();
        let content = || render::surface(surface, &voice(&self.config, surface));
        let new_content = |aloud: &Aloud| {
            let mut content = content();
            render::call(&mut content, aloud.mentions());
            content
        };
        let metadata = Metadata {
            installation: installation.clone(),
            k: surface.key.clone(),
            generation: surface.generation,
            revision: surface.desired,
        };
        let request = match &work {
            Work::Post => {
                let aloud = Aloud::of(shard, &self.config, surface, now);
                let content = new_content(&aloud);
                self.storm.says(id, &key, aloud);
                Request::Post(PostRequest { channel: channel.clone(), thread_ts, content, metadata, about })
            }
            Work::Edit { channel, ts } => Request::Update(UpdateRequest {
                channel: channel.clone(),
                ts: ts.clone(),
                content: content(),
                metadata,
                about,
            }),
            Work::Find => Request::Find(FindRequest {
                channel: surface.applied.as_ref().map_or(&channel, |applied| &applied.channel).clone(),
                thread_ts,
                installation,
                k: surface.key.clone(),
                oldest_ms: surface.first_claim_wall_ms - CLOCK_MARGIN_MS,
                claimed_ms: (surface.first_claim_wall_ms, surface.last_claim_wall_ms),
            }),
            Work::Delete { channel, ts } => Request::Delete { channel: channel.clone(), ts: ts.clone() },
        };
        self.pace.begin(&channel, &work, now.mono_ms);
        if work == Work::Find {
            self.looked_up.insert((id, key.clone()));
        }
        Some(Call { shard: id, epoch, key, channel, work, request, claimed_wall_ms: now.wall_ms })
    }

    /// Takes in how a call ended. `false`: its shard is not ours any more, or was acquired anew since; then this says only how the
    /// channel is.
    pub(crate) fn settle(&mut self, call: &Call, outcome: &Result<Outcome, ChannelError>, now: Now) -> bool {
        self.abandon(call);
        match outcome {
            Ok(outcome) => self.went_well(call, outcome, now),
            Err(error) => self.went_wrong(call, error, now),
        }
        let outcome = outcome.clone().unwrap_or_else(|error| Outcome::Failed(error.kind));
        let gone = matches!(
            (&call.work, &outcome),
            (Work::Post, Outcome::Failed(ChannelErrorKind::Missing { .. } | ChannelErrorKind::Orphaned { .. }))
        );
        let Some(shard) = self.shards.acquired_with(call.shard, call.epoch) else { return false };
        let policy = policy(&self.config, &self.manners, shard.get(&call.key));
        shard.change(&call.key, |surface| surface.settle(&call.work, outcome, now.mono_ms, &policy));
        storm::release_unseen(shard, &call.key, now);
        // What was not posted after all may have to wait by now.
        intake::hold(shard, &self.config, &call.key, now);
        intake::seen(shard, &self.config, &call.key, now);
        if gone && let Some(parent) = shard.get(&call.key).and_then(|surface| surface.parent.clone()) {
            // Somebody deleted what was to be replied to: it stays deleted.
            shard.change(&parent, |surface| surface.phase = Phase::Gone);
            storm::release_unseen(shard, &parent, now);
        }
        true
    }

    /// A claimed call is over, or is not made: its channel is free.
    pub(crate) fn abandon(&mut self, call: &Call) {
        self.pace.end(&call.channel, &call.work);
        if self.shards.acquired_with(call.shard, call.epoch).is_some() {
            self.looked_up.remove(&(call.shard, call.key.clone()));
        }
    }

    fn went_well(&mut self, call: &Call, outcome: &Outcome, now: Now) {
        self.pace.well(&call.channel);
        self.last_error = None;
        match outcome {
            Outcome::Posted(_) => {
                self.posts += 1;
                metrics::counter!("ronda_notifier_posts_total").increment(1);
                let surface = self.shards.get(call.shard).and_then(|shard| shard.get(&call.key));
                if surface.is_some_and(|surface| matches!(surface.facts, Facts::Alert(_))) {
                    self.storm.posted(&call.channel, now.mono_ms);
                }
            }
            Outcome::Edited => {
                self.edits += 1;
                metrics::counter!("ronda_notifier_edits_total").increment(1);
            }
            Outcome::Found(_) | Outcome::Deleted | Outcome::Failed(_) => {}
        }
    }

    fn went_wrong(&mut self, call: &Call, error: &ChannelError, now: Now) {
        metrics::counter!("ronda_notifier_failures_total", "class" => error.kind.class()).increment(1);
        let what = match call.work {
            Work::Post => "post",
            Work::Edit { .. } => "edit",
            Work::Find => "lookup",
            Work::Delete { .. } => "delete",
        };
        tracing::warn!(surface.key = %call.key, call = what, class = error.kind.class(), error = %error.message, "a call to the channel failed");
        self.last_error = Some(format!("{what} in {}: {error}", call.channel));
        match &error.kind {
            ChannelErrorKind::NotSent { retry_after, rate_limited: true } => {
                let pause = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX / 2);
                let until = now.mono_ms.saturating_add(pause);
                match call.work {
                    Work::Find => self.pace.silence_lookups(&call.channel, until),
                    Work::Post | Work::Edit { .. } | Work::Delete { .. } => self.pace.silence(&call.channel, until),
                }
            }
            ChannelErrorKind::Ambiguous if call.work == Work::Post => {
                self.pace.doubtful(&call.channel, now.mono_ms);
            }
            // An unreadable history, or a refused removal (a missing scope), says nothing against posting.
            ChannelErrorKind::DestinationBroken { code } if matches!(call.work, Work::Post | Work::Edit { .. }) => {
                self.destination_broken(call, code, now);
            }
            ChannelErrorKind::Payload { code } if call.work == Work::Post => self.refused(call, code, now),
            _ => {}
        }
    }

    fn destination_broken(&mut self, call: &Call, code: &str, now: Now) {
        let until = now.mono_ms + self.config.broken_backoff_seconds.saturating_mul(1_000);
        if !self.pace.broken(&call.channel, now.mono_ms, until) {
            return;
        }
        tracing::error!(channel = %call.channel, code, "the channel refuses us; messages for it are kept until that is put right");
        if self.config.channel_for_admin() == call.channel {
            return;
        }
        let facts = AdminFacts::Destination {
            channel: call.channel.clone(),
            code: code.to_owned(),
            at: Timestamp::from_millis(now.wall_ms),
        };
        self.tell_admin(call.shard, &format!("destination/{:016x}", fnv64(&call.channel)), facts, now);
    }

    /// A post was refused as it is. When no plainer form is left, the operator has to know.
    fn refused(&mut self, call: &Call, code: &str, now: Now) {
        let surface = self.shards.get(call.shard).and_then(|shard| shard.get(&call.key));
        // A notice that is refused itself would bring only more of them.
        if !surface.is_some_and(|surface| surface.form == Form::Text && !matches!(surface.facts, Facts::Admin(_))) {
            return;
        }
        tracing::error!(surface.key = %call.key, channel = %call.channel, code, "a message is refused in every form; it is kept and tried again every hour");
        let facts = AdminFacts::Refused {
            channel: call.channel.clone(),
            code: code.to_owned(),
            at: Timestamp::from_millis(now.wall_ms),
        };
        self.tell_admin(call.shard, &format!("refused/{:016x}", fnv64(&call.channel)), facts, now);
    }

    /// At most one notice of a kind and day, however often it comes and goes.
    pub(super) fn tell_admin(&mut self, shard: u32, what: &str, facts: AdminFacts, now: Now) {
        let key = format!("admin/{what}/{}", now.wall_ms.div_euclid(86_400_000));
        let facts = Facts::Admin(Box::new(facts));
        let surface = Surface::new(key, self.config.channel_for_admin().to_owned(), facts, now.wall_ms, now.mono_ms);
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.insert(surface);
        }
    }
}

/// Where a reply's parent is, or was.
fn thread_of(shard: &Shard, surface: &Surface) -> Option<String> {
    let parent = shard.get(surface.parent.as_ref()?)?;
    parent.applied.as_ref().map(|applied| applied.ts.clone())
}

/// What can be done about a surface's call now.
pub(super) fn parent_for(shard: &Shard, surface: &Surface, work: &Work) -> Parent {
    let parent = parent_of(shard, surface);
    let may_stand_beside = || matches!(surface.phase, Phase::Unknown { .. }) && thread_of(shard, surface).is_some();
    match parent {
        // What is to be removed is removed in any case.
        _ if matches!(work, Work::Delete { .. }) => Parent::Ready,
        // What may have been posted before its parent was deleted may stand beside it.
        Parent::Gone if may_stand_beside() => Parent::Ready,
        parent => parent,
    }
}

fn parent_of(shard: &Shard, surface: &Surface) -> Parent {
    let Some(key) = &surface.parent else { return Parent::Ready };
    match shard.get(key) {
        None => Parent::Gone,
        // Its first post failed, and by now a digest shows it, and all that becomes of it.
        Some(parent) if parent.applied.is_none() && parent.folded_into.is_some() => Parent::Gone,
        Some(parent) => match (&parent.phase, &parent.applied) {
            (Phase::Gone, _) => Parent::Gone,
            (_, Some(_)) => Parent::Ready,
            (_, None) => Parent::Wait,
        },
    }
}

/// What is done first: failures before stale before missed, then what is over, then tables.
pub(super) fn priority(surface: &Surface, work: &Work) -> u8 {
    let base = match &surface.facts {
        Facts::Alert(alert) => match alert.tone() {
            AlertTone::Failed => 0,
            AlertTone::Stale => 2,
            AlertTone::Missed | AlertTone::StartedLate => 4,
            AlertTone::Over | AlertTone::Withdrawn => 12,
        },
        Facts::Digest(_) => 0,
        Facts::Reply(reply) => match reply.what {
            ReplyWhat::Escalated { .. }
            | ReplyWhat::Worse { .. }
            | ReplyWhat::Turned { .. }
            | ReplyWhat::StillWrong { .. }
            | ReplyWhat::Again { .. } => 6,
            ReplyWhat::Names { .. } | ReplyWhat::Acknowledged { .. } | ReplyWhat::AcknowledgedInDigest { .. } => 8,
            ReplyWhat::Ended { .. } => 13,
            ReplyWhat::AfterTheEnd { .. } => 18,
        },
        Facts::Admin(_) => 8,
        Facts::Blind(_) => 10,
        Facts::Board(_) => 16,
        Facts::Summary(_) => 17,
    };
    // A message that nobody has seen yet comes before an edit of one that is there.
    base + u8::from(!matches!(work, Work::Post))
}
