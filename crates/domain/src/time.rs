//! Points in time, as the domain sees them: numbers that arrive with messages. Nothing here reads a clock.

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// Turns the order of signed numbers into that of unsigned ones.
const SIGN: u64 = 1 << 63;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
///
/// Kept with its sign bit turned over, so that the one number left out, `i64::MIN`, is zero: an optional time then takes no more
/// memory than a time, of which a scheduler has many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub struct Timestamp(NonZeroU64);

impl Timestamp {
    /// The least time that can be written; earlier than any message's.
    pub const MIN: Self = Self::from_millis(i64::MIN);
    /// The greatest time that can be written; used as "never".
    pub const MAX: Self = Self::from_millis(i64::MAX);

    /// From milliseconds since the Unix epoch; `i64::MIN` is taken for the number after it.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        match NonZeroU64::new(millis.cast_unsigned() ^ SIGN) {
            Some(kept) => Self(kept),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// From whole seconds since the Unix epoch; saturates at the ends.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1_000))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }

    /// This time moved later by so many seconds; saturates.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u32) -> Self {
        Self::from_millis(self.as_millis().saturating_add((seconds as i64).saturating_mul(1_000)))
    }

    /// This time moved earlier by so many seconds; saturates.
    #[must_use]
    pub const fn minus_seconds(self, seconds: u32) -> Self {
        Self::from_millis(self.as_millis().saturating_sub((seconds as i64).saturating_mul(1_000)))
    }

    /// This time moved by so many milliseconds, later when positive; saturates.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.as_millis().saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this time; negative when `earlier` is later; saturates.
    #[must_use]
    pub const fn millis_since(self, earlier: Self) -> i64 {
        self.as_millis().saturating_sub(earlier.as_millis())
    }
}

impl Default for Timestamp {
    /// The Unix epoch.
    fn default() -> Self {
        Self::from_millis(0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Timestamp").field(&self.as_millis()).finish()
    }
}

impl From<i64> for Timestamp {
    fn from(millis: i64) -> Self {
        Self::from_millis(millis)
    }
}

impl From<Timestamp> for i64 {
    fn from(time: Timestamp) -> Self {
        time.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_numbers_and_order() {
        let numbers = [i64::MIN + 1, -1, 0, 1, 1_795_000_000_000, i64::MAX];
        let times = numbers.map(Timestamp::from_millis);
        assert_eq!(times.map(Timestamp::as_millis), numbers);
        assert!(times.is_sorted());
        assert_eq!((times[0], times[5]), (Timestamp::MIN, Timestamp::MAX));
        assert_eq!(Timestamp::from_millis(i64::MIN), Timestamp::MIN);
        assert_eq!(size_of::<Option<Timestamp>>(), 8);
    }
}
