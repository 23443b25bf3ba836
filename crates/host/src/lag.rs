//! How much waits in each partition of the queues: asked with patience, and as metrics.

use std::sync::Arc;
use std::time::Duration;

use metrics::{describe_gauge, gauge};
use ronda_queue::{Depth, Queue, QueueError, QueueErrorKind, Role};
use tokio::time::timeout;

/// Longest wait for one partition's depth.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How often the metrics are brought up to date: on some brokers each look is paid for.
const METRICS_EVERY: Duration = Duration::from_secs(10);
const MESSAGES: &str = "ronda_queue_messages";
const OLDEST: &str = "ronda_queue_oldest_age_seconds";

/// How much waits in a partition.
///
/// # Errors
/// What the queue says, or that it tells nothing for long.
pub async fn depth(queue: &dyn Queue, partition: u32) -> Result<Depth, QueueError> {
    let asked = timeout(ANSWER_WITHIN, queue.depth(partition)).await;
    asked.unwrap_or_else(|_| {
        let what = format!("partition {partition} tells nothing of itself");
        Err(QueueError::transient(QueueErrorKind::Unavailable, ANSWER_WITHIN, what))
    })
}

/// Tells the metrics of all partitions; never ends. Those that can't be asked stay as they are.
pub(crate) async fn metrics(commands: &Arc<dyn Queue>, events: &Arc<dyn Queue>, dead_letters: &Arc<dyn Queue>) {
    describe_gauge!(MESSAGES, "Messages of a partition that are not settled, by queue");
    describe_gauge!(
        OLDEST,
        "How long the oldest message of a partition has waited, by queue, where the queue can tell"
    );
    let mut every = tokio::time::interval(METRICS_EVERY);
    loop {
        every.tick().await;
        for (role, queue) in [(Role::Commands, commands), (Role::Events, events), (Role::DeadLetters, dead_letters)] {
            for partition in 0..queue.partitions() {
                let Ok(depth) = depth(&**queue, partition).await else { continue };
                let labels = [("queue", role.name().to_owned()), ("partition", partition.to_string())];
                #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
                gauge!(MESSAGES, &labels).set(depth.messages as f64);
                let age = if depth.messages == 0 { Some(0) } else { depth.oldest_age_ms };
                if let Some(age) = age {
                    gauge!(OLDEST, &labels).set(Duration::from_millis(age).as_secs_f64());
                }
            }
        }
    }
}
