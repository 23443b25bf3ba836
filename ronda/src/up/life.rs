//! Whether the positions that a store remembers are of the queue that there is.
//!
//! A stream that was deleted and made anew has the same name and other messages. Once it has grown past the store's positions, only what
//! the broker says of its making tells it from the old one. So the store keeps that beside them.

use std::fmt::Display;
use std::path::Path;

use super::identity::{ADVICE_ON_BROKERS, read_file, write};
use crate::exit::{Code, Failure};

const NAME: &str = "queue-life";

/// Compares a queue of commands with the one that the store has read, and remembers it when that is the first.
///
/// # Errors
/// That it is another one, and what to do.
pub(super) fn check(store: &Path, queue: impl Display, life: Option<&str>, has_read: bool) -> Result<(), Failure> {
    let Some(life) = life else { return Ok(()) };
    match read_file(&store.join(NAME))? {
        Some(known) if known == life => Ok(()),
        Some(_) if has_read => Err(Failure::new(
            Code::Data,
            format!(
                "{} does not belong to the queues on {queue}: that of commands was deleted and made anew since, so positions in the old one \
                 mean nothing in it. What the old one held is lost; start with another data directory (--data). docs/reliability.md has more.\n\
                 {ADVICE_ON_BROKERS}.",
                store.display()
            ),
        )),
        _ => write(store, NAME, life),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_was_made_anew_is_refused_as_soon_as_anything_was_read_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let check = |life, has_read| check(dir.path(), "nats://broker ronda", life, has_read);
        // A queue that has no such thing.
        check(None, true).unwrap();
        check(Some("1"), false).unwrap();
        check(Some("2"), false).unwrap();
        check(Some("2"), true).unwrap();
        for _ in 0..2 {
            let failure = check(Some("3"), true).unwrap_err();
            assert_eq!(failure.code, Code::Data);
            assert!(failure.message.contains("made anew") && failure.message.contains("nats://broker"), "{failure}");
        }
        check(Some("2"), true).unwrap();
        // A store of a release that did not keep it yet.
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        check(Some("2"), true).unwrap();
    }
}
