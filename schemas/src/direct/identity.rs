//! Which message a command is, so that the same one counts once however often it comes.

use ronda_domain::id::MessageId;
use sha2::{Digest, Sha256};

/// What a publisher calls its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Within what the id is unique; empty: within the tenant.
    pub source: String,
    /// The id.
    pub id: String,
}

/// The message that one command of a tenant is, by what its publisher calls it and its place in the message.
#[must_use]
pub fn message_id(tenant: &str, named: &Named, index: u32) -> MessageId {
    let [source, sequence] = digest_of(&[b"direct", tenant.as_bytes(), named.source.as_bytes(), named.id.as_bytes()]);
    MessageId { source, sequence, index }
}

/// The first half of the SHA-256 of some texts: nobody finds others with the same.
#[must_use]
pub fn digest_of(parts: &[&[u8]]) -> [u64; 2] {
    let mut digest = Sha256::new();
    for part in parts {
        // With their lengths, so that no two lists run together to the same.
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    let mut halves = digest.chunks_exact(8).map(|half| half.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
    [halves.next().unwrap_or_default(), halves.next().unwrap_or_default()]
}
