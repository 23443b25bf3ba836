//! A document as plain text, for terminals.

use super::document::{Document, Span, Table};
use super::escape::{is_blank, tame};
use super::time::local;
use super::voice::Voice;

/// Most rows of a table on a terminal.
const MAX_ROWS: usize = 200;
/// Widest column, in characters.
const MAX_WIDTH: usize = 40;

/// The whole document, without markup; ends without a line break.
pub(super) fn text(document: &Document, voice: &Voice) -> String {
    let mut lines = vec![line(&document.headline, voice)];
    let quote = document.quote.as_ref();
    // A terminal has room for the words themselves.
    let reason = document.reason.iter().filter(|_| quote.is_none());
    lines.extend(document.lead.iter().chain(reason).map(|lead| format!("  {}", line(lead, voice))));
    lines.extend(document.paragraphs.iter().map(|paragraph| line(paragraph, voice)));
    let width = document.fields.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
    lines.extend(document.fields.iter().map(|(label, value)| format!("  {label:<width$}  {}", line(value, voice))));
    lines.extend(quote.iter().flat_map(|quote| quote.lines()).map(|quoted| format!("  > {}", tame(quoted))));
    lines.extend(document.list.iter().map(|item| format!("  - {}", line(item, voice))));
    if let Some(table) = &document.table {
        table_lines(table, voice, &mut lines);
    }
    let footer = document.whole_footer();
    if !footer.is_empty() {
        lines.push(line(&footer, voice));
    }
    lines.join("\n")
}

/// Spans on one line.
pub(super) fn line(spans: &[Span], voice: &Voice) -> String {
    let piece = |span: &Span| match span {
        Span::Text(text) => tame(text),
        Span::Bold(text) | Span::Code(text) if is_blank(text) => "–".to_owned(),
        Span::Bold(text) | Span::Code(text) => tame(text),
        Span::Time(at) => local(*at, voice),
        Span::Link { label, url } => format!("{label}: {}", tame(url)),
    };
    spans.iter().map(piece).collect()
}

fn table_lines(table: &Table, voice: &Voice, lines: &mut Vec<String>) {
    lines.extend(aligned(table, MAX_ROWS));
    let hidden = table.hidden + table.rows.len().saturating_sub(MAX_ROWS);
    if hidden > 0 {
        lines.push(voice.words().more(u64::try_from(hidden).unwrap_or(u64::MAX)));
    }
}

/// The header and the first rows, in columns.
pub(super) fn aligned(table: &Table, rows: usize) -> Vec<String> {
    let rows: Vec<Vec<String>> = std::iter::once(&table.header)
        .chain(table.rows.iter().take(rows))
        .map(|row| row.iter().map(|cell| tame(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0).min(MAX_WIDTH)
    };
    let widths: Vec<usize> = (0..table.header.len()).map(width).collect();
    let format_row = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(format_row).collect()
}
