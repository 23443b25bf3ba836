//! What Slack would refuse in a payload: the limits of its reference that Ronda's messages could run into.

use serde_json::Value;

use crate::state::Message;

/// The most blocks in a message.
const MAX_BLOCKS: usize = 50;
/// `chat.update` refuses longer texts; `chat.postMessage` splits them, which nobody wants either.
const MAX_TEXT_BYTES: usize = 4_000;
/// What all text outside tables may come to before `msg_blocks_too_long`.
const MAX_BLOCK_TEXT: usize = 13_000;
/// What all cells of all tables of a message may come to.
const MAX_TABLE_TEXT: usize = 20_000;

/// Which of Slack's error codes a message would get, with what is wrong for the log.
pub(crate) fn refusal(message: &Message) -> Option<(&'static str, String)> {
    if message.text.is_empty() && message.blocks.is_empty() && message.attachments.is_empty() {
        return Some(("no_text", "neither text nor blocks nor attachments".to_owned()));
    }
    if message.text.len() > MAX_TEXT_BYTES {
        return Some(("msg_too_long", format!("text of {} bytes", message.text.len())));
    }
    let nested = message.attachments.iter().filter_map(|attachment| attachment["blocks"].as_array()).flatten();
    let blocks: Vec<&Value> = message.blocks.iter().chain(nested).collect();
    if blocks.len() > MAX_BLOCKS {
        return Some(("invalid_blocks", format!("{} blocks", blocks.len())));
    }
    for block in &blocks {
        if let Err(why) = check_block(block) {
            return Some(("invalid_blocks", why));
        }
    }
    let tables = |block: &&&Value| matches!(block["type"].as_str(), Some("table" | "data_table"));
    if blocks.iter().filter(|block| block["type"] == "table").count() > 1 {
        return Some(("invalid_blocks", "more than one table".to_owned()));
    }
    let table_text: usize = blocks.iter().filter(tables).map(|block| text_size(block)).sum();
    if table_text > MAX_TABLE_TEXT {
        return Some(("invalid_blocks", format!("tables of {table_text} characters")));
    }
    let other: usize = blocks.iter().filter(|block| !tables(block)).map(|block| text_size(block) + 125).sum();
    (other > MAX_BLOCK_TEXT).then(|| ("msg_blocks_too_long", format!("blocks of {other} characters")))
}

fn text_size(value: &Value) -> usize {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) if key == "text" || key == "caption" => text.chars().count(),
                other => text_size(other),
            })
            .sum(),
        Value::Array(items) => items.iter().map(text_size).sum(),
        _ => 0,
    }
}

fn check_block(block: &Value) -> Result<(), String> {
    if block["block_id"].as_str().is_some_and(|id| id.len() > 255) {
        return Err("block_id over 255".to_owned());
    }
    let kind = block["type"].as_str().ok_or("a block without a type")?;
    match kind {
        "header" => {
            if block["text"]["type"] != "plain_text" {
                return Err("a header's text must be plain_text".to_owned());
            }
            text_within(&block["text"], 150)
        }
        "section" => check_section(block),
        "context" => check_elements(block, 10, 2_000),
        "actions" => check_actions(block),
        "divider" => Ok(()),
        "markdown" => limit(block["text"].as_str(), 12_000),
        "table" => check_rows(block, 100, false),
        "data_table" => check_rows(block, 201, true),
        other => Err(format!("a block of type {other}")),
    }
}

fn limit(text: Option<&str>, most: usize) -> Result<(), String> {
    match text.map(|text| text.chars().count()) {
        None | Some(0) => Err("an empty text".to_owned()),
        Some(length) if length > most => Err(format!("a text of {length}, over {most}")),
        Some(_) => Ok(()),
    }
}

fn text_within(object: &Value, most: usize) -> Result<(), String> {
    if !matches!(object["type"].as_str(), Some("plain_text" | "mrkdwn")) {
        return Err("a text object without a type".to_owned());
    }
    limit(object["text"].as_str(), most)
}

fn check_section(block: &Value) -> Result<(), String> {
    let fields = block["fields"].as_array();
    if block["text"].is_null() && fields.is_none() {
        return Err("a section without text or fields".to_owned());
    }
    if !block["text"].is_null() {
        text_within(&block["text"], 3_000)?;
    }
    let fields = fields.map_or(&[][..], Vec::as_slice);
    if fields.len() > 10 {
        return Err(format!("{} fields", fields.len()));
    }
    fields.iter().try_for_each(|field| text_within(field, 2_000))
}

fn check_elements(block: &Value, most: usize, text: usize) -> Result<(), String> {
    let elements = block["elements"].as_array().ok_or("no elements")?;
    if elements.is_empty() || elements.len() > most {
        return Err(format!("{} elements", elements.len()));
    }
    elements.iter().try_for_each(|element| text_within(element, text))
}

fn check_actions(block: &Value) -> Result<(), String> {
    let elements = block["elements"].as_array().ok_or("no elements")?;
    if elements.is_empty() || elements.len() > 25 {
        return Err(format!("{} elements", elements.len()));
    }
    elements.iter().try_for_each(|element| {
        if element["value"].as_str().is_some_and(|value| value.len() > 2_000) {
            return Err("a button's value over 2,000".to_owned());
        }
        text_within(&element["text"], 75)
    })
}

fn check_rows(block: &Value, most: usize, data_table: bool) -> Result<(), String> {
    let rows = block["rows"].as_array().ok_or("a table without rows")?;
    if rows.is_empty() || rows.len() > most {
        return Err(format!("a table of {} rows", rows.len()));
    }
    if data_table {
        limit(block["caption"].as_str(), 3_000)?;
        if block["page_size"].as_u64().is_some_and(|size| !(1..=100).contains(&size)) {
            return Err("page_size outside 1 to 100".to_owned());
        }
    }
    let width = rows[0].as_array().map_or(0, Vec::len);
    if width == 0 || width > 20 {
        return Err(format!("a table of {width} columns"));
    }
    for row in rows {
        let cells = row.as_array().ok_or("a row that is no array")?;
        if cells.len() != width {
            return Err("rows of different lengths".to_owned());
        }
        if let Some(bad) = cells.iter().find(|cell| !is_cell(cell, data_table)) {
            return Err(format!("a cell that is none: {bad}"));
        }
    }
    Ok(())
}

fn is_cell(cell: &Value, numbers: bool) -> bool {
    let text = cell["text"].as_str().is_some_and(|text| !text.is_empty());
    match cell["type"].as_str() {
        Some("raw_text") => text,
        Some("raw_number") => numbers && cell["value"].is_number() && text,
        Some("rich_text") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_block(block: Value) -> Message {
        Message { text: "t".to_owned(), blocks: vec![block], ..Message::default() }
    }

    #[test]
    fn ordinary_blocks_pass() {
        let row = json!([{"type":"raw_text","text":"Job"},{"type":"raw_number","value":1,"text":"1"}]);
        for block in [
            json!({"type":"header","text":{"type":"plain_text","text":"x"}}),
            json!({"type":"section","text":{"type":"mrkdwn","text":"x"}}),
            json!({"type":"data_table","caption":"c","rows":[row]}),
        ] {
            assert_eq!(refusal(&with_block(block)), None);
        }
    }

    #[test]
    fn what_slack_refuses_is_refused() {
        let long = "x".repeat(3_001);
        for block in [
            json!({"type":"section","text":{"type":"mrkdwn","text":long}}),
            json!({"type":"section"}),
            json!({"type":"data_table","rows":[[{"type":"raw_text","text":"a"}]]}),
            json!({"type":"data_table","caption":"c","rows":[[{"type":"raw_text","text":""}]]}),
            json!({"type":"nonsense"}),
        ] {
            assert!(refusal(&with_block(block.clone())).is_some(), "{block} passed");
        }
    }
}
