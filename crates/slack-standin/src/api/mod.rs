//! The Web API's methods over HTTP, and the stand-in's own pages.

mod admin;
mod answer;
mod arguments;
mod chat;
mod doors;
mod reads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::limits::judge_blocks;
use crate::state::{Message, Slack};
use crate::{APP_TOKEN, TOKEN};
use answer::{Refused, ok, rate_limited, refuse, refuse_payload, reset, truncated};
use arguments::Arguments;

pub use admin::Deed;
pub(crate) use chat::{change, content, post_in_pieces};

/// The method that an app's own token is for.
const SOCKETS: &str = "apps.connections.open";
/// The bot that all messages of the app come from.
const BOT_ID: &str = "B0STANDIN";
/// The same as a user.
const BOT_USER: &str = "U0STANDIN";

pub(crate) fn router(slack: Arc<Slack>) -> Router {
    Router::new()
        .route("/api/{method}", post(call).get(call))
        .merge(admin::router())
        .merge(doors::router())
        .with_state(slack)
}

async fn call(
    State(slack): State<Arc<Slack>>,
    Path(method): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let arguments = arguments::read(&method, &headers, &body, query);
    // It judges blocks for everybody.
    if method != "blocks.validate"
        && let Err(code) = authorise(&slack, &method, &headers, &arguments)
    {
        return *refuse(&code, "");
    }
    let fault = slack.called(&method, &arguments);
    meet(fault, || carry_out(&slack, &method, &arguments)).await
}

/// The answer to a call that meets this fault; it takes effect when the fault lets it.
async fn meet(fault: Fault, carry_out: impl FnOnce() -> Response) -> Response {
    let effect = fault.is_effective().then(carry_out);
    let answer = effect.unwrap_or_else(reset);
    match fault {
        Fault::None => answer,
        Fault::RateLimited { retry_after_seconds } => *rate_limited(retry_after_seconds),
        Fault::Refuse { code } => *refuse(&code, "planned"),
        Fault::ServerError { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "upstream connect error").into_response(),
        Fault::Silence { hold_ms, .. } => {
            tokio::time::sleep(Duration::from_millis(hold_ms)).await;
            reset()
        }
        Fault::Reset { .. } => reset(),
        Fault::Slow { hold_ms } => {
            tokio::time::sleep(Duration::from_millis(hold_ms)).await;
            answer
        }
        Fault::Garbled => "<html>ok?</html>".into_response(),
        Fault::Truncated => truncated(answer).await,
    }
}

/// The token from the header or the arguments: an app's own for Socket Mode, the bot's for all else.
/// <https://docs.slack.dev/authentication/tokens>
fn authorise(slack: &Slack, method: &str, headers: &HeaderMap, arguments: &Arguments) -> Result<(), String> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).or_else(|| arguments::text(arguments, "token"));
    let (right, other) = if method == SOCKETS { (APP_TOKEN, TOKEN) } else { (TOKEN, APP_TOKEN) };
    match token {
        None => Err("not_authed".to_owned()),
        Some(token) if token == other => Err("not_allowed_token_type".to_owned()),
        Some(token) if token == right => slack.places(|places| places.token_refused.clone()).map_or(Ok(()), Err),
        Some(_) => Err("invalid_auth".to_owned()),
    }
}

fn carry_out(slack: &Slack, method: &str, arguments: &Arguments) -> Response {
    let answer = match method {
        "auth.test" => Ok(ok(json!({
            "ok":true,"url":"https://stand-in.invalid/","team":"Stand-in","user":"ronda","bot_id":BOT_ID,"user_id":BOT_USER
        }))),
        "chat.postMessage" => chat::post(slack, arguments),
        "chat.postEphemeral" => chat::post_ephemeral(slack, arguments),
        "chat.update" => chat::update(slack, arguments),
        "chat.delete" => chat::delete(slack, arguments),
        "conversations.history" | "conversations.replies" => reads::list(slack, method, arguments),
        "conversations.info" => reads::channel_info(slack, arguments),
        "users.info" => reads::user_info(slack, arguments),
        SOCKETS => doors::open(slack),
        "blocks.validate" => validate_blocks(arguments),
        _ => Err(refuse("unknown_method", method)),
    };
    let mut answer = answer.unwrap_or_else(|refused| *refused);
    if let Ok(scopes) = HeaderValue::from_str(&slack.places(|places| places.provided())) {
        answer.headers_mut().insert("x-oauth-scopes", scopes);
    }
    answer
}

fn validate_blocks(arguments: &Arguments) -> Result<Response, Refused> {
    let blocks = arguments::list(arguments, "blocks").ok_or_else(|| refuse("invalid_arguments", "no blocks"))?;
    judge_blocks(&blocks).map_err(|refused| refuse_payload(&refused))?;
    Ok(ok(json!({"ok":true})))
}

/// A message as it is answered: metadata whole only when asked for.
pub(crate) fn shown(message: &Message, with_metadata: bool) -> Value {
    let mut value = json!({
        "type":"message","ts":message.ts,"text":message.text,"blocks":message.blocks,"attachments":message.attachments,
    });
    match &message.author {
        Some(person) => value["user"] = json!(person),
        None => {
            value["user"] = json!(BOT_USER);
            value["bot_id"] = json!(BOT_ID);
        }
    }
    if let Some(parent) = &message.thread_ts {
        value["thread_ts"] = json!(parent);
    }
    if message.edits > 0 {
        value["edited"] = json!({"user":BOT_USER,"ts":message.ts});
    }
    if !message.reactions.is_empty() {
        let reactions = message.reactions.iter().map(|(emoji, user)| json!({"name":emoji,"users":[user],"count":1}));
        value["reactions"] = reactions.collect();
    }
    if let Some(metadata) = &message.metadata {
        value["metadata"] =
            if with_metadata { metadata.clone() } else { json!({"event_type": metadata["event_type"]}) };
    }
    value
}
