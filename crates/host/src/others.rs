//! Another Ronda on the same queues, with a store of its own: each of the two misses what the other takes.
//!
//! Where both read, it shows by a strange gateway's pulses. Where one of the two gets nothing at all, because the broker gives a partition to one
//! reader only, it shows to that one by its own pulses: they are gone from the queue and did not come to its store.

use std::collections::HashMap;
use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_schemas::row::GatewayRow;
use ronda_store::port::Store;
use tokio::time::Instant;

/// How often it is said.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// More than the longest period between two pulses.
const UNHEARD_AFTER: Duration = Duration::from_secs(15);
const BESIDE: &str = "another Ronda uses the same queues with a store of its own, so each of the two misses what the other takes: \
                      stop one, and give it a prefix of its own (queue.prefix)";
const INSTEAD: &str = "another Ronda uses the same queues with a store of its own, and takes all that this one publishes: stop one, and give \
                       it a prefix of its own (queue.prefix)";

/// Whether there is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// None that shows.
    Nobody,
    /// One that publishes what this one reads.
    Beside,
    /// One that reads what this one publishes, which does not.
    Instead,
}

impl Found {
    /// For the health.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Nobody => "",
            Self::Beside => BESIDE,
            Self::Instead => INSTEAD,
        }
    }
}

/// What shows of others.
pub(crate) struct Others {
    own_gateway: u64,
    /// What was sent before may be this one's own predecessor's, which is still being read.
    since: Timestamp,
    /// The last frames of those that have sent something since.
    seen: HashMap<u64, u64>,
    /// The last frame of our own that was read, and when that was found.
    heard: (u64, Instant),
    told: Option<Instant>,
}

impl Others {
    pub(crate) fn since(since: Timestamp, own_gateway: u64) -> Self {
        Self { own_gateway, since, seen: HashMap::new(), heard: (0, Instant::now()), told: None }
    }

    /// Looks once. `is_idle`: this one publishes, and a moment ago nothing was left in the queue.
    pub(crate) async fn look(&mut self, store: &dyn Store, is_idle: bool) -> Found {
        let Ok(row) = store.partition(0).await else { return Found::Nobody };
        let gateways = row.as_ref().map_or(&[][..], |row| &row.gateways);
        let (is_unheard, is_beside) = (self.is_unheard(gateways, Instant::now()), self.go_on(gateways));
        let found = match (is_unheard && is_idle, is_beside) {
            (true, _) => Found::Instead,
            (false, true) => Found::Beside,
            (false, false) => Found::Nobody,
        };
        if found != Found::Nobody && self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            tracing::error!("{}", found.reason());
        }
        found
    }

    /// Whether our own pulses have not come for long.
    fn is_unheard(&mut self, gateways: &[GatewayRow], now: Instant) -> bool {
        let own = gateways.iter().find(|entry| entry.gateway == self.own_gateway);
        let number = own.map_or(0, |entry| entry.number);
        if number > self.heard.0 {
            self.heard = (number, now);
        }
        now.saturating_duration_since(self.heard.1) > UNHEARD_AFTER
    }

    /// Whether a strange one of these has sent more than when this was last asked.
    fn go_on(&mut self, gateways: &[GatewayRow]) -> bool {
        let others = gateways.iter().filter(|entry| entry.gateway != self.own_gateway && entry.wall > self.since);
        let now: HashMap<u64, u64> = others.map(|entry| (entry.gateway, entry.number)).collect();
        let rose = |(gateway, number): (&u64, &u64)| self.seen.get(gateway).is_some_and(|before| before < number);
        let is_any = now.iter().any(rose);
        self.seen = now;
        is_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(gateway: u64, number: u64, second: i64) -> GatewayRow {
        GatewayRow {
            gateway,
            number,
            wall: Timestamp::from_seconds(second),
            mono_ms: 0,
            live: true,
            covered_from: Timestamp::MIN,
            ahead: None,
        }
    }

    #[test]
    fn what_a_predecessor_left_behind_is_nobody_elses() {
        let mut others = Others::since(Timestamp::from_seconds(100), 1);
        for number in 1..10 {
            // Read from a backlog after a kill, beside our own.
            let second = i64::try_from(number).unwrap();
            assert!(!others.go_on(&[entry(2, number, 90 + second), entry(1, number, 100 + second)]));
        }
        assert!(!others.go_on(&[entry(3, 7, 101)]), "once is not on and on");
        assert!(others.go_on(&[entry(3, 8, 102)]));
        assert!(!others.go_on(&[entry(3, 8, 102)]));
    }

    #[test]
    fn own_pulses_that_do_not_come_are_missed_after_a_while() {
        let mut others = Others::since(Timestamp::from_seconds(100), 1);
        let start = others.heard.1;
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!others.is_unheard(&[], at(15)));
        assert!(others.is_unheard(&[entry(2, 9, 101)], at(16)), "another's are not ours");
        assert!(!others.is_unheard(&[entry(1, 3, 102)], at(17)));
        assert!(!others.is_unheard(&[entry(1, 4, 103)], at(32)));
        assert!(others.is_unheard(&[entry(1, 4, 103)], at(48)));
    }
}
