//! A document as Slack's blocks, within their limits.
//!
//! Messages with a colour go into one attachment; Slack shows their `text` above it, so the headline is not repeated.
//! Messages without one are blocks at the top level, and `text` is only what notifications show.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::document::{Document, Span, Table};
use super::escape::{bold, cap, mrkdwn, url};
use super::plain::aligned;
use super::time::{is_whole_minute, local};
use crate::surface::Form;

/// `chat.postMessage` splits longer texts and `chat.update` refuses them; in bytes, as some installs count them.
const MAX_TEXT_BYTES: usize = 3_000;
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

/// The text that stands for the message where blocks can't be shown.
pub(crate) fn fallback(document: &Document, zone: &TimeZone) -> String {
    let mut text = line(&document.headline, zone);
    // With a bar the text is visible above it, so it stays one line; otherwise it has to stand for everything.
    if document.colour.is_none() {
        for paragraph in document.paragraphs.iter().chain(&document.list) {
            text.push('\n');
            text.push_str(&line(paragraph, zone));
        }
    }
    cap(&text, MAX_TEXT_BYTES)
}

/// The whole message as text, where no blocks can be shown; the end of what is too long is left out.
pub(crate) fn whole(document: &Document, zone: &TimeZone) -> String {
    let mut lines = vec![line(&document.headline, zone)];
    lines.extend(document.paragraphs.iter().map(|paragraph| line(paragraph, zone)));
    lines.extend(document.fields.iter().map(|(label, value)| format!("*{label}*: {}", line(value, zone))));
    lines
        .extend(document.quote.iter().flat_map(|quote| quote.lines()).map(|quoted| format!("&gt; {}", mrkdwn(quoted))));
    lines.extend(document.list.iter().map(|item| format!("• {}", line(item, zone))));
    if !document.footer.is_empty() {
        lines.push(line(&document.footer, zone));
    }
    if let Some(table) = &document.table {
        lines.extend(aligned(table, MAX_DATA_ROWS).iter().map(|row| mrkdwn(row)));
    }
    cap(&lines.join("\n"), MAX_TEXT_BYTES)
}

/// The blocks, in the given form.
pub(crate) fn blocks(document: &Document, form: Form, zone: &TimeZone) -> Vec<Value> {
    let mut blocks = Blocks { blocks: Vec::new(), budget: MAX_BLOCK_TEXT };
    if document.colour.is_none() {
        if document.table.is_some() {
            let header = cap(&super::plain::line(&document.headline, zone), MAX_HEADER);
            blocks.push(json!({"type":"header","text":{"type":"plain_text","text":plain_text(&header)}}), header.len());
        } else {
            blocks.section(&line(&document.headline, zone));
        }
    }
    for paragraph in &document.paragraphs {
        blocks.section(&line(paragraph, zone));
    }
    let fields: Vec<String> = document
        .fields
        .iter()
        .map(|(label, value)| cap(&format!("*{label}*\n{}", line(value, zone)), MAX_FIELD))
        .collect();
    for chunk in fields.chunks(MAX_FIELDS) {
        let size = chunk.iter().map(String::len).sum();
        let fields: Vec<Value> = chunk.iter().map(|text| json!({"type":"mrkdwn","text":text})).collect();
        blocks.push(json!({"type":"section","fields":fields}), size);
    }
    if let Some(quote) = &document.quote {
        let quote: Vec<String> = quote.lines().map(mrkdwn).collect();
        blocks.section(&format!("```{}```", cap(&quote.join("\n"), MAX_SECTION - 100)));
    }
    blocks.list(&document.list, zone);
    if let Some(table) = &document.table {
        blocks.table(table, form);
    }
    if !document.footer.is_empty() {
        let text = cap(&line(&document.footer, zone), MAX_FIELD);
        let size = text.len();
        blocks.push(json!({"type":"context","elements":[{"type":"mrkdwn","text":text}]}), size);
    }
    blocks.blocks
}

/// Spans as `mrkdwn`.
pub(crate) fn line(spans: &[Span], zone: &TimeZone) -> String {
    let piece = |span: &Span| match span {
        Span::Text(text) => mrkdwn(text),
        Span::Bold(text) => format!("*{}*", bold(text)),
        Span::Code(text) => format!("`{}`", mrkdwn(text)),
        Span::Time(at) => {
            let fallback = local(*at, zone);
            let time = if is_whole_minute(*at) { "{time}" } else { "{time_secs}" };
            format!("<!date^{}^{{date_short_pretty}} {time}|{fallback}>", at.as_millis().div_euclid(1_000))
        }
        Span::Link { label, url: target } => match url(target) {
            Some(target) => format!("<{target}|{label}>"),
            None => mrkdwn(target),
        },
    };
    spans.iter().map(piece).collect()
}

fn list_item(item: &[Span], zone: &TimeZone) -> String {
    format!("• {}\n", cap(&line(item, zone), MAX_ITEM))
}

/// What an item of a list takes of a message, in bytes.
pub(crate) fn item_bytes(item: &[Span]) -> usize {
    list_item(item, &TimeZone::UTC).len()
}

/// Text for `plain_text` and table cells: no markup is read there, but entities are.
fn plain_text(text: &str) -> String {
    super::escape::tame(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('@', "@\u{2060}")
}

struct Blocks {
    blocks: Vec<Value>,
    /// Characters that may still be shown outside tables.
    budget: usize,
}

impl Blocks {
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

    /// Items in as few sections as they fit in; those beyond the budget are counted.
    fn list(&mut self, items: &[Vec<Span>], zone: &TimeZone) {
        let mut text = String::new();
        let mut left = items.len();
        let mut room = self.budget.saturating_sub(500);
        for item in items {
            let item = list_item(item, zone);
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
        if left > 0 {
            self.section(&format!("… and {left} more"));
        }
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

    fn code_table(&mut self, table: &Table) {
        let lines: Vec<String> = aligned(table, MAX_DATA_ROWS).iter().map(|line| mrkdwn(line)).collect();
        let mut shown = 0;
        let mut text = String::new();
        let room = self.budget.saturating_sub(600).min(MAX_SECTION);
        for line in &lines {
            if text.len() + line.len() + 1 > room {
                break;
            }
            text.push_str(line);
            text.push('\n');
            shown += 1;
        }
        self.section(&format!("```{}```", text.trim_end()));
        self.hidden(table.hidden + table.rows.len() - usize::min(shown, lines.len()).saturating_sub(1));
    }

    fn hidden(&mut self, hidden: usize) {
        if hidden > 0 {
            self.section(&format!("… and {hidden} more"));
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
    let header: Vec<Value> = table.header.iter().map(|text| cell(text).0).collect();
    let mut rows = vec![Value::Array(header)];
    let mut used = table.header.iter().map(|text| text.len()).sum::<usize>();
    for row in table.rows.iter().take(most) {
        let cells: Vec<(Value, usize)> = row.iter().map(|text| cell(text)).collect();
        used += cells.iter().map(|(_, size)| size).sum::<usize>();
        if used > budget {
            break;
        }
        rows.push(cells.into_iter().map(|(cell, _)| cell).collect());
    }
    rows
}
