//! The stand-in's time: the machine's, or one that a test moves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What time it is in the stand-in, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// Where it stands still; `None`: it goes as the machine's does.
    frozen_at: Option<u64>,
    ahead: u64,
}

impl Clock {
    /// A clock that moves only when it is told to.
    pub(crate) fn frozen(at_ms: u64) -> Self {
        Self { frozen_at: Some(at_ms.saturating_mul(1_000)), ahead: 0 }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.ahead = self.ahead.saturating_add(micros(by));
    }

    pub(crate) fn now_micros(self) -> u64 {
        let machine = || micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        self.frozen_at.unwrap_or_else(machine).saturating_add(self.ahead)
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
