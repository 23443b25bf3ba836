//! Short texts, in a table of their own.

use async_trait::async_trait;

use super::CassandraStore;
use crate::error::StoreError;
use crate::port::{LabelStore, check_label};

const WRITING: &str = "writing a label";

#[async_trait]
impl LabelStore for CassandraStore {
    async fn label(&self, name: &str) -> Result<Option<String>, StoreError> {
        check_label(name, "")?;
        let found: Option<(Option<String>,)> =
            self.client.first("reading a label", &self.client.statements.label, (name,)).await?;
        Ok(found.and_then(|(text,)| text))
    }

    async fn put_label(&self, name: &str, expected: Option<&str>, text: &str) -> Result<bool, StoreError> {
        check_label(name, text)?;
        let (client, statements) = (&self.client, &self.client.statements);
        match expected {
            None => client.conditional(WRITING, &statements.make_label, (name, text)).await,
            Some(expected) => client.conditional(WRITING, &statements.change_label, (text, name, expected)).await,
        }
    }
}
