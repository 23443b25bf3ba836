//! The schemas of commands, batches and CloudEvents, from the types that describe the API's bodies.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use crate::api::request::{HeartbeatRequest, RegisterRequest, StatusEvent, StatusRequest};
use crate::direct::{MAX_COMMANDS, TYPES};

/// Where `utoipa` lets references lead, and where the parts are in an AsyncAPI document.
pub(super) const HOME: &str = "#/components/schemas/";

/// The longest id or source of an event.
const MAX_NAME_BYTES: usize = 1_024;

/// Named schemas.
pub(super) type Parts = Map<String, Value>;

/// Every schema, by its name.
pub(super) fn parts() -> Parts {
    let mut parts = Parts::new();
    add_parts::<StatusRequest>(&mut parts);
    add_parts::<HeartbeatRequest>(&mut parts);
    add_parts::<RegisterRequest>(&mut parts);
    for kind in TYPES {
        parts.insert(name_of(kind, "Command"), command(kind));
        parts.insert(name_of(kind, "Data"), data(kind));
        parts.insert(name_of(kind, "CloudEvent"), cloud_event(kind));
    }
    parts.insert(String::from("Command"), one_of("oneOf", "Command", "One command, told apart by its `type`."));
    let data = one_of("anyOf", "Data", "The fields of a command that are no attributes of the event around it.");
    parts.insert(String::from("Data"), data);
    let event = one_of(
        "oneOf",
        "CloudEvent",
        "A CloudEvent 1.0 (structured mode) whose `type` is `ronda.` and a command's type.",
    );
    parts.insert(String::from("CloudEvent"), event);
    let batch = json!({
        "description": "Commands, CloudEvents or both, applied in this order. One that is wrong is refused alone.",
        "type": "array", "minItems": 1, "maxItems": MAX_COMMANDS,
        "items": {"anyOf": [reference("Command"), reference("CloudEvent")]},
    });
    parts.insert(String::from("Batch"), batch);
    for part in parts.values_mut() {
        set_references_apart(part);
    }
    parts
}

/// Those of the parts that one needs, itself among them.
pub(super) fn needed_by(root: &str, parts: &Parts) -> Parts {
    let mut needed = BTreeSet::new();
    let mut next = vec![root.to_owned()];
    while let Some(name) = next.pop() {
        if let Some(part) = parts.get(&name)
            && needed.insert(name)
        {
            each_reference(&mut part.clone(), &mut |reference| {
                next.push(reference.trim_start_matches(HOME).to_owned());
            });
        }
    }
    parts.iter().filter(|(name, _)| needed.contains(*name)).map(|(name, part)| (name.clone(), part.clone())).collect()
}

/// Lets all references lead to another home.
pub(super) fn point_to(schema: &mut Value, home: &str) {
    each_reference(schema, &mut |reference| *reference = reference.replace(HOME, home));
}

fn each_reference(value: &mut Value, change: &mut impl FnMut(&mut String)) {
    match value {
        Value::Object(pairs) => {
            for (name, value) in pairs {
                match value {
                    Value::String(reference) if name == "$ref" => change(reference),
                    value => each_reference(value, change),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_reference(item, change)),
        _ => {}
    }
}

/// What stands beside a reference counts from JSON Schema 2019-09 on, and AsyncAPI's schemas are of draft 7.
fn set_references_apart(value: &mut Value) {
    match value {
        Value::Object(pairs) => {
            if pairs.len() > 1
                && let Some(reference) = pairs.remove("$ref")
            {
                pairs.insert(String::from("allOf"), json!([{"$ref": reference}]));
            }
            pairs.values_mut().for_each(set_references_apart);
        }
        Value::Array(items) => items.iter_mut().for_each(set_references_apart),
        _ => {}
    }
}

fn add_parts<T: ToSchema>(parts: &mut Parts) {
    let mut all = Vec::new();
    T::schemas(&mut all);
    parts.extend(all.into_iter().map(|(name, schema)| (name, value_of(&schema))));
}

fn value_of(schema: &impl serde::Serialize) -> Value {
    // Its names are texts, so that it can always be written.
    serde_json::to_value(schema).unwrap_or_default()
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("{HOME}{name}")})
}

/// `StatusCommand`, say.
fn name_of(kind: &str, what: &str) -> String {
    let (first, rest) = kind.split_at(1);
    format!("{}{rest}{what}", first.to_uppercase())
}

fn one_of(how: &str, what: &str, description: &str) -> Value {
    let all: Vec<Value> = TYPES.into_iter().map(|kind| reference(&name_of(kind, what))).collect();
    json!({"description": description, how: all})
}

/// The field that names the scheduler.
const fn id_field(kind: &str) -> &'static str {
    if matches!(kind.as_bytes(), b"register") { "id" } else { "scheduler_id" }
}

/// A command's own fields, without its type: those of the API's body, and which scheduler.
fn fields(kind: &str) -> Value {
    let mut fields = match kind {
        "status" => value_of(&StatusRequest::schema()),
        "heartbeat" => value_of(&HeartbeatRequest::schema()),
        "register" => value_of(&RegisterRequest::schema()),
        "delete" => about("The scheduler is forgotten; its history stays."),
        "pause" => about("Nothing is expected of the scheduler until it is resumed."),
        _ => about("The scheduler is watched again."),
    };
    if kind != "register" {
        let event = value_of(&StatusEvent::schema());
        fields["properties"]["scheduler_id"] = event["properties"]["scheduler_id"].clone();
        require(&mut fields, "scheduler_id");
    }
    fields
}

fn about(description: &str) -> Value {
    json!({"type": "object", "description": description, "additionalProperties": false, "properties": {}, "required": []})
}

fn require(schema: &mut Value, field: &str) {
    match &mut schema["required"] {
        Value::Array(required) => required.insert(0, json!(field)),
        none => *none = json!([field]),
    }
}

fn command(kind: &str) -> Value {
    let mut command = fields(kind);
    command["properties"]["type"] = json!({"const": kind, "description": "What the command asks for."});
    require(&mut command, "type");
    command
}

/// What is in an event around a command: its fields, of which the event's own attributes may stand for type and scheduler.
fn data(kind: &str) -> Value {
    let mut data = fields(kind);
    data["properties"]["type"] = json!({"const": kind, "description": "The same as the event's type says."});
    if let Value::Object(data) = &mut data
        && let Some(Value::Array(mut required)) = data.remove("required")
    {
        required.retain(|field| field != id_field(kind));
        if !required.is_empty() {
            data.insert(String::from("required"), json!(required));
        }
    }
    data
}

/// The attributes that every event has.
pub(super) const NEEDED_ATTRIBUTES: [&str; 4] = ["specversion", "id", "source", "type"];

/// The attributes of an event that are looked at.
pub(super) fn attributes() -> Parts {
    let scheduler = fields("status")["properties"]["scheduler_id"]["pattern"].clone();
    let attributes = json!({
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_BYTES,
            "description": "Another one for each event of the source: an event that comes again counts once."},
        "source": {"type": "string", "minLength": 1, "maxLength": MAX_NAME_BYTES, "description": "Who sends it."},
        "type": {"enum": TYPES.map(|kind| format!("ronda.{kind}"))},
        "subject": {"type": "string", "pattern": scheduler, "description": "The scheduler's id."},
        "time": {"type": "string", "format": "date-time", "description": "A report's `occurred_at`, when its data has none."},
    });
    attributes.as_object().cloned().unwrap_or_default()
}

/// An event around a command. Its subject or its data names the scheduler, and only a status needs data.
fn cloud_event(kind: &str) -> Value {
    let mut properties = attributes();
    properties.insert(String::from("type"), json!({"const": format!("ronda.{kind}")}));
    properties.insert(String::from("datacontenttype"), json!({"type": "string"}));
    properties.insert(String::from("data"), reference(&name_of(kind, "Data")));
    let encoded = json!({"type": "string", "description": "The data as base64: JSON or MessagePack."});
    properties.insert(String::from("data_base64"), encoded);
    let mut named = vec![
        json!({"required": ["data"], "properties": {"data": {"required": [id_field(kind)]}}}),
        json!({"required": ["data_base64"]}),
    ];
    named.push(if kind == "status" {
        json!({"required": ["subject", "data"]})
    } else {
        json!({"required": ["subject"]})
    });
    json!({
        "type": "object",
        "description": "Other attributes than these are extensions, and are not looked at.",
        "required": NEEDED_ATTRIBUTES,
        "properties": properties,
        "not": {"required": ["data", "data_base64"]},
        "anyOf": named,
    })
}
