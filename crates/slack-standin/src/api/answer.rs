//! Answers in Slack's form.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::limits::Refusal;
use crate::serve::CutOff;
use crate::state::{Denied, Slack};

/// A refusal in place of an answer; boxed, as a response is large.
pub(super) type Refused = Box<Response>;

pub(super) fn ok(value: Value) -> Response {
    axum::Json(value).into_response()
}

pub(super) fn refuse(code: &str, why: &str) -> Refused {
    Box::new(ok(json!({"ok":false,"error":code,"stand_in":why})))
}

pub(super) fn refuse_payload(refused: &Refusal) -> Refused {
    Box::new(ok(json!({"ok":false,"error":refused.code,"response_metadata":{"messages":[refused.why]}})))
}

/// `missing_scope` tells what is needed and what there is. <https://docs.slack.dev/reference/scopes>
pub(super) fn deny(slack: &Slack, denied: &Denied) -> Refused {
    match denied {
        Denied::Code(code) => refuse(code, ""),
        Denied::Scope(needed) => {
            let provided = slack.places(|places| places.provided());
            Box::new(ok(json!({"ok":false,"error":"missing_scope","needed":needed,"provided":provided})))
        }
    }
}

pub(super) fn rate_limited(seconds: u64) -> Refused {
    let mut response = (StatusCode::TOO_MANY_REQUESTS, ok(json!({"ok":false,"error":"ratelimited"}))).into_response();
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    Box::new(response)
}

/// No answer: the connection is closed.
pub(super) fn reset() -> Response {
    let mut response = StatusCode::BAD_GATEWAY.into_response();
    response.extensions_mut().insert(CutOff);
    response
}

/// The first half of an answer that says it is whole.
pub(super) async fn truncated(answer: Response) -> Response {
    let whole = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap_or_default();
    let half = whole.slice(..whole.len() / 2);
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], Body::from(half)).into_response()
}
