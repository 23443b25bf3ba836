//! Short texts, items of their own beside the partitions' rows.

use async_trait::async_trait;

use super::DynamoStore;
use super::db::{Condition, Outcome};
use super::item::{Item, damaged, get_text, item, text};
use super::tables::Table;
use crate::error::StoreError;
use crate::port::{LabelStore, check_label};

fn label_key(name: &str) -> Item {
    item([("name", text(format!("label/{name}")))])
}

#[async_trait]
impl LabelStore for DynamoStore {
    async fn label(&self, name: &str) -> Result<Option<String>, StoreError> {
        check_label(name, "")?;
        let Some(found) = self.db.get(Table::Partitions, label_key(name)).await? else { return Ok(None) };
        get_text(&found, "text").map(|text| Some(text.to_owned())).ok_or_else(|| damaged("a label"))
    }

    async fn put_label(&self, name: &str, expected: Option<&str>, label: &str) -> Result<bool, StoreError> {
        check_label(name, label)?;
        let mut item = label_key(name);
        item.insert(String::from("text"), text(label));
        let condition = match expected {
            None => Condition::new("attribute_not_exists(#name)", []),
            Some(expected) => Condition::new("#text = :expected", [(":expected", text(expected))]),
        };
        let outcome = self.db.put(Table::Partitions, &item, Some(&condition)).await?;
        Ok(matches!(outcome, Outcome::Done(_)))
    }
}
