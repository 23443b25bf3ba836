//! When frames may go out: all partitions on one beat, so that the queue makes them durable together.

use std::time::Duration;

use tokio::time::Instant;

/// A beat that all senders share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beat {
    origin: Instant,
    linger: Duration,
}

impl Beat {
    /// A beat of this period; zero: none.
    pub(super) fn new(linger: Duration) -> Self {
        Self { origin: Instant::now(), linger }
    }

    /// When a frame may follow one that was closed at this time: at once after a pause, else with the next beat. `None`: now.
    pub(super) fn after(&self, closed: Instant, now: Instant) -> Option<Instant> {
        if now.saturating_duration_since(closed) >= self.linger {
            return None;
        }
        let into_beat = closed.saturating_duration_since(self.origin).as_nanos() % self.linger.as_nanos();
        let left = self.linger.saturating_sub(Duration::from_nanos(u64::try_from(into_beat).unwrap_or(0)));
        Some(closed + left).filter(|next| now < *next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_under_load_share_a_beat_and_the_first_after_a_pause_goes_at_once() {
        let beat = Beat::new(Duration::from_millis(4));
        let at = |micros: u64| beat.origin + Duration::from_micros(micros);
        assert_eq!(beat.after(at(1_000), at(1_100)), Some(at(4_000)));
        assert_eq!(beat.after(at(3_000), at(3_900)), Some(at(4_000)), "another partition's goes with it");
        assert_eq!(beat.after(at(4_000), at(4_001)), Some(at(8_000)));
        assert_eq!(beat.after(at(3_000), at(4_500)), None, "the beat has come");
        assert_eq!(beat.after(at(1_000), at(9_000)), None, "a pause");
        assert_eq!(Beat::new(Duration::ZERO).after(at(1), at(1)), None);
    }
}
