//! The admin socket: `DATA/admin.sock`, mode 0600.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use ronda_domain::time::Timestamp;
pub use ronda_host::socket::{is_alive, path};
use ronda_queue::{Queue, Role};
use ronda_runtime::{CancellationToken, Clock};
use ronda_store::port::Store;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::net::UnixListener;

use super::{Named, NotDone};
use crate::client::{Client, Method};
use crate::dead_letters::{self, Queues};
use crate::keys;
use crate::partitions::{self, Owners};
use crate::queue::lag;
use ronda_host::broker::{self, Away};
use ronda_host::config::Settings;
use ronda_host::exit::{Code, Failure};

/// What can be asked: the path of its operation.
pub const KEYS: &str = "keys";
/// See [`KEYS`].
pub const DEAD_LETTERS: &str = "dead-letters";
/// See [`KEYS`].
pub const QUEUE_LAG: &str = "queue-lag";

/// See [`KEYS`].
pub const PARTITIONS: &str = "partitions";

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
    store: Arc<dyn Store>,
    commands: Arc<dyn Queue>,
    events: Arc<dyn Queue>,
    dead_letters: Arc<dyn Queue>,
    /// The time for what is made.
    clock: Arc<dyn Clock>,
    settings: Arc<Settings>,
    /// Whether the queues' broker is away.
    away: Away,
    /// Held while dead letters are looked at or taken out: one at a time reads an acknowledging broker.
    reading: Arc<tokio::sync::Mutex<()>>,
}

impl Owned {
    /// The parts of this process.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        commands: Arc<dyn Queue>,
        events: Arc<dyn Queue>,
        dead_letters: Arc<dyn Queue>,
        clock: Arc<dyn Clock>,
        settings: Arc<Settings>,
        away: Away,
    ) -> Self {
        Self { store, commands, events, dead_letters, clock, settings, away, reading: Arc::default() }
    }

    /// Carries out what needs the queues, unless others are meant, or their broker is away, or found to be away meanwhile: what is left to
    /// do then would only wait for it. Whatever can be given up half-way can be done again.
    async fn on_queues<T>(&self, named: &Named, work: impl Future<Output = Result<T, NotDone>>) -> Result<T, Failure> {
        named.check(&self.settings)?;
        tokio::select! {
            biased;
            error = self.away.known() => Err(broker::failure(&self.settings, &error)),
            done = work => done.map_err(|why| why.failure(&self.settings)),
        }
    }
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
        .route(&format!("/{DEAD_LETTERS}"), post(handle_dead_letters))
        .route(&format!("/{QUEUE_LAG}"), post(tell_lag))
        .route(&format!("/{PARTITIONS}"), post(tell_partitions))
        .with_state(owned);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    let _ = std::fs::remove_file(path(&data));
    served
}

async fn manage_keys(State(owned): State<Owned>, Json(operation): Json<keys::Operation>) -> Response {
    let now = Timestamp::from_millis(owned.clock.wall_millis());
    let done = keys::perform(&*owned.store, operation, now).await;
    answered(done.map_err(|what| Failure::new(Code::Refused, what)))
}

async fn handle_dead_letters(
    State(owned): State<Owned>,
    Query(named): Query<Named>,
    Json(operation): Json<dead_letters::Operation>,
) -> Response {
    let work = async {
        let _alone = owned.reading.lock().await;
        let (dead_letters, commands) = (&*owned.dead_letters, Some(&*owned.commands));
        let queues = Queues { dead_letters, commands, needs_key: dead_letters::needs_key(&owned.settings) };
        dead_letters::perform(queues, operation).await
    };
    answered(owned.on_queues(&named, work).await)
}

async fn tell_lag(State(owned): State<Owned>, Query(named): Query<Named>) -> Response {
    let queues =
        [(Role::Commands, &*owned.commands), (Role::Events, &*owned.events), (Role::DeadLetters, &*owned.dead_letters)];
    let now = Timestamp::from_millis(owned.clock.wall_millis());
    answered(owned.on_queues(&named, lag::look(&queues, Some((&*owned.store, now)))).await)
}

async fn tell_partitions(State(owned): State<Owned>, Query(named): Query<Named>) -> Response {
    let looked = partitions::look(&*owned.store, &*owned.commands, &*owned.events, &Owners::This);
    answered(owned.on_queues(&named, looked).await)
}

fn answered(done: Result<impl Serialize, Failure>) -> Response {
    match done {
        Ok(answer) => Json(answer).into_response(),
        Err(Failure { code, message }) => {
            let refusal = json!({"title": "Not done", "detail": message, "exit_code": code.number()});
            (StatusCode::BAD_REQUEST, Json(refusal)).into_response()
        }
    }
}

/// Asks the process that owns a data directory; none when there is none.
///
/// # Errors
/// What it has against the operation, or why it can't be asked.
pub async fn ask<A: DeserializeOwned>(
    data: &Path,
    operation: &str,
    named: &Named,
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
    let sent = client.send(Method::POST, &[operation], &named.query(), Some(&body), None).await?;
    let answer = serde_json::from_value(sent.body).map_err(|error| {
        Failure::other(format!("the running ronda answered something else ({error}); is it another release?"))
    })?;
    Ok(Some(answer))
}
