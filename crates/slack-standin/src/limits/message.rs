//! A message as a whole: text, totals, attachments, metadata.

use serde_json::Value;

use super::text::{UPDATE_TEXT_BYTES, escaped_chars};
use super::{Purpose, Refusal, block, table};
use crate::state::Message;

/// Text outside tables, with [`BLOCK_COST`] a block, from which on `msg_blocks_too_long` comes: bolt-js#2509 measured 13,297 characters
/// in one markdown block, and 125 fewer beside a divider.
const BLOCK_TEXT: usize = 13_422;
const BLOCK_COST: usize = 125;
/// <https://docs.slack.dev/reference/methods/chat.postMessage>, `too_many_attachments`
const ATTACHMENTS: usize = 100;
/// (j) Slack documents `metadata_too_large` and no figure; this is well above what Ronda writes.
const METADATA_BYTES: usize = 8_000;
/// What may stand beside blocks in an attachment. <https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments>
const BESIDE_BLOCKS: [&str; 3] = ["blocks", "color", "fallback"];

pub(super) fn check(message: &Message, purpose: Purpose) -> Result<(), Refusal> {
    if message.text.is_empty() && message.blocks.is_empty() && message.attachments.is_empty() {
        return Err(Refusal::new("no_text", "neither text nor blocks nor attachments"));
    }
    if purpose == Purpose::Update && message.text.len() > UPDATE_TEXT_BYTES {
        return Err(Refusal::new("msg_too_long", format!("a text of {} bytes", message.text.len())));
    }
    block::check_all(&message.blocks, "", "invalid_blocks")?;
    check_attachments(&message.attachments)?;
    check_totals(&message.blocks, &message.attachments)?;
    message.metadata.as_ref().map_or(Ok(()), check_metadata)
}

/// (j) Blocks of attachments are told as `invalid_attachments`.
fn check_attachments(attachments: &[Value]) -> Result<(), Refusal> {
    if attachments.len() > ATTACHMENTS {
        return Err(Refusal::new("too_many_attachments", format!("{} attachments", attachments.len())));
    }
    for (n, attachment) in attachments.iter().enumerate() {
        let refuse =
            |why: &str| Refusal::new("invalid_attachments", format!("[ERROR] {why} [json-pointer:/attachments/{n}]"));
        let Some(parts) = attachment.as_object() else {
            return Err(refuse("must be an object"));
        };
        let Some(blocks) = attachment["blocks"].as_array() else {
            if !["text", "fallback", "title", "fields", "image_url"].iter().any(|key| parts.contains_key(*key)) {
                return Err(Refusal::new("no_text", format!("attachment {n} shows nothing")));
            }
            continue;
        };
        if let Some(legacy) = parts.keys().find(|key| !BESIDE_BLOCKS.contains(&key.as_str())) {
            return Err(refuse(&format!("blocks can't be mixed with {legacy}")));
        }
        block::check_all(blocks, &format!("/attachments/{n}"), "invalid_attachments")?;
    }
    Ok(())
}

/// What holds over all blocks, those of attachments among them.
pub(super) fn check_totals(blocks: &[Value], attachments: &[Value]) -> Result<(), Refusal> {
    let nested = attachments.iter().filter_map(|attachment| attachment["blocks"].as_array()).flatten();
    let (tables, others): (Vec<&Value>, Vec<&Value>) =
        blocks.iter().chain(nested).partition(|block| matches!(block["type"].as_str(), Some("table" | "data_table")));
    let simple: Vec<&&Value> = tables.iter().filter(|table| table["type"] == "table").collect();
    if simple.len() > 1 {
        return Err(Refusal::new("invalid_attachments", "only_one_table_allowed"));
    }
    let of = |count: usize| Refusal::new("invalid_blocks", format!("tables of {count} characters"));
    let in_simple: usize = simple.iter().map(|table| table::cell_chars(table)).sum();
    if in_simple > table::TABLE_CHARS {
        return Err(of(in_simple));
    }
    let in_tables: usize = tables.iter().map(|table| table::cell_chars(table)).sum();
    if in_tables > table::DATA_CHARS {
        return Err(of(in_tables));
    }
    let total: usize = others.iter().map(|block| escaped_size(block) + BLOCK_COST).sum();
    if total > BLOCK_TEXT {
        return Err(Refusal::new("msg_blocks_too_long", format!("blocks that count as {total}, over {BLOCK_TEXT}")));
    }
    Ok(())
}

/// All text of a block, as Slack keeps it.
fn escaped_size(value: &Value) -> usize {
    match value {
        Value::Object(map) => {
            let plain = map.get("type").is_some_and(|kind| kind == "plain_text");
            map.iter()
                .map(|(key, value)| match value {
                    Value::String(text) if key == "text" => escaped_chars(text, plain),
                    other => escaped_size(other),
                })
                .sum()
        }
        Value::Array(items) => items.iter().map(escaped_size).sum(),
        _ => 0,
    }
}

/// <https://docs.slack.dev/messaging/message-metadata>
fn check_metadata(metadata: &Value) -> Result<(), Refusal> {
    let named = metadata["event_type"].as_str().is_some_and(|name| !name.is_empty());
    if !named {
        return Err(Refusal::new("invalid_metadata_format", "metadata without event_type"));
    }
    if !metadata["event_payload"].is_object() {
        return Err(Refusal::new("invalid_metadata_schema", "event_payload must be an object"));
    }
    let size = metadata.to_string().len();
    if size > METADATA_BYTES {
        return Err(Refusal::new("metadata_too_large", format!("{size} bytes")));
    }
    Ok(())
}
