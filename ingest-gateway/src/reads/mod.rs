//! Lists, details, histories and error feeds.

use axum::Router;

use crate::AppState;

/// The read routes, below `/api/v1`; the access layer is put around them by the caller.
pub fn router() -> Router<AppState> {
    Router::new()
}
