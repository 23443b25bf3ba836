//! What stays wrong, and nobody looks after, is told again where a route says so: as a reply that calls people once more.
//!
//! There is one such reply to come at a time, numbered, which waits for its time like any reminder: so it is claimed before it is sent, and
//! there once, whoever owns the shard by then.

use ronda_domain::time::Timestamp;

use super::Now;
use super::alerts::reply_prefix;
use super::places::{place_at, wall};
use super::waits::after_holds;
use crate::config::Config;
use crate::shard::{Shard, fit_key};
use crate::surface::{AlertFacts, Called, Facts, Phase, ReplyFacts, ReplyWhat, Surface, Wait};

/// Most times that an alert is told again. The pauses double, so the last comes after 63 of the first: by then whom it concerns has seen it, or is
/// not going to.
const MAX_AGAIN: u32 = 6;

fn key(alert: &str, number: u32) -> String {
    fit_key(format!("{}again-{number}", reply_prefix(alert)))
}

/// Sees to it that an alert is told again in time, if it is to be, and only then. Changes nothing when all is so already.
pub(crate) fn remind(shard: &mut Shard, config: &Config, alert: &str, now: Now) {
    let Some(surface) = shard.get(alert) else { return };
    let Facts::Alert(facts) = &surface.facts else { return };
    let called = called(surface);
    let number = called.again + 1;
    let (key, channel) = (key(alert, number), surface.channel.clone());
    let Some(due) = due(config, surface, facts, called, now) else {
        shard.change(&key, Surface::withdraw);
        return;
    };
    let what = ReplyWhat::Again { number, due, since: facts.opened_at, change: facts.now.clone() };
    let facts = Facts::Reply(Box::new(ReplyFacts { name: facts.summary.name.clone(), what }));
    if shard.get(&key).is_none() {
        let mut reply = Surface::new(key.clone(), channel, facts.clone(), now.wall_ms, now.mono_ms);
        reply.parent = Some(alert.to_owned());
        shard.insert(reply);
    }
    shard.change(&key, |reply| {
        reply.ask_again();
        if reply.is_unseen() {
            reply.desire(facts, now.wall_ms);
            reply.wait = Some(Wait::Due(due)).filter(|wait| wall(now) < wait.until());
        }
    });
}

/// When an alert is to be told again; `None`: not at all.
fn due(config: &Config, surface: &Surface, alert: &AlertFacts, called: Called, now: Now) -> Option<Timestamp> {
    let is_seen = surface.applied.is_some() && surface.phase != Phase::Gone;
    let is_nobodys = alert.ended.is_none() && alert.acknowledged().is_none();
    let interval_ms = interval_ms(config, surface, alert, now).filter(|_| is_seen && is_nobodys)?;
    let pause_ms = interval_ms.checked_shl(called.again).filter(|_| called.again < MAX_AGAIN)?;
    // At the end of a mute it is said that it is wrong still.
    let last = called.at.max(alert.muted_until().unwrap_or(called.at));
    let due = last.plus_millis(i64::try_from(pause_ms).ok()?);
    let told = after_holds(config, surface, alert, due.max(wall(now)));
    Some(if told <= wall(now) { due } else { told })
}

fn interval_ms(config: &Config, surface: &Surface, alert: &AlertFacts, now: Now) -> Option<u64> {
    place_at(config, surface, alert, wall(now))?.repeat_interval_ms
}

/// When people were last called to an alert: by itself, if by nothing since.
fn called(surface: &Surface) -> Called {
    let shown = Timestamp::from_millis(surface.last_claim_wall_ms);
    let called = surface.own.called.unwrap_or(Called { at: shown, again: 0 });
    Called { at: called.at.max(shown), ..called }
}

/// People were called to an alert at a time, in another way than by telling it again.
pub(super) fn was_called(shard: &mut Shard, config: &Config, alert: &str, at: Timestamp, now: Now) {
    let Some(surface) = shard.get(alert) else { return };
    let Facts::Alert(facts) = &surface.facts else { return };
    if interval_ms(config, surface, facts, now).is_some() {
        let called = called(surface);
        shard.change(alert, |surface| surface.own.called = Some(Called { at: called.at.max(at), ..called }));
    }
}

/// Takes in that a call about a surface is over: what is visible by now may be the one that is told again, or what tells it.
pub(crate) fn seen(shard: &mut Shard, config: &Config, key: &str, now: Now) {
    let Some(surface) = shard.get(key).filter(|surface| surface.applied.is_some()) else { return };
    match &surface.facts {
        Facts::Alert(_) => remind(shard, config, key, now),
        Facts::Reply(reply) => {
            let (ReplyWhat::Again { number, .. }, Some(alert)) = (&reply.what, surface.parent.clone()) else { return };
            let number = *number;
            let is_new = |called: Option<Called>| called.is_none_or(|called| called.again < number);
            shard.change(&alert, |surface| {
                if is_new(surface.own.called) {
                    surface.own.called = Some(Called { at: wall(now), again: number });
                }
            });
            remind(shard, config, &alert, now);
        }
        _ => {}
    }
}
