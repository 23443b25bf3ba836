//! Settings of the embedded queue and how it can fail to open.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{QueueError, QueueErrorKind};

use super::record::RECORD_HEADER_BYTES;

/// Most partitions that a queue may have.
pub const MAX_PARTITIONS: u32 = 1024;
/// Most segment files; bounds open file handles.
const MAX_SEGMENTS: u64 = 256;
/// Segments are addressed with 32 bits, and a group may overshoot a segment's end by one message.
const MAX_SEGMENT_BYTES: u64 = 1 << 30;

/// Settings of an [`EmbeddedQueue`](super::EmbeddedQueue).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Number of partitions, 1 to 1,024. Fixed when the log is made.
    pub partitions: u32,
    /// Most bytes on disk. A publish beyond it is refused with `Full`; the log never grows past it.
    pub max_bytes: u64,
    /// A publish is refused with `Full` while the disk has less room than this, in bytes; 0: that is not looked at. Where others need the
    /// disk to work off what is in the queue, this keeps room for them.
    pub min_free_bytes: u64,
    /// When it is full, let go of the oldest messages, settled or not, in place of refusing publishes: for what is kept to be looked at
    /// and not to be worked off. Whole segments go, and before the last two segments' room is taken.
    pub drops_oldest: bool,
    /// Size at which a segment file is closed and the next one begun. Space comes back by whole segments. Kept between
    /// 1/256 and 1/4 of `max_bytes`.
    pub segment_bytes: u64,
    /// The largest message. At most 1/8 of `max_bytes`.
    pub max_message_bytes: usize,
    /// Most message bytes that may wait for the disk; publishes beyond it are refused with `Full`.
    pub max_pending_bytes: usize,
    /// Most message bytes kept in memory for readers that keep up, over all partitions.
    pub tail_bytes: usize,
    /// How often settled positions are written down at most.
    pub settle_interval: Duration,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            partitions: 16,
            max_bytes: 4 << 30,
            min_free_bytes: 0,
            drops_oldest: false,
            segment_bytes: 64 << 20,
            max_message_bytes: 1 << 20,
            max_pending_bytes: 64 << 20,
            tail_bytes: 64 << 20,
            settle_interval: Duration::from_millis(500),
        }
    }
}

impl EmbeddedOptions {
    /// Checks the settings and puts the segment size into its bounds.
    pub(super) fn checked(mut self) -> Result<Self, OpenError> {
        let refuse = |what: String| Err(OpenError::InvalidOptions { what });
        if self.partitions == 0 || self.partitions > MAX_PARTITIONS {
            return refuse(format!("partitions is {}, but must be 1 to {MAX_PARTITIONS}", self.partitions));
        }
        let record = self.max_message_bytes.saturating_add(RECORD_HEADER_BYTES) as u64;
        if self.max_message_bytes == 0 || record.saturating_mul(8) > self.max_bytes {
            return refuse(format!(
                "max_message_bytes is {}, but must be at least 1 and at most an eighth of max_bytes ({})",
                self.max_message_bytes, self.max_bytes
            ));
        }
        if record > MAX_SEGMENT_BYTES {
            return refuse(format!(
                "max_message_bytes is {}, but a message must be under 1 GiB",
                self.max_message_bytes
            ));
        }
        if self.max_pending_bytes < self.max_message_bytes {
            return refuse(format!(
                "max_pending_bytes is {}, less than max_message_bytes ({})",
                self.max_pending_bytes, self.max_message_bytes
            ));
        }
        let least = (self.max_bytes / MAX_SEGMENTS).max(1);
        self.segment_bytes = self.segment_bytes.clamp(least, self.max_bytes / 4);
        if self.segment_bytes > MAX_SEGMENT_BYTES {
            if least > MAX_SEGMENT_BYTES {
                return refuse(format!("max_bytes is {}, but can be at most 256 GiB", self.max_bytes));
            }
            self.segment_bytes = MAX_SEGMENT_BYTES;
        }
        Ok(self)
    }

    /// How many bytes of messages may be kept when a segment begins, if older ones are to go: what is left takes that segment, and what
    /// comes while files are being removed.
    pub(super) fn kept_bytes(&self) -> Option<u64> {
        let record = self.max_message_bytes.saturating_add(RECORD_HEADER_BYTES) as u64;
        self.drops_oldest.then(|| self.max_bytes.saturating_sub(2 * self.segment_bytes + record))
    }
}

/// Why an embedded queue could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A setting is out of its bounds.
    #[error("embedded queue: {what}")]
    InvalidOptions {
        /// Which setting, its value and its bounds.
        what: String,
    },
    /// Somebody else has the directory open.
    #[error(
        "queue directory {dir:?}: another ronda{owner} has it open; stop that one first, or give this one a data \
         directory of its own"
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// ` (pid 123)` if known, else empty.
        owner: String,
    },
    /// The log was made with another number of partitions.
    #[error(
        "queue directory {dir:?}: the log has {have} partitions, but {asked} were asked for; set partitions = {have}; \
         'ronda queue repartition' changes it, here and in the store that belongs to it"
    )]
    PartitionCount {
        /// The directory.
        dir: PathBuf,
        /// Partitions in the log.
        have: u32,
        /// Partitions in the settings.
        asked: u32,
    },
    /// The number of partitions can't be changed yet.
    #[error(
        "queue directory {dir:?}: {messages} messages are not settled; the number of partitions changes only when everything \
         has been processed"
    )]
    Unsettled {
        /// The directory.
        dir: PathBuf,
        /// How many messages are left.
        messages: u64,
    },
    /// The files were written by a newer version.
    #[error("{file:?} has format version {version}, newer than this ronda reads ({supported}); run the newer ronda")]
    NewerFormat {
        /// The file.
        file: PathBuf,
        /// Version in the file.
        version: u32,
        /// Newest version that this program reads.
        supported: u32,
    },
    /// Durable data is damaged. Nothing was changed.
    #[error(
        "{file:?} is damaged at byte {offset}: {what}. This is not a torn write from a crash: messages that were \
         confirmed are lost or changed. Nothing was touched; copy the directory before repairing or moving it"
    )]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Byte in the file at which the damage begins.
        offset: u64,
        /// What was found there.
        what: String,
    },
    /// The file system refused.
    #[error("{action} {path:?}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl OpenError {
    /// For `map_err` on file operations.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

impl From<OpenError> for QueueError {
    fn from(error: OpenError) -> Self {
        let kind = match error {
            OpenError::Corrupt { .. } => QueueErrorKind::Corrupt,
            OpenError::PartitionCount { .. } | OpenError::Unsettled { .. } => QueueErrorKind::Mismatch,
            OpenError::InvalidOptions { .. } => QueueErrorKind::InvalidOptions,
            _ => QueueErrorKind::Unavailable,
        };
        Self::permanent(kind, error.to_string()).with_source(error)
    }
}
