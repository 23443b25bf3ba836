//! The admin routes for keys: a tenant's admin makes, lists and revokes the tenant's own.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use ronda_domain::time::Timestamp;
use ronda_schemas::api::resource::{KeyResource, Page};
use ronda_schemas::api::time::Time;
use ronda_schemas::row::Scopes;
use serde::{Deserialize, Serialize};

use crate::access::{AdminAccess, Principal};
use crate::keys::{self, DEFAULT_RATE_LIMIT_PER_MINUTE, KeyError, NewKey};
use crate::problem::{Kind, Problem};
use crate::state::AppState;
use crate::{refusals, writes};

/// The key routes, with their full paths.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/api/v1/keys", get(list).post(create)).route("/api/v1/keys/{id}", delete(revoke))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateKey {
    name: String,
    scopes: Vec<Scope>,
    #[serde(default)]
    rate_limit_per_minute: Option<u32>,
    #[serde(default)]
    expires_at: Option<Time>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    Ingest,
    Read,
    Admin,
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
        KeyError::Name => Problem::new(Kind::InvalidBody, error.to_string()),
        KeyError::Unknown(_) => Problem::new(Kind::NotFound, error.to_string()),
        KeyError::Random(_) => refusals::internal(),
        KeyError::Store(error) => refusals::store(&error),
    }
}

async fn list(State(state): State<AppState>, AdminAccess(principal): AdminAccess) -> Result<Response, Problem> {
    let rows = keys::list(&*state.store, Some(&principal.tenant)).await.map_err(problem)?;
    let items: Vec<KeyResource> = rows.iter().map(KeyResource::from).collect();
    Ok(Json(Page { items, next_cursor: None }).into_response())
}

async fn create(
    State(state): State<AppState>,
    AdminAccess(principal): AdminAccess,
    request: Request,
) -> Result<Response, Problem> {
    let within = Duration::from_secs(state.config.body_read_timeout_seconds);
    let body = writes::read_body(request.into_body(), state.config.max_body_bytes, within).await?;
    let wanted: CreateKey = serde_json::from_slice(&body)
        .map_err(|error| Problem::new(Kind::InvalidBody, format!("The body can't be taken: {error}.")))?;
    let new = new_key(principal, wanted);
    let now = Timestamp::from_millis(state.clock.wall_millis());
    let (secret, row) = keys::create(&*state.store, new, now).await.map_err(problem)?;
    let created = CreatedKey { key: secret.expose().to_owned(), resource: KeyResource::from(&row) };
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

fn new_key(principal: Principal, wanted: CreateKey) -> NewKey {
    let may = |scope| wanted.scopes.contains(&scope);
    NewKey {
        scopes: Scopes { ingest: may(Scope::Ingest), read: may(Scope::Read), admin: may(Scope::Admin) },
        tenant: principal.tenant,
        name: wanted.name,
        rate_limit_per_minute: wanted.rate_limit_per_minute.unwrap_or(DEFAULT_RATE_LIMIT_PER_MINUTE),
        expires_at: wanted.expires_at.map(|time| time.0),
    }
}

async fn revoke(
    State(state): State<AppState>,
    AdminAccess(principal): AdminAccess,
    id: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<StatusCode, Problem> {
    let Path(id) = id.map_err(|_| Problem::new(Kind::InvalidPath, "The key's id in the path can't be read."))?;
    let now = Timestamp::from_millis(state.clock.wall_millis());
    keys::revoke(&*state.store, Some(&principal.tenant), &id, now).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}
