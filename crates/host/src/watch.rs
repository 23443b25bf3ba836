//! Parts that are dead while the process lives: an embedded queue whose disk failed, a thread that panicked. Nothing but a restart brings them
//! back, so `up` asks them and ends, instead of refusing writes for ever. A broker that is away is no such part: it comes back.

use std::time::Duration;

use metrics::{counter, describe_counter};
use ronda_queue::EmbeddedQueue;
use ronda_runtime::{Component, Health};
use ronda_store::port::Store;

use crate::exit::chain;
use crate::parts::{Backend, Parts, Rows};

/// How often the parts are asked.
const EVERY: Duration = Duration::from_millis(500);
/// How often a store's server is asked, and how long it may take to answer.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(4);
const DEAD_LETTER_FAILURES: &str = "ronda_dead_letter_queue_failures_total";
const DEAD_LETTERS_TRIMMED: &str = "ronda_dead_letter_queue_trimmed_total";

/// Answers once a part is dead, with what it said.
///
/// The dead letters' queue ends nothing: reports are accepted and applied without it. It shows in the health and in a counter.
pub(crate) async fn until_dead(parts: &Parts, health: &Health) -> String {
    describe_counter!(DEAD_LETTER_FAILURES, "Times that the queue of dead letters could not be written any more");
    counter!(DEAD_LETTER_FAILURES).absolute(0);
    describe_counter!(DEAD_LETTERS_TRIMMED, "Dead letters that had to make room for newer ones");
    let mut dead_letters = match &parts.backend {
        Backend::Embedded(embedded) => {
            let (queue, component) = (&*embedded.dead_letters, health.component("dead-letters"));
            Some(DeadLetters { queue, component, failed: false })
        }
        Backend::Broker(..) => None,
    };
    let embedded_store = match &parts.rows {
        Rows::Embedded(store) => Some((store, health.component("store"))),
        Rows::Server(_) => None,
    };
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        if let Err(what) = parts.check() {
            return what;
        }
        if let Some(dead_letters) = &mut dead_letters {
            dead_letters.look();
        }
        // A store without room is not dead: it goes on when there is some, and is not ready until then.
        if let Some((store, component)) = &embedded_store {
            match store.takes_commits() {
                Ok(()) => component.set_ready(true, ""),
                Err(error) => component.set_ready(false, error.message),
            }
        }
    }
}

/// Keeps the health up to date with whether a store's server answers; never ends. Traffic that is sent elsewhere would fare no better there, and
/// what is accepted meanwhile waits in the queue: so it is ready all the same, and says why it is slow.
pub(crate) async fn look_at_server(store: &dyn Store, place: &str, health: &Health) {
    let component = health.component("store");
    component.set_ready(true, "");
    let mut is_there = true;
    loop {
        tokio::time::sleep(if is_there { LOOK_EVERY } else { EVERY }).await;
        let asked = tokio::time::timeout(ANSWER_WITHIN, store.partition(0)).await;
        let failed = match asked {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_) => Some(format!("no answer within {} s", ANSWER_WITHIN.as_secs())),
        };
        match (&failed, is_there) {
            (Some(reason), true) => {
                tracing::error!(
                    reason,
                    "{place}: the store is away: what is accepted waits in the queue until it is back"
                );
            }
            (None, false) => tracing::info!("{place}: the store is back"),
            _ => {}
        }
        is_there = failed.is_none();
        component.set_ready(true, failed.map(|reason| format!("{place} is away: {reason}")).unwrap_or_default());
    }
}

struct DeadLetters<'a> {
    queue: &'a EmbeddedQueue,
    component: Component,
    failed: bool,
}

impl DeadLetters<'_> {
    fn look(&mut self) {
        counter!(DEAD_LETTERS_TRIMMED).absolute(self.queue.shed_messages());
        match self.queue.check() {
            Ok(()) => self.component.set_ready(true, ""),
            Err(_) if self.failed => {}
            Err(error) => {
                self.failed = true;
                counter!(DEAD_LETTER_FAILURES).increment(1);
                let reason = chain(&error);
                tracing::error!(
                    reason,
                    "the queue of dead letters is dead: what can't be read is not kept before a restart"
                );
                // Still ready: traffic that is sent elsewhere would not be accepted at all.
                self.component.set_ready(true, reason);
            }
        }
    }
}
