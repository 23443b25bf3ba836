//! The number of the last commit, kept beside the engine.
//!
//! The engine's recovery takes the first bytes of a journal that it can't read for a write that the crash interrupted, and goes on
//! without what follows. That is right for the last write and wrong for a damaged disk, where confirmed commits follow. So each commit's
//! number is also written, without waiting for the disk, to a file of its own: it survives a killed process always and a lost machine
//! mostly, and an engine that comes back with a smaller number has lost commits.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::fault::RESTORE;
use crate::error::{StoreError, StoreErrorKind};

const NAME: &str = "last-commit";

pub(super) struct Witness {
    file: File,
    path: PathBuf,
}

impl Witness {
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(NAME);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|error| failed(&path, error))?;
        Ok(Self { file, path })
    }

    /// Refuses an engine that has lost commits.
    pub(super) fn check(&self, sequence: u64) -> Result<(), StoreError> {
        let Some(last) = self.read() else { return Ok(()) };
        if sequence >= last {
            return Ok(());
        }
        let path = self.path.display();
        Err(StoreError::new(
            StoreErrorKind::Unreadable,
            format!(
                "the store ends at commit {sequence}, but {path} says that commit {last} was confirmed: a journal beside it is damaged \
                 or a part of the directory is older than the rest; {RESTORE}, or remove {path} to go on without the lost commits"
            ),
        ))
    }

    /// `None`: nothing was written yet, or a lost machine left half of it; then there is nothing to compare with.
    fn read(&self) -> Option<u64> {
        let mut bytes = [0; 16];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let (number, check) = bytes.split_at(8);
        let number = u64::from_be_bytes(number.try_into().ok()?);
        (check == (!number).to_be_bytes()).then_some(number)
    }

    /// Notes a commit. A failure only costs the check, so it is told and not passed on.
    pub(super) fn note(&self, sequence: u64) {
        let bytes = [sequence.to_be_bytes(), (!sequence).to_be_bytes()].concat();
        if let Err(error) = self.file.write_all_at(&bytes, 0) {
            tracing::warn!(%error, file = %self.path.display(), "the last commit's number could not be noted");
        }
    }
}

fn failed(path: &Path, error: std::io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("{}: {error}", path.display())).caused_by(error)
}
