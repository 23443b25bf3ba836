//! A call's arguments, in any of the ways in which Slack takes them.

use std::collections::BTreeMap;

use http::{HeaderMap, header};
use serde_json::{Map, Value, json};

/// Methods that take no JSON: what comes so is passed over. <https://docs.slack.dev/apis/web-api>, "POST bodies"
const FORM_ONLY: [&str; 3] = ["conversations.replies", "conversations.info", "users.info"];

/// Named arguments of one call.
pub(super) type Arguments = Map<String, Value>;

/// Arguments from a JSON body, a form body or the query; values of forms that are JSON are read as such, as Slack does.
pub(super) fn read(method: &str, headers: &HeaderMap, body: &[u8], query: BTreeMap<String, String>) -> Arguments {
    let json_body = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if json_body && FORM_ONLY.contains(&method) {
        return from_pairs(query);
    }
    if json_body {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    let form = url::form_urlencoded::parse(body).into_owned();
    from_pairs(form.chain(query))
}

fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Arguments {
    let value = |key: &str, text: String| {
        let nested = matches!(key, "blocks" | "attachments" | "metadata");
        if nested { serde_json::from_str(&text).unwrap_or(Value::Null) } else { Value::String(text) }
    };
    pairs.into_iter().map(|(key, text)| (key.clone(), value(&key, text))).collect()
}

pub(super) fn text<'a>(arguments: &'a Arguments, key: &str) -> Option<&'a str> {
    arguments.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

pub(super) fn list(arguments: &Arguments, key: &str) -> Option<Vec<Value>> {
    arguments.get(key).and_then(Value::as_array).cloned()
}

pub(super) fn number(arguments: &Arguments, key: &str) -> Option<usize> {
    let value = arguments.get(key)?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    usize::try_from(number).ok()
}

pub(super) fn flag(arguments: &Arguments, key: &str) -> bool {
    arguments.get(key).is_some_and(|value| [json!(true), json!("true"), json!("1"), json!(1)].contains(value))
}
