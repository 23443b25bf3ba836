//! What describes direct messages to other languages says what the code does.
#![cfg(feature = "openapi")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use ronda_schemas::describe::samples::{self, Sample};
use ronda_schemas::describe::{asyncapi, schema_files};
use ronda_schemas::direct;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Run with `RONDA_BLESS=1` to write the file anew.
fn is_committed(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("RONDA_BLESS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    assert!(committed == text, "{path} is not what the code says; run this test with RONDA_BLESS=1");
}

#[test]
fn the_committed_descriptions_are_these() {
    is_committed("docs/api/asyncapi.json", &asyncapi::document_json());
    for file in schema_files() {
        is_committed(&format!("schemas/json/{}", file.name), &file.text());
    }
    let there = std::fs::read_dir(root().join("schemas/json")).unwrap().count();
    assert_eq!(there, schema_files().len(), "schemas/json has a file that the code does not make");
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let text = asyncapi::document_json();
    let document: Value = serde_json::from_str(&text).unwrap();
    let mut count = 0;
    for reference in text.split("\"$ref\": \"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
        count += 1;
    }
    assert!(count > 100, "{count} references only");
}

/// Validates pairs of schema and message from standard input, by the schema's own dialect.
const VALIDATE: &str = "
import datetime, json, sys
from jsonschema import FormatChecker, validators
checker = FormatChecker(formats=())
@checker.checks('date-time', ValueError)
def date_time(text):
    return not isinstance(text, str) or bool(datetime.datetime.fromisoformat(text.replace('Z', '+00:00')))
def is_valid(schema, message):
    kind = validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema, format_checker=checker).is_valid(message)
print(json.dumps([is_valid(*pair) for pair in json.load(sys.stdin)]))
";

/// Whether each message is valid by its schema, as Python's jsonschema judges; `None`, and loudly, if that can't be had.
fn are_valid(pairs: &[(&Value, &Value)]) -> Option<Vec<bool>> {
    let python = match ronda_tools::from_pypi("jsonschema", "4.26.0") {
        Ok(folder) => folder.join("bin/python"),
        Err(missing) => {
            let _ = writeln!(std::io::stderr(), "!! SKIPPED validation by the JSON Schemas: {missing:#}");
            return None;
        }
    };
    let mut input = tempfile::tempfile().unwrap();
    serde_json::to_writer(&input, pairs).unwrap();
    input.rewind().unwrap();
    let output = Command::new(python).args(["-c", VALIDATE]).stdin(input).output().unwrap();
    let verdicts: Vec<bool> = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(verdicts.len(), pairs.len());
    Some(verdicts)
}

fn schema(name: &str) -> Value {
    schema_files().into_iter().find(|file| file.name == name).unwrap().schema
}

/// Whether the code takes all of a message.
fn is_taken(message: &Value) -> Result<(), String> {
    let text = message.to_string();
    let commands = direct::read(text.as_bytes(), &[]).map_err(|wrong| wrong.detail)?;
    commands.into_iter().try_for_each(|command| command.map(drop).map_err(|wrong| wrong.detail))
}

fn all_samples() -> Vec<(&'static str, Vec<Sample>)> {
    vec![
        ("command.json", samples::commands()),
        ("batch.json", samples::batches()),
        ("cloudevent.json", samples::cloud_events()),
    ]
}

#[test]
fn every_example_is_valid_and_taken() {
    for (file, samples) in all_samples() {
        let schema = schema(file);
        let pairs: Vec<_> = samples.iter().map(|sample| (&schema, &sample.payload)).collect();
        let verdicts = are_valid(&pairs);
        for (at, sample) in samples.iter().enumerate() {
            assert!(verdicts.as_ref().is_none_or(|verdicts| verdicts[at]), "{file}, {}", sample.name);
            assert_eq!(is_taken(&sample.payload), Ok(()), "{file}, {}", sample.name);
        }
    }
}

/// The vectors for other languages have messages in every shape; here those that are JSON.
#[test]
fn the_vectors_are_valid_where_they_are_right() {
    let text = std::fs::read_to_string(root().join("schemas/vectors/messages.json")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    let any = json!({"anyOf": [schema("command.json"), schema("batch.json"), schema("cloudevent.json")]});
    let mut messages = Vec::new();
    for vector in file["vectors"].as_array().unwrap() {
        let message = vector["message"].as_str().map(serde_json::from_str::<Value>);
        let (Some(Ok(message)), None) = (message, vector.get("headers")) else { continue };
        let mut commands = vector["commands"].as_array().into_iter().flatten();
        let is_right = vector.get("error").is_none() && commands.all(|command| command.get("type").is_some());
        messages.push((vector["name"].as_str().unwrap(), message, is_right));
    }
    let right = messages.iter().filter(|(_, _, is_right)| *is_right).count();
    assert!(right > 3 && messages.len() > right + 1, "{right} right ones of {}", messages.len());
    let pairs: Vec<_> = messages.iter().map(|(_, message, _)| (&any, message)).collect();
    let Some(verdicts) = are_valid(&pairs) else { return };
    for ((name, _, is_right), is_valid) in messages.iter().zip(verdicts) {
        assert_eq!(is_valid, *is_right, "{name}");
    }
}

/// The document's own examples, by its own schemas (of draft 7, as AsyncAPI says), and by the code.
#[test]
fn every_example_of_the_document_is_valid_and_taken() {
    let document = asyncapi::document();
    let (mut pairs, mut binary) = (Vec::new(), 0);
    for (name, message) in document["components"]["messages"].as_object().unwrap() {
        let whole = |schema: &Value| {
            let draft = "http://json-schema.org/draft-07/schema#";
            json!({"$schema": draft, "allOf": [schema], "components": {"schemas": document["components"]["schemas"]}})
        };
        for example in message["examples"].as_array().unwrap() {
            let headers = example.get("headers").cloned().unwrap_or_else(|| json!({}));
            let given = headers.as_object().unwrap().iter();
            let given: Vec<(String, String)> =
                given.map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().to_owned())).collect();
            let text = example["payload"].to_string();
            let read = direct::read(text.as_bytes(), &given).unwrap();
            let command = read[0].as_ref().unwrap();
            binary += usize::from(!given.is_empty() && command.named.is_some());
            if example.get("headers").is_some() {
                pairs.push((name, whole(&message["headers"]), headers));
            }
            pairs.push((name, whole(&message["payload"]), example["payload"].clone()));
        }
    }
    assert!(pairs.len() > 30 && binary == 3, "{} examples, {binary} in binary mode", pairs.len());
    let asked: Vec<_> = pairs.iter().map(|(_, schema, message)| (schema, message)).collect();
    let Some(verdicts) = are_valid(&asked) else { return };
    for ((name, _, message), is_valid) in pairs.iter().zip(verdicts) {
        assert!(is_valid, "{name}: {message}");
    }
}

/// A command with one thing changed; null takes a field away.
fn but(base: &Value, changes: &[(&str, Value)]) -> Value {
    let mut changed = base.clone();
    for (name, value) in changes {
        let fields = changed.as_object_mut().unwrap();
        if value.is_null() {
            fields.remove(*name);
        } else {
            fields.insert((*name).to_owned(), value.clone());
        }
    }
    changed
}

#[test]
fn what_is_wrong_is_neither_valid_nor_taken() {
    let status = json!({"type": "status", "scheduler_id": "nightly", "status": "running"});
    let register = json!({"type": "register", "id": "nightly"});
    let heartbeat = json!({"type": "heartbeat", "scheduler_id": "nightly"});
    let pause = json!({"type": "pause", "scheduler_id": "nightly"});
    let commands = [
        json!(null),
        json!("running"),
        json!({}),
        but(&status, &[("type", json!(null))]),
        but(&status, &[("type", json!("done"))]),
        but(&status, &[("type", json!("Status"))]),
        but(&status, &[("scheduler_id", json!(null))]),
        but(&status, &[("scheduler_id", json!("a/b"))]),
        but(&status, &[("scheduler_id", json!(""))]),
        but(&status, &[("scheduler_id", json!("a".repeat(129)))]),
        but(&status, &[("status", json!(null))]),
        but(&status, &[("status", json!("succeeded"))]),
        but(&status, &[("run_id", json!("a b"))]),
        but(&status, &[("run_id", json!(7))]),
        but(&status, &[("exit_code", json!("1"))]),
        but(&status, &[("exit_code", json!(1.5))]),
        but(&status, &[("exit_code", json!(2_147_483_648_u64))]),
        but(&status, &[("duration_ms", json!(-1))]),
        but(&status, &[("duration_ms", json!(31_622_400_001_u64))]),
        but(&status, &[("error", json!("a\u{0}b"))]),
        but(&status, &[("error", json!("a".repeat(4_097)))]),
        but(&status, &[("occurred_at", json!("yesterday"))]),
        but(&status, &[("metadata", json!({"": "x"}))]),
        but(&status, &[("metadata", json!({"host": 7}))]),
        but(&status, &[("progress", json!({"done": 1}))]),
        but(&status, &[("statsu", json!("failed"))]),
        but(&heartbeat, &[("progress", json!({"total": 3}))]),
        but(&heartbeat, &[("progress", json!({"done": 1, "of": 3}))]),
        but(&heartbeat, &[("status", json!("running"))]),
        but(&register, &[("id", json!(null))]),
        but(&register, &[("id", json!("register"))]),
        but(&register, &[("scheduler_id", json!("nightly"))]),
        but(&register, &[("schedule", json!({}))]),
        but(&register, &[("schedule", json!({"cron": "@daily", "every_seconds": 60}))]),
        but(&register, &[("alert_after", json!(0))]),
        but(&register, &[("severity", json!("urgent"))]),
        but(&register, &[("tags", json!([" "]))]),
        but(&pause, &[("scheduler_id", json!(null))]),
        but(&pause, &[("reason", json!("holidays"))]),
    ];
    refused("command.json", &commands);

    let event = json!({"specversion": "1.0", "id": "1", "source": "/x", "type": "ronda.status", "subject": "nightly",
        "data": {"status": "running"}});
    assert_eq!(is_taken(&event), Ok(()));
    let events = [
        but(&event, &[("specversion", json!("0.3"))]),
        but(&event, &[("specversion", json!(null))]),
        but(&event, &[("id", json!(null))]),
        but(&event, &[("id", json!(""))]),
        but(&event, &[("source", json!(null))]),
        but(&event, &[("type", json!("status"))]),
        but(&event, &[("type", json!("ronda.done"))]),
        but(&event, &[("subject", json!(null))]),
        but(&event, &[("subject", json!("a b"))]),
        but(&event, &[("time", json!("noon"))]),
        but(&event, &[("data", json!(null))]),
        but(&event, &[("data", json!([]))]),
        but(&event, &[("data", json!({"status": "running", "type": "heartbeat"}))]),
        but(&event, &[("data", json!({"status": "running", "statsu": 1}))]),
        but(&event, &[("data_base64", json!("e30="))]),
    ];
    refused("cloudevent.json", &events);

    let many = vec![status.clone(); direct::MAX_COMMANDS + 1];
    let batches = [json!([]), json!([[status]]), json!([status, {"type": "status"}]), json!(["running"]), json!(many)];
    refused("batch.json", &batches);
}

fn refused(file: &str, messages: &[Value]) {
    let schema = schema(file);
    let pairs: Vec<_> = messages.iter().map(|message| (&schema, message)).collect();
    let verdicts = are_valid(&pairs);
    for (at, message) in messages.iter().enumerate() {
        let text: String = message.to_string().chars().take(300).collect();
        assert!(verdicts.as_ref().is_none_or(|verdicts| !verdicts[at]), "{file} takes {text}");
        assert!(is_taken(message).is_err(), "the code takes {text}");
    }
}

/// What clients may leave out they may also give as null, as everywhere in the API.
#[test]
fn null_is_the_same_as_nothing() {
    let messages = [
        json!({"type": "status", "scheduler_id": "a", "status": "running", "run_id": null, "error": null, "metadata": null,
            "occurred_at": null, "exit_code": null, "duration_ms": null}),
        json!({"type": "heartbeat", "scheduler_id": "a", "progress": null, "run_id": null}),
        json!({"type": "register", "id": "a", "schedule": null, "tags": null, "severity": null, "name": null}),
    ];
    for message in &messages {
        assert_eq!(is_taken(message), Ok(()), "{message}");
    }
    let schema = schema("command.json");
    let pairs: Vec<_> = messages.iter().map(|message| (&schema, message)).collect();
    assert!(are_valid(&pairs).is_none_or(|verdicts| verdicts.into_iter().all(|is_valid| is_valid)));
}
