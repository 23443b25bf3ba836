//! Leases as stored: the members of a group of replicas, and which of them has which partition.

use ronda_domain::id::SLOTS;
use serde::{Deserialize, Serialize};

use crate::codec::Versioned;

/// Most partitions that a group can share out.
pub const MOST_PARTITIONS: u32 = SLOTS;

/// Replicas that share out one set of partitions among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// The processors: partitions of the command queue.
    Processor,
    /// The notifiers: partitions of the event queue.
    Notifier,
}

impl Group {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Processor, Self::Notifier];

    /// Its name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Notifier => "notifier",
        }
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One start of a replica: drawn at random, so that a process which is started again is another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberId(pub u64);

impl std::fmt::Display for MemberId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A replica that is, or was of late, there. Only it puts its row; it removes it when it leaves, and others once they hold it for dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// Which.
    pub id: MemberId,
    /// What people call it: host and process.
    pub name: Box<str>,
    /// How often it has put this row; the first time is 1. That it rises is the sign of life.
    pub renewals: u64,
    /// It is about to go: it takes nothing new and gives back what it has.
    pub leaving: bool,
    /// For how many partitions it was started.
    pub partitions: u32,
}

impl Versioned for MemberRow {
    const WHAT: &'static str = "lease member row";
    const VERSION: u32 = 1;
}

/// Who has one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Nobody: there is nobody who could take it.
    #[default]
    Free,
    /// This member.
    Held(MemberId),
    /// One member still; it is to let go of it, and then the other has it.
    Moving {
        /// Who works on it.
        from: MemberId,
        /// Who will.
        to: MemberId,
    },
}

impl Slot {
    /// Who may work on it now.
    #[must_use]
    pub const fn holder(self) -> Option<MemberId> {
        match self {
            Self::Free => None,
            Self::Held(member) | Self::Moving { from: member, .. } => Some(member),
        }
    }

    /// Who shall work on it.
    #[must_use]
    pub const fn target(self) -> Option<MemberId> {
        match self {
            Self::Free => None,
            Self::Held(member) | Self::Moving { to: member, .. } => Some(member),
        }
    }

    /// Held by one, if it is held, and wanted for another.
    #[must_use]
    pub fn of(holder: Option<MemberId>, target: Option<MemberId>) -> Self {
        match (holder, target) {
            (None, None) => Self::Free,
            (Some(member), None) | (None, Some(member)) => Self::Held(member),
            (Some(from), Some(to)) if from == to => Self::Held(to),
            (Some(from), Some(to)) => Self::Moving { from, to },
        }
    }
}

/// Who has which partition of a group: one row for all of them, changed by compare-and-swap on its version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct AssignmentRow {
    /// Rises by one with each change; 0: there was none yet.
    pub version: u64,
    /// By partition.
    pub slots: Vec<Slot>,
}

impl Versioned for AssignmentRow {
    const WHAT: &'static str = "lease assignment row";
    const VERSION: u32 = 1;
}

/// The same with each member's id once: 2 KB in place of 20 for 1,024 partitions, and stores bill their readers by size.
#[derive(Clone, Serialize, Deserialize)]
struct Written {
    version: u64,
    members: Vec<MemberId>,
    /// By partition: a place in `members`, counted from 1; 0: nobody.
    holders: Vec<u32>,
    targets: Vec<u32>,
}

impl From<AssignmentRow> for Written {
    fn from(AssignmentRow { version, slots }: AssignmentRow) -> Self {
        let ids = slots.iter().flat_map(|slot| [slot.holder(), slot.target()]).flatten();
        let members: std::collections::BTreeSet<MemberId> = ids.collect();
        let members: Vec<MemberId> = members.into_iter().collect();
        let place = |member: Option<MemberId>| {
            let found = member.and_then(|member| members.binary_search(&member).ok());
            // There are no more of them than twice the partitions.
            found.map_or(0, |at| u32::try_from(at + 1).unwrap_or(0))
        };
        let holders = slots.iter().map(|slot| place(slot.holder())).collect();
        let targets = slots.iter().map(|slot| place(slot.target())).collect();
        Self { version, members, holders, targets }
    }
}

impl TryFrom<Written> for AssignmentRow {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { version, members, holders, targets } = written;
        let most = usize::try_from(MOST_PARTITIONS).unwrap_or(usize::MAX);
        if holders.len() != targets.len() || holders.len() > most {
            return Err(format!(
                "{} holders and {} targets of at most {most} partitions",
                holders.len(),
                targets.len()
            ));
        }
        let member = |place: u32| match place.checked_sub(1) {
            None => Ok(None),
            Some(at) => {
                let found = usize::try_from(at).ok().and_then(|at| members.get(at)).copied();
                found.map(Some).ok_or_else(|| format!("member {place} of {}", members.len()))
            }
        };
        let slots = holders.into_iter().zip(targets).map(|(holder, target)| match (member(holder)?, member(target)?) {
            (None, Some(_)) | (Some(_), None) => Err(String::from("a partition with a holder or a target alone")),
            (holder, target) => Ok(Slot::of(holder, target)),
        });
        Ok(Self { version, slots: slots.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MemberId = MemberId(u64::MAX);
    const B: MemberId = MemberId(1 << 63);

    fn row(slots: Vec<Slot>) -> AssignmentRow {
        AssignmentRow { version: 7, slots }
    }

    #[test]
    fn a_thousand_partitions_take_little_room() {
        for slot in [Slot::Free, Slot::Held(A), Slot::Moving { from: A, to: B }] {
            let row = row(vec![slot; 1_024]);
            let bytes = row.encode().unwrap();
            assert!(bytes.len() < 2_200, "{} bytes", bytes.len());
            assert_eq!(AssignmentRow::decode(&bytes).unwrap(), row);
        }
        let all = (0..1_024).map(|member| Slot::Held(MemberId(u64::MAX - member))).collect();
        assert!(row(all).encode().unwrap().len() < 16_000, "one partition each");
    }

    #[test]
    fn what_can_not_be_is_not_read() {
        let written = |members: Vec<MemberId>, holders: Vec<u32>, targets: Vec<u32>| Written {
            version: 1,
            members,
            holders,
            targets,
        };
        for odd in [
            written(vec![A], vec![1], vec![]),
            written(vec![A], vec![2], vec![2]),
            written(vec![A], vec![0], vec![1]),
            written(vec![A], vec![1], vec![0]),
            written(vec![A], vec![1; 1_025], vec![1; 1_025]),
        ] {
            let bytes = rmp_serde::to_vec(&(1, odd)).unwrap();
            assert!(AssignmentRow::decode(&bytes).is_err());
        }
    }
}
