//! Fixed intervals.

use crate::time::Timestamp;

/// Due at `base + n × period`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    base_ms: i64,
    period_ms: i64,
    /// The least `n`: 0 for an anchor, which is itself due, 1 for a registration.
    first: i64,
}

impl Interval {
    pub(super) fn new(seconds: u32, anchor: Option<Timestamp>, registered_at: Timestamp) -> Self {
        Self {
            base_ms: anchor.unwrap_or(registered_at).as_millis(),
            period_ms: i64::from(seconds.max(1)).saturating_mul(1_000),
            first: i64::from(anchor.is_none()),
        }
    }

    /// The number of whole periods from the base to a time; `None` outside of what can be written.
    fn periods_until(self, time: Timestamp) -> Option<i64> {
        time.as_millis().checked_sub(self.base_ms)?.checked_div_euclid(self.period_ms)
    }

    fn due(self, number: i64) -> Option<Timestamp> {
        let ms = number.checked_mul(self.period_ms)?.checked_add(self.base_ms)?;
        Some(Timestamp::from_millis(ms))
    }

    pub(super) fn next_due(self, after: Timestamp) -> Option<Timestamp> {
        if after.as_millis() < self.base_ms {
            return self.due(self.first);
        }
        self.due(self.periods_until(after)?.checked_add(1)?.max(self.first))
    }

    pub(super) fn latest_due(self, after: Timestamp, until: Timestamp) -> Option<Timestamp> {
        let number = self.periods_until(until)?;
        if number < self.first {
            return None;
        }
        self.due(number).filter(|due| *due > after)
    }
}
