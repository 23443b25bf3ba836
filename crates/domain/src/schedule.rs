//! When a schedule is due.

use crate::spec::Schedule;
use crate::time::Timestamp;

/// The first due time strictly after `after`, or `None` when there is none.
#[must_use]
pub fn next_due(_schedule: &Schedule, _registered_at: Timestamp, _after: Timestamp) -> Option<Timestamp> {
    None
}

/// The due times in `from ≤ due < until`, in order; at most `limit` of them.
pub fn dues(
    schedule: &Schedule,
    registered_at: Timestamp,
    from: Timestamp,
    until: Timestamp,
    limit: usize,
) -> impl Iterator<Item = Timestamp> {
    let mut after = from.plus_millis(-1);
    std::iter::from_fn(move || {
        after = next_due(schedule, registered_at, after)?;
        (after < until).then_some(after)
    })
    .take(limit)
}

/// The schedule in words for a person, such as `0 1 * * * (Asia/Jakarta)`, `every 5 min` or `none`.
#[must_use]
pub fn describe(_schedule: &Schedule) -> String {
    String::new()
}
