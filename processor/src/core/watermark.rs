//! The partition's clock: the least of the last pulses of the gateways that are live. It never goes back.

use ronda_domain::time::Timestamp;

use super::gateways::Entry;

/// How far the clock may go.
pub(crate) fn reached(entries: &[Entry], watermark: Timestamp) -> Timestamp {
    let least = entries.iter().filter(|entry| entry.live).map(|entry| entry.wall).min();
    least.map_or(watermark, |least| least.max(watermark))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(gateway: u64, second: i64, live: bool) -> Entry {
        let wall = Timestamp::from_seconds(second);
        Entry { gateway, number: 1, wall, mono_ms: 0, live, covered_from: wall }
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
