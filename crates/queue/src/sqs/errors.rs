//! What an answer of SQS means to a caller.

use std::error::Error;
use std::time::Duration;

use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::types::BatchResultErrorEntry;

use crate::error::{QueueError, QueueErrorKind};

/// When to try again after a connection failed or the server had a fault.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// When to try again after too many calls a second.
const THROTTLED_AFTER: Duration = Duration::from_secs(1);
/// Longest text of a cause that is passed on.
const MAX_CAUSE_CHARS: usize = 300;

/// The error of a whole call.
pub(super) fn of_call<E>(doing: &str, error: &SdkError<E>) -> QueueError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ServiceError(service) = error {
        let (answer, status) = (service.err(), service.raw().status().as_u16());
        return of_code(doing, answer.code().unwrap_or("unknown"), answer.message(), Some(status));
    }
    let cause = causes(error);
    if cause.to_ascii_lowercase().contains("credential") {
        let message = format!(
            "{doing}: there are no usable AWS credentials (set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role): {cause}"
        );
        return QueueError::transient(QueueErrorKind::Denied, THROTTLED_AFTER, message);
    }
    QueueError::transient(
        QueueErrorKind::Unavailable,
        AGAIN_AFTER,
        format!("{doing}: SQS could not be reached: {cause}"),
    )
}

/// The error of one entry of a batch.
pub(super) fn of_entry(doing: &str, entry: &BatchResultErrorEntry) -> QueueError {
    // A fault that is not the sender's is the server's own, whatever it is called.
    let status = if entry.sender_fault() { None } else { Some(500) };
    of_code(doing, entry.code(), entry.message(), status)
}

/// Whether an entry failed because its receipt handle is no longer good: the delivery is somebody else's, or gone.
pub(super) fn is_not_ours(entry: &BatchResultErrorEntry) -> bool {
    match plain(entry.code()) {
        "ReceiptHandleIsInvalid" | "MessageNotInflight" => true,
        // Amazon's answer to a handle that has expired, on FIFO queues.
        "InvalidParameterValue" => entry.message().is_some_and(|message| message.contains("ReceiptHandle")),
        _ => false,
    }
}

/// Whether there is no such queue.
pub(super) fn is_missing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let code = if let SdkError::ServiceError(service) = error { service.err().code() } else { None };
    code.is_some_and(|code| matches!(plain(code), "QueueDoesNotExist" | "NonExistentQueue"))
}

/// Codes come with and without the name of the service before them.
fn plain(code: &str) -> &str {
    code.rsplit(['.', '#']).next().unwrap_or(code)
}

fn of_code(doing: &str, code: &str, message: Option<&str>, status: Option<u16>) -> QueueError {
    let message: String = message.unwrap_or_default().chars().take(MAX_CAUSE_CHARS).collect();
    let text = format!("{doing}: SQS answers {code}: {message}");
    let permanent = |kind| QueueError::permanent(kind, text.clone());
    match (plain(code), status) {
        // Somebody may make it, and a server that comes back may find it a moment later.
        ("QueueDoesNotExist" | "NonExistentQueue", _) => QueueError::transient(
            QueueErrorKind::Mismatch,
            THROTTLED_AFTER,
            format!("{doing}: the queue does not exist: make it with 'ronda queue init'"),
        ),
        (
            "AccessDenied"
            | "AccessDeniedException"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "SignatureDoesNotMatch"
            | "InvalidSecurity"
            | "InvalidAccessKeyId"
            | "MissingAuthenticationToken"
            | "IncompleteSignature"
            | "OptInRequired"
            | "KmsAccessDenied",
            _,
        ) => permanent(QueueErrorKind::Denied),
        // The credentials are renewed by themselves.
        ("ExpiredToken" | "ExpiredTokenException" | "RequestExpired", _) => {
            QueueError::transient(QueueErrorKind::Denied, THROTTLED_AFTER, text)
        }
        (
            "RequestThrottled"
            | "Throttling"
            | "ThrottlingException"
            | "TooManyRequestsException"
            | "OverLimit"
            | "KmsThrottled"
            | "SlowDown",
            _,
        )
        | (_, Some(429 | 503)) => QueueError::transient(QueueErrorKind::Unavailable, THROTTLED_AFTER, text),
        ("MessageTooLong" | "BatchRequestTooLong", _) => permanent(QueueErrorKind::TooLarge),
        ("QueueDeletedRecently", _) => QueueError::transient(
            QueueErrorKind::Unavailable,
            Duration::from_secs(60),
            format!("{doing}: SQS lets a queue of a deleted one's name be made after 60 seconds: try again then"),
        ),
        (
            "InternalError" | "InternalFailure" | "ServiceUnavailable" | "RequestTimeout" | "RequestTimeoutException",
            _,
        )
        | (_, Some(500..)) => QueueError::transient(QueueErrorKind::Unavailable, AGAIN_AFTER, text),
        _ => permanent(QueueErrorKind::Mismatch),
    }
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
    fn codes_say_whether_to_try_again() {
        let of = |code, status| of_code("sending", code, Some("why"), status);
        for (code, status) in [("RequestThrottled", Some(400)), ("OverLimit", Some(403)), ("Whatever", Some(429))] {
            let error = of(code, status);
            assert!(error.retryable && error.retry_after == Some(THROTTLED_AFTER), "{error}");
        }
        assert!(of("InternalFailure", Some(500)).retryable);
        assert!(of("SomethingNew", Some(502)).retryable);
        assert!(!of("SomethingNew", Some(400)).retryable);
        assert_eq!(of("AccessDeniedException", Some(400)).kind, QueueErrorKind::Denied);
        assert!(of("ExpiredToken", Some(403)).retryable);
        let gone = of("AWS.SimpleQueueService.NonExistentQueue", Some(400));
        assert!(
            gone.kind == QueueErrorKind::Mismatch && gone.retryable && gone.message.contains("ronda queue init"),
            "{gone}"
        );
    }

    #[test]
    fn a_handle_that_is_no_longer_good_is_told_apart() {
        let entry = |code: &str, message: &str, sender_fault| {
            let entry = BatchResultErrorEntry::builder().id("0").code(code).message(message);
            entry.sender_fault(sender_fault).build().unwrap()
        };
        assert!(is_not_ours(&entry("ReceiptHandleIsInvalid", "", true)));
        assert!(is_not_ours(&entry("AWS.SimpleQueueService.MessageNotInflight", "", true)));
        let expired = "Value x for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.";
        assert!(is_not_ours(&entry("InvalidParameterValue", expired, true)));
        assert!(!is_not_ours(&entry("InternalError", "", false)));
        assert!(of_entry("deleting", &entry("Odd", "", false)).retryable);
        assert!(!of_entry("deleting", &entry("Odd", "", true)).retryable);
    }
}
