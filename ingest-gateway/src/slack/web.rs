//! The HTTPS edge: `POST /slack/commands` and `/slack/interactions`, signed by Slack.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use ronda_domain::time::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use url::form_urlencoded;

use super::asked::{Asked, Unreadable};
use super::desk::{Desk, Unheard, deadline};
use super::metrics::Via;
use super::signature::{Claim, Refused, Verifier};
use crate::problem::{Kind, Problem};
use crate::state::AppState;
use crate::writes::read_body;

/// Largest body: a click brings the whole message along, percent-encoded.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How long a body may take, of the time for the whole answer.
const BODY_WITHIN: Duration = Duration::from_millis(1_500);

/// The routes, with their full paths.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/slack/commands", post(commands)).route("/slack/interactions", post(interactions))
}

async fn commands(State(state): State<AppState>, request: Request) -> Response {
    let deadline = deadline();
    let Signed { desk, fields, at } = match signed(&state, request).await {
        Ok(signed) => signed,
        Err(problem) => return problem.into_response(),
    };
    // Slack looks whether our certificate is good.
    if !fields["ssl_check"].is_null() {
        return StatusCode::OK.into_response();
    }
    desk.metrics.came("command", Via::Https);
    answered(&state, &desk, Asked::command(&fields, at).map(Some), deadline).await
}

async fn interactions(State(state): State<AppState>, request: Request) -> Response {
    let deadline = deadline();
    let Signed { desk, fields, at } = match signed(&state, request).await {
        Ok(signed) => signed,
        Err(problem) => return problem.into_response(),
    };
    desk.metrics.came("click", Via::Https);
    let payload = fields["payload"].as_str().ok_or(Unreadable::Lacks("payload"));
    let payload = payload.and_then(|text| serde_json::from_str::<Value>(text).map_err(|_| Unreadable::NotJson));
    answered(&state, &desk, payload.and_then(|payload| Asked::interaction(&payload, at)), deadline).await
}

async fn answered(
    state: &AppState,
    desk: &Arc<Desk>,
    asked: Result<Option<Asked>, Unreadable>,
    deadline: Instant,
) -> Response {
    match asked {
        Ok(Some(asked)) => match desk.take(state, asked, deadline).await {
            Ok(Some(answer)) => Json(answer.to_json()).into_response(),
            Ok(None) => StatusCode::OK.into_response(),
            // Slack then shows beside the button that it came to nothing.
            Err(Unheard) => Problem::new(Kind::Overloaded, "Too many click at once; nothing was done.").into_response(),
        },
        // A link that was followed, for one.
        Ok(None) => StatusCode::OK.into_response(),
        Err(unreadable) => {
            desk.metrics.unreadable();
            Problem::new(Kind::InvalidBody, format!("The request is signed by Slack, but {unreadable}."))
                .into_response()
        }
    }
}

/// A form that Slack has signed.
struct Signed {
    desk: Arc<Desk>,
    fields: Value,
    /// When it was signed.
    at: Timestamp,
}

async fn signed(state: &AppState, request: Request) -> Result<Signed, Problem> {
    // Without the secret there are no such routes.
    let desk = state.slack.as_ref().ok_or_else(Problem::not_found)?;
    let verifier = desk.verifier.as_ref().ok_or_else(Problem::not_found)?;
    match verified(state, desk, verifier, request).await {
        Ok((fields, at)) => Ok(Signed { desk: Arc::clone(desk), fields, at }),
        Err(Unsigned::Refused(why)) => {
            desk.refused(why);
            Err(Problem::new(Kind::InvalidSignature, format!("{why}.")))
        }
        Err(Unsigned::Body(problem)) => Err(problem),
    }
}

enum Unsigned {
    Refused(Refused),
    Body(Problem),
}

async fn verified(
    state: &AppState,
    desk: &Desk,
    verifier: &Verifier,
    request: Request,
) -> Result<(Value, Timestamp), Unsigned> {
    let now_seconds = || state.clock.wall_millis().div_euclid(1_000);
    let (parts, body) = request.into_parts();
    let claim = Claim::read(&parts.headers, now_seconds()).map_err(Unsigned::Refused)?;
    let (body, _share) = read_body(&desk.bodies, body, MAX_BODY_BYTES, BODY_WITHIN).await.map_err(Unsigned::Body)?;
    verifier.verify(claim, &body, now_seconds()).map_err(Unsigned::Refused)?;
    let fields = form_urlencoded::parse(&body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect();
    Ok((fields, Timestamp::from_seconds(claim.at_seconds)))
}
