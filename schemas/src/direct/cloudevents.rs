//! CloudEvents 1.0 around a command (<https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents>).
//!
//! - *Structured*: the whole event is the message, in the JSON format or as a MessagePack map of the same shape. It is known by its
//!   `specversion`, and needs no content type. An array of them is a batch.
//! - *Binary*: the attributes are headers, and the message is the data. Their names begin as the binding of each protocol says: `ce-` (NATS
//!   and HTTP; values percent-encoded), `cloudEvents:` or `cloudEvents_` (AMQP), `ce_` (Kafka). SQS has no binding: there any of them that
//!   an attribute's name can hold.
//!
//! `type` is `ronda.` and a command's type, `subject` the scheduler (the data may name it instead), `source` and `id` are the message's
//! identity, and `time` is a report's `occurred_at` when its data has none.

use base64::Engine as _;

use super::{Headers, Named, Part, TYPES, Written, written};
use crate::api::fields::Fields;
use crate::api::invalid::{Findings, Invalid};
use crate::api::node::{self, Node};
use crate::api::text::excerpt;
use crate::api::time::format_rfc3339;

/// What the names of headers that are attributes begin with.
pub const PREFIXES: [&str; 4] = ["ce-", "cloudevents:", "cloudevents_", "ce_"];
/// What the types of Ronda's events begin with.
const TYPE_PREFIX: &str = "ronda.";
/// The longest id or source of an event, in bytes.
const MAX_NAME_BYTES: usize = 1_024;

/// Whether the headers have a CloudEvent's attributes.
pub(super) fn is_binary(headers: &Headers) -> bool {
    let content_type = headers.iter().find(|(name, _)| name == "content-type");
    let is_structured = content_type.is_some_and(|(_, value)| {
        value.trim_start().get(..23).is_some_and(|start| start.eq_ignore_ascii_case("application/cloudevents"))
    });
    !is_structured && attribute(headers, "specversion").is_some()
}

/// Whether this is a whole CloudEvent.
pub(super) fn is_structured(node: &Node) -> bool {
    matches!(node, Node::Object(pairs) if pairs.iter().any(|(name, _)| name == "specversion"))
}

fn attribute(headers: &Headers, name: &str) -> Option<String> {
    PREFIXES.into_iter().find_map(|prefix| {
        let is_it = |header: &str| header.strip_prefix(prefix) == Some(name);
        let (_, value) = headers.iter().find(|(header, _)| is_it(header))?;
        Some(if prefix == "ce-" { percent_decoded(value) } else { value.clone() })
    })
}

/// Undoes percent-encoding; a text that is none is left as it is.
fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = (*first == b'%').then(|| more.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { more.get(2..).unwrap_or_default() } else { more };
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

/// The attributes that matter.
struct Attributes {
    kind: Option<&'static str>,
    named: Option<Named>,
    subject: Option<String>,
    time: Option<String>,
}

/// An event whose attributes are headers.
pub(super) fn binary(data: &[u8], headers: &Headers, findings: &mut Findings) -> Result<Part, Invalid> {
    let names = ["specversion", "id", "source", "type", "subject", "time"];
    let pairs = names.into_iter().filter_map(|name| Some((name.to_owned(), Node::Text(attribute(headers, name)?))));
    let attributes = Fields::of(Node::Object(pairs.collect()), "", findings).map(attributes);
    let data = data_of(data)?;
    Ok(joined(attributes, data, findings))
}

/// An event that is the whole message.
pub(super) fn structured(node: Node, findings: &mut Findings) -> Result<Part, Invalid> {
    let Some(mut fields) = Fields::of(node, "", findings) else { return Ok(Part { node: None, named: None }) };
    let data = fields.take("data");
    let encoded = fields.raw_text("data_base64");
    // All other names are extensions, and none of ours.
    let attributes = attributes(fields);
    let data = match (data, encoded) {
        (Some(_), Some(_)) => {
            findings.add("/data_base64", "not_allowed", "must not be there together with data");
            Node::Null
        }
        (Some(data), None) => data,
        (None, Some(encoded)) => match base64::engine::general_purpose::STANDARD.decode(encoded) {
            Ok(bytes) => data_of(&bytes)?,
            Err(error) => {
                findings.add("/data_base64", "not_allowed", format!("must be base64: {error}"));
                Node::Null
            }
        },
        (None, None) => Node::Null,
    };
    Ok(joined(Some(attributes), data, findings))
}

/// The data of an event; nothing is an object without fields.
fn data_of(bytes: &[u8]) -> Result<Node, Invalid> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(Node::Null);
    }
    match written(bytes) {
        Written::MsgpackMap => node::read_msgpack(bytes, node::MAX_NODES),
        _ => node::read(bytes),
    }
}

fn attributes(mut fields: Fields<'_>) -> Attributes {
    let given = fields.has("specversion");
    let version = fields.word("specversion", &["1.0"], |word| (word == "1.0").then_some(()));
    fields.need("specversion", given, version, "1.0");
    let given = fields.has("type");
    let words = TYPES.map(|kind| format!("{TYPE_PREFIX}{kind}"));
    let kind = fields.word("type", &words.each_ref().map(String::as_str), |word| {
        let word = word.strip_prefix(TYPE_PREFIX)?;
        TYPES.into_iter().find(|known| *known == word)
    });
    let kind = fields.need("type", given, kind, "ronda.status, ronda.heartbeat, ronda.register, …");
    let id = name(&mut fields, "id", "what the source calls this event, another one for each");
    let source = name(&mut fields, "source", "who sends it");
    let subject = fields.raw_text("subject");
    let time = fields.time("time").map(format_rfc3339);
    let named = id.zip(source).map(|(id, source)| Named { source, id });
    Attributes { kind, named, subject, time }
}

fn name(fields: &mut Fields<'_>, name: &str, what: &str) -> Option<String> {
    let given = fields.has(name);
    let text = fields.raw_text(name);
    let at = fields.pointer(name);
    match text.as_deref().map(str::len) {
        Some(0) => fields.findings().add(at, "empty", "must not be empty"),
        Some(1..=MAX_NAME_BYTES) | None => {}
        Some(bytes) => {
            let message = format!("must be at most {MAX_NAME_BYTES} bytes of UTF-8 long, and is {bytes}");
            fields.findings().add(at, "too_long", message);
        }
    }
    fields.need(name, given, text, what)
}

/// The command that attributes and data are together.
fn joined(attributes: Option<Attributes>, data: Node, findings: &mut Findings) -> Part {
    let nothing = Part { node: None, named: None };
    let Some(Attributes { kind, named, subject, time }) = attributes else { return nothing };
    let Some(kind) = kind else { return nothing };
    let mut pairs = match data {
        Node::Object(pairs) => pairs,
        Node::Null => Vec::new(),
        other => {
            findings.add("/data", "wrong_type", format!("must be an object, and is {}", other.kind()));
            return nothing;
        }
    };
    put(&mut pairs, "type", Some(kind.to_owned()), "the event's type", findings);
    let id = if kind == "register" { "id" } else { "scheduler_id" };
    put(&mut pairs, id, subject, "the event's subject", findings);
    let is_report = matches!(kind, "status" | "heartbeat");
    let has_own = pairs.iter().any(|(name, value)| name == "occurred_at" && *value != Node::Null);
    put(&mut pairs, "occurred_at", time.filter(|_| is_report && !has_own), "the event's time", findings);
    Part { node: Some(Node::Object(pairs)), named }
}

/// Adds a field that the data leaves out; where it has it, it must be the same.
fn put(pairs: &mut Vec<(String, Node)>, name: &str, value: Option<String>, what: &str, findings: &mut Findings) {
    let Some(value) = value else { return };
    let there = pairs.iter_mut().find(|(known, _)| known == name);
    match there {
        Some((_, Node::Text(text))) if *text == value => {}
        Some((_, Node::Text(text))) => {
            let message = format!("is '{}', and {what} says '{}'", excerpt(text), excerpt(&value));
            findings.add(format!("/data/{name}"), "contradiction", message);
        }
        Some((_, node)) if *node == Node::Null => *node = Node::Text(value),
        // Of the wrong type: that is told when it is read.
        Some(_) => {}
        None => pairs.push((name.to_owned(), Node::Text(value))),
    }
}
