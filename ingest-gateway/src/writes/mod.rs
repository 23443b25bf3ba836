//! Everything that changes something: reports, bulk, the life of a scheduler, and what people say of what is wrong.

mod answer;
pub(crate) mod attention;
mod budget;
mod bulk;
mod idempotency;
mod manage;
mod report;
mod request;

use axum::Router;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, post, put};
use bytes::Bytes;
use ronda_domain::id::MessageId;

use self::answer::Answer;
pub(crate) use self::budget::BodyBudget;
pub(crate) use self::idempotency::MadeMessages;
pub(crate) use self::report::applied_within;
pub(crate) use self::request::{Incoming, Operation, read_body};
use self::request::{Write, note_refusal};
use crate::access::Principal;
use crate::problem::Problem;
use crate::state::AppState;

/// The write routes, with their full paths.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/api/v1/schedulers/register", post(register))
        .route("/api/v1/schedulers/{id}", delete(remove))
        .route(Operation::STATUS_ROUTE, put(status))
        .route(Operation::HEARTBEAT_ROUTE, post(heartbeat))
        .route("/api/v1/schedulers/{id}/pause", post(pause))
        .route("/api/v1/schedulers/{id}/resume", post(resume))
        .route("/api/v1/schedulers/{id}/acknowledge", post(acknowledge))
        .route("/api/v1/schedulers/{id}/mute", post(mute))
        .route("/api/v1/schedulers/{id}/unmute", post(unmute))
        .route(Operation::EVENTS_ROUTE, post(events))
}

macro_rules! handlers {
    ($($name:ident => $operation:ident),*) => {
        $(async fn $name(State(state): State<AppState>, request: Request) -> Response {
            routed(&state, Operation::$operation, request).await
        })*
    };
}

handlers!(
    status => Status,
    heartbeat => Heartbeat,
    register => Register,
    events => Events,
    remove => Delete,
    pause => Pause,
    resume => Resume,
    acknowledge => Acknowledge,
    mute => Mute,
    unmute => Unmute
);

/// A write that came through the router, which has put into the request who asks.
async fn routed(state: &AppState, operation: Operation, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    match parts.extensions.remove::<Principal>() {
        Some(principal) => handle(state, Incoming { operation, principal, parts, body }).await,
        None => Problem::unauthorized().into_response(),
    }
}

/// Carries a write out and answers it.
pub(crate) async fn handle<B>(state: &AppState, incoming: Incoming<B>) -> Response
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    match answered(state, incoming).await {
        Ok(answer) => answer.into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn answered<B>(state: &AppState, incoming: Incoming<B>) -> Result<Answer, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let write = incoming.read(state).await?;
    if write.idempotency_key()?.is_some() {
        let tenant = write.principal.tenant.clone();
        let answered = Box::pin(idempotency::once(state, write)).await;
        return answered.inspect_err(|problem| note_refusal(state, tenant.as_str(), problem));
    }
    perform(state, &write, None).await.inspect_err(|problem| note_refusal(state, write.tenant(), problem))
}

/// Carries a write out. `made`: which message it is, and where ids made for the client come from, when the write may be repeated.
async fn perform(state: &AppState, write: &Write, made: Option<MessageId>) -> Result<Answer, Problem> {
    match write.operation {
        Operation::Status => report::status(state, write, made).await,
        Operation::Heartbeat => report::heartbeat(state, write, made).await,
        Operation::Register => Box::pin(manage::register(state, write, made)).await,
        Operation::Events => Box::pin(bulk::events(state, write, made)).await,
        Operation::Delete => Box::pin(manage::delete(state, write, made)).await,
        Operation::Pause => Box::pin(manage::set_paused(state, write, true, made)).await,
        Operation::Resume => Box::pin(manage::set_paused(state, write, false, made)).await,
        Operation::Acknowledge | Operation::Mute | Operation::Unmute => {
            Box::pin(attention::say(state, write, made)).await
        }
    }
}
