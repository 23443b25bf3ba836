//! Health: what each part says of itself, summed up for whoever restarts processes and routes traffic.
//!
//! *Alive* means that the loops make progress; it never depends on a broker, a store or Slack, because a restart cures
//! none of those. *Ready* means that traffic may come.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use crate::clock::{Clock, SystemClock};

/// The health of one process. Clones share it.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    parts: Mutex<Vec<Part>>,
}

struct Part {
    name: &'static str,
    ready: bool,
    reason: String,
    /// Longest time between two beats, and when the last one was.
    beat: Option<(Duration, u64)>,
}

/// One part's handle for saying how it is. Clones speak for the same part.
#[derive(Clone)]
pub struct Component {
    health: Health,
    index: usize,
}

/// What a question after the health is answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether all parts are well.
    pub ok: bool,
    /// Each part, in the order in which they were made known.
    pub components: Vec<ComponentReport>,
}

/// How one part is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// Its name.
    pub name: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// Why it is not, or what it is doing; may be empty.
    pub reason: String,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Health of a process, by the machine's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { clock, parts: Mutex::new(Vec::new()) }) }
    }

    /// Makes a part known. It is not ready until it says so; a name that is known already gets another handle to it.
    #[must_use]
    pub fn component(&self, name: &'static str) -> Component {
        let mut parts = self.shared.parts.lock();
        let index = match parts.iter().position(|part| part.name == name) {
            Some(index) => index,
            None => {
                parts.push(Part { name, ready: false, reason: String::from("starting"), beat: None });
                parts.len() - 1
            }
        };
        Component { health: self.clone(), index }
    }

    /// Whether every part that promised to beat did so in time.
    #[must_use]
    pub fn liveness(&self) -> Report {
        let now = self.shared.clock.mono_millis();
        self.report(|part| match part.beat {
            Some((within, last)) => {
                let silent = now.saturating_sub(last);
                if u128::from(silent) <= within.as_millis() {
                    (true, String::new())
                } else {
                    (false, format!("no progress for {silent} ms (at most {} ms)", within.as_millis()))
                }
            }
            None => (true, String::new()),
        })
    }

    /// Whether every part is ready.
    #[must_use]
    pub fn readiness(&self) -> Report {
        self.report(|part| (part.ready, part.reason.clone()))
    }

    fn report(&self, judge: impl Fn(&Part) -> (bool, String)) -> Report {
        let components: Vec<_> = self
            .shared
            .parts
            .lock()
            .iter()
            .map(|part| {
                let (ok, reason) = judge(part);
                ComponentReport { name: part.name, ok, reason }
            })
            .collect();
        Report { ok: components.iter().all(|component| component.ok), components }
    }

    fn change(&self, index: usize, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.shared.parts.lock().get_mut(index) {
            change(part);
        }
    }
}

impl Component {
    /// Promises a [`beat`](Self::beat) at least this often, from now on; a broken promise ends liveness.
    #[must_use]
    pub fn beating_within(self, within: Duration) -> Self {
        let now = self.health.shared.clock.mono_millis();
        self.health.change(self.index, |part| part.beat = Some((within, now)));
        self
    }

    /// Says whether traffic may come, and why not (or what it is doing).
    pub fn set_ready(&self, ready: bool, reason: impl Into<String>) {
        let reason = reason.into();
        self.health.change(self.index, |part| {
            part.ready = ready;
            part.reason = reason;
        });
    }

    /// Says that its loop came round again.
    pub fn beat(&self) {
        let now = self.health.shared.clock.mono_millis();
        self.health.change(self.index, |part| {
            if let Some((_, last)) = &mut part.beat {
                *last = now;
            }
        });
    }

    /// Takes the promise to beat back: the loop has ended in order, as in a drain.
    pub fn rest(&self) {
        self.health.change(self.index, |part| part.beat = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_process_is_ready_when_all_its_parts_are_and_names_the_one_that_is_not() {
        let health = Health::new();
        let gateway = health.component("gateway");
        let processor = health.component("processor");
        gateway.set_ready(true, "");
        assert!(!health.readiness().ok);
        processor.set_ready(false, "loading partition 3");
        let report = health.readiness();
        assert!(report.components[0].ok);
        assert_eq!(report.components[1].reason, "loading partition 3");
        processor.set_ready(true, "");
        assert!(health.readiness().ok);
    }

    #[test]
    fn a_loop_that_stops_beating_ends_liveness_until_it_beats_again() {
        let clock = Arc::new(ManualClock::at(0));
        let health = Health::with_clock(clock.clone());
        let part = health.component("processor").beating_within(Duration::from_secs(5));
        clock.advance(5_000);
        assert!(health.liveness().ok);
        clock.advance(1);
        assert!(!health.liveness().ok);
        assert!(health.liveness().components[0].reason.contains("5001 ms"));
        part.beat();
        assert!(health.liveness().ok);
        clock.advance(60_000);
        part.rest();
        assert!(health.liveness().ok, "a loop that ended in order is not dead");
    }

    #[test]
    fn parts_without_a_promise_never_end_liveness() {
        let health = Health::new();
        let _idle = health.component("store");
        assert!(health.liveness().ok);
    }

    #[test]
    fn the_same_name_is_the_same_part() {
        let health = Health::new();
        health.component("gateway").set_ready(true, "");
        health.component("gateway").beat();
        assert_eq!(health.readiness().components.len(), 1);
        assert!(health.readiness().ok);
    }
}
