//! Where an alert is shown: one surface for each place, all of which say the same.
//!
//! The first has the alert's own key and moves with the settings. Each further one is bound to its channel, which is part of its key, so that
//! no order of routes and no repeated event can make a second message of it in one channel.

use std::collections::BTreeSet;

use ronda_domain::record::OccurrenceStatus;

use super::Now;
use crate::config::Config;
use crate::hash::fnv64;
use crate::route::{self, Kind, Mention, Place, Subject};
use crate::shard::Shard;
use crate::surface::{AlertFacts, Facts, Phase, ReplyWhat, Surface};

/// What the key of an alert's own surface begins with.
pub(super) const ALERT_PREFIX: &str = "a/";
/// What the keys of further ones begin with.
const FURTHER_PREFIX: &str = "x/";

/// Most that one message calls: a digest may tell of the alerts of many routes.
const MAX_MENTIONS: usize = 20;

fn further_prefix(alert: &str) -> String {
    format!("{FURTHER_PREFIX}{:016x}/", fnv64(alert))
}

fn further_key(alert: &str, channel: &str) -> String {
    format!("{}{:016x}", further_prefix(alert), fnv64(channel))
}

/// The keys of all surfaces that show an alert; its own is the first.
pub(crate) fn shown_as(shard: &Shard, alert: &str) -> Vec<String> {
    let own = shard.get(alert).map(|surface| surface.key.clone());
    let further = further_prefix(alert);
    own.into_iter().chain(shard.beginning_with(&further).map(|surface| surface.key.clone())).collect()
}

/// Where an alert goes that says this is wrong.
fn places(config: &Config, alert: &AlertFacts, status: OccurrenceStatus) -> Vec<Place> {
    let subject = Subject {
        id: alert.key.scheduler.as_str(),
        team: &alert.summary.team,
        environment: &alert.summary.environment,
        tags: &alert.summary.tags,
        severity: alert.summary.severity,
        kind: Kind::of(status),
    };
    route::decide(&config.rules(), &subject).places
}

/// Shows an alert at each of its places where it is not shown yet. Where it was before, it stays until it is over.
pub(super) fn show(shard: &mut Shard, config: &Config, key: &str, alert: &AlertFacts, now: Now) {
    for place in places(config, alert, alert.now.to) {
        let further = further_key(key, &place.channel);
        let own = shard.get(key);
        if own.is_some_and(|own| own.channel == place.channel) || shard.get(&further).is_some() {
            continue;
        }
        let key = if own.is_none() { key.to_owned() } else { further };
        let not_before = now.mono_ms + place.grouping_wait_ms.unwrap_or(config.grouping_wait_ms);
        let facts = Facts::Alert(Box::new(alert.clone()));
        shard.insert(Surface::new(key, place.channel, facts, now.wall_ms, not_before));
    }
}

/// Whom the post of a surface calls: those of the alerts that it tells of and that are open.
pub(crate) fn mentions(shard: &Shard, config: &Config, surface: &Surface) -> Vec<Mention> {
    let alerts: Vec<&AlertFacts> = match &surface.facts {
        Facts::Alert(alert) => vec![alert.as_ref()],
        Facts::Reply(reply) if matches!(reply.what, ReplyWhat::Escalated { .. }) => {
            surface.parent.iter().filter_map(|parent| alert_of(shard, parent)).collect()
        }
        Facts::Digest(digest) => digest.entries.iter().filter_map(|entry| alert_of(shard, &entry.surface)).collect(),
        _ => Vec::new(),
    };
    let mut called = Vec::new();
    for alert in alerts.into_iter().filter(|alert| alert.ended.is_none()) {
        let here = places(config, alert, alert.now.to).into_iter().find(|place| place.channel == surface.channel);
        for mention in here.into_iter().flat_map(|place| place.mentions) {
            if called.len() < MAX_MENTIONS && !called.contains(&mention) {
                called.push(mention);
            }
        }
    }
    called
}

fn alert_of<'a>(shard: &'a Shard, key: &str) -> Option<&'a AlertFacts> {
    match &shard.get(key)?.facts {
        Facts::Alert(alert) => Some(alert),
        _ => None,
    }
}

/// Further places of alerts, as they were when a shard was taken up.
pub(crate) struct Further(BTreeSet<String>);

impl Further {
    pub(crate) fn of(shard: &Shard) -> Self {
        Self(shard.beginning_with(FURTHER_PREFIX).map(|surface| surface.key.clone()).collect())
    }

    /// The channel that an alert's surface belongs to as configured now; `None`: nothing asks for it any more.
    pub(crate) fn home(&self, config: &Config, surface: &Surface, alert: &AlertFacts) -> Option<String> {
        let mut wanted = places(config, alert, alert.first.to);
        wanted.extend(places(config, alert, alert.now.to));
        if wanted.iter().any(|place| place.channel == surface.channel) {
            return Some(surface.channel.clone());
        }
        if surface.key.starts_with(FURTHER_PREFIX) {
            return None;
        }
        let free = |place: &Place| !self.0.contains(&further_key(&surface.key, &place.channel));
        wanted.into_iter().find(free).map(|place| place.channel)
    }
}

/// After a start: alerts that are open are shown wherever the settings say now, and what nobody has seen is not shown where they say so no more.
pub(crate) fn show_anew(shard: &mut Shard, config: &Config, now: Now) {
    if config.routes.is_empty() && Further::of(shard).0.is_empty() {
        return;
    }
    let is_open = |surface: &&Surface| matches!(&surface.facts, Facts::Alert(alert) if alert.ended.is_none());
    let open: Vec<String> =
        shard.beginning_with(ALERT_PREFIX).filter(is_open).map(|surface| surface.key.clone()).collect();
    for key in open {
        let Some(Facts::Alert(alert)) = shard.get(&key).map(|surface| surface.facts.clone()) else { continue };
        let mut wanted = places(config, &alert, alert.first.to);
        wanted.extend(places(config, &alert, alert.now.to));
        for shown in shown_as(shard, &key) {
            let is_wanted = |surface: &Surface| wanted.iter().any(|place| place.channel == surface.channel);
            let unseen = |surface: &Surface| surface.phase == Phase::Absent;
            if shard.get(&shown).is_some_and(|surface| unseen(surface) && !is_wanted(surface)) {
                shard.change(&shown, |surface| surface.phase = Phase::Gone);
            }
        }
        show(shard, config, &key, &alert, now);
    }
}
