//! The ledger: how many heartbeats of each scheduler were sent and acknowledged, and the check against what Ronda says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Counts for one scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Sent, whether or not an answer came.
    pub sent: u64,
    /// Answered with a 2xx.
    pub acknowledged: u64,
}

/// Counts by scheduler number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Counts by scheduler number.
    pub entries: BTreeMap<usize, Entry>,
}

impl Ledger {
    /// Adds another ledger's counts.
    pub fn add(&mut self, other: &Self) {
        for (number, entry) in &other.entries {
            let mine = self.entries.entry(*number).or_default();
            mine.sent += entry.sent;
            mine.acknowledged += entry.acknowledged;
        }
    }

    /// Counts one exchange that carried one heartbeat of each of these schedulers.
    pub fn count(&mut self, schedulers: &[usize], acknowledged: bool) {
        for number in schedulers {
            let entry = self.entries.entry(*number).or_default();
            entry.sent += 1;
            entry.acknowledged += u64::from(acknowledged);
        }
    }

    /// All that was sent and acknowledged.
    #[must_use]
    pub fn total(&self) -> Entry {
        self.entries.values().fold(Entry::default(), |sum, entry| Entry {
            sent: sum.sent + entry.sent,
            acknowledged: sum.acknowledged + entry.acknowledged,
        })
    }

    /// Compares with the heartbeats that Ronda counted for each scheduler: at least those acknowledged, at most those sent.
    #[must_use]
    pub fn violations(&self, counted: &BTreeMap<usize, u64>) -> Vec<String> {
        let mut found = Vec::new();
        for (number, entry) in &self.entries {
            let applied = counted.get(number).copied().unwrap_or(0);
            if applied < entry.acknowledged {
                found.push(format!("load-{number:06}: {} acknowledged, only {applied} applied", entry.acknowledged));
            }
            if applied > entry.sent {
                found.push(format!("load-{number:06}: {} sent, {applied} applied", entry.sent));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_and_a_doubled_heartbeat_are_found() {
        let mut ledger = Ledger::default();
        ledger.count(&[1, 2], true);
        ledger.count(&[1], false);
        assert_eq!(ledger.total(), Entry { sent: 3, acknowledged: 2 });
        assert!(ledger.violations(&BTreeMap::from([(1, 1), (2, 1)])).is_empty());
        assert!(ledger.violations(&BTreeMap::from([(1, 2), (2, 1)])).is_empty());
        assert_eq!(ledger.violations(&BTreeMap::from([(1, 0), (2, 2)])).len(), 2);
    }
}
