//! How soon the next connection may be opened.

use std::time::Duration;

use ronda_runtime::retry::{BackoffBuilder, ExponentialBuilder, policy};

/// How long to wait before the next attempt, at first and at most; each wait is stretched by chance, so that many gateways do not come at once.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a connection has to live until all that failed before it is forgotten. A hello alone says nothing: one that ends right after it,
/// again and again, would be made anew as fast as the network allows.
const LONG_ENOUGH: Duration = Duration::from_secs(60);

/// Grows with every connection that did not live.
pub(super) struct Brake(<ExponentialBuilder as BackoffBuilder>::Backoff);

impl Brake {
    pub(super) fn new() -> Self {
        Self(policy(FIRST_PAUSE, LONGEST_PAUSE, usize::MAX).build())
    }

    /// How long to wait after a connection that lived so long; zero: it was never made.
    pub(super) fn after(&mut self, lived: Duration) -> Duration {
        if lived >= LONG_ENOUGH {
            *self = Self::new();
        }
        self.0.next().unwrap_or(LONGEST_PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_does_not_live_is_made_ever_less_often_and_one_that_lived_at_once() {
        let mut brake = Brake::new();
        let first: Vec<Duration> = (0..12).map(|_| brake.after(Duration::from_secs(1))).collect();
        assert!(first[0] < 2 * FIRST_PAUSE, "{first:?}");
        assert!(first[8..].iter().all(|pause| (LONGEST_PAUSE..=2 * LONGEST_PAUSE).contains(pause)), "{first:?}");
        assert!(first.iter().zip(&first[1..]).all(|(one, next)| *next >= (*one / 2).min(LONGEST_PAUSE)), "{first:?}");
        assert!(brake.after(LONG_ENOUGH) < 2 * FIRST_PAUSE, "all is forgotten");
    }

    #[test]
    fn two_gateways_do_not_come_at_the_same_moment() {
        let pauses = |mut brake: Brake| -> Vec<Duration> { (0..6).map(|_| brake.after(Duration::ZERO)).collect() };
        assert_ne!(pauses(Brake::new()), pauses(Brake::new()));
    }
}
