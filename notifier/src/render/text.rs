//! A document as the one text that stands for it: on a locked phone, above the bar, or where no blocks can be shown.

use super::document::{Document, Line, Span};
use super::escape::{bold, cap, code, is_blank, mrkdwn, url};
use super::time::{is_whole_minute, local};
use super::voice::Voice;

/// `chat.postMessage` splits longer texts and `chat.update` refuses them; in bytes, as some installs count them.
const MAX_TEXT_BYTES: usize = 3_000;
/// Most rows of a table.
const MAX_ROWS: usize = 200;

/// The text beside blocks. With a bar it is visible above it, so it is the first lines alone; otherwise only notifications show it, and it
/// has to stand for everything.
pub(super) fn fallback(document: &Document, voice: &Voice) -> String {
    let mut lines = first_lines(document);
    if document.colour.is_none() {
        // After the counts: what comes fourth may be cut off.
        let at = lines.len().min(2);
        lines.splice(at..at, &document.glance);
        lines.extend(document.paragraphs.iter().chain(&document.list));
    }
    let lines: Vec<String> = lines.into_iter().map(|of| line(of, voice)).collect();
    cap(&lines.join("\n"), MAX_TEXT_BYTES)
}

/// The whole message as text, where no blocks can be shown; the end of what is too long is left out.
pub(super) fn whole(document: &Document, voice: &Voice) -> String {
    let mut lines: Vec<String> = first_lines(document).into_iter().map(|of| line(of, voice)).collect();
    lines.extend(document.paragraphs.iter().map(|paragraph| line(paragraph, voice)));
    lines.extend(document.fields.iter().map(|(label, value)| format!("*{label}*: {}", line(value, voice))));
    if !document.reason_has_quote {
        let quote = document.quote.iter().flat_map(|quote| quote.lines());
        lines.extend(quote.map(|quoted| format!("&gt; {}", mrkdwn(quoted))));
    }
    lines.extend(document.list.iter().map(|item| format!("• {}", line(item, voice))));
    let footer = document.whole_footer();
    if !footer.is_empty() {
        lines.push(line(&footer, voice));
    }
    if let Some(table) = &document.table {
        // Columns would not stand below each other: letters differ in width.
        let cell = |cell: &String| if is_blank(cell) { "–".to_owned() } else { mrkdwn(cell) };
        let row = |row: &Vec<String>| row.iter().map(cell).collect::<Vec<_>>().join("  ·  ");
        lines.extend([&table.header].into_iter().chain(table.rows.iter().take(MAX_ROWS)).map(row));
    }
    cap(&lines.join("\n"), MAX_TEXT_BYTES)
}

fn first_lines(document: &Document) -> Vec<&Line> {
    [&document.headline].into_iter().chain(&document.lead).chain(&document.reason).collect()
}

/// Spans as `mrkdwn`.
pub(super) fn line(spans: &[Span], voice: &Voice) -> String {
    let piece = |span: &Span| match span {
        Span::Text(text) => mrkdwn(text),
        Span::Bold(text) => format!("*{}*", bold(text)),
        Span::Code(text) => format!("`{}`", code(text)),
        Span::Time(at) => {
            let fallback = mrkdwn(&local(*at, voice));
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
