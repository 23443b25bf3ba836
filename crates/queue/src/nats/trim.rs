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

use crate::error::QueueError;

use super::lasting::Lasting;
use super::shared::Shared;

/// How often the whole stream is cut, at most.
const WHOLE_EVERY: Duration = Duration::from_secs(1);
/// How often single partitions are, at most.
const SINGLE_EVERY: Duration = Duration::from_secs(2);
/// How long closing may wait for the last purges.
const LAST_WITHIN: Duration = Duration::from_secs(5);

/// Trims until the queue is closed, and then once more.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut trimmer = Trimmer::new(Arc::clone(&shared));
    let (closed, stream) = (shared.closed.clone(), &shared.stream);
    let failing_seconds = metrics::gauge!("ronda_queue_purge_failing_seconds", "queue" => shared.role.name());
    let mut failing = Lasting::default();
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
        match trimmer.pass().await {
            Ok(()) if failing.worked() => tracing::info!(stream, "settled messages are purged again"),
            Ok(()) => {}
            Err(error) => match failing.failed(error.retryable) {
                Some(lasted) => {
                    let for_seconds = lasted.as_secs();
                    tracing::warn!(stream, for_seconds, %error, "settled messages can't be purged: the stream fills up");
                }
                None => tracing::debug!(stream, %error, "settled messages could not be purged yet"),
            },
        }
        failing_seconds.set(failing.lasted().as_secs_f64());
        tokio::select! {
            () = closed.cancelled() => break,
            () = tokio::time::sleep(WHOLE_EVERY) => {}
        }
    }
    if shared.reading.is_connected() {
        let _ = tokio::time::timeout(LAST_WITHIN, everything(&shared)).await;
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
        lane.purged(settled);
    }
    Ok(())
}

/// Purges what lies up to a place in the stream.
async fn purge(shared: &Shared, through: u64, what: &Value) -> Result<(), QueueError> {
    // Never in another stream of the same name, nor in one that was rolled back: what has these places there was read by nobody, and a purge
    // behind its end would count it on from there.
    let last = shared.info().await?.state.last_sequence;
    if last < through {
        return Err(shared.past.ends_early(last, through));
    }
    let stream = &shared.stream;
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
                lane.purged(through);
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
