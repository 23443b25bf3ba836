//! Problems that only the way in answers with, and what errors of the ports become.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ronda_store::error::{StoreError, StoreErrorKind};
use tracing::{debug, error, warn};

use crate::outage::OutageLog;
use crate::problem::{Kind, Problem};
use crate::publisher::SubmitError;

/// How long one request may wait for the store.
pub(crate) const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a report waits before that is noted, and noted again.
const NOTED_EVERY: Duration = Duration::from_secs(1);
/// When to try again a write that the queue did not take, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// A body that did not come in time.
pub(crate) fn body_timeout() -> Problem {
    Problem::new(Kind::RequestTimeout, "The body did not come in time.")
}

/// A body that broke off.
pub(crate) fn body_broken() -> Problem {
    Problem::new(Kind::InvalidJson, "The body ended before its announced length, or is wrongly framed.")
}

/// A header that is not what it should be.
pub(crate) fn invalid_header(detail: &'static str) -> Problem {
    Problem::new(Kind::InvalidHeader, detail)
}

/// A command that was not made durable.
pub(crate) fn submit(error: &SubmitError) -> Problem {
    match error {
        SubmitError::Starting => Problem::new(
            Kind::QueueUnavailable,
            "The gateway is starting and takes no writes yet; nothing of this request was taken.",
        )
        .retry_after(RETRY_AFTER_SECONDS),
        SubmitError::Away => Problem::queue_away(RETRY_AFTER_SECONDS),
        SubmitError::Unconfirmed => Problem::queue_unavailable(RETRY_AFTER_SECONDS),
        SubmitError::Full => Problem::overloaded(),
        SubmitError::Closed => {
            Problem::new(Kind::ShuttingDown, "The gateway is shutting down; send the request again, to another one.")
                .retry_after(RETRY_AFTER_SECONDS)
        }
        SubmitError::Encoding(error) => {
            error!(%error, "a checked command could not be encoded");
            internal()
        }
    }
}

/// The store could not do what was asked.
pub(crate) fn store(error: &StoreError) -> Problem {
    tell_store(error);
    match error.kind {
        StoreErrorKind::Full => Problem::store_full(),
        StoreErrorKind::Unreadable => Problem::store_unreadable(),
        StoreErrorKind::Invalid => internal(),
        _ => Problem::store_unavailable(),
    }
}

/// In an outage every request meets the same.
fn tell_store(error: &StoreError) {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    static LOG: OutageLog = OutageLog::new();
    let now_ms = u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX);
    // Asked before what was left out is told, so that a new outage begins with its own reason.
    if LOG.takes(now_ms) {
        warn!(%error, "a request could not be answered because the store failed");
    } else {
        debug!(%error, "a request could not be answered because the store failed");
    }
    if let Some(requests) = LOG.left_out(now_ms) {
        warn!(requests, %error, "as many more requests could not be answered because the store failed; the last reason");
    }
}

/// One question to the store, in bounded time. A write that took longer may be carried out all the same.
pub(crate) async fn in_time<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(STORE_TIMEOUT, asked).await.unwrap_or_else(|_| {
        let message = format!("the store did not answer within {} s", STORE_TIMEOUT.as_secs());
        Err(StoreError::new(StoreErrorKind::Unavailable, message))
    })
}

/// Waits on behalf of a report, and has it noted every second that there is one: it is in no frame yet, and whoever sent it may have given up by the
/// time it is answered, so that silence must not be judged meanwhile.
pub(crate) async fn noted<T>(asked: impl Future<Output = T>, note: impl Fn()) -> T {
    let mut asked = std::pin::pin!(asked);
    loop {
        match tokio::time::timeout(NOTED_EVERY, &mut asked).await {
            Ok(answer) => return answer,
            Err(_) => note(),
        }
    }
}

/// Our own mistake.
pub(crate) fn internal() -> Problem {
    Problem::new(Kind::Internal, "The mistake was logged under this request's id; if it stays, tell us that id.")
}
