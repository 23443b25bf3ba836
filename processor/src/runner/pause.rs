//! The one place of this crate that waits or measures. Nothing here decides what is true of a scheduler.
#![allow(
    clippy::disallowed_methods,
    reason = "waiting between retries and measuring commits; no judgement comes from it"
)]

use std::time::{Duration, Instant};

use ronda_runtime::CancellationToken;

/// Waits; `false` if it was cancelled first.
pub(super) async fn pause(duration: Duration, cancel: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(duration) => true,
    }
}

/// Waits.
pub(super) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Measures, for metrics and for pacing.
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    pub(super) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// Waits that double from one to another bound.
pub(super) struct Backoff {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, first, longest }
    }

    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits as long as it is time for, or as the backend asked for if that is longer; `false` if it was cancelled first. Up to a quarter less
    /// is left to chance, lest all that met the same outage come back at the same moments.
    pub(super) async fn wait(&mut self, asked: Option<Duration>, cancel: &CancellationToken) -> bool {
        let early = 1.0 - fastrand::f64() / 4.0;
        let wait = self.next.mul_f64(early).max(asked.unwrap_or_default()).min(self.longest);
        self.next = (self.next * 2).min(self.longest);
        pause(wait, cancel).await
    }
}
