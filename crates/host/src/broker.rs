//! A broker in the place of the embedded queues: how a command comes to it, and how it is watched while `up` runs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_queue::{Broker, Queue, QueueError, QueueErrorKind, Role};
use ronda_runtime::{Clock, Health, SystemClock};
use ronda_store::port::Store;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::config::Settings;
use crate::exit::{Code, Failure, chain};
use crate::others::{Found, Others};
use crate::parts::broker_options;
use crate::patience::{PAUSE, START_WITHIN, patiently};
use crate::process::GATEWAY;

/// How often it is asked whether it is there, while it is, and …
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// … while it is not.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long it may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// The name of Ronda's queues on a broker: its address without what is secret, and the prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Of the queues that the settings name.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self(format!("{} {}", settings.queue.url.place(), settings.queue.prefix))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of whether the broker is away. Embedded queues never are.
#[derive(Clone, Debug)]
pub struct Away(watch::Sender<Option<QueueError>>);

impl Away {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    fn set(&self, error: Option<QueueError>) {
        self.0.send_replace(error);
    }

    /// Waits until it is known to be away: at once, if it is. Answers what it failed with.
    pub async fn known(&self) -> QueueError {
        let mut known = self.0.subscribe();
        let error = known.wait_for(Option::is_some).await.ok().and_then(|error| error.clone());
        match error {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }
}

impl Default for Away {
    fn default() -> Self {
        Self::new()
    }
}

/// Commands, events, dead letters.
pub type Queues = [Arc<dyn Queue>; 3];

/// Reaches the broker, makes what is missing on it, and opens the three queues. Waits for one that is away.
///
/// # Errors
/// Why it can't be used.
pub async fn start(settings: &Settings) -> Result<(Arc<dyn Broker>, Queues), Failure> {
    let attempt = async || {
        let broker = ronda_queue::connect(broker_options(settings)).await?;
        for made in broker.init().await? {
            tracing::info!(place = made.place, "made on the broker: {}", made.detail);
        }
        let queue = |role| broker.queue(role);
        let queues = [queue(Role::Commands).await?, queue(Role::Events).await?, queue(Role::DeadLetters).await?];
        Ok((broker, queues))
    };
    let is_away = |error: &QueueError| error.kind == QueueErrorKind::Unavailable;
    let pause = |error: &QueueError| is_away(error).then(|| error.retry_after.unwrap_or(PAUSE));
    let started = patiently(&settings.queue.url.place(), attempt, pause, no_answer).await;
    started.map_err(|error| failure(settings, &error))
}

/// Reaches the broker; nothing is made on it.
///
/// # Errors
/// Why it can't be used.
pub async fn reach(settings: &Settings) -> Result<Arc<dyn Broker>, Failure> {
    let connected = timeout(START_WITHIN, ronda_queue::connect(broker_options(settings))).await;
    connected.unwrap_or_else(|_| Err(no_answer())).map_err(|error| failure(settings, &error))
}

fn no_answer() -> QueueError {
    QueueError::transient(QueueErrorKind::Unavailable, PAUSE, "it gives no answer")
}

/// What an error of the broker means for a command.
#[must_use]
pub fn failure(settings: &Settings, error: &QueueError) -> Failure {
    let (place, text) = (settings.queue.url.place(), chain(error));
    let (code, message) = match error.kind {
        QueueErrorKind::InvalidOptions => (Code::Configuration, format!("queue.url: {text}")),
        QueueErrorKind::Unavailable => (
            Code::Queue,
            format!("{place} can't be reached: {text}.\nIs the broker running there? (queue.url, --queue)"),
        ),
        QueueErrorKind::Denied => (
            Code::Queue,
            format!(
                "{place} refuses us: {text}.\nLook at the user in queue.url, queue.credentials_file, and what it may do"
            ),
        ),
        _ => (Code::Queue, format!("the queues on {place} can't be used: {text}")),
    };
    Failure::new(code, message)
}

/// Keeps the health up to date with whether the broker is there, and, where this process has a store and a gateway (of this number) that it
/// shares with nobody, whether others use the same queues; never ends.
pub(crate) async fn watch(
    commands: &dyn Queue,
    alone: Option<(&dyn Store, u64)>,
    name: &Name,
    health: &Health,
    away: &Away,
) {
    let component = health.component("queue");
    let mut is_there = true;
    let since = Timestamp::from_millis(SystemClock::new().wall_millis());
    let mut alone = alone.map(|(store, own_gateway)| (store, Others::since(since, own_gateway)));
    // Of a log everybody reads everything; and where a queue blocks, a message may be out of everybody's sight for a while.
    let is_telling = !commands.capabilities().log && !commands.capabilities().blocks_until_settled;
    component.set_ready(true, "");
    let mut hindered = None;
    loop {
        sleep(if is_there { LOOK_EVERY } else { LOOK_AGAIN }).await;
        let asked = timeout(ANSWER_WITHIN, commands.depth(0)).await.unwrap_or_else(|_| Err(no_answer()));
        match asked {
            Ok(depth) => {
                if !is_there {
                    tracing::info!("{name}: the broker is back");
                }
                away.set(None);
                is_there = true;
                let hindrance = commands.hindrance();
                tell_change(name, &mut hindered, hindrance.as_ref());
                if let Some(what) = hindrance {
                    component.set_ready(false, what);
                    continue;
                }
                let is_idle = is_telling && depth.messages == 0 && publishes(health);
                let found = match &mut alone {
                    Some((store, others)) => others.look(*store, is_idle).await,
                    None => Found::Nobody,
                };
                component.set_ready(found != Found::Instead, found.reason());
            }
            Err(error) => {
                let reason = chain(&error);
                if is_there {
                    tracing::error!(reason, "{name}: the broker is away: writes are answered 503 until it is back");
                }
                component.set_ready(false, format!("{name} is away: {reason}"));
                away.set(Some(error));
                is_there = false;
            }
        }
    }
}

/// Logs once that a broker that is there takes nothing, and once that it does again.
fn tell_change(name: &Name, hindered: &mut Option<String>, now: Option<&String>) {
    if hindered.as_ref() == now {
        return;
    }
    match now {
        Some(what) => tracing::error!("{name}: {what}: writes are answered 503 until it takes messages again"),
        None => tracing::info!("{name}: the broker takes messages again"),
    }
    *hindered = now.cloned();
}

/// Whether this one's gateway reaches every partition.
fn publishes(health: &Health) -> bool {
    health.readiness().components.iter().any(|part| part.name == GATEWAY && part.ok)
}
