//! When a scheduler needs the clock next.

use crate::scheduler::Scheduler;
use crate::time::Timestamp;

/// The earliest time at which a [`Tick`](crate::input::Input::Tick) would do something; a tick before it does nothing.
/// `None`: no tick ever would, until another input comes.
#[must_use]
pub fn next_deadline(_state: &Scheduler) -> Option<Timestamp> {
    None
}
