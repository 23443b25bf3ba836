//! A file read from its beginning to its end a stretch at a time, so that checking a log takes no memory that grows with it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes read at once, and more only for a larger record; also more than any segment's header has.
pub(super) const STRETCH_BYTES: usize = 1 << 20;

/// A file and the stretch of it that was read last.
pub(super) struct Stretches<'a> {
    file: &'a File,
    length: u64,
    /// Where the stretch begins in the file.
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Stretches<'a> {
    pub(super) fn new(file: &'a File) -> io::Result<Self> {
        Ok(Self { file, length: file.metadata()?.len(), start: 0, bytes: Vec::new() })
    }

    /// Bytes of the whole file.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// So many bytes from a place on; fewer where the file ends before.
    pub(super) fn at(&mut self, offset: u64, count: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = count.min(left);
        let held = offset.checked_sub(self.start).and_then(|skipped| usize::try_from(skipped).ok());
        let held = held.filter(|skipped| skipped.checked_add(count).is_some_and(|end| end <= self.bytes.len()));
        let skipped = match held {
            Some(skipped) => skipped,
            None => {
                self.bytes.resize(count.max(STRETCH_BYTES.min(left)), 0);
                self.start = offset;
                self.file.read_exact_at(&mut self.bytes, offset)?;
                0
            }
        };
        Ok(self.bytes.get(skipped..skipped + count).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_reads_as_it_is_in_the_file_and_the_end_is_cut() {
        let content: Vec<u8> = (0..3 * STRETCH_BYTES as u64 + 17).map(|n| (n % 251) as u8).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, &content).unwrap();
        let file = File::open(&path).unwrap();
        let mut stretches = Stretches::new(&file).unwrap();
        assert_eq!(stretches.length(), content.len() as u64);
        let places = [(0, 28), (28, 5), (STRETCH_BYTES - 3, 9), (STRETCH_BYTES - 3, 2 * STRETCH_BYTES), (40, 1)];
        for (offset, count) in places {
            assert_eq!(stretches.at(offset as u64, count).unwrap(), &content[offset..offset + count], "{offset}");
        }
        let end = content.len();
        assert_eq!(stretches.at(end as u64 - 4, 28).unwrap(), &content[end - 4..]);
        assert!(stretches.at(end as u64 + 1, 28).unwrap().is_empty());
    }
}
