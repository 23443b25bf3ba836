//! The ingest gateway as a part of a process, and as a process of its own.

use std::time::Duration;

use ronda_host::alone;
use ronda_host::arguments::ServiceArguments;
use ronda_host::config::Settings;
use ronda_host::exit::{Failure, chain};
use ronda_host::process::{self, Process, Service};
use ronda_ingest_gateway::{Config, Gateway};
use tokio::net::TcpListener;

/// The gateway's own settings.
#[must_use]
pub fn config(settings: &Settings) -> Config {
    let server = &settings.server;
    Config {
        // Embedded queues have the lock of the data directory: no other process writes to them, and what an earlier one wrote is in them. On a
        // broker another one, that is only stalled, may still write.
        alone: settings.queue.url.is_embedded(),
        pulse_period_ms: u64::from(server.pulse_period_ms),
        linger_ms: server.linger_ms,
        apply_wait_ms: server.apply_wait_ms,
        max_prefer_wait_seconds: server.max_prefer_wait_seconds,
        max_body_bytes: server.max_body_bytes,
        max_bulk_body_bytes: server.max_bulk_body_bytes,
        max_inflight_body_bytes: server.max_inflight_body_bytes,
        max_bulk_items: server.max_bulk_items,
        idle_timeout_seconds: server.idle_timeout_seconds,
        max_connections: server.max_connections,
        drain_timeout_seconds: server.drain_timeout_seconds,
        key_ttl_ms: server.key_ttl_ms,
        ..Config::default()
    }
}

/// Listens where clients come in.
///
/// # Errors
/// Why it can't.
pub async fn listen(settings: &Settings) -> Result<TcpListener, Failure> {
    process::listen(settings.server.listen, "--listen", "server.listen").await
}

/// Starts it in a process.
///
/// # Errors
/// Settings that it can't use.
pub fn start(process: &mut Process, settings: &Settings, listener: TcpListener) -> Result<(), Failure> {
    let config = config(settings);
    let drain = Duration::from_secs(config.drain_timeout_seconds);
    let (commands, clock) = (process.parts.commands.clone(), process.clock.clone());
    let gateway = Gateway::build(config, commands, process.store(), clock, &process.health)
        .map_err(|error| Failure::other(chain(&error)))?;
    process.has_gateway(gateway.id());
    process.start(Service::Gateway, drain, |stop| async move {
        gateway.run(listener, stop).await.map_err(|error| Failure::other(chain(&error)))
    });
    Ok(())
}

/// Runs it alone, until a signal ends it.
///
/// # Errors
/// Why it could not start, or what failed.
pub async fn run(arguments: ServiceArguments) -> Result<(), Failure> {
    let settings = alone::settings(&arguments, "ingest gateway")?;
    let (stop, process) = alone::open(&settings).await?;
    let Some(mut process) = process else { return Ok(()) };
    let (api, admin) = process::both(listen(&settings).await, alone::admin(&settings).await)?;
    start(&mut process, &settings, api)?;
    alone::until(process, admin, "ingest gateway", stop, std::future::ready(())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_taken() {
        assert_eq!(config(&Settings::default()), Config { alone: true, ..Config::default() });
    }
}
