//! What the notifier keeps of one event partition: surfaces, the cursor, and which events it has seen.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ronda_domain::time::Timestamp;
use ronda_schemas::codec::{DecodeError, Versioned};
use ronda_store::port::SurfaceWrite;
use serde::{Deserialize, Serialize};

use crate::agenda::Agenda;
use crate::hash::fnv64;
use crate::intake::Now;
use crate::manners::Manners;
use crate::surface::{Policy, Surface, Work};

/// Row that holds the cursor and the partitions' clocks.
const META_ROW: &str = "meta";
/// Row that holds the installation's name.
pub(crate) const INSTALLATION_ROW: &str = "installation";
/// The shard that has this row: its owner makes the name, and everybody reads it there.
pub(crate) const NAMING_SHARD: u32 = 0;
/// Rows that hold the ids of events seen.
const SEEN_PREFIX: &str = "seen/";
/// Rows that hold surfaces.
const SURFACE_PREFIX: &str = "s/";
/// Longest surface key, in bytes; a row's key may have 512.
pub(crate) const MAX_KEY_BYTES: usize = 480;
/// Events remembered in one row: only the newest row is written again with each commit.
const SEEN_CHUNK: usize = 256;
/// Rows of events remembered; the oldest is overwritten. More than what sixteen partitions of commands hold back while the event queue takes
/// nothing, 4,000 events each (the processor's `MAX_HELD`): when their owners are killed in the middle of catching up, all may come again.
const SEEN_CHUNKS: usize = 272;

/// How far the shard has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Position of the last event batch taken in; 0: none.
    pub(crate) cursor: u64,
    /// The command partitions' clocks, by partition.
    pub(crate) watermarks: Vec<Timestamp>,
    /// Row of `seen` that is being filled.
    seen_chunk: u32,
}

impl Versioned for Meta {
    const WHAT: &'static str = "notifier cursor";
    const VERSION: u32 = 1;
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct SeenChunk(Vec<u64>);

impl Versioned for SeenChunk {
    const WHAT: &'static str = "notifier's seen events";
    const VERSION: u32 = 1;
}

/// One event partition's state.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) id: u32,
    pub(crate) epoch: u64,
    pub(crate) meta: Meta,
    seen: HashSet<u64>,
    chunks: BTreeMap<u32, SeenChunk>,
    surfaces: BTreeMap<String, Surface>,
    agenda: Agenda,
    dirty: BTreeSet<String>,
    removed: BTreeSet<String>,
    meta_dirty: bool,
    seen_dirty: bool,
    /// Which installation this is; in [`NAMING_SHARD`] only.
    pub(crate) installation: Option<String>,
    /// Rows that could not be read.
    pub(crate) unread_rows: u32,
    /// It is being given up: no call is begun for it.
    pub(crate) is_leaving: bool,
}

/// What tells several installations apart that share an app and a channel. Made once, at random.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Installation(pub(crate) String);

impl Versioned for Installation {
    const WHAT: &'static str = "installation's name";
    const VERSION: u32 = 1;
}

impl Shard {
    pub(crate) fn new(id: u32, epoch: u64) -> Self {
        Self { id, epoch, ..Self::default() }
    }

    /// Takes in one stored row.
    pub(crate) fn load_row(&mut self, key: &str, row: &[u8]) -> Result<(), DecodeError> {
        if key == META_ROW {
            self.meta = Meta::decode(row)?;
        } else if key == INSTALLATION_ROW {
            self.installation = Some(Installation::decode(row)?.0);
        } else if let Some(chunk) = key.strip_prefix(SEEN_PREFIX) {
            let index = chunk.parse().map_err(|error| DecodeError::malformed(SeenChunk::WHAT, error))?;
            let chunk = SeenChunk::decode(row)?;
            self.seen.extend(&chunk.0);
            self.chunks.insert(index, chunk);
        } else if let Some(key) = key.strip_prefix(SURFACE_PREFIX) {
            self.surfaces.insert(key.to_owned(), Surface::of_row(row)?);
        }
        Ok(())
    }

    /// Makes sense of what was loaded; see [`Surface::recover`]. `home` says where a surface belongs that is no reply; a
    /// reply goes where its parent is.
    pub(crate) fn recover(
        &mut self,
        now_ms: u64,
        manners: &Manners,
        policy: &Policy,
        home: impl Fn(&Surface) -> Option<String>,
    ) {
        let (replies, others): (Vec<String>, Vec<String>) =
            self.surfaces.values().map(|surface| surface.key.clone()).partition(|key| self.is_reply(key));
        for key in others.into_iter().chain(replies) {
            let Some(before) = self.surfaces.get(&key).cloned() else { continue };
            let home = match &before.parent {
                Some(parent) => self.get(parent).map(|parent| parent.channel.clone()),
                None => home(&before),
            };
            let mut surface = before.clone();
            let manner = manners.of(home.as_ref().unwrap_or(&before.channel));
            let policy = Policy { can_find: manner.capabilities.can_find, ..*policy };
            surface.recover(now_ms, manner.kind, home.as_deref(), &policy);
            if surface != before {
                self.dirty.insert(surface_row(&key));
            }
            self.agenda.note(&key, Some(&surface));
            self.surfaces.insert(key, surface);
        }
    }

    fn is_reply(&self, key: &str) -> bool {
        self.get(key).is_some_and(|surface| surface.parent.is_some())
    }

    /// Whether an event is new; it is not any more afterwards.
    pub(crate) fn first_sight(&mut self, event_id: &str) -> bool {
        let id = fnv64(event_id);
        if !self.seen.insert(id) {
            return false;
        }
        let full = self.chunks.get(&self.meta.seen_chunk).is_some_and(|chunk| chunk.0.len() >= SEEN_CHUNK);
        if full {
            self.meta.seen_chunk = (self.meta.seen_chunk + 1) % u32::try_from(SEEN_CHUNKS).unwrap_or(1);
            if let Some(old) = self.chunks.remove(&self.meta.seen_chunk) {
                for id in old.0 {
                    self.seen.remove(&id);
                }
            }
        }
        self.chunks.entry(self.meta.seen_chunk).or_default().0.push(id);
        self.dirty.insert(format!("{SEEN_PREFIX}{}", self.meta.seen_chunk));
        self.seen_dirty = true;
        self.meta_dirty = true;
        true
    }

    /// Takes in that everything through this position has been dealt with, and how far a command partition has come.
    pub(crate) fn advance(&mut self, position: Option<u64>, partition: u32, partitions: u32, watermark: Timestamp) {
        self.pass(position);
        let wanted = usize::try_from(partitions.max(partition + 1)).unwrap_or(0).min(1024);
        if self.meta.watermarks.len() != wanted {
            // Another number of partitions begins where the last of those before had come to.
            let least = self.meta.watermarks.iter().copied().min().unwrap_or(Timestamp::MIN);
            self.meta.watermarks = vec![least; wanted];
        }
        let index = usize::try_from(partition).unwrap_or(usize::MAX);
        if let Some(slot) = self.meta.watermarks.get_mut(index) {
            *slot = (*slot).max(watermark);
        }
        self.meta_dirty = true;
    }

    /// Takes in that everything through this position has been dealt with. On queues without positions it is committed all the same, so
    /// that it is settled.
    pub(crate) fn pass(&mut self, position: Option<u64>) {
        self.meta.cursor = self.meta.cursor.max(position.unwrap_or_default());
        self.meta_dirty = true;
    }

    /// The time before which every command partition has been judged; `None` until each has said something.
    pub(crate) fn least_watermark(&self) -> Option<Timestamp> {
        self.meta.watermarks.iter().copied().min().filter(|least| *least > Timestamp::MIN)
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Surface> {
        self.surfaces.get(key)
    }

    /// Surfaces whose key begins so, by key.
    pub(crate) fn beginning_with<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Surface> {
        let from = self.surfaces.range(prefix.to_owned()..);
        from.take_while(move |(key, _)| key.starts_with(prefix)).map(|(_, surface)| surface)
    }

    /// Surfaces that may need a call, now or some time: all of them.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Surface> {
        self.agenda.unsettled().filter_map(|key| self.surfaces.get(key))
    }

    /// How many of them wait for nothing that people have asked for.
    pub(crate) fn backlog(&self) -> usize {
        self.agenda.backlog()
    }

    /// Those of them that had to wait until now, or less long.
    pub(crate) fn waited_until(&self, now: Timestamp) -> Vec<String> {
        self.agenda.waited_until(now)
    }

    /// Works out what is due of what has changed or waited until now; of no other surface anything can be. Answers how many it looked at.
    /// `urgency` of a call: the lower, the sooner it is made.
    pub(crate) fn look_through(&mut self, now: Now, urgency: impl Fn(&Surface, &Work) -> u8) -> usize {
        let due = self.agenda.take_due(now);
        for key in &due {
            if let Some(surface) = self.surfaces.get(key).filter(|surface| !surface.is_settled()) {
                self.agenda.file(surface, now, &urgency);
            }
        }
        due.len()
    }

    /// Surfaces that need a call, in lines of those that wait for the same limit of the same channel, the most urgent first; as of the last
    /// [`look_through`](Self::look_through).
    pub(crate) fn lines(&self) -> impl Iterator<Item = impl Iterator<Item = &Surface>> {
        self.agenda.lines().map(|line| line.filter_map(|(_, _, key)| self.surfaces.get(key)))
    }

    /// Alerts that nobody has seen and that are to be told now, by channel; as of the last [`look_through`](Self::look_through).
    pub(crate) fn alerts_apart(&self) -> BTreeMap<String, Vec<String>> {
        self.agenda.apart().map(|(channel, keys)| (channel.clone(), keys.iter().cloned().collect())).collect()
    }

    /// When the next surface has waited long enough; see [`Agenda::next_due_ms`].
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.agenda.next_due_ms()
    }

    /// Adds a surface, unless one of that key is there.
    pub(crate) fn insert(&mut self, surface: Surface) {
        let key = surface.key.clone();
        self.surfaces.entry(key.clone()).or_insert(surface);
        self.removed.remove(&key);
        self.note(&key);
    }

    /// Changes a surface; `None` when there is none of that key.
    pub(crate) fn change<T>(&mut self, key: &str, change: impl FnOnce(&mut Surface) -> T) -> Option<T> {
        let answer = self.surfaces.get_mut(key).map(change)?;
        self.note(key);
        Some(answer)
    }

    fn note(&mut self, key: &str) {
        self.dirty.insert(surface_row(key));
        self.agenda.note(key, self.surfaces.get(key));
    }

    fn remove(&mut self, key: &str) {
        if self.surfaces.remove(key).is_some() {
            self.agenda.note(key, None);
            self.dirty.remove(&surface_row(key));
            self.removed.insert(key.to_owned());
        }
    }

    /// Forgets what was finished before a wall time and, beyond the limit, the oldest finished ones. Answers how many.
    pub(crate) fn forget(&mut self, before_wall_ms: i64, max_surfaces: usize) -> usize {
        let finished = |surface: &&Surface| surface.is_finished() && surface.is_settled();
        let mut old: Vec<(i64, String)> = self
            .surfaces
            .values()
            .filter(finished)
            .map(|surface| (surface.touched_wall_ms, surface.key.clone()))
            .collect();
        old.sort();
        let surplus = self.surfaces.len().saturating_sub(max_surfaces);
        let expired = old.iter().take_while(|(touched, _)| *touched < before_wall_ms).count();
        let count = expired.max(surplus.min(old.len()));
        for (_, key) in old.into_iter().take(count) {
            self.remove(&key);
        }
        count
    }

    /// Whether there is anything to commit that is more than clocks and cursor.
    pub(crate) fn has_changes(&self) -> bool {
        !self.dirty.is_empty() || !self.removed.is_empty() || self.seen_dirty
    }

    /// Whether there is anything to commit at all.
    pub(crate) fn has_news(&self) -> bool {
        self.has_changes() || self.meta_dirty
    }

    /// Everything that changed since the last call, to be committed together.
    pub(crate) fn take_writes(&mut self) -> Result<Vec<SurfaceWrite>, DecodeError> {
        let mut writes = Vec::with_capacity(self.dirty.len() + self.removed.len() + 1);
        for key in std::mem::take(&mut self.dirty) {
            let row = if let Some(chunk) = key.strip_prefix(SEEN_PREFIX) {
                chunk.parse().ok().and_then(|index: u32| self.chunks.get(&index)).map(Versioned::encode)
            } else {
                key.strip_prefix(SURFACE_PREFIX).and_then(|key| self.surfaces.get(key)).map(Versioned::encode)
            };
            writes.push(SurfaceWrite { key, row: row.transpose()? });
        }
        for key in std::mem::take(&mut self.removed) {
            writes.push(SurfaceWrite { key: surface_row(&key), row: None });
        }
        if self.meta_dirty || !writes.is_empty() {
            writes.push(SurfaceWrite { key: META_ROW.to_owned(), row: Some(self.meta.encode()?) });
        }
        self.meta_dirty = false;
        self.seen_dirty = false;
        Ok(writes)
    }
}

/// The row of a surface.
pub(crate) fn surface_row(key: &str) -> String {
    format!("{SURFACE_PREFIX}{key}")
}

/// A key that fits: a longer one keeps its beginning and ends with its hash.
pub(crate) fn fit_key(key: String) -> String {
    if key.len() <= MAX_KEY_BYTES {
        return key;
    }
    let head: String = key.chars().take_while(char::is_ascii).take(MAX_KEY_BYTES - 20).collect();
    format!("{head}~{:016x}", fnv64(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_new_once_also_after_a_restart() {
        let mut shard = Shard::new(0, 1);
        assert!(shard.first_sight("a") && !shard.first_sight("a"));
        for number in 0..1_000 {
            assert!(shard.first_sight(&format!("e{number}")));
        }
        let writes = shard.take_writes().unwrap();
        let mut again = Shard::new(0, 2);
        for write in writes {
            again.load_row(&write.key, &write.row.unwrap()).unwrap();
        }
        assert!(!again.first_sight("a") && !again.first_sight("e0") && !again.first_sight("e999"));
        assert!(again.first_sight("new"));
    }

    #[test]
    fn the_memory_for_events_is_bounded() {
        let mut shard = Shard::new(0, 1);
        for number in 0..100_000 {
            shard.first_sight(&format!("e{number}"));
        }
        assert!(shard.seen.len() <= SEEN_CHUNK * SEEN_CHUNKS);
        assert!(!shard.first_sight("e99999"));
    }

    #[test]
    fn the_least_watermark_needs_every_partition() {
        let mut shard = Shard::new(0, 1);
        shard.advance(Some(1), 1, 2, Timestamp::from_seconds(50));
        assert_eq!(shard.least_watermark(), None);
        shard.advance(Some(2), 0, 2, Timestamp::from_seconds(40));
        assert_eq!(shard.least_watermark(), Some(Timestamp::from_seconds(40)));
        shard.advance(Some(3), 0, 2, Timestamp::from_seconds(30));
        assert_eq!(shard.least_watermark(), Some(Timestamp::from_seconds(40)), "a repeated batch turns no clock back");
    }

    #[test]
    fn another_number_of_partitions_goes_on_from_the_least_watermark() {
        let mut shard = Shard::new(0, 1);
        for (partition, seconds) in [(0, 50), (1, 40)] {
            shard.advance(Some(1), partition, 2, Timestamp::from_seconds(seconds));
        }
        shard.advance(Some(2), 3, 4, Timestamp::from_seconds(60));
        assert_eq!(shard.least_watermark(), Some(Timestamp::from_seconds(40)));
        shard.advance(Some(3), 0, 1, Timestamp::from_seconds(70));
        assert_eq!(shard.least_watermark(), Some(Timestamp::from_seconds(70)));
    }
}
