//! Which partitions this process owns, and the write timestamps that an owner's rows get.
//!
//! A timestamp is the owner's epoch and, below it, the number of its commit. The server keeps of two writes, or of a write and a
//! removal, the one with the greater timestamp, whenever it comes; so nothing of an older epoch covers anything of a newer one.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash};

use hashbrown::{DefaultHashBuilder, HashSet};
use parking_lot::Mutex;

use super::fenced;
use crate::error::{StoreError, StoreErrorKind};

/// Bits of a timestamp that count commits: 31 days of a hundred a second. All of it must stay below the time now in microseconds, since
/// ScyllaDB refuses timestamps of the future; that leaves room for six million epochs.
const COMMIT_BITS: u32 = 28;
const MAX_COMMIT: i64 = (1 << COMMIT_BITS) - 1;
/// Greatest epoch of a partition.
pub(super) const MAX_EPOCH: u64 = 6_000_000;
/// Most things that are remembered of one partition; then it begins anew.
const MAX_SEEN: usize = 1 << 20;

/// What one owner's commit needs to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    /// Where the partition's row is.
    pub(super) generation: i64,
    /// Timestamp of the commit's rows.
    pub(super) timestamp: i64,
    /// Which of the owner's commits it is, attempts included.
    pub(super) commit: i64,
    /// The owner's epoch.
    pub(super) epoch: i64,
}

/// The partitions that were acquired by this process last.
#[derive(Default)]
pub(super) struct Ownership {
    hasher: DefaultHashBuilder,
    owned: Mutex<HashMap<u32, Owned>>,
}

struct Owned {
    generation: i64,
    epoch: u64,
    commits: i64,
    /// What this owner has written that need not be written again: entries of lists, by 64 bits of a hash with a seed of this process.
    /// Forgotten with the epoch, because another owner may have removed them in between.
    seen: HashSet<u64>,
}

impl Ownership {
    /// Takes note of an acquisition, unless there was a later one meanwhile.
    pub(super) fn begin(&self, partition: u32, generation: i64, epoch: u64) {
        let mut owned = self.owned.lock();
        if owned.get(&partition).is_none_or(|owned| owned.epoch < epoch) {
            owned.insert(partition, Owned { generation, epoch, commits: 0, seen: HashSet::new() });
        }
    }

    /// Where the row of a partition is that was acquired in an epoch.
    pub(super) fn generation(&self, partition: u32, epoch: u64) -> Result<i64, StoreError> {
        let owned = self.owned.lock();
        let owned = owned.get(&partition).filter(|owned| owned.epoch == epoch);
        owned.map(|owned| owned.generation).ok_or_else(|| not_acquired(partition, epoch))
    }

    /// Gives a commit its timestamp, greater than that of all before it.
    pub(super) fn stamp(&self, partition: u32, epoch: u64) -> Result<Stamp, StoreError> {
        let mut owned = self.owned.lock();
        let Some(owned) = owned.get_mut(&partition).filter(|owned| owned.epoch == epoch) else {
            return Err(not_acquired(partition, epoch));
        };
        if owned.commits >= MAX_COMMIT {
            return Err(fenced(format!("partition {partition}: epoch {epoch} has used up its {MAX_COMMIT} commits")));
        }
        owned.commits += 1;
        let epoch = i64::try_from(epoch).ok().filter(|_| epoch <= MAX_EPOCH).ok_or_else(|| {
            StoreError::new(StoreErrorKind::Invalid, format!("partition {partition}: {epoch} is no epoch"))
        })?;
        let (generation, commit) = (owned.generation, owned.commits);
        Ok(Stamp { generation, timestamp: (epoch << COMMIT_BITS) | commit, commit, epoch })
    }

    /// Whether what an owner writes from now on covers a row that was written with this timestamp. Who owns nothing here may read it.
    ///
    /// It does not when another owner has replaced this one, or when tables were put back that had been copied one after another: the
    /// partition's epoch is then behind its rows, and comes to them by being acquired again.
    pub(super) fn covers(&self, partition: u32, written: i64) -> Result<(), StoreError> {
        let mut owned = self.owned.lock();
        let Some(own) = owned.get(&partition) else { return Ok(()) };
        let last = i64::try_from(own.epoch).map_or(i64::MAX, |epoch| (epoch << COMMIT_BITS) | own.commits);
        if written <= last {
            return Ok(());
        }
        let (own, theirs) = (own.epoch, written >> COMMIT_BITS);
        owned.remove(&partition);
        Err(fenced(format!("partition {partition} has rows of epoch {theirs}, which owner {own} can't cover")))
    }

    /// The partition is somebody else's.
    pub(super) fn end(&self, partition: u32, epoch: u64) {
        let mut owned = self.owned.lock();
        if owned.get(&partition).is_some_and(|owned| owned.epoch == epoch) {
            owned.remove(&partition);
        }
    }

    /// A short name for something that is written once.
    pub(super) fn name(&self, what: impl Hash) -> u64 {
        self.hasher.hash_one(what)
    }

    /// Whether the owner has written it.
    pub(super) fn has_seen(&self, partition: u32, name: u64) -> bool {
        self.owned.lock().get(&partition).is_some_and(|owned| owned.seen.contains(&name))
    }

    /// The owner of an epoch has written it.
    pub(super) fn add(&self, partition: u32, epoch: u64, names: impl IntoIterator<Item = u64>) {
        if let Some(owned) = self.owned.lock().get_mut(&partition).filter(|owned| owned.epoch == epoch) {
            if owned.seen.len() >= MAX_SEEN {
                owned.seen.clear();
            }
            owned.seen.extend(names);
        }
    }

    /// It is about to be removed.
    pub(super) fn forget(&self, partition: u32, name: u64) {
        if let Some(owned) = self.owned.lock().get_mut(&partition) {
            owned.seen.remove(&name);
        }
    }
}

fn not_acquired(partition: u32, epoch: u64) -> StoreError {
    fenced(format!(
        "partition {partition} was not acquired by this process in epoch {epoch}, or was acquired again since"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_rise_with_commits_and_epochs_and_are_of_the_past() {
        let ownership = Ownership::default();
        ownership.begin(3, 1, 7);
        let first = ownership.stamp(3, 7).expect("a stamp").timestamp;
        let second = ownership.stamp(3, 7).expect("a stamp").timestamp;
        ownership.begin(3, 1, 8);
        let third = ownership.stamp(3, 8).expect("a stamp").timestamp;
        assert!(first < second && second < third);
        assert!(third > (7 << COMMIT_BITS) | MAX_COMMIT, "an older epoch's last commit");
        ownership.begin(3, 1, MAX_EPOCH);
        let last = ownership.stamp(3, MAX_EPOCH).expect("a stamp").timestamp;
        assert!(last < 1_764_547_200_000_000, "before December 2025 in microseconds");
    }

    #[test]
    fn rows_that_were_written_later_end_an_owner() {
        let ownership = Ownership::default();
        ownership.covers(0, i64::MAX).expect("nobody's");
        ownership.begin(0, 1, 5);
        ownership.covers(0, (4 << COMMIT_BITS) | MAX_COMMIT).expect("an older epoch's last commit");
        let own = ownership.stamp(0, 5).expect("a stamp").timestamp;
        ownership.covers(0, own).expect("its own");
        assert_eq!(ownership.covers(0, own + 1).expect_err("another's").kind, StoreErrorKind::Fenced);
        assert_eq!(ownership.stamp(0, 5).expect_err("it owns nothing").kind, StoreErrorKind::Fenced);
    }

    #[test]
    fn only_the_last_owner_gets_a_stamp_and_knows_what_it_wrote() {
        let ownership = Ownership::default();
        assert_eq!(ownership.stamp(0, 1).expect_err("never acquired").kind, StoreErrorKind::Fenced);
        ownership.begin(0, 1, 1);
        let name = ownership.name(("tenant", "scheduler"));
        ownership.add(0, 1, [name]);
        assert!(ownership.has_seen(0, name) && !ownership.has_seen(1, name));
        ownership.begin(0, 1, 2);
        ownership.begin(0, 1, 1);
        assert!(!ownership.has_seen(0, name), "another owner may have removed it");
        ownership.add(0, 1, [name]);
        assert!(!ownership.has_seen(0, name), "a late commit of the epoch before");
        assert_eq!(ownership.stamp(0, 1).expect_err("an older epoch").kind, StoreErrorKind::Fenced);
        ownership.end(0, 1);
        assert!(ownership.stamp(0, 2).is_ok());
    }
}
