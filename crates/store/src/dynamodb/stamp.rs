//! Which write an item is from.
//!
//! The epoch alone would keep an older owner out, but not an owner's own earlier call: one that timed out may be carried out after the
//! calls that came later, and must not cover what they wrote. So each commit has a number of its own as well.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ronda_domain::time::Timestamp;

/// Epoch and number of a write; its bytes sort as they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) epoch: u64,
    pub(super) number: u64,
}

impl Stamp {
    pub(super) const BYTES: usize = 16;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        (u128::from(self.epoch) << 64 | u128::from(self.number)).to_be_bytes()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (epoch, number) = bytes.split_at_checked(8)?;
        let read = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
        Some(Self { epoch: read(epoch)?, number: read(number)? })
    }
}

/// Gives numbers that rise, also over a store that is opened again: microseconds since 1970, or one more than the last.
#[derive(Debug, Default)]
pub(super) struct Stamps(AtomicU64);

impl Stamps {
    pub(super) fn next(&self, epoch: u64) -> Stamp {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        let raise = |last: u64| Some(micros.max(last.saturating_add(1)));
        let last = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raise).unwrap_or_default();
        Stamp { epoch, number: micros.max(last.saturating_add(1)) }
    }
}

/// The wall clock: what expires does so by it.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_rise_and_sort_by_their_bytes() {
        let stamps = Stamps::default();
        let (first, second) = (stamps.next(7), stamps.next(7));
        assert!(first < second && first.to_bytes() < second.to_bytes());
        assert!(second.to_bytes() < Stamp { epoch: 8, number: 0 }.to_bytes());
        assert_eq!(Stamp::read(&first.to_bytes()), Some(first));
        assert_eq!(Stamp::read(b"short"), None);
    }
}
