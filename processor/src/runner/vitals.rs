//! How the partitions are, summed up for the process's health.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ronda_domain::time::Timestamp;
use ronda_runtime::{Component, Health};
use ronda_schemas::api::time::format_rfc3339;

use crate::core::Held;

/// Longest time in which every partition's loop has to come round.
const BEAT_WITHIN: Duration = Duration::from_secs(60);

/// The partitions' signs of life. The component beats when each of them has shown one since its last beat.
pub(super) struct Vitals {
    component: Component,
    partitions: Vec<Partition>,
    /// Held from looking at the partitions until it is told: else what was seen earlier could be told later, and stay.
    telling: Mutex<Told>,
}

/// What was told last.
#[derive(Default)]
struct Told {
    are_all_up: bool,
}

struct Partition {
    has_beaten: AtomicBool,
    is_ready: AtomicBool,
    commits: AtomicU64,
    /// The partition's clock as last committed, in milliseconds; `i64::MIN` before the first pulse.
    watermark_ms: AtomicI64,
    held: Mutex<Option<Held>>,
    /// Until the next commit.
    trouble: Mutex<Option<Trouble>>,
}

impl Partition {
    fn new() -> Self {
        Self {
            has_beaten: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            watermark_ms: AtomicI64::new(Timestamp::MIN.as_millis()),
            held: Mutex::default(),
            trouble: Mutex::default(),
        }
    }
}

/// What keeps a partition from committing.
#[derive(Clone)]
pub(super) struct Trouble {
    pub(super) text: String,
    /// Whether it comes again however often the partition is taken up.
    pub(super) is_lasting: bool,
}

impl Vitals {
    pub(super) fn new(health: &Health, partitions: u32) -> Self {
        let component = health.component("processor").beating_within(BEAT_WITHIN);
        let partitions = (0..partitions).map(|_| Partition::new()).collect();
        Self { component, partitions, telling: Mutex::default() }
    }

    fn of(&self, partition: u32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    /// The partition has come further, waits for something outside, or has nothing to do.
    pub(super) fn beat_of(&self, partition: u32) {
        if let Some(one) = self.of(partition) {
            one.has_beaten.store(true, Ordering::Relaxed);
        }
        if self.partitions.iter().all(|one| one.has_beaten.load(Ordering::Relaxed)) {
            for one in &self.partitions {
                one.has_beaten.store(false, Ordering::Relaxed);
            }
            self.component.beat();
        }
    }

    /// The partition is up, or no longer. Whether it is the one by which all are now.
    pub(super) fn set_ready(&self, partition: u32, is_ready: bool) -> bool {
        if let Some(one) = self.of(partition) {
            one.is_ready.store(is_ready, Ordering::Relaxed);
        }
        self.tell()
    }

    /// The partition's owner can't commit, or has stopped.
    pub(super) fn set_trouble(&self, partition: u32, trouble: Trouble) {
        let Some(one) = self.of(partition) else { return };
        *one.trouble.lock() = Some(trouble);
        self.tell();
    }

    /// The partition's clock stands still because a gateway's is behind it, or no longer does.
    pub(super) fn set_held(&self, partition: u32, held: Option<Held>) {
        let Some(one) = self.of(partition) else { return };
        let before = std::mem::replace(&mut *one.held.lock(), held);
        if before != held {
            self.tell();
        }
    }

    /// Whether all are up, and none is stopped by what only another release mends. One that waits for its store, or whose clock is held,
    /// is ready all the same, because what comes in is kept; it says why it comes no further. Answers whether all have just come up.
    fn tell(&self) -> bool {
        let mut told = self.telling.lock();
        let numbered = || (0_u32..).zip(&self.partitions);
        let waiting: Vec<String> = numbered()
            .filter(|(_, one)| !one.is_ready.load(Ordering::Relaxed))
            .map(|(partition, _)| partition.to_string())
            .collect();
        let up = (!waiting.is_empty()).then(|| format!("not yet up: partitions {}", waiting.join(", ")));
        let troubles: Vec<_> =
            numbered().filter_map(|(partition, one)| Some((partition, one.trouble.lock().clone()?))).collect();
        let is_ready = waiting.is_empty() && !troubles.iter().any(|(_, trouble)| trouble.is_lasting);
        let troubles = troubles.into_iter().map(|(partition, Trouble { text, is_lasting })| match is_lasting {
            true => format!("partition {partition} comes no further: {text}; see docs/operations.md"),
            false => format!("partition {partition}: {text}"),
        });
        let held = numbered().filter_map(|(partition, one)| Some((partition, (*one.held.lock())?)));
        let held = held.map(|(partition, held)| {
            let (clock, wall) = (format_rfc3339(held.clock), format_rfc3339(held.wall));
            format!(
                "partition {partition}: the clock is at {clock}, a gateway says {wall}; nothing is judged until then: see \
                 docs/operations.md"
            )
        });
        let reasons: Vec<String> = up.into_iter().chain(troubles).chain(held).collect();
        self.component.set_ready(is_ready, reasons.join("; "));
        let were_all_up = std::mem::replace(&mut told.are_all_up, waiting.is_empty());
        waiting.is_empty() && !were_all_up
    }

    pub(super) fn committed(&self, partition: u32) {
        let Some(one) = self.of(partition) else { return };
        one.commits.fetch_add(1, Ordering::Relaxed);
        let before = one.trouble.lock().take();
        if before.is_some() {
            self.tell();
        }
    }

    /// The partition's clock has come to here.
    pub(super) fn set_watermark(&self, partition: u32, watermark: Timestamp) {
        if let Some(one) = self.of(partition) {
            one.watermark_ms.store(watermark.as_millis(), Ordering::Relaxed);
        }
    }

    /// How far the partition's clock has come, as committed.
    pub(super) fn watermark(&self, partition: u32) -> Timestamp {
        self.of(partition)
            .map_or(Timestamp::MIN, |one| Timestamp::from_millis(one.watermark_ms.load(Ordering::Relaxed)))
    }

    /// Commits since the start; shows whether a partition got anywhere.
    pub(super) fn commits(&self, partition: u32) -> u64 {
        self.of(partition).map_or(0, |one| one.commits.load(Ordering::Relaxed))
    }

    pub(super) fn rest(&self) {
        self.component.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_that_come_up_at_once_are_all_up_in_the_end() {
        const PARTITIONS: u32 = 8;
        for round in 0..2_000 {
            let health = Health::new();
            let vitals = Vitals::new(&health, PARTITIONS);
            vitals.beat_of(0);
            std::thread::scope(|threads| {
                let up = (0..PARTITIONS).map(|partition| {
                    let vitals = &vitals;
                    threads.spawn(move || vitals.set_ready(partition, true))
                });
                let up: Vec<_> = up.collect();
                let told = up.into_iter().filter_map(|thread| thread.join().ok().filter(|is_told| *is_told)).count();
                assert_eq!(told, 1, "round {round}: one of them is the last");
            });
            let readiness = health.readiness();
            assert!(readiness.ok, "round {round}: {:?}", readiness.components);
        }
    }

    #[test]
    fn that_all_are_up_is_news_once_until_one_is_not() {
        let vitals = Vitals::new(&Health::new(), 2);
        let set = |partition, is_ready| vitals.set_ready(partition, is_ready);
        assert_eq!([set(0, true), set(1, true), set(0, true), set(1, true)], [false, true, false, false]);
        assert_eq!([set(1, false), set(0, true), set(1, true)], [false, false, true]);
    }
}
