//! The `settled` file: what may be forgotten, and how far the log was known to be durable.
//!
//! Written by rename and not fsynced, because an old one does no harm: readers go on from cursors of their own, and
//! settled messages are merely offered again. A damaged one is ignored. The durable length in it turns a log that lost
//! its confirmed end into an error, where it would otherwise look like the torn write of a crash.
//!
//! Little endian: `magic [8] · partitions u32 · durable segment u64 · durable bytes u64 · settled u64 a partition · crc32 u32`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::record::{u32_at, u64_at};

const MAGIC: &[u8; 8] = b"RONDASET";
const FIXED_BYTES: usize = 28;

/// Content of the `settled` file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// The newest segment at the time.
    pub(super) durable_segment: u64,
    /// How many bytes of it were durable.
    pub(super) durable_bytes: u64,
    /// The settled position of each partition; 0 for none.
    pub(super) settled: Vec<u64>,
}

/// Where the file lies.
pub(super) fn notes_path(dir: &Path) -> PathBuf {
    dir.join("settled")
}

/// Reads the notes; `None` if there are none or they are damaged.
pub(super) fn read(dir: &Path) -> io::Result<Option<Notes>> {
    let path = notes_path(dir);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let notes = decode(&bytes);
    if notes.is_none() {
        tracing::warn!(queue.file = %path.display(), "ignoring damaged notes of settled positions");
    }
    Ok(notes)
}

/// Replaces the notes.
pub(super) fn write(dir: &Path, notes: &Notes) -> io::Result<()> {
    let path = notes_path(dir);
    let temporary = path.with_extension("new");
    File::create(&temporary)?.write_all(&encode(notes))?;
    std::fs::rename(&temporary, &path)
}

fn encode(notes: &Notes) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIXED_BYTES + 8 * notes.settled.len() + 4);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&u32::try_from(notes.settled.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&notes.durable_segment.to_le_bytes());
    bytes.extend_from_slice(&notes.durable_bytes.to_le_bytes());
    for settled in &notes.settled {
        bytes.extend_from_slice(&settled.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Notes> {
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    let intact = body.first_chunk() == Some(MAGIC) && crc32fast::hash(body) == u32::from_le_bytes(*crc);
    let partitions = u32_at(body, 8) as usize;
    (intact && partitions.checked_mul(8)?.checked_add(FIXED_BYTES)? == body.len()).then(|| Notes {
        durable_segment: u64_at(body, 12),
        durable_bytes: u64_at(body, 20),
        settled: (0..partitions).map(|partition| u64_at(body, FIXED_BYTES + 8 * partition)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_and_damaged_ones_do_not() {
        let notes = Notes { durable_segment: 2, durable_bytes: 99, settled: vec![0, 7] };
        let bytes = encode(&notes);
        assert_eq!(decode(&bytes), Some(notes));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(decode(&changed), None, "byte {at}");
            assert_eq!(decode(&bytes[..at]), None, "cut at {at}");
        }
    }
}
