//! Clean-up of what is kept for a time only: driven by a partition's clock, in small steps, beside the commits.
//!
//! What is removed is gone, and the clock can be wrong: a gateway's wall clock set a year ahead takes it along. So the clock has to
//! run along with this process's own time before it is believed.

use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_store::port::Retention;
use tokio::sync::watch;

use super::pause::Stopwatch;
use super::{pause, telemetry};

/// The clock has to come this far between two clean-ups, in milliseconds.
const EVERY_MS: i64 = 3_600_000;
/// A clock that came further than this beyond our own time jumped, in milliseconds.
const JUMP_MS: i64 = 3_600_000;
/// After a jump it has to run along with our own time for so long, in milliseconds: a day, for somebody to put it right.
const DOUBT_MS: i64 = 86_400_000;
/// Wait between two steps, so that commits come first.
const BETWEEN: Duration = Duration::from_millis(20);

/// When to clean up.
#[derive(Default)]
struct Pace {
    /// The clock at the last clean-up, at the start, or after its last jump.
    since: Option<Timestamp>,
    is_doubted: bool,
}

/// What a look at the clock comes to.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// It is not time yet.
    Wait,
    /// It is time.
    CleanUp,
    /// The clock jumped: it is not believed for a while.
    Jumped,
}

impl Pace {
    /// Looks at the clock, and at how long ago by our own time `since` was; anything but `Wait` begins that time anew.
    fn look(&mut self, clock: Timestamp, own_ms: i64) -> Look {
        let Some(since) = self.since else {
            self.since = Some(clock);
            return Look::Wait;
        };
        let clock_ms = clock.millis_since(since);
        if clock_ms.saturating_sub(own_ms) > JUMP_MS {
            self.since = Some(clock);
            self.is_doubted = true;
            return Look::Jumped;
        }
        if clock_ms < if self.is_doubted { DOUBT_MS } else { EVERY_MS } {
            return Look::Wait;
        }
        self.since = Some(clock);
        self.is_doubted = false;
        Look::CleanUp
    }
}

/// Cleans up once an hour of the clock, first an hour after the start; ends when the clock's sender is gone. With 0 seconds all history
/// stays, and only what is kept for a fixed time goes.
pub(super) async fn run<S: Retention + ?Sized>(
    store: &S,
    mut clock: watch::Receiver<Timestamp>,
    keep_seconds: u32,
    entries: usize,
) {
    let mut pace = Pace::default();
    let mut own = Stopwatch::start();
    while clock.changed().await.is_ok() {
        let now = *clock.borrow_and_update();
        let was_doubted = pace.is_doubted;
        let own_ms = i64::try_from(own.elapsed().as_millis()).unwrap_or(i64::MAX);
        match pace.look(now, own_ms) {
            Look::Wait => continue,
            Look::Jumped if was_doubted => own = Stopwatch::start(),
            Look::Jumped => {
                own = Stopwatch::start();
                tracing::warn!(
                    clock_ms = now.as_millis(),
                    "the clock ran ahead of this process's own time: no history is removed until it has run along for a day"
                );
            }
            Look::CleanUp => {
                own = Stopwatch::start();
                let before = if keep_seconds == 0 { Timestamp::MIN } else { now.minus_seconds(keep_seconds) };
                if let Err(error) = clean_up(store, before, entries).await {
                    tracing::warn!(error = %error, "old history could not be removed; it will be tried again in an hour");
                }
            }
        }
    }
}

async fn clean_up<S: Retention + ?Sized>(
    store: &S,
    before: Timestamp,
    entries: usize,
) -> Result<(), ronda_store::error::StoreError> {
    let mut resume = None;
    loop {
        let purged = store.purge(before, resume, entries).await?;
        telemetry::purged(purged.removed);
        resume = purged.next;
        if resume.is_none() {
            return Ok(());
        }
        pause::sleep(BETWEEN).await;
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use parking_lot::Mutex;
    use ronda_store::error::StoreError;
    use ronda_store::port::{PurgeCursor, Purged};

    use super::*;

    #[derive(Default)]
    struct Asked(Mutex<Vec<Timestamp>>);

    #[async_trait]
    impl Retention for Asked {
        async fn purge(&self, before: Timestamp, _: Option<PurgeCursor>, _: usize) -> Result<Purged, StoreError> {
            self.0.lock().push(before);
            Ok(Purged { removed: 0, next: None })
        }
    }

    const HOUR_MS: i64 = 3_600_000;

    async fn asked(keep_seconds: u32, clocks_ms: &[i64]) -> Vec<Timestamp> {
        let store = Asked::default();
        let (clock, seen) = watch::channel(Timestamp::MIN);
        let told = async move {
            for at in clocks_ms {
                clock.send_replace(Timestamp::from_millis(*at));
                // Twice: the two take turns in being first.
                tokio::task::yield_now().await;
                tokio::task::yield_now().await;
            }
        };
        tokio::join!(run(&store, seen, keep_seconds, 10), told);
        store.0.into_inner()
    }

    #[tokio::test]
    async fn what_is_kept_for_a_fixed_time_goes_even_when_history_is_kept_for_ever() {
        let clocks = [10_000_000, 10_000_000 + HOUR_MS];
        assert_eq!(asked(0, &clocks).await, [Timestamp::MIN]);
        assert_eq!(asked(1_000, &clocks).await, [Timestamp::from_millis(9_000_000 + HOUR_MS)]);
    }

    #[tokio::test]
    async fn a_clock_that_jumped_removes_nothing() {
        let year_ms = 365 * 24 * HOUR_MS;
        assert!(asked(1_000, &[10_000_000, year_ms, year_ms + HOUR_MS]).await.is_empty());
    }

    #[test]
    fn a_clock_that_jumped_is_believed_once_it_has_run_along_for_a_day() {
        let at = |hours: i64| Timestamp::from_millis(hours * HOUR_MS);
        let mut pace = Pace::default();
        assert_eq!(pace.look(at(0), 0), Look::Wait, "a start waits for an hour");
        assert_eq!(pace.look(at(1), HOUR_MS), Look::CleanUp);
        assert_eq!(pace.look(at(10_000), HOUR_MS), Look::Jumped);
        for hours in 1..24 {
            assert_eq!(pace.look(at(10_000 + hours), hours * HOUR_MS), Look::Wait);
        }
        assert_eq!(pace.look(at(10_024), 24 * HOUR_MS), Look::CleanUp);
        assert_eq!(pace.look(at(10_025), HOUR_MS), Look::CleanUp);
        assert_eq!(pace.look(at(10_025), 50 * HOUR_MS), Look::Wait, "a clock that stands still removes nothing");
    }
}
