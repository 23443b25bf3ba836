//! One gateway as a process of its own, for tests and trials of several gateways on one broker.
//!
//! It is the gateway of the product on the queue of the product. Only its store is not: until there is one that several processes can
//! share, it knows one key, from the environment, and takes every scheduler to exist. Its wall clock can be set apart from the machine's.
//! A library as well as a program: a test program of another package can be such a process itself, and needs no binary of this one.

mod store;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use ronda_domain::id::TenantId;
use ronda_ingest_gateway::{Config, Gateway};
use ronda_queue::{BrokerOptions, Role, connect};
use ronda_runtime::{Clock, Health, SystemClock, admin, telemetry};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::store::OneKey;

/// Runs one gateway on a broker's command queue, which must be there already.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// The broker's address.
    #[arg(long, env = "RONDA_QUEUE_URL")]
    queue: String,
    /// The broker's credentials, in its own format.
    #[arg(long, env = "RONDA_QUEUE_CREDENTIALS_FILE")]
    credentials_file: Option<PathBuf>,
    /// What the names of queues begin with.
    #[arg(long, default_value = "ronda")]
    prefix: String,
    /// Partitions of the command queue.
    #[arg(long, default_value_t = 16)]
    partitions: u32,
    /// Where to serve the API.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to serve health and metrics.
    #[arg(long, default_value = "127.0.0.1:0")]
    admin: SocketAddr,
    /// Added to the machine's wall clock, in milliseconds.
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    clock_offset_ms: i64,
    /// How often each partition hears from it at least, in milliseconds: as the processor has been told.
    #[arg(long, default_value_t = 1_000)]
    pulse_period_ms: u64,
    /// Whose key it is.
    #[arg(long, default_value = "default")]
    tenant: String,
    /// The one API key.
    #[arg(long, env = "RONDA_HARNESS_KEY", hide_env_values = true)]
    key: String,
}

/// The machine's clocks, with the wall clock set apart.
struct OffsetClock {
    machine: SystemClock,
    offset_ms: i64,
}

impl Clock for OffsetClock {
    fn wall_millis(&self) -> i64 {
        self.machine.wall_millis().saturating_add(self.offset_ms)
    }

    fn mono_millis(&self) -> u64 {
        self.machine.mono_millis()
    }
}

/// Runs it until it is told to stop (SIGTERM, SIGINT); then it leaves in order.
///
/// # Errors
/// What stood in the way.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let metrics = telemetry::init(&telemetry::TelemetryConfig::default()).context("telemetry")?;
    let mut options = BrokerOptions::new(arguments.queue);
    options.prefix = arguments.prefix;
    options.credentials_file = arguments.credentials_file;
    options.partitions = arguments.partitions;
    options.client_name = format!("ronda-gateway-harness {}", std::process::id());
    let broker = connect(options).await.context("the broker")?;
    let commands = broker.queue(Role::Commands).await.context("the command queue")?;
    let tenant = TenantId::new(&arguments.tenant).context("the tenant")?;
    let store = Arc::new(OneKey::new(tenant, arguments.key.as_bytes()));
    let clock = Arc::new(OffsetClock { machine: SystemClock::new(), offset_ms: arguments.clock_offset_ms });
    let health = Health::new();
    // Nothing can be waited for: the store does not show what was applied.
    let config = Config { apply_wait_ms: 0, pulse_period_ms: arguments.pulse_period_ms, ..Config::default() };
    let gateway = Gateway::build(config, commands, store, clock, &health)?;
    let listener = TcpListener::bind(arguments.listen).await.context("the API's address")?;
    let admin_listener = TcpListener::bind(arguments.admin).await.context("the admin address")?;
    tell(&gateway, &listener, &admin_listener)?;
    let stop = CancellationToken::new();
    let serving = tokio::spawn(admin::serve(admin_listener, health, metrics, stop.clone()));
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        stopping.cancel();
    });
    gateway.run(listener, stop.clone()).await?;
    stop.cancel();
    broker.close().await;
    serving.await??;
    Ok(())
}

/// One line for whoever started it: addresses may have been chosen by the machine.
#[allow(clippy::print_stdout, reason = "the line is what the program is asked for")]
fn tell(gateway: &Gateway, api: &TcpListener, admin: &TcpListener) -> anyhow::Result<()> {
    println!("gateway {:016x} api http://{} admin http://{}", gateway.id(), api.local_addr()?, admin.local_addr()?);
    Ok(())
}
