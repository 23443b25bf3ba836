//! When a scheduler needs the clock next.

use crate::record::OccurrenceStatus;
use crate::scheduler::Scheduler;
use crate::time::Timestamp;

/// The earliest time at which a [`Tick`](crate::input::Input::Tick) would do something; a tick before it does nothing.
/// `None`: no tick ever would, until another input comes.
///
/// A deadline is one millisecond after the last moment that is still in time: at the deadline itself a message may yet come
/// that was received in that moment.
#[must_use]
pub fn next_deadline(state: &Scheduler) -> Option<Timestamp> {
    let facts = state.facts_at;
    if state.paused {
        return facts;
    }
    facts.into_iter().chain(next_silence(state)).min()
}

/// The earliest time at which something will have been waited for in vain.
pub(crate) fn next_silence(state: &Scheduler) -> Option<Timestamp> {
    let start = state.expected.map(|due| match state.is_filled(due) {
        true => due,
        false => after(state.start_deadline(due).at),
    });
    let running = state.runs.iter().filter(|run| run.status() == Some(OccurrenceStatus::Running));
    let runs = running.filter_map(|run| state.run_deadline(run)).map(|(deadline, _)| after(deadline));
    let silence = state.silence_deadline().map(|(deadline, _)| after(deadline));
    start.into_iter().chain(runs).chain(silence).min()
}

const fn after(deadline: Timestamp) -> Timestamp {
    deadline.plus_millis(1)
}
