//! What a commit that is still open has to tell.

use ronda_schemas::event::EventBatch;

use super::PartitionCore;

impl PartitionCore {
    /// Whether the open commit holds what somebody is to be told: it is not to be kept open for the sake of fewer writes.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.work.events.is_empty() || !self.work.dead_letters.is_empty()
    }

    /// Whether it holds an alert, for which people have to wait no longer than they must.
    #[must_use]
    pub const fn has_alert(&self) -> bool {
        self.work.has_alert
    }

    /// Tells the event queue's partitions how far all has been judged, where that is due, while the open commit has nothing else to tell. That this
    /// is not durable yet does no harm: whoever owns the partition next takes in the same messages, and comes to the same judgements.
    #[must_use]
    pub fn tell_clock(&mut self) -> Vec<(u32, EventBatch)> {
        if self.has_news() || self.is_holding() || self.is_underway() {
            return Vec::new();
        }
        self.announcer.batches(Vec::new(), self.watermark)
    }
}
