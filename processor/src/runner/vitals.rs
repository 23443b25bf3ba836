//! How the partitions are, summed up for the process's health.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ronda_domain::time::Timestamp;
use ronda_runtime::{Component, Health};
use ronda_schemas::api::time::format_rfc3339;

use super::telemetry;
use crate::core::Held;

/// Longest time in which every partition's loop has to come round.
const BEAT_WITHIN: Duration = Duration::from_secs(60);

/// The partitions' signs of life. The component beats when each of those that this process works on has shown one since its last beat.
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
    /// Whether this process works on it. Of one that it doesn't, nothing is told. Held while something is, so that nothing of a partition is
    /// told after it was given up.
    is_owned: Mutex<bool>,
    has_beaten: AtomicBool,
    is_ready: AtomicBool,
    commits: AtomicU64,
    /// The partition's clock as last told, in milliseconds; `i64::MIN` before the first pulse.
    watermark_ms: AtomicI64,
    held: Mutex<Option<Held>>,
    /// Until the next commit.
    trouble: Mutex<Option<Trouble>>,
}

impl Partition {
    fn new() -> Self {
        Self {
            is_owned: Mutex::new(false),
            has_beaten: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            watermark_ms: AtomicI64::new(Timestamp::MIN.as_millis()),
            held: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    fn is_owned(&self) -> bool {
        *self.is_owned.lock()
    }

    /// As at the beginning.
    fn rest(&self) {
        self.has_beaten.store(false, Ordering::Relaxed);
        self.is_ready.store(false, Ordering::Relaxed);
        self.watermark_ms.store(Timestamp::MIN.as_millis(), Ordering::Relaxed);
        *self.held.lock() = None;
        *self.trouble.lock() = None;
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

    /// Those that this process works on, by number.
    fn owned(&self) -> impl Iterator<Item = (u32, &Partition)> {
        (0_u32..).zip(&self.partitions).filter(|(_, one)| one.is_owned())
    }

    /// This process works on these, too.
    pub(super) fn own(&self, partitions: &[u32]) {
        for one in partitions.iter().filter_map(|partition| self.of(*partition)) {
            one.rest();
            *one.is_owned.lock() = true;
        }
        self.tell();
    }

    /// Nothing of this process works on the partition any more: nothing that was told of it stays.
    pub(super) fn give_up(&self, partition: u32) {
        let Some(one) = self.of(partition) else { return };
        {
            let mut is_owned = one.is_owned.lock();
            *is_owned = false;
            telemetry::clear(partition);
        }
        one.rest();
        self.tell();
    }

    /// Tells something of a partition, if it is this process's.
    pub(super) fn if_owned(&self, partition: u32, tell: impl FnOnce()) {
        let Some(one) = self.of(partition) else { return };
        let is_owned = one.is_owned.lock();
        if *is_owned {
            tell();
        }
    }

    /// The partitions that this process works on.
    pub(super) fn ours(&self) -> Vec<u32> {
        self.owned().map(|(partition, _)| partition).collect()
    }

    /// The partition has come further, waits for something outside, or has nothing to do.
    pub(super) fn beat_of(&self, partition: u32) {
        if let Some(one) = self.of(partition) {
            one.has_beaten.store(true, Ordering::Relaxed);
        }
        self.beat();
    }

    /// Without a partition nothing else beats.
    pub(super) fn beat_if_idle(&self) {
        if self.owned().next().is_none() {
            self.component.beat();
        }
    }

    fn beat(&self) {
        if self.owned().all(|(_, one)| one.has_beaten.load(Ordering::Relaxed)) {
            for (_, one) in self.owned() {
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

    /// The partition's owner is at work, and waits for something that will come.
    pub(super) fn hindered(&self, partition: u32, text: String) {
        self.beat_of(partition);
        self.set_trouble(partition, Trouble { text, is_lasting: false });
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

    /// Whether all of its own are up, and none is stopped by what only another release mends. One that waits for its store, or whose clock is
    /// held, is ready all the same, because what comes in is kept; it says why it comes no further. Answers whether all have just come up.
    /// Who has none is ready: it would take some up at once.
    fn tell(&self) -> bool {
        let mut told = self.telling.lock();
        let waiting: Vec<String> = self
            .owned()
            .filter(|(_, one)| !one.is_ready.load(Ordering::Relaxed))
            .map(|(partition, _)| partition.to_string())
            .collect();
        let is_idle = self.owned().next().is_none();
        let up = match (is_idle, waiting.is_empty()) {
            (true, _) => Some(String::from("no partition is assigned to it")),
            (false, false) => Some(format!("not yet up: partitions {}", waiting.join(", "))),
            (false, true) => None,
        };
        let troubles: Vec<_> =
            self.owned().filter_map(|(partition, one)| Some((partition, one.trouble.lock().clone()?))).collect();
        let is_ready = waiting.is_empty() && !troubles.iter().any(|(_, trouble)| trouble.is_lasting);
        let troubles = troubles.into_iter().map(|(partition, Trouble { text, is_lasting })| match is_lasting {
            true => format!("partition {partition} comes no further: {text}; see docs/operations.md"),
            false => format!("partition {partition}: {text}"),
        });
        let held = self.owned().filter_map(|(partition, one)| Some((partition, (*one.held.lock())?)));
        let held = held.map(|(partition, held)| {
            let (clock, wall) = (format_rfc3339(held.clock), format_rfc3339(held.wall));
            format!(
                "partition {partition}: the clock is at {clock}, a gateway says {wall}; nothing is judged until then: see \
                 docs/operations.md"
            )
        });
        let reasons: Vec<String> = up.into_iter().chain(troubles).chain(held).collect();
        self.component.set_ready(is_ready, reasons.join("; "));
        let are_all_up = waiting.is_empty() && !is_idle;
        let were_all_up = std::mem::replace(&mut told.are_all_up, are_all_up);
        are_all_up && !were_all_up
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

    /// How far the partition's clock has come, as told.
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
    use std::sync::Arc;

    use ronda_runtime::ManualClock;

    use super::*;

    #[test]
    fn partitions_that_come_up_at_once_are_all_up_in_the_end() {
        const PARTITIONS: u32 = 8;
        for round in 0..2_000 {
            let health = Health::new();
            let vitals = Vitals::new(&health, PARTITIONS);
            vitals.own(&(0..PARTITIONS).collect::<Vec<_>>());
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
        vitals.own(&[0, 1]);
        let set = |partition, is_ready| vitals.set_ready(partition, is_ready);
        assert_eq!([set(0, true), set(1, true), set(0, true), set(1, true)], [false, true, false, false]);
        assert_eq!([set(1, false), set(0, true), set(1, true)], [false, false, true]);
    }

    #[test]
    fn only_its_own_partitions_count_and_of_one_given_up_nothing_stays() {
        let health = Health::new();
        let vitals = Vitals::new(&health, 4);
        assert!(!health.readiness().ok, "it has not begun");
        vitals.own(&[]);
        assert!(health.readiness().ok, "it has none: {:?}", health.readiness().components);
        vitals.own(&[1, 3]);
        assert_eq!(health.readiness().components[0].reason, "not yet up: partitions 1, 3");
        assert!(!vitals.set_ready(1, true) && vitals.set_ready(3, true), "all of its own are up");
        let trouble = Trouble { text: "it is broken".to_owned(), is_lasting: true };
        vitals.set_trouble(3, trouble);
        assert!(!health.readiness().ok);
        vitals.give_up(3);
        assert!(health.readiness().ok, "{:?}", health.readiness().components);
        let mut told = Vec::new();
        vitals.if_owned(3, || told.push(3));
        vitals.if_owned(1, || told.push(1));
        assert_eq!((told, vitals.ours()), (vec![1], vec![1]));
        vitals.own(&[3]);
        assert_eq!(health.readiness().components[0].reason, "not yet up: partitions 3");
    }

    #[test]
    fn it_is_alive_when_all_of_its_own_show_it_and_with_none_at_once() {
        let clock = Arc::new(ManualClock::at(0));
        let health = Health::with_clock(clock.clone());
        let vitals = Vitals::new(&health, 3);
        clock.advance(50_000);
        vitals.beat_if_idle();
        clock.advance(50_000);
        assert!(health.liveness().ok);
        vitals.own(&[0, 2]);
        vitals.beat_if_idle();
        vitals.beat_of(0);
        clock.advance(20_000);
        assert!(!health.liveness().ok, "the third shows nothing");
        vitals.beat_of(2);
        assert!(health.liveness().ok);
        vitals.give_up(2);
        clock.advance(50_000);
        vitals.beat_of(0);
        clock.advance(50_000);
        assert!(health.liveness().ok, "the one that is left has shown it");
    }
}
