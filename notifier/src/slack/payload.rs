//! What goes to Slack, and how our own messages are recognised in what comes back.

use serde_json::{Value, json};

use crate::channel::{Content, FindRequest, Found, Metadata, PostRequest, UpdateRequest};

/// The type of our messages' metadata.
const EVENT_TYPE: &str = "ronda_surface";

pub(super) fn post(request: &PostRequest) -> Value {
    let mut body = json!({
        "channel": request.channel,
        "metadata": metadata(&request.metadata),
        "unfurl_links": false,
        "unfurl_media": false,
    });
    put_content(&mut body, &request.content);
    if let Some(parent) = &request.thread_ts {
        body["thread_ts"] = json!(parent);
    }
    body
}

pub(super) fn update(request: &UpdateRequest) -> Value {
    let mut body = json!({
        "channel": request.channel,
        "ts": request.ts,
        "metadata": metadata(&request.metadata),
    });
    put_content(&mut body, &request.content);
    body
}

/// A message's content as the Web API and Block Kit Builder take it.
#[must_use]
pub fn message(content: &Content) -> Value {
    let mut body = json!({});
    put_content(&mut body, content);
    body
}

/// Both lists are always there: an edit that leaves one out may keep the old one.
fn put_content(body: &mut Value, content: &Content) {
    body["text"] = json!(content.text);
    let (blocks, attachments) = match content.colour {
        Some(colour) if !content.blocks.is_empty() => (json!([]), json!([{"color": colour, "blocks": content.blocks}])),
        // A bar needs something beside it: a message of one line goes without.
        _ => (json!(content.blocks), json!([])),
    };
    body["blocks"] = blocks;
    body["attachments"] = attachments;
}

fn metadata(metadata: &Metadata) -> Value {
    json!({
        "event_type": EVENT_TYPE,
        "event_payload": {
            "i": metadata.installation, "k": metadata.k, "gen": metadata.generation, "rev": metadata.revision,
        },
    })
}

/// Which part of a history is read, in wall times: from, and until when, if not to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) oldest_ms: i64,
    pub(super) latest_ms: Option<i64>,
}

pub(super) fn find(request: &FindRequest, span: Span, cursor: &str) -> Vec<(&'static str, String)> {
    let mut form = vec![
        ("channel", request.channel.clone()),
        ("oldest", seconds(span.oldest_ms)),
        ("inclusive", "true".to_owned()),
        ("include_all_metadata", "true".to_owned()),
        ("limit", "200".to_owned()),
    ];
    if let Some(parent) = &request.thread_ts {
        form.push(("ts", parent.clone()));
    }
    if let Some(latest_ms) = span.latest_ms {
        form.push(("latest", seconds(latest_ms)));
    }
    if !cursor.is_empty() {
        form.push(("cursor", cursor.to_owned()));
    }
    form
}

/// A wall time in the form of a message's `ts`.
fn seconds(millis: i64) -> String {
    let millis = millis.max(0);
    format!("{}.{:03}000", millis / 1_000, millis % 1_000)
}

/// A message of ours, and of this installation, with this key.
pub(super) fn recognise(message: &Value, wanted: &FindRequest, bot_id: Option<&str>) -> Option<Found> {
    let payload = &message["metadata"]["event_payload"];
    let ours = message["metadata"]["event_type"] == EVENT_TYPE
        && payload["i"] == wanted.installation
        && payload["k"] == wanted.k
        && bot_id.is_none_or(|bot| message["bot_id"] == bot);
    if !ours {
        return None;
    }
    Some(Found {
        ts: message["ts"].as_str()?.to_owned(),
        generation: payload["gen"].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0),
        revision: payload["rev"].as_u64().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::About;

    #[test]
    fn only_our_own_messages_with_the_key_are_recognised() {
        let wanted = |installation: &str, k: &str| FindRequest {
            channel: "C".into(),
            thread_ts: None,
            installation: installation.into(),
            k: k.into(),
            oldest_ms: 0,
            claimed_ms: (0, 0),
        };
        let message = json!({
            "ts":"1.2","bot_id":"B1",
            "metadata":{"event_type":"ronda_surface","event_payload":{"i":"here","k":"a","gen":2,"rev":7}},
        });
        let found = Found { ts: "1.2".into(), generation: 2, revision: 7 };
        assert_eq!(recognise(&message, &wanted("here", "a"), Some("B1")), Some(found));
        assert_eq!(recognise(&message, &wanted("here", "b"), Some("B1")), None);
        assert_eq!(recognise(&message, &wanted("there", "a"), Some("B1")), None, "another installation's");
        assert_eq!(recognise(&message, &wanted("here", "a"), Some("B2")), None);
        assert_eq!(recognise(&json!({"ts":"1.2","text":"a"}), &wanted("here", "a"), None), None);
    }

    #[test]
    fn a_colour_makes_an_attachment_and_an_edit_says_both_lists() {
        let content = Content {
            text: "t".into(),
            blocks: vec![json!({"type":"divider"})],
            colour: Some("#a30200"),
            plain: String::new(),
        };
        let metadata = Metadata { installation: "here".into(), k: "a".into(), generation: 0, revision: 1 };
        let body =
            update(&UpdateRequest { channel: "C".into(), ts: "1".into(), content, metadata, about: About::default() });
        assert_eq!(body["blocks"], json!([]));
        assert_eq!(body["attachments"][0]["color"], "#a30200");
        assert_eq!(seconds(1_795_443_535_042), "1795443535.042000");
    }
}
