//! The time at which a scheduler is shown: its partition's watermark, not this machine's clock, so that nothing looks late
//! because Ronda is behind.

use std::collections::HashMap;

use ronda_domain::id::{SchedulerKey, partition_of};
use ronda_domain::time::Timestamp;
use ronda_store::error::StoreError;
use ronda_store::port::Store;

/// The watermarks that one request has needed so far.
pub(crate) struct Watermarks<'s> {
    store: &'s dyn Store,
    partitions: u32,
    known: HashMap<u32, Timestamp>,
}

impl<'s> Watermarks<'s> {
    pub(crate) fn new(store: &'s dyn Store, partitions: u32) -> Self {
        Self { store, partitions, known: HashMap::new() }
    }

    /// The watermark of a scheduler's partition; the least time before its first pulse.
    pub(crate) async fn of(&mut self, key: &SchedulerKey) -> Result<Timestamp, StoreError> {
        let partition = partition_of(key.tenant.as_str(), key.scheduler.as_str(), self.partitions);
        if let Some(watermark) = self.known.get(&partition) {
            return Ok(*watermark);
        }
        let row = self.store.partition(partition).await?;
        let watermark = row.map_or(Timestamp::MIN, |row| row.watermark);
        self.known.insert(partition, watermark);
        Ok(watermark)
    }
}
