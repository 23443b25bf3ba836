//! Parts that are dead while the process lives: an embedded queue whose disk failed, a thread that panicked. Nothing but a restart brings them
//! back, so `up` asks them and ends, instead of refusing writes for ever. A broker that is away is no such part: it comes back.

use std::time::Duration;

use metrics::{counter, describe_counter};
use ronda_queue::EmbeddedQueue;
use ronda_runtime::{Component, Health};

use super::parts::{Backend, Parts};
use crate::exit::chain;

/// How often the parts are asked.
const EVERY: Duration = Duration::from_millis(500);
const DEAD_LETTER_FAILURES: &str = "ronda_dead_letter_queue_failures_total";
const DEAD_LETTERS_TRIMMED: &str = "ronda_dead_letter_queue_trimmed_total";

/// Answers once a part is dead, with what it said.
///
/// The dead letters' queue ends nothing: reports are accepted and applied without it. It shows in the health and in a counter.
pub(super) async fn until_dead(parts: &Parts, health: &Health) -> String {
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
    let store = health.component("store");
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
        match parts.store.takes_commits() {
            Ok(()) => store.set_ready(true, ""),
            Err(error) => store.set_ready(false, error.message),
        }
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
