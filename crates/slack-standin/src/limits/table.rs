//! Tables, simple and paged.

use serde_json::Value;

use super::block::{Wrong, counted, within, wrong};

/// <https://docs.slack.dev/reference/block-kit/blocks/table-block>
const TABLE_ROWS: usize = 100;
const COLUMNS: usize = 20;
/// What all cells of a message's table may come to.
pub(super) const TABLE_CHARS: usize = 10_000;
/// <https://docs.slack.dev/reference/block-kit/blocks/data-table-block>: a header and 200 rows
const DATA_ROWS: usize = 201;
const DATA_ROWS_LEAST: usize = 2;
/// What the cells of all tables of a message may come to.
pub(super) const DATA_CHARS: usize = 20_000;
const CAPTION: usize = 3_000;

pub(super) fn check(block: &Value) -> Result<(), Wrong> {
    let rows = counted(&block["rows"], "/rows", TABLE_ROWS)?;
    let settings = block["column_settings"].as_array().map_or(&[][..], Vec::as_slice);
    if settings.len() > COLUMNS {
        return Err(wrong("/column_settings", format!("no more than {COLUMNS} items allowed")));
    }
    for (n, column) in settings.iter().enumerate() {
        if !matches!(column["align"].as_str(), None | Some("left" | "center" | "right")) {
            return Err(wrong(format!("/column_settings/{n}/align"), "must be left, center or right"));
        }
    }
    check_rows(rows, |cell, _| match cell["type"].as_str() {
        Some("raw_text") => has_text(cell),
        Some("rich_text") => cell["elements"].is_array(),
        _ => false,
    })
}

pub(super) fn check_data(block: &Value) -> Result<(), Wrong> {
    within(&block["caption"], "/caption", CAPTION)?;
    if !block["page_size"].is_null() && !block["page_size"].as_u64().is_some_and(|size| (1..=100).contains(&size)) {
        return Err(wrong("/page_size", "must be from 1 to 100"));
    }
    let rows = counted(&block["rows"], "/rows", DATA_ROWS)?;
    if rows.len() < DATA_ROWS_LEAST {
        return Err(wrong("/rows", format!("no fewer than {DATA_ROWS_LEAST} items allowed")));
    }
    check_rows(rows, |cell, row| match cell["type"].as_str() {
        Some("raw_text") => has_text(cell),
        Some("raw_number") => cell["value"].is_number() && has_text(cell),
        Some("rich_text") => row > 0 && cell["elements"].is_array(),
        _ => false,
    })
}

fn has_text(cell: &Value) -> bool {
    cell["text"].as_str().is_some_and(|text| !text.is_empty())
}

fn check_rows(rows: &[Value], is_cell: impl Fn(&Value, usize) -> bool) -> Result<(), Wrong> {
    let width = rows.first().and_then(Value::as_array).map_or(0, Vec::len);
    for (r, row) in rows.iter().enumerate() {
        let pointer = format!("/rows/{r}");
        let cells = counted(row, &pointer, COLUMNS)?;
        if cells.len() != width {
            return Err(wrong(pointer, format!("{} cells, where the first row has {width}", cells.len())));
        }
        if let Some(c) = cells.iter().position(|cell| !is_cell(cell, r)) {
            return Err(wrong(format!("{pointer}/{c}"), "no cell that this table takes, or an empty one"));
        }
    }
    Ok(())
}

/// What a table's cells come to.
pub(super) fn cell_chars(block: &Value) -> usize {
    fn texts(value: &Value) -> usize {
        match value {
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| match value {
                    Value::String(text) if key == "text" => text.chars().count(),
                    other => texts(other),
                })
                .sum(),
            Value::Array(items) => items.iter().map(texts).sum(),
            _ => 0,
        }
    }
    texts(&block["rows"])
}
