//! Who has which partition, for people.

use std::collections::BTreeMap;

use ronda_schemas::lease::{Group, MemberId, MemberRow, Slot};
use ronda_store::error::StoreError;
use ronda_store::lease::LeaseStore;

/// A group at one moment. Whether a member lives can't be seen in it: that takes watching its counter for a lease period.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    members: BTreeMap<MemberId, MemberRow>,
    slots: Vec<Slot>,
    version: u64,
}

/// A member as named in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who<'p> {
    /// Its id.
    pub id: MemberId,
    /// Its row; `None`: it has none any more.
    pub row: Option<&'p MemberRow>,
}

impl Who<'_> {
    /// What people call it: its id, if there is nothing else.
    #[must_use]
    pub fn name(&self) -> String {
        self.row.map_or_else(|| self.id.to_string(), |row| row.name.to_string())
    }
}

/// One partition in a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share<'p> {
    /// Which.
    pub partition: u32,
    /// Who may work on it; `None`: nobody.
    pub holder: Option<Who<'p>>,
    /// Who shall; another than the holder: the holder is to let go of it first.
    pub target: Option<Who<'p>>,
}

impl Picture {
    /// Reads it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn read(store: &dyn LeaseStore, group: Group) -> Result<Self, StoreError> {
        let table = store.leases(group).await?;
        Ok(Self {
            members: table.members.into_iter().map(|row| (row.id, row)).collect(),
            slots: table.assignment.slots,
            version: table.assignment.version,
        })
    }

    /// How often partitions were shared out or given on; 0: no replica has ever joined.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Those who have a row, by id: who is there, or was when it ended without a word.
    pub fn members(&self) -> impl Iterator<Item = &MemberRow> {
        self.members.values()
    }

    /// The partitions in their order; none, if no replica has ever joined.
    pub fn shares(&self) -> impl Iterator<Item = Share<'_>> {
        (0..).zip(&self.slots).map(|(partition, slot)| Share {
            partition,
            holder: slot.holder().map(|id| self.who(id)),
            target: slot.target().map(|id| self.who(id)),
        })
    }

    fn who(&self, id: MemberId) -> Who<'_> {
        Who { id, row: self.members.get(&id) }
    }
}
