//! One block: its shape and its limits.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Refusal, table};

/// The most blocks in a message. <https://docs.slack.dev/reference/block-kit/blocks>
const BLOCKS: usize = 50;
/// <https://docs.slack.dev/reference/block-kit/blocks>, `block_id`
const BLOCK_ID: usize = 255;
/// <https://docs.slack.dev/reference/block-kit/blocks/section-block>
const SECTION_TEXT: usize = 3_000;
const SECTION_FIELDS: usize = 10;
const SECTION_FIELD: usize = 2_000;
/// <https://docs.slack.dev/reference/block-kit/blocks/header-block>
const HEADER_TEXT: usize = 150;
/// <https://docs.slack.dev/reference/block-kit/blocks/context-block>
const CONTEXT_ELEMENTS: usize = 10;
/// <https://docs.slack.dev/reference/block-kit/composition-objects/text-object>
const TEXT_OBJECT: usize = 3_000;
/// <https://docs.slack.dev/reference/block-kit/blocks/actions-block>
const ACTIONS_ELEMENTS: usize = 25;
/// <https://docs.slack.dev/reference/block-kit/block-elements/button-element>
const BUTTON_TEXT: usize = 75;
const BUTTON_VALUE: usize = 2_000;
const BUTTON_URL: usize = 3_000;
const ACTION_ID: usize = 255;
/// <https://docs.slack.dev/reference/block-kit/blocks/markdown-block>, over all of a payload
const MARKDOWN: usize = 12_000;

/// What is wrong, and with which part of the block.
pub(super) type Wrong = (String, String);

pub(super) fn wrong(pointer: impl Into<String>, why: impl Into<String>) -> Wrong {
    (pointer.into(), why.into())
}

/// A list of blocks; `at` is where it stands in the payload.
pub(super) fn check_all(blocks: &[Value], at: &str, code: &'static str) -> Result<(), Refusal> {
    let refuse =
        |(pointer, why): Wrong| Refusal::new(code, format!("[ERROR] {why} [json-pointer:{at}/blocks{pointer}]"));
    if blocks.len() > BLOCKS {
        return Err(refuse(wrong("", format!("no more than {BLOCKS} items allowed"))));
    }
    let mut ids = BTreeSet::new();
    let mut actions = BTreeSet::new();
    let mut markdown = 0;
    for (n, block) in blocks.iter().enumerate() {
        check(block).map_err(|(pointer, why)| refuse(wrong(format!("/{n}{pointer}"), why)))?;
        if block["type"] == "markdown" {
            markdown += chars(&block["text"]);
        }
        if block["block_id"].as_str().is_some_and(|id| !ids.insert(id)) {
            return Err(refuse(wrong(format!("/{n}/block_id"), "block_id already exists")));
        }
        for element in block["elements"].as_array().into_iter().flatten() {
            let Some(id) = element["action_id"].as_str() else { continue };
            if block["type"] == "actions" && !actions.insert((n, id)) {
                return Err(refuse(wrong(format!("/{n}/elements"), format!("action_id {id:?} already exists"))));
            }
        }
    }
    if markdown > MARKDOWN {
        return Err(refuse(wrong("", format!("markdown blocks of {markdown} characters, over {MARKDOWN}"))));
    }
    Ok(())
}

fn check(block: &Value) -> Result<(), Wrong> {
    if !block.is_object() {
        return Err(wrong("", "must be an object"));
    }
    if !block["block_id"].is_null() {
        within(&block["block_id"], "/block_id", BLOCK_ID)?;
    }
    match block["type"].as_str().unwrap_or_default() {
        "header" => plain_text(&block["text"], "/text", HEADER_TEXT),
        "section" => section(block),
        "context" => context(block),
        "actions" => actions(block),
        "divider" => Ok(()),
        "markdown" => within(&block["text"], "/text", MARKDOWN),
        "table" => table::check(block),
        "data_table" => table::check_data(block),
        other => Err(wrong("/type", format!("unsupported type: {other}"))),
    }
}

fn chars(text: &Value) -> usize {
    text.as_str().map_or(0, |text| text.chars().count())
}

pub(super) fn within(text: &Value, pointer: &str, most: usize) -> Result<(), Wrong> {
    match text.as_str().map(|text| text.chars().count()) {
        None => Err(wrong(pointer, "must be a string")),
        Some(0) => Err(wrong(pointer, "must be more than 0 characters")),
        Some(length) if length > most => Err(wrong(pointer, format!("must be less than {} characters", most + 1))),
        Some(_) => Ok(()),
    }
}

fn text_object(object: &Value, pointer: &str, most: usize) -> Result<(), Wrong> {
    match object["type"].as_str() {
        Some("plain_text") if !object["verbatim"].is_null() => Err(wrong(pointer, "plain_text knows no verbatim")),
        Some("mrkdwn") if !object["emoji"].is_null() => Err(wrong(pointer, "mrkdwn knows no emoji")),
        Some("plain_text" | "mrkdwn") => within(&object["text"], &format!("{pointer}/text"), most),
        _ => Err(wrong(format!("{pointer}/type"), "must be a text object")),
    }
}

fn plain_text(object: &Value, pointer: &str, most: usize) -> Result<(), Wrong> {
    if object["type"] != "plain_text" {
        return Err(wrong(format!("{pointer}/type"), "must be plain_text"));
    }
    text_object(object, pointer, most)
}

fn section(block: &Value) -> Result<(), Wrong> {
    if block["text"].is_null() && block["fields"].is_null() {
        return Err(wrong("", "missing required field: text or fields"));
    }
    if !block["text"].is_null() {
        text_object(&block["text"], "/text", SECTION_TEXT)?;
    }
    if !block["fields"].is_null() {
        let fields = counted(&block["fields"], "/fields", SECTION_FIELDS)?;
        for (n, field) in fields.iter().enumerate() {
            text_object(field, &format!("/fields/{n}"), SECTION_FIELD)?;
        }
    }
    match &block["accessory"] {
        Value::Null => Ok(()),
        accessory => button(accessory, "/accessory"),
    }
}

pub(super) fn counted<'a>(list: &'a Value, pointer: &str, most: usize) -> Result<&'a [Value], Wrong> {
    let list = list.as_array().ok_or_else(|| wrong(pointer, "must be an array"))?;
    match list.len() {
        0 => Err(wrong(pointer, "no fewer than 1 items allowed")),
        length if length > most => Err(wrong(pointer, format!("no more than {most} items allowed"))),
        _ => Ok(list),
    }
}

fn context(block: &Value) -> Result<(), Wrong> {
    let elements = counted(&block["elements"], "/elements", CONTEXT_ELEMENTS)?;
    for (n, element) in elements.iter().enumerate() {
        let pointer = format!("/elements/{n}");
        if element["type"] == "image" {
            within(&element["alt_text"], &format!("{pointer}/alt_text"), 2_000)?;
            within(&element["image_url"], &format!("{pointer}/image_url"), 3_000)?;
        } else {
            text_object(element, &pointer, TEXT_OBJECT)?;
        }
    }
    Ok(())
}

fn actions(block: &Value) -> Result<(), Wrong> {
    let elements = counted(&block["elements"], "/elements", ACTIONS_ELEMENTS)?;
    elements.iter().enumerate().try_for_each(|(n, element)| button(element, &format!("/elements/{n}")))
}

/// The only interactive element that the stand-in knows; others are refused, so that nobody leans on them untested.
fn button(element: &Value, pointer: &str) -> Result<(), Wrong> {
    if element["type"] != "button" {
        return Err(wrong(format!("{pointer}/type"), "the stand-in knows buttons only"));
    }
    plain_text(&element["text"], &format!("{pointer}/text"), BUTTON_TEXT)?;
    for (key, most) in [("value", BUTTON_VALUE), ("action_id", ACTION_ID), ("url", BUTTON_URL)] {
        if !element[key].is_null() {
            within(&element[key], &format!("{pointer}/{key}"), most)?;
        }
    }
    if !element["style"].is_null() && element["style"] != "primary" && element["style"] != "danger" {
        return Err(wrong(format!("{pointer}/style"), "must be primary or danger"));
    }
    Ok(())
}
