//! Leases: members plainly, with timestamps of their own counters, and the assignment conditionally.

use async_trait::async_trait;
use futures::TryStreamExt as _;
use ronda_schemas::lease::{AssignmentRow, Group, MemberRow};

use super::{CassandraStore, decode, encode};
use crate::error::StoreError;
use crate::lease::{LeaseStore, LeaseTable, version_before};

const READING: &str = "reading leases";
const WRITING: &str = "writing leases";

/// When a member's row is from. No clock has a part in it: the server then keeps the latest of its states whenever they come, and a removal
/// covers what was seen and nothing after it.
fn timestamp(member: &MemberRow) -> i64 {
    i64::try_from(member.renewals).unwrap_or(i64::MAX)
}

#[async_trait]
impl LeaseStore for CassandraStore {
    async fn leases(&self, group: Group) -> Result<LeaseTable, StoreError> {
        let (statements, pool) = (&self.client.statements, (group.as_str(),));
        // First the assignment: who is named in it was put before it.
        let assignment: Option<(Option<Vec<u8>>,)> = self.client.first(READING, &statements.assignment, pool).await?;
        let rows = self.client.rows(READING, &statements.members, pool).await?;
        let rows: Vec<(Option<Vec<u8>>,)> = rows.try_collect().await?;
        let members: Result<Vec<MemberRow>, _> =
            rows.into_iter().filter_map(|(row,)| row).map(|row| decode(&row)).collect();
        let mut members = members?;
        // The server's numbers have a sign.
        members.sort_unstable_by_key(|member| member.id);
        let assignment = assignment.and_then(|(row,)| row).map(|row| decode(&row)).transpose()?;
        Ok(LeaseTable { assignment: assignment.unwrap_or_default(), members })
    }

    async fn put_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        let values = (group.as_str(), member.id.0.cast_signed(), encode(member)?, timestamp(member));
        self.client.write(WRITING, &self.client.statements.put_member, values).await
    }

    async fn remove_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        let values = (timestamp(member), group.as_str(), member.id.0.cast_signed());
        self.client.write(WRITING, &self.client.statements.remove_member, values).await
    }

    async fn swap_assignment(&self, group: Group, assignment: &AssignmentRow) -> Result<bool, StoreError> {
        let (statements, row) = (&self.client.statements, encode(assignment)?);
        let before = version_before(assignment)?.cast_signed();
        let (version, pool) = (assignment.version.cast_signed(), group.as_str());
        if before == 0 {
            return self.client.conditional(WRITING, &statements.make_assignment, (pool, version, row)).await;
        }
        self.client.conditional(WRITING, &statements.swap_assignment, (version, row, pool, before)).await
    }
}
