//! Parts that are dead while the process lives: a queue whose disk failed, a thread that panicked. Nothing but a restart brings them
//! back, so `up` asks them and ends, instead of refusing writes for ever.

use std::time::Duration;

use metrics::{counter, describe_counter};
use ronda_runtime::{Component, Health};

use super::parts::Parts;
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
    let mut dead_letters = DeadLetters { component: health.component("dead-letters"), failed: false };
    let store = health.component("store");
    let mut every = tokio::time::interval(EVERY);
    loop {
        every.tick().await;
        if let Err(what) = parts.check() {
            return what;
        }
        dead_letters.look(parts);
        // A store without room is not dead: it goes on when there is some, and is not ready until then.
        match parts.store.takes_commits() {
            Ok(()) => store.set_ready(true, ""),
            Err(error) => store.set_ready(false, error.message),
        }
    }
}

struct DeadLetters {
    component: Component,
    failed: bool,
}

impl DeadLetters {
    fn look(&mut self, parts: &Parts) {
        counter!(DEAD_LETTERS_TRIMMED).absolute(parts.dead_letters.shed_messages());
        match parts.dead_letters.check() {
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
