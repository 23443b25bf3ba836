//! One process a directory: an advisory lock that the system releases however the process ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::options::OpenError;

/// Holds a queue directory for as long as it lives.
#[derive(Debug)]
pub(super) struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock or says who has it.
    pub(super) fn take(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join("LOCK");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(OpenError::io("can't open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut owner = String::new();
                // Only for the message: without it the refusal is as right.
                let _ = Read::by_ref(&mut file).take(20).read_to_string(&mut owner);
                let owner = owner.trim().parse::<u32>().map_or(String::new(), |pid| format!(" (pid {pid})"));
                return Err(OpenError::Locked { dir: dir.to_owned(), owner });
            }
            Err(error) => return Err(OpenError::io("can't lock", &path)(error.into())),
        }
        // The lock is the promise; the number in the file is a courtesy to whoever is refused.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { _file: file })
    }
}
