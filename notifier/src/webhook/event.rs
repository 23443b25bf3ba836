//! What is sent: one event for each post, update and removal. docs/webhook-event.schema.json says the same.

use ring::digest::{SHA256, digest};
use serde::Serialize;

use crate::channel::{About, Content, Metadata};

/// An event's body. The order of its fields is the order in which they are written, so that a repeat has the same bytes but for the time.
#[derive(Debug, Serialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    /// When it was sent.
    timestamp: String,
    data: Data<'a>,
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    /// The message's own id, the same in all its events.
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<&'a str>,
    #[serde(flatten)]
    shown: Option<Shown<'a>>,
}

#[derive(Debug, Serialize)]
struct Shown<'a> {
    installation: &'a str,
    surface: &'a str,
    generation: u32,
    revision: u64,
    kind: &'a str,
    over: bool,
    since: Option<String>,
    text: &'a str,
    plain: &'a str,
    links: Vec<LinkOut<'a>>,
}

#[derive(Debug, Serialize)]
struct LinkOut<'a> {
    label: &'a str,
    url: &'a str,
}

/// What a message shows, and which it is.
pub(super) struct Showing<'a> {
    pub(super) content: &'a Content,
    pub(super) metadata: &'a Metadata,
    pub(super) about: &'a About,
}

impl<'a> Event<'a> {
    /// A message that is new, or says something new.
    pub(super) fn showing(
        kind: &'static str,
        now_ms: i64,
        message: &'a str,
        reply_to: Option<&'a str>,
        showing: &Showing<'a>,
    ) -> Self {
        let Showing { content, metadata, about } = showing;
        let shown = Shown {
            installation: &metadata.installation,
            surface: &metadata.k,
            generation: metadata.generation,
            revision: metadata.revision,
            kind: about.what,
            over: about.is_over,
            since: about.since_ms.map(instant),
            text: content.plain.lines().next().unwrap_or_default(),
            plain: &content.plain,
            links: about.links.iter().map(|link| LinkOut { label: link.label, url: &link.url }).collect(),
        };
        Self { kind, timestamp: instant(now_ms), data: Data { message, reply_to, shown: Some(shown) } }
    }

    /// A message that is to be shown no more.
    pub(super) fn removal(now_ms: i64, message: &'a str) -> Self {
        let data = Data { message, reply_to: None, shown: None };
        Self { kind: "message.removed", timestamp: instant(now_ms), data }
    }
}

fn instant(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// The id of a surface's message: another generation is another message.
pub(super) fn message_id(metadata: &Metadata) -> String {
    let generation = metadata.generation.to_string();
    hashed("m", &[&metadata.installation, &metadata.k, &generation])
}

/// The id of an event (`webhook-id`): the same whenever the same revision of the same message is sent again.
pub(super) fn event_id(message: &str, what: &str, revision: u64) -> String {
    hashed("msg", &[message, what, &revision.to_string()])
}

fn hashed(prefix: &str, parts: &[&str]) -> String {
    // Lengths before the parts: no two lists come to the same text.
    let text: String = parts.iter().map(|part| format!("{}:{part}", part.len())).collect();
    let hash = digest(&SHA256, text.as_bytes());
    let hex: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}_{hex}")
}
