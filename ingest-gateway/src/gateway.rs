//! The service: built from its ports, run until told to stop.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use metrics::{describe_gauge, gauge};
use ronda_queue::Queue;
use ronda_runtime::{Clock, Component, Health};
use ronda_store::port::Store;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, interval, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::auth::Keys;
use crate::config::Config;
use crate::entrance::Entrance;
use crate::front::{self, RequestIds};
use crate::http_metrics::HttpMetrics;
use crate::known::KnownSchedulers;
use crate::outage::OutageLog;
use crate::progress::Progress;
use crate::publisher::Publisher;
use crate::slack::{self, Desk, SlackError, SocketStatus, Teller};
use crate::state::{AppState, Shared};
use crate::{keys_api, openapi, reads, writes};

/// Least time for the last frames, however long the requests took to drain.
const LEAVE_FOR: Duration = Duration::from_secs(2);
/// Least time to keep the outcomes of writes with an `Idempotency-Key` after the last frame.
const KEEP_FOR: Duration = Duration::from_millis(500);
const GAUGE_PERIOD: Duration = Duration::from_secs(1);

/// Why a gateway could not be built or run.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The machine gives no random numbers, which a gateway's name is made of.
    #[error("the machine gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// Slack can't be used as configured.
    #[error("Slack can't be used as configured: {0}")]
    Slack(#[from] SlackError),
    /// A partition's sender ended while the gateway ran: writes to that partition would have waited for ever.
    #[error("a sender of frames ended by itself: {0}")]
    Sender(String),
}

/// One gateway, from its first frame to its last.
pub struct Gateway {
    state: AppState,
    component: Component,
    /// Where connections of Socket Mode are opened.
    teller: Option<Teller>,
}

impl Gateway {
    /// Puts a gateway together; nothing happens before [`run`](Self::run). Install the metrics recorder first.
    ///
    /// # Errors
    /// [`GatewayError::Random`] and [`GatewayError::Slack`].
    pub fn build(
        config: Config,
        commands: Arc<dyn Queue>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        health: &Health,
    ) -> Result<Self, GatewayError> {
        let gateway = getrandom::u64().map_err(GatewayError::Random)?;
        let component = health.component("ingest-gateway");
        let partitions = commands.partitions();
        let publisher = Publisher::new(&config, gateway, commands, Arc::clone(&clock), component.clone());
        let poll_every = Duration::from_millis(config.progress_poll_ms.max(1));
        let slack = config.slack.as_ref().map(Desk::new).transpose()?.map(Arc::new);
        let teller = slack.as_ref().filter(|desk| desk.takes_socket()).map(|_| Teller::new(health));
        let state = AppState::new(Shared {
            slack,
            keys: Keys::new(&config, Arc::clone(&store), Arc::clone(&clock)),
            known: KnownSchedulers::new(&config, Arc::clone(&store), Arc::clone(&clock)),
            progress: Progress::new(Arc::clone(&store), gateway, partitions, poll_every),
            request_ids: RequestIds::new(gateway),
            http_metrics: HttpMetrics::new(),
            outage_log: OutageLog::new(),
            made_messages: writes::MadeMessages::default(),
            tasks: TaskTracker::new(),
            bodies: writes::BodyBudget::new(&config),
            publisher,
            config,
            store,
            clock,
        });
        Ok(Self { state, component, teller })
    }

    /// All routes with everything around them. Writes are answered 503 until [`run`](Self::run) has joined every partition.
    pub fn router(&self) -> Router {
        let state = &self.state;
        let guarded = writes::router()
            .merge(reads::router())
            .merge(keys_api::router())
            .layer(from_fn_with_state(state.clone(), front::guarded));
        let mut open = openapi::router();
        if state.slack.as_ref().is_some_and(|desk| desk.takes_https()) {
            open = open.merge(slack::router());
        }
        let open = open.fallback(front::nowhere).layer(from_fn_with_state(state.clone(), front::open));
        open.merge(guarded).with_state(state.clone())
    }

    /// The random number of this gateway start, as in its frames.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.state.publisher.gateway()
    }

    /// How its connection of Socket Mode is; `None`: it opens none.
    #[must_use]
    pub fn slack_socket(&self) -> Option<watch::Receiver<SocketStatus>> {
        self.teller.as_ref().map(Teller::listen)
    }

    /// Joins every partition, serves and pulses until told to stop; then takes no more connections, lets requests end, sends the last frames and
    /// leaves, all within the drain time.
    ///
    /// # Errors
    /// [`GatewayError::Sender`], after an end in the same order. A listener that fails is tried again.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken) -> Result<(), GatewayError> {
        let entrance = Entrance::new(self.state.clone(), self.router());
        let Self { state, component, teller } = self;
        info!(gateway = format!("{:016x}", state.publisher.gateway()), "the gateway starts");
        let drain = Duration::from_secs(state.config.drain_timeout_seconds);
        let mut senders = state.publisher.start();
        let gauges = tokio::spawn(gauges(state.clone()));
        // Its own, because a sender's end stops this gateway and nothing else.
        let stop = stop.child_token();
        let unready = {
            let (component, stop) = (component.clone(), stop.clone());
            tokio::spawn(async move {
                stop.cancelled().await;
                component.set_ready(false, "draining");
                Instant::now()
            })
        };
        let socket = tokio::spawn(socket(state.clone(), teller, stop.clone()));
        let requests = drain.saturating_sub(LEAVE_FOR);
        let mut serving = pin!(crate::serve::serve(listener, entrance, &state.config, stop.clone(), requests));
        let lost = tokio::select! {
            () = &mut serving => None,
            // Senders end only once they are told to, below.
            Some(ended) = senders.join_next() => Some(ended.map_or_else(|error| error.to_string(), |()| String::from("it returned"))),
        };
        if let Some(reason) = &lost {
            error!(reason, "a sender of frames ended by itself: the gateway stops");
            stop.cancel();
            serving.await;
        }
        let stopped_at = unready.await.unwrap_or_else(|_| Instant::now());
        // Has ended soon after the stop: its time is bounded.
        if let Err(error) = socket.await {
            error!(%error, "the task of Slack's connection ended by itself");
        }
        state.publisher.close();
        let deadline = (stopped_at + drain).max(Instant::now() + LEAVE_FOR);
        let left = timeout_at(deadline, async { while senders.join_next().await.is_some() {} }).await;
        if left.is_err() {
            warn!("the last frames were not confirmed before the time to drain was over");
            senders.shutdown().await;
        }
        // Writes with an Idempotency-Key, whose clients may be gone: each has its outcome by now and keeps it.
        state.tasks.close();
        if timeout_at(deadline.max(Instant::now() + KEEP_FOR), state.tasks.wait()).await.is_err() {
            warn!("the outcome of some writes with an Idempotency-Key was not kept before the time to drain was over");
        }
        gauges.abort();
        component.set_ready(false, "stopped");
        info!("the gateway has left");
        lost.map_or(Ok(()), |reason| Err(GatewayError::Sender(reason)))
    }
}

/// People in Slack, over connections from here, until the stop.
async fn socket(state: AppState, teller: Option<Teller>, stop: CancellationToken) {
    if let Some((desk, teller)) = state.slack.clone().zip(teller) {
        Box::pin(slack::run_socket(state, desk, teller, stop)).await;
    }
}

async fn gauges(state: AppState) {
    describe_gauge!("ronda_gateway_buffered_bytes", "Bytes of commands that wait for the queue");
    let buffered = gauge!("ronda_gateway_buffered_bytes");
    let mut every = interval(GAUGE_PERIOD);
    loop {
        every.tick().await;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; buffers stay far below 2^53")]
        buffered.set(state.publisher.buffered_bytes() as f64);
        if let Some(requests) = state.outage_log.left_out(state.clock.mono_millis()) {
            warn!(requests, "as many more requests were answered 503 since the last such line");
        }
    }
}
