//! The event partitions that this process works on.

use std::collections::BTreeMap;

use crate::shard::Shard;

/// Shards by their number. One that is not ours is not here.
#[derive(Debug, Default)]
pub(crate) struct Shards(BTreeMap<u32, Shard>);

impl Shards {
    pub(crate) fn get(&self, id: u32) -> Option<&Shard> {
        self.0.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Shard> {
        self.0.get_mut(&id)
    }

    /// The shard, if it is still the one that was acquired with this epoch.
    pub(crate) fn acquired_with(&mut self, id: u32, epoch: u64) -> Option<&mut Shard> {
        self.0.get_mut(&id).filter(|shard| shard.epoch == epoch)
    }

    pub(super) fn insert(&mut self, shard: Shard) {
        self.0.insert(shard.id, shard);
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Shard> {
        self.0.remove(&id)
    }

    /// By number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Shard> {
        self.0.values()
    }

    /// By number.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.0.values_mut()
    }
}
