//! How keys are laid out, so that the bytes' order is the order that is read in.
//!
//! | table | key |
//! |---|---|
//! | `rows` | slot (2 bytes, big-endian), tenant, 0, scheduler |
//! | `index` | tenant, 0, scheduler |
//! | `history` | tenant, 0, scheduler, 0, subject, then nothing for its entry, or 1 and the run id for one of its runs |
//! | `errors` | tenant, 0, time, message (both newest first) |
//! | `keys` | SHA-256 |
//! | `idempotency` | tenant, 0, key |
//! | `partitions` | partition (4 bytes, big-endian) |
//! | `surfaces` | shard (4 bytes, big-endian), key |
//!
//! A subject is its time, newest first (8 bytes), its kind (1 byte) and, for a run, the run id and 0. Ids consist of letters,
//! digits, `_`, `-`, `.` and `:` (see [`ronda_domain::id`]), so the byte 0 ends one without ambiguity and sorts before all of them: `a`, `a-b` and
//! `ab` never mix, and ids come in their own order.

use ronda_domain::id::{MessageId, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::record::Subject;
use ronda_domain::time::Timestamp;
use ronda_schemas::lease::{Group, MemberId};

use crate::port::ErrorCursor;

const END: u8 = 0;
const RUN: u8 = 1;

/// A time whose bytes sort the newest first.
fn newest_first(time: Timestamp) -> [u8; 8] {
    // Flipping the sign bit makes signed order unsigned order; the complement turns it round.
    let ascending = time.as_millis().cast_unsigned() ^ (1 << 63);
    (!ascending).to_be_bytes()
}

fn tenant_scheduler(out: &mut Vec<u8>, tenant: &str, scheduler: &str) {
    out.extend_from_slice(tenant.as_bytes());
    out.push(END);
    out.extend_from_slice(scheduler.as_bytes());
}

/// Where a slot's rows begin.
pub(super) fn slot_start(slot: u32) -> [u8; 2] {
    // There are 1024 slots; one past the last is asked for as an end, and fits as well.
    u16::try_from(slot).unwrap_or(u16::MAX).to_be_bytes()
}

pub(super) fn row(tenant: &str, scheduler: &str) -> Vec<u8> {
    let slot = ronda_domain::id::hash_of(tenant, scheduler) % ronda_domain::id::SLOTS;
    let mut key = Vec::with_capacity(3 + tenant.len() + scheduler.len());
    key.extend_from_slice(&slot_start(slot));
    tenant_scheduler(&mut key, tenant, scheduler);
    key
}

pub(super) fn index(key: &SchedulerKey) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 + key.tenant.as_str().len() + key.scheduler.as_str().len());
    tenant_scheduler(&mut out, key.tenant.as_str(), key.scheduler.as_str());
    out
}

/// The scheduler of an `index` key.
pub(super) fn read_index(key: &[u8]) -> Option<SchedulerKey> {
    let text = std::str::from_utf8(key).ok()?;
    let (tenant, scheduler) = text.split_once('\0')?;
    Some(SchedulerKey { tenant: TenantId::new(tenant).ok()?, scheduler: SchedulerId::new(scheduler).ok()? })
}

/// What all of a tenant's keys in `index`, `errors` and `idempotency` begin with.
pub(super) fn tenant(tenant: &TenantId) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(tenant.as_str().as_bytes());
    out.push(END);
    out
}

/// The least key after all that begin so; `None`: there is none.
pub(super) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// What all of a scheduler's keys in `history` begin with.
pub(super) fn history(key: &SchedulerKey) -> Vec<u8> {
    let mut out = index(key);
    out.push(END);
    out
}

/// Where the entries from before a time begin in a scheduler's history.
pub(super) fn history_before(scheduler: &[u8], time: Timestamp) -> Vec<u8> {
    // Entries of the time itself are not before it: the first wanted is a millisecond older. Nothing is older than MIN.
    match Some(time.plus_millis(-1)).filter(|older| *older < time) {
        Some(older) => [scheduler, &newest_first(older)].concat(),
        None => after_prefix(scheduler).unwrap_or_default(),
    }
}

/// A history entry's key; its runs' keys begin with it.
pub(super) fn entry(key: &SchedulerKey, subject: &Subject) -> Vec<u8> {
    let mut out = history(key);
    out.extend_from_slice(&newest_first(subject.time()));
    match subject {
        Subject::Occurrence { .. } => out.push(0),
        Subject::Run { run_id, .. } => {
            out.push(1);
            out.extend_from_slice(run_id.as_str().as_bytes());
            out.push(END);
        }
        Subject::Silence { .. } => out.push(2),
    }
    out
}

pub(super) fn run(key: &SchedulerKey, subject: &Subject, run_id: &str) -> Vec<u8> {
    let mut out = entry(key, subject);
    out.push(RUN);
    out.extend_from_slice(run_id.as_bytes());
    out
}

/// The entry that a key of `history` is of: its own, or what a run's begins with.
pub(super) fn entry_of(key: &[u8]) -> Option<&[u8]> {
    const TIME_BYTES: usize = 8;
    let kind = history_owner(key)?.len() + TIME_BYTES;
    let end = match key.get(kind)? {
        // Its subject is a run, whose id ends with 0.
        1 => kind + 1 + key.get(kind + 1..)?.iter().position(|byte| *byte == END)?,
        _ => kind,
    };
    key.get(..=end)
}

/// Which scheduler's history a key belongs to: the beginning that all of its keys share.
pub(super) fn history_owner(key: &[u8]) -> Option<&[u8]> {
    let tenant = key.iter().position(|byte| *byte == END)?;
    let scheduler = key.get(tenant + 1..)?.iter().position(|byte| *byte == END)?;
    key.get(..tenant + scheduler + 2)
}

/// Which tenant a key of `index`, `errors` or `idempotency` belongs to: the beginning that all of its keys share.
pub(super) fn tenant_owner(key: &[u8]) -> Option<&[u8]> {
    let tenant = key.iter().position(|byte| *byte == END)?;
    key.get(..=tenant)
}

pub(super) fn error(tenant_id: &TenantId, cursor: ErrorCursor) -> Vec<u8> {
    let MessageId { source, sequence, index } = cursor.message;
    let mut out = tenant(tenant_id);
    out.extend_from_slice(&newest_first(cursor.at));
    out.extend_from_slice(&(!source).to_be_bytes());
    out.extend_from_slice(&(!sequence).to_be_bytes());
    out.extend_from_slice(&(!index).to_be_bytes());
    out
}

pub(super) fn idempotency(tenant_id: &TenantId, key: &str) -> Vec<u8> {
    let mut out = tenant(tenant_id);
    out.extend_from_slice(key.as_bytes());
    out
}

pub(super) fn partition(partition: u32) -> [u8; 4] {
    partition.to_be_bytes()
}

pub(super) fn surface(shard: u32, key: &str) -> Vec<u8> {
    let mut out = shard.to_be_bytes().to_vec();
    out.extend_from_slice(key.as_bytes());
    out
}

/// The epoch of a partition's owner, in `meta`.
pub(super) fn partition_epoch(partition: u32) -> Vec<u8> {
    [b"epoch/partition/".as_slice(), &partition.to_be_bytes()].concat()
}

/// The epoch of a shard's owner, in `meta`.
pub(super) fn shard_epoch(shard: u32) -> Vec<u8> {
    [b"epoch/shard/".as_slice(), &shard.to_be_bytes()].concat()
}

/// Who has which partition of a group, in `meta`.
pub(super) fn assignment(group: Group) -> Vec<u8> {
    format!("lease/{group}/assignment").into_bytes()
}

/// What the keys of a group's members begin with, in `meta`.
pub(super) fn members(group: Group) -> Vec<u8> {
    format!("lease/{group}/member/").into_bytes()
}

/// A member of a group, in `meta`.
pub(super) fn member(group: Group, member: MemberId) -> Vec<u8> {
    format!("lease/{group}/member/{member}").into_bytes()
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
