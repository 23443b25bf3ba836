//! Messages that could not be read, with the reason why: what the dead-letter queue carries.

use bytes::Bytes;
use ronda_domain::time::Timestamp;
use ronda_schemas::codec::{DecodeError, Versioned};
use serde::{Deserialize, Serialize};

/// Room for everything of a dead letter but the message and the detail, in bytes.
const ENVELOPE_BYTES: usize = 256;

/// One message, or one command of a frame, that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The command partition that it came from.
    pub partition: u32,
    /// Its position there. With `command` unique, and the same when it is put aside again after a crash.
    pub position: u64,
    /// Which command of the frame, from 0; `None`: the whole message.
    pub command: Option<u32>,
    /// Further commands of the same frame with the same trouble. All others were applied.
    pub more: Vec<u32>,
    /// The partition's clock when it was put aside.
    pub at: Timestamp,
    /// Machine-readable reason: `not_a_frame`, `newer_version`, `bad_command`, `bad_tenant`.
    pub code: Box<str>,
    /// What was wrong, for a person.
    pub detail: Box<str>,
    /// How long the message is, in bytes.
    pub message_bytes: u64,
    /// The message; its beginning only, if the dead-letter queue can't take the whole of it.
    pub message: Bytes,
}

impl Versioned for DeadLetter {
    const WHAT: &'static str = "dead letter";
    const VERSION: u32 = 1;
}

impl DeadLetter {
    /// Encodes it so that it fits into a message of so many bytes, if need be with only the beginning of its message.
    ///
    /// # Errors
    /// See [`Versioned::encode`].
    pub fn encode_within(mut self, max_bytes: usize) -> Result<Bytes, DecodeError> {
        let room = max_bytes.saturating_sub(ENVELOPE_BYTES + self.detail.len() + self.more.len() * size_of::<u64>());
        self.message.truncate(room);
        Ok(self.encode()?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_fits_the_queue_and_says_how_long_the_message_was() {
        let letter = DeadLetter {
            partition: 3,
            position: 9,
            command: Some(2),
            more: vec![3, 70_000],
            at: Timestamp::from_seconds(5),
            code: "bad_command".into(),
            detail: "unknown kind".into(),
            message_bytes: 10_000,
            message: vec![7; 10_000].into(),
        };
        let bytes = letter.clone().encode_within(1_000).unwrap();
        assert!(bytes.len() <= 1_000);
        let read = DeadLetter::decode(&bytes).unwrap();
        assert_eq!((read.message_bytes, read.command), (10_000, Some(2)));
        assert!(read.message.len() > 500);
        assert_eq!(DeadLetter::decode(&letter.clone().encode_within(1 << 20).unwrap()).unwrap(), letter);
    }
}
