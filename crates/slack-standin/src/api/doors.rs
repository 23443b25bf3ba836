//! Ways in beside the Web API: WebSockets, and response URLs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::answer::{Refused, deny, ok, rate_limited};
use super::{SOCKETS, meet};
use crate::interact::APP;
use crate::limits::Refusal;
use crate::state::Slack;

pub(super) fn router() -> Router<Arc<Slack>> {
    Router::new()
        .route("/link/", get(link))
        .route("/actions/{team}/{number}", post(respond))
        .route("/commands/{team}/{number}", post(respond))
}

/// <https://docs.slack.dev/reference/methods/apps.connections.open>
pub(super) fn open(slack: &Slack) -> Result<Response, Refused> {
    slack.places(|places| places.require("connections:write")).map_err(|denied| deny(slack, &denied))?;
    if let Some(seconds) = slack.rate_limited(SOCKETS, "") {
        return Err(rate_limited(seconds));
    }
    let ticket = slack.interactions.sockets.ticket(slack.now_ms());
    let base = slack.base().replacen("http", "ws", 1);
    Ok(ok(json!({"ok":true,"url":format!("{base}/link/?ticket={ticket}&app_id={APP}")})))
}

async fn link(
    State(slack): State<Arc<Slack>>,
    Query(query): Query<BTreeMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let ticket = query.get("ticket").map_or("", String::as_str);
    if !slack.interactions.sockets.redeem(ticket, slack.now_ms()) {
        return (StatusCode::UNAUTHORIZED, "no such ticket, or one that was used").into_response();
    }
    upgrade.on_upgrade(async move |socket| slack.hold(socket).await)
}

/// Counted, and failing on request, as the method `response_url`.
async fn respond(
    State(slack): State<Arc<Slack>>,
    Path((_, number)): Path<(String, u64)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .is_some_and(|kind| kind.starts_with(b"application/json"));
    let Ok(arguments) = serde_json::from_slice::<Map<String, Value>>(&body) else {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    };
    if !is_json {
        return (StatusCode::BAD_REQUEST, "invalid_payload").into_response();
    }
    let fault = slack.called("response_url", &arguments);
    meet(fault, || match slack.respond(number, &arguments) {
        Ok(()) => "ok".into_response(),
        Err(refused) => refuse(&refused),
    })
    .await
}

/// (j) As people met it: the end of a response URL's life is 404, a message that is none 400.
fn refuse(refused: &Refusal) -> Response {
    let gone = ["expired_url", "used_url", "message_not_found"].contains(&refused.code);
    let status = if gone { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
    let body = json!({"ok":false,"error":refused.code,"stand_in":refused.why});
    (status, axum::Json(body)).into_response()
}
