//! Lists, details, histories and error feeds, straight from the store.
//!
//! Nothing here waits longer than [`STORE_TIMEOUT`] for the store or looks at more than [`MAX_SCANNED`] rows.

mod cursor;
mod filter;
mod query;
mod watermark;

use std::future::Future;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderValue, Uri, header};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::record::Subject;
use ronda_domain::time::Timestamp;
use ronda_schemas::api::resource::{ErrorResource, HistoryResource, Page, SchedulerResource};
use ronda_schemas::row::SchedulerRow;
use ronda_store::error::StoreError;
use ronda_store::port::{ErrorCursor, HistoryEntry, HistoryQuery};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::problem::Problem;
use crate::refusals::{self, STORE_TIMEOUT};
use crate::{AppState, ReadAccess};
use cursor::Binding;
use filter::ListRequest;
use query::Query;
pub(crate) use watermark::Watermarks;

/// Most rows looked at for one page; with narrow filters a page may have few items, or none, and still a next one.
const MAX_SCANNED: usize = 5_000;
/// Most runs shown of one history entry. The API's document tells it.
const MAX_RUNS: usize = 100;
/// Rows asked for at once.
const BATCH: usize = 500;

/// The read routes, with their full paths; the access layer is put around them by the caller.
pub fn router() -> Router<AppState> {
    Router::new()
        .route("/api/v1/schedulers", get(list))
        .route("/api/v1/schedulers/{id}", get(detail))
        .route("/api/v1/schedulers/{id}/history", get(history))
        .route("/api/v1/errors", get(errors))
}

/// Everything that a request asks of the store, in bounded time.
async fn in_time<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    tokio::time::timeout(STORE_TIMEOUT, work).await.unwrap_or_else(|_| {
        warn!(timeout_seconds = STORE_TIMEOUT.as_secs(), "the store did not answer a read in time");
        Err(Problem::store_unavailable())
    })
}

#[allow(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn store_failed(error: StoreError) -> Problem {
    refusals::store(&error)
}

/// Refuses every parameter at an address that takes none.
///
/// # Errors
/// A problem that names them.
pub(crate) fn no_query(uri: &Uri) -> Result<(), Problem> {
    match uri.query() {
        None => Ok(()),
        some => Query::new(some).end(&[]),
    }
}

/// The id in a path.
///
/// # Errors
/// A problem that says what is wrong with it.
pub fn scheduler_id(path: Result<Path<String>, PathRejection>) -> Result<SchedulerId, Problem> {
    let Ok(Path(id)) = path else {
        return Err(Problem::new(crate::problem::Kind::InvalidPath, "The path is not UTF-8."));
    };
    SchedulerId::new(&id).map_err(|error| Problem::invalid_id(&error))
}

/// One scheduler as the API shows it, at its partition's watermark; `None`: it is not registered.
///
/// # Errors
/// 503 when the store can't be read in time.
pub async fn scheduler_resource(
    state: &AppState,
    tenant: &TenantId,
    id: &SchedulerId,
) -> Result<Option<SchedulerResource>, Problem> {
    in_time(async {
        let row = state.store.scheduler(tenant.as_str(), id.as_str()).await.map_err(store_failed)?;
        let Some(SchedulerRow { key, state: Some(scheduler), .. }) = row else { return Ok(None) };
        let mut watermarks = Watermarks::new(&*state.store, state.publisher.partitions());
        let now = watermarks.of(&key).await.map_err(store_failed)?;
        Ok(Some(SchedulerResource::new(key.scheduler.as_str(), &scheduler, now)))
    })
    .await
}

async fn detail(
    State(state): State<AppState>,
    ReadAccess(principal): ReadAccess,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let id = scheduler_id(path)?;
    no_query(&uri)?;
    let resource = scheduler_resource(&state, &principal.tenant, &id).await?;
    resource.map(|resource| Json(resource).into_response()).ok_or_else(|| Problem::unknown_scheduler(id.as_str()))
}

async fn list(State(state): State<AppState>, ReadAccess(principal): ReadAccess, uri: Uri) -> Result<Response, Problem> {
    let request = ListRequest::parse(uri.query())?;
    let binding = Binding::of([principal.tenant.as_str(), "schedulers", &request.filter.canonical()]);
    let after = request.cursor.as_deref().map(|cursor| cursor::read::<SchedulerId>(binding, cursor)).transpose()?;
    let (items, last) = in_time(scan(&state, &principal.tenant, &request, after)).await?;
    let next = last.map(|last| cursor::write(binding, &last)).transpose()?;
    page(&uri, items, next)
}

/// The items of one page, and the last row looked at when there may be more.
async fn scan(
    state: &AppState,
    tenant: &TenantId,
    request: &ListRequest,
    mut after: Option<SchedulerId>,
) -> Result<(Vec<SchedulerResource>, Option<SchedulerId>), Problem> {
    let mut watermarks = Watermarks::new(&*state.store, state.publisher.partitions());
    let mut items = Vec::new();
    let mut scanned = 0;
    loop {
        let rows = state.store.schedulers(tenant, after.as_ref(), BATCH).await.map_err(store_failed)?;
        let is_end = rows.len() < BATCH;
        for row in rows {
            // One more fits and the page is full: so there is a next one.
            let SchedulerRow { key, state: Some(scheduler), .. } = row else { continue };
            scanned += 1;
            if request.filter.fits(key.scheduler.as_str(), &scheduler) {
                let now = watermarks.of(&key).await.map_err(store_failed)?;
                let resource = SchedulerResource::new(key.scheduler.as_str(), &scheduler, now);
                if request.filter.status.is_none_or(|status| status == resource.status) {
                    if items.len() == request.limit {
                        return Ok((items, after));
                    }
                    items.push(resource);
                }
            }
            after = Some(key.scheduler);
        }
        if is_end {
            return Ok((items, None));
        }
        if scanned >= MAX_SCANNED {
            return Ok((items, after));
        }
    }
}

async fn history(
    State(state): State<AppState>,
    ReadAccess(principal): ReadAccess,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Problem> {
    let id = scheduler_id(path)?;
    let mut query = Query::new(uri.query());
    let from = query.time("from").unwrap_or(Timestamp::MIN);
    let until = query.time("until").unwrap_or(Timestamp::MAX);
    let (limit, cursor) = (query.limit(), query.cursor());
    query.end(&["from", "until", "limit", "cursor"])?;
    let range = format!("{}/{}", from.as_millis(), until.as_millis());
    let binding = Binding::of([principal.tenant.as_str(), "history", id.as_str(), &range]);
    let after = cursor.map(|cursor| cursor::read::<Subject>(binding, &cursor)).transpose()?;
    let key = SchedulerKey { tenant: principal.tenant, scheduler: id };
    let query = HistoryQuery { from, until, after, limit, runs_each: MAX_RUNS, max_rows: MAX_SCANNED };
    let found = in_time(async {
        let found = state.store.history(&key, &query).await.map_err(store_failed)?;
        // A deleted scheduler's history can be read for as long as it is kept.
        if found.entries.is_empty() {
            let row = state.store.scheduler(key.tenant.as_str(), key.scheduler.as_str()).await.map_err(store_failed)?;
            if row.is_none_or(|row| row.state.is_none()) {
                return Err(Problem::unknown_scheduler(key.scheduler.as_str()));
            }
        }
        Ok(found)
    })
    .await?;
    let next = found.next.map(|last| cursor::write(binding, &last)).transpose()?;
    let item = |entry: HistoryEntry| HistoryResource::new(entry.occurrence, entry.runs, entry.runs_total);
    page(&uri, found.entries.into_iter().map(item).collect(), next)
}

/// An [`ErrorCursor`] as it is written.
#[derive(Serialize, Deserialize)]
struct ErrorPlace(Timestamp, ronda_domain::id::MessageId);

async fn errors(
    State(state): State<AppState>,
    ReadAccess(principal): ReadAccess,
    uri: Uri,
) -> Result<Response, Problem> {
    let mut query = Query::new(uri.query());
    let (limit, cursor) = (query.limit(), query.cursor());
    query.end(&["limit", "cursor"])?;
    let binding = Binding::of([principal.tenant.as_str(), "errors"]);
    let after = cursor.map(|cursor| cursor::read::<ErrorPlace>(binding, &cursor)).transpose()?;
    let after = after.map(|ErrorPlace(at, message)| ErrorCursor { at, message });
    let mut rows =
        in_time(async { state.store.errors(&principal.tenant, after, limit + 1).await.map_err(store_failed) }).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().map(|row| ErrorPlace(row.at, row.message)).filter(|_| more);
    let next = last.map(|last| cursor::write(binding, &last)).transpose()?;
    page(&uri, rows.into_iter().map(ErrorResource::from).collect(), next)
}

fn page<T: Serialize>(uri: &Uri, items: Vec<T>, next_cursor: Option<String>) -> Result<Response, Problem> {
    let link = next_cursor.as_deref().map(|cursor| {
        let query = query::with_cursor(uri.query(), cursor);
        format!("<{}?{query}>; rel=\"next\"", uri.path())
    });
    let mut response = Json(Page { items, next_cursor }).into_response();
    if let Some(link) = link.and_then(|link| HeaderValue::try_from(link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}
