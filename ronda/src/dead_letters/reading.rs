//! Reading the queue of dead letters, and taking letters out of its middle.
//!
//! A queue settles everything through a message, so one letter in the middle goes by writing those before it anew behind it, each
//! confirmed, and then settling through it. Who is killed in between leaves letters twice; they have the same id, and count once.

use std::collections::HashSet;
use std::time::Duration;

use ronda_domain::id::partition_of;
use ronda_processor::DeadLetter;
use ronda_queue::{Delivery, Origin, Position, Queue, QueueError, QueueErrorKind, ReceiveLimit, Receiver};
use ronda_schemas::codec::Versioned;
use ronda_schemas::direct;
use tokio::time::timeout;

/// The queue has one partition.
const PARTITION: u32 = 0;
/// An acknowledging broker that hands out nothing for so long has nothing more to hand out.
const QUIET: Duration = Duration::from_secs(2);

/// How far to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Through this position, on queues that have positions.
    through: Option<Position>,
    /// So many letters.
    letters: u64,
}

impl Extent {
    /// All letters that are there now, or of those as many as the queue hands out at once.
    async fn now(queue: &dyn Queue) -> Result<Self, QueueError> {
        let depth = queue.depth(PARTITION).await?;
        let most = queue.capabilities().max_unsettled.map_or(u64::MAX, |most| most as u64);
        let through = depth.newest.filter(|_| queue.capabilities().positions);
        Ok(Self { through, letters: depth.messages.min(most) })
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
    read: u64,
    last: Option<Position>,
}

impl Reading {
    async fn begin(queue: &dyn Queue, extent: Extent) -> Result<Self, QueueError> {
        Ok(Self { receiver: queue.open(PARTITION, None).await?, extent, read: 0, last: None })
    }

    /// The next letters; empty: the end.
    async fn next(&mut self) -> Result<Vec<Delivery>, QueueError> {
        if self.extent.is_over(self.read, self.last) {
            return Ok(Vec::new());
        }
        let received = timeout(QUIET, self.receiver.receive(ReceiveLimit::default())).await;
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
    let mut reading = Reading::begin(queue, extent).await?;
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

/// Takes letters out: those whose id is named, through so far. With a queue of commands, the message of each is put back there first.
pub(super) async fn take_out(
    queue: &dyn Queue,
    ids: &HashSet<String>,
    extent: Extent,
    commands: Option<&dyn Queue>,
) -> Result<(), QueueError> {
    let mut reading = Reading::begin(queue, extent).await?;
    let mut done = HashSet::new();
    loop {
        let batch = reading.next().await?;
        let Some(last) = batch.last().map(|last| last.token) else { return Ok(()) };
        for letter in batch {
            let id = super::letter::id(&letter.message);
            if !ids.contains(&id) {
                queue.publish(PARTITION, letter.message).await?;
            } else if let Some(commands) = commands.filter(|_| done.insert(id)) {
                put_back(commands, &letter.message).await?;
            }
        }
        reading.receiver.settle(last).await?;
    }
}

async fn put_back(commands: &dyn Queue, bytes: &[u8]) -> Result<(), QueueError> {
    let broken = || QueueError::permanent(QueueErrorKind::Corrupt, "the letter can't be read any more");
    let letter = DeadLetter::decode(bytes).map_err(|_| broken())?;
    let origin = super::letter::origin(&letter).ok_or_else(broken)?;
    let partition = partition(&letter, &origin, commands.partitions().max(1));
    commands.publish_direct(partition, letter.message, &origin).await.map(drop)
}

/// Where the message belongs now: there may be another number of partitions since. What can't be read goes where it came from.
fn partition(letter: &DeadLetter, origin: &Origin, partitions: u32) -> u32 {
    let known = letter.origin.as_deref().and_then(|origin| origin.tenant.as_deref());
    let tenant = known.or(origin.tenant.as_deref());
    let commands = direct::read(&letter.message, &origin.headers).unwrap_or_default();
    let scheduler = commands.into_iter().find_map(|command| {
        let scheduler = command.map_or_else(|wrong| wrong.scheduler, |command| command.scheduler_id.into_owned());
        (!scheduler.is_empty()).then_some(scheduler)
    });
    let belongs = tenant.zip(scheduler).map(|(tenant, scheduler)| partition_of(tenant, &scheduler, partitions));
    belongs.unwrap_or(letter.partition % partitions)
}
