//! Where an alert is shown: one surface for each place, all of which say the same.
//!
//! The first has the alert's own key and moves with the settings. Each further one is bound to its channel, which is part of its key, so that
//! no order of routes and no repeated event can make a second message of it in one channel.

use std::collections::BTreeSet;

use ronda_domain::record::OccurrenceStatus;
use ronda_domain::time::Timestamp;

use super::waits::{hold, hold_all};
use super::{Now, again};
use crate::config::Config;
use crate::hash::fnv64;
use crate::route::{self, Kind, Mention, Place, Subject};
use crate::shard::Shard;
use crate::surface::{AlertFacts, FURTHER_PREFIX, Facts, KeptBack, ReplyWhat, Surface};

/// What the key of an alert's own surface begins with.
pub(super) const ALERT_PREFIX: &str = "a/";

/// Most that one message calls: a digest may tell of the alerts of many routes.
pub(crate) const MAX_MENTIONS: usize = 20;

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
fn places(config: &Config, alert: &AlertFacts, status: OccurrenceStatus, at: Timestamp) -> Vec<Place> {
    let subject = Subject {
        id: alert.key.scheduler.as_str(),
        team: &alert.summary.team,
        environment: &alert.summary.environment,
        tags: &alert.summary.tags,
        severity: alert.summary.severity,
        kind: Kind::of(status),
    };
    route::places(&config.rules(), &subject, at)
}

/// Where an alert goes by what opened it and by what is wrong now.
fn all_places(config: &Config, alert: &AlertFacts, at: Timestamp) -> Vec<Place> {
    let mut all = places(config, alert, alert.now.to, at);
    all.extend(places(config, alert, alert.first.to, at));
    all
}

/// The place at which a surface shows an alert, as it is at a time.
pub(super) fn place_at(config: &Config, surface: &Surface, alert: &AlertFacts, at: Timestamp) -> Option<Place> {
    all_places(config, alert, at).into_iter().find(|place| place.channel == surface.channel)
}

/// Shows an alert at each of its places where it is not shown yet. Where it was before, it stays until it is over.
pub(super) fn show(shard: &mut Shard, config: &Config, key: &str, alert: &AlertFacts, now: Now) {
    for place in places(config, alert, alert.now.to, wall(now)) {
        let further = further_key(key, &place.channel);
        let own = shard.get(key);
        let there = own.filter(|own| own.channel == place.channel).or_else(|| shard.get(&further));
        if let Some(there) = there.map(|surface| surface.key.clone()) {
            shard.change(&there, Surface::ask_again);
            hold(shard, config, &there, now);
            continue;
        }
        let key = if own.is_none() { key.to_owned() } else { further };
        let not_before = now.mono_ms + place.grouping_wait_ms.unwrap_or(config.grouping_wait_ms);
        let facts = Facts::Alert(Box::new(alert.clone()));
        let mut surface = Surface::new(key.clone(), place.channel, facts, now.wall_ms, not_before);
        surface.own.kept_back = alert.summary.mute.as_deref().and_then(|mute| KeptBack::by(mute, alert));
        shard.insert(surface);
        hold(shard, config, &key, now);
    }
}

pub(super) fn wall(now: Now) -> Timestamp {
    Timestamp::from_millis(now.wall_ms)
}

/// The alerts that a surface tells of and that are open.
pub(crate) fn open_alerts<'a>(shard: &'a Shard, surface: &'a Surface) -> Vec<&'a AlertFacts> {
    let mut alerts: Vec<&AlertFacts> = match &surface.facts {
        Facts::Alert(alert) => vec![alert.as_ref()],
        Facts::Reply(reply) => match &reply.what {
            ReplyWhat::Escalated { .. } | ReplyWhat::Again { .. } => {
                surface.parent.iter().filter_map(|parent| alert_of(shard, parent)).collect()
            }
            ReplyWhat::Worse { alerts } => alerts.iter().filter_map(|worse| alert_of(shard, &worse.surface)).collect(),
            _ => Vec::new(),
        },
        // Those of which it has no entry are known by themselves alone.
        Facts::Digest(digest) if digest.more > 0 => {
            shown_by(shard, &surface.key).filter_map(|alert| alert_of(shard, &alert.key)).collect()
        }
        Facts::Digest(digest) => digest.entries.iter().filter_map(|entry| alert_of(shard, &entry.surface)).collect(),
        _ => Vec::new(),
    };
    alerts.retain(|alert| alert.ended.is_none());
    alerts
}

/// All alerts that a digest shows in their place.
pub(crate) fn shown_by<'a>(shard: &'a Shard, digest: &'a str) -> impl Iterator<Item = &'a Surface> {
    let alerts = [ALERT_PREFIX, FURTHER_PREFIX].into_iter().flat_map(|prefix| shard.beginning_with(prefix));
    alerts.filter(move |alert| alert.folded_into.as_deref() == Some(digest))
}

/// Whom the post of a surface calls: those of the alerts that it tells of, that are open and that nobody looks after.
pub(crate) fn mentions(shard: &Shard, config: &Config, surface: &Surface, now: Now) -> Vec<Mention> {
    // Who looks after it is called only when it gets worse.
    let is_worse = matches!(
        &surface.facts,
        Facts::Reply(reply) if matches!(reply.what, ReplyWhat::Escalated { .. } | ReplyWhat::Worse { .. })
    );
    let is_for = |alert: &&AlertFacts| is_worse || alert.acknowledged().is_none();
    let mut called = Vec::new();
    for alert in open_alerts(shard, surface).into_iter().filter(is_for) {
        let here =
            places(config, alert, alert.now.to, wall(now)).into_iter().find(|place| place.channel == surface.channel);
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
        // When it is told is no matter here.
        let wanted = all_places(config, alert, alert.opened_at);
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
    hold_all(shard, config, now);
    if config.routes.is_empty() && config.maintenance.is_empty() && Further::of(shard).0.is_empty() {
        return;
    }
    let is_open = |surface: &&Surface| matches!(&surface.facts, Facts::Alert(alert) if alert.ended.is_none());
    let open: Vec<String> =
        shard.beginning_with(ALERT_PREFIX).filter(is_open).map(|surface| surface.key.clone()).collect();
    for key in open {
        let Some(Facts::Alert(alert)) = shard.get(&key).map(|surface| surface.facts.clone()) else { continue };
        let wanted = all_places(config, &alert, wall(now));
        for shown in shown_as(shard, &key) {
            let is_wanted = |surface: &Surface| wanted.iter().any(|place| place.channel == surface.channel);
            if !shard.get(&shown).is_some_and(is_wanted) {
                shard.change(&shown, Surface::withdraw);
            }
        }
        show(shard, config, &key, &alert, now);
        for shown in shown_as(shard, &key) {
            again::remind(shard, config, &shown, now);
        }
    }
}
