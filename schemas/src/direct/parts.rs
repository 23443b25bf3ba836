//! A batch taken apart, to publish some of its commands again and not the others.

use serde::Deserialize as _;
use serde::de::IgnoredAny;

use super::{Headers, MAX_COMMANDS, Written, cloudevents, decoded, written};
use crate::api::event::raw_items;

/// The commands of a batch, each a message of its own, as they are written there; `None` if it is no batch, or can't be read. Text that stands
/// for bytes is decoded: the header that says so is not theirs.
#[must_use]
pub fn parts(message: &[u8], headers: &Headers) -> Option<Vec<Vec<u8>>> {
    if cloudevents::is_binary(headers) {
        return None;
    }
    let decoded = decoded(message, headers).ok()?;
    let message = decoded.as_deref().unwrap_or(message);
    let items = match written(message) {
        Written::JsonArray => raw_items(message, MAX_COMMANDS).ok()?,
        Written::MsgpackArray => msgpack_items(message)?,
        Written::JsonObject | Written::MsgpackMap | Written::Otherwise => return None,
    };
    Some(items.into_iter().map(<[u8]>::to_vec).collect())
}

fn msgpack_items(message: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = message;
    let items = usize::try_from(rmp::decode::read_array_len(&mut rest).ok()?).ok()?;
    if items > MAX_COMMANDS {
        return None;
    }
    (0..items)
        .map(|_| {
            let mut reader = rmp_serde::Deserializer::new(rest);
            IgnoredAny::deserialize(&mut reader).ok()?;
            let after = reader.into_inner();
            let item = rest.get(..rest.len().checked_sub(after.len())?)?;
            rest = after;
            Some(item)
        })
        .collect()
}
