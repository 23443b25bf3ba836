//! Acknowledge, mute and unmute: over HTTP, and wherever else people say so.

use ronda_domain::attention::By;
use ronda_domain::id::{MessageId, check_id};
use ronda_domain::input::Input;
use ronda_domain::time::Timestamp;
use ronda_schemas::api::{check_mute_end, parse_by, parse_mute};
use ronda_schemas::command::Command;

use super::answer::Answer;
use super::manage;
use super::report::must_exist;
use super::request::{Operation, Write};
use crate::problem::Problem;
use crate::publisher::{Accepted, Until};
use crate::refusals;
use crate::state::AppState;

/// What somebody says of what is wrong with a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attention {
    /// That they look after it.
    Acknowledge,
    /// That nobody wants to hear of it until this time: at most
    /// [`MAX_MUTE_SECONDS`](ronda_domain::limits::MAX_MUTE_SECONDS) ahead.
    Mute {
        /// The end.
        until: Timestamp,
    },
    /// That people want to hear of it again.
    Unmute,
}

/// Makes durable what somebody says of a scheduler. Every entrance says it through here; whether `by` may say it is for the entrance to
/// know. Texts of `by` that are too long are cut where it is applied.
///
/// `made`: which message it is, when the same may be sent again: it then takes effect once. To wait until it is applied, see
/// [`applied_within`](super::report::applied_within).
///
/// # Errors
/// The scheduler's id is none, nobody registered it, the mute does not end ahead or too far ahead, or the queue does not take it.
pub(crate) async fn attend(
    state: &AppState,
    (tenant, scheduler): (&str, &str),
    what: Attention,
    by: By<'_>,
    made: Option<MessageId>,
) -> Result<Accepted, Problem> {
    check_id(scheduler).map_err(|error| Problem::invalid_id(&error))?;
    let input = match what {
        Attention::Acknowledge => Input::Acknowledge { by },
        Attention::Mute { until } => {
            check_mute_end(until, now(state)).map_err(Problem::from)?;
            Input::Mute { until, by }
        }
        Attention::Unmute => Input::Unmute { by },
    };
    must_exist(state, tenant, scheduler).await?;
    let ticket = {
        let command = Command { tenant, scheduler, age_ms: 0, input, message: made };
        state.publisher.submit(&command, Until::Applied).map_err(|error| refusals::submit(&error))?
    };
    state.publisher.confirmed(ticket).await.map_err(|error| refusals::submit(&error))
}

fn now(state: &AppState) -> Timestamp {
    Timestamp::from_millis(state.clock.wall_millis())
}

/// Acknowledge, mute or unmute over HTTP.
pub(super) async fn say(state: &AppState, write: &Write, made: Option<MessageId>) -> Result<Answer, Problem> {
    let scheduler = write.scheduler()?;
    let (what, name) = if write.operation == Operation::Mute {
        let body = parse_mute(&write.body).map_err(Problem::from)?;
        (Attention::Mute { until: body.end.from(now(state)) }, body.by)
    } else {
        let body = parse_by(&write.body).map_err(Problem::from)?;
        let is_acknowledge = write.operation == Operation::Acknowledge;
        (if is_acknowledge { Attention::Acknowledge } else { Attention::Unmute }, body.by)
    };
    let key = &write.principal.key;
    let by = By { source: "api", id: &key.id, name: name.as_deref().unwrap_or(&key.name) };
    let accepted = attend(state, (write.tenant(), &scheduler), what, by, made).await?;
    manage::finish(state, write, &scheduler, accepted).await
}
