//! The partition's clock: the least of the last pulses of the gateways that are live. It never goes back.

use ronda_domain::time::Timestamp;

use super::gateways::{Entry, Gateways};

/// How far the clock may go.
pub(crate) fn reached(entries: &[Entry], watermark: Timestamp) -> Timestamp {
    let least = entries.iter().filter(|entry| entry.live).map(|entry| entry.wall).min();
    least.map_or(watermark, |least| least.max(watermark))
}

/// A clock that stands still because a gateway's is behind it: nothing is judged before that one has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) clock: Timestamp,
    pub(crate) gateway: u64,
    pub(crate) wall: Timestamp,
}

impl Held {
    /// For how long it will stand, if nobody sets a clock, in milliseconds.
    pub(crate) const fn millis(self) -> i64 {
        self.clock.millis_since(self.wall)
    }
}

/// Whether the clock is held by more than a hole.
pub(crate) fn held(gateways: &Gateways, watermark: Timestamp) -> Option<Held> {
    let slowest = gateways.slowest()?;
    let held = Held { clock: watermark, gateway: slowest.gateway, wall: slowest.wall };
    (watermark != Timestamp::MIN && held.millis() > gateways.hole_ms()).then_some(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(gateway: u64, second: i64, live: bool) -> Entry {
        let wall = Timestamp::from_seconds(second);
        Entry { gateway, number: 1, wall, mono_ms: 0, live, covered_from: wall, ahead: None, behind_ms: 0 }
    }

    #[test]
    fn the_slowest_live_gateway_holds_the_clock_and_it_never_goes_back() {
        let before = Timestamp::from_seconds(5);
        let entries = [entry(1, 12, true), entry(2, 9, true), entry(3, 1, false)];
        assert_eq!(reached(&entries, before), Timestamp::from_seconds(9));
        assert_eq!(reached(&[entry(1, 3, true)], before), before);
        assert_eq!(reached(&[], before), before);
    }
}
