//! Storms: when many alerts come at once, or have piled up during an outage, they become one digest.

use std::collections::BTreeMap;

use ronda_domain::time::Timestamp;

use crate::config::Config;
use crate::hash::fnv64;
use crate::intake::Now;
use crate::render;
use crate::shard::Shard;
use crate::surface::{AlertFacts, DigestEntry, DigestFacts, Facts, Phase, ReplyFacts, ReplyWhat, Surface};

/// Most alerts that a digest follows; of the others it counts those that are over, and their own rows stay. All are named: those
/// for which the digest has no room in replies below it.
const MAX_ENTRIES: usize = 500;
/// What the names in one reply may come to, in bytes as they are sent.
const MAX_REPLY_BYTES: usize = 5_500;
/// A digest takes in more for so many storm windows after it was first seen: what comes later is worth a new post, which
/// somebody notices.
const OPEN_WINDOWS: u64 = 3;

/// Remembers when alerts were posted one by one, and which digest is being filled.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    /// In which channel, and when.
    posted_ms: Vec<(String, u64)>,
    /// At most one a shard and channel.
    open: Vec<Open>,
}

/// A digest that takes in more.
#[derive(Debug)]
struct Open {
    shard: u32,
    channel: String,
    key: String,
    /// Until when, if nothing else comes.
    until_ms: u64,
    /// Since when it is visible. Before that, nobody misses anything that goes into it.
    seen_ms: Option<u64>,
}

impl Open {
    fn takes_more(&self, now_ms: u64, window_ms: u64) -> bool {
        self.seen_ms.is_none_or(|seen| now_ms < self.until_ms && now_ms < seen + window_ms * OPEN_WINDOWS)
    }
}

impl Storm {
    /// An alert was posted by itself.
    pub(crate) fn posted(&mut self, channel: &str, now_ms: u64) {
        self.posted_ms.push((channel.to_owned(), now_ms));
    }

    /// A shard is not ours any more: its open digest is somebody else's.
    pub(crate) fn forget(&mut self, shard: u32) {
        self.open.retain(|open| open.shard != shard);
    }

    /// Folds what waits into a digest when it is too much for single messages.
    pub(crate) fn fold(&mut self, shard: &mut Shard, config: &Config, now: Now) {
        let window_ms = config.storm_window_seconds.saturating_mul(1_000);
        self.posted_ms.retain(|(_, posted)| now.mono_ms < posted + window_ms);
        for open in self.open.iter_mut().filter(|open| open.shard == shard.id && open.seen_ms.is_none()) {
            if shard.get(&open.key).is_some_and(|surface| surface.applied.is_some()) {
                open.seen_ms = Some(now.mono_ms);
            }
        }
        // What somebody deleted shows nothing that is folded into it.
        let there = |open: &Open| shard.get(&open.key).is_some_and(|surface| surface.phase != Phase::Gone);
        self.open.retain(|open| open.takes_more(now.mono_ms, window_ms) && (open.shard != shard.id || there(open)));
        let mut waiting: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let alone = |surface: &&Surface| {
            let is_free = surface.phase == Phase::Absent && surface.folded_into.is_none();
            is_free && surface.held.is_none() && !surface.awaits_unmute(now.wall_ms)
        };
        for alert in shard.active().filter(alone).filter(|surface| matches!(surface.facts, Facts::Alert(_))) {
            waiting.entry(alert.channel.clone()).or_default().push(alert.key.clone());
        }
        for (channel, waiting) in waiting {
            self.fold_channel(shard, config, &channel, &waiting, now);
        }
    }

    fn fold_channel(&mut self, shard: &mut Shard, config: &Config, channel: &str, waiting: &[String], now: Now) {
        let open = self.open.iter_mut().find(|open| open.shard == shard.id && open.channel == channel);
        let posted = self.posted_ms.iter().filter(|(place, _)| place == channel).count();
        let stormy = waiting.len() + posted > config.storm_threshold && waiting.len() > 1;
        if !(stormy || open.is_some()) {
            return;
        }
        let until_ms = now.mono_ms + config.storm_window_seconds.saturating_mul(1_000);
        let key = match open {
            Some(open) => {
                open.until_ms = until_ms;
                open.key.clone()
            }
            None => {
                let own = if channel == config.channel { String::new() } else { format!("/{:016x}", fnv64(channel)) };
                let key = format!("d/{:016}{own}", now.wall_ms);
                let channel = channel.to_owned();
                self.open.push(Open { shard: shard.id, channel, key: key.clone(), until_ms, seen_ms: None });
                key
            }
        };
        fold_into(shard, channel, &key, waiting, now);
    }
}

fn fold_into(shard: &mut Shard, channel: &str, key: &str, waiting: &[String], now: Now) {
    if shard.get(key).is_none() {
        let opened_at = Timestamp::from_millis(now.wall_ms);
        let facts = Facts::Digest(Box::new(DigestFacts {
            opened_at,
            entries: Vec::new(),
            more: 0,
            maybe_repeat: false,
            more_ended: 0,
        }));
        // What follows within the next seconds goes into the same first post.
        let not_before = now.mono_ms + 1_000;
        shard.insert(Surface::new(key.to_owned(), channel.to_owned(), facts, now.wall_ms, not_before));
    }
    let Some(Facts::Digest(before)) = shard.get(key).map(|surface| &surface.facts) else { return };
    let mut facts = before.clone();
    let known = facts.entries.len();
    let mut unfollowed = Vec::new();
    for alert_key in waiting {
        let Some(Facts::Alert(alert)) = shard.get(alert_key).map(|surface| &surface.facts) else { continue };
        facts.opened_at = facts.opened_at.min(alert.opened_at);
        if facts.entries.len() < MAX_ENTRIES {
            facts.entries.push(entry(alert_key, alert));
        } else {
            facts.more += 1;
            facts.more_ended += u32::from(alert.ended.is_some());
            unfollowed.push(alert.summary.name.clone());
        }
        shard.change(alert_key, |surface| surface.folded_into = Some(key.to_owned()));
    }
    let without_room = facts.entries.iter().skip(known.max(render::digest_room(&facts.entries)));
    let below = without_room.map(|entry| entry.name.clone()).chain(unfollowed).collect();
    name_below(shard, key, below, now);
    shard.change(key, |surface| surface.desire_with_others(Facts::Digest(facts), now.wall_ms, now.mono_ms));
}

/// Names alerts below a digest, after those that are named there.
fn name_below(shard: &mut Shard, digest: &str, below: Vec<Box<str>>, now: Now) {
    if below.is_empty() {
        return;
    }
    let reply_key = |number: usize| format!("r/{:016x}/names-{number}", fnv64(digest));
    let mut number = 0;
    while shard.get(&reply_key(number + 1)).is_some() {
        number += 1;
    }
    let mut names = match shard.get(&reply_key(number)).map(|surface| &surface.facts) {
        Some(Facts::Reply(reply)) => match &reply.what {
            ReplyWhat::Names { names } => names.clone(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    };
    let mut bytes: usize = names.iter().map(|name| render::name_bytes(name)).sum();
    for name in below {
        let size = render::name_bytes(&name);
        if bytes + size > MAX_REPLY_BYTES {
            put_names(shard, digest, reply_key(number), std::mem::take(&mut names), now);
            number += 1;
            bytes = 0;
        }
        bytes += size;
        names.push(name);
    }
    put_names(shard, digest, reply_key(number), names, now);
}

fn put_names(shard: &mut Shard, digest: &str, key: String, names: Vec<Box<str>>, now: Now) {
    let Some(channel) = shard.get(digest).map(|surface| surface.channel.clone()) else { return };
    let facts = Facts::Reply(Box::new(ReplyFacts { name: "".into(), what: ReplyWhat::Names { names } }));
    if shard.get(&key).is_some() {
        shard.change(&key, |surface| surface.desire_with_others(facts, now.wall_ms, now.mono_ms));
        return;
    }
    let mut reply = Surface::new(key, channel, facts, now.wall_ms, now.mono_ms + 1_000);
    reply.parent = Some(digest.to_owned());
    shard.insert(reply);
}

/// Brings a digest up to date with one of its alerts.
pub(crate) fn follow(shard: &mut Shard, alert_key: &str, now: Now) {
    let Some(surface) = shard.get(alert_key) else { return };
    let (Some(digest_key), Facts::Alert(alert)) = (surface.folded_into.clone(), &surface.facts) else { return };
    let (status, subject, ended) = (alert.now.to, alert.now.subject.clone(), alert.ended.is_some());
    let Some(Facts::Digest(before)) = shard.get(&digest_key).map(|surface| &surface.facts) else { return };
    let mut facts = before.clone();
    match facts.entries.iter_mut().find(|slot| slot.surface == alert_key) {
        // Names stay as they were: so does who has room.
        Some(slot) => (slot.status, slot.subject, slot.ended) = (status, subject, ended),
        // An alert ends once, and nothing of it follows.
        None => facts.more_ended = facts.more.min(facts.more_ended + u32::from(ended)),
    }
    shard.change(&digest_key, |surface| surface.desire_with_others(Facts::Digest(facts), now.wall_ms, now.mono_ms));
}

fn entry(key: &str, alert: &AlertFacts) -> DigestEntry {
    DigestEntry {
        surface: key.to_owned(),
        name: alert.summary.name.clone(),
        team: alert.summary.team.clone(),
        status: alert.now.to,
        subject: alert.now.subject.clone(),
        ended: alert.ended.is_some(),
    }
}
