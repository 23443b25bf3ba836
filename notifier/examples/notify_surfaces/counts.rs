//! What the process counts of itself: the notifier's counters, processor time and memory.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use crate::Outcome;

/// The counters, by name, over all labels.
#[derive(Clone, Default)]
pub(crate) struct Counters(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Counters {
    /// Counts from now on.
    pub(crate) fn install() -> Outcome<Self> {
        let counters = Self::default();
        metrics::set_global_recorder(counters.clone()).map_err(|_| "somebody counts already")?;
        Ok(counters)
    }

    pub(crate) fn get(&self, name: &str) -> u64 {
        self.counter(name).load(Ordering::Relaxed)
    }

    fn counter(&self, name: &str) -> Arc<AtomicU64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.counter(key.name()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// The processor time of each thread.
pub(crate) struct ProcessorTime(BTreeMap<OsString, u64>);

impl ProcessorTime {
    pub(crate) fn now() -> Outcome<Self> {
        let mut threads = BTreeMap::new();
        for task in std::fs::read_dir("/proc/self/task")? {
            let task = task?;
            // One that has ended meanwhile counts no more.
            let Ok(line) = std::fs::read_to_string(task.path().join("schedstat")) else { continue };
            let nanos = line.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
            threads.insert(task.file_name(), nanos);
        }
        Ok(Self(threads))
    }

    /// What has passed since. By thread: what one had taken before that has ended since must not be taken off.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let passed =
            |(thread, nanos): (&OsString, &u64)| nanos - before.0.get(thread).copied().unwrap_or(0).min(*nanos);
        Duration::from_nanos(self.0.iter().map(passed).sum())
    }
}

/// Resident memory, in bytes.
pub(crate) fn resident_bytes() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1_024)
}
