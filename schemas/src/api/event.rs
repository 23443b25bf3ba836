//! Many events in one body, and the JSON of a single command.

use std::borrow::Cow;

use ronda_domain::id::check_id;
use ronda_domain::input::Input;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::fields::Fields;
use super::invalid::{FieldError, Findings, Invalid};
use super::node;
use super::report::{Checked, HeartbeatBody, ObjectOnly, Pairs, ProgressWire, StatusBody, checked_heartbeat};
use super::report_slow::{heartbeat_fields, status_fields};
use super::text::Text;

/// The words for the kind of an event.
pub const EVENT_TYPES: [&str; 2] = ["status", "heartbeat"];
const ENVELOPE_FIELDS: [&str; 2] = ["type", "scheduler_id"];

/// One event of a bulk body, or the one command of a queue message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkEvent<'a> {
    /// Which scheduler, checked to be an id.
    pub scheduler_id: Cow<'a, str>,
    /// What it says.
    pub body: EventBody<'a>,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventBody<'a> {
    /// `"type":"status"`
    Status(StatusBody<'a>),
    /// `"type":"heartbeat"`
    Heartbeat(HeartbeatBody<'a>),
}

impl EventBody<'_> {
    /// The same as the domain takes it.
    #[must_use]
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Status(body) => Input::Status(body.report()),
            Self::Heartbeat(body) => Input::Heartbeat(body.report()),
        }
    }
}

/// Reads the JSON of a single event.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_event(body: &[u8]) -> Result<BulkEvent<'_>, Invalid> {
    match fast(body) {
        Some(event) => Ok(event),
        None => slow(body),
    }
}

/// The event when nothing is wrong with it, with its texts borrowed from the body.
pub(crate) fn fast(body: &[u8]) -> Option<BulkEvent<'_>> {
    let text = std::str::from_utf8(body).ok()?;
    serde_json::from_str::<ObjectOnly<EventWire<'_>>>(text).ok()?.0.check()
}

fn slow(body: &[u8]) -> Result<BulkEvent<'static>, Invalid> {
    let node = node::read(body)?;
    let mut findings = Findings::default();
    let event = Fields::of(node, "", &mut findings).and_then(slow_fields);
    findings.or(event)
}

fn slow_fields(mut fields: Fields<'_>) -> Option<BulkEvent<'static>> {
    let given = fields.has("type");
    let is_status = fields.word("type", &EVENT_TYPES, |word| match word {
        "status" => Some(true),
        "heartbeat" => Some(false),
        _ => None,
    });
    let is_status = fields.need("type", given, is_status, "status or heartbeat");
    event_fields(fields, is_status)
}

/// The rest of an event, once its type has been taken out.
pub(crate) fn event_fields(mut fields: Fields<'_>, is_status: Option<bool>) -> Option<BulkEvent<'static>> {
    let given = fields.has("scheduler_id");
    let scheduler_id = fields.id("scheduler_id", check_id);
    let scheduler_id =
        fields.need("scheduler_id", given, scheduler_id, "the id that the scheduler was registered with");
    // Without a type it can't be told which fields it should have: nothing is said about the others.
    let body = match is_status? {
        true => EventBody::Status(status_fields(fields, &ENVELOPE_FIELDS)?),
        false => EventBody::Heartbeat(heartbeat_fields(fields, &ENVELOPE_FIELDS)),
    };
    Some(BulkEvent { scheduler_id: Cow::Owned(scheduler_id?), body })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventWire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    scheduler_id: Text<'a>,
    #[serde(default, borrow)]
    status: Option<Text<'a>>,
    #[serde(default, borrow)]
    run_id: Option<Text<'a>>,
    #[serde(default, borrow)]
    error: Option<Text<'a>>,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    duration_ms: Option<u64>,
    #[serde(default, borrow)]
    occurred_at: Option<Text<'a>>,
    #[serde(default, borrow)]
    metadata: Option<Pairs<'a>>,
    #[serde(default, borrow)]
    progress: Option<ObjectOnly<ProgressWire<'a>>>,
}

impl<'a> EventWire<'a> {
    fn check(self) -> Option<BulkEvent<'a>> {
        check_id(&self.scheduler_id.0).ok()?;
        let body = match &*self.kind.0 {
            "status" if self.progress.is_none() => {
                let rest = Checked {
                    run_id: self.run_id,
                    error: self.error,
                    exit_code: self.exit_code,
                    duration_ms: self.duration_ms,
                    occurred_at: self.occurred_at,
                    metadata: self.metadata,
                };
                EventBody::Status(rest.status(&self.status?)?)
            }
            "heartbeat" => {
                let foreign = self.status.is_some()
                    || self.error.is_some()
                    || self.exit_code.is_some()
                    || self.duration_ms.is_some()
                    || self.metadata.is_some();
                if foreign {
                    return None;
                }
                EventBody::Heartbeat(checked_heartbeat(self.run_id, self.occurred_at, self.progress)?)
            }
            _ => return None,
        };
        Some(BulkEvent { scheduler_id: self.scheduler_id.0, body })
    }
}

/// The events of a bulk body, read one after another. Items borrow from the body; nothing else is kept.
#[derive(Clone, Debug)]
pub struct BulkEvents<'a> {
    rest: Rest<'a>,
}

#[derive(Clone, Debug)]
enum Rest<'a> {
    /// An array of which nothing has been read yet.
    Array(&'a [u8]),
    /// What comes after an item of an array.
    Items { all: &'a str, at: usize, first: bool },
    /// Lines.
    Lines(&'a [u8]),
    /// Nothing more.
    End,
}

impl<'a> BulkEvents<'a> {
    /// A JSON array of events.
    #[must_use]
    pub const fn array(body: &'a [u8]) -> Self {
        Self { rest: Rest::Array(body) }
    }

    /// NDJSON: one event a line; empty lines are skipped and not counted.
    #[must_use]
    pub const fn ndjson(body: &'a [u8]) -> Self {
        Self { rest: Rest::Lines(body) }
    }

    /// The next event, what is wrong with it, or `None` at the end.
    ///
    /// # Errors
    /// When the body as a whole can't be read (an array that is none, or is cut off): then nothing of it may be taken, neither what came
    /// before. NDJSON has no such errors: each line stands for itself.
    pub fn next_event(&mut self) -> Result<Option<Result<BulkEvent<'a>, Invalid>>, Invalid> {
        loop {
            match &mut self.rest {
                Rest::End => return Ok(None),
                Rest::Lines(rest) => return Ok(next_line(rest).map(parse_event)),
                Rest::Array(body) => {
                    let all = std::str::from_utf8(body).map_err(|error| node::not_utf8(&error))?;
                    let at = skip_space(all, 0);
                    if all.as_bytes().get(at) != Some(&b'[') {
                        return Err(no_array(all));
                    }
                    self.rest = Rest::Items { all, at: at + 1, first: true };
                }
                Rest::Items { all, at, first } => {
                    let all: &'a str = all;
                    let Some(start) = next_item(all, *at, *first)? else {
                        self.rest = Rest::End;
                        return Ok(None);
                    };
                    let (event, end) = item(all, start)?;
                    (*at, *first) = (end, false);
                    return Ok(Some(event));
                }
            }
        }
    }
}

fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, more) = rest.split_at(end);
        *rest = more.get(1..).unwrap_or_default();
        if !line.iter().all(u8::is_ascii_whitespace) {
            return Some(line);
        }
    }
    None
}

fn skip_space(all: &str, from: usize) -> usize {
    let bytes = all.as_bytes().get(from..).unwrap_or_default();
    from + bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}

/// A body that does not begin as an array.
fn no_array(all: &str) -> Invalid {
    let message = "must be a JSON array of events; for one event a line, send it as application/x-ndjson";
    match serde_json::from_str::<IgnoredAny>(all) {
        Ok(_) => Invalid::fields(vec![FieldError {
            pointer: String::new(),
            code: "wrong_type",
            message: message.to_owned(),
        }]),
        Err(_) => Invalid::json(format!("The body {message}.")),
    }
}

/// The items of a JSON array as they are written, at most so many and one.
///
/// # Errors
/// When it is no array, or one that can't be read.
pub(crate) fn raw_items(body: &[u8], most: usize) -> Result<Vec<&[u8]>, Invalid> {
    let all = std::str::from_utf8(body).map_err(|error| node::not_utf8(&error))?;
    let mut at = skip_space(all, 0);
    if all.as_bytes().get(at) != Some(&b'[') {
        return Err(no_array(all));
    }
    at += 1;
    let mut items = Vec::new();
    while items.len() <= most
        && let Some(start) = next_item(all, at, items.is_empty())?
    {
        at = end_of_item(all, start)?;
        items.push(all.as_bytes().get(start..at).unwrap_or_default());
    }
    Ok(items)
}

/// Where the item that begins here ends, whatever it is.
fn end_of_item(all: &str, start: usize) -> Result<usize, Invalid> {
    let text = all.get(start..).unwrap_or_default();
    let mut reader = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    match reader.next() {
        Some(Ok(_)) => Ok(start + reader.byte_offset()),
        Some(Err(error)) => Err(node::not_json(&error)),
        None => Err(Invalid::json("The body ends within the array.")),
    }
}

/// Where the next item of the array begins; `None` after its end.
fn next_item(all: &str, at: usize, first: bool) -> Result<Option<usize>, Invalid> {
    let broken = |at: usize, expected: &str| {
        Invalid::json(format!("The body is not a JSON array that can be read: at byte {at} {expected} was expected."))
    };
    let at = skip_space(all, at);
    match all.as_bytes().get(at) {
        Some(b']') => {
            let end = skip_space(all, at + 1);
            if end == all.len() { Ok(None) } else { Err(broken(end, "the end of the body")) }
        }
        Some(b',') if !first => Ok(Some(skip_space(all, at + 1))),
        Some(_) if first => Ok(Some(at)),
        _ => Err(broken(at, "',' or ']'")),
    }
}

/// The item that begins here, and where it ends.
fn item(all: &str, start: usize) -> Result<(Result<BulkEvent<'_>, Invalid>, usize), Invalid> {
    let text = all.get(start..).unwrap_or_default();
    let mut reader = serde_json::Deserializer::from_str(text).into_iter::<ObjectOnly<EventWire<'_>>>();
    if let Some(Ok(object)) = reader.next() {
        let end = start + reader.byte_offset();
        if let Some(event) = object.0.check() {
            return Ok((Ok(event), end));
        }
    }
    // Something is wrong: either with this item only, or with the array.
    let end = end_of_item(all, start)?;
    let item = all.get(start..end).unwrap_or_default();
    Ok((parse_event(item.as_bytes()), end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// An event of right and nearly right values; the fast path takes about half of them.
    fn event() -> impl Strategy<Value = Value> {
        let text = prop_oneof![8 => "[a-z]{1,8}", 2 => "\\PC{0,6}", 1 => "[\\x00-\\x20é😀\"\\\\]{0,4}"];
        let kind = prop_oneof![8 => Just("status"), 8 => Just("heartbeat"), 1 => Just("other")];
        let status = prop_oneof![8 => Just("failed"), 8 => Just("running"), 1 => Just("done")];
        let time = prop_oneof![8 => Just("2026-11-23T18:00:00.5+07:00"), 1 => Just("now")];
        let number = prop_oneof![8 => (0_i64..9_000).prop_map(Value::from), 1 => any::<i64>().prop_map(Value::from), 1 => Just(json!(1.0)), 1 => Just(json!(0.5))];
        let fields = (kind, status, text.clone(), number.clone(), number, time, text);
        (fields, any::<[bool; 7]>()).prop_map(|((kind, status, text, number, other, time, word), has)| {
            let mut event = json!({"type": kind, "scheduler_id": "nightly-billing"});
            let mut put = |at: usize, name: &str, value: Value| {
                if has[at] {
                    event[name] = value;
                }
            };
            put(0, "run_id", json!(word));
            put(1, "occurred_at", json!(time));
            if kind == "heartbeat" {
                put(2, "progress", json!({"done": number, "total": other, "message": text}));
            } else {
                put(6, "error", json!(text));
                put(3, "exit_code", number);
                put(4, "duration_ms", other);
                put(5, "metadata", json!({"host": text, "": word}));
                put(5, "metadata", json!({"host": text, "w": word}));
                event["status"] = json!(status);
            }
            event
        })
    }

    proptest! {
        #[test]
        fn what_the_fast_path_takes_the_slow_path_takes_alike(event in event()) {
            let text = event.to_string();
            let fast = serde_json::from_str::<ObjectOnly<EventWire<'_>>>(&text).ok().and_then(|object| object.0.check());
            if let Some(fast) = fast {
                prop_assert_eq!(Ok(fast), slow(text.as_bytes()));
            }
        }
    }

    #[test]
    fn the_fast_path_takes_what_clients_send() {
        for text in [
            r#"{"type":"status","scheduler_id":"a","status":"failed","run_id":"r","error":"a\nb","exit_code":1,"duration_ms":5,"occurred_at":"2026-11-23T18:00:00Z","metadata":{"host":"x"}}"#,
            r#"{"type":"heartbeat","scheduler_id":"a","run_id":"r","progress":{"done":4,"total":10,"message":"m"},"occurred_at":null}"#,
        ] {
            let fast = serde_json::from_str::<ObjectOnly<EventWire<'_>>>(text).unwrap().0.check();
            assert_eq!(fast.map(Ok), Some(slow(text.as_bytes())));
        }
    }
}
