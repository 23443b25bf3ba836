//! Items and their attributes.

use std::collections::HashMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use ronda_domain::time::Timestamp;
use ronda_schemas::codec::{DecodeError, Versioned};

use crate::error::{StoreError, StoreErrorKind};

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

#[allow(clippy::needless_pass_by_value, reason = "numbers are copied")]
pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

pub(super) fn bytes(value: impl Into<Vec<u8>>) -> AttributeValue {
    AttributeValue::B(Blob::new(value))
}

/// When an item may go: so many seconds after a time. Never before 1970, which DynamoDB would not understand.
pub(super) fn expiry(time: Timestamp, keep_seconds: u64) -> AttributeValue {
    let keep = i64::try_from(keep_seconds).unwrap_or(i64::MAX);
    number(time.as_millis().div_euclid(1_000).saturating_add(keep).max(0))
}

pub(super) fn item<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Item {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

pub(super) fn get_text<'i>(item: &'i Item, name: &str) -> Option<&'i str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

pub(super) fn get_number<N: std::str::FromStr>(item: &Item, name: &str) -> Option<N> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

pub(super) fn get_bytes<'i>(item: &'i Item, name: &str) -> Option<&'i [u8]> {
    item.get(name)?.as_b().ok().map(AsRef::as_ref)
}

/// An item without what it must have.
pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unreadable,
        format!("{what} is not as this store writes it: restore it from a backup of the tables"),
    )
}

/// Reads a row.
pub(super) fn decode<T: Versioned>(bytes: &[u8]) -> Result<T, StoreError> {
    T::decode(bytes).map_err(|error| match error {
        DecodeError::NewerVersion { .. } => StoreError::new(StoreErrorKind::Unreadable, error.to_string()),
        DecodeError::Malformed { .. } => {
            StoreError::new(StoreErrorKind::Unreadable, format!("{error}: restore it from a backup of the tables"))
        }
    })
}

/// Writes a row.
pub(super) fn encode<T: Versioned>(value: &T) -> Result<Vec<u8>, StoreError> {
    value.encode().map_err(|error| StoreError::new(StoreErrorKind::Invalid, error.to_string()))
}
