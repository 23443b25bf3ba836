//! Derived events on their way out: which event partition they go to, and how often each is told the clock.

use ronda_domain::id::hash_of;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::{EventBatch, EventEnvelope};

/// Sorts events into the event queue's partitions.
#[derive(Debug)]
pub(crate) struct Announcer {
    source_partition: u32,
    source_partitions: u32,
    period_ms: i64,
    /// The clock as each event partition was last told it.
    announced: Vec<Timestamp>,
}

impl Announcer {
    pub(crate) fn new(source_partition: u32, source_partitions: u32, event_partitions: u32, period_ms: u32) -> Self {
        let announced = vec![Timestamp::MIN; usize::try_from(event_partitions.max(1)).unwrap_or(1)];
        Self { source_partition, source_partitions, period_ms: i64::from(period_ms), announced }
    }

    /// The batches to publish: events in their order, and the clock alone where a period has passed since it was last told.
    pub(crate) fn batches(&mut self, events: Vec<EventEnvelope>, watermark: Timestamp) -> Vec<(u32, EventBatch)> {
        let mut sorted: Vec<Vec<EventEnvelope>> = self.announced.iter().map(|_| Vec::new()).collect();
        for event in events {
            let partition = self.partition_of(&event);
            sorted[partition].push(event);
        }
        let mut batches = Vec::new();
        for (partition, (events, announced)) in sorted.into_iter().zip(&mut self.announced).enumerate() {
            if events.is_empty() && watermark.millis_since(*announced) < self.period_ms {
                continue;
            }
            *announced = watermark;
            let batch = EventBatch {
                source_partition: self.source_partition,
                source_partitions: self.source_partitions,
                watermark,
                events,
            };
            batches.push((u32::try_from(partition).unwrap_or(0), batch));
        }
        batches
    }

    /// A tenant's events all go through one partition; the operator's through the first.
    fn partition_of(&self, event: &EventEnvelope) -> usize {
        event.tenant().map_or(0, |tenant| hash_of(tenant.as_str(), "") as usize % self.announced.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_told_once_a_period_to_every_partition_and_no_more_often() {
        let mut announcer = Announcer::new(2, 8, 4, 1_000);
        let at = Timestamp::from_millis;
        assert_eq!(announcer.batches(Vec::new(), at(10_000)).len(), 4);
        assert!(announcer.batches(Vec::new(), at(10_000)).is_empty());
        assert!(announcer.batches(Vec::new(), at(10_999)).is_empty());
        let batches = announcer.batches(Vec::new(), at(11_000));
        assert_eq!(batches.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(batches.iter().all(|(_, batch)| batch.watermark == at(11_000) && batch.source_partition == 2));
        assert!(Announcer::new(0, 1, 4, 1_000).batches(Vec::new(), Timestamp::MIN).is_empty());
    }
}
