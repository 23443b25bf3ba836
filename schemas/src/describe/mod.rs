//! Descriptions of the messages that direct publishers send, for machines: JSON Schemas and an AsyncAPI document, made from the same types as
//! the OpenAPI document. What reads the messages is in [`crate::direct`]; a test holds the two together.
//!
//! Like all of those, they count lengths in characters where the parsers count bytes of UTF-8, and leave to the parsers what no schema can
//! say: whether a time zone exists, say.

pub mod asyncapi;
mod messages;
pub mod samples;

use serde_json::{Value, json};

/// Where a schema's parts are in a file of its own.
const PARTS: &str = "#/$defs/";
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A JSON Schema as a file of its own.
pub struct SchemaFile {
    /// The file's name below `schemas/json/`.
    pub name: &'static str,
    /// What is in it.
    pub schema: Value,
}

impl SchemaFile {
    fn new(name: &'static str, title: &str, root: &str) -> Self {
        let parts = messages::parts();
        let needed = messages::needed_by(root, &parts);
        let mut schema = json!({
            "$schema": DIALECT,
            "$id": format!("urn:ronda:schema:{}", name.trim_end_matches(".json")),
            "title": title,
            "$ref": format!("{}{root}", messages::HOME),
            "$defs": needed,
        });
        messages::point_to(&mut schema, PARTS);
        Self { name, schema }
    }

    /// As it is written: indented, and with a line's end.
    #[must_use]
    pub fn text(&self) -> String {
        pretty(&self.schema)
    }
}

/// The JSON Schemas (2020-12) of what may be on the queue, each whole in itself.
#[must_use]
pub fn schema_files() -> Vec<SchemaFile> {
    vec![
        SchemaFile::new("command.json", "One command for Ronda", "Command"),
        SchemaFile::new("batch.json", "Several commands for Ronda in one message", "Batch"),
        SchemaFile::new(
            "cloudevent.json",
            "One command for Ronda as a CloudEvent 1.0 in structured mode",
            "CloudEvent",
        ),
    ]
}

/// Indented, and with a line's end.
fn pretty(value: &Value) -> String {
    // Its names are texts, so that it can always be written.
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
