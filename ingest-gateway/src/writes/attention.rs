//! Acknowledge, mute and unmute: over HTTP, and wherever else people say so.

use ronda_domain::attention::By;
use ronda_domain::id::{MessageId, check_id};
use ronda_domain::input::Input;
use ronda_domain::time::Timestamp;
use ronda_schemas::api::resource::SchedulerResource;
use ronda_schemas::api::{check_mute_end, parse_acknowledge, parse_by, parse_mute};
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
pub(crate) enum Attention<'a> {
    /// That they look after it.
    Acknowledge {
        /// Of which alert they have seen, by its id; `None`: whichever is open then.
        alert: Option<&'a str>,
    },
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
/// `made`: which message it is, when the same may be sent again: it then takes effect once, through whichever gateway it comes, as long as
/// no more than [`MAX_KNOWN_SAID`](ronda_domain::limits::MAX_KNOWN_SAID) others were said of the scheduler since. To wait until it is applied,
/// see [`applied_within`](super::report::applied_within); whether the alert that was named was open is seen only then.
///
/// # Errors
/// The scheduler's id is none, nobody registered it, the mute does not end ahead or too far ahead, or the queue does not take it.
pub(crate) async fn attend(
    state: &AppState,
    (tenant, scheduler): (&str, &str),
    what: Attention<'_>,
    by: By<'_>,
    made: Option<MessageId>,
) -> Result<Accepted, Problem> {
    check_id(scheduler).map_err(|error| Problem::invalid_id(&error))?;
    let input = match what {
        Attention::Acknowledge { alert } => Input::Acknowledge { alert, by },
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
    match write.operation {
        Operation::Acknowledge => {
            let body = parse_acknowledge(&write.body).map_err(Problem::from)?;
            let alert = body.alert_id.as_deref();
            let accepted =
                said(state, write, &scheduler, Attention::Acknowledge { alert }, body.by.as_deref(), made).await?;
            manage::finish_unless(state, write, &scheduler, accepted, |shown| over(shown, alert)).await
        }
        Operation::Mute => {
            let body = parse_mute(&write.body).map_err(Problem::from)?;
            let what = Attention::Mute { until: body.end.from(now(state)) };
            let accepted = said(state, write, &scheduler, what, body.by.as_deref(), made).await?;
            manage::finish(state, write, &scheduler, accepted).await
        }
        _ => {
            let body = parse_by(&write.body).map_err(Problem::from)?;
            let accepted = said(state, write, &scheduler, Attention::Unmute, body.by.as_deref(), made).await?;
            manage::finish(state, write, &scheduler, accepted).await
        }
    }
}

/// Makes it durable, in the name that the caller gave, or else the key's.
async fn said(
    state: &AppState,
    write: &Write,
    scheduler: &str,
    what: Attention<'_>,
    name: Option<&str>,
    made: Option<MessageId>,
) -> Result<Accepted, Problem> {
    let key = &write.principal.key;
    let by = By { source: "api", id: &key.id, name: name.unwrap_or(&key.name) };
    attend(state, (write.tenant(), scheduler), what, by, made).await
}

/// Why an acknowledgment of this alert came to nothing, or is over already.
fn over(shown: &SchedulerResource, named: Option<&str>) -> Option<Problem> {
    let named = named?;
    match &shown.alert {
        Some(open) if open.id == named => None,
        open => Some(Problem::alert_over(open.as_ref().map(|open| open.opened_at))),
    }
}
