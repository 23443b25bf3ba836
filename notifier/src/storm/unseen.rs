//! What was folded into a digest that shows it to nobody.

use std::collections::BTreeSet;

use super::below;
use crate::intake::{self, Now};
use crate::render;
use crate::shard::Shard;
use crate::surface::{DigestFacts, Facts, Phase, Surface};

/// When a digest was deleted, or can't be edited any more: what it was to show, and nobody can have seen in it, is told anew. What somebody
/// saw and deleted stays deleted.
pub(crate) fn release_unseen(shard: &mut Shard, digest: &str, now: Now) {
    let Some(surface) = shard.get(digest) else { return };
    let Facts::Digest(before) = &surface.facts else { return };
    if surface.phase != Phase::Gone && !surface.fixed {
        return;
    }
    let unseen = unseen(shard, surface, before);
    if unseen.is_empty() {
        return;
    }
    tracing::info!(
        surface.key = digest,
        alerts = unseen.len(),
        "a digest can't show what it was to show; that is told anew"
    );
    let mut facts = before.clone();
    facts.entries.retain(|entry| !unseen.contains(&entry.surface));
    for key in &unseen {
        shard.change(key, |alert| {
            alert.folded_into = None;
            alert.not_before_ms = now.mono_ms;
        });
    }
    let counted = only_counted(shard, digest, &facts);
    let over = counted.iter().filter(|alert| alert.is_finished()).count();
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    (facts.more, facts.more_ended) = (number(counted.len()), number(over));
    shard.change(digest, |surface| surface.desire(Facts::Digest(facts), now.wall_ms));
}

/// The alerts that a digest shows and has no entry of.
fn only_counted<'a>(shard: &'a Shard, key: &'a str, digest: &DigestFacts) -> Vec<&'a Surface> {
    if digest.more == 0 {
        return Vec::new();
    }
    let followed: BTreeSet<&str> = digest.entries.iter().map(|entry| entry.surface.as_str()).collect();
    intake::shown_by(shard, key).filter(|alert| !followed.contains(alert.key.as_str())).collect()
}

/// The alerts that a digest has shown to nobody, neither itself nor below.
fn unseen(shard: &Shard, surface: &Surface, digest: &DigestFacts) -> BTreeSet<String> {
    let room = render::digest_room(&digest.entries);
    let unread: BTreeSet<&str> = below::unread(shard, &surface.key).into_iter().collect();
    let shown = surface.applied.as_ref().map(|applied| applied.revision);
    let inside = digest.entries.iter().take(room).filter(|entry| shown.is_none_or(|shown| shown < entry.since()));
    let below = digest.entries.iter().skip(room).filter(|entry| unread.contains(&*entry.name));
    let mut unseen: BTreeSet<String> = inside.chain(below).map(|entry| entry.surface.clone()).collect();
    let is_unread =
        |alert: &&Surface| matches!(&alert.facts, Facts::Alert(alert) if unread.contains(&*alert.summary.name));
    let counted = only_counted(shard, &surface.key, digest).into_iter().filter(is_unread);
    unseen.extend(counted.map(|alert| alert.key.clone()));
    unseen
}
