//! The services while they run, and their end in order: gateway, processor, notifier, then the parts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ronda_ingest_gateway::{Config as GatewayConfig, Gateway};
use ronda_lease::Ownership;
use ronda_notifier::{
    Channel, Config as NotifierConfig, Notifier, NotifierStatus, SlackChannel, SlackConfig, TerminalChannel,
};
use ronda_processor::{Config as ProcessorConfig, Processor};
use ronda_runtime::telemetry::MetricsHandle;
use ronda_runtime::{CancellationToken, Clock, Health, admin};
use ronda_store::port::Store;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::broker::Away;
use super::parts::{Backend, Parts};
use super::watch::until_dead;
use super::wiring::slack_is_on;
use super::{broker, slack};
use crate::admin::socket::{self, Owned};
use crate::config::Settings;
use crate::exit::{Code, Failure, chain};
use crate::queue::lag;

/// Longest wait for one service to end, beyond what it was configured to take.
const END_WITHIN: Duration = Duration::from_secs(30);
/// How often histograms are folded when nobody scrapes them.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// The gateway's name, as a service and in the health.
pub(super) const GATEWAY: &str = "ingest-gateway";
/// How often it is looked whether the gateway takes requests, and after how long the screen is shown all the same: it holds the key.
const GREETING_POLL: Duration = Duration::from_millis(20);
const GREETING_WITHIN: Duration = Duration::from_secs(10);
/// How long the screen waits for what Slack says to the token.
const SLACK_WITHIN: Duration = Duration::from_secs(3);

/// One service under way.
struct Service {
    name: &'static str,
    stop: CancellationToken,
    task: JoinHandle<Result<(), Failure>>,
}

/// All of them.
pub(super) struct Running {
    parts: Parts,
    clock: Arc<dyn Clock>,
    health: Health,
    metrics: MetricsHandle,
    data: PathBuf,
    gateway_drain: Duration,
    /// The gateway's number, of this start.
    gateway: u64,
    services: Vec<Service>,
    /// How the notifier is doing, when messages go to Slack.
    slack: Option<watch::Receiver<NotifierStatus>>,
    /// A service that ended by itself cancels this.
    ended: CancellationToken,
    /// Whether the queues' broker is away.
    away: Away,
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
        Self {
            parts,
            clock,
            health,
            metrics,
            data,
            gateway_drain: Duration::ZERO,
            gateway: 0,
            services,
            slack: None,
            ended,
            away: Away::new(),
        }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.parts.store) as Arc<dyn Store>
    }

    fn start(&mut self, name: &'static str, work: impl FnOnce(CancellationToken) -> JoinHandle<Result<(), Failure>>) {
        let stop = CancellationToken::new();
        let inner = work(stop.clone());
        let ended = self.ended.clone();
        let task = tokio::spawn(async move {
            let outcome = inner.await.unwrap_or_else(|error| Err(other(&error)));
            ended.cancel();
            outcome
        });
        self.services.push(Service { name, stop, task });
    }

    pub(super) fn start_processor(&mut self, config: ProcessorConfig) -> Result<(), Failure> {
        let parts = &self.parts;
        let (commands, events, dead) = (parts.commands.clone(), parts.events.clone(), parts.dead_letters.clone());
        let processor = Processor::build(config, commands, events, dead, self.store(), &self.health)
            .map_err(|error| other(&error))?;
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
            Arc::new(SlackChannel::new(slack).map_err(|error| other(&error))?)
        } else {
            Arc::new(TerminalChannel::stdout(self.clock.clone(), &config.timezone))
        };
        let (events, clock) = (self.parts.events.clone(), self.clock.clone());
        let notifier = Notifier::build(config, events, self.store(), clock, channel, &self.health)
            .map_err(|error| other(&error))?;
        self.slack = slack_is_on(settings).then(|| notifier.status());
        let ownership = Ownership::all(self.parts.events.partitions());
        self.start("notifier", |stop| {
            tokio::spawn(async move {
                notifier.run(ownership, stop).await.map_err(|error| {
                    if error.needs_newer_release() { Failure::new(Code::Data, chain(&error)) } else { other(&error) }
                })
            })
        });
        Ok(())
    }

    pub(super) fn start_gateway(&mut self, config: GatewayConfig, listener: TcpListener) -> Result<(), Failure> {
        self.gateway_drain = Duration::from_secs(config.drain_timeout_seconds);
        let gateway =
            Gateway::build(config, self.parts.commands.clone(), self.store(), self.clock.clone(), &self.health)
                .map_err(|error| other(&error))?;
        self.gateway = gateway.id();
        self.start(GATEWAY, |stop| {
            tokio::spawn(async move { gateway.run(listener, stop).await.map_err(|error| other(&error)) })
        });
        Ok(())
    }

    pub(super) fn start_admin(&mut self, listener: TcpListener, socket: Option<UnixListener>, settings: &Settings) {
        let (health, metrics) = (self.health.clone(), self.metrics.clone());
        self.start("admin", |stop| {
            tokio::spawn(async move {
                let upkeep = tokio::spawn(upkeep(metrics.clone()));
                let served = admin::serve(listener, health, metrics, stop).await;
                upkeep.abort();
                served.map_err(|error| other(&error))
            })
        });
        if let Some(listener) = socket {
            let Parts { commands, events, dead_letters, .. } = &self.parts;
            let (commands, events, dead_letters) = (commands.clone(), events.clone(), dead_letters.clone());
            let (clock, settings, away) = (self.clock.clone(), Arc::new(settings.clone()), self.away.clone());
            let owned = Owned::new(self.store(), commands, events, dead_letters, clock, settings, away);
            let data = self.data.clone();
            self.start("admin socket", |stop| {
                tokio::spawn(
                    async move { socket::serve(listener, data, owned, stop).await.map_err(|error| other(&error)) },
                )
            });
        }
    }

    /// Shows the greeting once requests are taken, and waits for the signal, for a service that ends by itself, or for a part that is
    /// dead. Then ends all in order.
    pub(super) async fn until(
        mut self,
        stop: CancellationToken,
        greeting: impl FnOnce(Option<NotifierStatus>) -> String,
    ) -> Result<(), Failure> {
        let dead = tokio::select! {
            () = stop.cancelled() => None,
            () = self.ended.cancelled() => {
                tracing::error!("a service ended by itself: the others are stopped in order");
                None
            }
            what = until_dead(&self.parts, &self.health) => {
                tracing::error!(reason = what, "a part is dead until the next start: everything is stopped in order");
                Some(Failure::new(Code::Data, what))
            }
            () = self.greet(greeting) => None,
            () = self.watch_queues() => None,
        };
        let asked = stop.is_cancelled() || dead.is_some();
        let mut failures: Vec<Failure> = dead.into_iter().collect();
        for name in [GATEWAY, "processor", "notifier", "admin socket", "admin"] {
            let Some(at) = self.services.iter().position(|service| service.name == name) else { continue };
            let service = self.services.swap_remove(at);
            let by_itself = service.task.is_finished() && !asked;
            service.stop.cancel();
            let other = |what: &str| Failure::other(format!("{name} {what}"));
            match timeout(self.gateway_drain + END_WITHIN, service.task).await {
                Ok(Ok(Ok(()))) if by_itself => failures.push(other("ended by itself")),
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(failure))) => failures.push(Failure::new(failure.code, format!("{name}: {failure}"))),
                Ok(Err(error)) => failures.push(other(&format!("broke: {error}"))),
                Err(_) => failures.push(other("did not end in time")),
            }
        }
        self.parts.close().await;
        let Some(first) = failures.first() else {
            tracing::info!("stopped in order");
            return Ok(());
        };
        let told: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
        Err(Failure::new(first.code, told.join("; ")))
    }

    /// Tells of the queues in metrics and, when they are on a broker, in the health; never ends.
    async fn watch_queues(&self) {
        let metrics = lag::metrics(&self.parts.commands, &self.parts.events, &self.parts.dead_letters);
        match &self.parts.backend {
            Backend::Embedded(_) => metrics.await,
            Backend::Broker(_, name) => {
                let store = &*self.parts.store;
                let broker = broker::watch(&*self.parts.commands, store, self.gateway, name, &self.health, &self.away);
                tokio::join!(metrics, broker);
            }
        }
    }

    /// Prints the greeting as soon as the gateway takes requests, and logs what Slack has against us from then on; never ends.
    async fn greet(&self, greeting: impl FnOnce(Option<NotifierStatus>) -> String) {
        let takes_requests = async {
            while !self.health.readiness().components.iter().any(|part| part.name == GATEWAY && part.ok) {
                sleep(GREETING_POLL).await;
            }
        };
        // Late or not, it is shown: nobody will see the key otherwise.
        let _ = timeout(GREETING_WITHIN, takes_requests).await;
        let mut slack = self.slack.clone();
        if let Some(status) = &mut slack {
            let _ = timeout(SLACK_WITHIN, status.wait_for(|status| status.connected.is_some())).await;
        }
        crate::print(&greeting(slack.as_ref().map(|status| status.borrow().clone())));
        if let Some(status) = slack {
            slack::log_refusals(status).await;
        }
        std::future::pending::<()>().await;
    }
}

fn other(error: &dyn std::error::Error) -> Failure {
    Failure::other(chain(error))
}

async fn upkeep(metrics: MetricsHandle) {
    let mut every = tokio::time::interval(METRICS_UPKEEP);
    loop {
        every.tick().await;
        metrics.upkeep();
    }
}

#[cfg(test)]
mod tests {
    use ronda_queue::Role;
    use ronda_runtime::SystemClock;

    use super::*;

    /// Ends a queue as a failed fsync does, as far as anybody outside can tell.
    async fn close(parts: &Parts, role: Role) {
        let Backend::Embedded(embedded) = &parts.backend else { panic!("the queues are embedded") };
        embedded.queue(role).close().await;
    }

    /// Running parts without a service.
    async fn bare() -> (tempfile::TempDir, Running) {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.storage.data = dir.path().join("data");
        let parts = Parts::open(&settings).await.unwrap();
        let data = settings.storage.data.clone();
        let running = Running::new(parts, Arc::new(SystemClock::new()), Health::new(), MetricsHandle::detached(), data);
        (dir, running)
    }

    #[tokio::test]
    async fn a_queue_that_takes_no_more_ends_everything_with_its_own_words_and_the_code_of_the_data() {
        let (_dir, running) = bare().await;
        close(&running.parts, Role::Events).await;
        let failure =
            timeout(END_WITHIN, running.until(CancellationToken::new(), |_| String::new())).await.unwrap().unwrap_err();
        assert_eq!(failure.code, Code::Data);
        assert_eq!(failure.message, "the queue of events: the queue is closed");
    }

    #[tokio::test]
    async fn without_the_queue_of_dead_letters_it_goes_on_and_says_so() {
        let (_dir, running) = bare().await;
        close(&running.parts, Role::DeadLetters).await;
        let (health, stop) = (running.health.clone(), CancellationToken::new());
        let until = tokio::spawn(running.until(stop.clone(), |_| String::new()));
        let told = || health.readiness().components.iter().any(|part| part.ok && part.reason == "the queue is closed");
        while !told() {
            assert!(!until.is_finished());
            sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
        until.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_service_that_fails_ends_the_others_with_its_code() {
        let (_dir, mut running) = bare().await;
        running.start("notifier", |_| tokio::spawn(async { Err(Failure::new(Code::Data, "too new")) }));
        running.start("processor", |stop| {
            tokio::spawn(async move {
                stop.cancelled().await;
                Ok(())
            })
        });
        let failure =
            timeout(END_WITHIN, running.until(CancellationToken::new(), |_| String::new())).await.unwrap().unwrap_err();
        assert_eq!((failure.code, failure.message.as_str()), (Code::Data, "notifier: too new"));
    }
}
