//! Messages that others than gateways put onto the command queue: one command, or a batch of them.
//!
//! A command is what one item of `POST /api/v1/events` is (`"type":"status"` or `"heartbeat"`), a registration with `"type":"register"`, or
//! `"type":"delete"`, `"pause"` or `"resume"` with a `scheduler_id`. It is JSON or MessagePack of the same shape, told apart by the first
//! byte. An array of them is a batch. Each may be wrapped as a CloudEvent 1.0: see [`cloudevents`].

mod cloudevents;
mod command;
mod identity;
mod parts;

use base64::Engine as _;

use crate::api::event::raw_items;
use crate::api::fields::Fields;
use crate::api::invalid::{Findings, Invalid};
use crate::api::node::{self, Node};
use crate::frame::Frame;
pub use cloudevents::PREFIXES;
pub use command::{DirectBody, TYPES};
pub use identity::{Named, digest_of, message_id};
pub use parts::parts;

/// Largest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;
/// Most commands of one message.
pub const MAX_COMMANDS: usize = 1_000;
/// Most values in a MessagePack batch: it bounds the memory that reading one takes.
const MAX_BATCH_NODES: usize = 100_000;
/// A header with this name and the value `base64` says that the message is text that stands for bytes: on brokers that carry text only.
pub const TRANSFER_ENCODING: &str = "content-transfer-encoding";
/// Headers by which publishers name their messages where the broker has no place of its own for that; the last is the one that is given to
/// messages without a name when they are put back.
pub const ID_HEADERS: [&str; 2] = ["nats-msg-id", "message-id"];

/// Headers of a message: names in lower case.
pub type Headers = [(String, String)];

/// One command of a direct message.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectCommand<'a> {
    /// Which scheduler, checked to be an id.
    pub scheduler_id: std::borrow::Cow<'a, str>,
    /// What it asks for.
    pub body: DirectBody<'a>,
    /// What its publisher calls it, if it is a CloudEvent.
    pub named: Option<Named>,
}

/// Why a message, or one command of it, can't be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Machine-readable: `not_a_command`, `too_large`, `too_many_commands`, `invalid_json`, `invalid_msgpack`, `invalid_body`.
    pub code: &'static str,
    /// Everything that is wrong, for a person.
    pub detail: String,
    /// Which scheduler it seems to be for; empty if that can't be told. Nobody checked it.
    pub scheduler: String,
    /// What it seems to ask for; `message` if that can't be told.
    pub command: &'static str,
}

impl Wrong {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), scheduler: String::new(), command: "message" }
    }
}

impl From<Invalid> for Wrong {
    fn from(invalid: Invalid) -> Self {
        Self::new(invalid.code, invalid.to_string())
    }
}

type Read<'a> = Result<DirectCommand<'a>, Wrong>;

/// The commands of a message, in order; one that is wrong takes no other with it.
///
/// # Errors
/// When the message as a whole can't be read: then nothing of it may be taken.
pub fn read<'a>(message: &'a [u8], headers: &Headers) -> Result<Vec<Read<'a>>, Wrong> {
    if message.len() > MAX_MESSAGE_BYTES {
        let detail = format!("a message has at most {MAX_MESSAGE_BYTES} bytes, and this one {}", message.len());
        return Err(Wrong::new("too_large", detail));
    }
    if cloudevents::is_binary(headers) {
        let decoded = decoded(message, headers)?;
        return Ok(vec![one(|findings| cloudevents::binary(decoded.as_deref().unwrap_or(message), headers, findings))]);
    }
    if let Some(decoded) = decoded(message, headers)? {
        return commands(&decoded, slow_json);
    }
    commands(message, json)
}

/// The bytes that the message stands for, if it says that it does.
fn decoded(message: &[u8], headers: &Headers) -> Result<Option<Vec<u8>>, Wrong> {
    let is_base64 =
        headers.iter().any(|(name, value)| name == TRANSFER_ENCODING && value.eq_ignore_ascii_case("base64"));
    if !is_base64 {
        return Ok(None);
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(message.trim_ascii());
    bytes
        .map(Some)
        .map_err(|error| Wrong::new("not_a_command", format!("the message is not the base64 that it says: {error}")))
}

/// How a value is written, as its first byte tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    JsonObject,
    JsonArray,
    MsgpackMap,
    MsgpackArray,
    Otherwise,
}

fn written(bytes: &[u8]) -> Written {
    match bytes.trim_ascii_start().first() {
        Some(b'{') => Written::JsonObject,
        Some(b'[') => Written::JsonArray,
        Some(0x80..=0x8f | 0xde | 0xdf) => Written::MsgpackMap,
        Some(0x90..=0x9f | 0xdc | 0xdd) => Written::MsgpackArray,
        _ => Written::Otherwise,
    }
}

fn commands<'a, 'r>(message: &'a [u8], json: impl Fn(&'a [u8]) -> Read<'r>) -> Result<Vec<Read<'r>>, Wrong> {
    match written(message) {
        Written::JsonObject => Ok(vec![json(message)]),
        Written::MsgpackMap => {
            Ok(vec![one(|findings| object(node::read_msgpack(message, node::MAX_NODES)?, findings))])
        }
        Written::JsonArray => {
            let items = raw_items(message, MAX_COMMANDS)?;
            bounded(items.len())?;
            Ok(items.into_iter().map(json).collect())
        }
        Written::MsgpackArray => {
            if Frame::decode(message).is_ok() {
                let detail = "the message looks like a gateway's frame; only gateways send frames";
                return Err(Wrong::new("not_a_command", detail));
            }
            let Node::Array(items) = node::read_msgpack(message, MAX_BATCH_NODES)? else { return Err(no_command()) };
            bounded(items.len())?;
            Ok(items.into_iter().map(|item| one(|findings| object(item, findings))).collect())
        }
        Written::Otherwise => Err(no_command()),
    }
}

fn no_command() -> Wrong {
    let detail = "the message is neither a JSON object nor a MessagePack map, nor an array of these; docs/direct-publishing.md says what it can be";
    Wrong::new("not_a_command", detail)
}

fn bounded(commands: usize) -> Result<(), Wrong> {
    match commands {
        0 => Err(Wrong::new("not_a_command", "the message is an empty array")),
        1..=MAX_COMMANDS => Ok(()),
        _ => Err(Wrong::new("too_many_commands", format!("a message has at most {MAX_COMMANDS} commands"))),
    }
}

/// One command as JSON: what is right is read without a copy.
fn json(item: &[u8]) -> Read<'_> {
    match crate::api::event::fast(item) {
        Some(event) => Ok(event.into()),
        None => slow_json(item),
    }
}

fn slow_json(item: &[u8]) -> Read<'static> {
    one(|findings| object(node::read(item)?, findings))
}

/// One command or CloudEvent.
fn object(node: Node, findings: &mut Findings) -> Result<Part, Invalid> {
    Ok(if cloudevents::is_structured(&node) { cloudevents::structured(node, findings)? } else { Part::plain(node) })
}

/// A command's own fields, and what is said of it from outside.
struct Part {
    /// `None`: what is wrong is among the findings.
    node: Option<Node>,
    named: Option<Named>,
}

impl Part {
    const fn plain(node: Node) -> Self {
        Self { node: Some(node), named: None }
    }
}

/// Reads one command, collecting everything that is wrong with it.
fn one(part: impl FnOnce(&mut Findings) -> Result<Part, Invalid>) -> Read<'static> {
    let mut findings = Findings::default();
    let Part { node, named } = part(&mut findings)?;
    let (scheduler, kind) = node.as_ref().map_or((String::new(), "message"), command::hints);
    let command = node.and_then(|node| Fields::of(node, "", &mut findings).map(command::Draft::of));
    let command = command.and_then(|draft| draft?.finish(&mut findings));
    let command = command.map(|(scheduler_id, body)| DirectCommand { scheduler_id, body, named });
    findings.or(command).map_err(|invalid| Wrong { scheduler, command: kind, ..Wrong::from(invalid) })
}

#[cfg(test)]
mod tests;
