//! The one function that changes a scheduler.

use crate::effects::Effects;
use crate::id::{MessageId, SchedulerKey};
use crate::input::Input;
use crate::scheduler::Scheduler;
use crate::time::Timestamp;

/// Applies one input to one scheduler; `slot` is `None` while nobody registered it. Total and deterministic.
///
/// `at` is when the message was received or, for [`Input::Tick`], the partition's watermark. What follows is added to
/// `effects`, except `refused`, which is that of this input.
pub fn apply(
    _slot: &mut Option<Scheduler>,
    _key: &SchedulerKey,
    _input: &Input<'_>,
    _at: Timestamp,
    _message: MessageId,
    _effects: &mut Effects,
) {
}
