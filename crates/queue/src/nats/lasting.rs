//! What fails again and again: when it is to be told.

use std::time::Duration;

use tokio::time::Instant;

/// What may pass by itself is told when it has lasted for so long.
const TOLD_AFTER: Duration = Duration::from_secs(60);
/// And then again.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Failures of one thing in a row.
#[derive(Default)]
pub(super) struct Lasting {
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Lasting {
    /// It failed. Answers for how long it has, if that is to be told.
    pub(super) fn failed(&mut self, may_pass: bool) -> Option<Duration> {
        let now = Instant::now();
        let lasted = now - *self.since.get_or_insert(now);
        let is_due = match self.told {
            Some(told) => now - told >= TOLD_EVERY,
            None => !may_pass || lasted >= TOLD_AFTER,
        };
        is_due.then(|| {
            self.told = Some(now);
            lasted
        })
    }

    /// For how long it has failed; zero: it works.
    pub(super) fn lasted(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// It worked. Answers whether it was told that it did not.
    pub(super) fn worked(&mut self) -> bool {
        std::mem::take(self).told.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_told_after_a_minute_and_what_stays_at_once() {
        let mut lasting = Lasting::default();
        assert_eq!(lasting.failed(true), None);
        tokio::time::advance(TOLD_AFTER).await;
        assert_eq!(lasting.failed(true), Some(TOLD_AFTER));
        assert_eq!(lasting.failed(false), None, "just told");
        assert_eq!(lasting.lasted(), TOLD_AFTER);
        tokio::time::advance(TOLD_EVERY).await;
        assert!(lasting.failed(true).is_some());
        assert!(lasting.worked() && !lasting.worked());
        assert_eq!(lasting.lasted(), Duration::ZERO);
        assert_eq!(lasting.failed(true), None, "anew");
        assert!(lasting.failed(false).is_some());
    }
}
