//! What the driver's and the server's errors mean to a caller.

use std::error::Error;
use std::time::Duration;

use scylla::errors::{
    DbError, ExecutionError, NewSessionError, NextPageError, NextRowError, PagerExecutionError, PrepareError,
    RequestAttemptError, RequestError,
};

use crate::error::{StoreError, StoreErrorKind};

/// When to try again after a node had too much to do.
const OVERLOADED_AFTER: Duration = Duration::from_secs(1);
/// Longest text of a cause that is passed on.
const MAX_CAUSE_CHARS: usize = 300;

/// The error of a statement.
pub(super) fn of_execution(doing: &str, error: ExecutionError) -> StoreError {
    let answer = match &error {
        ExecutionError::LastAttemptError(attempt) => answer_of(attempt),
        ExecutionError::BadQuery(_) => Some(Meaning::Permanent(StoreErrorKind::Invalid)),
        _ => None,
    };
    explain(doing, error, answer)
}

/// The error of a statement whose answer comes in pages: of its first page.
pub(super) fn of_pager(doing: &str, error: PagerExecutionError) -> StoreError {
    let answer = match &error {
        PagerExecutionError::NextPageError(page) => answer_of_page(page),
        PagerExecutionError::SerializationError(_) => Some(Meaning::Permanent(StoreErrorKind::Invalid)),
        _ => None,
    };
    explain(doing, error, answer)
}

/// The error of a later page, or of what is in it.
pub(super) fn of_row(doing: &str, error: NextRowError) -> StoreError {
    let answer = match &error {
        NextRowError::NextPageError(page) => answer_of_page(page),
        NextRowError::RowDeserializationError(_) => Some(Meaning::Permanent(StoreErrorKind::Unreadable)),
        _ => None,
    };
    explain(doing, error, answer)
}

/// The error of making a statement ready.
pub(super) fn of_preparing(error: PrepareError) -> StoreError {
    let answer = match &error {
        PrepareError::AllAttemptsFailed { first_attempt } => answer_of(first_attempt),
        _ => None,
    };
    explain("preparing a statement", error, answer)
}

/// The error of connecting.
pub(super) fn of_session(nodes: &[String], error: NewSessionError) -> StoreError {
    let permanent = matches!(error, NewSessionError::EmptyKnownNodesList | NewSessionError::IllegalConfig(_));
    let answer = permanent.then_some(Meaning::Permanent(StoreErrorKind::Invalid));
    explain(&format!("connecting to {}", nodes.join(", ")), error, answer)
}

/// An answer of another shape than was asked for.
pub(super) fn unexpected(doing: &str, error: impl Error + Send + Sync + 'static) -> StoreError {
    explain(doing, error, Some(Meaning::Permanent(StoreErrorKind::Unreadable)))
}

/// What was there a moment ago is not.
pub(super) fn gone(doing: &str) -> StoreError {
    StoreError::new(
        StoreErrorKind::Unavailable,
        format!("{doing}: what was there a moment ago is not: is the keyspace being dropped?"),
    )
}

#[derive(Clone, Copy)]
enum Meaning {
    Overloaded,
    Denied,
    Permanent(StoreErrorKind),
}

fn answer_of_page(error: &NextPageError) -> Option<Meaning> {
    match error {
        NextPageError::RequestFailure(RequestError::LastAttemptError(attempt)) => answer_of(attempt),
        _ => None,
    }
}

/// What is known of an error; `None`: somebody could not be reached or did not answer in time.
fn answer_of(error: &RequestAttemptError) -> Option<Meaning> {
    match error {
        RequestAttemptError::DbError(error, _) => match error {
            DbError::Overloaded | DbError::RateLimitReached { .. } | DbError::IsBootstrapping => {
                Some(Meaning::Overloaded)
            }
            DbError::AuthenticationError | DbError::Unauthorized => Some(Meaning::Denied),
            DbError::SyntaxError | DbError::Invalid | DbError::ConfigError | DbError::ProtocolError => {
                Some(Meaning::Permanent(StoreErrorKind::Invalid))
            }
            _ => None,
        },
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => {
            Some(Meaning::Permanent(StoreErrorKind::Invalid))
        }
        RequestAttemptError::UnableToAllocStreamId => Some(Meaning::Overloaded),
        _ => None,
    }
}

fn explain(doing: &str, error: impl Error + Send + Sync + 'static, meaning: Option<Meaning>) -> StoreError {
    let cause = causes(&error);
    let hint = if cause.contains("unconfigured table") || cause.contains("does not exist") {
        "; make the tables first (migrate)"
    } else {
        ""
    };
    let mut explained = StoreError::new(StoreErrorKind::Unavailable, format!("{doing}: {cause}{hint}"));
    match meaning {
        None => {}
        Some(Meaning::Overloaded) => explained.retry_after = Some(OVERLOADED_AFTER),
        // Nobody but an operator can change that.
        Some(Meaning::Denied) => explained.retryable = false,
        Some(Meaning::Permanent(kind)) => (explained.kind, explained.retryable) = (kind, false),
    }
    explained.caused_by(error)
}

/// What lies under an error, each once.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut all = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !all.contains(&text) {
            if !all.is_empty() {
                all.push_str(": ");
            }
            all.push_str(&text);
        }
        next = error.source();
    }
    all.chars().take(MAX_CAUSE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_whether_to_try_again() {
        let of = |error| {
            let attempt = RequestAttemptError::DbError(error, "why".into());
            of_execution("writing", ExecutionError::LastAttemptError(attempt))
        };
        let overloaded = of(DbError::Overloaded);
        assert!(overloaded.retryable && overloaded.retry_after == Some(OVERLOADED_AFTER), "{overloaded}");
        assert!(of(DbError::ServerError).retryable);
        let denied = of(DbError::Unauthorized);
        assert!(denied.kind == StoreErrorKind::Unavailable && !denied.retryable, "{denied}");
        let invalid = of(DbError::Invalid);
        assert!(invalid.kind == StoreErrorKind::Invalid && !invalid.retryable, "{invalid}");
        let late = of_execution("writing", ExecutionError::RequestTimeout(Duration::from_secs(1)));
        assert!(late.kind == StoreErrorKind::Unavailable && late.retryable, "{late}");
    }
}
