//! The admin socket: `DATA/admin.sock`, mode 0600.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use ronda_domain::time::Timestamp;
use ronda_runtime::{CancellationToken, Clock};
use ronda_store::port::Store;
use serde_json::json;
use tokio::net::UnixListener;

use super::operation::{Answer, Operation, perform};
use crate::client::{Client, Method};
use crate::exit::{Code, Failure};

/// The path of the one operation.
const PATH: &str = "/keys";

/// Where the socket of a data directory is.
#[must_use]
pub fn path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Makes the socket. Only the owner of the data directory may call this: what an earlier process left is replaced.
///
/// # Errors
/// When the file system refuses, or the path is too long for a socket (about 100 bytes).
pub fn bind(data: &Path) -> std::io::Result<UnixListener> {
    // Under another name until nobody else may open it.
    let making = data.join("admin.new");
    let _ = std::fs::remove_file(&making);
    let listener = UnixListener::bind(&making)?;
    std::fs::set_permissions(&making, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&making, path(data))?;
    Ok(listener)
}

#[derive(Clone)]
struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// Serves until cancelled, then removes the socket.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: UnixListener,
    data: PathBuf,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new().route(PATH, post(handle)).with_state(Shared { store, clock });
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    let _ = std::fs::remove_file(path(&data));
    served
}

async fn handle(State(shared): State<Shared>, Json(operation): Json<Operation>) -> Response {
    let now = Timestamp::from_millis(shared.clock.wall_millis());
    match perform(&*shared.store, operation, now).await {
        Ok(answer) => Json(answer).into_response(),
        Err(what) => (StatusCode::BAD_REQUEST, Json(json!({"title": "Not done", "detail": what}))).into_response(),
    }
}

/// Asks the process that owns a data directory; none when there is none.
///
/// # Errors
/// What it has against the operation, or why it can't be asked.
pub async fn ask(data: &Path, operation: &Operation) -> Result<Option<Answer>, Failure> {
    let socket = path(data);
    match tokio::net::UnixStream::connect(&socket).await {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let message = format!("{} may only be opened by its owner: run this as that user", socket.display());
            return Err(Failure::new(Code::Refused, message));
        }
        // Nobody there: it was never made, or its process was killed.
        Err(_) => return Ok(None),
    }
    let body = serde_json::to_value(operation).map_err(|error| Failure::other(error.to_string()))?;
    let client = Client::on_socket(&socket)?;
    let sent = client.send(Method::POST, &[PATH.trim_start_matches('/')], &[], Some(&body), None).await?;
    let answer = serde_json::from_value(sent.body).map_err(|error| {
        Failure::other(format!("the running ronda answered something else ({error}); is it another release?"))
    })?;
    Ok(Some(answer))
}
