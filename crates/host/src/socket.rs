//! The socket on which a process that owns a data directory listens: `DATA/admin.sock`. What can be asked there is the binary's.

use std::path::{Path, PathBuf};

/// Where the socket of a data directory is.
#[must_use]
pub fn path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// Whether a process owns the data directory and listens.
pub async fn is_alive(data: &Path) -> bool {
    tokio::net::UnixStream::connect(path(data)).await.is_ok()
}

/// The process that owns the data directory and listens, by its id.
pub async fn owner(data: &Path) -> Option<i32> {
    tokio::net::UnixStream::connect(path(data)).await.ok()?.peer_cred().ok()?.pid()
}
