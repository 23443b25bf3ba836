//! The scenario's time: it goes faster than the machine's, and the stand-in goes by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ronda_runtime::Clock;

/// Midnight at the beginning of 24 November 2026 in Jakarta.
pub(crate) const MIDNIGHT_MS: u64 = 1_795_453_200_000;

/// See the module. Clones go together.
#[derive(Clone, Debug)]
pub(crate) struct Fast(Arc<Time>);

#[derive(Debug)]
struct Time {
    begun: Instant,
    begin_ms: u64,
    speed: u64,
    skipped_ms: AtomicU64,
}

impl Fast {
    /// So many times as fast as the machine's, and it begins here.
    pub(crate) fn new(begin_ms: u64, speed: u64) -> Self {
        Self(Arc::new(Time { begun: Instant::now(), begin_ms, speed, skipped_ms: AtomicU64::new(0) }))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.0.begin_ms + self.mono_millis()
    }

    /// It is this time now: what lies between goes by unseen.
    pub(crate) fn skip_to(&self, at_ms: u64) {
        let millis = at_ms.checked_sub(self.now_ms()).expect("no clock goes back");
        self.0.skipped_ms.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for Fast {
    fn wall_millis(&self) -> i64 {
        i64::try_from(self.now_ms()).unwrap()
    }

    fn mono_millis(&self) -> u64 {
        let micros = u64::try_from(self.0.begun.elapsed().as_micros()).unwrap();
        micros * self.0.speed / 1_000 + self.0.skipped_ms.load(Ordering::Relaxed)
    }
}
