//! Messages that may be delivered again though they are committed, on queues without positions.
//!
//! Frames are known by their number. Others are known by a fingerprint of their id and bytes, if they have an id: two that have none may be two
//! reports that say the same, so each of them counts. Whether the broker says that it delivers one again makes no difference:
//! who counts the queue anew comes to the same numbers. (Were one counted that was not counted before, the rows that are ahead of the
//! cursor would get some of what they hold once more; were one passed over that was counted, they would miss what comes next.)

use std::collections::VecDeque;

use hashbrown::HashSet;

/// The last ones.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// How many messages may come again; 0: none, the queue has positions.
    window: u64,
    /// Positions, as counted, and fingerprints, oldest first.
    entries: VecDeque<(u64, u64)>,
    known: HashSet<u64>,
}

impl Recent {
    pub(super) fn from_rows(rows: &[(u64, u64)]) -> Self {
        Self {
            window: 0,
            entries: rows.iter().copied().collect(),
            known: rows.iter().map(|(_, fingerprint)| *fingerprint).collect(),
        }
    }

    pub(super) fn to_rows(&self) -> Vec<(u64, u64)> {
        self.entries.iter().copied().collect()
    }

    pub(super) const fn remember(&mut self, window: u64) {
        self.window = window;
    }

    pub(super) fn has(&self, fingerprint: u64) -> bool {
        self.known.contains(&fingerprint)
    }

    /// Remembers one that is taken, if it can be known again, and forgets those that can't come again.
    pub(super) fn take(&mut self, position: u64, fingerprint: Option<u64>) {
        if let Some(fingerprint) = fingerprint.filter(|_| self.window > 0) {
            self.entries.push_back((position, fingerprint));
            self.known.insert(fingerprint);
        }
        let oldest = position.saturating_sub(self.window);
        while let Some((_, gone)) = self.entries.front().copied().filter(|(position, _)| *position <= oldest) {
            self.entries.pop_front();
            self.known.remove(&gone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_may_come_again() {
        let mut recent = Recent::default();
        recent.remember(2);
        for position in 1..=4 {
            recent.take(position, (position != 3).then_some(position * 10));
        }
        assert_eq!(recent.to_rows(), [(4, 40)]);
        assert!(recent.has(40) && !recent.has(20));
        let mut recent = Recent::from_rows(&[(1, 1)]);
        recent.take(2, Some(2));
        assert!(recent.to_rows().is_empty() && !recent.has(1), "a queue with positions needs none");
    }
}
