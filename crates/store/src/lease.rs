//! The part of the port that leases are kept by: who is there, and who has which partition.
//!
//! Nothing here fences a write. A row that is lost or late costs time, never what was stored: that is for the epochs of
//! [`PartitionStore`](crate::port::PartitionStore) and [`SurfaceStore`](crate::port::SurfaceStore).

use async_trait::async_trait;
use ronda_schemas::lease::{AssignmentRow, Group, MemberRow};

use crate::error::{StoreError, StoreErrorKind};

/// What is known of a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseTable {
    /// Who has which partition; of version 0 and for no partition before the first swap.
    pub assignment: AssignmentRow,
    /// Those who have a row, by id.
    pub members: Vec<MemberRow>,
}

/// What replicas need to share out partitions.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// All that is known of a group: the assignment as of a moment before or at that of the members' rows, so that whoever is named in it has
    /// a row unless that was removed since.
    ///
    /// # Errors
    /// [`Unreadable`](crate::error::StoreErrorKind::Unreadable) when a row was written by a newer release; or any other [`StoreError`].
    async fn leases(&self, group: Group) -> Result<LeaseTable, StoreError>;

    /// Puts a member's row: whatever is there of that member is replaced. One that is carried out late may bring back an older state, or a row
    /// that was removed.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn put_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError>;

    /// Removes a member's row, unless it was renewed since it was as given. That none is there is no error.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn remove_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError>;

    /// Puts the assignment if the stored one is of the version before; `false`: it is not, and nothing changed. After an error it may or
    /// may not be there. A caller whose answer was lost on the way and who was tried again may be told `false` of what is there: read it.
    ///
    /// # Errors
    /// [`Invalid`](crate::error::StoreErrorKind::Invalid) for version 0; or any other [`StoreError`].
    async fn swap_assignment(&self, group: Group, assignment: &AssignmentRow) -> Result<bool, StoreError>;
}

/// The version that must be there before another.
///
/// # Errors
/// `Invalid` for one before which there is none.
pub(crate) fn version_before(assignment: &AssignmentRow) -> Result<u64, StoreError> {
    assignment
        .version
        .checked_sub(1)
        .ok_or_else(|| StoreError::new(StoreErrorKind::Invalid, "an assignment's first version is 1, not 0"))
}
