//! Segment files: their header, their making, and what is known of them in memory.
//!
//! Header, little endian: `magic [8] · version u32 · partitions u32 · segment u64 · salt u32 · reserved u32 · next group u64 ·
//! next position u64 a partition · crc32 u32`. The next positions make a segment self-contained: after everything
//! before it was trimmed away it still says where each partition's numbering goes on.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::OpenError;
use super::record::{u32_at, u64_at};

const MAGIC: &[u8; 8] = b"RONDALOG";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 40;

/// What the beginning of a segment file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Number of the segment in the log, from 1.
    pub(super) segment: u64,
    /// Where the checksums of its records start from.
    pub(super) salt: u32,
    /// Number of the first group in it.
    pub(super) next_group: u64,
    /// For each partition the position of its first message in it.
    pub(super) next: Vec<u64>,
}

impl SegmentHeader {
    /// Bytes of a header for so many partitions.
    pub(super) fn encoded_bytes(partitions: usize) -> usize {
        FIXED_BYTES + 8 * partitions + 4
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::encoded_bytes(self.next.len()));
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(self.next.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.segment.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.next_group.to_le_bytes());
        for next in &self.next {
            bytes.extend_from_slice(&next.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header at the beginning of a segment's bytes. Headers are durable before the file gets its name,
    /// so a bad one is damage, never a torn write.
    pub(super) fn decode(file: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        let corrupt = |what: &str| OpenError::Corrupt { file: file.to_owned(), offset: 0, what: what.to_owned() };
        if bytes.first_chunk() != Some(MAGIC) {
            return Err(corrupt("it does not begin as a segment of the queue's log"));
        }
        let version = u32_at(bytes, 8);
        if version > VERSION {
            return Err(OpenError::NewerFormat { file: file.to_owned(), version, supported: VERSION });
        }
        let partitions = u32_at(bytes, 12) as usize;
        let length = partitions.checked_mul(8).and_then(|bytes| bytes.checked_add(FIXED_BYTES));
        let body = length.and_then(|length| bytes.get(..length)).ok_or_else(|| corrupt("its header is cut short"))?;
        if bytes.len() < body.len() + 4 || u32_at(bytes, body.len()) != crc32fast::hash(body) {
            return Err(corrupt("its header fails its checksum"));
        }
        Ok(Self {
            segment: u64_at(bytes, 16),
            salt: u32_at(bytes, 24),
            next_group: u64_at(bytes, 32),
            next: (0..partitions).map(|partition| u64_at(bytes, FIXED_BYTES + 8 * partition)).collect(),
        })
    }
}

/// The messages of one partition in one segment. Positions have no holes, so a list of offsets finds each of them.
#[derive(Debug, Default)]
pub(super) struct PartitionIndex {
    /// Position of the first message.
    pub(super) first: u64,
    /// File offset of each record.
    pub(super) offsets: Vec<u32>,
    /// Bytes of these records.
    pub(super) bytes: u64,
}

impl PartitionIndex {
    /// Position behind the last message.
    pub(super) fn next(&self) -> u64 {
        self.first + self.offsets.len() as u64
    }
}

/// A segment as readers need it. Lists durable records only.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: u64,
    pub(super) salt: u32,
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    /// Durable bytes of the file.
    pub(super) length: u64,
    pub(super) index: Vec<PartitionIndex>,
}

impl Segment {
    /// A segment without records yet.
    pub(super) fn empty(header: &SegmentHeader, path: PathBuf, file: Arc<File>) -> Self {
        let index = header.next.iter().map(|&first| PartitionIndex { first, ..PartitionIndex::default() }).collect();
        let length = SegmentHeader::encoded_bytes(header.next.len()) as u64;
        Self { id: header.segment, salt: header.salt, path, file, length, index }
    }
}

/// Where a segment lies.
pub(super) fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:020}.log"))
}

/// The number in a segment's file name, if it is one.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".log").filter(|digits| digits.len() == 20)?.parse().ok()
}

/// Makes the next segment file. Its header and its name are durable when this returns.
pub(super) fn create(dir: &Path, header: &SegmentHeader) -> io::Result<Segment> {
    let path = segment_path(dir, header.segment);
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&temporary)?;
    let made = file.write_all(&header.encode()).and_then(|()| file.sync_all());
    if let Err(error) = made.and_then(|()| std::fs::rename(&temporary, &path)) {
        // Nothing refers to it; if it can't be removed now, the next opening does.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    sync_dir(dir)?;
    Ok(Segment::empty(header, path, Arc::new(file)))
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A salt that nobody can foresee.
pub(super) fn fresh_salt() -> io::Result<u32> {
    getrandom::u32().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_written_and_damage_is_refused() {
        let header = SegmentHeader { segment: 3, salt: 4, next_group: 5, next: vec![1, 70, 1 << 40] };
        let bytes = header.encode();
        assert_eq!(bytes.len(), SegmentHeader::encoded_bytes(3));
        let file = Path::new("x.log");
        assert_eq!(SegmentHeader::decode(file, &bytes).expect("intact"), header);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(SegmentHeader::decode(file, &changed).is_err(), "byte {at}");
            assert!(SegmentHeader::decode(file, &bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn only_segment_names_are_segments() {
        assert_eq!(segment_number("00000000000000000012.log"), Some(12));
        for other in ["12.log", "00000000000000000012.new", "LOCK", "settled", "0000000000000000001x.log"] {
            assert_eq!(segment_number(other), None, "{other}");
        }
    }
}
