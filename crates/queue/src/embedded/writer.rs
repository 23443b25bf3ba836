//! The one thread that writes: it takes what has gathered, writes it at once, makes it durable at once, and answers.
//!
//! While one group is being made durable the next one gathers, so the cost of an fsync is shared by as many
//! publishes as came in the meantime.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{QueueError, QueueErrorKind};
use crate::port::{Position, Published};

use super::Shared;
use super::disk::Disk;
use super::inbox::{Pending, Phase, poisoned};
use super::record::RecordHeader;
use super::segment::{SegmentHeader, create, fresh_salt};
use super::state::Appended;

/// Most bytes of one group: bounds the buffer, and how long a publish waits for others' bytes.
const MAX_GROUP_BYTES: u64 = 8 << 20;
/// Capacity that the buffer keeps between groups.
const KEPT_BUFFER_BYTES: usize = 16 << 20;

/// The writer lingers for the publishers of the last group at most this share of what storing that group took …
const LINGER_SHARE: u32 = 4;
/// … and never longer than this.
const MAX_LINGER: Duration = Duration::from_micros(300);

/// The writer's own state.
pub(super) struct Writer<D> {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: D,
    pub(super) dir: PathBuf,
    pub(super) segment_bytes: u64,
    /// Nothing is written while the disk has less room than this.
    pub(super) min_free_bytes: u64,
    /// Older messages go until no more than this is left, when a segment begins.
    pub(super) kept_bytes: Option<u64>,
    pub(super) file: Arc<File>,
    pub(super) segment: u64,
    pub(super) salt: u32,
    /// Where the next record goes.
    pub(super) length: u64,
    pub(super) next: Vec<u64>,
    pub(super) next_group: u64,
    pub(super) buffer: Vec<u8>,
    pub(super) positions: Vec<(u64, u32)>,
    /// The last group could not be stored; said once, not with each group.
    pub(super) failing: bool,
}

/// Why a group could not be stored.
enum Failure {
    /// It was taken back; the next one may go through.
    Passing(io::Error),
    /// Nobody can say what is on the disk any more.
    Fatal(io::Error),
}

impl<D: Disk> Writer<D> {
    /// Writes until the queue is closed or the disk fails for good.
    pub(super) fn run(mut self) {
        let mut taken = Vec::new();
        let (mut expected, mut linger) = (0, Duration::ZERO);
        while self.shared.inbox.take(&mut taken, expected, linger) {
            let begin = Instant::now();
            expected = taken.len();
            let mut rest = taken.drain(..).peekable();
            let mut group = Vec::new();
            while rest.peek().is_some() {
                let room = self.segment_bytes.saturating_sub(self.length).min(MAX_GROUP_BYTES);
                let mut bytes = 0;
                while let Some(pending) = rest.next_if(|_| bytes < room || group.is_empty()) {
                    bytes += pending.record_bytes();
                    group.push(pending);
                }
                self.write_group(&mut group, bytes);
            }
            linger = (begin.elapsed() / LINGER_SHARE).min(MAX_LINGER);
        }
    }

    /// Stores one group and answers each of its publishes.
    fn write_group(&mut self, group: &mut Vec<Pending>, bytes: u64) {
        if let Phase::Poisoned(cause) = self.shared.inbox.phase() {
            return self.refuse(group, bytes, &poisoned(&cause));
        }
        match self.store(group) {
            Ok(()) => self.confirm(group),
            Err(failure) => {
                for pending in group.iter() {
                    if let Some(next) = self.next.get_mut(usize::from(pending.partition)) {
                        *next -= 1;
                    }
                }
                let answer = self.explain(failure);
                self.refuse(group, bytes, &answer);
            }
        }
        if self.buffer.capacity() > KEPT_BUFFER_BYTES {
            self.buffer = Vec::new();
        }
    }

    /// Encodes, writes and syncs. Positions are given out in any case; the caller takes them back on failure.
    fn store(&mut self, group: &[Pending]) -> Result<(), Failure> {
        let room = self.check_room();
        let rolled = if room.is_ok() && self.length >= self.segment_bytes { self.roll() } else { Ok(()) };
        self.encode(group);
        room?;
        rolled?;
        if let Err(error) = self.disk.write(&self.file, self.length, &self.buffer) {
            // Part of it may be there: without the cut, the next group would follow a torn one.
            return Err(match self.disk.truncate(&self.file, self.length) {
                Ok(()) => Failure::Passing(error),
                Err(worse) => Failure::Fatal(worse),
            });
        }
        self.disk.sync(&self.file).map_err(Failure::Fatal)?;
        self.next_group += 1;
        Ok(())
    }

    /// Refuses to write when others would be left without room.
    fn check_room(&mut self) -> Result<(), Failure> {
        if self.min_free_bytes == 0 {
            return Ok(());
        }
        match self.disk.free(&self.dir) {
            Ok(free) if free < self.min_free_bytes => Err(Failure::Passing(io::ErrorKind::StorageFull.into())),
            // Not knowing is no reason to stop: the disk says itself when it is full.
            _ => Ok(()),
        }
    }

    fn encode(&mut self, group: &[Pending]) {
        self.buffer.clear();
        self.positions.clear();
        for (at, pending) in group.iter().enumerate() {
            let Some(next) = self.next.get_mut(usize::from(pending.partition)) else { continue };
            let header = RecordHeader {
                length: pending.length,
                partition: pending.partition,
                last_in_group: at + 1 == group.len(),
                position: *next,
                group: self.next_group,
            };
            *next += 1;
            let offset = self.length + self.buffer.len() as u64;
            self.positions.push((header.position, u32::try_from(offset).unwrap_or(u32::MAX)));
            header.encode(self.salt, &pending.message, &mut self.buffer);
        }
    }

    /// Begins the next segment. Called before positions are given out, so that its header has the right ones. When it fails nothing of
    /// the group was written, and the next group makes the same segment anew: an empty one that was left behind is replaced.
    fn roll(&mut self) -> Result<(), Failure> {
        let salt = fresh_salt().map_err(Failure::Passing)?;
        let header =
            SegmentHeader { segment: self.segment + 1, salt, next_group: self.next_group, next: self.next.clone() };
        let made = create(&self.dir, &header).map_err(Failure::Passing)?;
        self.shared.inbox.add_used(made.length);
        self.file = Arc::clone(&made.file);
        (self.segment, self.salt, self.length) = (made.id, made.salt, made.length);
        self.shared.log.lock().push_segment(made);
        if let Some(most_bytes) = self.kept_bytes {
            self.shared.shed(most_bytes);
        }
        self.shared.housekeeping.look();
        Ok(())
    }

    /// Shows the group to readers and answers its publishers.
    fn confirm(&mut self, group: &mut Vec<Pending>) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("the queue's disk takes writes again");
        }
        self.length += self.buffer.len() as u64;
        let appended = group.iter_mut().zip(&self.positions).map(|(pending, &(_, offset))| Appended {
            partition: usize::from(pending.partition),
            offset,
            record_bytes: pending.record_bytes(),
            message: std::mem::take(&mut pending.message),
        });
        self.shared.log.lock().append(appended, self.length);
        for (pending, &(position, _)) in group.drain(..).zip(&self.positions) {
            // A publisher that went away doesn't need its answer.
            let _ = pending.reply.send(Ok(Published { position: Some(Position(position)) }));
        }
    }

    fn explain(&mut self, failure: Failure) -> QueueError {
        let first = !std::mem::replace(&mut self.failing, true);
        match failure {
            Failure::Passing(error) if is_out_of_space(&error) => {
                if first {
                    tracing::error!(error = %error, "the queue's disk is full; publishes are refused until there is room");
                }
                let what = "the queue's disk is full: nothing was stored; free some space";
                QueueError::transient(QueueErrorKind::Full, Duration::from_secs(1), what).with_source(error)
            }
            Failure::Passing(error) => {
                if first {
                    tracing::error!(error = %error, "the queue could not write");
                }
                let what = "the queue could not write to its disk: nothing was stored";
                QueueError::transient(QueueErrorKind::Unavailable, Duration::from_secs(1), what).with_source(error)
            }
            Failure::Fatal(error) => {
                tracing::error!(error = %error, "the queue's disk failed; no more messages are taken until a restart");
                let cause = Arc::new(error);
                self.shared.inbox.end(Phase::Poisoned(Arc::clone(&cause)));
                poisoned(&cause)
            }
        }
    }

    fn refuse(&self, group: &mut Vec<Pending>, bytes: u64, answer: &QueueError) {
        self.shared.inbox.release(bytes);
        for pending in group.drain(..) {
            let _ = pending.reply.send(Err(answer.clone()));
        }
    }
}

/// However the writer ends, nobody is left waiting for it.
impl<D> Drop for Writer<D> {
    fn drop(&mut self) {
        let unexpected = io::Error::other("the queue's writer stopped");
        self.shared.inbox.end(Phase::Poisoned(Arc::new(unexpected)));
        self.shared.inbox.abandon();
        self.shared.log.lock().end();
    }
}

fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
