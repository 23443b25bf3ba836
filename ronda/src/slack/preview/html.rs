//! Messages as a page that looks about like Slack on a phone: nothing of it is loaded from anywhere.

use std::fmt::Write as _;

use ronda_notifier::Preview;
use ronda_notifier::channel::Content;
use serde_json::Value;

use super::mrkdwn;

/// Rows of a `data_table` that are shown: its first page.
const PAGE_ROWS: usize = 20;

const STYLE: &str = "\
body{margin:0;background:#fff;color:#1d1c1d;font:15px/1.46 Lato,'Noto Sans','DejaVu Sans',sans-serif}\
main{max-width:1000px;padding:14px 16px}\
h2{font-size:15px;margin:26px 0 2px}.about{color:#616061;font-size:13px;margin:0 0 8px}\
.lock{background:#eef0f3;border-radius:12px;padding:8px 12px;font-size:13px;line-height:1.35;margin:0 0 10px;max-width:390px}\
.lock .app{color:#616061;font-size:11px;text-transform:uppercase;letter-spacing:.04em}\
.clamp{display:-webkit-box;-webkit-line-clamp:4;-webkit-box-orient:vertical;overflow:hidden}\
.message{display:flex;gap:9px}.reply{margin-left:34px}\
.face{width:36px;height:36px;border-radius:6px;background:#23395b;color:#fff;font-weight:700;text-align:center;line-height:36px;flex:none}\
.body{min-width:0;flex:1}.who b{font-weight:900}.who span{color:#616061;font-size:12px;margin-left:5px}\
.tag{background:#e8e8e8;border-radius:3px;font-size:10px;font-weight:700;padding:1px 4px}\
.bar{border-left:4px solid;border-radius:2px;padding-left:11px;margin-top:5px}\
.section{margin:4px 0}.fields{display:grid;grid-template-columns:1fr 1fr;gap:7px 16px;margin:4px 0}\
.header{font-size:18px;font-weight:900;margin:4px 0}.context{color:#616061;font-size:13px;margin:5px 0}\
.actions{margin:8px 0 2px}.button{display:inline-block;border:1px solid #babbbd;border-radius:4px;padding:4px 11px;margin:0 8px 6px 0;font-size:13px;font-weight:700}\
pre,code{font:12px/1.5 Menlo,'DejaVu Sans Mono',monospace;background:#f8f8f8;border:1px solid #dedede;border-radius:4px}\
code{color:#c01343;padding:1px 3px}pre{padding:7px 8px;margin:4px 0;white-space:pre-wrap}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px;margin:5px 0;white-space:nowrap}\
th,td{border:1px solid #dedede;padding:4px 8px;text-align:left}th{background:#f8f8f8}.pages{color:#616061;font-size:12px}\
a{color:#1264a3;text-decoration:none}time{background:#f4f0e4;border-radius:3px;padding:0 2px}";

/// A page with these messages; with a heading each where they are several.
pub(super) fn page(shown: &[Preview], has_headings: bool) -> String {
    let mut out = format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"><title>Ronda's messages</title><style>{STYLE}</style></head><body><main>"
    );
    for preview in shown {
        if has_headings {
            let _ = write!(out, "<h2 id=\"{0}\">{0}</h2><p class=\"about\">{1}</p>", preview.kind, preview.about);
        }
        let text = mrkdwn::bare(&preview.content.text);
        let _ = write!(
            out,
            "<div class=\"lock\"><div class=\"app\">Slack · Ronda</div><div class=\"clamp\">{text}</div></div>"
        );
        let class = if preview.is_reply { "message reply" } else { "message" };
        let _ = write!(
            out,
            "<div class=\"{class}\"><div class=\"face\">R</div><div class=\"body\"><div class=\"who\"><b>Ronda</b> <span class=\"tag\">APP</span>\
             </div>{}</div></div>",
            message(&preview.content)
        );
    }
    out.push_str("</main></body></html>\n");
    out
}

fn message(content: &Content) -> String {
    let blocks: String = content.blocks.iter().map(block).collect();
    let text = || format!("<div class=\"section\">{}</div>", mrkdwn::html(&content.text));
    match content.colour {
        _ if blocks.is_empty() => text(),
        Some(colour) => format!("{}<div class=\"bar\" style=\"border-color:{colour}\">{blocks}</div>", text()),
        // Beside blocks the text is only what notifications show.
        None => blocks,
    }
}

fn block(block: &Value) -> String {
    let text = |object: &Value| mrkdwn::html(object["text"].as_str().unwrap_or_default());
    let all = |list: &Value| list.as_array().map_or(&[][..], Vec::as_slice).iter().map(text).collect::<Vec<_>>();
    match block["type"].as_str().unwrap_or_default() {
        "header" => format!("<div class=\"header\">{}</div>", text(&block["text"])),
        "section" if !block["fields"].is_null() => {
            let fields = all(&block["fields"]).into_iter().map(|field| format!("<div>{field}</div>"));
            format!("<div class=\"fields\">{}</div>", fields.collect::<String>())
        }
        "section" => format!("<div class=\"section\">{}</div>", text(&block["text"])),
        "context" => format!("<div class=\"context\">{}</div>", all(&block["elements"]).join(" ")),
        "actions" => {
            let buttons = all_labels(&block["elements"]).map(|label| format!("<span class=\"button\">{label}</span>"));
            format!("<div class=\"actions\">{}</div>", buttons.collect::<String>())
        }
        "table" => table(block, usize::MAX),
        "data_table" => table(block, PAGE_ROWS),
        _ => String::new(),
    }
}

/// What stands on the buttons of a block of actions.
fn all_labels(elements: &Value) -> impl Iterator<Item = String> {
    let elements = elements.as_array().map_or(&[][..], Vec::as_slice);
    elements.iter().map(|element| mrkdwn::html(element["text"]["text"].as_str().unwrap_or_default()))
}

fn table(block: &Value, page: usize) -> String {
    let rows = block["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let mut out = String::from("<div class=\"wide\"><table>");
    for (at, row) in rows.iter().take(page.saturating_add(1)).enumerate() {
        let element = if at == 0 { "th" } else { "td" };
        out.push_str("<tr>");
        for cell in row.as_array().map_or(&[][..], Vec::as_slice) {
            let _ = write!(out, "<{element}>{}</{element}>", cell["text"].as_str().unwrap_or_default());
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>");
    let pages = rows.len().saturating_sub(1).div_ceil(page.max(1));
    if pages > 1 {
        let _ = write!(out, "<div class=\"pages\">1 / {pages} ›</div>");
    }
    out
}
