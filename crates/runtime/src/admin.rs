//! The admin listener: health and metrics, apart from the public API so that it need not be reachable from outside.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::health::{Health, Report};
use crate::telemetry::MetricsHandle;

#[derive(Clone)]
struct AdminState {
    health: Health,
    metrics: MetricsHandle,
}

/// `GET /health/live`, `/health/ready` (200 or 503, with each part's reason as JSON) and `/metrics` (Prometheus text).
pub fn router(health: Health, metrics: MetricsHandle) -> Router {
    Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(render))
        .with_state(AdminState { health, metrics })
}

/// Serves [`router`] until cancelled.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: MetricsHandle,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(health, metrics)).with_graceful_shutdown(shutdown.cancelled_owned()).await
}

async fn live(State(state): State<AdminState>) -> Response {
    answer(state.health.liveness())
}

async fn ready(State(state): State<AdminState>) -> Response {
    answer(state.health.readiness())
}

async fn render(State(state): State<AdminState>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render()).into_response()
}

fn answer(report: Report) -> Response {
    let status = if report.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn get(health: &Health, path: &str) -> (StatusCode, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let answer = router(health.clone(), MetricsHandle::detached()).oneshot(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn readiness_answers_503_with_the_reason_and_then_200() {
        let health = Health::new();
        let part = health.component("gateway");
        part.set_ready(false, "joining partition 2 of 8");
        let (status, body) = get(&health, "/health/ready").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("joining partition 2 of 8"), "{body}");
        part.set_ready(true, "");
        assert_eq!(get(&health, "/health/ready").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn liveness_and_metrics_answer_without_any_part() {
        let health = Health::new();
        assert_eq!(get(&health, "/health/live").await.0, StatusCode::OK);
        assert_eq!(get(&health, "/metrics").await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn the_listener_ends_when_cancelled() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, Health::new(), MetricsHandle::detached(), shutdown.clone()));
        shutdown.cancel();
        tokio::time::timeout(std::time::Duration::from_secs(10), serving).await.unwrap().unwrap().unwrap();
    }
}
