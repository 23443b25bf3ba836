//! Messages that could not be read, with the reason why: what the dead-letter queue carries.

use bytes::Bytes;
use ronda_domain::time::Timestamp;
use ronda_queue::Origin;
use ronda_schemas::codec::{DecodeError, Versioned};
use serde::{Deserialize, Serialize};

use crate::core::Direct;

/// Room for everything of a dead letter but the message and the detail, in bytes.
const ENVELOPE_BYTES: usize = 256;
/// Header that says how often a message was put back: with it, it is another one than before, and not taken for a repetition.
pub const REDRIVEN: &str = "ronda-redriven";

/// Parts of the names of headers whose values may let somebody in. Rather too many: a header that is not kept is only missed.
const CREDENTIALS: [&str; 12] = [
    "key",
    "auth",
    "token",
    "secret",
    "passw",
    "passphrase",
    "pwd",
    "cookie",
    "credential",
    "signature",
    "session",
    "jwt",
];

/// Whether a header of this name may hold a credential. Such ones are neither kept nor shown.
#[must_use]
pub fn may_hold_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIALS.iter().any(|part| name.contains(part))
}

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
    /// Machine-readable reason. Of frames: `not_a_frame`, `newer_version`, `bad_command`, `bad_tenant`; of what was published directly see
    /// docs/direct-publishing.md.
    pub code: Box<str>,
    /// What was wrong, for a person.
    pub detail: Box<str>,
    /// How long the message is, in bytes.
    pub message_bytes: u64,
    /// The message; its beginning only, if the dead-letter queue can't take the whole of it.
    pub message: Bytes,
    /// Where it came from, if it was published directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<LetterOrigin>>,
}

/// Where a message came from that was published directly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterOrigin {
    /// Whose it is, as far as that was made sure of.
    pub tenant: Option<Box<str>>,
    /// Where it was published to.
    pub source: Box<str>,
    /// The tenant that the subject or routing key names.
    pub named_tenant: Option<Box<str>>,
    /// The publisher's or the broker's id of it.
    pub message_id: Option<Box<str>>,
    /// Its headers, without credentials; none, if the dead-letter queue has no room for them.
    pub headers: Vec<(Box<str>, Box<str>)>,
}

impl From<&Direct> for LetterOrigin {
    fn from(direct: &Direct) -> Self {
        let Origin { tenant, message_id, headers, source, published_ms: _ } = &direct.origin;
        Self {
            tenant: direct.access.as_ref().ok().map(|access| access.tenant.as_str().into()),
            source: source.as_str().into(),
            named_tenant: tenant.as_deref().map(Into::into),
            message_id: message_id.as_deref().map(Into::into),
            headers: headers.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect(),
        }
    }
}

impl LetterOrigin {
    /// What it was published with, to publish it again: but for the credentials, which nobody kept, and with one more [`REDRIVEN`].
    #[must_use]
    pub fn origin(&self) -> Origin {
        let own = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let (before, headers): (Vec<_>, Vec<_>) = self.headers.iter().partition(|(name, _)| **name == *REDRIVEN);
        let times = before.first().and_then(|(_, times)| times.parse::<u32>().ok()).unwrap_or_default();
        let headers = headers.into_iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Origin {
            tenant: own(&self.named_tenant),
            message_id: own(&self.message_id),
            // First: some brokers take few, and this one has to be there.
            headers: [(REDRIVEN.to_owned(), times.saturating_add(1).to_string())].into_iter().chain(headers).collect(),
            source: self.source.to_string(),
            published_ms: None,
        }
    }

    fn bytes(&self) -> usize {
        let texts = [&self.tenant, &self.named_tenant, &self.message_id].into_iter().flatten().map(|text| text.len());
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len() + 10);
        texts.sum::<usize>() + self.source.len() + headers.sum::<usize>() + 20
    }
}

impl Versioned for DeadLetter {
    const WHAT: &'static str = "dead letter";
    /// 2: of a message that was published directly.
    const VERSION: u32 = 2;

    fn version(&self) -> u32 {
        if self.origin.is_some() { 2 } else { 1 }
    }
}

impl DeadLetter {
    /// Encodes it so that it fits into a message of so many bytes, if need be with only the beginning of its message.
    ///
    /// # Errors
    /// See [`Versioned::encode`].
    pub fn encode_within(mut self, max_bytes: usize) -> Result<Bytes, DecodeError> {
        let around = ENVELOPE_BYTES + self.detail.len() + self.more.len() * size_of::<u64>();
        if let Some(origin) = self.origin.as_deref_mut().filter(|origin| around + origin.bytes() > max_bytes / 2) {
            origin.headers.clear();
        }
        let origin = self.origin.as_deref().map_or(0, LetterOrigin::bytes);
        let room = max_bytes.saturating_sub(around + origin);
        self.message.truncate(room);
        Ok(self.encode()?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_may_let_somebody_in_are_known_however_they_are_written() {
        for name in
            ["X-API-Key", "x_api_key", "authorization", "x-auth", "Cookie", "access-key", "credentials", "x-signature"]
        {
            assert!(may_hold_credential(name), "{name}");
        }
        let needed =
            ["content-type", "content-transfer-encoding", "ce-id", "cloudEvents:source", "nats-msg-id", "message-id"];
        for name in needed.into_iter().chain(["traceparent", REDRIVEN]) {
            assert!(!may_hold_credential(name), "{name}");
        }
    }

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
            origin: None,
        };
        let bytes = letter.clone().encode_within(1_000).unwrap();
        assert!(bytes.len() <= 1_000);
        let read = DeadLetter::decode(&bytes).unwrap();
        assert_eq!((read.message_bytes, read.command), (10_000, Some(2)));
        assert!(read.message.len() > 500);
        assert_eq!(DeadLetter::decode(&letter.clone().encode_within(1 << 20).unwrap()).unwrap(), letter);
    }
}
