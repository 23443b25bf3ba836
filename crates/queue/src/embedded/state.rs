//! What readers see of the log: durable messages only, the newest of them in memory.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::port::{Delivery, Depth, Position, ReceiveLimit, Token};

use super::notes::Notes;
use super::segment::Segment;

/// What a message in the tail costs besides its bytes.
const TAIL_ENTRY_BYTES: usize = 64;
/// Most records of one read from a file.
const MAX_COLD_RECORDS: usize = 4096;

/// What receivers wait on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Newest durable position; 0 for none.
    pub(super) newest: u64,
    /// Nothing more will come.
    pub(super) ended: bool,
}

/// One partition as readers see it.
#[derive(Debug)]
pub(super) struct PartitionState {
    /// Position behind the newest durable message.
    next: u64,
    /// Everything up to here is done with.
    settled: u64,
    /// The newest messages; the last one has position `next - 1`.
    tail: VecDeque<Bytes>,
    tail_bytes: usize,
    progress: watch::Sender<Progress>,
}

impl PartitionState {
    fn tail_first(&self) -> u64 {
        self.next - self.tail.len() as u64
    }

    /// Notes that everything up to there is done with. Answers how many messages are so from now on.
    fn settle(&mut self, through: u64) -> u64 {
        let before = self.settled;
        self.settled = before.max(through);
        while !self.tail.is_empty() && self.tail_first() <= self.settled {
            self.drop_oldest();
        }
        self.settled - before
    }

    fn drop_oldest(&mut self) {
        if let Some(message) = self.tail.pop_front() {
            self.tail_bytes -= message.len() + TAIL_ENTRY_BYTES;
        }
    }
}

/// A record that the writer made durable.
#[derive(Debug)]
pub(super) struct Appended {
    pub(super) partition: usize,
    pub(super) offset: u32,
    pub(super) record_bytes: u64,
    pub(super) message: Bytes,
}

/// A read from a segment file, to be done without the lock.
#[derive(Debug)]
pub(super) struct ColdRead {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) salt: u32,
    pub(super) partition: u32,
    /// Position of the first record.
    pub(super) first: u64,
    /// Offsets of the records, in the order of their positions.
    pub(super) offsets: Vec<u32>,
    /// Durable bytes of the file.
    pub(super) length: u64,
    pub(super) limit: ReceiveLimit,
}

/// What is there for a reader.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Messages(Vec<Delivery>),
    OnDisk(ColdRead),
}

/// The log as readers see it.
#[derive(Debug)]
pub(super) struct LogState {
    partitions: Vec<PartitionState>,
    segments: VecDeque<Segment>,
    /// Most bytes in the tail of one partition.
    tail_limit: usize,
}

impl LogState {
    pub(super) fn new(segments: VecDeque<Segment>, next: &[u64], settled: &[u64], tail_bytes: usize) -> Self {
        let partition = |(&next, &settled): (&u64, &u64)| PartitionState {
            next,
            settled,
            tail: VecDeque::new(),
            tail_bytes: 0,
            progress: watch::Sender::new(Progress { newest: next - 1, ended: false }),
        };
        let partitions: Vec<_> = next.iter().zip(settled).map(partition).collect();
        let tail_limit = tail_bytes / partitions.len().max(1);
        Self { partitions, segments, tail_limit }
    }

    /// Shows readers a group that is durable now, and wakes them.
    pub(super) fn append(&mut self, group: impl IntoIterator<Item = Appended>, length: u64) {
        let Some(segment) = self.segments.back_mut() else { return };
        segment.length = length;
        for record in group {
            let (Some(index), Some(partition)) =
                (segment.index.get_mut(record.partition), self.partitions.get_mut(record.partition))
            else {
                continue;
            };
            index.offsets.push(record.offset);
            index.bytes += record.record_bytes;
            partition.next += 1;
            partition.tail_bytes += record.message.len() + TAIL_ENTRY_BYTES;
            partition.tail.push_back(record.message);
            while partition.tail_bytes > self.tail_limit && !partition.tail.is_empty() {
                partition.drop_oldest();
            }
        }
        for partition in &self.partitions {
            let newest = partition.next - 1;
            partition.progress.send_if_modified(|progress| std::mem::replace(&mut progress.newest, newest) != newest);
        }
    }

    /// Begins a segment.
    pub(super) fn push_segment(&mut self, segment: Segment) {
        if let Some(sealed) = self.segments.back_mut() {
            for index in &mut sealed.index {
                index.offsets.shrink_to_fit();
            }
        }
        self.segments.push_back(segment);
    }

    /// Tells all receivers that nothing more will come.
    pub(super) fn end(&self) {
        for partition in &self.partitions {
            partition.progress.send_modify(|progress| progress.ended = true);
        }
    }

    /// What to wait on for news of a partition.
    pub(super) fn watch(&self, partition: u32) -> Option<watch::Receiver<Progress>> {
        Some(self.partitions.get(partition as usize)?.progress.subscribe())
    }

    /// Finds the oldest kept messages from a position on.
    pub(super) fn find(&self, partition: u32, from: u64, limit: ReceiveLimit) -> Found {
        let Some(state) = self.partitions.get(partition as usize) else { return Found::Nothing };
        let from = from.max(state.settled + 1);
        if from >= state.next {
            return Found::Nothing;
        }
        let Some(skipped) = from.checked_sub(state.tail_first()) else {
            return self.find_on_disk(partition, from, limit);
        };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let mut bytes = 0_usize;
        let mut deliveries = Vec::new();
        for (position, message) in (from..).zip(state.tail.iter().skip(skipped)).take(limit.messages.max(1)) {
            bytes = bytes.saturating_add(message.len());
            if bytes > limit.bytes && !deliveries.is_empty() {
                break;
            }
            deliveries.push(delivery(position, message.clone()));
        }
        Found::Messages(deliveries)
    }

    fn find_on_disk(&self, partition: u32, from: u64, limit: ReceiveLimit) -> Found {
        let place = partition as usize;
        let ends_before = |segment: &Segment| segment.index.get(place).is_none_or(|index| index.next() <= from);
        let Some(segment) = self.segments.get(self.segments.partition_point(ends_before)) else {
            return Found::Nothing;
        };
        let Some(index) = segment.index.get(place) else { return Found::Nothing };
        let skipped = usize::try_from(from.saturating_sub(index.first)).unwrap_or(usize::MAX);
        let most = limit.messages.clamp(1, MAX_COLD_RECORDS);
        Found::OnDisk(ColdRead {
            file: Arc::clone(&segment.file),
            path: segment.path.clone(),
            salt: segment.salt,
            partition,
            first: from.max(index.first),
            offsets: index.offsets.iter().skip(skipped).take(most).copied().collect(),
            length: segment.length,
            limit,
        })
    }

    /// Notes that a partition is done with up to a position. `None` if that was never published, else whether a
    /// segment can go now.
    pub(super) fn settle(&mut self, partition: u32, through: u64) -> Option<bool> {
        let state = self.partitions.get_mut(partition as usize)?;
        if through >= state.next {
            return None;
        }
        state.settle(through);
        Some(self.oldest_is_settled())
    }

    /// Lets go of the oldest segments, settled or not, until the rest has no more than so many bytes. Answers how many messages went that
    /// were not settled.
    pub(super) fn shed(&mut self, most_bytes: u64) -> u64 {
        let mut left: u64 = self.segments.iter().map(|segment| segment.length).sum();
        let mut shed = 0;
        // The newest stays.
        for segment in self.segments.iter().take(self.segments.len().saturating_sub(1)) {
            if left <= most_bytes {
                break;
            }
            left -= segment.length;
            for (index, partition) in segment.index.iter().zip(&mut self.partitions) {
                shed += partition.settle(index.next() - 1);
            }
        }
        shed
    }

    /// Where the oldest segment lies and how long it is, if nobody needs it any more. The newest one always stays: its header
    /// carries the numbering on.
    pub(super) fn oldest_settled(&self) -> Option<(PathBuf, u64)> {
        let oldest = self.segments.front().filter(|_| self.oldest_is_settled())?;
        Some((oldest.path.clone(), oldest.length))
    }

    /// Forgets the oldest segment, whose file is gone.
    pub(super) fn pop_oldest(&mut self) {
        self.segments.pop_front();
    }

    fn oldest_is_settled(&self) -> bool {
        self.segments.len() > 1
            && self.segments.front().is_some_and(|oldest| {
                let mut both = oldest.index.iter().zip(&self.partitions);
                both.all(|(index, partition)| index.next() <= partition.settled + 1)
            })
    }

    /// How much is in a partition.
    pub(super) fn depth(&self, partition: u32) -> Option<Depth> {
        let state = self.partitions.get(partition as usize)?;
        let newest = state.next - 1;
        let messages = newest - state.settled;
        let bytes = self.segments.iter().filter_map(|segment| segment.index.get(partition as usize));
        Some(Depth {
            newest: (newest > 0).then_some(Position(newest)),
            oldest: (messages > 0).then_some(Position(state.settled + 1)),
            messages,
            bytes: Some(bytes.map(|index| index.bytes).sum()),
            oldest_age_ms: None,
        })
    }

    /// Newest position of a partition; 0 for none.
    pub(super) fn newest(&self, partition: u32) -> Option<u64> {
        self.partitions.get(partition as usize).map(|state| state.next - 1)
    }

    /// What to write down.
    pub(super) fn notes(&self) -> Notes {
        let newest = self.segments.back();
        Notes {
            durable_segment: newest.map_or(0, |segment| segment.id),
            durable_bytes: newest.map_or(0, |segment| segment.length),
            settled: self.partitions.iter().map(|partition| partition.settled).collect(),
        }
    }
}

/// A message as a receiver hands it out. The token is the position.
pub(super) fn delivery(position: u64, message: Bytes) -> Delivery {
    Delivery { position: Some(Position(position)), message, token: Token(position), redelivered: false, origin: None }
}
