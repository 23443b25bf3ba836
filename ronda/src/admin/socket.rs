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
use ronda_queue::EmbeddedQueue;
use ronda_runtime::{CancellationToken, Clock};
use ronda_store::port::Store;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::UnixListener;

use crate::client::{Client, Method};
use crate::dead_letters::{self, Newest};
use crate::exit::{Code, Failure};
use crate::keys::{self, Operation};

/// What can be asked: the path of its operation.
pub const KEYS: &str = "keys";
/// See [`KEYS`].
pub const DEAD_LETTERS: &str = "dead-letters";

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

/// What the operations are carried out on.
#[derive(Clone)]
pub struct Owned {
    /// Rows, with the keys.
    pub store: Arc<dyn Store>,
    /// What could not be read.
    pub dead_letters: Arc<EmbeddedQueue>,
    /// The time for what is made.
    pub clock: Arc<dyn Clock>,
}

/// Serves until cancelled, then removes the socket.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: UnixListener,
    data: PathBuf,
    owned: Owned,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route(&format!("/{KEYS}"), post(manage_keys))
        .route(&format!("/{DEAD_LETTERS}"), post(list_dead_letters))
        .with_state(owned);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    let _ = std::fs::remove_file(path(&data));
    served
}

async fn manage_keys(State(owned): State<Owned>, Json(operation): Json<Operation>) -> Response {
    let now = Timestamp::from_millis(owned.clock.wall_millis());
    answered(keys::perform(&*owned.store, operation, now).await)
}

async fn list_dead_letters(State(owned): State<Owned>, Json(newest): Json<Newest>) -> Response {
    answered(dead_letters::list(&*owned.dead_letters, newest).await)
}

fn answered(done: Result<impl Serialize, String>) -> Response {
    match done {
        Ok(answer) => Json(answer).into_response(),
        Err(what) => (StatusCode::BAD_REQUEST, Json(json!({"title": "Not done", "detail": what}))).into_response(),
    }
}

/// Asks the process that owns a data directory; none when there is none.
///
/// # Errors
/// What it has against the operation, or why it can't be asked.
pub async fn ask<A: DeserializeOwned>(
    data: &Path,
    operation: &str,
    request: &impl Serialize,
) -> Result<Option<A>, Failure> {
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
    let body = serde_json::to_value(request).map_err(|error| Failure::other(error.to_string()))?;
    let client = Client::on_socket(&socket)?;
    let sent = client.send(Method::POST, &[operation], &[], Some(&body), None).await?;
    let answer = serde_json::from_value(sent.body).map_err(|error| {
        Failure::other(format!("the running ronda answered something else ({error}); is it another release?"))
    })?;
    Ok(Some(answer))
}
