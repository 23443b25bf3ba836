//! `up`: all three services in one process, on embedded parts or with their queues and store on servers.

mod asked;
mod screen;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use ronda_host::alone;
use ronda_host::arguments::ServiceArguments;
use ronda_host::config::{Loaded, Settings};
use ronda_host::exit::{Failure, chain};
use ronda_host::parts::{Backend, Rows};
use ronda_host::process::{self, GATEWAY, Process, Service};
use ronda_host::signals;
use ronda_ingest_gateway::SocketStatus;
use ronda_ingest_gateway::keys::{self, DEFAULT_RATE_LIMIT_PER_MINUTE, NewKey};
use ronda_notifier::NotifierStatus;
use ronda_notifier_bin::slack::{self, Slack};
use ronda_runtime::{Clock, Health, Secret};
use ronda_schemas::row::Scopes;
use ronda_store::port::KeyStore;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::admin::socket::{self, Owned};
use crate::keys::DEFAULT_TENANT;
use asked::Asked;
use screen::Screen;

/// How often it is looked whether the gateway takes requests, and after how long the screen is shown all the same: it holds the key.
const GREETING_POLL: Duration = Duration::from_millis(20);
const GREETING_WITHIN: Duration = Duration::from_secs(10);
/// How long the screen waits for what Slack says to the tokens.
const SLACK_WITHIN: Duration = Duration::from_secs(3);

/// Runs until a signal ends it, or a part of it fails.
///
/// # Errors
/// Why it could not start, or what failed.
pub async fn run(arguments: ServiceArguments) -> Result<(), Failure> {
    let Loaded { settings, file, .. } = arguments.load(ronda_notifier_bin::checked)?;
    let notifier = ronda_notifier_bin::config(&settings)?;
    let metrics = process::telemetry(&settings)?;
    // From here on a signal ends it in order, also in the middle of reading what a killed process left.
    let stop = signals::watch()?;
    let Some(mut process) = Process::open(&settings, metrics, &stop).await? else { return Ok(()) };
    let (api, admin) = process::both(ronda_ingest_gateway_bin::listen(&settings).await, alone::admin(&settings).await)?;
    let key = first_key(&*process.parts.store, &*process.clock).await?;
    let addresses = (process::address(&api)?, process::address(&admin)?);
    let destinations = ronda_notifier_bin::slack_is_on(&settings).then(|| ronda_notifier_bin::destinations(&notifier));
    let elsewhere = ronda_notifier_bin::goes_elsewhere(&notifier).then(|| ronda_notifier_bin::destinations(&notifier));
    ronda_processor_bin::start(&mut process, &settings)?;
    let status = ronda_notifier_bin::start(&mut process, notifier, &settings)?;
    let socket = ronda_ingest_gateway_bin::start(&mut process, &settings, api)?;
    process.start_admin(admin);
    start_admin_socket(&mut process, &settings);
    let (data, queue, store) = places(&process, &settings);
    let (partitions, program) = (settings.storage.partitions, program());
    let (https, slack_is_on) = (!settings.slack.signing_secret.is_empty(), destinations.is_some());
    let greeting = move |slack: Option<NotifierStatus>, socket: Option<SocketStatus>| {
        // Without Slack nobody misses it.
        let asked = (slack_is_on || https || socket.is_some()).then_some(Asked { https, socket });
        let slack = destinations.as_deref().map(|channels| Slack { channels, status: slack.unwrap_or_default() });
        let (api, admin) = addresses;
        let (data, queue, store) = (data.as_deref(), queue.as_deref(), store.as_deref());
        let (file, program) = (file.as_deref(), program.as_deref());
        let (key, elsewhere) = (key.as_ref(), elsewhere.as_deref());
        Screen { api, admin, data, partitions, queue, store, file, key, slack, asked, elsewhere, program }.text()
    };
    let greet = greet(process.health.clone(), status, socket, greeting);
    process.until(stop, greet).await
}

/// Serves the commands of whoever owns the data directory. A store on a server has none: commands go there themselves.
fn start_admin_socket(process: &mut Process, settings: &Settings) {
    if matches!(process.parts.rows, Rows::Server(_)) {
        return;
    }
    let data = settings.storage.data.clone();
    let listener = match socket::bind(&data) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, "the admin socket can't be made: 'ronda keys', 'ronda queue lag' and 'ronda dead-letters' will not work while this runs");
            return;
        }
    };
    let parts = &process.parts;
    let (commands, events, dead_letters) = (parts.commands.clone(), parts.events.clone(), parts.dead_letters.clone());
    let (clock, settings, away) = (process.clock.clone(), Arc::new(settings.clone()), process.away.clone());
    let owned = Owned::new(process.store(), commands, events, dead_letters, clock, settings, away);
    process.start(Service::AdminSocket, Duration::ZERO, |stop| async move {
        socket::serve(listener, data, owned, stop).await.map_err(|error| Failure::other(chain(&error)))
    });
}

/// For people: the data directory, the queues' place and the store's, each where there is one.
fn places(process: &Process, settings: &Settings) -> (Option<PathBuf>, Option<String>, Option<String>) {
    let data = &settings.storage.data;
    let queue = match &process.parts.backend {
        Backend::Embedded(_) => None,
        Backend::Broker(_, name) => Some(name.to_string()),
    };
    match &process.parts.rows {
        Rows::Embedded(_) => (Some(std::fs::canonicalize(data).unwrap_or_else(|_| data.clone())), queue, None),
        Rows::Server(place) => (None, queue, Some(place.clone())),
    }
}

/// Prints the greeting as soon as the gateway takes requests, and logs what Slack has against us from then on.
async fn greet(
    health: Health,
    mut slack: Option<watch::Receiver<NotifierStatus>>,
    mut socket: Option<watch::Receiver<SocketStatus>>,
    greeting: impl FnOnce(Option<NotifierStatus>, Option<SocketStatus>) -> String,
) {
    let takes_requests = async {
        while !health.readiness().components.iter().any(|part| part.name == GATEWAY && part.ok) {
            sleep(GREETING_POLL).await;
        }
    };
    // Late or not, it is shown: nobody will see the key otherwise.
    let _ = timeout(GREETING_WITHIN, takes_requests).await;
    let both_answered = async {
        if let Some(status) = &mut slack {
            let _ = status.wait_for(|status| status.connected.is_some()).await;
        }
        if let Some(status) = &mut socket {
            let _ = status.wait_for(|status| *status != SocketStatus::Connecting).await;
        }
    };
    let _ = timeout(SLACK_WITHIN, both_answered).await;
    let socket = socket.map(|status| status.borrow().clone());
    crate::print(&greeting(slack.as_ref().map(|status| status.borrow().clone()), socket));
    if let Some(status) = slack {
        slack::log_refusals(status).await;
    }
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
