//! How the partitions are, summed up for the process's health.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ronda_runtime::{Component, Health};

/// Longest time in which every partition's loop has to come round.
const BEAT_WITHIN: Duration = Duration::from_secs(60);

/// The partitions' signs of life. The component beats when each of them has shown one since its last beat.
pub(super) struct Vitals {
    component: Component,
    partitions: Vec<Partition>,
}

#[derive(Default)]
struct Partition {
    has_beaten: AtomicBool,
    is_ready: AtomicBool,
    commits: AtomicU64,
}

impl Vitals {
    pub(super) fn new(health: &Health, partitions: u32) -> Self {
        let component = health.component("processor").beating_within(BEAT_WITHIN);
        Self { component, partitions: (0..partitions).map(|_| Partition::default()).collect() }
    }

    fn of(&self, partition: u32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    /// The partition's loop came round.
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

    pub(super) fn set_ready(&self, partition: u32, is_ready: bool) {
        if let Some(one) = self.of(partition) {
            one.is_ready.store(is_ready, Ordering::Relaxed);
        }
        let waiting: Vec<String> = (0_u32..)
            .zip(&self.partitions)
            .filter(|(_, one)| !one.is_ready.load(Ordering::Relaxed))
            .map(|(partition, _)| partition.to_string())
            .collect();
        let reason =
            if waiting.is_empty() { String::new() } else { format!("not yet up: partitions {}", waiting.join(", ")) };
        self.component.set_ready(waiting.is_empty(), reason);
    }

    pub(super) fn committed(&self, partition: u32) {
        if let Some(one) = self.of(partition) {
            one.commits.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Commits since the start; shows whether a partition got anywhere.
    pub(super) fn commits(&self, partition: u32) -> u64 {
        self.of(partition).map_or(0, |one| one.commits.load(Ordering::Relaxed))
    }

    pub(super) fn rest(&self) {
        self.component.rest();
    }
}
