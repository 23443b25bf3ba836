//! Derived events on their way out: when they are published, which event partition they go to, and how often each is told the clock.
//!
//! As a rule events are published after their commit, and the rows carry them until then. A row can't carry any number of them. What
//! is too much is published before the commit. That is as safe: an owner that is killed between the two leaves a log of which the next
//! derives the same events, with the same ids.

use hashbrown::HashMap;
use ronda_domain::id::hash_of;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::{EventBatch, EventEnvelope};

use super::schedulers::SlotId;

/// Most events that one row carries. The largest has some 5 KB: a row of theirs is far from what a store may refuse.
pub(super) const MAX_CARRIED: usize = 1_000;
/// Most events of one batch.
const MAX_BATCHED: usize = 1_000;

/// The events of one commit, by when they are published.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    /// Before the commit.
    pub(crate) first: Vec<EventEnvelope>,
    /// After it.
    pub(crate) then: Vec<EventEnvelope>,
    /// These once more, by the row that carries them; `None`: the partition's.
    pub(crate) outboxes: HashMap<Option<SlotId>, Vec<EventEnvelope>>,
}

/// Sorts a commit's events. All of a row go the same way, so they stay in their order. A commit that ends in the middle of a frame
/// has all of them published first: its rows would have to be published again until the frame is through.
pub(crate) fn sort(events: Vec<(Option<SlotId>, EventEnvelope)>, is_underway: bool) -> Sorted {
    let mut counts: HashMap<Option<SlotId>, usize> = HashMap::new();
    for (id, _) in &events {
        *counts.entry(*id).or_default() += 1;
    }
    let mut sorted = Sorted::default();
    for (id, event) in events {
        if is_underway || counts.get(&id).is_some_and(|count| *count > MAX_CARRIED) {
            sorted.first.push(event);
            continue;
        }
        sorted.outboxes.entry(id).or_default().push(event.clone());
        sorted.then.push(event);
    }
    sorted
}

/// Sorts events into the event queue's partitions.
#[derive(Debug)]
pub(crate) struct Announcer {
    source_partition: u32,
    source_partitions: u32,
    period_ms: i64,
    /// Where each message is dear: the clock alone is told when it comes past a multiple of this.
    sparing_ms: Option<i64>,
    /// The clock as each event partition was last told it.
    announced: Vec<Timestamp>,
}

impl Announcer {
    pub(crate) fn new(source_partition: u32, source_partitions: u32, event_partitions: u32, period_ms: u32) -> Self {
        let announced = vec![Timestamp::MIN; usize::try_from(event_partitions.max(1)).unwrap_or(1)];
        Self { source_partition, source_partitions, period_ms: i64::from(period_ms), sparing_ms: None, announced }
    }

    /// Tells the clock alone only when it comes past a multiple of so many milliseconds, if its period is not longer anyway. What
    /// depends on whole minutes of the clock is told none the later.
    pub(crate) fn spare(&mut self, millis: u32) {
        self.sparing_ms = Some(i64::from(millis)).filter(|millis| *millis > self.period_ms);
    }

    fn is_due(&self, announced: Timestamp, watermark: Timestamp) -> bool {
        match self.sparing_ms {
            Some(every) => watermark.as_millis().div_euclid(every) > announced.as_millis().div_euclid(every),
            None => watermark.millis_since(announced) >= self.period_ms,
        }
    }

    /// The batches to publish: events in their order, and the clock alone where a period has passed since it was last told. Of several
    /// batches for one partition only the last tells the clock: what it says is judged has been told by then.
    pub(crate) fn batches(&mut self, events: Vec<EventEnvelope>, watermark: Timestamp) -> Vec<(u32, EventBatch)> {
        let mut batches = Vec::new();
        for (partition, mut events) in self.by_partition(events) {
            if events.is_empty() && !self.is_due(self.announced[partition], watermark) {
                continue;
            }
            self.announced[partition] = watermark;
            let last = events.split_off(events.len().saturating_sub(MAX_BATCHED));
            self.cut(partition, events, &mut batches);
            batches.push(self.batch(partition, last, watermark));
        }
        batches
    }

    /// The batches to publish when there is more to come before the clock may be told.
    pub(crate) fn events_alone(&self, events: Vec<EventEnvelope>) -> Vec<(u32, EventBatch)> {
        let mut batches = Vec::new();
        for (partition, events) in self.by_partition(events) {
            self.cut(partition, events, &mut batches);
        }
        batches
    }

    fn by_partition(&self, events: Vec<EventEnvelope>) -> impl Iterator<Item = (usize, Vec<EventEnvelope>)> + use<> {
        let mut sorted: Vec<Vec<EventEnvelope>> = self.announced.iter().map(|_| Vec::new()).collect();
        for event in events {
            let partition = self.partition_of(&event);
            sorted[partition].push(event);
        }
        sorted.into_iter().enumerate()
    }

    fn cut(&self, partition: usize, mut events: Vec<EventEnvelope>, batches: &mut Vec<(u32, EventBatch)>) {
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(MAX_BATCHED));
            batches.push(self.batch(partition, std::mem::replace(&mut events, rest), Timestamp::MIN));
        }
    }

    fn batch(&self, partition: usize, events: Vec<EventEnvelope>, watermark: Timestamp) -> (u32, EventBatch) {
        let (source_partition, source_partitions) = (self.source_partition, self.source_partitions);
        (u32::try_from(partition).unwrap_or(0), EventBatch { source_partition, source_partitions, watermark, events })
    }

    /// A tenant's events all go through one partition; the operator's through the first.
    fn partition_of(&self, event: &EventEnvelope) -> usize {
        event.tenant().map_or(0, |tenant| hash_of(tenant.as_str(), "") as usize % self.announced.len())
    }
}

#[cfg(test)]
mod tests {
    use ronda_schemas::event::LostFrames;

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

    #[test]
    fn where_messages_are_dear_the_clock_alone_is_told_at_whole_times_only() {
        let mut announcer = Announcer::new(2, 8, 4, 1_000);
        announcer.spare(10_000);
        let at = Timestamp::from_millis;
        assert!(announcer.batches(Vec::new(), Timestamp::MIN).is_empty());
        assert_eq!(announcer.batches(Vec::new(), at(57_300)).len(), 4);
        assert!(announcer.batches(Vec::new(), at(59_999)).is_empty());
        assert_eq!(announcer.batches(Vec::new(), at(60_100)).len(), 4, "a minute is over");
        let lost = LostFrames { partition: 2, gateway: 1, first: 1, last: 1, at: at(61_000) };
        let batches = announcer.batches(vec![EventEnvelope::Lost(lost)], at(61_000));
        assert!(
            matches!(&batches[..], [(0, batch)] if batch.watermark == at(61_000)),
            "an event always has it with it"
        );
        assert!(announcer.batches(Vec::new(), at(69_000)).is_empty());
        assert_eq!(announcer.batches(Vec::new(), at(70_500)).len(), 4);
    }
}
