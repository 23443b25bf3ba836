//! What the writer does to a segment file, and asks of its disk. A trait, so that tests can make them fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// File operations of the writer.
pub(super) trait Disk: Send + 'static {
    /// Writes all bytes at an offset.
    fn write(&mut self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written durable.
    fn sync(&mut self, file: &File) -> io::Result<()>;
    /// Makes the file end at an offset.
    fn truncate(&mut self, file: &File, length: u64) -> io::Result<()>;
    /// How many bytes are free on the disk of a directory.
    fn free(&mut self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// The file system.
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn write(&mut self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn truncate(&mut self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }
}
