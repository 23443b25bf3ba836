//! Retries: exponential, jittered, bounded.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

pub use backon::{BackoffBuilder, ExponentialBuilder, Retryable};

/// A policy that waits `first`, then twice as long each time up to `longest`, each wait stretched by a random part of
/// itself so that many who failed together do not come back together; gives up after `retries` retries.
///
/// Use it as `operation.retry(policy(…)).when(|error| error.retryable).await`.
#[must_use]
pub fn policy(first: Duration, longest: Duration, retries: usize) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_factor(2.0)
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_max_times(retries)
        .with_jitter()
        // The library's own generator begins the same in every process.
        .with_jitter_seed(random())
}

/// Another number each time, as the standard library seeds its maps: no secret.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_failed_together_does_not_come_back_together() {
        let waits = || policy(Duration::from_secs(1), Duration::from_secs(60), 5).build().collect::<Vec<_>>();
        assert_ne!(waits(), waits());
    }

    #[test]
    fn waits_grow_stay_bounded_and_end() {
        let longest = Duration::from_millis(400);
        let waits: Vec<_> = policy(Duration::from_millis(100), longest, 6).build().collect();
        assert_eq!(waits.len(), 6);
        assert!(waits[0] >= Duration::from_millis(100));
        // The jitter adds at most the wait itself.
        assert!(waits.iter().all(|wait| *wait <= longest * 2), "{waits:?}");
    }
}
