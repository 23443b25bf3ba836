//! A message as a person reads it, on a terminal.

use serde_json::Value;

use super::dates::Reader;
use super::mrkdwn;
use crate::state::Message;

/// The message as plain text: blocks one under another, tables with columns, dates by their fallback.
#[must_use]
pub fn message_as_text(message: &Message) -> String {
    message_for(message, None)
}

/// The same for one reader, with times as they see them.
pub(super) fn message_for(message: &Message, reader: Option<&Reader>) -> String {
    let mrkdwn = |text: &str| mrkdwn::plain(text, reader);
    let mut lines = Vec::new();
    // Above attachments the text is shown; beside blocks it is only the notification.
    if message.blocks.is_empty() && !message.text.is_empty() {
        lines.push(mrkdwn(&message.text));
    }
    for attachment in &message.attachments {
        if let Some(colour) = attachment["color"].as_str() {
            lines.push(format!("▌ {}", colour_name(colour)));
        }
    }
    let nested = message.attachments.iter().filter_map(|attachment| attachment["blocks"].as_array()).flatten();
    for block in message.blocks.iter().chain(nested) {
        block_lines(block, reader, &mut lines);
    }
    lines.extend(message.attachments.iter().filter_map(|attachment| attachment["text"].as_str().map(mrkdwn)));
    let indent = if message.thread_ts.is_some() { "    ↳ " } else { "  " };
    lines.iter().flat_map(|text| text.lines()).map(|line| format!("{indent}{line}")).collect::<Vec<_>>().join("\n")
}

fn colour_name(colour: &str) -> String {
    let name = match colour {
        "#a30200" => "red",
        "#daa038" => "amber",
        "#2eb886" => "green",
        "#dddddd" => "grey",
        _ => "coloured",
    };
    format!("{name} {colour}")
}

fn block_lines(block: &Value, reader: Option<&Reader>, lines: &mut Vec<String>) {
    let plain = |object: &Value| mrkdwn::plain(object["text"].as_str().unwrap_or_default(), reader);
    match block["type"].as_str().unwrap_or_default() {
        "header" => lines.push(format!("# {}", plain(&block["text"]))),
        "section" => {
            if !block["text"].is_null() {
                lines.push(plain(&block["text"]));
            }
            let fields = block["fields"].as_array();
            lines.extend(fields.into_iter().flatten().map(|field| format!("· {}", plain(field).replace('\n', " "))));
        }
        "context" => {
            let elements = block["elements"].as_array();
            let texts: Vec<String> = elements.into_iter().flatten().map(&plain).collect();
            lines.push(format!("({})", texts.join(" · ")));
        }
        "actions" => {
            let elements = block["elements"].as_array();
            let buttons: Vec<String> =
                elements.into_iter().flatten().map(|button| format!("[{}]", plain(&button["text"]))).collect();
            lines.push(buttons.join(" "));
        }
        "divider" => lines.push("────".to_owned()),
        "markdown" => lines.push(block["text"].as_str().unwrap_or_default().to_owned()),
        "table" | "data_table" => table_lines(block, lines),
        other => lines.push(format!("<{other}>")),
    }
}

fn table_lines(block: &Value, lines: &mut Vec<String>) {
    if let Some(caption) = block["caption"].as_str() {
        lines.push(caption.to_owned());
    }
    let rows: Vec<Vec<String>> = block["rows"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            row.as_array().into_iter().flatten().map(|cell| cell["text"].as_str().unwrap_or("…").to_owned()).collect()
        })
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        lines.push(format!("| {} |", cells.join(" | ")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_keeps_its_columns() {
        let message = Message {
            blocks: vec![json!({"type":"table","rows":[
                [{"type":"raw_text","text":"Job"},{"type":"raw_text","text":"State"}],
                [{"type":"raw_text","text":"billing"},{"type":"raw_text","text":"ok"}]]})],
            ..Message::default()
        };
        assert_eq!(message_as_text(&message), "  | Job     | State |\n  | billing | ok    |");
    }
}
