//! `Idempotency-Key`: the same request again gets the same answer and has no second effect.
//!
//! A key is claimed before anything else happens. What is refused without effect gives the key back. A request that ended in 503 may have
//! reached the queue all the same, and so may the refused part of a bulk write: its key is kept, with the message that its commands are sent as,
//! and the next attempt sends all of them again as the same messages. Of a report that makes one. A second heartbeat is told from the first by
//! its message only while both came at the same time: it is a sign of life more, and nothing else. Registering, deleting, pausing and resuming twice
//! is the same as once, unless somebody said otherwise in between: an attempt after a 503 takes effect when it arrives. An acknowledgment, a mute or
//! an unmute takes effect once: a scheduler knows the last few of their messages.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use ronda_domain::id::{MessageId, TenantId};
use ronda_domain::time::Timestamp;
use ronda_schemas::row::{IdempotencyRow, IdempotentAnswer};
use ronda_store::port::IdempotencyClaim;
use sha2::{Digest, Sha256};
use tracing::warn;

use super::answer::Answer;
use super::perform;
use super::request::Write;
use crate::problem::Problem;
use crate::refusals::{self, in_time, noted};
use crate::state::AppState;

/// Set in the sequence of messages made here, so that they are never taken for a frame's.
const MADE: u64 = 1 << 63;
/// Marks an attempt that ended without it being known whether it had an effect.
const UNDECIDED: u16 = StatusCode::SERVICE_UNAVAILABLE.as_u16();

/// Counts the messages made for idempotency keys.
#[derive(Debug, Default)]
pub(crate) struct MadeMessages(AtomicU64);

impl MadeMessages {
    fn next(&self, gateway: u64) -> MessageId {
        MessageId { source: gateway, sequence: MADE | self.0.fetch_add(1, Ordering::Relaxed), index: 0 }
    }
}

/// Carries a write out once for its key. Goes on when the client hangs up, so that the key gets its answer; a gateway that leaves waits for it.
pub(super) async fn once(state: &AppState, write: Write) -> Result<Answer, Problem> {
    let state = state.clone();
    let tasks = state.tasks.clone();
    let task = tasks.spawn(async move {
        let key = write.idempotency_key()?.unwrap_or_default().to_owned();
        let message = match claim(&state, &write, &key).await? {
            Claim::Mine(message) => message,
            Claim::Answered(answer) => return Ok(answer),
        };
        let outcome = perform(&state, &write, Some(message)).await;
        settle(&state, &write.principal.tenant, &key, &outcome).await;
        outcome
    });
    match task.await {
        Ok(outcome) => outcome,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(refusals::internal()),
    }
}

enum Claim {
    Mine(MessageId),
    Answered(Answer),
}

async fn claim(state: &AppState, write: &Write, key: &str) -> Result<Claim, Problem> {
    let now = Timestamp::from_millis(state.clock.wall_millis());
    let message = state.made_messages.next(state.publisher.gateway());
    let row = IdempotencyRow { fingerprint: fingerprint(write), created_at: now, answer: None, message };
    let expected = row.fingerprint;
    let note = || state.publisher.note_refused_of(write.tenant());
    let claimed = noted(in_time(state.store.claim(&write.principal.tenant, key, row)), note).await;
    let found = match claimed.map_err(|error| refusals::store(&error))? {
        IdempotencyClaim::Claimed => return Ok(Claim::Mine(message)),
        IdempotencyClaim::Existing(found) => found,
    };
    if found.fingerprint != expected {
        return Err(Problem::idempotency_mismatch());
    }
    let takeover_ms =
        i64::try_from(state.config.idempotency_takeover_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    match &found.answer {
        Some(answer) if answer.status != UNDECIDED => return Ok(Claim::Answered(Answer::from_stored(answer.clone()))),
        None if now.millis_since(found.created_at) < takeover_ms => return Err(Problem::idempotency_in_progress()),
        _ => {}
    }
    // Others may be about to do the same: one of them carries on.
    let row = IdempotencyRow { created_at: now, answer: None, ..found.clone() };
    match noted(in_time(state.store.take_over(&write.principal.tenant, key, &found, row)), note).await {
        Ok(true) => Ok(Claim::Mine(found.message)),
        Ok(false) => Err(Problem::idempotency_in_progress()),
        Err(error) => Err(refusals::store(&error)),
    }
}

/// Keeps the answer, or gives the key back. When the store fails, the claim stays and is taken over once it is old.
async fn settle(state: &AppState, tenant: &TenantId, key: &str, outcome: &Result<Answer, Problem>) {
    let undecided = || IdempotentAnswer { status: UNDECIDED, body: Vec::new(), location: None };
    let kept = match outcome {
        Ok(answer) if answer.undecided => in_time(state.store.answer(tenant, key, undecided())).await,
        Ok(answer) => in_time(state.store.answer(tenant, key, answer.to_stored())).await,
        Err(problem) if problem.status().is_server_error() => {
            in_time(state.store.answer(tenant, key, undecided())).await
        }
        Err(_) => in_time(state.store.release(tenant, key)).await,
    };
    if let Err(error) = kept {
        warn!(%error, "the outcome of a request with an Idempotency-Key could not be kept; a repetition is refused for a while");
    }
}

fn fingerprint(write: &Write) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(write.parts.method.as_str());
    hash.update([0]);
    hash.update(write.parts.uri.path());
    hash.update([0]);
    hash.update(&write.body);
    hash.finalize().into()
}
