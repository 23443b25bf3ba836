//! Publishing with retries: events after their commit, dead letters before it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ronda_domain::time::Timestamp;
use ronda_queue::{Queue, QueueError, QueueErrorKind};
use ronda_runtime::CancellationToken;
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::EventBatch;

use super::pause::Backoff;
use super::{ProcessorError, telemetry};
use crate::dead_letter::DeadLetter;

/// First and longest wait before something is published again.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));
/// Attempts with a dead letter before it is dropped, where its queue can fail while the others work.
const LETTER_ATTEMPTS: u32 = 4;

/// Publishes until it is confirmed. What stands in the way meanwhile is `told`.
///
/// # Errors
/// What can't be retried; [`ProcessorError::Stopped`] when it is cancelled between two attempts.
pub(super) async fn events(
    queue: &Arc<dyn Queue>,
    batches: Vec<(u32, EventBatch)>,
    cancel: &CancellationToken,
    told: impl Fn(String),
) -> Result<(), ProcessorError> {
    let max_bytes = queue.capabilities().max_message_bytes;
    for (partition, batch) in batches {
        for message in encode(batch, max_bytes)? {
            let mut backoff = Backoff::new(RETRY.0, RETRY.1);
            while let Err(error) = queue.publish(partition, message.clone()).await {
                if !error.retryable {
                    return Err(ProcessorError::Queue { which: "event", source: error });
                }
                told(format!("derived events can't be published: {error}"));
                tracing::warn!(partition, error = %error, "derived events could not be published; trying again");
                if !backoff.wait(error.retry_after, cancel).await {
                    return Err(ProcessorError::Stopped);
                }
            }
        }
    }
    Ok(())
}

/// A batch as one message, or as several when it is too large for one. Only the last tells the clock: what it says is judged has
/// been told by then.
fn encode(batch: EventBatch, max_bytes: usize) -> Result<Vec<Bytes>, ProcessorError> {
    let mut messages = Vec::new();
    let mut left = vec![batch];
    while let Some(mut batch) = left.pop() {
        let bytes = batch.encode()?;
        if bytes.len() <= max_bytes || batch.events.len() < 2 {
            messages.push(bytes.into());
            continue;
        }
        let second = batch.events.split_off(batch.events.len() / 2);
        left.push(EventBatch { events: second, ..batch });
        left.push(EventBatch { watermark: Timestamp::MIN, ..batch });
    }
    Ok(messages)
}

/// Publishes dead letters. One that its queue refuses is dropped at once: what can be read must not stop for what can't. Any other failure
/// is tried against for a moment only, unless the queue is on the same broker as the others (`is_shared`): then it is away for events as
/// well, nothing is won by going on, and the letter is the only copy of its message. What stands in the way meanwhile is `told`.
///
/// # Errors
/// [`ProcessorError::Stopped`] when it is cancelled between two attempts.
pub(super) async fn dead_letters(
    queue: &Arc<dyn Queue>,
    letters: Vec<DeadLetter>,
    is_shared: bool,
    cancel: &CancellationToken,
    told: impl Fn(String),
) -> Result<(), ProcessorError> {
    let max_bytes = queue.capabilities().max_message_bytes;
    for letter in letters {
        let (partition, position, code) = (letter.partition, letter.position, letter.code.clone());
        tracing::warn!(partition, position, code = %code, "a message could not be read and was put aside");
        let message = letter.encode_within(max_bytes)?;
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let mut attempts = 0;
        while let Err(error) = queue.publish(0, message.clone()).await {
            told(format!("a dead letter can't be published: {error}"));
            attempts += 1;
            if is_refusal(&error) || (!is_shared && attempts >= LETTER_ATTEMPTS) {
                telemetry::dead_letter_dropped();
                tracing::error!(partition, position, error = %error, "a dead letter was dropped: its queue did not take it");
                break;
            }
            tracing::warn!(partition, position, error = %error, "a dead letter could not be published; trying again");
            // The queue's own idea of when to come back is not asked for: a partition waits.
            if !backoff.wait(None, cancel).await {
                return Err(ProcessorError::Stopped);
            }
        }
    }
    Ok(())
}

fn is_refusal(error: &QueueError) -> bool {
    !error.retryable || matches!(error.kind, QueueErrorKind::Full | QueueErrorKind::TooLarge)
}

#[cfg(test)]
mod tests {
    use ronda_schemas::event::{EventEnvelope, LostFrames};

    use super::*;

    #[test]
    fn a_batch_too_large_for_one_message_is_split_in_order_and_tells_the_clock_last() {
        let at = Timestamp::from_seconds(9);
        let lost = |first| EventEnvelope::Lost(LostFrames { partition: 1, gateway: 2, first, last: first, at });
        let events: Vec<_> = (0..100).map(lost).collect();
        let batch = EventBatch { source_partition: 1, source_partitions: 8, watermark: at, events: events.clone() };
        let messages = encode(batch, 500).unwrap();
        assert!(messages.len() > 1 && messages.iter().all(|message| message.len() <= 500));
        let read: Vec<_> = messages.iter().map(|message| EventBatch::decode(message).unwrap()).collect();
        assert_eq!(read.iter().flat_map(|batch| batch.events.clone()).collect::<Vec<_>>(), events);
        let (last, first) = read.split_last().unwrap();
        assert_eq!(last.watermark, at);
        assert!(first.iter().all(|batch| batch.watermark == Timestamp::MIN));
    }
}
