//! Storms: when many alerts come at once, or have piled up during an outage, they become one digest.

use ronda_domain::time::Timestamp;

use crate::config::Config;
use crate::intake::Now;
use crate::shard::Shard;
use crate::surface::{AlertFacts, DigestEntry, DigestFacts, Facts, Phase, Surface};

/// Most alerts that a digest keeps by name; the others are counted, and their own rows stay.
const MAX_ENTRIES: usize = 500;

/// Remembers when alerts were posted one by one, and which digest is being filled.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    posted_ms: Vec<u64>,
    /// The open digest and until when it takes in more, by shard.
    open: Vec<(u32, String, u64)>,
}

impl Storm {
    /// An alert was posted by itself.
    pub(crate) fn posted(&mut self, now_ms: u64) {
        self.posted_ms.push(now_ms);
    }

    /// Folds what waits into a digest when it is too much for single messages.
    pub(crate) fn fold(&mut self, shard: &mut Shard, config: &Config, now: Now) {
        let window_ms = config.storm_window_seconds.saturating_mul(1_000);
        self.posted_ms.retain(|posted| now.mono_ms < posted + window_ms);
        self.open.retain(|(_, _, until)| now.mono_ms < *until);
        let open = self.open.iter().find(|(id, _, _)| *id == shard.id).map(|(_, key, _)| key.clone());
        let waiting: Vec<String> = shard
            .active()
            .filter(|surface| surface.phase == Phase::Absent && surface.folded_into.is_none())
            .filter(|surface| matches!(surface.facts, Facts::Alert(_)))
            .filter(|surface| surface.channel == config.channel)
            .map(|surface| surface.key.clone())
            .collect();
        let stormy = waiting.len() + self.posted_ms.len() > config.storm_threshold && waiting.len() > 1;
        if waiting.is_empty() || !(stormy || open.is_some()) {
            return;
        }
        let key = open.unwrap_or_else(|| format!("d/{:016}", now.wall_ms));
        self.open.retain(|(id, _, _)| *id != shard.id);
        self.open.push((shard.id, key.clone(), now.mono_ms + window_ms));
        fold_into(shard, config, &key, &waiting, now);
    }
}

fn fold_into(shard: &mut Shard, config: &Config, key: &str, waiting: &[String], now: Now) {
    if shard.get(key).is_none() {
        let opened_at = Timestamp::from_millis(now.wall_ms);
        let facts = Facts::Digest(Box::new(DigestFacts { opened_at, entries: Vec::new(), more: 0 }));
        // What follows within the next seconds goes into the same first post.
        let not_before = now.mono_ms + 1_000;
        shard.insert(Surface::new(key.to_owned(), config.channel.clone(), facts, now.wall_ms, not_before));
    }
    let Some(Facts::Digest(before)) = shard.get(key).map(|surface| &surface.facts) else { return };
    let mut facts = before.clone();
    for alert_key in waiting {
        let Some(Facts::Alert(alert)) = shard.get(alert_key).map(|surface| &surface.facts) else { continue };
        facts.opened_at = facts.opened_at.min(alert.opened_at);
        if facts.entries.len() < MAX_ENTRIES {
            facts.entries.push(entry(alert_key, alert));
        } else {
            facts.more += 1;
        }
        shard.change(alert_key, |surface| surface.folded_into = Some(key.to_owned()));
    }
    shard.change(key, |surface| {
        surface.desire(Facts::Digest(facts), now.wall_ms);
        if surface.phase == Phase::Live {
            surface.not_before_ms = surface.not_before_ms.max(now.mono_ms + 2_000);
        }
    });
}

/// Brings a digest up to date with one of its alerts.
pub(crate) fn follow(shard: &mut Shard, alert_key: &str, now: Now) {
    let Some(surface) = shard.get(alert_key) else { return };
    let (Some(digest_key), Facts::Alert(alert)) = (surface.folded_into.clone(), &surface.facts) else { return };
    let entry = entry(alert_key, alert);
    let Some(Facts::Digest(before)) = shard.get(&digest_key).map(|surface| &surface.facts) else { return };
    let mut facts = before.clone();
    let Some(slot) = facts.entries.iter_mut().find(|slot| slot.surface == alert_key) else { return };
    *slot = entry;
    shard.change(&digest_key, |surface| {
        surface.desire(Facts::Digest(facts), now.wall_ms);
        surface.not_before_ms = surface.not_before_ms.max(now.mono_ms + 2_000);
    });
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
