//! Leases: a few small values of `meta`. One process has the store, so they serve tests and several services within it.

use async_trait::async_trait;
use ronda_schemas::lease::{AssignmentRow, Group, MemberRow};

use super::reads::View;
use super::tables::{Table, Tables, decode, encode};
use super::transaction::Transaction;
use super::{EmbeddedStore, key};
use crate::error::StoreError;
use crate::lease::{LeaseStore, LeaseTable, version_before};

/// About what a row takes, in bytes.
const ROW_BYTES: usize = 256;

fn read(tables: &Tables, group: Group) -> Result<LeaseTable, StoreError> {
    let view = View::new(tables);
    let assignment = view.get(Table::Meta, &key::assignment(group))?;
    let members = view.prefix_after(Table::Meta, &key::members(group), None);
    Ok(LeaseTable {
        assignment: assignment.map(|bytes| decode(&bytes)).transpose()?.unwrap_or_default(),
        members: members.map(|entry| decode(&entry?.1)).collect::<Result<_, _>>()?,
    })
}

#[async_trait]
impl LeaseStore for EmbeddedStore {
    async fn leases(&self, group: Group) -> Result<LeaseTable, StoreError> {
        self.scan(move |tables| read(tables, group)).await
    }

    async fn put_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        let (place, bytes) = (key::member(group, member.id), encode(member)?);
        let put = move |transaction: &mut Transaction<'_>| {
            transaction.put(Table::Meta, place, bytes);
            Ok(())
        };
        self.committer.submit(ROW_BYTES, put).await
    }

    async fn remove_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        let (place, seen) = (key::member(group, member.id), member.renewals);
        let remove = move |transaction: &mut Transaction<'_>| {
            let Some(found) = transaction.get(Table::Meta, &place)? else { return Ok(()) };
            if decode::<MemberRow>(&found)?.renewals <= seen {
                transaction.remove(Table::Meta, place);
            }
            Ok(())
        };
        self.committer.submit_removal(ROW_BYTES, remove).await
    }

    async fn swap_assignment(&self, group: Group, assignment: &AssignmentRow) -> Result<bool, StoreError> {
        let before = version_before(assignment)?;
        let (place, bytes) = (key::assignment(group), encode(assignment)?);
        let size = bytes.len();
        let swap = move |transaction: &mut Transaction<'_>| {
            let found = transaction.get(Table::Meta, &place)?;
            let found: Option<AssignmentRow> = found.map(|bytes| decode(&bytes)).transpose()?;
            let is_next = found.map_or(0, |found| found.version) == before;
            if is_next {
                transaction.put(Table::Meta, place, bytes);
            }
            Ok(is_next)
        };
        self.committer.submit(size, swap).await
    }
}
