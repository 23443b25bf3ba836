//! A document as Slack's blocks, within their limits.
//!
//! Messages with a colour go into one attachment; Slack shows their `text` above it, so the first lines are not repeated.
//! Messages without one are blocks at the top level, and `text` is only what notifications show.

use serde_json::{Value, json};

use super::document::{Button, Document, Does, Line, Span, Table};
use super::escape::{cap, mrkdwn, mrkdwn_bytes, tame};
use super::excerpt::cut_middle;
use super::plain::aligned;
use super::text::line;
use super::voice::Voice;
use crate::surface::Form;

/// Longest text of a section, with room to spare for Slack's own counting.
const MAX_SECTION: usize = 2_900;
/// Most fields of a section.
const MAX_FIELDS: usize = 10;
/// Longest field.
const MAX_FIELD: usize = 1_900;
/// Longest item of a list.
const MAX_ITEM: usize = 500;
/// Longest header.
const MAX_HEADER: usize = 140;
/// What all text outside tables may come to; Slack refuses somewhere above 11,000.
const MAX_BLOCK_TEXT: usize = 7_000;
/// Most rows of a `data_table` besides the header.
const MAX_DATA_ROWS: usize = 200;
/// What the cells of a `data_table` may come to: Slack's 20,000, with room to spare.
const MAX_DATA_TEXT: usize = 19_000;
/// Most rows of a `table` with its header, less one.
const MAX_TABLE_ROWS: usize = 99;
/// What the cells of a `table` may come to: Slack's 10,000, with room to spare.
const MAX_TABLE_TEXT: usize = 9_500;
/// Longest cell.
const MAX_CELL: usize = 200;

/// The blocks, in the given form.
pub(super) fn blocks(document: &Document, form: Form, voice: &Voice) -> Vec<Value> {
    let mut blocks = Blocks { blocks: Vec::new(), budget: MAX_BLOCK_TEXT, voice };
    if document.colour.is_none() {
        blocks.first_lines(document);
    }
    for paragraph in &document.paragraphs {
        blocks.section(&line(paragraph, voice));
    }
    blocks.fields(&document.fields);
    if let Some(quote) = document.quote.as_ref().filter(|_| !document.reason_has_quote) {
        // Line breaks are kept, and counted; what else is in a line is made harmless.
        let quote = cut_middle(quote.trim(), MAX_SECTION - 100, mrkdwn_bytes);
        let quote: Vec<String> = quote.lines().map(mrkdwn).collect();
        blocks.section(&format!("```{}```", quote.join("\n")));
    }
    blocks.list(&document.list);
    if let Some(table) = &document.table {
        blocks.table(table, form);
    }
    let footer = if document.buttons.is_empty() { document.whole_footer() } else { document.footer.clone() };
    if !footer.is_empty() {
        let text = cap(&line(&footer, voice), MAX_FIELD);
        let size = text.len();
        blocks.push(json!({"type":"context","elements":[{"type":"mrkdwn","text":text}]}), size);
    }
    blocks.buttons(&document.buttons);
    blocks.blocks
}

fn list_item(item: &[Span], voice: &Voice) -> String {
    format!("• {}\n", cap(&line(item, voice), MAX_ITEM))
}

/// What an item of a list takes of a message, in bytes.
pub(super) fn item_bytes(item: &[Span], voice: &Voice) -> usize {
    list_item(item, voice).len()
}

/// Text for `plain_text` and table cells: no markup is read there, but entities are.
fn plain_text(text: &str) -> String {
    tame(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "@\u{2060}")
}

struct Blocks<'a> {
    blocks: Vec<Value>,
    /// Bytes that may still be shown outside tables.
    budget: usize,
    voice: &'a Voice,
}

impl Blocks<'_> {
    fn push(&mut self, block: Value, size: usize) {
        // Leaving out beats being refused as a whole; what comes first matters most.
        let size = size + 125;
        if self.blocks.len() < 50 && (size <= self.budget || self.blocks.is_empty()) {
            self.budget = self.budget.saturating_sub(size);
            self.blocks.push(block);
        }
    }

    fn section(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let text = cap(text, MAX_SECTION);
        let size = text.len();
        self.push(json!({"type":"section","text":{"type":"mrkdwn","text":text}}), size);
    }

    fn buttons(&mut self, buttons: &[Button]) {
        if buttons.is_empty() {
            return;
        }
        let button = |button: &Button| {
            let text = json!({"type":"plain_text","text":button.label});
            let mut element = json!({"type":"button","action_id":button.id,"text":text});
            match &button.does {
                Does::Send(value) => element["value"] = json!(value),
                Does::Open(url) => element["url"] = json!(url),
            }
            element
        };
        let elements: Vec<Value> = buttons.iter().map(button).collect();
        // Buttons are no text of the message.
        self.push(json!({"type":"actions","block_id":"ronda","elements":elements}), 0);
    }

    /// What is above the bar where there is one.
    fn first_lines(&mut self, document: &Document) {
        let has_block = document.quote.is_some() && !document.reason_has_quote;
        let reason = document.reason.iter().filter(|_| !has_block);
        let mut lines = vec![&document.headline];
        if document.table.is_some() {
            lines.clear();
            let text = cap(&plain_text(&super::plain::line(&document.headline, self.voice)), MAX_HEADER);
            let size = text.len();
            self.push(json!({"type":"header","text":{"type":"plain_text","text":text}}), size);
        }
        lines.extend(document.lead.iter().chain(reason));
        let lines: Vec<String> = lines.into_iter().map(|of| line(of, self.voice)).collect();
        self.section(&lines.join("\n"));
    }

    fn fields(&mut self, fields: &[(&'static str, Line)]) {
        let told = |(label, value): &(&str, Line)| cap(&format!("*{label}*\n{}", line(value, self.voice)), MAX_FIELD);
        let fields: Vec<String> = fields.iter().map(told).collect();
        for chunk in fields.chunks(MAX_FIELDS) {
            let size = chunk.iter().map(String::len).sum();
            let fields: Vec<Value> = chunk.iter().map(|text| json!({"type":"mrkdwn","text":text})).collect();
            self.push(json!({"type":"section","fields":fields}), size);
        }
    }

    /// Items in as few sections as they fit in; those beyond the budget are counted.
    fn list(&mut self, items: &[Line]) {
        let mut text = String::new();
        let mut left = items.len();
        let mut room = self.budget.saturating_sub(500);
        for item in items {
            let item = list_item(item, self.voice);
            if item.len() > room {
                break;
            }
            if text.len() + item.len() > MAX_SECTION {
                self.section(text.trim_end());
                text.clear();
                room = room.saturating_sub(125);
            }
            room = room.saturating_sub(item.len());
            text.push_str(&item);
            left -= 1;
        }
        self.section(text.trim_end());
        self.hidden(left);
    }

    fn table(&mut self, table: &Table, form: Form) {
        if table.rows.is_empty() {
            return;
        }
        let (block, shown) = match form {
            Form::DataTable => {
                let rows = rows(table, MAX_DATA_ROWS, MAX_DATA_TEXT);
                let shown = rows.len() - 1;
                let caption = plain_text(&table.caption);
                (json!({"type":"data_table","caption":caption,"page_size":20,"rows":rows}), shown)
            }
            Form::Table => {
                let rows = rows(table, MAX_TABLE_ROWS, MAX_TABLE_TEXT);
                let shown = rows.len() - 1;
                (json!({"type":"table","rows":rows}), shown)
            }
            Form::Code | Form::Text => {
                self.code_table(table);
                return;
            }
        };
        self.blocks.push(block);
        self.hidden(table.hidden + table.rows.len() - shown);
    }

    /// Whole lines in as few code blocks as they fit in.
    fn code_table(&mut self, table: &Table) {
        let lines: Vec<String> = aligned(table, MAX_DATA_ROWS).iter().map(|line| mrkdwn(line)).collect();
        let mut text = String::new();
        let mut shown: usize = 0;
        let mut room = self.budget.saturating_sub(600);
        for line in &lines {
            if text.len() + line.len() > MAX_SECTION - 10 {
                self.code(&text);
                text.clear();
                room = room.saturating_sub(131);
            }
            match room.checked_sub(line.len() + 1) {
                Some(rest) => room = rest,
                None => break,
            }
            text.push_str(line);
            text.push('\n');
            shown += 1;
        }
        self.code(&text);
        self.hidden(table.hidden + table.rows.len() - shown.saturating_sub(1));
    }

    fn code(&mut self, text: &str) {
        if !text.is_empty() {
            self.section(&format!("```{}```", text.trim_end()));
        }
    }

    fn hidden(&mut self, hidden: usize) {
        if hidden > 0 {
            let more = self.voice.words().more(u64::try_from(hidden).unwrap_or(u64::MAX));
            self.section(&more);
        }
    }
}

/// The header and as many rows as fit.
fn rows(table: &Table, most: usize, budget: usize) -> Vec<Value> {
    let cell = |text: &str| {
        let text = cap(&plain_text(text), MAX_CELL);
        // An empty cell is refused.
        let text = if text.trim().is_empty() { "–".to_owned() } else { text };
        let size = text.chars().count();
        (json!({"type":"raw_text","text":text}), size)
    };
    let header: Vec<Value> = table.why_first(&table.header).into_iter().map(|text| cell(text).0).collect();
    let mut rows = vec![Value::Array(header)];
    let mut used = table.header.iter().map(String::len).sum::<usize>();
    for row in table.rows.iter().take(most) {
        let cells: Vec<(Value, usize)> = table.why_first(row).into_iter().map(cell).collect();
        used += cells.iter().map(|(_, size)| size).sum::<usize>();
        if used > budget {
            break;
        }
        rows.push(cells.into_iter().map(|(cell, _)| cell).collect());
    }
    rows
}
