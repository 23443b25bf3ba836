//! A store on a server in the place of the embedded one: how a process or command comes to it.

use std::sync::Arc;

use ronda_store::backend::{self, StoreOptions};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::Store;

use crate::config::{Settings, StoreUrl};
use crate::exit::{Code, Failure, chain};
use crate::patience::{self, PAUSE};

const DAY_SECONDS: u64 = 86_400;
/// "For ever", as far as a server with times to live can: the ten years that are the most of `retention.history_days`.
const EVER_DAYS: u32 = 3_650;

/// How the store that the settings name is reached.
#[must_use]
pub fn options(settings: &Settings) -> StoreOptions {
    let days = match settings.retention.history_days {
        0 => EVER_DAYS,
        days => days,
    };
    StoreOptions {
        history_keep_seconds: u64::from(days) * DAY_SECONDS,
        credentials_file: settings.store.credentials_file.clone(),
        ca_file: settings.store.ca_file.clone(),
        ..StoreOptions::new(settings.store.url.expose())
    }
}

/// Reaches the store's server. Nothing is made there. One that is away is waited for.
///
/// # Errors
/// Why it can't be used.
pub async fn reach(settings: &Settings) -> Result<Arc<dyn Store>, Failure> {
    let options = options(settings);
    patiently(settings, || Box::pin(backend::connect(&options))).await
}

/// Does something with a server, and again for a bounded time while that is away.
///
/// # Errors
/// Why it can't be done.
pub async fn patiently<T, F>(settings: &Settings, attempt: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let is_away = |error: &StoreError| error.kind == StoreErrorKind::Unavailable && error.retryable;
    let pause = |error: &StoreError| is_away(error).then(|| error.retry_after.unwrap_or(PAUSE));
    let no_answer = || StoreError::new(StoreErrorKind::Unavailable, "it gives no answer");
    let done = patience::patiently(&settings.store.url.place(), attempt, pause, no_answer).await;
    done.map_err(|error| failure(settings, &error))
}

/// What to look at when nobody answers there.
fn hint(url: &StoreUrl) -> &'static str {
    let is_aws = url.expose().starts_with("dynamodb:") && !url.expose().contains("endpoint=");
    match is_aws {
        true => "Is the region right, and does this machine have AWS credentials and a way there?",
        false => "Is the database running there?",
    }
}

/// What an error of the store means for a command.
#[must_use]
pub fn failure(settings: &Settings, error: &StoreError) -> Failure {
    if settings.store.url.is_embedded() {
        return Failure::new(Code::Data, chain(error));
    }
    let (place, text) = (settings.store.url.place(), chain(error));
    let (code, message) = match error.kind {
        StoreErrorKind::Invalid => (Code::Configuration, format!("store.url: {text}")),
        StoreErrorKind::Unavailable if error.retryable => (
            Code::Store,
            format!("{place} can't be reached: {text}.\n{} (store.url, --store)", hint(&settings.store.url)),
        ),
        StoreErrorKind::Conflict => (
            Code::Store,
            format!("the tables on {place} can't be used: {text}.\n'ronda store migrate' makes what is missing"),
        ),
        _ => (Code::Store, format!("the store on {place} can't be used: {text}")),
    };
    Failure::new(code, message)
}
