//! Services while they run, and their end in order.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ronda_runtime::telemetry::{self, MetricsHandle, TelemetryConfig};
use ronda_runtime::{CancellationToken, Clock, Health, SystemClock, admin};
use ronda_store::port::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::broker::{self, Away};
use crate::config::Settings;
use crate::exit::{Code, Failure, chain};
use crate::parts::{Backend, Parts, Rows};
use crate::{identity, lag, watch};

/// Longest wait for one service to end, beyond what it was configured to take.
const END_WITHIN: Duration = Duration::from_secs(30);
/// How often histograms are folded when nobody scrapes them.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);
/// The gateway's name, as a service and in the health.
pub const GATEWAY: &str = "ingest-gateway";

/// What runs in a process. They end in this order: what takes in first, what others lean on last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Takes requests in.
    Gateway,
    /// Says which partitions the processor works on; it ends first, and gives them all back by that.
    ProcessorLeases,
    /// Applies them.
    Processor,
    /// The same of the notifier.
    NotifierLeases,
    /// Tells people.
    Notifier,
    /// Serves commands.
    AdminSocket,
    /// Serves health and metrics.
    Admin,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => GATEWAY,
            Self::ProcessorLeases => "processor leases",
            Self::Processor => "processor",
            Self::NotifierLeases => "notifier leases",
            Self::Notifier => "notifier",
            Self::AdminSocket => "admin socket",
            Self::Admin => "admin",
        }
    }
}

/// One service under way.
struct Running {
    service: Service,
    stop: CancellationToken,
    /// How long it may take to end.
    drain: Duration,
    task: JoinHandle<Result<(), Failure>>,
}

/// Everything that the services of a process share, and the services.
pub struct Process {
    /// Queues and store.
    pub parts: Parts,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How everything is.
    pub health: Health,
    /// Whether the queues' broker is away.
    pub away: Away,
    metrics: MetricsHandle,
    /// The gateway's number, of this start.
    gateway: u64,
    running: Vec<Running>,
    /// A service that ended by itself cancels this.
    ended: CancellationToken,
}

/// Begins to log and to measure.
///
/// # Errors
/// When that can't be begun.
pub fn telemetry(settings: &Settings) -> Result<MetricsHandle, Failure> {
    let config = TelemetryConfig {
        log_filter: settings.telemetry.log_filter.clone(),
        log_format: settings.telemetry.log_format,
    };
    telemetry::init(&config).map_err(|error| Failure::other(chain(&error)))
}

/// Listens on an address.
///
/// # Errors
/// Why it can't be, with the flag and the setting that choose another.
pub async fn listen(address: SocketAddr, flag: &str, setting: &str) -> Result<TcpListener, Failure> {
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

/// Where something listens.
///
/// # Errors
/// When the system does not tell.
pub fn address(listener: &TcpListener) -> Result<SocketAddr, Failure> {
    listener.local_addr().map_err(|error| Failure::new(Code::Address, error.to_string()))
}

/// Both of two listeners; what is wrong with either is told at once.
///
/// # Errors
/// What is.
pub fn both(
    one: Result<TcpListener, Failure>,
    other: Result<TcpListener, Failure>,
) -> Result<(TcpListener, TcpListener), Failure> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(one), Err(other)) => Err(Failure::new(Code::Address, format!("{one}\n  {other}"))),
        (Err(failure), _) | (_, Err(failure)) => Err(failure),
    }
}

impl Process {
    /// Opens queues and store, and checks that they belong together; `None` when it is told to stop meanwhile.
    ///
    /// # Errors
    /// Why they can't be used.
    pub async fn open(
        settings: &Settings,
        metrics: MetricsHandle,
        stop: &CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        let parts = if settings.queue.url.is_embedded() {
            Parts::open(settings).await?
        } else {
            tokio::select! {
                parts = Parts::open(settings) => parts?,
                // It may be waiting for a server that is away.
                () = stop.cancelled() => return Ok(None),
            }
        };
        identity::check(&parts, &settings.storage.data).await?;
        Ok(Some(Self::new(parts, metrics)))
    }

    /// Of parts that are open.
    #[must_use]
    pub fn new(parts: Parts, metrics: MetricsHandle) -> Self {
        Self {
            parts,
            clock: Arc::new(SystemClock::new()),
            health: Health::new(),
            away: Away::new(),
            metrics,
            gateway: 0,
            running: Vec::new(),
            ended: CancellationToken::new(),
        }
    }

    /// The store, for another holder.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.parts.store)
    }

    /// The gateway of this process has this number: it tells its own messages from those of others.
    pub fn has_gateway(&mut self, id: u64) {
        self.gateway = id;
    }

    /// Starts a service, which ends within `drain` after its token is cancelled.
    pub fn start<W>(&mut self, service: Service, drain: Duration, work: impl FnOnce(CancellationToken) -> W)
    where
        W: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let inner = tokio::spawn(work(stop.clone()));
        let ended = self.ended.clone();
        let task = tokio::spawn(async move {
            let outcome = inner.await.unwrap_or_else(|error| Err(Failure::other(chain(&error))));
            ended.cancel();
            outcome
        });
        self.running.push(Running { service, stop, drain, task });
    }

    /// Serves health and metrics.
    pub fn start_admin(&mut self, listener: TcpListener) {
        let (health, metrics) = (self.health.clone(), self.metrics.clone());
        self.start(Service::Admin, Duration::ZERO, |stop| async move {
            let upkeep = tokio::spawn(upkeep(metrics.clone()));
            let served = admin::serve(listener, health, metrics, stop).await;
            upkeep.abort();
            served.map_err(|error| Failure::other(chain(&error)))
        });
    }

    /// Waits for the signal, for a service that ends by itself, or for a part that is dead; `beside` runs meanwhile. Then ends all in order.
    ///
    /// # Errors
    /// What failed, all of it.
    pub async fn until(mut self, stop: CancellationToken, beside: impl Future<Output = ()>) -> Result<(), Failure> {
        let beside = async {
            beside.await;
            std::future::pending::<()>().await;
        };
        let dead = tokio::select! {
            () = stop.cancelled() => None,
            () = self.ended.cancelled() => {
                tracing::error!("a service ended by itself: the others are stopped in order");
                None
            }
            what = watch::until_dead(&self.parts, &self.health) => {
                tracing::error!(reason = what, "a part is dead until the next start: everything is stopped in order");
                Some(Failure::new(Code::Data, what))
            }
            () = beside => None,
            () = self.watch_servers() => None,
        };
        let asked = stop.is_cancelled() || dead.is_some();
        let mut failures: Vec<Failure> = dead.into_iter().collect();
        self.running.sort_by_key(|running| running.service);
        // Now, because one may end with another.
        let by_itself: Vec<bool> = self.running.iter().map(|running| running.task.is_finished() && !asked).collect();
        for (running, by_itself) in self.running.into_iter().zip(by_itself) {
            failures.extend(end(running, by_itself).await);
        }
        self.parts.close().await;
        let Some(first) = failures.first() else {
            tracing::info!("stopped in order");
            return Ok(());
        };
        let told: Vec<&str> = failures.iter().map(|failure| failure.message.as_str()).collect();
        Err(Failure::new(first.code, told.join("; ")))
    }

    /// Tells of the queues in metrics and, when they are on a broker, in the health, and of a store on a server; never ends.
    async fn watch_servers(&self) {
        let parts = &self.parts;
        let metrics = lag::metrics(&parts.commands, &parts.events, &parts.dead_letters);
        let broker = async {
            if let Backend::Broker(_, name) = &parts.backend {
                // Whoever shares the store is meant to be there.
                let alone = matches!(parts.rows, Rows::Embedded(_)).then_some((&*parts.store, self.gateway));
                broker::watch(&*parts.commands, alone, name, &self.health, &self.away).await;
            }
        };
        let store = async {
            if let Rows::Server(place) = &parts.rows {
                watch::look_at_server(&*parts.store, place, &self.health).await;
            }
        };
        tokio::join!(metrics, broker, store);
    }
}

/// Ends one service; what was wrong with that.
async fn end(running: Running, by_itself: bool) -> Option<Failure> {
    let Running { service, stop, drain, task } = running;
    let name = service.name();
    stop.cancel();
    let other = |what: &str| Some(Failure::other(format!("{name} {what}")));
    match timeout(drain + END_WITHIN, task).await {
        Ok(Ok(Ok(()))) if by_itself => other("ended by itself"),
        Ok(Ok(Ok(()))) => None,
        Ok(Ok(Err(failure))) => Some(Failure::new(failure.code, format!("{name}: {failure}"))),
        Ok(Err(error)) => other(&format!("broke: {error}")),
        Err(_) => other("did not end in time"),
    }
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
    use std::time::Duration;

    use ronda_queue::Role;
    use tokio::time::sleep;

    use super::*;

    /// Ends a queue as a failed fsync does, as far as anybody outside can tell.
    async fn close(parts: &Parts, role: Role) {
        let Backend::Embedded(embedded) = &parts.backend else { panic!("the queues are embedded") };
        embedded.queue(role).close().await;
    }

    /// A process without a service.
    async fn bare() -> (tempfile::TempDir, Process) {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.storage.data = dir.path().join("data");
        let parts = Parts::open(&settings).await.unwrap();
        (dir, Process::new(parts, MetricsHandle::detached()))
    }

    async fn failure(process: Process) -> Failure {
        let until = process.until(CancellationToken::new(), std::future::ready(()));
        timeout(END_WITHIN, until).await.unwrap().unwrap_err()
    }

    #[tokio::test]
    async fn a_queue_that_takes_no_more_ends_everything_with_its_own_words_and_the_code_of_the_data() {
        let (_dir, process) = bare().await;
        close(&process.parts, Role::Events).await;
        let failure = failure(process).await;
        assert_eq!(failure.code, Code::Data);
        assert_eq!(failure.message, "the queue of events: the queue is closed");
    }

    #[tokio::test]
    async fn without_the_queue_of_dead_letters_it_goes_on_and_says_so() {
        let (_dir, process) = bare().await;
        close(&process.parts, Role::DeadLetters).await;
        let (health, stop) = (process.health.clone(), CancellationToken::new());
        let until = tokio::spawn(process.until(stop.clone(), std::future::ready(())));
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
        let (_dir, mut process) = bare().await;
        process.start(Service::Notifier, Duration::ZERO, |_| async { Err(Failure::new(Code::Data, "too new")) });
        process.start(Service::Processor, Duration::ZERO, |stop| async move {
            stop.cancelled().await;
            Ok(())
        });
        let failure = failure(process).await;
        assert_eq!((failure.code, failure.message.as_str()), (Code::Data, "notifier: too new"));
    }
}
