//! Leases: one storage partition a group, of the table of lists, so that one read has all of it.
//!
//! A table of its own would fit no better, and be one more to provision, protect and restore.

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use ronda_schemas::lease::{AssignmentRow, Group, MemberId, MemberRow};

use super::DynamoStore;
use super::db::{Condition, Outcome};
use super::item::{Item, bytes, damaged, decode, encode, get_bytes, get_text, item, number, text};
use super::tables::{TENANT, Table};
use crate::error::StoreError;
use crate::lease::{LeaseStore, LeaseTable, version_before};

/// The assignment's place. It comes before all members: a page is read in order, and who is named in it must have been put before it.
const ASSIGNMENT: &str = "assignment";
const MEMBER: &str = "member/";

fn list(group: Group) -> AttributeValue {
    text(format!("leases/{group}"))
}

fn place(group: Group, name: impl Into<String>) -> Item {
    item([("list", list(group)), (TENANT, text(name))])
}

fn member_place(group: Group, member: MemberId) -> Item {
    place(group, format!("{MEMBER}{member}"))
}

fn row(item: &Item) -> Result<&[u8], StoreError> {
    get_bytes(item, "row").ok_or_else(|| damaged("a lease"))
}

#[async_trait]
impl LeaseStore for DynamoStore {
    async fn leases(&self, group: Group) -> Result<LeaseTable, StoreError> {
        let all = Condition::new("#list = :list", [(":list", list(group))]);
        let mut table = LeaseTable::default();
        for item in self.db.query_all(Table::Tenants, all).await? {
            match get_text(&item, TENANT) {
                Some(ASSIGNMENT) => table.assignment = decode(row(&item)?)?,
                Some(place) if place.starts_with(MEMBER) => table.members.push(decode(row(&item)?)?),
                // What a later release may keep beside them.
                _ => {}
            }
        }
        Ok(table)
    }

    async fn put_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        let mut item = member_place(group, member.id);
        item.insert(String::from("renewals"), number(member.renewals));
        item.insert(String::from("row"), bytes(encode(member)?));
        self.db.put(Table::Tenants, &item, None).await.map(drop)
    }

    async fn remove_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        let seen = Condition::new("#renewals <= :renewals", [(":renewals", number(member.renewals))]);
        self.db.delete(Table::Tenants, member_place(group, member.id), &seen).await.map(drop)
    }

    async fn swap_assignment(&self, group: Group, assignment: &AssignmentRow) -> Result<bool, StoreError> {
        let before = match version_before(assignment)? {
            0 => Condition::new("attribute_not_exists(#list)", []),
            before => Condition::new("#version = :before", [(":before", number(before))]),
        };
        let mut item = place(group, ASSIGNMENT);
        item.insert(String::from("version"), number(assignment.version));
        item.insert(String::from("row"), bytes(encode(assignment)?));
        Ok(matches!(self.db.put(Table::Tenants, &item, Some(&before)).await?, Outcome::Done(_)))
    }
}
