//! What an answer of DynamoDB means to a caller.

use std::error::Error;
use std::time::Duration;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::error::{StoreError, StoreErrorKind};

/// When to try again after a connection failed or the server had a fault.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// When to try again after more was asked for than the tables take.
const THROTTLED_AFTER: Duration = Duration::from_secs(1);
/// Longest text of a cause that is passed on.
const MAX_CAUSE_CHARS: usize = 300;

/// The error of a call. Whether a write that was not answered took effect is not known: it is `Unavailable`.
pub(super) fn of_call<E>(doing: &str, error: &SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ServiceError(service) = error {
        let (answer, status) = (service.err(), service.raw().status().as_u16());
        return of_code(doing, answer.code().unwrap_or("unknown"), answer.message(), status);
    }
    let cause = causes(error);
    if cause.to_ascii_lowercase().contains("credential") {
        let message = format!(
            "{doing}: there are no usable AWS credentials (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role): {cause}"
        );
        return unavailable(message, THROTTLED_AFTER);
    }
    unavailable(format!("{doing}: DynamoDB did not answer: {cause}"), AGAIN_AFTER)
}

/// The error of a code that came within an answer.
pub(super) fn of_code(doing: &str, code: &str, message: Option<&str>, status: u16) -> StoreError {
    let message: String = message.unwrap_or_default().chars().take(MAX_CAUSE_CHARS).collect();
    let text = format!("{doing}: DynamoDB answers {code}: {message}");
    match (code, status) {
        (
            "ProvisionedThroughputExceededException"
            | "ProvisionedThroughputExceeded"
            | "ThrottlingException"
            | "ThrottlingError"
            | "Throttling"
            | "RequestLimitExceeded"
            | "LimitExceededException",
            _,
        )
        | (_, 429 | 503) => unavailable(text, THROTTLED_AFTER),
        // A signature holds for some minutes around AWS's own time.
        ("InvalidSignatureException", _) if text.contains("Signature expired") || text.contains("not yet current") => {
            unavailable(format!("{text}: is the clock of this machine right?"), THROTTLED_AFTER)
        }
        ("ExpiredToken" | "ExpiredTokenException" | "RequestExpired", _) => unavailable(text, THROTTLED_AFTER),
        (
            "TransactionConflictException"
            | "TransactionConflict"
            | "TransactionCanceledException"
            | "TransactionInProgressException"
            | "InternalServerError"
            | "InternalFailure"
            | "ServiceUnavailable"
            | "RequestTimeout"
            | "ResourceInUseException",
            _,
        )
        | (_, 500..) => unavailable(text, AGAIN_AFTER),
        ("ResourceNotFoundException", _) => {
            StoreError::new(StoreErrorKind::Conflict, format!("{text}: make the tables by a migration of the store"))
        }
        ("ValidationException" | "ValidationError" | "ItemCollectionSizeLimitExceededException", _) => {
            StoreError::new(StoreErrorKind::Invalid, text)
        }
        // Nothing changes by trying again: permissions, signatures, and what we don't know.
        _ => StoreError { retryable: false, ..StoreError::new(StoreErrorKind::Unavailable, text) },
    }
}

fn unavailable(message: String, retry_after: Duration) -> StoreError {
    StoreError { retry_after: Some(retry_after), ..StoreError::new(StoreErrorKind::Unavailable, message) }
}

/// Part of a batch was left undone again and again.
pub(super) fn left_undone(doing: &str, items: usize) -> StoreError {
    unavailable(
        format!("{doing}: DynamoDB leaves {items} items of a batch undone, as it does when throttled"),
        THROTTLED_AFTER,
    )
}

/// What lies under an error, without what only debuggers want.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut all: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if all.last() != Some(&text) {
            all.push(text);
        }
        next = error.source();
    }
    all.join(": ").chars().take(MAX_CAUSE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_to_do() {
        let of = |code, status| of_code("writing", code, Some("why"), status);
        for (code, status) in
            [("ProvisionedThroughputExceededException", 400), ("ThrottlingException", 400), ("Whatever", 503)]
        {
            let error = of(code, status);
            assert!(error.retryable && error.retry_after == Some(THROTTLED_AFTER), "{error}");
        }
        for (code, status) in [("TransactionConflictException", 400), ("InternalServerError", 500), ("New", 502)] {
            let error = of(code, status);
            assert!(error.kind == StoreErrorKind::Unavailable && error.retryable, "{error}");
        }
        let missing = of("ResourceNotFoundException", 400);
        assert!(missing.kind == StoreErrorKind::Conflict && missing.message.contains("migration"), "{missing}");
        assert_eq!(of("ValidationException", 400).kind, StoreErrorKind::Invalid);
        let denied = of("AccessDeniedException", 400);
        assert!(denied.kind == StoreErrorKind::Unavailable && !denied.retryable, "{denied}");
    }

    /// A clock that is wrong is put right sooner or later, as after a machine was suspended; a wrong secret is not.
    #[test]
    fn a_wrong_clock_is_told_from_a_wrong_secret() {
        let of = |message| of_code("writing", "InvalidSignatureException", Some(message), 400);
        for message in [
            "Signature expired: 20261128T070000Z is now earlier than 20261128T075500Z (20261128T080000Z - 5 min.)",
            "Signature not yet current: 20261128T100000Z is still later than 20261128T080500Z (20261128T080000Z + 5 min.)",
        ] {
            let error = of(message);
            assert!(error.retryable && error.retry_after.is_some(), "{error}");
            assert!(error.message.contains("clock"), "{error}");
        }
        let error = of("The request signature we calculated does not match the signature you provided.");
        assert!(error.kind == StoreErrorKind::Unavailable && !error.retryable, "{error}");
    }
}
