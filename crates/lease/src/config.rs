//! What can be set of leases.

use thiserror::Error;

const MAX_LEASE_MS: u64 = 10 * 60 * 1_000;
/// How often a member looks at the others, in milliseconds, unless its lease is short.
const USUAL_POLL_MS: u64 = 500;
/// The same while it waits for something.
const USUAL_HURRY_MS: u64 = 75;

/// How leases are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseConfig {
    /// After how long without a sign of life a member is held for dead, in milliseconds, by the clock of who watches it. Longer than any
    /// stall that is to be borne; a killed process's partitions stand still for so long. Default: 10,000.
    pub lease_ms: u64,
    /// How often a member gives a sign of life, in milliseconds; at most a third of the lease. Default: a fifth of it.
    pub beat_ms: Option<u64>,
    /// How often a member looks at the others, in milliseconds; at most a quarter of the lease. Default: 500, or a tenth of the lease if that
    /// is less.
    pub poll_ms: Option<u64>,
    /// Longest time that leaving takes, in milliseconds: what is not let go by then is given away all the same. Default: 30,000.
    pub leave_ms: u64,
}

impl Default for LeaseConfig {
    fn default() -> Self {
        Self { lease_ms: 10_000, beat_ms: None, poll_ms: None, leave_ms: 30_000 }
    }
}

/// A setting that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name} is {value}, and must be from {least} to {most}: {why}")]
pub struct LeaseConfigError {
    /// Which.
    pub name: &'static str,
    /// What it is set to.
    pub value: u64,
    /// Least that it may be.
    pub least: u64,
    /// Most that it may be.
    pub most: u64,
    /// Why.
    pub why: &'static str,
}

/// Times that go together, all in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) lease_ms: u64,
    pub(crate) beat_ms: u64,
    pub(crate) poll_ms: u64,
    /// Between two looks while something is awaited.
    pub(crate) hurry_ms: u64,
    pub(crate) leave_ms: u64,
}

impl Timing {
    pub(crate) fn of(config: &LeaseConfig) -> Result<Self, LeaseConfigError> {
        let lease_ms =
            within_limits("lease_ms", config.lease_ms, 100, MAX_LEASE_MS, "a member that is slow is not dead")?;
        let beat_ms = config.beat_ms.unwrap_or(lease_ms / 5);
        let beat_ms =
            within_limits("beat_ms", beat_ms, 1, lease_ms / 3, "a sign of life that is lost must not be death")?;
        let poll_ms = config.poll_ms.unwrap_or(USUAL_POLL_MS.min(lease_ms / 10));
        let poll_ms = within_limits(
            "poll_ms",
            poll_ms,
            1,
            lease_ms / 4,
            "who looks too seldom sees a silence that there was not",
        )?;
        let leave_ms = within_limits("leave_ms", config.leave_ms, 1, MAX_LEASE_MS, "leaving has an end")?;
        Ok(Self { lease_ms, beat_ms, poll_ms, hurry_ms: USUAL_HURRY_MS.min(poll_ms), leave_ms })
    }

    /// How long a store may take to answer.
    pub(crate) const fn call_ms(&self) -> u64 {
        self.lease_ms / 2
    }
}

pub(crate) fn within_limits(
    name: &'static str,
    value: u64,
    least: u64,
    most: u64,
    why: &'static str,
) -> Result<u64, LeaseConfigError> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(LeaseConfigError { name, value, least, most, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_follow_from_the_lease_and_are_checked() {
        let of = |lease_ms| Timing::of(&LeaseConfig { lease_ms, ..LeaseConfig::default() });
        let usual = Timing::of(&LeaseConfig::default()).unwrap();
        assert_eq!(usual, Timing { lease_ms: 10_000, beat_ms: 2_000, poll_ms: 500, hurry_ms: 75, leave_ms: 30_000 });
        let short = of(200).unwrap();
        assert_eq!((short.beat_ms, short.poll_ms, short.hurry_ms), (40, 20, 20));
        for odd in [
            LeaseConfig { lease_ms: 99, ..LeaseConfig::default() },
            LeaseConfig { lease_ms: MAX_LEASE_MS + 1, ..LeaseConfig::default() },
            LeaseConfig { beat_ms: Some(3_334), ..LeaseConfig::default() },
            LeaseConfig { beat_ms: Some(0), ..LeaseConfig::default() },
            LeaseConfig { poll_ms: Some(2_501), ..LeaseConfig::default() },
            LeaseConfig { leave_ms: 0, ..LeaseConfig::default() },
        ] {
            Timing::of(&odd).unwrap_err();
        }
        let error = Timing::of(&LeaseConfig { poll_ms: Some(9_000), ..LeaseConfig::default() }).unwrap_err();
        assert!(error.to_string().starts_with("poll_ms is 9000, and must be from 1 to 2500"), "{error}");
    }
}
