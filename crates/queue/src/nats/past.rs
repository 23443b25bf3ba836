//! What is known of a stream's past, to notice when the server has lost some of it.
//!
//! A server that was restored from a backup, or whose machine crashed, may have fewer messages than it confirmed. It counts on from what it
//! has, so places in the stream are given a second time, and whoever goes on reading behind a place that they remember passes over what got
//! those before it. That the stream ends too early shows it only for as long as it does: afterwards other signs have to.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::datetime::DateTime;
use parking_lot::Mutex;

use crate::error::{QueueError, QueueErrorKind};

/// No number of lost connections is this large.
const NOT_COMPARED: u64 = u64::MAX;

/// A message that was there.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) place: u64,
    /// When the server took it, which no two messages at one place have in common.
    pub(super) at: DateTime,
}

/// What this process knows of a stream.
pub(super) struct Past {
    stream: String,
    /// The last place that the server is known to have given away.
    known: AtomicU64,
    /// The newest message that was read.
    mark: Mutex<Option<Mark>>,
    /// How many connections had been lost when the mark was last compared with what is there.
    compared: AtomicU64,
    /// What proved that the stream has another past. It is never taken back: new messages have places that were read and settled.
    lost: OnceLock<String>,
}

impl Past {
    pub(super) const fn new(stream: String) -> Self {
        Self {
            stream,
            known: AtomicU64::new(0),
            mark: Mutex::new(None),
            compared: AtomicU64::new(NOT_COMPARED),
            lost: OnceLock::new(),
        }
    }

    /// The last place that is known to have been given away.
    pub(super) fn known(&self) -> u64 {
        self.known.load(Ordering::Acquire)
    }

    /// A message was read.
    pub(super) fn read(&self, place: u64, at: DateTime) {
        let mut mark = self.mark.lock();
        if mark.is_none_or(|mark| mark.place < place) {
            *mark = Some(Mark { place, at });
            self.known.fetch_max(place, Ordering::AcqRel);
        }
    }

    /// A message was confirmed that was sent when a place was known already: it can't have got one before that.
    ///
    /// # Errors
    /// `PositionAhead` when it did.
    pub(super) fn confirmed(&self, place: u64, known_before: u64) -> Result<(), QueueError> {
        if place <= known_before {
            return Err(self.prove(format!("it put a new message at {place}, and had come to {known_before}")));
        }
        self.known.fetch_max(place, Ordering::AcqRel);
        Ok(())
    }

    /// The message to look for, if that was not done since so many connections were lost.
    pub(super) fn to_compare(&self, times_lost: u64) -> Option<Mark> {
        if self.compared.load(Ordering::Acquire) == times_lost { None } else { *self.mark.lock() }
    }

    /// What is there is what was read.
    pub(super) fn note_compared(&self, times_lost: u64) {
        self.compared.store(times_lost, Ordering::Release);
    }

    /// Something happened that may have been the end of the stream as it was.
    pub(super) fn doubt(&self) {
        self.note_compared(NOT_COMPARED);
    }

    /// Whether nothing is known against it.
    ///
    /// # Errors
    /// `PositionAhead` for ever, once it is.
    pub(super) fn intact(&self) -> Result<(), QueueError> {
        self.lost.get().map_or(Ok(()), |why| Err(self.refusal(why)))
    }

    /// Takes note that the stream has lost what it had.
    pub(super) fn prove(&self, why: String) -> QueueError {
        let refusal = self.refusal(self.lost.get_or_init(|| why));
        tracing::error!(stream = self.stream, error = %refusal, "messages that the server confirmed are gone");
        refusal
    }

    /// The answer for as long as the stream ends too early.
    pub(super) fn ends_early(&self, last: u64, known: u64) -> QueueError {
        // Not proved: of several servers one that was left behind may say so for a moment.
        self.doubt();
        self.refusal(&format!("it ends at {last}, and had come to {known}"))
    }

    fn refusal(&self, why: &str) -> QueueError {
        let what = format!(
            "stream {} was rolled back or made anew: {why}. Positions in it mean something else now, so it is not used: docs/reliability.md \
             says what to do",
            self.stream
        );
        QueueError::permanent(QueueErrorKind::PositionAhead, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_given_a_second_time_is_never_forgiven() {
        let past = Past::new(String::from("S"));
        past.confirmed(10, 0).unwrap();
        // One that was sent before that was known.
        past.confirmed(9, 8).unwrap();
        past.intact().unwrap();
        let error = past.confirmed(10, 10).unwrap_err();
        assert_eq!((error.kind, error.retryable), (QueueErrorKind::PositionAhead, false));
        past.confirmed(12, 10).unwrap();
        assert!(past.intact().unwrap_err().message.contains("at 10"));
    }

    #[test]
    fn what_was_read_is_compared_once_a_connection_and_after_each_doubt() {
        let past = Past::new(String::from("S"));
        assert!(past.to_compare(0).is_none(), "nothing was read");
        let at = |second| DateTime::from_unix_timestamp(second).unwrap();
        past.read(5, at(1));
        past.read(4, at(0));
        assert_eq!(past.to_compare(0).map(|mark| (mark.place, mark.at)), Some((5, at(1))));
        past.note_compared(0);
        assert!(past.to_compare(0).is_none());
        assert!(past.to_compare(1).is_some(), "another connection");
        past.note_compared(1);
        past.ends_early(3, past.known());
        assert!(past.to_compare(1).is_some() && past.intact().is_ok());
    }
}
