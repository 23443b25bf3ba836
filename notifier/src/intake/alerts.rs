//! Alerts: one surface each, edited in place; a reply in its thread when it gets worse, when somebody looks after it and when it is over.

use ronda_domain::attention::{Acknowledgment, Mute};
use ronda_domain::event::{Change, EventKind, Resolution};
use ronda_domain::record::OccurrenceStatus;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::SchedulerEvent;

use super::places::wall;
use super::waits::{hold, is_muted, keep_back, summary_now};
use super::{Now, again, places};
use crate::config::Config;
use crate::hash::fnv64;
use crate::manners::Manners;
use crate::shard::{Shard, fit_key};
use crate::surface::{AlertEnd, AlertFacts, Facts, Former, Phase, ReplyFacts, ReplyWhat, Surface};

/// Most replies below an alert until changes from one kind of problem to another get none.
const MAX_REPLIES: usize = 20;

pub(super) fn take_in(shard: &mut Shard, config: &Config, manners: &Manners, event: &SchedulerEvent, now: Now) {
    match &event.event.kind {
        EventKind::AlertOpened { alert, cause, streak } => opened(shard, config, event, alert, cause, *streak, now),
        EventKind::AlertChanged { alert, cause, streak } => changed(shard, config, event, alert, cause, *streak, now),
        EventKind::AlertResolved { alert, opened_at, resolution } => {
            let end = AlertEnd { at: event.event.at, resolution: resolution.clone() };
            resolved(shard, config, manners, event, &Over { alert, opened_at: *opened_at, end }, now);
        }
        EventKind::AlertAcknowledged { alert, by } => {
            acknowledged(shard, config, event, alert, &Acknowledgment { by: by.clone(), at: event.event.at }, now);
        }
        EventKind::Muted(mute) => muted(shard, config, event, Some(mute), now),
        EventKind::Unmuted { .. } => muted(shard, config, event, None, now),
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
        former_repeat: Former::default(),
        care: None,
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
    facts.summary = summary_now(event, now);
    let worth_a_reply = if is_muted(event, before, now) {
        None
    } else if is_escalation(&facts, cause) {
        Some(ReplyWhat::Escalated { change: cause.clone() })
    } else if is_turn(&facts, cause) {
        Some(ReplyWhat::Turned { before: facts.now.clone(), change: cause.clone() })
    } else {
        None
    };
    if is_wrong(cause) {
        facts.now = cause.clone();
    }
    facts.streak = streak;
    for shown in places::shown_as(shard, &key) {
        if is_wrong(cause) {
            remind_of(shard, &shown, Some(cause));
        }
        shard.change(&shown, |surface| surface.desire(Facts::Alert(facts.clone()), now.wall_ms));
        hold(shard, config, &shown, now);
        if matches!(worth_a_reply, Some(ReplyWhat::Escalated { .. })) {
            again::was_called(shard, config, &shown, wall(now), now);
        }
        again::remind(shard, config, &shown, now);
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
    before.now.subject == cause.subject && before.now.to != cause.to && is_worse(cause)
}

/// Whether a change of one occurrence is for the worse, or it has started after all.
pub(crate) const fn is_worse(cause: &Change) -> bool {
    matches!(
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

pub(super) fn reply_prefix(parent: &str) -> String {
    format!("r/{:016x}/", fnv64(parent))
}

/// An alert that is over.
struct Over<'a> {
    alert: &'a str,
    opened_at: Timestamp,
    end: AlertEnd,
}

fn resolved(
    shard: &mut Shard,
    config: &Config,
    manners: &Manners,
    event: &SchedulerEvent,
    Over { alert, opened_at, end }: &Over<'_>,
    now: Now,
) {
    let key = alert_key(event, alert);
    let Some(Facts::Alert(before)) = shard.get(&key).map(|surface| &surface.facts) else {
        // Nobody was told that it had begun.
        return;
    };
    let mut facts = before.clone();
    facts.ended = Some(end.clone());
    // A pause or a removal is somebody's own doing, and of what is muted nobody wants to hear: the edit is enough, where there is one.
    let worth_a_reply = !is_muted(event, before, now)
        && matches!(end.resolution, Resolution::Recovered { .. } | Resolution::CompletedLate { .. });
    for shown in places::shown_as(shard, &key) {
        shard.change(&shown, |surface| surface.desire(Facts::Alert(facts.clone()), now.wall_ms));
        hold(shard, config, &shown, now);
        remind_of(shard, &shown, None);
        again::remind(shard, config, &shown, now);
        let is_edited = |surface: &Surface| manners.of(&surface.channel).capabilities.can_edit;
        if worth_a_reply || !shard.get(&shown).is_some_and(is_edited) {
            reply(shard, &shown, event, ReplyWhat::Ended { opened_at: *opened_at, end: end.clone() }, now);
        }
    }
}

/// Somebody looks after it: the message says so, and a reply does, once.
fn acknowledged(
    shard: &mut Shard,
    config: &Config,
    event: &SchedulerEvent,
    alert: &str,
    by: &Acknowledgment,
    now: Now,
) {
    let key = alert_key(event, alert);
    let Some(Facts::Alert(before)) = shard.get(&key).map(|surface| &surface.facts) else { return };
    let mut facts = before.clone();
    facts.care.get_or_insert_default().acknowledged = Some(by.clone());
    for shown in places::shown_as(shard, &key) {
        shard.change(&shown, |surface| surface.desire(Facts::Alert(facts.clone()), now.wall_ms));
        reply(shard, &shown, event, ReplyWhat::Acknowledged { by: by.clone() }, now);
        again::remind(shard, config, &shown, now);
    }
}

/// Whether anybody wants to hear of a scheduler has changed: its open alerts say so. One that nobody has seen waits for the end; of one
/// that is visible a reply tells then that it is wrong still.
fn muted(shard: &mut Shard, config: &Config, event: &SchedulerEvent, mute: Option<&Mute>, now: Now) {
    let prefix = alert_key(event, "");
    let is_open = |surface: &&Surface| matches!(&surface.facts, Facts::Alert(alert) if alert.ended.is_none());
    let open: Vec<String> = shard.beginning_with(&prefix).filter(is_open).map(|surface| surface.key.clone()).collect();
    let shown: Vec<String> = open.iter().flat_map(|alert| places::shown_as(shard, alert)).collect();
    for key in shown {
        let Some(Facts::Alert(before)) = shard.get(&key).map(|surface| &surface.facts) else { continue };
        let mut facts = before.clone();
        facts.summary = event.summary.clone();
        facts.summary.mute = mute.filter(|mute| now.wall_ms < mute.until.as_millis()).cloned().map(Box::new);
        let (since, change) = (facts.opened_at, facts.now.clone());
        shard.change(&key, |surface| {
            keep_back(surface, event);
            surface.desire(Facts::Alert(facts), now.wall_ms);
        });
        hold(shard, config, &key, now);
        remind_of(shard, &key, None);
        // At its end, or now if that is past, a reply tells of it.
        if mute.is_some_and(|mute| mute.until <= wall(now)) {
            again::was_called(shard, config, &key, wall(now), now);
        }
        again::remind(shard, config, &key, now);
        let Some(mute) = mute else { continue };
        let reminder = ReplyWhat::StillWrong { since, until: mute.until, change };
        if let Some(reminder) = reply(shard, &key, event, reminder, now) {
            // Of a mute that is over already it may be heard next that what was wrong is over, too.
            let not_before_ms = now.mono_ms + config.grouping_wait_ms;
            shard.change(&reminder, |surface| surface.not_before_ms = not_before_ms);
            hold(shard, config, &reminder, now);
        }
    }
}

/// Says of what the end of a mute will remind below an alert; `None`: of nothing.
fn remind_of(shard: &mut Shard, alert: &str, change: Option<&Change>) {
    let is_waiting = |surface: &&Surface| {
        let is_reminder =
            matches!(&surface.facts, Facts::Reply(reply) if matches!(reply.what, ReplyWhat::StillWrong { .. }));
        is_reminder && surface.phase == Phase::Absent
    };
    let prefix = reply_prefix(alert);
    let waiting: Vec<String> =
        shard.beginning_with(&prefix).filter(is_waiting).map(|surface| surface.key.clone()).collect();
    for key in waiting {
        shard.change(&key, |surface| match (&mut surface.facts, change) {
            (Facts::Reply(reply), Some(newer)) => {
                if let ReplyWhat::StillWrong { change, .. } = &mut reply.what {
                    *change = newer.clone();
                }
            }
            _ => surface.withdraw(),
        });
    }
}

/// A reply below the alert, unless nobody can have seen the alert as it was.
fn reply(shard: &mut Shard, parent: &str, event: &SchedulerEvent, what: ReplyWhat, now: Now) -> Option<String> {
    let surface = shard.get(parent)?;
    if matches!(surface.phase, Phase::Absent | Phase::Gone) {
        return None;
    }
    let facts = ReplyFacts { name: event.summary.name.clone(), what };
    let key = fit_key(format!("{}{:016x}", reply_prefix(parent), fnv64(&event.event.id)));
    let facts = Facts::Reply(Box::new(facts));
    let mut reply = Surface::new(key.clone(), surface.channel.clone(), facts, now.wall_ms, now.mono_ms);
    reply.parent = Some(parent.to_owned());
    shard.insert(reply);
    Some(key)
}
