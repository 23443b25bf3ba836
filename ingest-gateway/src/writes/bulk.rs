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

/// Most wrong fields told of one item.
const MAX_LISTED_ERRORS_PER_ITEM: usize = 10;
/// Most wrong fields told of all items together; beyond it an item has its kind and how many are wrong.
const MAX_LISTED_ERRORS: usize = 1_000;
/// Most items that come with an example of how to do it right.
const MAX_EXAMPLES: usize = 100;

/// What is known so far of the ids in one request that are not in the cache.
type Asked = HashMap<Box<str>, bool>;

pub(super) async fn events(state: &AppState, write: &Write, made: Option<MessageId>) -> Result<Answer, Problem> {
    let mut events = if write.ndjson { BulkEvents::ndjson(&write.body) } else { BulkEvents::array(&write.body) };
    let mut bulk = state.publisher.bulk(write.tenant());
    let mut rejections = Rejections::default();
    let mut asked = Asked::new();
    let now_ms = state.known.now_ms();
    let mut index: u32 = 0;
    while let Some(event) = events.next_event().map_err(Problem::from)? {
        if index as usize >= state.config.max_bulk_items {
            return Err(Problem::too_many_items(state.config.max_bulk_items));
        }
        match event {
            Ok(event) => {
                let scheduler = &*event.scheduler_id;
                let is_known = state.known.is_known_at(now_ms, write.tenant(), scheduler);
                if is_known || exists(state, write, scheduler, &mut asked).await {
                    let message = made.map(|made| MessageId { index, ..made });
                    let input = event.body.input();
                    let command = Command { tenant: write.tenant(), scheduler, age_ms: 0, input, message };
                    if let Err(error) = bulk.push(index, &command) {
                        rejections.not_taken(index, &error);
                    }
                } else {
                    rejections.refuse(index, Problem::unknown_scheduler(scheduler));
                }
            }
            Err(invalid) => rejections.refuse(index, Problem::from(invalid)),
        }
        index += 1;
    }
    let accepted = commit(bulk, &mut rejections).await?;
    let undecided = rejections.undecided;
    let body = serde_json::to_vec(&BulkAnswer { accepted, rejected: rejections.in_order() });
    let answer = Answer::new(StatusCode::ACCEPTED, body.map_err(|_| refusals::internal())?);
    Ok(Answer { undecided, ..answer })
}

/// The refused items, told with less and less detail: a body of nothing but mistakes must not become an answer many times its size.
#[derive(Default)]
struct Rejections {
    items: Vec<RejectedEvent>,
    /// Wrong fields listed so far.
    listed: usize,
    /// Whether an item was not taken for no fault of its own.
    undecided: bool,
}

impl Rejections {
    fn refuse(&mut self, index: u32, problem: Problem) {
        let mut item = problem.rejected(index as usize);
        let room = MAX_LISTED_ERRORS.saturating_sub(self.listed).min(MAX_LISTED_ERRORS_PER_ITEM);
        item.problem.errors.truncate(room);
        self.listed += item.problem.errors.len();
        if self.items.len() >= MAX_EXAMPLES {
            item.problem.example = None;
        }
        self.items.push(item);
    }

    /// The queue did not take it: it may be sent again as it is.
    fn not_taken(&mut self, index: u32, error: &SubmitError) {
        self.undecided = true;
        self.refuse(index, refusals::submit(error));
    }

    fn in_order(mut self) -> Vec<RejectedEvent> {
        self.items.sort_unstable_by_key(|item| item.index);
        self.items
    }
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
async fn commit(bulk: Bulk<'_>, rejections: &mut Rejections) -> Result<usize, Problem> {
    let outcome = bulk.commit().await;
    if outcome.accepted == 0
        && let Some((_, error)) = outcome.refused.first()
    {
        return Err(refusals::submit(error));
    }
    for (items, error) in outcome.refused {
        items.into_iter().for_each(|index| rejections.not_taken(index, &error));
    }
    Ok(outcome.accepted)
}
