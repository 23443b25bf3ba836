//! Alerts: one surface each, edited in place; a reply in its thread when it gets worse and when it is over.

use ronda_domain::event::{Change, EventKind, Resolution};
use ronda_domain::record::OccurrenceStatus;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::SchedulerEvent;

use super::{Now, places};
use crate::config::Config;
use crate::hash::fnv64;
use crate::shard::{Shard, fit_key};
use crate::surface::{AlertEnd, AlertFacts, Facts, Phase, ReplyFacts, ReplyWhat, Surface};

/// Most replies below an alert until changes from one kind of problem to another get none.
const MAX_REPLIES: usize = 20;

pub(super) fn take_in(shard: &mut Shard, config: &Config, event: &SchedulerEvent, now: Now) {
    match &event.event.kind {
        EventKind::AlertOpened { alert, cause, streak } => opened(shard, config, event, alert, cause, *streak, now),
        EventKind::AlertChanged { alert, cause, streak } => changed(shard, config, event, alert, cause, *streak, now),
        EventKind::AlertResolved { alert, opened_at, resolution } => {
            resolved(shard, event, alert, *opened_at, resolution, now);
        }
        EventKind::AlertAcknowledged { .. } | EventKind::Muted(_) | EventKind::Unmuted { .. } => {}
        EventKind::Lifecycle(_) | EventKind::Changed(_) => {}
    }
}

pub(crate) fn alert_key(event: &SchedulerEvent, alert: &str) -> String {
    fit_key(format!("{}{}/{}/{alert}", places::ALERT_PREFIX, event.key.tenant, event.key.scheduler))
}

fn opened(
    shard: &mut Shard,
    config: &Config,
    event: &SchedulerEvent,
    alert: &str,
    cause: &Change,
    streak: u32,
    now: Now,
) {
    let facts = AlertFacts {
        key: event.key.clone(),
        summary: event.summary.clone(),
        opened_at: event.event.at,
        first: cause.clone(),
        now: cause.clone(),
        streak,
        ended: None,
        maybe_repeat: false,
    };
    places::show(shard, config, &alert_key(event, alert), &facts, now);
}

fn changed(
    shard: &mut Shard,
    config: &Config,
    event: &SchedulerEvent,
    alert: &str,
    cause: &Change,
    streak: u32,
    now: Now,
) {
    let key = alert_key(event, alert);
    let Some(Facts::Alert(before)) = shard.get(&key).map(|surface| &surface.facts) else {
        // Forgotten, or from before this notifier's first start: what is wrong now is what matters.
        if is_wrong(cause) {
            opened(shard, config, event, alert, cause, streak, now);
        }
        return;
    };
    let mut facts = before.clone();
    let worth_a_reply = if is_escalation(&facts, cause) {
        Some(ReplyWhat::Escalated { change: cause.clone() })
    } else if is_turn(&facts, cause) {
        Some(ReplyWhat::Turned { before: facts.now.clone(), change: cause.clone() })
    } else {
        None
    };
    facts.summary = event.summary.clone();
    if is_wrong(cause) {
        facts.now = cause.clone();
    }
    facts.streak = streak;
    for shown in places::shown_as(shard, &key) {
        shard.change(&shown, |surface| surface.desire(Facts::Alert(facts.clone()), now.wall_ms));
        let Some(what) = &worth_a_reply else { continue };
        if matches!(what, ReplyWhat::Turned { .. }) && replies(shard, &shown) >= MAX_REPLIES {
            continue;
        }
        reply(shard, &shown, event, what.clone(), now);
    }
    if facts.ended.is_none() {
        places::show(shard, config, &key, &facts, now);
    }
}

/// Whether a change says what is wrong now. One that takes back a judgement says only that it is one less: the alert is still
/// about the others.
fn is_wrong(cause: &Change) -> bool {
    cause.to.is_bad() || (cause.from, cause.to) == (OccurrenceStatus::Missed, OccurrenceStatus::Running)
}

/// Stale has become failed, or a missed one has started after all. One more failure is an edit only.
fn is_escalation(before: &AlertFacts, cause: &Change) -> bool {
    before.now.subject == cause.subject
        && before.now.to != cause.to
        && matches!(
            (cause.from, cause.to),
            (OccurrenceStatus::Stale | OccurrenceStatus::Missed | OccurrenceStatus::Running, OccurrenceStatus::Failed)
                | (OccurrenceStatus::Missed, OccurrenceStatus::Running)
                | (OccurrenceStatus::Missed | OccurrenceStatus::Running, OccurrenceStatus::Stale)
        )
}

/// The next occurrence went wrong in another way: the edit overwrites how this one did.
fn is_turn(before: &AlertFacts, cause: &Change) -> bool {
    let (was, is) = (before.now.to, cause.to);
    before.now.subject != cause.subject && was.is_bad() && is.is_bad() && was != is
}

/// How many replies an alert has.
fn replies(shard: &Shard, alert: &str) -> usize {
    shard.beginning_with(&reply_prefix(alert)).count()
}

fn reply_prefix(parent: &str) -> String {
    format!("r/{:016x}/", fnv64(parent))
}

fn resolved(
    shard: &mut Shard,
    event: &SchedulerEvent,
    alert: &str,
    opened_at: Timestamp,
    resolution: &Resolution,
    now: Now,
) {
    let key = alert_key(event, alert);
    let Some(Facts::Alert(before)) = shard.get(&key).map(|surface| &surface.facts) else {
        // Nobody was told that it had begun.
        return;
    };
    let end = AlertEnd { at: event.event.at, resolution: resolution.clone() };
    let mut facts = before.clone();
    facts.ended = Some(end.clone());
    // A pause or a removal is somebody's own doing: the edit is enough.
    let worth_a_reply = matches!(resolution, Resolution::Recovered { .. } | Resolution::CompletedLate { .. });
    for shown in places::shown_as(shard, &key) {
        shard.change(&shown, |surface| surface.desire(Facts::Alert(facts.clone()), now.wall_ms));
        if worth_a_reply {
            reply(shard, &shown, event, ReplyWhat::Ended { opened_at, end: end.clone() }, now);
        }
    }
}

/// A reply below the alert, unless nobody can have seen the alert as it was.
fn reply(shard: &mut Shard, parent: &str, event: &SchedulerEvent, what: ReplyWhat, now: Now) {
    let Some(surface) = shard.get(parent) else { return };
    if matches!(surface.phase, Phase::Absent | Phase::Gone) {
        return;
    }
    let facts = ReplyFacts { name: event.summary.name.clone(), what };
    let key = fit_key(format!("{}{:016x}", reply_prefix(parent), fnv64(&event.event.id)));
    let mut reply = Surface::new(key, surface.channel.clone(), Facts::Reply(Box::new(facts)), now.wall_ms, now.mono_ms);
    reply.parent = Some(parent.to_owned());
    shard.insert(reply);
}
