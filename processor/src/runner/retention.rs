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

/// Cleans up once an hour of the clock; ends when the clock's sender is gone.
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
        if let Err(error) = clean_up(store, now.minus_seconds(keep_seconds), entries).await {
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
