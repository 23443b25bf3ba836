//! A document as plain text, for terminals.

use jiff::tz::TimeZone;

use super::document::{Document, Span, Table};
use super::escape::tame;
use super::time::local;

/// Most rows of a table on a terminal.
const MAX_ROWS: usize = 200;

/// The whole document, without markup; ends without a line break.
pub(crate) fn text(document: &Document, zone: &TimeZone) -> String {
    let mut lines = vec![line(&document.headline, zone)];
    lines.extend(document.paragraphs.iter().map(|paragraph| line(paragraph, zone)));
    let width = document.fields.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    lines.extend(document.fields.iter().map(|(label, value)| format!("  {label:<width$}  {}", line(value, zone))));
    lines.extend(document.quote.iter().flat_map(|quote| quote.lines()).map(|quoted| format!("  > {}", tame(quoted))));
    lines.extend(document.list.iter().map(|item| format!("  - {}", line(item, zone))));
    if let Some(table) = &document.table {
        table_lines(table, &mut lines);
    }
    if !document.footer.is_empty() {
        lines.push(line(&document.footer, zone));
    }
    lines.join("\n")
}

/// Spans on one line.
pub(crate) fn line(spans: &[Span], zone: &TimeZone) -> String {
    let piece = |span: &Span| match span {
        Span::Text(text) | Span::Bold(text) | Span::Code(text) => tame(text),
        Span::Time(at) => local(*at, zone),
        Span::Link { label, url } => format!("{label}: {}", tame(url)),
    };
    spans.iter().map(piece).collect()
}

fn table_lines(table: &Table, lines: &mut Vec<String>) {
    lines.extend(aligned(table, MAX_ROWS));
    let hidden = table.hidden + table.rows.len().saturating_sub(MAX_ROWS);
    if hidden > 0 {
        lines.push(format!("… and {hidden} more"));
    }
}

/// The header and the first rows, in columns.
pub(crate) fn aligned(table: &Table, rows: usize) -> Vec<String> {
    let header: Vec<String> = table.header.iter().map(|&cell| cell.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(header)
        .chain(table.rows.iter().take(rows).map(|row| row.iter().map(|cell| tame(cell)).collect()))
        .collect();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0).min(40)
    };
    let widths: Vec<usize> = (0..table.header.len()).map(width).collect();
    let format_row = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(format_row).collect()
}
