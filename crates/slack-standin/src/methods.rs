//! The Web API's methods over HTTP, and the stand-in's own pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::TOKEN;
use crate::fault::Fault;
use crate::limits::{Purpose, Refusal, refusal, split};
use crate::state::{Message, Slack};

/// The bot that all messages come from.
const BOT_ID: &str = "B0STANDIN";

pub(crate) fn router(slack: Arc<Slack>) -> Router {
    Router::new()
        .route("/api/{method}", post(call).get(call))
        .route("/stand-in/transcript", get(transcript))
        .route("/stand-in/seen", get(seen))
        .route("/stand-in/messages/{channel}", get(messages))
        .route("/stand-in/faults/{method}", post(fault))
        .with_state(slack)
}

async fn call(
    State(slack): State<Arc<Slack>>,
    Path(method): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let arguments = arguments(&headers, &body, query);
    if !authorised(&headers, &arguments) {
        return refuse("invalid_auth", "");
    }
    let fault = slack.called(&method);
    match fault {
        Fault::RateLimited { retry_after_seconds } => return rate_limited(retry_after_seconds),
        Fault::Refuse { code } => return refuse(&code, "planned"),
        Fault::ServerError { effective } => {
            if effective {
                let _ = carry_out(&slack, &method, &arguments);
            }
            return (StatusCode::INTERNAL_SERVER_ERROR, "upstream connect error").into_response();
        }
        Fault::Silence { effective, hold_ms } => {
            if effective {
                let _ = carry_out(&slack, &method, &arguments);
            }
            tokio::time::sleep(Duration::from_millis(hold_ms)).await;
            return (StatusCode::GATEWAY_TIMEOUT, "silence").into_response();
        }
        Fault::Slow { hold_ms } => {
            let answer = carry_out(&slack, &method, &arguments);
            tokio::time::sleep(Duration::from_millis(hold_ms)).await;
            return answer;
        }
        Fault::Garbled => {
            let _ = carry_out(&slack, &method, &arguments);
            return "<html>ok?</html>".into_response();
        }
        Fault::None => {}
    }
    carry_out(&slack, &method, &arguments)
}

/// Arguments from a JSON body, a form body or the query; values of forms that are JSON are read as such, as Slack does.
fn arguments(headers: &HeaderMap, body: &[u8], query: BTreeMap<String, String>) -> Map<String, Value> {
    let json_body = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if json_body {
        return serde_json::from_slice(body).unwrap_or_default();
    }
    let form = url::form_urlencoded::parse(body).into_owned();
    form.chain(query)
        .map(|(key, text)| {
            let nested = matches!(key.as_str(), "blocks" | "attachments" | "metadata");
            let value = if nested { serde_json::from_str(&text).unwrap_or(Value::Null) } else { Value::String(text) };
            (key, value)
        })
        .collect()
}

fn authorised(headers: &HeaderMap, arguments: &Map<String, Value>) -> bool {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    bearer.and_then(|value| value.strip_prefix("Bearer ")) == Some(TOKEN)
        || arguments.get("token").and_then(Value::as_str) == Some(TOKEN)
}

fn rate_limited(seconds: u64) -> Response {
    let mut response =
        (StatusCode::TOO_MANY_REQUESTS, axum::Json(json!({"ok":false,"error":"ratelimited"}))).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn refuse(code: &str, why: &str) -> Response {
    axum::Json(json!({"ok":false,"error":code,"stand_in":why})).into_response()
}

fn refuse_payload(refused: &Refusal) -> Response {
    axum::Json(json!({"ok":false,"error":refused.code,"response_metadata":{"messages":[refused.why]}})).into_response()
}

fn carry_out(slack: &Slack, method: &str, arguments: &Map<String, Value>) -> Response {
    match method {
        "auth.test" => axum::Json(json!({
            "ok":true,"url":"https://stand-in.invalid/","team":"Stand-in","user":"ronda","bot_id":BOT_ID,"user_id":"U0STANDIN"
        }))
        .into_response(),
        "chat.postMessage" => post_message(slack, arguments),
        "chat.update" => update_message(slack, arguments),
        "chat.delete" => delete_message(slack, arguments),
        "conversations.history" => list(slack, arguments, false),
        "conversations.replies" => list(slack, arguments, true),
        _ => refuse("unknown_method", method),
    }
}

fn text<'a>(arguments: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    arguments.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn list_of(arguments: &Map<String, Value>, key: &str) -> Option<Vec<Value>> {
    arguments.get(key).and_then(Value::as_array).cloned()
}

/// The channel that is asked for, if there is such a one.
fn channel_of<'a>(slack: &Slack, arguments: &'a Map<String, Value>) -> Option<&'a str> {
    text(arguments, "channel").filter(|channel| slack.knows(channel))
}

fn post_message(slack: &Slack, arguments: &Map<String, Value>) -> Response {
    let Some(channel) = channel_of(slack, arguments) else {
        return refuse("channel_not_found", "no channel, or none of its own");
    };
    let message = Message {
        thread_ts: text(arguments, "thread_ts").map(str::to_owned),
        text: text(arguments, "text").unwrap_or_default().to_owned(),
        blocks: list_of(arguments, "blocks").unwrap_or_default(),
        attachments: list_of(arguments, "attachments").unwrap_or_default(),
        metadata: arguments.get("metadata").filter(|value| value.is_object()).cloned(),
        ..Message::default()
    };
    if let Some(refused) = refusal(&message, Purpose::Post) {
        return refuse_payload(&refused);
    }
    if let Some(seconds) = slack.rate_limited(channel) {
        return rate_limited(seconds);
    }
    let message = post_in_pieces(slack, channel, message);
    axum::Json(json!({"ok":true,"channel":channel,"ts":message.ts,"message":shown(&message, true)})).into_response()
}

/// Posts the message; a long text without blocks becomes several, of which the last one is answered. (j) Which one Slack answers is not
/// documented.
fn post_in_pieces(slack: &Slack, channel: &str, message: Message) -> Message {
    let mut pieces = if message.blocks.is_empty() { split(&message.text) } else { vec![message.text.clone()] };
    let last = pieces.pop().unwrap_or_default();
    for text in pieces {
        let thread_ts = message.thread_ts.clone();
        slack.post(channel, Message { thread_ts, text, ..Message::default() });
    }
    slack.post(channel, Message { text: last, ..message })
}

fn update_message(slack: &Slack, arguments: &Map<String, Value>) -> Response {
    let Some(channel) = channel_of(slack, arguments) else {
        return refuse("channel_not_found", "no channel, or none of its own");
    };
    let Some(ts) = text(arguments, "ts") else {
        return refuse("message_not_found", "no ts");
    };
    let new_text = text(arguments, "text").map(str::to_owned);
    let blocks = list_of(arguments, "blocks");
    let attachments = list_of(arguments, "attachments");
    let metadata = arguments.get("metadata").filter(|value| value.is_object()).cloned();
    let probe = Message {
        text: new_text.clone().unwrap_or_default(),
        blocks: blocks.clone().unwrap_or_default(),
        attachments: attachments.clone().unwrap_or_default(),
        metadata: metadata.clone(),
        ..Message::default()
    };
    if let Some(refused) = refusal(&probe, Purpose::Update) {
        return refuse_payload(&refused);
    }
    let updated = slack.update(channel, ts, |message| {
        // Text without blocks removes the blocks; metadata that is left out stays.
        if new_text.is_some() || blocks.is_some() {
            message.blocks = blocks.unwrap_or_default();
        }
        if let Some(text) = new_text {
            message.text = text;
        }
        if let Some(attachments) = attachments {
            message.attachments = attachments;
        }
        message.metadata = metadata.or(message.metadata.take());
    });
    if updated {
        axum::Json(json!({"ok":true,"channel":channel,"ts":ts})).into_response()
    } else {
        refuse("message_not_found", ts)
    }
}

fn delete_message(slack: &Slack, arguments: &Map<String, Value>) -> Response {
    let Some(channel) = channel_of(slack, arguments) else {
        return refuse("channel_not_found", "no channel, or none of its own");
    };
    let Some(ts) = text(arguments, "ts") else {
        return refuse("message_not_found", "no ts");
    };
    if slack.remove(channel, ts) {
        axum::Json(json!({"ok":true,"channel":channel,"ts":ts})).into_response()
    } else {
        refuse("message_not_found", ts)
    }
}

fn list(slack: &Slack, arguments: &Map<String, Value>, replies: bool) -> Response {
    let Some(channel) = channel_of(slack, arguments) else {
        return refuse("channel_not_found", "no channel, or none of its own");
    };
    let thread = if replies { text(arguments, "ts") } else { None };
    if replies && thread.is_none() {
        return refuse("thread_not_found", "no ts");
    }
    let with_metadata = arguments
        .get("include_all_metadata")
        .is_some_and(|value| value == &json!(true) || value == &json!("true") || value == &json!("1"));
    let limit = arguments
        .get("limit")
        .and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(100);
    let oldest = text(arguments, "oldest").unwrap_or("0");
    let mut found = slack.list(channel, thread, oldest, text(arguments, "latest"));
    if replies {
        found.reverse();
    }
    let skip: usize = text(arguments, "cursor").and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
    let more = found.len() > skip + limit;
    let page: Vec<Value> = found.iter().skip(skip).take(limit).map(|message| shown(message, with_metadata)).collect();
    let cursor = if more { (skip + limit).to_string() } else { String::new() };
    axum::Json(json!({"ok":true,"messages":page,"has_more":more,"response_metadata":{"next_cursor":cursor}}))
        .into_response()
}

fn shown(message: &Message, with_metadata: bool) -> Value {
    let mut value = json!({
        "type":"message","ts":message.ts,"text":message.text,"bot_id":BOT_ID,"user":"U0STANDIN",
        "blocks":message.blocks,"attachments":message.attachments,
    });
    if let Some(parent) = &message.thread_ts {
        value["thread_ts"] = json!(parent);
    }
    if let Some(metadata) = &message.metadata {
        value["metadata"] =
            if with_metadata { metadata.clone() } else { json!({"event_type": metadata["event_type"]}) };
    }
    value
}

async fn transcript(State(slack): State<Arc<Slack>>) -> String {
    let entries = slack.seen();
    let line = |seen: &crate::state::Seen| {
        let seconds = seen.at_ms / 1_000 % 86_400;
        let clock = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
        format!("── {clock} UTC  {:?} in {} ({})\n{}\n", seen.kind, seen.channel, seen.ts, seen.text)
    };
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn seen(State(slack): State<Arc<Slack>>) -> Response {
    axum::Json(slack.seen()).into_response()
}

async fn messages(State(slack): State<Arc<Slack>>, Path(channel): Path<String>) -> Response {
    axum::Json(slack.messages(&channel)).into_response()
}

async fn fault(State(slack): State<Arc<Slack>>, Path(method): Path<String>, body: Bytes) -> Response {
    match serde_json::from_slice::<Fault>(&body) {
        Ok(fault) => {
            slack.fail_next(&method, fault);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
