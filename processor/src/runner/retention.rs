//! Clean-up of what is kept for a time only: driven by a partition's clock, in small steps, beside the commits.

use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_store::port::Retention;
use tokio::sync::watch;

use super::{pause, telemetry};

/// The clock has to come this far between two clean-ups, in milliseconds.
const EVERY_MS: i64 = 3_600_000;
/// Wait between two steps, so that commits come first.
const BETWEEN: Duration = Duration::from_millis(20);

/// Cleans up once an hour of the clock; ends when the clock's sender is gone. With 0 seconds all history stays, and only what is kept for
/// a fixed time goes.
pub(super) async fn run<S: Retention + ?Sized>(
    store: &S,
    mut clock: watch::Receiver<Timestamp>,
    keep_seconds: u32,
    entries: usize,
) {
    let mut last = Timestamp::MIN;
    while clock.changed().await.is_ok() {
        let now = *clock.borrow_and_update();
        if now.millis_since(last) < EVERY_MS {
            continue;
        }
        last = now;
        let before = if keep_seconds == 0 { Timestamp::MIN } else { now.minus_seconds(keep_seconds) };
        if let Err(error) = clean_up(store, before, entries).await {
            tracing::warn!(error = %error, "old history could not be removed; it will be tried again in an hour");
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

    async fn asked(keep_seconds: u32) -> Vec<Timestamp> {
        let store = Asked::default();
        let (clock, seen) = watch::channel(Timestamp::MIN);
        clock.send_replace(Timestamp::from_millis(10_000_000));
        drop(clock);
        run(&store, seen, keep_seconds, 10).await;
        store.0.into_inner()
    }

    #[tokio::test]
    async fn what_is_kept_for_a_fixed_time_goes_even_when_history_is_kept_for_ever() {
        assert_eq!(asked(0).await, [Timestamp::MIN]);
        assert_eq!(asked(1_000).await, [Timestamp::from_millis(9_000_000)]);
    }
}
