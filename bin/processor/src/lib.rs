//! The processor as a part of a process, and as a process of its own.

use std::convert::identity;
use std::time::Duration;

use ronda_domain::id::TenantId;
use ronda_host::alone;
use ronda_host::arguments::ServiceArguments;
use ronda_host::config::{self, Settings};
use ronda_host::exit::{Code, Failure, chain};
use ronda_host::process::{Process, Service};
use ronda_processor::{Config, DirectAccess, Processor};
use ronda_schemas::lease::Group;

const DAY_SECONDS: u32 = 86_400;

/// The processor's own settings.
#[must_use]
pub fn config(settings: &Settings) -> Config {
    let (processor, retention) = (&settings.processor, &settings.retention);
    Config {
        pulse_period_ms: settings.server.pulse_period_ms,
        gateway_silent_periods: processor.gateway_silent_periods,
        commit_interval_ms: processor.commit_interval_ms,
        receive_messages: processor.receive_messages,
        receive_bytes: processor.receive_bytes,
        commit_rows: processor.commit_rows,
        history_retention_seconds: retention.history_days.saturating_mul(DAY_SECONDS),
        purge_entries: retention.purge_entries,
        direct_access: direct_access(settings),
        ..Config::default()
    }
}

/// Who may publish directly.
fn direct_access(settings: &Settings) -> DirectAccess {
    match settings.queue.direct_access {
        config::DirectAccess::Broker => {
            DirectAccess::Broker { tenant: TenantId::new(&settings.queue.direct_tenant).ok() }
        }
        config::DirectAccess::ApiKey => DirectAccess::ApiKey,
    }
}

/// Starts it in a process.
///
/// # Errors
/// Settings that it can't use.
pub fn start(process: &mut Process, settings: &Settings) -> Result<(), Failure> {
    let parts = &process.parts;
    let (commands, events, dead) = (parts.commands.clone(), parts.events.clone(), parts.dead_letters.clone());
    let processor = Processor::build(config(settings), commands, events, dead, process.store(), &process.health)
        .map_err(|error| Failure::other(chain(&error)))?;
    let ownership = process.ownership(Group::Processor, settings)?;
    let code_of_store = if settings.store.url.is_embedded() { Code::Data } else { Code::Store };
    process.start(Service::Processor, Duration::ZERO, |stop| async move {
        processor.run(ownership, stop).await.map_err(|error| Failure::new(code_of_store, chain(&error)))
    });
    Ok(())
}

/// Runs it alone, until a signal ends it.
///
/// # Errors
/// Why it could not start, or what failed.
pub async fn run(arguments: ServiceArguments) -> Result<(), Failure> {
    let settings = alone::settings(&arguments, "processor", identity)?;
    let (stop, process) = alone::open(&settings).await?;
    let Some(mut process) = process else { return Ok(()) };
    let admin = alone::admin(&settings).await?;
    start(&mut process, &settings)?;
    alone::until(process, admin, "processor", stop, std::future::ready(())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_taken() {
        let settings = Settings::default();
        config(&settings).check().unwrap();
        assert_eq!(config(&settings), Config::default());
    }
}
