//! How far each partition is behind, as metrics.

use std::sync::Arc;
use std::time::Duration;

use ronda_domain::time::Timestamp;
use ronda_queue::Depth;
use ronda_runtime::{CancellationToken, Clock, SystemClock};

use super::pause::pause;
use super::{Shared, telemetry};

/// How often a partition is looked at.
const EVERY: Duration = Duration::from_secs(5);
/// Longest wait for one partition: one that hangs must not hide the others.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Looks at every partition that this process works on, until it is cancelled. One that can't be asked keeps what was last known of it. The
/// others are their owners': each is told of once, so that sums over all processes are right.
pub(super) async fn watch<S: ?Sized>(shared: Arc<Shared<S>>, cancel: CancellationToken) {
    let clock = SystemClock::new();
    loop {
        for partition in shared.vitals.ours() {
            let depth = tokio::select! {
                depth = shared.commands.depth(partition) => depth,
                goes_on = pause(ANSWER_WITHIN, &cancel) => {
                    if !goes_on {
                        return;
                    }
                    tracing::debug!(partition, "the queue does not tell its depth");
                    continue;
                }
            };
            match depth {
                Ok(depth) => {
                    let watermark = shared.vitals.watermark(partition);
                    let age_ms = age_ms(&depth, watermark, clock.wall_millis());
                    shared.vitals.if_owned(partition, || telemetry::lag(partition, depth.messages, age_ms));
                }
                Err(error) => tracing::debug!(partition, error = %error, "the queue's depth can't be told"),
            }
        }
        if !pause(EVERY, &cancel).await {
            return;
        }
    }
}

/// How old the oldest message is that is not settled, in milliseconds: as the backend says, else how far the partition's clock is behind.
/// `None` if neither can be told.
fn age_ms(depth: &Depth, watermark: Timestamp, now_ms: i64) -> Option<u64> {
    if depth.messages == 0 {
        return Some(0);
    }
    let behind_ms = || (watermark != Timestamp::MIN).then(|| now_ms.saturating_sub(watermark.as_millis()));
    depth.oldest_age_ms.or_else(|| behind_ms().map(|behind_ms| u64::try_from(behind_ms).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_is_the_backends_or_else_the_clocks() {
        let at = Timestamp::from_millis(10_000);
        let depth = Depth { messages: 3, ..Depth::default() };
        assert_eq!(age_ms(&Depth::default(), at, 99_000), Some(0));
        assert_eq!(age_ms(&depth, at, 12_500), Some(2_500));
        assert_eq!(age_ms(&depth, at, 9_000), Some(0), "this machine's clock is behind the gateways'");
        assert_eq!(age_ms(&depth, Timestamp::MIN, 12_500), None);
        assert_eq!(age_ms(&Depth { oldest_age_ms: Some(7), ..depth }, at, 12_500), Some(7));
    }
}
