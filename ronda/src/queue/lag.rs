//! How much waits in each partition, and since when.

use ronda_domain::time::Timestamp;
use ronda_host::lag::depth;
use ronda_queue::{Queue, Role};
use ronda_schemas::api::time::{Time, format_rfc3339};
use ronda_store::port::Store;
use serde::{Deserialize, Serialize};

use crate::admin::NotDone;
use crate::text::columns;

/// All queues.
#[derive(Debug, Serialize, Deserialize)]
pub struct Lag {
    /// Each with its partitions.
    pub queues: Vec<QueueLag>,
}

/// One queue.
#[derive(Debug, Serialize, Deserialize)]
pub struct QueueLag {
    /// `commands`, `events` or `dead-letters`.
    pub queue: String,
    /// By number.
    pub partitions: Vec<PartitionLag>,
}

/// One partition.
#[derive(Debug, Serialize, Deserialize)]
pub struct PartitionLag {
    /// Its number.
    pub partition: u32,
    /// Messages that are not settled.
    pub messages: u64,
    /// Bytes that the backend holds for it; none: that can't be told.
    pub bytes: Option<u64>,
    /// How long the oldest of them has waited at most, in milliseconds; none: that can't be told.
    pub oldest_age_ms: Option<u64>,
    /// The time up to which the partition is judged: told by a running process only.
    pub watermark: Option<Time>,
}

/// Looks at every partition. A store tells the watermarks, and with them since when the oldest command waits where the backend can't.
///
/// # Errors
/// The queue or the store that failed.
pub async fn look(queues: &[(Role, &dyn Queue)], running: Option<(&dyn Store, Timestamp)>) -> Result<Lag, NotDone> {
    let mut all = Lag { queues: Vec::new() };
    for (role, queue) in queues {
        let mut partitions = Vec::new();
        for partition in 0..queue.partitions() {
            let depth = depth(*queue, partition).await?;
            let mut lag = PartitionLag {
                partition,
                messages: depth.messages,
                bytes: depth.bytes,
                oldest_age_ms: if depth.messages == 0 { Some(0) } else { depth.oldest_age_ms },
                watermark: None,
            };
            if let Some((store, now)) = running.filter(|_| *role == Role::Commands) {
                let row = store.partition(partition).await?;
                if let Some(watermark) = row.map(|row| row.watermark).filter(|at| *at > Timestamp::MIN) {
                    // Whatever was accepted before the watermark is applied.
                    let behind = u64::try_from(now.millis_since(watermark)).unwrap_or(0);
                    lag.oldest_age_ms.get_or_insert(behind);
                    lag.watermark = Some(Time(watermark));
                }
            }
            partitions.push(lag);
        }
        all.queues.push(QueueLag { queue: role.name().to_owned(), partitions });
    }
    Ok(all)
}

/// As a table.
#[must_use]
pub fn told(lag: &Lag) -> String {
    let head = ["QUEUE", "PARTITION", "MESSAGES", "BYTES", "OLDEST", "JUDGED UNTIL"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for queue in &lag.queues {
        rows.extend(queue.partitions.iter().map(|partition| {
            let or_none = |text: Option<String>| text.unwrap_or_else(|| String::from("-"));
            vec![
                queue.queue.clone(),
                partition.partition.to_string(),
                partition.messages.to_string(),
                or_none(partition.bytes.map(|bytes| bytes.to_string())),
                or_none(partition.oldest_age_ms.map(|age| format!("{}.{:03} s", age / 1_000, age % 1_000))),
                or_none(partition.watermark.map(|at| format_rfc3339(at.0))),
            ]
        }));
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use ronda_queue::{EmbeddedOptions, EmbeddedQueue};

    use super::*;

    #[tokio::test]
    async fn every_partition_tells_how_much_waits() {
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { partitions: 2, ..EmbeddedOptions::default() };
        let queue = EmbeddedQueue::open(dir.path(), options).unwrap();
        queue.publish(1, "x".into()).await.unwrap();
        let lag = look(&[(Role::Commands, &queue)], None).await.unwrap();
        let [first, second] = lag.queues[0].partitions.as_slice() else { panic!("two partitions") };
        assert_eq!((first.messages, first.oldest_age_ms), (0, Some(0)));
        assert_eq!((second.messages, second.oldest_age_ms), (1, None), "the embedded queue can't tell");
        assert!(told(&lag).contains("commands  1          1 "), "{}", told(&lag));
        assert!(second.bytes.is_some_and(|bytes| bytes > 0), "{second:?}");
    }

    #[test]
    fn what_a_broker_does_not_tell_is_no_zero() {
        let (messages, bytes, oldest_age_ms) = (3, None, None);
        let partitions = vec![PartitionLag { partition: 0, messages, bytes, oldest_age_ms, watermark: None }];
        let lag = Lag { queues: vec![QueueLag { queue: String::from("events"), partitions }] };
        assert!(told(&lag).ends_with("events  0          3         -      -       -\n"), "{}", told(&lag));
        assert!(serde_json::to_string(&lag).unwrap().contains(r#""bytes":null"#));
    }
}
