//! Notices that are not about one scheduler: Ronda was blind, the queue lost frames, or a clock is held.

use ronda_domain::event::EventKind;
use ronda_domain::input::Gap;
use ronda_domain::record::OccurrenceStatus;
use ronda_schemas::event::{BlindNotice, ClockHeld, LostFrames, SchedulerEvent};

use super::Now;
use crate::config::Config;
use crate::shard::{Shard, fit_key};
use crate::surface::{AdminFacts, BlindFacts, Facts, Surface};

/// Most names listed in a blind notice.
pub(crate) const MAX_LISTED: usize = 50;
/// Gaps that end within this of each other are one: every partition sees the end in a frame of its own.
const SAME_END_MS: i64 = 5_000;
/// How long after a gap an occurrence may be due whose start was already awaited in it, because it may begin early.
const EARLY_START_MS: i64 = 3_600_000;

fn blind_prefix(tenant: &str) -> String {
    format!("blind/{tenant}/")
}

/// The newest blind notice of a tenant whose gap is such.
fn newest(shard: &Shard, tenant: &str, is_such: impl Fn(Gap) -> bool) -> Option<String> {
    let prefix = blind_prefix(tenant);
    let such = |surface: &&Surface| matches!(&surface.facts, Facts::Blind(blind) if is_such(blind.gap));
    shard.beginning_with(&prefix).filter(such).last().map(|surface| surface.key.clone())
}

/// Whether two partitions mean the same by these, or people would.
fn is_one(a: Gap, b: Gap) -> bool {
    (a.from < b.until && b.from < a.until) || a.until.millis_since(b.until).abs() < SAME_END_MS
}

/// One partition's part of a blind notice: parts of the same tenant and gap are one message.
pub(super) fn blind(shard: &mut Shard, config: &Config, notice: &BlindNotice, now: Now) {
    let tenant = notice.tenant.as_str();
    let key = newest(shard, tenant, |gap| is_one(gap, notice.gap)).unwrap_or_else(|| {
        // Zero-padded, so that the newest gap is the last key.
        fit_key(format!("{}{:016}", blind_prefix(tenant), notice.gap.until.as_millis()))
    });
    if shard.get(&key).is_none() {
        let facts = BlindFacts {
            tenant: notice.tenant.clone(),
            gap: notice.gap,
            reason: notice.reason,
            parts: Vec::new(),
            schedulers: Vec::new(),
            unknown: Vec::new(),
            unknown_total: 0,
        };
        let not_before = now.mono_ms + config.grouping_wait_ms;
        let facts = Facts::Blind(Box::new(facts));
        shard.insert(Surface::new(key.clone(), config.channel.clone(), facts, now.wall_ms, not_before));
    }
    let Some(Facts::Blind(before)) = shard.get(&key).map(|surface| &surface.facts) else { return };
    let mut facts = before.clone();
    facts.gap.from = facts.gap.from.min(notice.gap.from);
    facts.gap.until = facts.gap.until.max(notice.gap.until);
    match facts.parts.iter_mut().find(|(partition, _)| *partition == notice.partition) {
        // Of joined gaps: who is concerned by both is counted once.
        Some((_, total)) => *total = notice.total.max(*total),
        None => facts.parts.push((notice.partition, notice.total)),
    }
    facts.parts.sort_unstable();
    facts.schedulers.extend(notice.schedulers.iter().map(|id| id.as_str().into()));
    facts.schedulers.sort();
    facts.schedulers.dedup();
    facts.schedulers.truncate(MAX_LISTED);
    shard.change(&key, |surface| surface.desire(Facts::Blind(facts), now.wall_ms));
}

/// An occurrence that ended as unknown belongs to the newest gap of its tenant in which it was awaited or open.
pub(super) fn unknown_followed(shard: &mut Shard, event: &SchedulerEvent, now: Now) {
    let EventKind::Changed(change) = &event.event.kind else { return };
    if change.to != OccurrenceStatus::Unknown {
        return;
    }
    let time = change.subject.time();
    let latest = |gap: Gap| gap.until.plus_millis(EARLY_START_MS);
    let was_open_in = |gap: Gap| time <= latest(gap) && event.event.at >= gap.from;
    let Some(key) = newest(shard, event.key.tenant.as_str(), was_open_in) else { return };
    let Some(Facts::Blind(before)) = shard.get(&key).map(|surface| &surface.facts) else { return };
    let mut facts = before.clone();
    facts.unknown_total += 1;
    if facts.unknown.len() < MAX_LISTED {
        facts.unknown.push((event.summary.name.clone(), time));
    }
    shard.change(&key, |surface| surface.desire_with_others(Facts::Blind(facts), now.wall_ms, now.mono_ms));
}

/// Frames that the queue had confirmed are missing: the operator must know.
pub(super) fn lost(shard: &mut Shard, config: &Config, lost: &LostFrames, now: Now) {
    let key = fit_key(format!("admin/lost/{}/{:016x}/{}", lost.partition, lost.gateway, lost.first));
    let facts = Facts::Admin(Box::new(AdminFacts::Lost(lost.clone())));
    shard.insert(Surface::new(key, config.channel_for_admin().to_owned(), facts, now.wall_ms, now.mono_ms));
}

/// A partition's clock stands still: the operator must know that nothing is judged.
pub(super) fn held(shard: &mut Shard, config: &Config, held: &ClockHeld, now: Now) {
    let channel = config.admin_channel.as_ref().unwrap_or(&config.channel);
    let key = fit_key(format!("admin/held/{}/{}", held.partition, held.clock.as_millis()));
    let facts = Facts::Admin(Box::new(AdminFacts::Held(held.clone())));
    shard.insert(Surface::new(key, channel.clone(), facts, now.wall_ms, now.mono_ms));
}
