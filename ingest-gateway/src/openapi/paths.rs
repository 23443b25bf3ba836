//! The operations as the document shows them. The functions only carry the attributes: a test compares them with the router.
//!
//! What all operations have in common (keys, problems, headers) is added in [`common`](super::common).
#![allow(dead_code, reason = "the functions only carry documentation")]

use ronda_schemas::api::problem::BulkAnswer;
use ronda_schemas::api::request::{
    AcknowledgeRequest, BulkItem, ByRequest, HeartbeatRequest, MuteRequest, RegisterRequest, StatusRequest,
};
use ronda_schemas::api::resource::{
    AcceptedResource, ErrorResource, HistoryResource, KeyResource, Page, SchedulerResource,
};
use ronda_schemas::api::time::Time;
use ronda_schemas::api::words::SchedulerStatusWord;

use super::types::{CreateKeyRequest, CreatedKey, FilterText};

/// Register or update a scheduler
///
/// Registering again with the same content changes nothing. With other content it replaces the whole description: what the body leaves out
/// gets its default, so without `schedule` nothing is expected of it any more. The answer comes once it is applied, so that a report sent
/// next through any gateway finds it.
#[utoipa::path(
    post, path = "/api/v1/schedulers/register", tag = "schedulers", operation_id = "registerScheduler",
    request_body(content = RegisterRequest, examples(
        ("cron" = (summary = "By the clock of a zone", value = json!({"id": "nightly-billing", "name": "Nightly billing", "team": "payments",
            "environment": "production", "tags": ["money"], "schedule": {"cron": "0 1 * * *", "timezone": "Asia/Jakarta"},
            "start_grace_seconds": 300, "max_run_seconds": 3600, "severity": "critical"}))),
        ("interval" = (summary = "Every five minutes", value = json!({"id": "sync-stock", "schedule": {"every_seconds": 300}}))),
        ("worker" = (summary = "No schedule, only heartbeats", value = json!({"id": "mail-worker", "heartbeat_timeout_seconds": 120}))),
    )),
    responses(
        (status = 200, description = "It was there before; this is how it is now.", body = SchedulerResource),
        (status = 201, description = "It is new.", body = SchedulerResource),
        (status = 202, description = "It is durable and will be applied.", body = AcceptedResource),
    )
)]
fn register() {}

/// Report where a run is
///
/// Answered once it is durable. With `Prefer: wait=5` it is answered with the resulting state once it is applied.
#[utoipa::path(
    put, path = "/api/v1/schedulers/{id}/status", tag = "reports", operation_id = "reportStatus",
    params(("id" = String, Path, description = "The scheduler's id.", pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", example = "nightly-billing")),
    request_body(content = StatusRequest, examples(
        ("running" = (summary = "It starts", value = json!({"status": "running", "run_id": "2026-11-23"}))),
        ("failed" = (summary = "It failed", value = json!({"status": "failed", "run_id": "2026-11-23", "error": "disk full", "exit_code": 1,
            "duration_ms": 5321, "occurred_at": "2026-11-23T18:00:00Z", "metadata": {"host": "batch-7"}}))),
    )),
    responses(
        (status = 200, description = "It is applied; this is how the scheduler is now. Only with `Prefer: wait`.", body = SchedulerResource),
        (status = 202, description = "It is durable and will be applied.", body = AcceptedResource),
    )
)]
fn status() {}

/// Report a sign of life
///
/// Answered once it is durable. With `Prefer: wait=5` it is answered with the resulting state once it is applied.
#[utoipa::path(
    post, path = "/api/v1/schedulers/{id}/heartbeat", tag = "reports", operation_id = "reportHeartbeat",
    params(("id" = String, Path, description = "The scheduler's id.", pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", example = "nightly-billing")),
    request_body(content = HeartbeatRequest, example = json!({"run_id": "2026-11-23", "progress": {"done": 40, "total": 100, "message": "invoices"}})),
    responses(
        (status = 200, description = "It is applied; this is how the scheduler is now. Only with `Prefer: wait`.", body = SchedulerResource),
        (status = 202, description = "It is durable and will be applied.", body = AcceptedResource),
    )
)]
fn heartbeat() {}

/// Report many statuses and heartbeats at once
///
/// A JSON array, or one event a line as `application/x-ndjson`. Wrong items are refused one by one; what counts as accepted is durable.
#[utoipa::path(
    post, path = "/api/v1/events", tag = "reports", operation_id = "reportEvents",
    request_body(content((Vec<BulkItem> = "application/json", example = json!([
        {"type": "heartbeat", "scheduler_id": "mail-worker"},
        {"type": "status", "scheduler_id": "nightly-billing", "status": "success", "run_id": "2026-11-23", "duration_ms": 5321}])),
        (serde_json::Value = "application/x-ndjson", example = "{\"type\":\"heartbeat\",\"scheduler_id\":\"mail-worker\"}\n"))),
    responses((status = 202, description = "How many were accepted, and which were not.", body = BulkAnswer))
)]
fn events() {}

/// List schedulers
///
/// By id, a page at a time; all filters must match. A page may have few items, or none, and still a next one.
#[utoipa::path(
    get, path = "/api/v1/schedulers", tag = "schedulers", operation_id = "listSchedulers",
    params(
        ("status" = Option<SchedulerStatusWord>, Query, description = "Only those that are so now."),
        ("team" = Option<FilterText>, Query, description = "Only those of this team."),
        ("environment" = Option<FilterText>, Query, description = "Only those in this environment."),
        ("tag" = Option<Vec<FilterText>>, Query, description = "Only those with this tag; may be repeated."),
        ("q" = Option<FilterText>, Query, description = "Only those with this text in id, name or description, in upper or lower case."),
        ("limit" = Option<u16>, Query, description = "Items on a page; 50 when absent.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, format = "cursor", description = "`next_cursor` of the page before; empty: the first page, with the same filters."),
    ),
    responses((status = 200, description = "A page.", body = Page<SchedulerResource>,
        headers(("Link" = String, description = "The next page, as `<…>; rel=\"next\"`."))))
)]
fn list() {}

/// Show a scheduler
#[utoipa::path(
    get, path = "/api/v1/schedulers/{id}", tag = "schedulers", operation_id = "getScheduler",
    params(("id" = String, Path, description = "The scheduler's id.", pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", example = "nightly-billing")),
    responses((status = 200, description = "How it is.", body = SchedulerResource))
)]
fn detail() {}

/// Show a scheduler's history
///
/// Occurrences, unscheduled runs and silences with their runs, newest first. A page may have fewer items than `limit`, and still a next one:
/// where entries have many runs it ends early. A deleted scheduler's history can be read for as long as it is kept.
#[utoipa::path(
    get, path = "/api/v1/schedulers/{id}/history", tag = "schedulers", operation_id = "getHistory",
    params(
        ("id" = String, Path, description = "The scheduler's id.", pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", example = "nightly-billing"),
        ("from" = Option<Time>, Query, description = "Only entries at or after this time."),
        ("until" = Option<Time>, Query, description = "Only entries before this time."),
        ("limit" = Option<u16>, Query, description = "Items on a page; 50 when absent.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, format = "cursor", description = "`next_cursor` of the page before; empty: the first page, with the same range."),
    ),
    responses((status = 200, description = "A page.", body = Page<HistoryResource>,
        headers(("Link" = String, description = "The next page, as `<…>; rel=\"next\"`."))))
)]
fn history() {}

/// Delete a scheduler
#[utoipa::path(
    delete, path = "/api/v1/schedulers/{id}", tag = "schedulers", operation_id = "deleteScheduler",
    params(("id" = String, Path, description = "The scheduler's id.", pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", example = "nightly-billing")),
    responses(
        (status = 202, description = "It is durable and will be applied.", body = AcceptedResource),
        (status = 204, description = "It is gone."),
    )
)]
fn remove() {}

/// Expect nothing of a scheduler until it is resumed
#[utoipa::path(
    post, path = "/api/v1/schedulers/{id}/pause", tag = "schedulers", operation_id = "pauseScheduler",
    params(("id" = String, Path, description = "The scheduler's id.", pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", example = "nightly-billing")),
    responses(
        (status = 200, description = "It is applied; this is how the scheduler is now.", body = SchedulerResource),
        (status = 202, description = "It is durable and will be applied.", body = AcceptedResource),
    )
)]
fn pause() {}

/// Expect a paused scheduler again
#[utoipa::path(
    post, path = "/api/v1/schedulers/{id}/resume", tag = "schedulers", operation_id = "resumeScheduler",
    params(("id" = String, Path, description = "The scheduler's id.", pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", example = "nightly-billing")),
    responses(
        (status = 200, description = "It is applied; this is how the scheduler is now.", body = SchedulerResource),
        (status = 202, description = "It is durable and will be applied.", body = AcceptedResource),
    )
)]
fn resume() {}

/// Say that somebody looks after what is wrong
///
/// Of the alert that is open: the first to say so counts, until it is over; a failure after that is not acknowledged. When nothing is wrong,
/// nothing changes. With `alert_id` it is said of that alert and no other: when it is over, the answer is 409 (`alert_over`), or, when that was
/// not known yet, an entry in the error feed.
#[utoipa::path(
    post, path = "/api/v1/schedulers/{id}/acknowledge", tag = "schedulers", operation_id = "acknowledge",
    params(("id" = String, Path, description = "The scheduler's id.", pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", example = "nightly-billing")),
    request_body(content = AcknowledgeRequest, example = json!({"by": "Ratna"})),
    responses(
        (status = 200, description = "It is applied; this is how the scheduler is now.", body = SchedulerResource),
        (status = 202, description = "It is durable and will be applied.", body = AcceptedResource),
    )
)]
fn acknowledge() {}

/// Tell nobody of a scheduler for a while
///
/// It is watched and judged as ever; what is wrong at the end is told then. The latest mute or unmute counts.
#[utoipa::path(
    post, path = "/api/v1/schedulers/{id}/mute", tag = "schedulers", operation_id = "mute",
    params(("id" = String, Path, description = "The scheduler's id.", pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", example = "nightly-billing")),
    request_body(content = MuteRequest, examples(
        ("for" = (summary = "For an hour", value = json!({"for_seconds": 3600, "by": "Ratna"}))),
        ("until" = (summary = "Until a time", value = json!({"until": "2099-12-31T06:00:00+07:00"}))),
    )),
    responses(
        (status = 200, description = "It is applied; this is how the scheduler is now.", body = SchedulerResource),
        (status = 202, description = "It is durable and will be applied.", body = AcceptedResource),
    )
)]
fn mute() {}

/// Tell people of a muted scheduler again
#[utoipa::path(
    post, path = "/api/v1/schedulers/{id}/unmute", tag = "schedulers", operation_id = "unmute",
    params(("id" = String, Path, description = "The scheduler's id.", pattern = "^(?!register$)[A-Za-z0-9_-]{1,128}$", example = "nightly-billing")),
    request_body(content = ByRequest, example = json!({"by": "Ratna"})),
    responses(
        (status = 200, description = "It is applied; this is how the scheduler is now.", body = SchedulerResource),
        (status = 202, description = "It is durable and will be applied.", body = AcceptedResource),
    )
)]
fn unmute() {}

/// List what was refused after it had been accepted
///
/// Newest first: commands that turned out wrong later in the pipeline, and why. `code` is one of `unknown_scheduler` (it was deleted
/// in between), `run_already_ended` (a run id was used again), `alert_over` (it was acknowledged too late), `invalid_run_id`,
/// `invalid_id` and `bad_command` (it can't be read).
#[utoipa::path(
    get, path = "/api/v1/errors", tag = "errors", operation_id = "listErrors",
    params(
        ("limit" = Option<u16>, Query, description = "Items on a page; 50 when absent.", minimum = 1, maximum = 500),
        ("cursor" = Option<String>, Query, format = "cursor", description = "`next_cursor` of the page before; empty: the first page."),
    ),
    responses((status = 200, description = "A page.", body = Page<ErrorResource>,
        headers(("Link" = String, description = "The next page, as `<…>; rel=\"next\"`."))))
)]
fn errors() {}

/// List the tenant's keys
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "keys", operation_id = "listKeys",
    responses((status = 200, description = "All of them; never the keys themselves.", body = Page<KeyResource>))
)]
fn list_keys() {}

/// Make a key
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "keys", operation_id = "createKey",
    request_body(content = CreateKeyRequest, example = json!({"name": "batch hosts", "scopes": ["ingest"], "rate_limit_per_minute": 600})),
    responses((status = 201, description = "The key itself is shown this once.", body = CreatedKey))
)]
fn create_key() {}

/// Revoke a key
#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", tag = "keys", operation_id = "revokeKey",
    params(("id" = String, Path, description = "The key's public id.")),
    responses((status = 204, description = "It works no more."))
)]
fn revoke_key() {}

/// The document without what all operations have in common.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Ronda",
        description = "Watches fleets of schedulers: jobs report where they are, and people hear of what failed, hung or never started.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        register, status, heartbeat, events, list, detail, history, remove, pause, resume, acknowledge, mute, unmute, errors, list_keys, create_key, revoke_key
    ),
    components(schemas(ronda_schemas::api::problem::ProblemBody, FilterText, SchedulerStatusWord, Time)),
    tags(
        (name = "reports", description = "What jobs say. Scope `ingest`."),
        (name = "schedulers", description = "What is watched. Registering needs the scope `ingest`, reading `read`, the rest `admin`."),
        (name = "errors", description = "What was refused after it had been accepted. Scope `read`."),
        (name = "keys", description = "The tenant's API keys. Scope `admin`."),
    ),
)]
pub(super) struct Paths;
