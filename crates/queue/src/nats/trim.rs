//! Purging what is settled.
//!
//! To purge everything before a place in the stream costs the server next to nothing. To purge one partition's messages from among the
//! others' costs it twenty times as much or more, and publishers wait meanwhile (docs/adr/0008-nats-jetstream.md). So the whole stream is
//! cut where all partitions are done with it, as far as this process knows, and single partitions only where others hold that up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::error::{QueueError, QueueErrorKind};

use super::queue::Shared;

/// How often the whole stream is cut, at most.
const WHOLE_EVERY: Duration = Duration::from_secs(1);
/// How often single partitions are, at most.
const SINGLE_EVERY: Duration = Duration::from_secs(2);
/// How often it is told that purges are refused.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// How long closing may wait for the last purges.
const LAST_WITHIN: Duration = Duration::from_secs(5);

/// Trims until the queue is closed, and then once more.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut trimmer = Trimmer::new(shared);
    let closed = trimmer.shared.closed.clone();
    let (mut refused_since, mut told_every) = (None, Duration::ZERO);
    while !closed.is_cancelled() {
        let wait = async {
            // Until something is settled; or, with single partitions waiting for their turn, until that.
            match trimmer.next_single() {
                Some(at) => tokio::select! {
                    () = trimmer.shared.to_trim.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => trimmer.shared.to_trim.notified().await,
            }
        };
        tokio::select! {
            () = closed.cancelled() => break,
            () = wait => {}
        }
        if let Err(error) = trimmer.pass().await {
            // One that may pass by itself is tried again; one that can't fills the stream up in the end.
            if error.retryable {
                tracing::debug!(stream = trimmer.shared.stream, %error, "settled messages could not be purged yet");
            } else if refused_since.get_or_insert_with(Instant::now).elapsed() >= told_every {
                tracing::warn!(stream = trimmer.shared.stream, %error, "settled messages can't be purged: the stream fills up");
                (refused_since, told_every) = (Some(Instant::now()), TOLD_EVERY);
            }
        }
        tokio::select! {
            () = closed.cancelled() => break,
            () = tokio::time::sleep(WHOLE_EVERY) => {}
        }
    }
    if trimmer.shared.reading.is_connected() {
        let _ = tokio::time::timeout(LAST_WITHIN, everything(&trimmer.shared)).await;
    }
}

/// Purges all that is settled, now.
pub(super) async fn everything(shared: &Shared) -> Result<(), QueueError> {
    for (partition, _) in (0_u32..).zip(&shared.lanes) {
        single(shared, partition).await?;
    }
    Ok(())
}

/// Purges what is settled of one partition.
async fn single(shared: &Shared, partition: u32) -> Result<(), QueueError> {
    let lane = shared.lane(partition)?;
    let settled = lane.settled.load(Ordering::Acquire);
    if settled > lane.trimmed.load(Ordering::Acquire) {
        let filter = shared.names.filter(shared.role, partition);
        purge(shared, settled, &json!({ "filter": filter, "seq": settled + 1 })).await?;
        lane.trimmed.fetch_max(settled, Ordering::AcqRel);
    }
    Ok(())
}

/// Purges what lies up to a place in the stream.
async fn purge(shared: &Shared, through: u64, what: &Value) -> Result<(), QueueError> {
    // Never in another stream of the same name.
    let last = shared.info().await?.state.last_sequence;
    let stream = &shared.stream;
    if last < through {
        // What has these places now was confirmed since and read by nobody; and a purge would count the stream on from there.
        let what = format!(
            "stream {stream} ends at {last}, before {through}, which was read and settled: it lost messages in a crash of the server's \
             machine, and nothing of it is purged"
        );
        return Err(QueueError::permanent(QueueErrorKind::PositionAhead, what));
    }
    let purged = shared.reading.call::<Value>(format!("STREAM.PURGE.{stream}"), what).await;
    purged.map(|_| ()).map_err(|error| error.into_queue_error(&format!("stream {stream} could not be purged")))
}

struct Trimmer {
    shared: Arc<Shared>,
    /// The whole stream was cut through here.
    cut: u64,
    /// When single partitions were last trimmed, and how far each was settled then.
    single_at: Option<Instant>,
    settled_then: Vec<u64>,
}

impl Trimmer {
    fn new(shared: Arc<Shared>) -> Self {
        let settled_then = vec![0; shared.lanes.len()];
        Self { shared, cut: 0, single_at: None, settled_then }
    }

    /// When single partitions are to be looked at, if anything of theirs is settled and not purged.
    fn next_single(&self) -> Option<Instant> {
        let waiting = self
            .shared
            .lanes
            .iter()
            .any(|lane| lane.settled.load(Ordering::Acquire) > lane.trimmed.load(Ordering::Acquire));
        waiting.then(|| self.single_at.map_or_else(Instant::now, |at| at + SINGLE_EVERY))
    }

    /// Through where the whole stream can be cut: all partitions are done with everything up to there. `None` while nothing is known of some.
    fn whole(&self) -> Option<u64> {
        let least = self.shared.lanes.iter().map(|lane| lane.settled.load(Ordering::Acquire)).min();
        least.filter(|&least| least > 0)
    }

    async fn pass(&mut self) -> Result<(), QueueError> {
        let whole = self.whole();
        if let Some(through) = whole.filter(|&through| through > self.cut) {
            purge(&self.shared, through, &json!({ "seq": through + 1 })).await?;
            self.cut = through;
            for lane in &self.shared.lanes {
                lane.trimmed.fetch_max(through, Ordering::AcqRel);
            }
        }
        if self.single_at.is_some_and(|at| at.elapsed() < SINGLE_EVERY) {
            return Ok(());
        }
        self.single_at = Some(Instant::now());
        let shared = Arc::clone(&self.shared);
        for (partition, lane) in (0_u32..).zip(&shared.lanes) {
            let settled = lane.settled.load(Ordering::Acquire);
            let then = self.settled_then.get_mut(partition as usize).map(|then| std::mem::replace(then, settled));
            // Cutting the whole stream goes on behind it: no need to, if it only is not there yet.
            let held_up = whole.is_none() || then.is_some_and(|then| then > self.cut);
            if held_up {
                single(&shared, partition).await?;
            }
        }
        Ok(())
    }
}
