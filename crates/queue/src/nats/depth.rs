//! How much is in a partition, without a consumer to count it.
//!
//! The server counts messages by subject, those as well that are settled and only not purged yet. How many these are is known here.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::error::QueueError;
use crate::port::{Depth, Partition, Position};

use super::shared::Shared;

/// Places that are remembered. With more, which takes purges that fail, a consumer counts after all.
const MOST_PLACES: usize = 65_536;
/// How often it is counted anew when a purge came in between.
const ATTEMPTS: usize = 3;
/// How long the server keeps a consumer that was only made to count.
const COUNT_FOR: std::time::Duration = std::time::Duration::from_secs(5);

/// Places of the messages that were handed out and are not purged.
#[derive(Default)]
pub(super) struct Given(Mutex<VecDeque<u64>>);

impl Given {
    /// A receiver begins at a place. Nothing is known of those between this and the last one.
    pub(super) fn begin(&self, from: u64) {
        let mut places = self.0.lock();
        if places.back().is_some_and(|&last| last < from) {
            places.clear();
        }
    }

    /// These were handed out, perhaps by several receivers.
    pub(super) fn add(&self, given: impl Iterator<Item = u64>) {
        let mut places = self.0.lock();
        for place in given {
            if places.back().is_none_or(|&last| last < place) {
                places.push_back(place);
            }
        }
        let excess = places.len().saturating_sub(MOST_PLACES);
        places.drain(..excess);
    }

    /// Everything up to a place is gone.
    pub(super) fn purged(&self, through: u64) {
        let mut places = self.0.lock();
        let gone = places.partition_point(|&place| place <= through);
        places.drain(..gone);
    }

    /// How many there are from a place to another one. `None`: not all of them are known.
    fn count(&self, from: u64, through: u64) -> Option<u64> {
        let places = self.0.lock();
        places.front().filter(|&&first| first <= from)?;
        let before = places.partition_point(|&place| place < from);
        u64::try_from(places.partition_point(|&place| place <= through).saturating_sub(before)).ok()
    }
}

/// Looks how much there is.
pub(super) async fn look(shared: &Shared, partition: Partition) -> Result<Depth, QueueError> {
    let state = shared.info().await?.state;
    let settled = shared.lane(partition)?.settled.load(Ordering::Acquire);
    let Some((oldest, oldest_age_ms)) = shared.first_from(partition, settled.saturating_add(1)).await? else {
        // All partitions are numbered together, so this one's newest is not known any more: it is not after the stream's.
        let newest = (state.last_sequence > 0).then_some(Position(state.last_sequence));
        return Ok(Depth { newest, bytes: Some(0), ..Depth::default() });
    };
    let newest = shared.last(partition).await?;
    let messages = match unsettled(shared, partition, settled).await? {
        Some(messages) => messages,
        None => by_consumer(shared, partition, oldest).await?,
    };
    Ok(Depth {
        newest: newest.map(Position),
        oldest: Some(Position(oldest)),
        messages,
        // What the partition has of the stream, if its messages are of the stream's mean size.
        bytes: Some(state.bytes / state.messages.max(1) * messages),
        oldest_age_ms: Some(oldest_age_ms),
    })
}

/// How many messages of a partition are not settled, as far as that can be told without a consumer.
async fn unsettled(shared: &Shared, partition: Partition, settled: u64) -> Result<Option<u64>, QueueError> {
    let lane = shared.lane(partition)?;
    let mut first = first(shared, partition).await?;
    for _ in 0..ATTEMPTS {
        let done = if first > settled { Some(0) } else { lane.given.count(first, settled) };
        let Some(done) = done else { return Ok(None) };
        let all = by_subject(shared, partition).await?;
        if done == 0 {
            return Ok(Some(all));
        }
        let still = self::first(shared, partition).await?;
        if still == first {
            return Ok(Some(all.saturating_sub(done)));
        }
        first = still;
    }
    Ok(None)
}

async fn first(shared: &Shared, partition: Partition) -> Result<u64, QueueError> {
    Ok(shared.first_from(partition, 1).await?.map_or(u64::MAX, |(first, _)| first))
}

/// All messages of a partition, settled or not.
async fn by_subject(shared: &Shared, partition: Partition) -> Result<u64, QueueError> {
    let filter = shared.names.filter(shared.role, partition);
    let stream = &shared.stream;
    let (mut sum, mut subjects) = (0, 0);
    loop {
        let asked = json!({ "subjects_filter": filter, "offset": subjects });
        let info = shared.reading.call::<Value>(format!("STREAM.INFO.{stream}"), &asked).await;
        let info =
            info.map_err(|error| error.into_queue_error(&format!("the state of stream {stream} can't be had")))?;
        let page = info["state"]["subjects"].as_object();
        sum += page.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum::<u64>();
        let listed = page.map_or(0, serde_json::Map::len);
        subjects += listed;
        // The server lists so many at a time, and says how many there are.
        if listed == 0 || info["total"].as_u64().is_none_or(|total| subjects as u64 >= total) {
            return Ok(sum);
        }
    }
}

/// All messages of a partition from a place on.
async fn by_consumer(shared: &Shared, partition: Partition, from: u64) -> Result<u64, QueueError> {
    let counted = shared.consumer(Some(partition), from, COUNT_FOR).await?;
    let delete = format!("CONSUMER.DELETE.{}.{}", shared.stream, counted.cached_info().name);
    // It goes by itself as well.
    let _ = shared.reading.call::<Value>(delete, &json!({})).await;
    Ok(counted.cached_info().num_pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_out_is_counted_only_where_all_of_it_is_known() {
        let given = Given::default();
        assert_eq!(given.count(1, 10), None);
        given.add([2, 5, 9].into_iter());
        given.add([5, 9, 11].into_iter());
        assert_eq!((given.count(2, 9), given.count(5, 5), given.count(2, 100)), (Some(3), Some(1), Some(4)));
        assert_eq!(given.count(1, 9), None, "what lies at 1 was not handed out here");
        given.purged(5);
        assert_eq!((given.count(5, 11), given.count(9, 11)), (None, Some(2)));
        given.begin(11);
        assert_eq!(given.count(9, 11), Some(2));
        given.begin(12);
        assert_eq!(given.count(9, 11), None, "others may have handed out what lies between");
        given.add(1..=MOST_PLACES as u64 + 3);
        assert_eq!((given.count(3, 9), given.count(4, 9)), (None, Some(6)));
    }
}
