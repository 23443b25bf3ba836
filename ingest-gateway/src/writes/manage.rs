//! Register, delete, pause and resume: applied before they are answered, when that is quick.

use std::time::Duration;

use http::StatusCode;
use ronda_domain::id::{MessageId, partition_of};
use ronda_domain::input::Input;
use ronda_domain::time::Timestamp;
use ronda_schemas::api::parse_register;
use ronda_schemas::api::resource::SchedulerResource;
use ronda_schemas::command::Command;
use tracing::warn;

use super::answer::Answer;
use super::report::{applied_within, must_exist};
use super::request::Write;
use crate::problem::Problem;
use crate::publisher::{Accepted, Until};
use crate::refusals::{self, in_time};
use crate::state::AppState;

pub(super) async fn register(state: &AppState, write: &Write, made: Option<MessageId>) -> Result<Answer, Problem> {
    let registration = parse_register(&write.body).map_err(Problem::from)?;
    let scheduler = registration.id.as_str();
    let existed = match in_time(state.store.is_registered(write.tenant(), scheduler)).await {
        Ok(existed) => existed,
        Err(error) => {
            warn!(%error, "could not tell whether a scheduler is new; its registration is taken all the same");
            false
        }
    };
    let accepted = submit(state, write, scheduler, Input::Register(Box::new(registration.spec)), made).await?;
    // From here on it will exist: a report that comes before it is applied is taken, and applied after it.
    state.known.remember(write.tenant(), scheduler);
    if applied(state, write, accepted).await
        && let Ok(Some(body)) = resource(state, write, scheduler).await
    {
        let status = if existed { StatusCode::OK } else { StatusCode::CREATED };
        return Ok(waited(write, Answer::new(status, body).at(scheduler)));
    }
    Ok(Answer::accepted(scheduler, None))
}

pub(super) async fn delete(state: &AppState, write: &Write, made: Option<MessageId>) -> Result<Answer, Problem> {
    let scheduler = write.scheduler()?;
    must_exist(state, write.tenant(), &scheduler).await?;
    let accepted = submit(state, write, &scheduler, Input::Delete, made).await?;
    let applied = applied(state, write, accepted).await;
    state.known.forget(write.tenant(), &scheduler);
    Ok(if applied {
        waited(write, Answer::new(StatusCode::NO_CONTENT, Vec::new()))
    } else {
        Answer::accepted(&scheduler, None)
    })
}

pub(super) async fn set_paused(
    state: &AppState,
    write: &Write,
    paused: bool,
    made: Option<MessageId>,
) -> Result<Answer, Problem> {
    let scheduler = write.scheduler()?;
    must_exist(state, write.tenant(), &scheduler).await?;
    let input = if paused { Input::Pause } else { Input::Resume };
    let accepted = submit(state, write, &scheduler, input, made).await?;
    finish(state, write, &scheduler, accepted).await
}

/// Answers with the scheduler once a durable command is applied; when that takes longer, that it is durable.
pub(super) async fn finish(
    state: &AppState,
    write: &Write,
    scheduler: &str,
    accepted: Accepted,
) -> Result<Answer, Problem> {
    finish_unless(state, write, scheduler, accepted, |_| None).await
}

/// The same, unless something is seen by the scheduler to be wrong once the command is applied.
pub(super) async fn finish_unless(
    state: &AppState,
    write: &Write,
    scheduler: &str,
    accepted: Accepted,
    wrong: impl FnOnce(&SchedulerResource) -> Option<Problem> + Send,
) -> Result<Answer, Problem> {
    if !applied(state, write, accepted).await {
        return Ok(Answer::accepted(scheduler, None));
    }
    match shown(state, write, scheduler).await {
        Ok(Some(shown)) => match wrong(&shown) {
            Some(problem) => Err(problem),
            None => Ok(waited(write, Answer::new(StatusCode::OK, json(&shown)?).at(scheduler))),
        },
        Ok(None) => Err(Problem::unknown_scheduler(scheduler)),
        // It is durable: a refusal would have it sent again.
        Err(_) => Ok(Answer::accepted(scheduler, None)),
    }
}

/// Makes a command durable.
async fn submit(
    state: &AppState,
    write: &Write,
    scheduler: &str,
    input: Input<'_>,
    made: Option<MessageId>,
) -> Result<Accepted, Problem> {
    let ticket = {
        let command = Command { tenant: write.tenant(), scheduler, age_ms: 0, input, message: made };
        state.publisher.submit(&command, Until::Applied).map_err(|error| refusals::submit(&error))?
    };
    state.publisher.confirmed(ticket).await.map_err(|error| refusals::submit(&error))
}

/// Waits until a durable command is applied; `false`: that takes longer.
async fn applied(state: &AppState, write: &Write, accepted: Accepted) -> bool {
    let within = match write.prefer_wait_seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::from_millis(state.config.apply_wait_ms),
    };
    applied_within(state, accepted, within).await
}

fn waited(write: &Write, mut answer: Answer) -> Answer {
    answer.waited_seconds = write.prefer_wait_seconds;
    answer
}

/// The scheduler as it is read, in JSON; `None`: there is none.
pub(super) async fn resource(state: &AppState, write: &Write, scheduler: &str) -> Result<Option<Vec<u8>>, Problem> {
    shown(state, write, scheduler).await?.as_ref().map(json).transpose()
}

fn json(shown: &SchedulerResource) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(shown).map_err(|_| refusals::internal())
}

async fn shown(state: &AppState, write: &Write, scheduler: &str) -> Result<Option<SchedulerResource>, Problem> {
    let row =
        in_time(state.store.scheduler(write.tenant(), scheduler)).await.map_err(|error| refusals::store(&error))?;
    let Some(scheduler_state) = row.and_then(|row| row.state) else { return Ok(None) };
    let partition = partition_of(write.tenant(), scheduler, state.publisher.partitions());
    let partition = in_time(state.store.partition(partition)).await.map_err(|error| refusals::store(&error))?;
    let watermark = partition.map_or(Timestamp::MIN, |row| row.watermark);
    Ok(Some(SchedulerResource::new(scheduler, &scheduler_state, watermark)))
}
