//! What the operator does to a data directory: through the process that owns it, or on its parts when nothing runs.
//!
//! While `up` runs, queues and store are its own, so it serves these operations on a Unix socket in the data directory
//! ([`socket`]). Who may open that socket may do them all: the file's permission (0600) is the authorisation.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use ronda_host::exit::{Code, Failure};
use ronda_host::parts::NotOpened;

pub mod named;
mod not_done;
pub mod socket;

pub use named::Named;
pub use not_done::NotDone;

/// Pause between two attempts.
const AGAIN: Duration = Duration::from_millis(50);

/// Who can do it.
pub enum Reached<A, P> {
    /// The process that owns the directory did, and gave this answer.
    Running(A),
    /// Nobody runs: this is the part, opened.
    Opened(P),
}

/// Asks the process that owns a data directory, or opens the part. Waits a moment while neither is possible: another command has
/// the part open, or `up` has and does not listen yet.
///
/// # Errors
/// What the process has against it, or why the part can't be opened.
pub async fn reach<A: DeserializeOwned, P>(
    data: &Path,
    operation: &str,
    named: &Named,
    request: &impl Serialize,
    open: impl Fn() -> Result<P, NotOpened>,
) -> Result<Reached<A, P>, Failure> {
    let deadline = Instant::now() + ronda_host::parts::LOCK_WAIT;
    loop {
        if let Some(answer) = socket::ask(data, operation, named, request).await? {
            return Ok(Reached::Running(answer));
        }
        match open() {
            Ok(part) => return Ok(Reached::Opened(part)),
            Err(refusal) if refusal.is_locked && Instant::now() < deadline => tokio::time::sleep(AGAIN).await,
            Err(refusal) => return Err(refusal.failure),
        }
    }
}

/// An answer for `--json`: as it came through the socket, without the tag that says which answer it is.
///
/// # Errors
/// When it can't be written as JSON.
pub fn as_json(answer: &impl Serialize) -> Result<String, Failure> {
    let mut value = serde_json::to_value(answer).map_err(|error| Failure::other(error.to_string()))?;
    if let Some(object) = value.as_object_mut() {
        object.remove("answer");
    }
    Ok(format!("{value:#}\n"))
}

/// The refusal where only a running process could answer.
#[must_use]
pub fn not_running(data: &Path) -> NotOpened {
    let what = format!("'ronda up' does not run on {} (--data), so nobody works on any partition", data.display());
    NotOpened { failure: Failure::new(Code::Refused, what), is_locked: false }
}

/// The refusal of a directory in which nothing of Ronda's is.
#[must_use]
pub fn no_data(data: &Path) -> NotOpened {
    let what = format!("there is no data of Ronda in {}; give the directory of 'ronda up' (--data)", data.display());
    NotOpened { failure: Failure::new(Code::Data, what), is_locked: false }
}
