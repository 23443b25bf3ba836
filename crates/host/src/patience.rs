//! Servers that are away at a start: they are waited for, for a bounded time.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::exit::chain;

/// How long a server that is away is waited for.
pub(crate) const START_WITHIN: Duration = Duration::from_secs(30);
/// Longest pause between two attempts.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// Does something with the server at a place, and again for as long as it is only away: `pause` says of an error how long to wait before that makes
/// sense, and `no_answer` what a silence is.
///
/// # Errors
/// The last one.
pub(crate) async fn patiently<T, E, F>(
    place: &str,
    attempt: impl Fn() -> F,
    pause: impl Fn(&E) -> Option<Duration>,
    no_answer: impl Fn() -> E,
) -> Result<T, E>
where
    E: std::error::Error,
    F: Future<Output = Result<T, E>>,
{
    let deadline = Instant::now() + START_WITHIN;
    let mut was_told = false;
    loop {
        let error = match timeout_at(deadline, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error,
            Err(_) => no_answer(),
        };
        let Some(pause) = pause(&error).filter(|_| Instant::now() + PAUSE <= deadline) else { return Err(error) };
        if !was_told {
            let (reason, within) = (chain(&error), START_WITHIN.as_secs());
            tracing::warn!(reason, "{place} can't be reached yet; it is tried again for up to {within} s");
            was_told = true;
        }
        sleep(pause.min(PAUSE)).await;
    }
}
