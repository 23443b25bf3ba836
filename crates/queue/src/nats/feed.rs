//! One reader for all partitions of a process.
//!
//! A consumer with a filter costs the server a look at every message of the stream, those of other partitions too. So a process that
//! has receivers for all partitions reads the end of the stream once, and keeps for each partition what its receiver has not taken yet. A
//! receiver that is further behind than that reads with a consumer of its own until it is near enough.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::Message;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::error::QueueError;
use crate::port::ReceiveLimit;

use super::reader::Reader;
use super::shared::{Lane, Shared};

/// What is kept of all partitions for receivers that are slow. Beyond it the oldest of the slowest go, and it has to read them by itself.
const KEPT_BYTES: usize = 32 << 20;
/// What a message takes beside its text: its place in the line, and headers as they are kept.
const MESSAGE_BYTES: usize = 512;
/// Messages of a partition that are kept as they came, a slice of what was read from the connection. One alone would hold all of that.
const AS_THEY_CAME: usize = 16;
/// Messages that are shared out at a time.
const AT_ONCE: usize = 1_024;
/// When to begin again what ended with an error.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The newest messages of a partition.
#[derive(Default)]
pub(super) struct Tail {
    kept: Mutex<Kept>,
    /// Something was added, or the feed ended.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct Kept {
    /// All of the partition's messages from this place on that the feed has come by are here. `None`: there is no feed.
    from: Option<u64>,
    messages: VecDeque<(u64, Message)>,
    bytes: usize,
}

/// What a tail has for a receiver.
pub(super) enum Taken {
    /// These, at least one.
    Messages(Vec<(u64, Message)>),
    /// Nothing yet: wait for a change.
    Nothing,
    /// It begins after what is wanted.
    Missing,
}

impl Tail {
    /// Whether all that is wanted from a place on is here, or will be.
    pub(super) fn covers(&self, next: u64) -> bool {
        self.kept.lock().from.is_some_and(|from| from <= next)
    }

    /// Takes out messages from a place on, in order and up to a limit.
    pub(super) fn take(&self, next: u64, limit: ReceiveLimit) -> Taken {
        let mut kept = self.kept.lock();
        if kept.from.is_none_or(|from| from > next) {
            return Taken::Missing;
        }
        while kept.messages.front().is_some_and(|(position, _)| *position < next) {
            kept.pop();
        }
        let mut taken = Vec::new();
        let mut bytes = 0_usize;
        while let Some((_, message)) = kept.messages.front() {
            bytes = bytes.saturating_add(message.payload.len());
            if !taken.is_empty() && (taken.len() >= limit.messages || bytes > limit.bytes) {
                break;
            }
            taken.extend(kept.pop());
        }
        if taken.is_empty() { Taken::Nothing } else { Taken::Messages(taken) }
    }

    fn begin(&self, from: u64) {
        *self.kept.lock() = Kept { from: Some(from), ..Kept::default() };
    }

    fn end(&self) {
        *self.kept.lock() = Kept::default();
        self.changed.notify_waiters();
    }

    fn add(&self, position: u64, mut message: Message) {
        let mut kept = self.kept.lock();
        if kept.messages.len() >= AS_THEY_CAME {
            message.payload = Bytes::copy_from_slice(&message.payload);
        }
        kept.bytes += bytes_of(&message);
        kept.messages.push_back((position, message));
    }

    fn bytes(&self) -> usize {
        self.kept.lock().bytes
    }

    /// Lets the older half go.
    fn halve(&self) {
        let mut kept = self.kept.lock();
        let half = kept.bytes / 2;
        while kept.bytes > half && kept.pop().is_some() {}
    }
}

/// What a message takes in memory, nearly.
const fn bytes_of(message: &Message) -> usize {
    // Text, headers and subjects.
    message.length + MESSAGE_BYTES
}

/// Keeps all tails together below a number of bytes, at the cost of the largest.
fn make_room(lanes: &[Lane], most_bytes: usize) {
    while lanes.iter().map(|lane| lane.tail.bytes()).sum::<usize>() > most_bytes {
        if let Some(largest) = lanes.iter().max_by_key(|lane| lane.tail.bytes()) {
            largest.tail.halve();
        }
    }
}

impl Kept {
    /// Lets the oldest go: who wants it from now on finds it missing.
    fn pop(&mut self) -> Option<(u64, Message)> {
        let (position, message) = self.messages.pop_front()?;
        self.bytes -= bytes_of(&message);
        self.from = Some(position + 1);
        Some((position, message))
    }
}

/// Feeds the partitions whenever all of them have receivers, until the queue is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let closed = shared.closed.clone();
    if shared.lanes.len() < 2 {
        return;
    }
    let work = async {
        loop {
            while !all_are_read(&shared) {
                shared.receivers_changed.notified().await;
            }
            let ended = feed(&shared).await;
            for lane in &shared.lanes {
                lane.tail.end();
            }
            if let Err(error) = ended {
                // The receivers go on by themselves, and say what is the matter if it lasts.
                tracing::debug!(stream = shared.stream, %error, "the stream can't be read as a whole");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    };
    tokio::select! {
        () = closed.cancelled() => {}
        () = work => {}
    }
}

fn all_are_read(shared: &Shared) -> bool {
    shared.lanes.iter().all(|lane| lane.receivers.load(Ordering::Acquire) > 0)
}

/// Shares out what comes from now on, for as long as all partitions are read.
async fn feed(shared: &Arc<Shared>) -> Result<(), QueueError> {
    shared.past.doubt();
    let from = shared.info().await?.state.last_sequence + 1;
    let mut reader = Reader::open(Arc::clone(shared), None, from).await?;
    for lane in &shared.lanes {
        lane.tail.begin(from);
    }
    let mut touched = vec![false; shared.lanes.len()];
    while all_are_read(shared) {
        let first = tokio::select! {
            first = reader.next() => first?,
            () = shared.receivers_changed.notified() => continue,
        };
        let mut next = Some(first);
        let mut count = 0;
        while let Some((position, message)) = next {
            let partition = shared.names.partition_of(message.subject.as_str()).map(|partition| partition as usize);
            // Others can't be: nobody would read them from the stream either.
            if let Some((lane, touched)) =
                partition.and_then(|partition| shared.lanes.get(partition).zip(touched.get_mut(partition)))
            {
                lane.tail.add(position, message);
                *touched = true;
            }
            count += 1;
            next = if count < AT_ONCE { reader.ready() } else { None };
        }
        make_room(&shared.lanes, KEPT_BYTES);
        for (lane, touched) in shared.lanes.iter().zip(&mut touched) {
            if std::mem::take(touched) {
                lane.tail.changed.notify_waiters();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;

    use super::*;

    /// As the server sends it: its length takes in headers and subjects.
    fn message(header_bytes: usize) -> Message {
        let mut headers = HeaderMap::new();
        headers.insert("x-note", "x".repeat(header_bytes));
        let payload = Bytes::from_static(b"{}");
        Message {
            subject: "ronda.p.0.acme".into(),
            reply: None,
            length: payload.len() + header_bytes,
            payload,
            headers: Some(headers),
            status: None,
            description: None,
        }
    }

    #[test]
    fn all_tails_have_one_bound_that_counts_headers_and_the_slowest_pays_for_it() {
        const MOST: usize = 1 << 20;
        let lanes: Vec<_> = (0..4).map(|_| Lane::default()).collect();
        for lane in &lanes {
            lane.tail.begin(1);
        }
        for position in 1..=4_000 {
            // Nobody reads the first; of the second nothing is far behind.
            let lane = &lanes[usize::from(position % 10 == 0)];
            lane.tail.add(position, message(10_000));
            if position % 100 == 50 {
                lanes[1].tail.take(position - 40, ReceiveLimit::default());
            }
            make_room(&lanes, MOST);
            assert!(lanes.iter().map(|lane| lane.tail.bytes()).sum::<usize>() <= MOST);
        }
        assert!(matches!(lanes[0].tail.take(1, ReceiveLimit::default()), Taken::Missing), "it goes on by itself");
        let Taken::Messages(rest) = lanes[1].tail.take(3_960, ReceiveLimit::default()) else { panic!("all is there") };
        assert_eq!(rest.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [3_960, 3_970, 3_980, 3_990, 4_000]);
        make_room(&lanes, 0);
        assert!(lanes.iter().all(|lane| lane.tail.bytes() == 0), "it comes to an end");
    }
}
