//! A channel as a page of its own: no scripts, nothing from elsewhere.

use serde_json::Value;

use super::dates::Reader;
use super::mrkdwn::{escaped, html, link};
use super::timeline::{Entry, entries};
use crate::state::{Message, Slack};

const STYLE: &str = "
body{font:15px/1.45 system-ui,sans-serif;max-width:52rem;margin:1rem auto;padding:0 1rem;color:#1d1c1d}
h1{font-size:1.1rem;border-bottom:1px solid #ddd;padding-bottom:.5rem}
article{margin:.9rem 0;overflow-wrap:anywhere}.replies{margin-left:2rem;border-left:2px solid #eee;padding-left:.8rem}
.head b{margin-right:.4rem}.app,.time,.edited,.context,.gone{color:#616061;font-size:.8rem}.app{background:#eee;padding:0 .2rem}
.header{font-size:1.15rem;font-weight:700;margin:.3rem 0}.attachment{border-left:4px solid #ddd;padding-left:.7rem;margin:.3rem 0}
.fields{display:grid;grid-template-columns:1fr 1fr;gap:.3rem 1rem}pre,code{background:#f6f6f6;border:1px solid #ddd;border-radius:3px}
pre{padding:.5rem;white-space:pre-wrap;margin:.3rem 0}code{padding:0 .2rem;color:#c01343}pre{color:inherit}
blockquote{border-left:4px solid #ddd;margin:.2rem 0;padding-left:.7rem}.button{display:inline-block;border:1px solid #bbb;
border-radius:4px;padding:.15rem .7rem;margin:.2rem .3rem .2rem 0;font-weight:600}.primary{background:#007a5a;color:#fff}
.danger{background:#e01e5a;color:#fff}table{border-collapse:collapse;margin:.4rem 0}td,th{border:1px solid #ddd;padding:.15rem .5rem;
text-align:left}caption{text-align:left;font-weight:600}.right{text-align:right}.center{text-align:center}
.whisper{background:#f8f8f8;border-left:4px solid #bbb;padding-left:.7rem}.mention{background:#fff3c9;color:#1264a3}.reaction{background:#eef;border-radius:9px;padding:0 .5rem;margin-right:.3rem}";

impl Slack {
    /// A channel as an HTML page, as this reader sees it.
    #[must_use]
    pub fn page(&self, channel: &str, reader: &Reader) -> String {
        let view = self.view(channel, reader);
        let body: String = entries(&view)
            .into_iter()
            .map(|entry| match entry {
                Entry::Deleted => "<article class=\"gone\">This message was deleted.</article>\n".to_owned(),
                Entry::Whisper(message) => article(message, reader),
                Entry::Message { message, replies } => {
                    let thread: String = replies.iter().map(|reply| article(reply, reader)).collect();
                    let thread =
                        if thread.is_empty() { thread } else { format!("<div class=\"replies\">{thread}</div>") };
                    article(message, reader) + &thread
                }
            })
            .collect();
        let title = escaped(channel);
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n{body}</body></html>\n"
        )
    }
}

fn article(message: &Message, reader: &Reader) -> String {
    let who = match &message.author {
        Some(person) => format!("<b>{}</b>", escaped(person)),
        None => "<b>Ronda</b><span class=\"app\">APP</span>".to_owned(),
    };
    let (class, only) = match &message.only_for {
        Some(user) => (" class=\"whisper\"", format!("<div class=\"context\">Only visible to {}</div>", escaped(user))),
        None => ("", String::new()),
    };
    let edited = if message.edits > 0 { " <span class=\"edited\">(edited)</span>" } else { "" };
    let reactions: String = message
        .reactions
        .iter()
        .map(|(emoji, _)| format!("<span class=\"reaction\">:{}:</span>", escaped(emoji)))
        .collect();
    format!(
        "<article{class}>{only}<div class=\"head\">{who} <span class=\"time\">{}</span></div>{}{edited}{reactions}</article>\n",
        reader.time_of(&message.ts),
        body(message, reader)
    )
}

/// Blocks take the text's place; attachments do not.
fn body(message: &Message, reader: &Reader) -> String {
    let mut out = String::new();
    if message.blocks.is_empty() && !message.text.is_empty() {
        out.push_str(&format!("<div>{}</div>", html(&message.text, reader)));
    }
    message.blocks.iter().for_each(|part| out.push_str(&block(part, reader)));
    for attachment in &message.attachments {
        let blocks = attachment["blocks"].as_array().into_iter().flatten();
        let mut inside: String = blocks.map(|part| block(part, reader)).collect();
        if let Some(text) = attachment["text"].as_str() {
            inside.push_str(&format!("<div>{}</div>", html(text, reader)));
        }
        out.push_str(&format!(
            "<div class=\"attachment\" style=\"border-color:{}\">{inside}</div>",
            colour(attachment)
        ));
    }
    out
}

fn colour(attachment: &Value) -> &str {
    let is_hex = |hex: &str| hex.len() == 6 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
    match attachment["color"].as_str().unwrap_or_default() {
        "good" => "#2eb886",
        "warning" => "#daa038",
        "danger" => "#a30200",
        own if own.strip_prefix('#').is_some_and(is_hex) => own,
        _ => "#dddddd",
    }
}

fn text(object: &Value, reader: &Reader) -> String {
    let text = object["text"].as_str().unwrap_or_default();
    if object["type"] == "mrkdwn" { html(text, reader) } else { escaped(text).replace('\n', "<br>") }
}

fn block(block: &Value, reader: &Reader) -> String {
    let elements = || block["elements"].as_array().into_iter().flatten();
    match block["type"].as_str().unwrap_or_default() {
        "header" => format!("<div class=\"header\">{}</div>", text(&block["text"], reader)),
        "section" => {
            let fields: String = block["fields"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|field| format!("<div>{}</div>", text(field, reader)))
                .collect();
            let fields = if fields.is_empty() { fields } else { format!("<div class=\"fields\">{fields}</div>") };
            let accessory =
                if block["accessory"].is_null() { String::new() } else { button(&block["accessory"], reader) };
            format!("<div>{}{accessory}</div>{fields}", text(&block["text"], reader))
        }
        "context" => {
            let parts: Vec<String> = elements().map(|element| text(element, reader)).collect();
            format!("<div class=\"context\">{}</div>", parts.join(" · "))
        }
        "actions" => format!("<div>{}</div>", elements().map(|element| button(element, reader)).collect::<String>()),
        "divider" => "<hr>".to_owned(),
        // Shown as it is written: it is standard Markdown, not Slack's.
        "markdown" => format!("<pre>{}</pre>", escaped(block["text"].as_str().unwrap_or_default())),
        "table" | "data_table" => table(block),
        other => format!("<div class=\"context\">[{}]</div>", escaped(other)),
    }
}

fn button(element: &Value, reader: &Reader) -> String {
    let label = text(&element["text"], reader);
    let style = match element["style"].as_str() {
        Some("primary") => " primary",
        Some("danger") => " danger",
        _ => "",
    };
    match element["url"].as_str() {
        Some(url) => format!(
            "<span class=\"button{style}\">{}</span>",
            link(url, element["text"]["text"].as_str().unwrap_or(url))
        ),
        None => format!("<span class=\"button{style}\">{label}</span>"),
    }
}

fn table(block: &Value) -> String {
    let rows = block["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |n: usize, row: &Value| {
        let tag = if n == 0 { "th" } else { "td" };
        let cells = row.as_array().into_iter().flatten().enumerate();
        let cells: String = cells
            .map(|(column, cell)| {
                let align = match block["column_settings"][column]["align"].as_str() {
                    Some("right") => " class=\"right\"",
                    Some("center") => " class=\"center\"",
                    _ if cell["type"] == "raw_number" => " class=\"right\"",
                    _ => "",
                };
                format!("<{tag}{align}>{}</{tag}>", cell_html(cell))
            })
            .collect();
        format!("<tr>{cells}</tr>")
    };
    // The first page of a paged table is what is seen without a click.
    let page = block["page_size"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
    let shown = page.saturating_add(1).min(rows.len());
    let body: String = rows.iter().take(shown).enumerate().map(|(n, cells)| row(n, cells)).collect();
    let caption =
        block["caption"].as_str().map(|text| format!("<caption>{}</caption>", escaped(text))).unwrap_or_default();
    let more = match rows.len().saturating_sub(shown) {
        0 => String::new(),
        more => format!("<div class=\"context\">{more} more rows on further pages</div>"),
    };
    format!("<table>{caption}{body}</table>{more}")
}

fn cell_html(cell: &Value) -> String {
    match cell["text"].as_str() {
        Some(text) => escaped(text),
        None => rich(cell),
    }
}

/// The words of rich text, without their styles.
fn rich(value: &Value) -> String {
    if let Some(url) = value["url"].as_str() {
        return link(url, value["text"].as_str().unwrap_or(url));
    }
    if let Some(text) = value["text"].as_str() {
        return escaped(text);
    }
    value["elements"].as_array().into_iter().flatten().map(rich).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;

    fn page_of(message: Message) -> String {
        let slack = Slack::default().with_frozen_clock(1_795_443_535_000);
        slack.post("C1", message);
        slack.page("C1", &Reader::new("Asia/Jakarta", slack.now_ms()).unwrap())
    }

    #[test]
    fn every_kind_of_block_is_shown() {
        let page = page_of(Message {
            text: "only on the lock screen".into(),
            blocks: vec![
                json!({"type":"header","text":{"type":"plain_text","text":"*Night*"}}),
                json!({"type":"section","text":{"type":"mrkdwn","text":"*bold*"},"fields":[{"type":"mrkdwn","text":"_f_"}]}),
                json!({"type":"context","elements":[{"type":"mrkdwn","text":"<!date^1795443535^{time}|x>"}]}),
                json!({"type":"actions","elements":[
                    {"type":"button","style":"primary","text":{"type":"plain_text","text":"Acknowledge"}},
                    {"type":"button","url":"https://r.example","text":{"type":"plain_text","text":"Runbook"}}]}),
            ],
            attachments: vec![json!({"color":"#a30200","blocks":[{"type":"divider"}]})],
            ..Message::default()
        });
        for part in [
            "<div class=\"header\">*Night*</div>",
            "<div><b>bold</b></div><div class=\"fields\"><div><i>f</i></div></div>",
            "<div class=\"context\"><time>21:18</time></div>",
            "<span class=\"button primary\">Acknowledge</span>",
            "<span class=\"button\"><a href=\"https://r.example\">Runbook</a></span>",
            "style=\"border-color:#a30200\"><hr></div>",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("lock screen"), "blocks take the text's place");
    }

    #[test]
    fn a_paged_table_shows_its_first_page() {
        let cell = |text: &str| json!({"type":"raw_text","text":text});
        let page = page_of(Message {
            blocks: vec![json!({"type":"data_table","caption":"Not OK","page_size":1,"rows":[
                [cell("Job"), cell("Min")],
                [cell("<billing>"), {"type":"raw_number","value":42,"text":"42"}],
                [cell("hidden"), cell("1")]]})],
            ..Message::default()
        });
        assert!(page.contains("<caption>Not OK</caption><tr><th>Job</th><th>Min</th></tr>"), "{page}");
        assert!(page.contains("<tr><td>&lt;billing&gt;</td><td class=\"right\">42</td></tr></table>"), "{page}");
        assert!(page.contains("1 more rows on further pages") && !page.contains("hidden"), "{page}");
    }

    #[test]
    fn what_an_attachment_says_of_its_colour_is_no_style() {
        let page = page_of(Message {
            text: "above".into(),
            attachments: vec![json!({"color":"red;background:url(x)","text":"_t_"})],
            ..Message::default()
        });
        assert!(page.contains(
            "<div>above</div><div class=\"attachment\" style=\"border-color:#dddddd\"><div><i>t</i></div></div>"
        ));
    }
}
