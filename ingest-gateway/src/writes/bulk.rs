//! Many events in one request: one parse, one lock a partition, one wait.

use hashbrown::HashMap;
use http::StatusCode;
use ronda_domain::id::MessageId;
use ronda_schemas::api::BulkEvents;
use ronda_schemas::api::problem::{BulkAnswer, RejectedEvent};
use ronda_schemas::command::Command;

use super::answer::Answer;
use super::request::Write;
use crate::known::Existence;
use crate::problem::Problem;
use crate::publisher::{Bulk, SubmitError};
use crate::refusals;
use crate::state::AppState;

/// What is known so far of the ids in one request that are not in the cache.
type Asked = HashMap<Box<str>, bool>;

pub(super) async fn events(state: &AppState, write: &Write, made: Option<MessageId>) -> Result<Answer, Problem> {
    let mut events = if write.ndjson { BulkEvents::ndjson(&write.body) } else { BulkEvents::array(&write.body) };
    let mut bulk = state.publisher.bulk();
    let mut rejected: Vec<RejectedEvent> = Vec::new();
    let mut asked = Asked::new();
    let mut index: u32 = 0;
    while let Some(event) = events.next_event().map_err(Problem::from)? {
        if index as usize >= state.config.max_bulk_items {
            return Err(Problem::too_many_items(state.config.max_bulk_items));
        }
        match event {
            Ok(event) => {
                let scheduler = &*event.scheduler_id;
                if state.known.is_known(write.tenant(), scheduler) || exists(state, write, scheduler, &mut asked).await
                {
                    let message = made.map(|made| MessageId { index, ..made });
                    let input = event.body.input();
                    let command = Command { tenant: write.tenant(), scheduler, age_ms: 0, input, message };
                    if let Err(error) = bulk.push(index, &command) {
                        rejected.push(refusals::submit(&error).rejected(index as usize));
                    }
                } else {
                    rejected.push(Problem::unknown_scheduler(scheduler).rejected(index as usize));
                }
            }
            Err(invalid) => rejected.push(Problem::from(invalid).rejected(index as usize)),
        }
        index += 1;
    }
    let accepted = commit(bulk, &mut rejected).await?;
    let body = serde_json::to_vec(&BulkAnswer { accepted, rejected }).map_err(|_| refusals::internal())?;
    Ok(Answer::new(StatusCode::ACCEPTED, body))
}

/// Asks for a scheduler once a request, also when the store can't answer.
async fn exists(state: &AppState, write: &Write, scheduler: &str, asked: &mut Asked) -> bool {
    if let Some(exists) = asked.get(scheduler) {
        return *exists;
    }
    let exists = state.known.check(write.tenant(), scheduler).await != Existence::Unknown;
    asked.insert(scheduler.into(), exists);
    exists
}

/// How many became durable; the others join the rejected ones. When the queue took none at all, that is the answer.
async fn commit(bulk: Bulk<'_>, rejected: &mut Vec<RejectedEvent>) -> Result<usize, Problem> {
    let outcome = bulk.commit().await;
    if outcome.accepted == 0
        && let Some((_, error)) = outcome.refused.first()
    {
        return Err(refusals::submit(error));
    }
    for (items, error) in outcome.refused {
        reject_all(rejected, items, &error);
    }
    rejected.sort_unstable_by_key(|item| item.index);
    Ok(outcome.accepted)
}

fn reject_all(rejected: &mut Vec<RejectedEvent>, items: Vec<u32>, error: &SubmitError) {
    let problem = refusals::submit(error);
    rejected.extend(items.into_iter().map(|index| problem.clone().rejected(index as usize)));
}
