//! Reading a partition: from memory when the reader keeps up, else from the segment files.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::error::{QueueError, QueueErrorKind};
use crate::port::{Delivery, ReceiveLimit, Receiver, Token};

use super::Shared;
use super::record::{RECORD_HEADER_BYTES, RecordHeader, is_intact};
use super::state::{ColdRead, Found, Progress, delivery};

/// Bytes of one read from a segment file, unless a record is larger.
const READ_AHEAD_BYTES: u64 = 256 << 10;
/// Most message bytes that one receive takes from a file, whatever its limit.
const MAX_COLD_BYTES: usize = 16 << 20;

/// A reader with its own cursor. Any number of them may read one partition.
pub(super) struct EmbeddedReceiver {
    pub(super) shared: Arc<Shared>,
    pub(super) partition: u32,
    /// Position to return next, or the oldest kept one after it.
    pub(super) next: u64,
    pub(super) progress: watch::Receiver<Progress>,
}

impl EmbeddedReceiver {
    /// What is there right now, or `None`.
    async fn ready(&self, limit: ReceiveLimit) -> Result<Option<Vec<Delivery>>, QueueError> {
        let found = self.shared.log.lock().find(self.partition, self.next, limit);
        match found {
            Found::Nothing => Ok(None),
            Found::Messages(messages) => Ok(Some(messages)),
            Found::OnDisk(read) => {
                let read = tokio::task::spawn_blocking(move || read_cold(&read));
                read.await.unwrap_or_else(|_| Err(QueueError::closed())).map(Some)
            }
        }
    }
}

#[async_trait]
impl Receiver for EmbeddedReceiver {
    async fn receive(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        loop {
            // Marked as seen before looking: what comes after the look wakes the wait below.
            let ended = self.progress.borrow_and_update().ended;
            if self.shared.is_closed() {
                return Err(QueueError::closed());
            }
            if let Some(messages) = self.ready(limit).await? {
                // The only change of state, and nothing is awaited after it: this makes the call cancel-safe.
                if let Some(position) = messages.last().and_then(|last| last.position) {
                    self.next = position.0 + 1;
                }
                return Ok(messages);
            }
            if ended || self.progress.changed().await.is_err() {
                return Err(self.shared.inbox.phase().refusal().unwrap_or_else(QueueError::closed));
            }
        }
    }

    async fn settle(&mut self, through: Token) -> Result<(), QueueError> {
        if self.shared.is_closed() {
            return Err(QueueError::closed());
        }
        let Some(removable) = self.shared.log.lock().settle(self.partition, through.0) else {
            let what = format!("partition {} never delivered a message with token {}", self.partition, through.0);
            return Err(QueueError::permanent(QueueErrorKind::InvalidToken, what));
        };
        if removable {
            self.shared.housekeeping.look();
        }
        self.shared.housekeeping.note();
        Ok(())
    }
}

/// Reads records from a segment file and checks each of them.
fn read_cold(read: &ColdRead) -> Result<Vec<Delivery>, QueueError> {
    let most_bytes = read.limit.bytes.min(MAX_COLD_BYTES);
    let mut window = Window { read, start: 0, bytes: Vec::new() };
    let mut deliveries: Vec<Delivery> = Vec::new();
    let mut bytes = 0_usize;
    for (at, &offset) in read.offsets.iter().enumerate() {
        let offset = u64::from(offset);
        let wanted = read.offsets.get(at..).unwrap_or_default();
        let header = window.get(offset, RECORD_HEADER_BYTES as u64, wanted)?;
        let header = RecordHeader::decode(header).ok_or_else(|| damaged(read, offset))?;
        bytes = bytes.saturating_add(header.length as usize);
        if bytes > most_bytes && !deliveries.is_empty() {
            break;
        }
        let position = read.first + at as u64;
        let record = window.get(offset, header.record_bytes(), wanted)?;
        let expected = header.position == position && u32::from(header.partition) == read.partition;
        if !expected || !is_intact(read.salt, record) {
            return Err(damaged(read, offset));
        }
        let message = record.get(RECORD_HEADER_BYTES..).unwrap_or_default();
        deliveries.push(delivery(position, Bytes::copy_from_slice(message)));
    }
    Ok(deliveries)
}

/// Part of a segment file in memory.
struct Window<'a> {
    read: &'a ColdRead,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// Bytes of the file. Reads on as far as the wanted records lie close together.
    fn get(&mut self, offset: u64, length: u64, wanted: &[u32]) -> Result<&[u8], QueueError> {
        let end = offset + length;
        if end > self.read.length {
            return Err(damaged(self.read, offset));
        }
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let near = wanted.partition_point(|&other| u64::from(other) < offset + READ_AHEAD_BYTES);
            let last = near.checked_sub(1).and_then(|last| wanted.get(last)).map_or(offset, |&last| u64::from(last));
            // The last one's length isn't known: a page is a fair guess.
            let until = end.max(last + 4096).min(self.read.length);
            self.bytes.resize(usize::try_from(until - offset).unwrap_or(0), 0);
            self.start = offset;
            self.read.file.read_exact_at(&mut self.bytes, offset).map_err(|error| {
                let what = format!("can't read {} at byte {offset}", self.read.path.display());
                QueueError::transient(QueueErrorKind::Unavailable, Duration::from_secs(1), what).with_source(error)
            })?;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX);
        let until = usize::try_from(end - self.start).unwrap_or(usize::MAX);
        self.bytes.get(from..until).ok_or_else(|| damaged(self.read, offset))
    }
}

fn damaged(read: &ColdRead, offset: u64) -> QueueError {
    let what = format!("{} is damaged at byte {offset}: the record is not what was written", read.path.display());
    QueueError::permanent(QueueErrorKind::Corrupt, what)
}
