//! The OpenAPI document and its viewer; reachable without a key.

use axum::Router;

use crate::AppState;

/// The documentation routes, with their full paths.
pub fn router() -> Router<AppState> {
    Router::new()
}
