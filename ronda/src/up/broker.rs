//! A broker in the place of the embedded queues: how a command comes to it, and how it is watched while `up` runs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_queue::{Broker, Queue, QueueError, QueueErrorKind, Role};
use ronda_runtime::{Clock, Health, SystemClock};
use ronda_schemas::row::GatewayRow;
use ronda_store::port::Store;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::parts::broker_options;
use crate::config::Settings;
use crate::exit::{Code, Failure, chain};

/// How long a broker that is away is waited for at a start.
const START_WITHIN: Duration = Duration::from_secs(30);
/// Longest pause between two attempts.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is asked whether it is there, while it is, and …
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// … while it is not.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often it is said that others use the same queues, and …
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// … what.
const SHARED: &str = "another Ronda uses the same queues with a store of its own, so each of the two misses what the other takes: \
                      stop one, and give it a prefix of its own (queue.prefix)";
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
    patiently(settings, attempt).await
}

/// Reaches the broker; nothing is made on it.
///
/// # Errors
/// Why it can't be used.
pub async fn reach(settings: &Settings) -> Result<Arc<dyn Broker>, Failure> {
    let connected = timeout(START_WITHIN, ronda_queue::connect(broker_options(settings))).await;
    connected.unwrap_or_else(|_| Err(no_answer())).map_err(|error| failure(settings, &error))
}

/// Tries for a bounded time, for as long as the broker is only away.
async fn patiently<T>(settings: &Settings, attempt: impl AsyncFn() -> Result<T, QueueError>) -> Result<T, Failure> {
    let deadline = Instant::now() + START_WITHIN;
    let mut was_told = false;
    loop {
        let error = match timeout_at(deadline, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(_) => no_answer(),
        };
        if error.kind != QueueErrorKind::Unavailable || Instant::now() + PAUSE > deadline {
            return Err(failure(settings, &error));
        }
        if !was_told {
            let (place, within) = (settings.queue.url.place(), START_WITHIN.as_secs());
            tracing::warn!(
                reason = chain(&error),
                "{place} can't be reached yet; it is tried again for up to {within} s"
            );
            was_told = true;
        }
        sleep(error.retry_after.unwrap_or(PAUSE).min(PAUSE)).await;
    }
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

/// Keeps the health up to date with whether the broker is there, and whether others use the same queues; never ends.
pub(super) async fn watch(commands: &dyn Queue, store: &dyn Store, own_gateway: u64, name: &Name, health: &Health) {
    let component = health.component("queue");
    let mut is_there = true;
    let mut strangers = Strangers::since(Timestamp::from_millis(SystemClock::new().wall_millis()), own_gateway);
    component.set_ready(true, "");
    loop {
        sleep(if is_there { LOOK_EVERY } else { LOOK_AGAIN }).await;
        let asked = timeout(ANSWER_WITHIN, commands.depth(0)).await.unwrap_or_else(|_| Err(no_answer()));
        match asked {
            Ok(_) => {
                if !is_there {
                    tracing::info!("{name}: the broker is back");
                }
                let is_shared = strangers.look(store).await;
                component.set_ready(true, if is_shared { SHARED } else { "" });
                is_there = true;
            }
            Err(error) => {
                let reason = chain(&error);
                if is_there {
                    tracing::error!(reason, "{name}: the broker is away: writes are answered 503 until it is back");
                }
                component.set_ready(false, format!("{name} is away: {reason}"));
                is_there = false;
            }
        }
    }
}

/// Gateways of another Ronda on the same queues. It has a store of its own, and each of the two misses what the other takes.
struct Strangers {
    own_gateway: u64,
    /// What was sent before may be this one's own predecessor's, which is still being read.
    since: Timestamp,
    /// The last frames of those that have sent something since.
    seen: HashMap<u64, u64>,
    looked: Instant,
}

impl Strangers {
    fn since(since: Timestamp, own_gateway: u64) -> Self {
        Self { own_gateway, since, seen: HashMap::new(), looked: Instant::now() }
    }

    /// Whether one goes on publishing.
    async fn look(&mut self, store: &dyn Store) -> bool {
        let row = store.partition(0).await.ok().flatten();
        let is_shared = row.is_some_and(|row| self.go_on(&row.gateways));
        if is_shared && self.looked.elapsed() >= TOLD_EVERY {
            self.looked = Instant::now();
            tracing::error!("{SHARED}");
        }
        is_shared
    }

    /// Whether one of these has sent more than when this was last asked.
    fn go_on(&mut self, gateways: &[GatewayRow]) -> bool {
        let others = gateways.iter().filter(|entry| entry.gateway != self.own_gateway && entry.wall > self.since);
        let now: HashMap<u64, u64> = others.map(|entry| (entry.gateway, entry.number)).collect();
        let rose = |(gateway, number): (&u64, &u64)| self.seen.get(gateway).is_some_and(|before| before < number);
        let is_any = now.iter().any(rose);
        self.seen = now;
        is_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_predecessor_left_behind_is_nobody_elses() {
        let mut strangers = Strangers::since(Timestamp::from_seconds(100), 1);
        let entry = |gateway, number, second| GatewayRow {
            gateway,
            number,
            wall: Timestamp::from_seconds(second),
            mono_ms: 0,
            live: true,
            covered_from: Timestamp::MIN,
            ahead: None,
        };
        for number in 1..10 {
            // Read from a backlog after a kill, beside our own.
            let second = i64::try_from(number).unwrap();
            assert!(!strangers.go_on(&[entry(2, number, 90 + second), entry(1, number, 100 + second)]));
        }
        assert!(!strangers.go_on(&[entry(3, 7, 101)]), "once is not on and on");
        assert!(strangers.go_on(&[entry(3, 8, 102)]));
        assert!(!strangers.go_on(&[entry(3, 8, 102)]));
    }
}
