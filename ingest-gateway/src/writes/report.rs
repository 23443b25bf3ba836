//! Status and heartbeat: the hot path.

use std::time::Duration;

use http::StatusCode;
use ronda_domain::id::{MessageId, RunId};
use ronda_domain::input::Input;
use ronda_schemas::api::{parse_heartbeat, parse_status};
use ronda_schemas::command::Command;
use tokio::time::Instant;

use super::answer::Answer;
use super::request::Write;
use crate::known::Existence;
use crate::problem::Problem;
use crate::publisher::Accepted;
use crate::refusals;
use crate::state::AppState;

pub(super) async fn status(state: &AppState, write: &Write, made: Option<MessageId>) -> Result<Answer, Problem> {
    let scheduler = write.scheduler()?;
    let body = parse_status(&write.body).map_err(Problem::from)?;
    must_exist(state, write.tenant(), &scheduler).await?;
    let starts = body.run_id.is_none() && !body.status.is_terminal();
    let ticket = {
        let input = Input::Status(body.report());
        let command = Command { tenant: write.tenant(), scheduler: &scheduler, age_ms: 0, input, message: made };
        state.publisher.submit(&command, write.wants()).map_err(|error| refusals::submit(&error))?
    };
    let accepted = state.publisher.confirmed(ticket).await.map_err(|error| refusals::submit(&error))?;
    // The run stays unnamed in the command: a name here would be one that the client gave. Its id is made of the message, here as where it
    // is applied, so a second attempt, which is the same message, is the same run.
    let made_run = starts.then(|| made.unwrap_or(accepted.message).made_run_id());
    let run = body.run_id.as_deref().or(made_run.as_ref().map(RunId::as_str));
    finish(state, write, &scheduler, run, accepted).await
}

pub(super) async fn heartbeat(state: &AppState, write: &Write, made: Option<MessageId>) -> Result<Answer, Problem> {
    let scheduler = write.scheduler()?;
    let body = parse_heartbeat(&write.body).map_err(Problem::from)?;
    must_exist(state, write.tenant(), &scheduler).await?;
    let ticket = {
        let input = Input::Heartbeat(body.report());
        let command = Command { tenant: write.tenant(), scheduler: &scheduler, age_ms: 0, input, message: made };
        state.publisher.submit(&command, write.wants()).map_err(|error| refusals::submit(&error))?
    };
    let accepted = state.publisher.confirmed(ticket).await.map_err(|error| refusals::submit(&error))?;
    finish(state, write, &scheduler, body.run_id.as_deref(), accepted).await
}

/// 404 when nobody registered the scheduler. When the store can't be asked, the report is taken and judged later.
pub(super) async fn must_exist(state: &AppState, tenant: &str, scheduler: &str) -> Result<(), Problem> {
    match state.known.check(tenant, scheduler).await {
        Existence::Known | Existence::CantTell => Ok(()),
        Existence::Unknown => Err(Problem::unknown_scheduler(scheduler)),
    }
}

async fn finish(
    state: &AppState,
    write: &Write,
    scheduler: &str,
    run: Option<&str>,
    accepted: Accepted,
) -> Result<Answer, Problem> {
    let Some(seconds) = write.prefer_wait_seconds else { return Ok(Answer::accepted(scheduler, run)) };
    if !applied_within(state, accepted, Duration::from_secs(seconds)).await {
        return Ok(Answer::accepted(scheduler, run));
    }
    match super::manage::resource(state, write, scheduler).await {
        Ok(Some(body)) => {
            let mut answer = Answer::new(StatusCode::OK, body).at(scheduler);
            answer.waited_seconds = Some(seconds);
            Ok(answer)
        }
        Ok(None) => Err(Problem::unknown_scheduler(scheduler)),
        // It is durable: a refusal would have it sent again.
        Err(_) => Ok(Answer::accepted(scheduler, run)),
    }
}

/// Waits until a durable command is applied; `false`: not within this time.
pub(crate) async fn applied_within(state: &AppState, accepted: Accepted, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    state.progress.applied(accepted.partition, accepted.message.sequence, deadline).await
}
