//! One service as a process of its own: everything around it.

use std::time::Duration;

use ronda_runtime::CancellationToken;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::arguments::ServiceArguments;
use crate::config::{Draft, Settings};
use crate::exit::{Code, Failure};
use crate::process::{self, Process};
use crate::signals;

/// How often it is looked whether it is ready, and for how long: it is said then all the same.
const READY_POLL: Duration = Duration::from_millis(50);
const READY_WITHIN: Duration = Duration::from_secs(10);

/// The settings of a service that runs alone, with what it asks of them beside what all do.
///
/// # Errors
/// Every mistake in them; or that queues or store are files, which one process owns.
pub fn settings(
    arguments: &ServiceArguments,
    service: &str,
    more: impl FnOnce(Draft) -> Draft,
) -> Result<Settings, Failure> {
    let settings = arguments.load(more)?.settings;
    let embedded = match (settings.queue.url.is_embedded(), settings.store.url.is_embedded()) {
        (false, false) => return Ok(settings),
        (true, false) => "queues are",
        (false, true) => "store is",
        (true, true) => "queues and store are",
    };
    Err(Failure::new(
        Code::Embedded,
        format!(
            "the {service} can't run in a process of its own while its {embedded} embedded: files in one directory, which one process owns.\n\
             Name a broker (--queue nats://…, sqs://…, amqp://…) and a database (--store cassandra://…, dynamodb://…) that all share. \
             Run 'ronda up' to have ingest-gateway, processor and notifier together in one process."
        ),
    ))
}

/// Begins to log, and opens what the service works with; no process when a signal came meanwhile.
///
/// # Errors
/// Why it can't be used.
pub async fn open(settings: &Settings) -> Result<(CancellationToken, Option<Process>), Failure> {
    let metrics = process::telemetry(settings)?;
    let stop = signals::watch()?;
    let process = Process::open(settings, metrics, &stop).await?;
    Ok((stop, process))
}

/// Listens for those who ask for health and metrics.
///
/// # Errors
/// Why it can't.
pub async fn admin(settings: &Settings) -> Result<TcpListener, Failure> {
    process::listen(settings.server.admin_listen, "--admin-listen", "server.admin_listen").await
}

/// Runs what was started until a signal ends it, or a part of it fails. Says once where it can be asked.
///
/// # Errors
/// What failed.
pub async fn until(
    mut process: Process,
    admin: TcpListener,
    service: &str,
    stop: CancellationToken,
    beside: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let address = process::address(&admin)?;
    process.start_admin(admin);
    let (health, service) = (process.health.clone(), service.to_owned());
    let told = async move {
        let ready = async {
            while !health.readiness().ok {
                sleep(READY_POLL).await;
            }
        };
        match timeout(READY_WITHIN, ready).await {
            Ok(()) => tracing::info!("the {service} is ready; health and metrics on http://{address}"),
            Err(_) => tracing::warn!("the {service} is not ready yet; http://{address}/health/ready says why"),
        }
    };
    let beside = async {
        tokio::join!(told, beside);
    };
    process.until(stop, beside).await
}
