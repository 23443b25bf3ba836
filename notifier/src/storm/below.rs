//! Replies below a digest that tell of many: names for which it has no room, and what got worse.
//!
//! A reply that may have been posted takes in no more: whoever has read it, or deleted it, has had all of it; and it calls whom it is to call.

use crate::hash::fnv64;
use crate::intake::Now;
use crate::render;
use crate::shard::Shard;
use crate::surface::{Facts, Phase, ReplyFacts, ReplyWhat, Surface, Worse};

/// What the names in one reply may come to, in bytes as they are sent.
const MAX_REPLY_BYTES: usize = 5_500;
/// The most that a word for how an alert is adds to its name.
const MAX_STATUS_BYTES: usize = 24;
/// How long the first reply of a kind waits for others to tell of, and how long later ones do: how many there are the digest says at once.
const FIRST_WAIT_MS: u64 = 1_000;
const LATER_WAIT_MS: u64 = 5_000;

const NAMES: &str = "names";
const WORSE: &str = "worse";

/// The replies of a kind below a digest are counted from 1.
fn key(digest: &str, kind: &str, number: usize) -> String {
    format!("r/{:016x}/{kind}-{number}", fnv64(digest))
}

fn what_of(surface: &Surface) -> Option<&ReplyWhat> {
    match &surface.facts {
        Facts::Reply(reply) => Some(&reply.what),
        _ => None,
    }
}

/// The reply of a kind that comes next, and what it says already.
fn next<'a>(shard: &'a Shard, digest: &str, kind: &str) -> (usize, Option<&'a ReplyWhat>) {
    let last = (1..).take_while(|number| shard.get(&key(digest, kind, *number)).is_some()).last().unwrap_or(0);
    let takes_more = shard.get(&key(digest, kind, last)).filter(|reply| reply.last_claim_wall_ms == 0);
    match takes_more.and_then(what_of) {
        Some(what) => (last, Some(what)),
        None => (last + 1, None),
    }
}

/// Names alerts below a digest, after those that are named there.
pub(super) fn name(shard: &mut Shard, digest: &str, below: Vec<Box<str>>, now: Now) {
    if below.is_empty() {
        return;
    }
    let (mut number, there) = next(shard, digest, NAMES);
    let mut names = match there {
        Some(ReplyWhat::Names { names }) => names.clone(),
        _ => Vec::new(),
    };
    let mut bytes: usize = names.iter().map(|name| render::name_bytes(name)).sum();
    for name in below {
        let size = render::name_bytes(&name);
        if bytes + size > MAX_REPLY_BYTES {
            put(shard, digest, (NAMES, number), ReplyWhat::Names { names: std::mem::take(&mut names) }, now);
            number += 1;
            bytes = 0;
        }
        bytes += size;
        names.push(name);
    }
    put(shard, digest, (NAMES, number), ReplyWhat::Names { names }, now);
}

/// Tells below a digest that one of its alerts got worse, as a reply below an alert of its own would.
pub(super) fn tell_worse(shard: &mut Shard, digest: &str, worse: Worse, now: Now) {
    let (mut number, there) = next(shard, digest, WORSE);
    let mut alerts = match there {
        Some(ReplyWhat::Worse { alerts }) => alerts.clone(),
        _ => Vec::new(),
    };
    // Of what got worse twice the last is told.
    alerts.retain(|known| known.surface != worse.surface);
    let bytes = |alert: &Worse| render::name_bytes(&alert.name) + MAX_STATUS_BYTES;
    if alerts.iter().map(bytes).sum::<usize>() + bytes(&worse) > MAX_REPLY_BYTES {
        number += 1;
        alerts.clear();
    }
    alerts.push(worse);
    put(shard, digest, (WORSE, number), ReplyWhat::Worse { alerts }, now);
}

fn put(shard: &mut Shard, digest: &str, (kind, number): (&str, usize), what: ReplyWhat, now: Now) {
    let Some(channel) = shard.get(digest).map(|surface| surface.channel.clone()) else { return };
    let key = key(digest, kind, number);
    let facts = Facts::Reply(Box::new(ReplyFacts { name: "".into(), what }));
    if shard.get(&key).is_some() {
        shard.change(&key, |surface| surface.desire(facts, now.wall_ms));
        return;
    }
    let wait_ms = if number == 1 { FIRST_WAIT_MS } else { LATER_WAIT_MS };
    let mut reply = Surface::new(key, channel, facts, now.wall_ms, now.mono_ms + wait_ms);
    reply.parent = Some(digest.to_owned());
    shard.insert(reply);
}

/// Names that stand in no reply that anybody can have read.
pub(super) fn unread<'a>(shard: &'a Shard, digest: &str) -> Vec<&'a str> {
    let is_read = |reply: &Surface| {
        let is_there = matches!(reply.phase, Phase::Live | Phase::Editing { .. });
        is_there && reply.applied.as_ref().is_some_and(|applied| applied.revision >= reply.desired)
    };
    let replies = (1..).map_while(|number| shard.get(&key(digest, NAMES, number)));
    let names = |reply| match what_of(reply) {
        Some(ReplyWhat::Names { names }) => names.as_slice(),
        _ => &[],
    };
    replies.filter(|reply| !is_read(reply)).flat_map(names).map(AsRef::as_ref).collect()
}
