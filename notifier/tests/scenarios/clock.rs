//! The scenario's time: it goes faster than the machine's, and the stand-in goes by it.

use std::time::Instant;

use ronda_runtime::Clock;

/// How much faster.
pub(crate) const SPEED: u64 = 10;
/// 01:04 on 24 November 2026 in Jakarta.
const BEGIN_MS: u64 = 1_795_457_040_000;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Fast(Instant);

impl Fast {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_ms(&self) -> u64 {
        BEGIN_MS + self.mono_millis()
    }
}

impl Clock for Fast {
    fn wall_millis(&self) -> i64 {
        i64::try_from(self.now_ms()).unwrap()
    }

    fn mono_millis(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap() * SPEED
    }
}
