//! The services while they run, and their end in order: gateway, processor, notifier, then the parts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ronda_ingest_gateway::{Config as GatewayConfig, Gateway};
use ronda_notifier::{Channel, Config as NotifierConfig, Notifier, SlackChannel, SlackConfig, TerminalChannel};
use ronda_processor::{Config as ProcessorConfig, Processor};
use ronda_runtime::telemetry::MetricsHandle;
use ronda_runtime::{CancellationToken, Clock, Component, Health, admin};
use ronda_store::embedded::EmbeddedStore;
use ronda_store::port::Store;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::parts::Parts;
use super::wiring::slack_is_on;
use crate::config::Settings;
use crate::exit::{Failure, chain};
use crate::keys::socket;

/// Longest wait for one service to end, beyond what it was configured to take.
const END_WITHIN: Duration = Duration::from_secs(30);
/// How often histograms are folded when nobody scrapes them.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// How often it is looked whether the store takes commits.
const STORE_WATCH: Duration = Duration::from_millis(500);

/// One service under way.
struct Service {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

/// All of them.
pub(super) struct Running {
    parts: Parts,
    clock: Arc<dyn Clock>,
    health: Health,
    metrics: MetricsHandle,
    data: PathBuf,
    gateway_drain: Duration,
    services: Vec<Service>,
    /// A service that ended by itself cancels this.
    ended: CancellationToken,
}

impl Running {
    pub(super) fn new(
        parts: Parts,
        clock: Arc<dyn Clock>,
        health: Health,
        metrics: MetricsHandle,
        data: PathBuf,
    ) -> Self {
        let (services, ended) = (Vec::new(), CancellationToken::new());
        Self { parts, clock, health, metrics, data, gateway_drain: Duration::ZERO, services, ended }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.parts.store) as Arc<dyn Store>
    }

    fn start(&mut self, name: &'static str, work: impl FnOnce(CancellationToken) -> JoinHandle<Result<(), String>>) {
        let stop = CancellationToken::new();
        let inner = work(stop.clone());
        let ended = self.ended.clone();
        let task = tokio::spawn(async move {
            let outcome = inner.await.unwrap_or_else(|error| Err(chain(&error)));
            ended.cancel();
            outcome
        });
        self.services.push(Service { name, stop, task });
    }

    pub(super) fn start_processor(&mut self, config: ProcessorConfig) -> Result<(), Failure> {
        let parts = &self.parts;
        let (commands, events, dead) = (parts.commands.clone(), parts.events.clone(), parts.dead_letters.clone());
        let processor = Processor::build(config, commands, events, dead, self.store(), &self.health)
            .map_err(|error| Failure::other(chain(&error)))?;
        self.start("processor", |stop| {
            tokio::spawn(async move {
                processor.run(stop).await;
                Ok(())
            })
        });
        Ok(())
    }

    pub(super) fn start_notifier(&mut self, config: NotifierConfig, settings: &Settings) -> Result<(), Failure> {
        let channel: Arc<dyn Channel> = if slack_is_on(settings) {
            let slack = SlackConfig {
                api_url: settings.slack.api_url.clone(),
                ..SlackConfig::new(settings.slack.bot_token.clone())
            };
            Arc::new(SlackChannel::new(slack).map_err(|error| Failure::other(chain(&error)))?)
        } else {
            Arc::new(TerminalChannel::stdout())
        };
        let (events, clock) = (self.parts.events.clone(), self.clock.clone());
        let notifier = Notifier::build(config, events, self.store(), clock, channel, &self.health)
            .map_err(|error| Failure::other(chain(&error)))?;
        self.start("notifier", |stop| {
            tokio::spawn(async move { notifier.run(stop).await.map_err(|error| chain(&error)) })
        });
        Ok(())
    }

    pub(super) fn start_gateway(&mut self, config: GatewayConfig, listener: TcpListener) -> Result<(), Failure> {
        self.gateway_drain = Duration::from_secs(config.drain_timeout_seconds);
        let gateway =
            Gateway::build(config, self.parts.commands.clone(), self.store(), self.clock.clone(), &self.health)
                .map_err(|error| Failure::other(chain(&error)))?;
        self.start("ingest-gateway", |stop| {
            tokio::spawn(async move { gateway.run(listener, stop).await.map_err(|error| chain(&error)) })
        });
        Ok(())
    }

    pub(super) fn start_admin(&mut self, listener: TcpListener, admin_socket: Option<UnixListener>) {
        let (health, metrics) = (self.health.clone(), self.metrics.clone());
        let watched = watch_store(Arc::clone(&self.parts.store), health.component("store"));
        self.start("admin", |stop| {
            tokio::spawn(async move {
                let watched = tokio::spawn(watched);
                let upkeep = tokio::spawn(upkeep(metrics.clone()));
                let served = admin::serve(listener, health, metrics, stop).await;
                upkeep.abort();
                watched.abort();
                served.map_err(|error| chain(&error))
            })
        });
        if let Some(listener) = admin_socket {
            let (data, store, clock) = (self.data.clone(), self.store(), self.clock.clone());
            self.start("admin socket", |stop| {
                tokio::spawn(async move {
                    socket::serve(listener, data, store, clock, stop).await.map_err(|error| chain(&error))
                })
            });
        }
    }

    /// Waits for the signal, or for a service that ends by itself, and then ends all in order.
    pub(super) async fn until(mut self, stop: CancellationToken) -> Result<(), Failure> {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.ended.cancelled() => tracing::error!("a service ended by itself: the others are stopped in order"),
        }
        let asked = stop.is_cancelled();
        let mut failures = Vec::new();
        for name in ["ingest-gateway", "processor", "notifier", "admin socket", "admin"] {
            let Some(at) = self.services.iter().position(|service| service.name == name) else { continue };
            let service = self.services.swap_remove(at);
            let by_itself = service.task.is_finished() && !asked;
            service.stop.cancel();
            match timeout(self.gateway_drain + END_WITHIN, service.task).await {
                Ok(Ok(Ok(()))) if by_itself => failures.push(format!("{name} ended by itself")),
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(error))) => failures.push(format!("{name}: {error}")),
                Ok(Err(error)) => failures.push(format!("{name}: {error}")),
                Err(_) => failures.push(format!("{name} did not end in time")),
            }
        }
        self.parts.close().await;
        if failures.is_empty() {
            tracing::info!("stopped in order");
            Ok(())
        } else {
            Err(Failure::other(failures.join("; ")))
        }
    }
}

/// Keeps readiness to whether commits are taken.
async fn watch_store(store: Arc<EmbeddedStore>, component: Component) {
    let mut every = tokio::time::interval(STORE_WATCH);
    loop {
        every.tick().await;
        match store.check() {
            Ok(()) => component.set_ready(true, ""),
            Err(error) => component.set_ready(false, error.message),
        }
    }
}

async fn upkeep(metrics: MetricsHandle) {
    let mut every = tokio::time::interval(METRICS_UPKEEP);
    loop {
        every.tick().await;
        metrics.upkeep();
    }
}
