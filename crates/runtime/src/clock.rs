//! Clocks: the one place where the time of day and the passing of time come into the program.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time. Passed in wherever time is needed, so that tests drive it.
pub trait Clock: Send + Sync + 'static {
    /// Wall clock: milliseconds since 1970-01-01T00:00:00Z. May be stepped in either direction.
    fn wall_millis(&self) -> i64;

    /// Monotonic clock: milliseconds since some fixed point of this process. Never goes back.
    fn mono_millis(&self) -> u64;
}

/// The machine's clocks.
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall_millis(&self) -> i64 {
        // A machine set to before 1970 counts backwards, as the timestamps do.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |millis| -millis),
        }
    }

    fn mono_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug, Default)]
pub struct ManualClock {
    wall: AtomicI64,
    mono: AtomicU64,
}

impl ManualClock {
    /// A clock that stands at this wall time, with its monotonic time at 0.
    #[must_use]
    pub fn at(wall_millis: i64) -> Self {
        Self { wall: AtomicI64::new(wall_millis), mono: AtomicU64::new(0) }
    }

    /// Sets the wall clock alone: a step, not time that passes.
    pub fn set(&self, wall_millis: i64) {
        self.wall.store(wall_millis, Ordering::SeqCst);
    }

    /// Lets so many milliseconds pass, on both clocks.
    pub fn advance(&self, millis: u64) {
        self.mono.fetch_add(millis, Ordering::SeqCst);
        self.wall.fetch_add(i64::try_from(millis).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall_millis(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    fn mono_millis(&self) -> u64 {
        self.mono.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_tells_a_time_after_this_was_written_and_never_goes_back() {
        let clock = SystemClock::new();
        assert!(clock.wall_millis() > 1_700_000_000_000);
        let first = clock.mono_millis();
        assert!(clock.mono_millis() >= first);
    }

    #[test]
    fn a_manual_clock_passes_time_on_both_and_steps_only_the_wall() {
        let clock = ManualClock::at(1_000);
        clock.advance(500);
        assert_eq!((clock.wall_millis(), clock.mono_millis()), (1_500, 500));
        clock.set(0);
        assert_eq!((clock.wall_millis(), clock.mono_millis()), (0, 500));
    }
}
