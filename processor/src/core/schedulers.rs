//! A partition's schedulers in memory: looked up by borrowed names, kept in chunks so that growing never copies them.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use ronda_domain::Scheduler;
use ronda_domain::id::{IdError, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::time::Timestamp;

/// Slots a chunk.
const CHUNK: usize = 256;

/// Where a scheduler is kept; given to another one after it was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotId(u32);

/// One scheduler.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) key: SchedulerKey,
    /// `None`: deleted, the row goes when its events are published.
    pub(crate) state: Option<Scheduler>,
    /// Position of the last message that changed the row.
    pub(crate) position: u64,
    /// The deadline that it is queued under; `MAX`: none.
    pub(crate) armed: Timestamp,
    /// Whether the step's commit writes it already.
    pub(crate) is_dirty: bool,
    /// Whether the frame's tick looks at it already.
    pub(crate) is_touched: bool,
}

/// Why a name can't be a scheduler's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadKey {
    Tenant(IdError),
    Scheduler(IdError),
}

/// All of a partition.
#[derive(Default)]
pub(crate) struct Schedulers {
    hasher: DefaultHashBuilder,
    table: HashTable<SlotId>,
    chunks: Vec<Vec<Slot>>,
    free: Vec<SlotId>,
    tenants: HashMap<Box<str>, TenantId>,
}

impl Schedulers {
    /// How many there are, deleted ones that wait for their events included.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many slots there are, free ones included.
    pub(crate) fn capacity(&self) -> usize {
        self.chunks.iter().map(Vec::len).sum()
    }

    /// Finds a scheduler without allocating.
    pub(crate) fn find(&self, tenant: &str, scheduler: &str) -> Option<SlotId> {
        let hash = self.hasher.hash_one((tenant, scheduler));
        let is_it = |id: &SlotId| {
            let key = &self.slot(*id).key;
            key.scheduler.as_str() == scheduler && key.tenant.as_str() == tenant
        };
        self.table.find(hash, is_it).copied()
    }

    /// A checked key; its tenant's name is shared with all its other schedulers.
    pub(crate) fn key(&mut self, tenant: &str, scheduler: &str) -> Result<SchedulerKey, BadKey> {
        let tenant = match self.tenants.get(tenant) {
            Some(known) => known.clone(),
            None => TenantId::new(tenant).map_err(BadKey::Tenant)?,
        };
        let scheduler = SchedulerId::new(scheduler).map_err(BadKey::Scheduler)?;
        Ok(self.share_tenant(SchedulerKey { tenant, scheduler }))
    }

    /// The key with its tenant's name shared with all its other schedulers.
    pub(crate) fn share_tenant(&mut self, key: SchedulerKey) -> SchedulerKey {
        match self.tenants.get(key.tenant.as_str()) {
            Some(known) => SchedulerKey { tenant: known.clone(), ..key },
            None => {
                self.tenants.insert(key.tenant.as_str().into(), key.tenant.clone());
                key
            }
        }
    }

    /// Adds a scheduler that [`find`](Self::find) did not find.
    pub(crate) fn insert(&mut self, key: SchedulerKey, state: Option<Scheduler>, position: u64) -> SlotId {
        let hash = self.hasher.hash_one((key.tenant.as_str(), key.scheduler.as_str()));
        let slot = Slot { key, state, position, armed: Timestamp::MAX, is_dirty: false, is_touched: false };
        let id = match self.free.pop() {
            Some(id) => {
                *self.slot_mut(id) = slot;
                id
            }
            None => self.push(slot),
        };
        let (hasher, chunks) = (&self.hasher, &self.chunks);
        self.table.insert_unique(hash, id, |id| {
            let key = &chunks[id.chunk()][id.offset()].key;
            hasher.hash_one((key.tenant.as_str(), key.scheduler.as_str()))
        });
        id
    }

    fn push(&mut self, slot: Slot) -> SlotId {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let index = (self.chunks.len() - 1) * CHUNK;
        let last = self.chunks.len() - 1;
        let offset = self.chunks[last].len();
        self.chunks[last].push(slot);
        SlotId(u32::try_from(index + offset).unwrap_or(u32::MAX))
    }

    /// Takes a scheduler out; its slot is given away again.
    pub(crate) fn remove(&mut self, id: SlotId) {
        let key = &self.slot(id).key;
        let hash = self.hasher.hash_one((key.tenant.as_str(), key.scheduler.as_str()));
        if let Ok(found) = self.table.find_entry(hash, |other| *other == id) {
            found.remove();
            let slot = self.slot_mut(id);
            slot.state = None;
            slot.armed = Timestamp::MAX;
            slot.is_dirty = false;
            slot.is_touched = false;
            self.free.push(id);
        }
    }

    pub(crate) fn slot(&self, id: SlotId) -> &Slot {
        &self.chunks[id.chunk()][id.offset()]
    }

    pub(crate) fn slot_mut(&mut self, id: SlotId) -> &mut Slot {
        &mut self.chunks[id.chunk()][id.offset()]
    }

    /// All of them by key: an order that doesn't depend on when they came.
    pub(crate) fn by_key(&self) -> Vec<SlotId> {
        let mut ids: Vec<SlotId> = self.table.iter().copied().collect();
        self.sort(&mut ids);
        ids
    }

    /// Sorts slots by key.
    pub(crate) fn sort(&self, ids: &mut [SlotId]) {
        ids.sort_unstable_by(|one, other| self.slot(*one).key.cmp(&self.slot(*other).key));
    }

    /// Memory held, in bytes: slots, states, names and the table.
    pub(crate) fn memory_bytes(&self) -> usize {
        let slots = self.chunks.len() * CHUNK * size_of::<Slot>();
        let heap: usize = self.chunks.iter().flatten().map(slot_heap_bytes).sum();
        let table = self.table.capacity() * (size_of::<SlotId>() + 1) * 8 / 7;
        slots + heap + table + self.free.capacity() * size_of::<SlotId>()
    }
}

fn slot_heap_bytes(slot: &Slot) -> usize {
    let state =
        slot.state.as_ref().map_or(0, |state| state.approximate_memory_bytes().saturating_sub(size_of::<Scheduler>()));
    // What a general allocator rounds small texts up to.
    state + slot.key.scheduler.as_str().len().next_multiple_of(16)
}

impl SlotId {
    const fn chunk(self) -> usize {
        self.0 as usize / CHUNK
    }

    const fn offset(self) -> usize {
        self.0 as usize % CHUNK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_find_their_slots_and_freed_slots_are_used_again() {
        let mut all = Schedulers::default();
        let ids: Vec<_> = (0..1_000)
            .map(|n| {
                let key = all.key("acme", &format!("job-{n}")).unwrap();
                all.insert(key, None, n)
            })
            .collect();
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(all.find("acme", &format!("job-{n}")), Some(*id));
        }
        assert_eq!(all.find("acmejob", "-1"), None, "the names are not simply joined");
        all.remove(ids[7]);
        assert_eq!(all.find("acme", "job-7"), None);
        let key = all.key("acme", "new").unwrap();
        assert_eq!(all.insert(key, None, 1), ids[7]);
        assert_eq!((all.len(), all.capacity()), (1_000, 1_000));
        assert!(matches!(all.key("a b", "x"), Err(BadKey::Tenant(_))));
        assert!(matches!(all.key("a", "../x"), Err(BadKey::Scheduler(_))));
    }
}
