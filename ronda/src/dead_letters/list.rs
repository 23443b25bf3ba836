//! The operation, the same on the socket and on the queue itself.

use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_processor::DeadLetter;
use ronda_queue::{Position, Queue, QueueError, ReceiveLimit};
use ronda_schemas::api::time::Time;
use ronda_schemas::codec::{DecodeError, Versioned};
use serde::{Deserialize, Serialize};

use crate::exit::chain;
use crate::text::printable;

/// The queue has one partition.
const PARTITION: u32 = 0;
/// Longest reading: nobody should wait for a disk that hangs.
const WITHIN: Duration = Duration::from_secs(30);

/// Which to list: the newest.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Newest {
    /// At most so many.
    pub limit: u32,
}

/// What there is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Listing {
    /// Newest first.
    pub items: Vec<Letter>,
    /// How many are kept in all.
    pub total: u64,
}

/// One dead letter without its message: that may hold anything, and a terminal or a ticket is no place for it. For the same reason the
/// decoder's own words are left out: they may quote it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Letter {
    /// The partition's clock when it was put aside; none before the first pulse.
    pub at: Option<Time>,
    /// The command partition that it came from.
    pub partition: Option<u32>,
    /// Its position there.
    pub offset: Option<u64>,
    /// Which commands of the frame, from 0; empty: the whole message.
    pub commands: Vec<u32>,
    /// Machine-readable.
    pub reason: String,
    /// How long the message is.
    pub message_bytes: u64,
}

/// Lists the newest dead letters.
///
/// # Errors
/// What the queue said, or that it took too long.
pub async fn list(queue: &dyn Queue, newest: Newest) -> Result<Listing, String> {
    let listed = tokio::time::timeout(WITHIN, read(queue, newest)).await;
    let listed = listed.map_err(|_| format!("the dead letters could not be read within {} s", WITHIN.as_secs()))?;
    listed.map_err(|error| chain(&error))
}

async fn read(queue: &dyn Queue, Newest { limit }: Newest) -> Result<Listing, QueueError> {
    let depth = queue.depth(PARTITION).await?;
    let mut items = Vec::new();
    if let (Some(oldest), Some(newest)) = (depth.oldest, depth.newest) {
        let before = newest.0.saturating_sub(u64::from(limit)).max(oldest.0 - 1);
        let mut receiver = queue.open(PARTITION, Some(Position(before))).await?;
        let mut at = Some(Position(before));
        while at.is_some_and(|at| at < newest) {
            let letters = receiver.receive(ReceiveLimit::default()).await?;
            at = letters.last().and_then(|last| last.position);
            items.extend(letters.into_iter().map(|letter| read_letter(&letter.message)));
        }
    }
    items.reverse();
    // More may have come meanwhile.
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Listing { items, total: depth.messages })
}

fn read_letter(bytes: &[u8]) -> Letter {
    match DeadLetter::decode(bytes) {
        Ok(letter) => Letter {
            at: Some(letter.at).filter(|at| *at != Timestamp::MIN).map(Time),
            partition: Some(letter.partition),
            offset: Some(letter.position),
            commands: letter.command.into_iter().chain(letter.more).collect(),
            reason: printable(&letter.code),
            message_bytes: letter.message_bytes,
        },
        Err(error) => Letter {
            at: None,
            partition: None,
            offset: None,
            commands: Vec::new(),
            reason: match error {
                DecodeError::NewerVersion { .. } => String::from("letter_of_a_newer_release"),
                DecodeError::Malformed { .. } => String::from("unreadable_letter"),
            },
            message_bytes: bytes.len() as u64,
        },
    }
}

#[cfg(test)]
mod tests {
    use ronda_queue::{EmbeddedOptions, EmbeddedQueue};

    use super::*;

    fn letter(position: u64) -> DeadLetter {
        DeadLetter {
            partition: 2,
            position,
            command: Some(1),
            more: vec![4],
            at: Timestamp::from_seconds(60),
            code: "bad_command".into(),
            detail: "unknown variant `secret`".into(),
            message_bytes: 10_000,
            message: vec![b'x'; 100].into(),
            origin: None,
        }
    }

    #[tokio::test]
    async fn the_newest_are_listed_without_what_they_carry() {
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { partitions: 1, ..EmbeddedOptions::default() };
        let queue = EmbeddedQueue::open(dir.path(), options).unwrap();
        let empty = list(&queue, Newest { limit: 10 }).await.unwrap();
        assert_eq!((empty.items.len(), empty.total), (0, 0));
        for position in 1..=20 {
            queue.publish(0, letter(position).encode().unwrap().into()).await.unwrap();
        }
        queue.publish(0, "rubbish".into()).await.unwrap();
        let listing = list(&queue, Newest { limit: 3 }).await.unwrap();
        let offsets: Vec<Option<u64>> = listing.items.iter().map(|letter| letter.offset).collect();
        assert_eq!((offsets, listing.total), (vec![None, Some(20), Some(19)], 21));
        let text = serde_json::to_string(&listing).unwrap();
        assert!(text.contains(r#""commands":[1,4],"reason":"bad_command","message_bytes":10000"#), "{text}");
        assert!(text.contains("unreadable_letter") && text.contains("1970-01-01T00:01:00.000Z"), "{text}");
        assert!(!text.contains("secret") && !text.contains("xxx"), "{text}");
        assert_eq!(list(&queue, Newest { limit: 1_000 }).await.unwrap().items.len(), 21);
    }
}
