//! When a schedule is due.
//!
//! Two steps: `croner` finds the next wall-clock time that an expression names, on a calendar without zones; then the zone's
//! rules, from the database that is compiled in, turn it into a point in time. The second step is written here because
//! the rule that real cron daemons follow (Vixie's) depends on the expression: see `docs/adr/0003`.

mod cron;
mod interval;
mod zone;

pub use cron::{CronError, check_cron};
pub use zone::{UnknownZone, check_zone};

use crate::spec::Schedule;
use crate::time::Timestamp;

/// Most steps that a search walks before it gives up; far more than any real schedule needs.
const MAX_STEPS: usize = 4_096;

/// A schedule made ready for questions. Making one takes microseconds, so it is made when needed and not kept in states.
#[derive(Debug)]
pub struct Plan {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Never,
    Cron(Box<cron::CronPlan>),
    Interval(interval::Interval),
}

impl Plan {
    /// Makes a schedule ready; one that does not parse is never due (specs are checked, so that can't happen).
    #[must_use]
    pub fn new(schedule: &Schedule, registered_at: Timestamp) -> Self {
        let kind = match schedule {
            Schedule::None => Kind::Never,
            Schedule::Cron { expression, timezone } => match cron::CronPlan::new(expression, timezone) {
                Some(plan) => Kind::Cron(Box::new(plan)),
                None => Kind::Never,
            },
            Schedule::Every { seconds, anchor } => {
                Kind::Interval(interval::Interval::new(*seconds, *anchor, registered_at))
            }
        };
        Self { kind }
    }

    /// The first due time strictly after `after`, or `None` when there is none.
    #[must_use]
    pub fn next_due(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Never => None,
            Kind::Cron(plan) => plan.next_due(after),
            Kind::Interval(interval) => interval.next_due(after),
        }
    }

    /// The latest due time in `after < due ≤ until`, or `None` when there is none.
    #[must_use]
    pub fn latest_due(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Never => None,
            Kind::Interval(interval) => interval.latest_due(after, until),
            Kind::Cron(_) => self.search_latest(after, until),
        }
    }

    /// Looks back in ever longer steps until something is due, then closes in on the last one.
    fn search_latest(&self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let mut span_ms: i64 = 120_000;
        let mut found = loop {
            let from = until.plus_millis(span_ms.saturating_neg()).max(after);
            match self.next_due(from) {
                Some(due) if due <= until => break due,
                _ if from == after || span_ms == i64::MAX => return None,
                _ => span_ms = span_ms.saturating_mul(6),
            }
        };
        // Halves what may still lie between; the last one is reached when nothing does.
        let mut end = until;
        for _ in 0..i64::BITS {
            let middle = found.plus_millis(end.millis_since(found) / 2);
            match self.next_due(middle) {
                Some(later) if later <= until => found = later,
                _ if middle == found => break,
                _ => end = middle,
            }
        }
        Some(found)
    }
}

/// The first due time strictly after `after`, or `None` when there is none.
#[must_use]
pub fn next_due(schedule: &Schedule, registered_at: Timestamp, after: Timestamp) -> Option<Timestamp> {
    Plan::new(schedule, registered_at).next_due(after)
}

/// The due times in `from ≤ due < until`, in order; at most `limit` of them.
pub fn dues(
    schedule: &Schedule,
    registered_at: Timestamp,
    from: Timestamp,
    until: Timestamp,
    limit: usize,
) -> impl Iterator<Item = Timestamp> + use<> {
    let plan = Plan::new(schedule, registered_at);
    let mut after = from.plus_millis(-1);
    std::iter::from_fn(move || {
        after = plan.next_due(after)?;
        (after < until).then_some(after)
    })
    .take(limit)
}

/// The schedule in words for a person, such as `0 1 * * * (Asia/Jakarta)`, `every 5 min` or `none`.
#[must_use]
pub fn describe(schedule: &Schedule) -> String {
    match schedule {
        Schedule::None => "none".to_owned(),
        Schedule::Cron { expression, timezone } => format!("{expression} ({timezone})"),
        Schedule::Every { seconds, .. } => match *seconds {
            seconds if seconds > 0 && seconds % 86_400 == 0 => format!("every {} d", seconds / 86_400),
            seconds if seconds > 0 && seconds % 3_600 == 0 => format!("every {} h", seconds / 3_600),
            seconds if seconds > 0 && seconds % 60 == 0 => format!("every {} min", seconds / 60),
            seconds => format!("every {seconds} s"),
        },
    }
}

#[cfg(test)]
mod tests;
