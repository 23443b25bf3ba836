//! What a digest says of its alerts.

use ronda_domain::event::{Event, EventKind};
use ronda_domain::time::Timestamp;

use super::below;
use crate::hash::fnv64;
use crate::intake::{self, Now};
use crate::render;
use crate::shard::Shard;
use crate::surface::{
    AlertFacts, DigestEntry, DigestFacts, Facts, Later, Phase, ReplyFacts, ReplyWhat, Surface, Worse,
};

/// Most alerts that a digest follows; of the others it counts those that are over, and their own rows stay. All are named: those
/// for which the digest has no room in replies below it.
const MAX_ENTRIES: usize = 500;

/// Lets a digest show these alerts in their place.
pub(super) fn fold_into(shard: &mut Shard, channel: &str, key: &str, joining: &[String], now: Now) {
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
    let Some(digest) = shard.get(key) else { return };
    let Facts::Digest(before) = &digest.facts else { return };
    // Every post that may have been made is of an earlier one.
    let since = if digest.last_claim_wall_ms == 0 { 0 } else { digest.desired + 1 };
    let mut facts = before.clone();
    let known = facts.entries.len();
    let mut unfollowed = Vec::new();
    for alert_key in joining {
        let Some(Facts::Alert(alert)) = shard.get(alert_key).map(|surface| &surface.facts) else { continue };
        facts.opened_at = facts.opened_at.min(alert.opened_at);
        if facts.entries.len() < MAX_ENTRIES {
            facts.entries.push(entry(alert_key, alert, since));
        } else {
            facts.more += 1;
            facts.more_ended += u32::from(alert.ended.is_some());
            unfollowed.push(alert.summary.name.clone());
        }
        shard.change(alert_key, |surface| surface.folded_into = Some(key.to_owned()));
    }
    let without_room = facts.entries.iter().skip(known.max(render::digest_room(&facts.entries)));
    let unnamed = without_room.map(|entry| entry.name.clone()).chain(unfollowed).collect();
    below::name(shard, key, unnamed, now);
    shard.change(key, |surface| surface.desire_with_others(Facts::Digest(facts), now.wall_ms, now.mono_ms));
}

fn entry(key: &str, alert: &AlertFacts, since: u64) -> DigestEntry {
    let mut entry = DigestEntry {
        surface: key.to_owned(),
        name: alert.summary.name.clone(),
        team: alert.summary.team.clone(),
        status: alert.now.to,
        subject: alert.now.subject.clone(),
        ended: alert.ended.is_some(),
        later: (since > 0).then(|| Box::new(Later { since, acknowledged: None })),
    };
    entry.acknowledge(alert.acknowledged());
    entry
}

/// Brings a digest up to date with one of its alerts, of which this was just taken in.
pub(crate) fn follow(shard: &mut Shard, alert_key: &str, event: &Event, now: Now) {
    let Some(surface) = shard.get(alert_key) else { return };
    let (Some(digest_key), Facts::Alert(alert)) = (surface.folded_into.clone(), &surface.facts) else { return };
    let Some(Facts::Digest(before)) = shard.get(&digest_key).map(|surface| &surface.facts) else { return };
    let mut facts = before.clone();
    let mut worse = None;
    match facts.entries.iter_mut().find(|slot| slot.surface == alert_key) {
        // Names stay as they were: so does who has room.
        Some(slot) => {
            let name = alert.summary.name.clone();
            worse = (got_worse(slot, event) && !alert.is_muted(now.wall_ms)).then(|| Worse {
                surface: alert_key.to_owned(),
                name,
                status: alert.now.to,
            });
            (slot.status, slot.subject, slot.ended) = (alert.now.to, alert.now.subject.clone(), alert.ended.is_some());
            slot.acknowledge(alert.acknowledged());
        }
        // An alert ends once, and nothing of it follows.
        None => facts.more_ended = facts.more.min(facts.more_ended + u32::from(alert.ended.is_some())),
    }
    let acknowledged = alert.acknowledged().filter(|_| matches!(event.kind, EventKind::AlertAcknowledged { .. }));
    let noted = acknowledged.map(|by| {
        let what = ReplyWhat::AcknowledgedInDigest { by: by.clone() };
        ReplyFacts { name: alert.summary.name.clone(), what }
    });
    shard.change(&digest_key, |surface| surface.desire_with_others(Facts::Digest(facts), now.wall_ms, now.mono_ms));
    if !shard.get(&digest_key).is_some_and(may_be_seen) {
        return;
    }
    if let Some(worse) = worse {
        below::tell_worse(shard, &digest_key, worse, now);
    }
    if let Some(noted) = noted {
        note(shard, &digest_key, &format!("{alert_key}/{}", event.id), noted, now);
    }
}

/// Whether somebody may have seen it as it was, and will see what is below it.
const fn may_be_seen(digest: &Surface) -> bool {
    !matches!(digest.phase, Phase::Absent | Phase::Gone)
}

/// Whether what an entry is about has become something that its alert would tell by a reply.
fn got_worse(entry: &DigestEntry, event: &Event) -> bool {
    let EventKind::AlertChanged { cause, .. } = &event.kind else { return false };
    entry.subject == cause.subject && entry.status != cause.to && intake::is_worse(cause)
}

fn note(shard: &mut Shard, digest: &str, of: &str, facts: ReplyFacts, now: Now) {
    let Some(channel) = shard.get(digest).map(|surface| surface.channel.clone()) else { return };
    let key = format!("r/{:016x}/{:016x}", fnv64(digest), fnv64(of));
    let mut reply = Surface::new(key, channel, Facts::Reply(Box::new(facts)), now.wall_ms, now.mono_ms);
    reply.parent = Some(digest.to_owned());
    shard.insert(reply);
}
