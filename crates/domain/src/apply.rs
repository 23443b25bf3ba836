//! The one function that changes a scheduler.

use crate::effects::{Effects, Refusal};
use crate::id::{MessageId, SchedulerKey};
use crate::input::Input;
use crate::lifecycle;
use crate::scheduler::Scheduler;
use crate::time::Timestamp;

/// Applies one input to one scheduler; `slot` is `None` while nobody registered it. Total and deterministic.
///
/// `at` is when the message was received or, for [`Input::Tick`], the partition's watermark. What follows is added to
/// `effects`, except `refused`, which is that of this input. The key takes no part: one function for all schedulers.
pub fn apply(
    slot: &mut Option<Scheduler>,
    _key: &SchedulerKey,
    input: &Input<'_>,
    at: Timestamp,
    message: MessageId,
    effects: &mut Effects,
) {
    effects.refused = None;
    match input {
        Input::Register(spec) => {
            lifecycle::register(slot, spec, at, message, effects);
            slot.iter_mut().for_each(Scheduler::tidy);
            return;
        }
        Input::Delete => return lifecycle::delete(slot, at, message, effects),
        _ => {}
    }
    let Some(state) = slot else {
        if !matches!(input, Input::Tick | Input::Blind(_) | Input::Late(_)) {
            effects.refused = Some(Refusal::UnknownScheduler);
        }
        return;
    };
    match input {
        Input::Status(report) => state.status(report, at, message, effects),
        Input::Heartbeat(report) => state.heartbeat(report, at, message, effects),
        Input::Tick => state.tick(at, effects),
        Input::Blind(gap) => state.blind(*gap, effects),
        Input::Late(gap) => state.put_off(*gap, at, effects),
        Input::Pause => state.pause(at, message, effects),
        Input::Resume => state.resume(at, message, effects),
        Input::Acknowledge { alert, by } => state.acknowledge(*alert, *by, (at, message), effects),
        Input::Mute { until, by } => state.mute_until(*until, *by, (at, message), effects),
        Input::Unmute { by } => state.unmute(*by, (at, message), effects),
        Input::Register(_) | Input::Delete => {}
    }
    state.tidy();
}
