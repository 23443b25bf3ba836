//! The bare server: an axum handler that parses the same JSON and answers 202. What Ronda's ingest is compared with.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::put;
use serde::Deserialize;

/// The fields of a status body, so that the same parsing is done.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusBody {
    /// `running`, `success`, …
    pub status: String,
    /// Which run.
    pub run_id: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// The process's exit code.
    pub exit_code: Option<i32>,
    /// Milliseconds.
    pub duration_ms: Option<u64>,
    /// The client's time.
    pub occurred_at: Option<String>,
}

/// The bare server's routes.
pub fn router() -> Router {
    Router::new()
        .route("/api/v1/schedulers/{id}/status", put(status))
        .route("/api/v1/schedulers/{id}/heartbeat", axum::routing::post(heartbeat))
}

async fn status(
    axum::extract::Path(id): axum::extract::Path<String>,
    axum::Json(body): axum::Json<StatusBody>,
) -> (StatusCode, axum::Json<serde_json::Value>) {
    let run = body.run_id.unwrap_or_default();
    (StatusCode::ACCEPTED, axum::Json(serde_json::json!({"scheduler_id": id, "run_id": run, "status": "accepted"})))
}

async fn heartbeat(
    axum::extract::Path(id): axum::extract::Path<String>,
    axum::Json(body): axum::Json<serde_json::Value>,
) -> (StatusCode, axum::Json<serde_json::Value>) {
    (
        StatusCode::ACCEPTED,
        axum::Json(serde_json::json!({"scheduler_id": id, "run_id": body["run_id"], "status": "accepted"})),
    )
}
