//! The ingest gateway as a part of a process, and as a process of its own.

use std::convert::identity;
use std::time::Duration;

use ronda_domain::id::TenantId;
use ronda_host::alone;
use ronda_host::arguments::ServiceArguments;
use ronda_host::config::Settings;
use ronda_host::exit::{Code, Failure, chain};
use ronda_host::process::{self, Process, Service};
use ronda_ingest_gateway::{Config, Gateway, SlackConfig, SocketStatus};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The gateway's own settings.
///
/// # Errors
/// What can't be used.
pub fn config(settings: &Settings) -> Result<Config, Failure> {
    let server = &settings.server;
    Ok(Config {
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
        slack: slack(settings)?,
        ..Config::default()
    })
}

/// How people in Slack are answered, when there is a way for them to ask.
fn slack(settings: &Settings) -> Result<Option<SlackConfig>, Failure> {
    let slack = &settings.slack;
    if slack.signing_secret.is_empty() && slack.app_token.is_empty() {
        return Ok(None);
    }
    let tenant = TenantId::new(&slack.tenant)
        .map_err(|error| Failure::new(Code::Configuration, format!("slack.tenant is {:?}: {error}", slack.tenant)))?;
    Ok(Some(SlackConfig {
        signing_secret: slack.signing_secret.clone(),
        app_token: slack.app_token.clone(),
        api_url: slack.api_url.clone(),
        team_id: slack.team_id.clone(),
        allow_guest_teams: slack.allow_guest_teams,
        timezone: settings.notifier.timezone.clone(),
        ..SlackConfig::new(tenant)
    }))
}

/// Listens where clients come in.
///
/// # Errors
/// Why it can't.
pub async fn listen(settings: &Settings) -> Result<TcpListener, Failure> {
    process::listen(settings.server.listen, "--listen", "server.listen").await
}

/// Starts it in a process. Answers how its connection of Socket Mode is, when it opens one.
///
/// # Errors
/// Settings that it can't use.
pub fn start(
    process: &mut Process,
    settings: &Settings,
    listener: TcpListener,
) -> Result<Option<watch::Receiver<SocketStatus>>, Failure> {
    let config = config(settings)?;
    let drain = Duration::from_secs(config.drain_timeout_seconds);
    let (commands, clock) = (process.parts.commands.clone(), process.clock.clone());
    let gateway = Gateway::build(config, commands, process.store(), clock, &process.health)
        .map_err(|error| Failure::other(chain(&error)))?;
    process.has_gateway(gateway.id());
    let socket = gateway.slack_socket();
    process.start(Service::Gateway, drain, |stop| async move {
        gateway.run(listener, stop).await.map_err(|error| Failure::other(chain(&error)))
    });
    Ok(socket)
}

/// Runs it alone, until a signal ends it.
///
/// # Errors
/// Why it could not start, or what failed.
pub async fn run(arguments: ServiceArguments) -> Result<(), Failure> {
    let settings = alone::settings(&arguments, "ingest gateway", identity)?;
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
        assert_eq!(config(&Settings::default()).unwrap(), Config { alone: true, ..Config::default() });
    }

    #[test]
    fn either_way_from_slack_is_enough() {
        for (signing, app) in [("8f742231b10e8888abcd99yyyzzz85a5", ""), ("", "xapp-1")] {
            let mut settings = Settings::default();
            settings.slack.signing_secret = signing.to_owned().into();
            settings.slack.app_token = app.to_owned().into();
            let slack = config(&settings).unwrap().slack.unwrap();
            assert_eq!((slack.signing_secret.expose(), slack.app_token.expose()), (signing, app));
            assert_eq!((slack.tenant.as_str(), &*slack.timezone), ("default", "Asia/Jakarta"));
        }
    }
}
