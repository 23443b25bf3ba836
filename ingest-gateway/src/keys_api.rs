//! The admin routes for keys: a tenant's admin makes, lists and revokes the tenant's own.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use ronda_domain::time::Timestamp;
use ronda_schemas::api::resource::{KeyResource, Page};
use ronda_schemas::api::{NewKeyBody, parse_new_key};
use serde::Serialize;

use crate::access::{AdminAccess, Principal};
use crate::keys::{self, DEFAULT_RATE_LIMIT_PER_MINUTE, KeyError, NewKey};
use crate::problem::{Kind, Problem};
use crate::reads::no_query;
use crate::state::AppState;
use crate::{refusals, writes};

/// The key routes, with their full paths.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/api/v1/keys", get(list).post(create)).route("/api/v1/keys/{id}", delete(revoke))
}

/// The one answer that has the key itself.
#[derive(Serialize)]
struct CreatedKey {
    key: String,
    #[serde(flatten)]
    resource: KeyResource,
}

fn problem(error: KeyError) -> Problem {
    match error {
        KeyError::Name | KeyError::Scopes | KeyError::Expired => Problem::new(Kind::InvalidBody, error.to_string()),
        KeyError::Unknown(_) => Problem::new(Kind::NotFound, error.to_string()),
        KeyError::Random(_) => refusals::internal(),
        KeyError::Store(error) => refusals::store(&error),
    }
}

async fn list(
    State(state): State<AppState>,
    AdminAccess(principal): AdminAccess,
    uri: Uri,
) -> Result<Response, Problem> {
    no_query(&uri)?;
    let rows = keys::list(&*state.store, Some(&principal.tenant)).await.map_err(problem)?;
    let items: Vec<KeyResource> = rows.iter().map(KeyResource::from).collect();
    Ok(Json(Page { items, next_cursor: None }).into_response())
}

/// An `Idempotency-Key` has no effect here: to repeat the answer, the key itself would have to be kept, of which only a hash is.
async fn create(
    State(state): State<AppState>,
    AdminAccess(principal): AdminAccess,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let within = Duration::from_secs(state.config.body_read_timeout_seconds);
    no_query(&parts.uri)?;
    let (body, _share) = writes::read_body(&state.bodies, body, state.config.max_body_bytes, within).await?;
    require_json(&parts.headers, &body)?;
    let wanted = parse_new_key(&body).map_err(Problem::from)?;
    let now = Timestamp::from_millis(state.clock.wall_millis());
    let (secret, row) = keys::create(&*state.store, new_key(principal, wanted), now).await.map_err(problem)?;
    let created = CreatedKey { key: secret.expose().to_owned(), resource: KeyResource::from(&row) };
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// As for the other writes: a body is JSON and says so; that there is none is told as a mistake of the body.
fn require_json(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = given.and_then(|value| value.split(|byte| *byte == b';').next()).map(<[u8]>::trim_ascii);
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case(b"application/json") => Ok(()),
        None if body.is_empty() => Ok(()),
        _ => Err(Problem::unsupported_media_type("application/json")),
    }
}

fn new_key(principal: Principal, wanted: NewKeyBody) -> NewKey {
    NewKey {
        tenant: principal.tenant,
        name: wanted.name,
        scopes: wanted.scopes,
        rate_limit_per_minute: wanted.rate_limit_per_minute.unwrap_or(DEFAULT_RATE_LIMIT_PER_MINUTE),
        expires_at: wanted.expires_at,
    }
}

/// Revoking twice is revoking once, with or without an `Idempotency-Key`.
async fn revoke(
    State(state): State<AppState>,
    AdminAccess(principal): AdminAccess,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
    uri: Uri,
) -> Result<StatusCode, Problem> {
    no_query(&uri)?;
    let Path(id) = id.map_err(|_| Problem::new(Kind::InvalidPath, "The key's id in the path can't be read."))?;
    let now = Timestamp::from_millis(state.clock.wall_millis());
    keys::revoke(&*state.store, Some(&principal.tenant), &id, now).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}
