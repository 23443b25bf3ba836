//! When alerts wait: quiet hours of a route, and maintenance.

use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;

use super::{Matcher, Subject};
use crate::hours::Hours;

/// Hours in which a route lets alerts wait that are not urgent enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// When.
    pub hours: Hours,
    /// From this severity on alerts don't wait.
    pub below: Severity,
}

impl Quiet {
    /// Until when such an alert waits now; `None`: it does not.
    pub(super) fn until(&self, severity: Severity, now: Timestamp) -> Option<Timestamp> {
        if severity >= self.below { None } else { self.hours.at(now).map(|piece| piece.end) }
    }
}

/// A time in which nothing is sent of some alerts: what is still true at its end is told then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// Of which.
    pub matcher: Matcher,
    /// When.
    pub when: When,
}

/// When there is maintenance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Once, from when until when.
    Once(Timestamp, Timestamp),
    /// Each day.
    Daily(Hours),
}

impl Maintenance {
    /// Until when such an alert is not told now; `None`: it is.
    pub(super) fn until(&self, subject: &Subject<'_>, now: Timestamp) -> Option<Timestamp> {
        let until = match &self.when {
            When::Once(from, until) => (*from <= now && now < *until).then_some(*until),
            When::Daily(hours) => hours.at(now).map(|piece| piece.end),
        }?;
        self.matcher.is_for(subject).then_some(until)
    }
}

/// Why an alert waits, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Until then; what is so then is decided then.
    pub until: Timestamp,
    /// Why.
    pub by: HeldBy,
}

/// What lets an alert wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// The quiet hours of its routes.
    QuietHours,
    /// This maintenance, counted from 0: what is over at its end was never told.
    Maintenance(usize),
}
