//! Whether the positions that a store remembers are of the queue that there is.
//!
//! A stream that was deleted and made anew has the same name and other messages. Once it has grown past the store's positions, only what
//! the broker says of its making tells it from the old one. So the store keeps that beside them.

use std::fmt::Display;

use crate::exit::{Code, Failure};
use crate::identity::ADVICE_ON_BROKERS;
use crate::memory::Memory;

const NAME: &str = "queue-life";

/// Compares a queue of commands with the one that the store has read, and remembers it when that is the first.
///
/// # Errors
/// That it is another one, and what to do.
pub(crate) async fn check(
    store: &Memory,
    queue: impl Display,
    life: Option<&str>,
    has_read: bool,
) -> Result<(), Failure> {
    let Some(life) = life else { return Ok(()) };
    match store.read(NAME).await? {
        Some(known) if known == life => Ok(()),
        Some(_) if has_read => Err(Failure::new(
            Code::Data,
            format!(
                "{store} does not belong to the queues on {queue}: that of commands was deleted and made anew since, so positions in the old one \
                 mean nothing in it. What the old one held is lost; start with another {}. docs/reliability.md has more.\n\
                 {ADVICE_ON_BROKERS}.",
                match store {
                    Memory::Files(_) => "data directory (--data)",
                    Memory::Labels(..) => "keyspace or prefix (--store)",
                }
            ),
        )),
        known => store.write(NAME, known.as_deref(), life).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_queue_that_was_made_anew_is_refused_as_soon_as_anything_was_read_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::Files(dir.path().to_owned());
        let check = async |life, has_read| check(&memory, "nats://broker ronda", life, has_read).await;
        // A queue that has no such thing.
        check(None, true).await.unwrap();
        check(Some("1"), false).await.unwrap();
        check(Some("2"), false).await.unwrap();
        check(Some("2"), true).await.unwrap();
        for _ in 0..2 {
            let failure = check(Some("3"), true).await.unwrap_err();
            assert_eq!(failure.code, Code::Data);
            assert!(failure.message.contains("made anew") && failure.message.contains("nats://broker"), "{failure}");
        }
        check(Some("2"), true).await.unwrap();
        // A store of a release that did not keep it yet.
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        check(Some("2"), true).await.unwrap();
    }
}
