//! Short texts in the store's own table.

use async_trait::async_trait;

use super::EmbeddedStore;
use super::fault::RESTORE;
use super::tables::Table;
use super::transaction::Transaction;
use crate::error::{StoreError, StoreErrorKind};
use crate::port::{LabelStore, check_label};

fn place(name: &str) -> Vec<u8> {
    format!("label/{name}").into_bytes()
}

fn read(bytes: &[u8]) -> Result<String, StoreError> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| StoreError::new(StoreErrorKind::Unreadable, format!("a label is no text; {RESTORE}")))
}

#[async_trait]
impl LabelStore for EmbeddedStore {
    async fn label(&self, name: &str) -> Result<Option<String>, StoreError> {
        check_label(name, "")?;
        let found = self.engine.tables()?.get(Table::Meta, &place(name))?;
        found.map(|bytes| read(&bytes)).transpose()
    }

    async fn put_label(&self, name: &str, expected: Option<&str>, text: &str) -> Result<bool, StoreError> {
        check_label(name, text)?;
        let (place, expected, text) = (place(name), expected.map(str::to_owned), text.to_owned());
        let size = place.len() + text.len();
        let put = move |transaction: &mut Transaction<'_>| {
            let found = transaction.get(Table::Meta, &place)?.map(|bytes| read(&bytes)).transpose()?;
            let is_expected = found == expected;
            if is_expected {
                transaction.put(Table::Meta, place, text.into_bytes());
            }
            Ok(is_expected)
        };
        self.committer.submit(size, put).await
    }
}
