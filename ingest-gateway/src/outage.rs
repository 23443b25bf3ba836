//! What an outage leaves in the log: each refused request would be a line, and thousands a second bury what else there is.

use std::time::Duration;

use parking_lot::Mutex;

/// So far apart are lines that say the same.
const EVERY: Duration = Duration::from_secs(10);

/// Which of many alike get a line of their own.
#[derive(Debug)]
pub(crate) struct OutageLog(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The monotonic clock when the last line was written, in milliseconds, while that is not long ago.
    last_ms: Option<u64>,
    left_out: u64,
}

impl OutageLog {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(State { last_ms: None, left_out: 0 }))
    }

    /// Counts an answer; whether it gets a line.
    pub(crate) fn takes(&self, now_ms: u64) -> bool {
        let mut state = self.0.lock();
        let is_another = |last_ms| Duration::from_millis(now_ms.saturating_sub(last_ms)) >= 2 * EVERY;
        if state.last_ms.is_some_and(is_another) {
            // Nobody has asked for long: that outage is over, and its count of no use any more.
            *state = State { last_ms: None, left_out: 0 };
        }
        if state.last_ms.is_some() {
            state.left_out += 1;
            return false;
        }
        state.last_ms = Some(now_ms);
        true
    }

    /// How many got none since the last line, once it is time to say so. To be asked again and again.
    pub(crate) fn left_out(&self, now_ms: u64) -> Option<u64> {
        let mut state = self.0.lock();
        let since = Duration::from_millis(now_ms.saturating_sub(state.last_ms?));
        if since < EVERY {
            return None;
        }
        let left_out = std::mem::take(&mut state.left_out);
        state.last_ms = (left_out > 0).then_some(now_ms);
        (left_out > 0).then_some(left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_has_a_line_and_the_others_one_in_ten_seconds() {
        let log = OutageLog::new();
        assert_eq!(log.left_out(0), None);
        assert!(log.takes(1_000));
        assert!((0..500).all(|_| !log.takes(2_000)));
        assert_eq!(log.left_out(10_999), None);
        assert_eq!(log.left_out(11_000), Some(500));
        assert!(!log.takes(12_000));
        assert_eq!(log.left_out(21_500), Some(1));
        assert_eq!(log.left_out(31_500), None, "it is over");
        assert!(log.takes(40_000), "and the next begins with a line again");
        assert!(!log.takes(41_000));
        assert!(log.takes(90_000), "also where nobody asked in between");
        assert_eq!(log.left_out(90_001), None, "and what was left out then is not told now");
    }
}
