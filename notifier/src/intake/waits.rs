//! For what surfaces wait that nobody has seen: maintenance, quiet hours, mutes, and reminders their time.

use ronda_domain::event::EventKind;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::{SchedulerEvent, SchedulerSummary};

use super::Now;
use super::again::{remind, was_called};
use super::places::{place_at, wall};
use crate::config::Config;
use crate::route::{Held, HeldBy};
use crate::shard::Shard;
use crate::surface::{AlertFacts, FURTHER_PREFIX, Facts, KeptBack, KeptBy, Late, ReplyWhat, Surface, Wait};

/// What is told later than this, in milliseconds, says so: then it is no news of now.
const LATE_MS: i64 = 120_000;

/// Most waits in a row that are followed.
const MAX_WAITS: usize = 8;

/// Lets a surface that nobody has seen wait, or not, as is right now. What is over is withdrawn if all of it was in a time of which nobody
/// was to hear.
pub(crate) fn hold(shard: &mut Shard, config: &Config, key: &str, now: Now) {
    let Some(surface) = shard.get(key).filter(|surface| surface.is_unseen()) else { return };
    let alert = match &surface.facts {
        Facts::Alert(_) => Some(key.to_owned()),
        Facts::Reply(reply) if reply.what.due().is_some() => surface.parent.clone(),
        _ => None,
    };
    let Some(alert) = alert else { return };
    let is_again = matches!(&surface.facts, Facts::Reply(reply) if matches!(reply.what, ReplyWhat::Again { .. }));
    forget_mute(shard, config, &alert, now);
    if is_again {
        return remind(shard, config, &alert, now);
    }
    let Some(surface) = shard.get(key) else { return };
    if is_for_nobody(config, surface) {
        shard.change(key, Surface::withdraw);
        return;
    }
    let wait = wait(config, surface, wall(now));
    if wait != surface.wait {
        shard.change(key, |surface| surface.wait = wait);
    }
}

/// After a start: everything that nobody has seen.
pub(super) fn hold_all(shard: &mut Shard, config: &Config, now: Now) {
    let keys: Vec<String> = shard.active().map(|surface| surface.key.clone()).collect();
    for key in keys {
        hold(shard, config, &key, now);
    }
}

/// Lets go of what has waited until now, unless it has to wait for something else.
pub(crate) fn release(shard: &mut Shard, config: &Config, now: Now) {
    for key in shard.waited_until(wall(now)) {
        hold(shard, config, &key, now);
    }
}

/// For what an unseen surface waits at a time.
fn wait(config: &Config, surface: &Surface, at: Timestamp) -> Option<Wait> {
    match &surface.facts {
        Facts::Alert(alert) => {
            let kept_back = surface.own.kept_back.map(|kept| kept.until);
            let muted = kept_back.max(alert.muted_until()).filter(|until| at < *until);
            muted.map(Wait::Muted).or_else(|| held(config, surface, alert, at).map(Wait::Held))
        }
        Facts::Reply(reply) => reply.what.due().filter(|due| at < *due).map(Wait::Due),
        _ => None,
    }
}

/// What lets an alert wait where it is shown, at a time.
fn held(config: &Config, surface: &Surface, alert: &AlertFacts, at: Timestamp) -> Option<Held> {
    place_at(config, surface, alert, at)?.held
}

/// The first time from one on at which nothing lets an alert wait where it is shown.
pub(super) fn after_holds(config: &Config, surface: &Surface, alert: &AlertFacts, from: Timestamp) -> Timestamp {
    let mut at = from;
    for _ in 0..MAX_WAITS {
        let Some(held) = held(config, surface, alert, at) else { break };
        at = held.until;
    }
    at
}

/// Whether an alert began and ended in one time of which nobody was to hear. It is no matter when that is found out.
fn is_for_nobody(config: &Config, surface: &Surface) -> bool {
    let Facts::Alert(alert) = &surface.facts else { return false };
    let Some(ended_at) = alert.ended.as_ref().map(|end| end.at) else { return false };
    let is_kept_back = surface.own.kept_back.is_some_and(|kept| kept.covers(alert.opened_at, ended_at));
    is_kept_back || ended_at < maintained_until(config, surface, alert)
}

/// The end of the maintenance in which an alert began, and of those that followed on it; its beginning if there was none.
fn maintained_until(config: &Config, surface: &Surface, alert: &AlertFacts) -> Timestamp {
    let mut at = alert.opened_at;
    for _ in 0..MAX_WAITS {
        match held(config, surface, alert, at) {
            Some(Held { until, by: HeldBy::Maintenance(_) }) => at = until,
            _ => break,
        }
    }
    at
}

/// What an alert says of a mute that is over is said no more.
fn forget_mute(shard: &mut Shard, config: &Config, alert: &str, now: Now) {
    let Some(Facts::Alert(before)) = shard.get(alert).map(|surface| &surface.facts) else { return };
    let Some(until) = before.muted_until().filter(|until| *until <= wall(now)) else { return };
    let mut facts = before.clone();
    facts.summary.mute = None;
    shard.change(alert, |surface| surface.desire(Facts::Alert(facts), now.wall_ms));
    was_called(shard, config, alert, until, now);
}

/// What an event tells of its scheduler, as far as it is still so.
pub(super) fn summary_now(event: &SchedulerEvent, now: Now) -> SchedulerSummary {
    let mut summary = event.summary.clone();
    summary.mute = summary.mute.filter(|mute| wall(now) < mute.until);
    summary
}

/// Whether nobody wants to hear of what an event tells: when it happened, or now.
pub(super) fn is_muted(event: &SchedulerEvent, alert: &AlertFacts, now: Now) -> bool {
    // A summary has the mute that was in force at the time of its event.
    event.summary.mute.is_some() || alert.is_muted(now.wall_ms)
}

/// How an event that mutes, or unmutes, changes when a message is kept back that nobody has seen.
pub(super) fn keep_back(surface: &mut Surface, event: &SchedulerEvent) {
    let Facts::Alert(alert) = &surface.facts else { return };
    match &event.event.kind {
        EventKind::Muted(mute) => {
            if let Some(kept) = KeptBack::by(mute, alert) {
                surface.keep_back(kept);
            }
        }
        // Also while a post is on its way: if that fails, nobody has seen it.
        EventKind::Unmuted { .. } => {
            surface.own.kept_back = surface.own.kept_back.and_then(|kept| kept.ended(event.event.at));
        }
        _ => {}
    }
}

/// Notes of a message that is about to be posted whether it is late, and why. What is posted again may have been seen in time, and what was
/// shown elsewhere comes because its place was changed.
pub(crate) fn note_lateness(shard: &mut Shard, config: &Config, key: &str, now: Now) {
    let Some(surface) = shard.get(key) else { return };
    let late = if surface.generation > 0 || !surface.parked.is_empty() {
        surface.own.late.filter(|late| late.kept_by().is_some())
    } else {
        lateness(shard, config, surface, now)
    };
    if late != surface.own.late {
        shard.change(key, |surface| surface.own.late = late);
    }
}

fn lateness(shard: &Shard, config: &Config, surface: &Surface, now: Now) -> Option<Late> {
    let began = match &surface.facts {
        // It came there when it became something else, or when the settings said so.
        Facts::Alert(_) if surface.key.starts_with(FURTHER_PREFIX) => Timestamp::from_millis(surface.created_wall_ms),
        Facts::Alert(alert) => alert.opened_at,
        Facts::Digest(digest) => digest.opened_at,
        _ => return None,
    };
    let (from, kept_by) = match &surface.facts {
        Facts::Alert(alert) => could_be_told_from(config, surface, alert),
        Facts::Digest(digest) => {
            let shown = digest.entries.iter().filter_map(|entry| shard.get(&entry.surface));
            let from = shown.filter_map(|surface| match &surface.facts {
                Facts::Alert(alert) => Some(could_be_told_from(config, surface, alert)),
                _ => None,
            });
            from.reduce(|(a, kept_by), (b, other)| (a.min(b), kept_by.filter(|by| Some(*by) == other)))?
        }
        _ => return None,
    };
    let by = |since: Timestamp, at: Timestamp| Some(at.millis_since(since)).filter(|late| *late > LATE_MS);
    // What could not be told when it might be is late by that: nobody wanted it.
    let hindered = by(from.max(began), wall(now)).map(Late::ByMillis);
    hindered.or_else(|| kept_by.filter(|_| by(began, from).is_some()).map(Late::from))
}

/// Since when an alert could have been told: what waited until then is not late. And the last for which it waited.
fn could_be_told_from(config: &Config, surface: &Surface, alert: &AlertFacts) -> (Timestamp, Option<KeptBy>) {
    let (mut at, mut kept_by) = (alert.opened_at, None);
    for _ in 0..MAX_WAITS {
        let kept_until = surface.own.kept_back.map(|kept| kept.until).filter(|until| at < *until);
        if let Some(held) = held(config, surface, alert, at) {
            (at, kept_by) = match held.by {
                HeldBy::QuietHours => (held.until, Some(KeptBy::QuietHours)),
                HeldBy::Maintenance(_) => (held.until, Some(KeptBy::Maintenance)),
            };
        } else if let Some(until) = kept_until {
            (at, kept_by) = (until, Some(KeptBy::Snooze));
        } else {
            break;
        }
    }
    (at, kept_by)
}
