//! Reading the queue of dead letters, and taking letters out of its middle.
//!
//! A queue settles everything through a message, so one letter in the middle goes by writing those before it anew behind it, each
//! confirmed, and then settling through it. Who is killed in between leaves letters twice; they have the same id, and count once.

use std::collections::HashSet;
use std::time::Duration;

use ronda_queue::{Delivery, Position, Queue, QueueError, QueueErrorKind, ReceiveLimit, Receiver};
use tokio::time::timeout;

use super::again::{self, Again};
use super::key::ApiKey;
use crate::admin::NotDone;

/// The queue has one partition.
const PARTITION: u32 = 0;
/// An acknowledging broker that hands out nothing for so long has nothing to hand out. What a former reader had in hand comes back within it:
/// until then the broker counts it nowhere, so its count is no word to go by.
const QUIET: Duration = Duration::from_secs(2);
/// The same once it has handed something out: what it has goes out together.
const QUIET_AFTER: Duration = Duration::from_millis(300);

/// Somebody else has them in hand.
const GONE: &str = "letters that were there a moment ago did not come again: somebody else reads them; look what there is, and repeat it";

/// How far to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Through this position, on queues that have positions.
    through: Option<Position>,
    /// So many letters.
    letters: u64,
}

impl Extent {
    /// All letters that are there now; elsewhere than on a log as many as the queue hands out at once.
    async fn now(queue: &dyn Queue) -> Result<Self, QueueError> {
        if let Some(most) = queue.capabilities().max_unsettled {
            return Ok(Self { through: None, letters: most as u64 });
        }
        let depth = queue.depth(PARTITION).await?;
        let through = depth.newest.filter(|_| queue.capabilities().positions);
        Ok(Self { through, letters: depth.messages })
    }

    /// Whether everything was read, when these are so many letters and the last of them.
    fn is_over(self, read: u64, last: Option<Position>) -> bool {
        match (self.through, last) {
            (Some(through), Some(last)) => last >= through,
            _ => read >= self.letters,
        }
    }
}

/// A reading of the queue, oldest letter first. Nothing is settled by it.
struct Reading {
    receiver: Box<dyn Receiver>,
    extent: Extent,
    /// How long to wait once there was something.
    quiet_after: Duration,
    read: u64,
    last: Option<Position>,
}

impl Reading {
    async fn begin(queue: &dyn Queue, extent: Extent, quiet_after: Duration) -> Result<Self, QueueError> {
        Ok(Self { receiver: queue.open(PARTITION, None).await?, extent, quiet_after, read: 0, last: None })
    }

    /// The next letters; empty: the end.
    async fn next(&mut self) -> Result<Vec<Delivery>, QueueError> {
        if self.extent.is_over(self.read, self.last) {
            return Ok(Vec::new());
        }
        let quiet = if self.read == 0 { QUIET } else { self.quiet_after };
        let received = timeout(quiet, self.receiver.receive(ReceiveLimit::default())).await;
        let mut letters = received.unwrap_or_else(|_| Ok(Vec::new()))?;
        let mut taken = 0;
        for letter in &letters {
            if self.extent.is_over(self.read, self.last) {
                break;
            }
            taken += 1;
            self.read += 1;
            self.last = letter.position;
        }
        letters.truncate(taken);
        Ok(letters)
    }
}

/// Gives each letter to `visit`, oldest first, and with it how far the queue was read with it.
pub(super) async fn visit(queue: &dyn Queue, mut visit: impl FnMut(&[u8], Extent)) -> Result<(), QueueError> {
    let extent = Extent::now(queue).await?;
    if extent.letters == 0 {
        return Ok(());
    }
    let mut reading = Reading::begin(queue, extent, QUIET_AFTER).await?;
    let mut letters = 0;
    loop {
        let batch = reading.next().await?;
        if batch.is_empty() {
            return Ok(());
        }
        for letter in batch {
            letters += 1;
            visit(&letter.message, Extent { through: letter.position, letters });
        }
    }
}

/// Where the messages of letters are put back, and what goes with them.
#[derive(Clone, Copy)]
pub(super) struct PutBack<'a> {
    pub(super) commands: &'a dyn Queue,
    pub(super) api_key: Option<&'a ApiKey>,
}

impl PutBack<'_> {
    async fn all_of(self, letter: &[u8]) -> Result<(), QueueError> {
        let messages = again::again(letter, self.commands.partitions(), self.api_key);
        let messages = messages.map_err(|why| QueueError::permanent(QueueErrorKind::Unsupported, why))?;
        for Again { partition, message, origin } in messages {
            self.commands.publish_direct(partition, message, &origin).await?;
        }
        Ok(())
    }
}

/// Takes letters out: those whose id is named, through so far. What is to be put back is put back first.
pub(super) async fn take_out(
    queue: &dyn Queue,
    ids: &HashSet<String>,
    extent: Extent,
    put_back: Option<PutBack<'_>>,
) -> Result<(), NotDone> {
    let mut reading = Reading::begin(queue, extent, QUIET).await?;
    let mut done = HashSet::new();
    loop {
        let batch = reading.next().await?;
        let Some(last) = batch.last().map(|last| last.token) else {
            return if reading.extent.is_over(reading.read, reading.last) { Ok(()) } else { Err(GONE.into()) };
        };
        for letter in batch {
            let id = super::letter::id(&letter.message);
            if !ids.contains(&id) {
                queue.publish(PARTITION, letter.message).await?;
            } else if let Some(put_back) = put_back.filter(|_| done.insert(id)) {
                put_back.all_of(&letter.message).await?;
            }
        }
        reading.receiver.settle(last).await?;
    }
}
