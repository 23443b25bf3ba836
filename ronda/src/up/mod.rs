//! `up`: all three services in one process, on embedded parts or with their queues on a broker.

pub mod broker;
pub mod identity;
mod life;
mod others;
pub mod parts;
mod running;
mod screen;
mod signals;
mod slack;
mod watch;
pub mod wiring;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use ronda_ingest_gateway::keys::{self, DEFAULT_RATE_LIMIT_PER_MINUTE, NewKey};
use ronda_notifier::NotifierStatus;
use ronda_runtime::telemetry::{self, TelemetryConfig};
use ronda_runtime::{Clock, Health, Secret, SystemClock};
use ronda_schemas::row::Scopes;
use ronda_store::port::KeyStore;
use tokio::net::TcpListener;

use crate::admin::socket;
use crate::cli::UpArguments;
use crate::config::{Loaded, Settings};
use crate::exit::{Code, Failure, chain};
use crate::keys::DEFAULT_TENANT;
use crate::settings_command::load;
use parts::Parts;
use running::Running;
use screen::Screen;

/// Runs until a signal ends it, or a part of it fails.
///
/// # Errors
/// Why it could not start, or what failed.
pub async fn run(arguments: UpArguments) -> Result<(), Failure> {
    let Loaded { settings, file, .. } = loaded(&arguments)?;
    let notifier = wiring::notifier(&settings)?;
    let telemetry = TelemetryConfig {
        log_filter: settings.telemetry.log_filter.clone(),
        log_format: settings.telemetry.log_format,
    };
    let metrics = telemetry::init(&telemetry).map_err(|error| Failure::other(chain(&error)))?;
    // From here on a signal ends it in order, also in the middle of reading what a killed process left.
    let stop = signals::watch()?;
    let parts = if settings.queue.url.is_embedded() {
        Parts::open(&settings).await?
    } else {
        tokio::select! {
            parts = Parts::open(&settings) => parts?,
            // It may be waiting for a broker that is away.
            () = stop.cancelled() => return Ok(()),
        }
    };
    identity::check(&parts, &settings.storage.data).await?;
    let (api, admin) = listeners(&settings).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let key = first_key(&*parts.store, &*clock).await?;
    let addresses = (address(&api)?, address(&admin)?);
    let admin_socket = match socket::bind(&settings.storage.data) {
        Ok(listener) => Some(listener),
        Err(error) => {
            tracing::warn!(%error, "the admin socket can't be made: 'ronda keys', 'ronda queue lag' and 'ronda dead-letters' will not work while this runs");
            None
        }
    };
    let health = Health::new();
    let mut running = Running::new(parts, clock, health, metrics, settings.storage.data.clone());
    let destinations = wiring::slack_is_on(&settings).then(|| wiring::destinations(&notifier));
    running.start_processor(wiring::processor(&settings))?;
    running.start_notifier(notifier, &settings)?;
    running.start_gateway(wiring::gateway(&settings), api)?;
    running.start_admin(admin, admin_socket, &settings);
    let data = std::fs::canonicalize(&settings.storage.data).unwrap_or_else(|_| settings.storage.data.clone());
    let (partitions, program) = (settings.storage.partitions, program());
    let queue = (!settings.queue.url.is_embedded()).then(|| broker::Name::of(&settings).to_string());
    let greeting = |slack: Option<NotifierStatus>| {
        let slack =
            destinations.as_deref().map(|channels| slack::Slack { channels, status: slack.unwrap_or_default() });
        let (api, admin) = addresses;
        let (file, program, queue) = (file.as_deref(), program.as_deref(), queue.as_deref());
        Screen { api, admin, data: &data, partitions, queue, file, key: key.as_ref(), slack, program }.text()
    };
    running.until(stop, greeting).await
}

fn loaded(arguments: &UpArguments) -> Result<Loaded, Failure> {
    let mut flags = Vec::new();
    if let Some(listen) = arguments.listen {
        flags.push(("server", "listen", "--listen", listen.to_string()));
    }
    if let Some(listen) = arguments.admin_listen {
        flags.push(("server", "admin_listen", "--admin-listen", listen.to_string()));
    }
    if let Some(queue) = &arguments.queue {
        flags.push(("queue", "url", "--queue", queue.clone()));
    }
    if let Some(partitions) = arguments.partitions {
        flags.push(("storage", "partitions", "--partitions", partitions.to_string()));
    }
    load(&arguments.place, flags)
}

/// Both addresses; what is wrong with either is told at once.
async fn listeners(settings: &Settings) -> Result<(TcpListener, TcpListener), Failure> {
    let server = &settings.server;
    let api = bind(server.listen, "--listen", "server.listen").await;
    let admin = bind(server.admin_listen, "--admin-listen", "server.admin_listen").await;
    match (api, admin) {
        (Ok(api), Ok(admin)) => Ok((api, admin)),
        (Err(one), Err(other)) => Err(Failure::new(Code::Address, format!("{one}\n  {other}"))),
        (Err(one), _) | (_, Err(one)) => Err(one),
    }
}

async fn bind(address: SocketAddr, flag: &str, setting: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let another = SocketAddr::new(address.ip(), address.port().saturating_add(10));
        let what = match error.kind() {
            ErrorKind::AddrInUse => {
                format!("another program listens there. Stop that one, or choose another, such as {flag} {another}")
            }
            ErrorKind::PermissionDenied => {
                format!("this user may not (ports below 1024 need a privilege). Choose another with {flag}")
            }
            ErrorKind::AddrNotAvailable => format!("this machine has no such address. Choose another with {flag}"),
            _ => format!("{error}. Choose another with {flag}"),
        };
        Failure::new(Code::Address, format!("{address} can't be listened on: {what} ({setting})"))
    })
}

fn address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::new(Code::Address, error.to_string()))
}

/// The key of the first start: none when there is, or ever was, any key.
async fn first_key<S: KeyStore + ?Sized>(store: &S, clock: &dyn Clock) -> Result<Option<Secret>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::other(chain(error));
    if !keys::list(store, None).await.map_err(|error| failed(&error))?.is_empty() {
        return Ok(None);
    }
    let new = NewKey {
        tenant: TenantId::new(DEFAULT_TENANT).map_err(|error| failed(&error))?,
        name: String::from("first start"),
        scopes: Scopes { ingest: true, read: true, admin: true },
        rate_limit_per_minute: DEFAULT_RATE_LIMIT_PER_MINUTE,
        expires_at: None,
    };
    let now = Timestamp::from_millis(clock.wall_millis());
    let (secret, _) = keys::create(store, new, now).await.map_err(|error| failed(&error))?;
    Ok(Some(secret))
}

/// This program's file when it was started by a path, as `cargo run` does; none when the shell found it by its name.
fn program() -> Option<PathBuf> {
    let by_path = std::env::args_os().next().is_some_and(|name| Path::new(&name).components().count() > 1);
    by_path.then(std::env::current_exe).and_then(Result::ok)
}
