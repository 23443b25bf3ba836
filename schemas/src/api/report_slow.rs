//! The slow path of status and heartbeat: everything that is wrong, each with its place.

use std::borrow::Cow;

use ronda_domain::id::check_run_id;
use ronda_domain::limits;

use super::fields::{Fields, pointer};
use super::invalid::{Findings, Invalid};
use super::node::{self, Node};
use super::report::{HeartbeatBody, ProgressBody, STATUS_WORDS, StatusBody, status_of};
use super::text::{Lines, check_text, excerpt};
use super::{MAX_DURATION_MS, MAX_PROGRESS_UNITS};

const STATUS_FIELDS: [&str; 7] = ["status", "run_id", "error", "exit_code", "duration_ms", "occurred_at", "metadata"];
const HEARTBEAT_FIELDS: [&str; 3] = ["run_id", "progress", "occurred_at"];
const PROGRESS_FIELDS: [&str; 3] = ["done", "total", "message"];

pub(super) fn status(body: &[u8]) -> Result<StatusBody<'static>, Invalid> {
    let node = node::read(body)?;
    let mut findings = Findings::default();
    let value = Fields::of(node, "", &mut findings).and_then(|fields| status_fields(fields, &[]));
    findings.or(value)
}

pub(super) fn heartbeat(body: &[u8]) -> Result<HeartbeatBody<'static>, Invalid> {
    let node = node::read(body)?;
    let mut findings = Findings::default();
    let value = Fields::of(node, "", &mut findings).map(|fields| heartbeat_fields(fields, &[]));
    findings.or(value)
}

/// The rest of a status, once the fields around it (`others`) have been taken out.
pub(super) fn status_fields(mut fields: Fields<'_>, others: &[&str]) -> Option<StatusBody<'static>> {
    let given = fields.has("status");
    let status = fields.word("status", &STATUS_WORDS, status_of);
    let status = fields.need("status", given, status, "one of running, success, failed, cancelled, skipped");
    let run_id = fields.id("run_id", check_run_id);
    let error = fields.text("error", limits::MAX_ERROR_BYTES, Lines::Many);
    let exit_code = fields.integer("exit_code", i32::MIN.into(), i32::MAX.into());
    let duration_ms = fields.integer("duration_ms", 0, MAX_DURATION_MS.into());
    let occurred_at = fields.time("occurred_at");
    let metadata = metadata(&mut fields);
    fields.end(&[others, &STATUS_FIELDS].concat());
    Some(StatusBody {
        status: status?,
        run_id: run_id.map(Cow::Owned),
        occurred_at,
        error: error.map(Cow::Owned),
        exit_code,
        duration_ms,
        metadata,
    })
}

/// The rest of a heartbeat, once the fields around it (`others`) have been taken out.
pub(super) fn heartbeat_fields(mut fields: Fields<'_>, others: &[&str]) -> HeartbeatBody<'static> {
    let run_id = fields.id("run_id", check_run_id);
    let occurred_at = fields.time("occurred_at");
    let progress = fields.take("progress").and_then(|node| {
        let at = fields.pointer("progress");
        Fields::of(node, &at, fields.findings()).and_then(progress)
    });
    fields.end(&[others, &HEARTBEAT_FIELDS].concat());
    HeartbeatBody { run_id: run_id.map(Cow::Owned), occurred_at, progress }
}

fn progress(mut fields: Fields<'_>) -> Option<ProgressBody<'static>> {
    let most = i128::from(MAX_PROGRESS_UNITS);
    let given = fields.has("done");
    let done = fields.integer("done", 0, most);
    let done = fields.need("done", given, done, "how many units are done");
    let total = fields.integer("total", 0, most);
    let message = fields.text("message", limits::MAX_PROGRESS_MESSAGE_BYTES, Lines::One);
    fields.end(&PROGRESS_FIELDS);
    Some(ProgressBody { done: done?, total, message: message.map(Cow::Owned) })
}

fn metadata(fields: &mut Fields<'_>) -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
    let at = fields.pointer("metadata");
    let pairs = match fields.take("metadata") {
        None => return Vec::new(),
        Some(Node::Object(pairs)) => pairs,
        Some(other) => {
            let message = format!("must be an object of strings, and is {}", other.kind());
            fields.findings().add(at, "wrong_type", message);
            return Vec::new();
        }
    };
    if pairs.len() > limits::MAX_METADATA_PAIRS {
        let (most, actual) = (limits::MAX_METADATA_PAIRS, pairs.len());
        fields.findings().add(at.clone(), "too_many", format!("must have at most {most} pairs, and has {actual}"));
    }
    let mut out: Vec<(Cow<'static, str>, Cow<'static, str>)> = Vec::new();
    for (key, value) in pairs {
        let at = pointer(&at, &key);
        let Some(value) = metadata_pair(&key, value, &at, fields.findings()) else { continue };
        if out.iter().any(|(other, _)| *other == key) {
            fields.findings().add(at, "duplicate_field", "must be given only once");
        } else {
            out.push((Cow::Owned(key), Cow::Owned(value)));
        }
    }
    out
}

fn metadata_pair(key: &str, value: Node, at: &str, findings: &mut Findings) -> Option<String> {
    if key.is_empty() {
        findings.add(at, "empty", "must not have an empty name");
        return None;
    }
    if let Err((code, message)) = check_text(key, limits::MAX_METADATA_KEY_BYTES, Lines::One) {
        findings.add(at, code, format!("has a name ('{}') that {message}", excerpt(key)));
        return None;
    }
    let Node::Text(text) = value else {
        findings.add(at, "wrong_type", format!("must be a string, and is {}", value.kind()));
        return None;
    };
    if let Err((code, message)) = check_text(&text, limits::MAX_METADATA_VALUE_BYTES, Lines::One) {
        findings.add(at, code, message);
        return None;
    }
    Some(text)
}
