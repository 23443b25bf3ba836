//! The ledger by run: what was reported of each run and what of it was confirmed, and the check against what Ronda says of it.
//!
//! A run is a few heartbeats and an end. Each is sent only when the one before it was confirmed, and nothing more of a run once something of
//! it is in doubt: so what was lost can't hide behind what was never confirmed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ledger::Entry;

/// Most violations that are told by name.
const TOLD: usize = 20;

/// What was reported of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// Its heartbeats.
    pub heartbeats: Entry,
    /// Its end.
    pub end: Entry,
    /// When the last confirmation came, in milliseconds since 1970: what was lost is looked for among the troubles of that time.
    pub confirmed_ms: Option<i64>,
}

/// Scheduler and run id.
pub type RunName = (String, String);

/// What Ronda says of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many heartbeats it counted.
    pub heartbeats: u64,
    /// Whether it knows of the end.
    pub ended: bool,
    /// The entries of the history that it is in, in words: more than one are one too many.
    pub entries: Vec<String>,
}

/// What was reported, by scheduler and run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLedger {
    /// By scheduler, then by run.
    pub runs: BTreeMap<String, BTreeMap<String, Reported>>,
}

/// How the two compare. What is counted are reports, not runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Sent, whether or not a confirmation came.
    pub sent: u64,
    /// Confirmed: answered 202, or taken by the broker.
    pub confirmed: u64,
    /// Applied, as Ronda says.
    pub applied: u64,
    /// Confirmed and not applied.
    pub lost: u64,
    /// Applied more often than sent.
    pub doubled: u64,
    /// The first few of both, in words.
    pub told: Vec<String>,
}

impl Account {
    /// Whether everything confirmed was applied, and nothing twice.
    #[must_use]
    pub const fn is_even(&self) -> bool {
        self.lost == 0 && self.doubled == 0
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.told.len() < TOLD {
            self.told.push(what());
        }
    }

    fn compare(&mut self, name: (&str, &str), confirmed_ms: Option<i64>, what: &str, sent: Entry, applied: u64) {
        self.sent += sent.sent;
        self.confirmed += sent.acknowledged;
        self.applied += applied;
        let (scheduler, run) = name;
        if let missing @ 1.. = sent.acknowledged.saturating_sub(applied) {
            self.lost += missing;
            let last = confirmed_ms.and_then(|at| Timestamp::from_millisecond(at).ok());
            let last = last.map(|at| format!(" (the last confirmation came at {at:.1})")).unwrap_or_default();
            self.tell(|| format!("{scheduler} {run}: {} {what} confirmed, {applied} applied{last}", sent.acknowledged));
        }
        if let excess @ 1.. = applied.saturating_sub(sent.sent) {
            self.doubled += excess;
            self.tell(|| format!("{scheduler} {run}: {} {what} sent, {applied} applied", sent.sent));
        }
    }
}

impl RunLedger {
    /// Notes one report of a run, and when it was confirmed, if it was.
    pub fn note(&mut self, scheduler: &str, run: &str, is_end: bool, confirmed_at: Option<Timestamp>) {
        let runs = match self.runs.get_mut(scheduler) {
            Some(runs) => runs,
            None => self.runs.entry(scheduler.to_owned()).or_default(),
        };
        let reported = match runs.get_mut(run) {
            Some(reported) => reported,
            None => runs.entry(run.to_owned()).or_default(),
        };
        let entry = if is_end { &mut reported.end } else { &mut reported.heartbeats };
        entry.sent += 1;
        entry.acknowledged += u64::from(confirmed_at.is_some());
        reported.confirmed_ms = confirmed_at.map(Timestamp::as_millisecond).or(reported.confirmed_ms);
    }

    /// Adds another ledger.
    pub fn add(&mut self, other: Self) {
        for (scheduler, runs) in other.runs {
            let mine = self.runs.entry(scheduler).or_default();
            for (run, reported) in runs {
                let known = mine.entry(run).or_default();
                known.confirmed_ms = known.confirmed_ms.max(reported.confirmed_ms);
                for (entry, more) in [(&mut known.heartbeats, reported.heartbeats), (&mut known.end, reported.end)] {
                    entry.sent += more.sent;
                    entry.acknowledged += more.acknowledged;
                }
            }
        }
    }

    /// All that was sent and confirmed.
    #[must_use]
    pub fn total(&self) -> Entry {
        self.runs.values().flat_map(BTreeMap::values).flat_map(|run| [run.heartbeats, run.end]).fold(
            Entry::default(),
            |sum, entry| Entry { sent: sum.sent + entry.sent, acknowledged: sum.acknowledged + entry.acknowledged },
        )
    }

    /// Compares with what was found: everything confirmed is there, nothing is there more often than it was sent.
    #[must_use]
    pub fn account(&self, found: &BTreeMap<RunName, Found>) -> Account {
        let (mut account, none) = (Account::default(), Found::default());
        let mut known = 0;
        for (scheduler, runs) in &self.runs {
            for (run, reported) in runs {
                let seen = found.get(&(scheduler.clone(), run.clone()));
                known += usize::from(seen.is_some());
                let seen = seen.unwrap_or(&none);
                let name = (scheduler.as_str(), run.as_str());
                account.compare(name, reported.confirmed_ms, "heartbeats", reported.heartbeats, seen.heartbeats);
                account.compare(name, reported.confirmed_ms, "ends", reported.end, u64::from(seen.ended));
                if let Some(again @ 1..) = seen.entries.len().checked_sub(1) {
                    account.doubled += u64::try_from(again).unwrap_or(u64::MAX);
                    account.tell(|| format!("{scheduler} {run}: in several entries: {}", seen.entries.join("; ")));
                }
            }
        }
        if known < found.len() {
            let strangers = found
                .keys()
                .filter(|(scheduler, run)| self.runs.get(scheduler).is_none_or(|runs| !runs.contains_key(run)));
            for (scheduler, run) in strangers {
                account.doubled += 1;
                account.tell(|| format!("{scheduler} {run}: never sent"));
            }
        }
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(runs: &[(&str, u64, bool, usize)]) -> BTreeMap<RunName, Found> {
        runs.iter()
            .map(|&(run, heartbeats, ended, entries)| {
                (
                    (String::from("a"), run.to_owned()),
                    Found { heartbeats, ended, entries: vec![String::from("an entry"); entries] },
                )
            })
            .collect()
    }

    /// One run that ended, and one whose second heartbeat is in doubt.
    fn ledger() -> RunLedger {
        let mut ledger = RunLedger::default();
        let mut more = RunLedger::default();
        ledger.note("a", "1", false, Some(Timestamp::UNIX_EPOCH));
        ledger.note("a", "1", true, Some(Timestamp::UNIX_EPOCH));
        more.note("a", "2", false, Some(Timestamp::UNIX_EPOCH));
        more.note("a", "2", false, None);
        ledger.add(more);
        ledger
    }

    #[test]
    fn what_is_in_doubt_may_have_come_or_not() {
        for heartbeats in [1, 2] {
            let account = ledger().account(&found(&[("1", 1, true, 1), ("2", heartbeats, false, 0)]));
            assert!(account.is_even(), "{account:?}");
            assert_eq!((account.sent, account.confirmed, account.applied), (4, 3, 2 + heartbeats));
        }
        assert_eq!(ledger().total(), Entry { sent: 4, acknowledged: 3 });
    }

    #[test]
    fn what_was_confirmed_and_is_not_there_is_lost() {
        for (seen, lost) in [
            (found(&[]), 3),
            (found(&[("1", 1, false, 1), ("2", 1, false, 1)]), 1),
            (found(&[("1", 0, true, 1), ("2", 1, false, 1)]), 1),
            (found(&[("1", 1, true, 1), ("2", 0, false, 1)]), 1),
        ] {
            let account = ledger().account(&seen);
            assert_eq!((account.lost, account.doubled), (lost, 0), "{account:?}");
            assert!(!account.told.is_empty());
        }
    }

    #[test]
    fn what_is_there_more_often_than_it_was_sent_is_doubled() {
        for seen in [
            found(&[("1", 2, true, 1), ("2", 1, false, 1)]),
            found(&[("1", 1, true, 2), ("2", 1, false, 1)]),
            found(&[("1", 1, true, 1), ("2", 3, false, 1)]),
            found(&[("1", 1, true, 1), ("2", 1, true, 1)]),
            found(&[("1", 1, true, 1), ("2", 1, false, 1), ("3", 0, false, 1)]),
        ] {
            let account = ledger().account(&seen);
            assert_eq!((account.lost, account.doubled), (0, 1), "{account:?}");
        }
    }
}
