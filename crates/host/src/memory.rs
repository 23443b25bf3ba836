//! Where a store keeps what it belongs to: in small files beside the embedded one, or in a server's labels.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ronda_store::port::Store;

use crate::exit::{Code, Failure, chain};

/// The memory of one store.
pub(crate) enum Memory {
    /// Files of this directory.
    Files(PathBuf),
    /// Labels of the store, whose name for people this is.
    Labels(Arc<dyn Store>, String),
}

impl Memory {
    /// What is kept under a name.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<String>, Failure> {
        match self {
            Self::Files(directory) => read_file(&directory.join(name)),
            Self::Labels(store, place) => store.label(name).await.map_err(|error| unusable(place, &error)),
        }
    }

    /// Keeps a text in the place of what was read. Somebody else may have been faster: who writes reads again.
    pub(crate) async fn write(&self, name: &str, read: Option<&str>, text: &str) -> Result<(), Failure> {
        match self {
            Self::Files(directory) => write_file(directory, name, text),
            Self::Labels(store, place) => {
                store.put_label(name, read, text).await.map(drop).map_err(|error| unusable(place, &error))
            }
        }
    }

    /// For people: the store, and how to make it forget a name.
    pub(crate) fn forget(&self, name: &str) -> String {
        match self {
            Self::Files(directory) => format!("remove {}", directory.join(name).display()),
            Self::Labels(..) => format!("remove its label {name:?} (docs/stores.md says how)"),
        }
    }
}

impl std::fmt::Display for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Files(directory) => write!(f, "{}", directory.display()),
            Self::Labels(_, place) => write!(f, "the store {place}"),
        }
    }
}

fn unusable(place: &str, error: &ronda_store::error::StoreError) -> Failure {
    Failure::new(Code::Store, format!("the store {place} can't be used: {}", chain(error)))
}

/// The text of a small file, if it is there.
pub(crate) fn read_file(file: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failed(file, &error)),
    }
}

/// Writes a small file: durable, and whole or not there.
pub(crate) fn write_file(place: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let written = || {
        let making = place.join(format!("{name}.new"));
        let mut file = File::create(&making)?;
        file.write_all(format!("{text}\n").as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&making, place.join(name))?;
        File::open(place)?.sync_all()
    };
    written().map_err(|error| failed(&place.join(name), &error))
}

fn failed(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::Data, format!("{}: {error}", file.display()))
}
