//! Requests to JetStream's API, and what its errors mean here.

use std::error::Error as _;

use async_nats::jetstream::context::{PublishError, PublishErrorKind, RequestErrorKind};
use async_nats::jetstream::response::Response;
use async_nats::jetstream::{Error, ErrorCode, stream};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{QueueError, QueueErrorKind};

use super::connection::{ANSWER_WITHIN, Connection, RETRY_AFTER};

pub(super) use stream::Info as StreamInfo;

pub(super) const STREAM_NAME_IN_USE: ErrorCode = ErrorCode::STREAM_NAME_EXIST;

/// How a request to the API fails.
pub(super) enum ApiError {
    /// JetStream answered with an error.
    Said(Error),
    /// There was no answer.
    Failed(QueueError),
}

impl ApiError {
    /// What it means to a caller. `what` begins the sentence.
    pub(super) fn into_queue_error(self, what: &str) -> QueueError {
        match self {
            Self::Failed(error) => error,
            Self::Said(error) => said(&error, what),
        }
    }
}

impl Connection {
    /// Asks JetStream's API.
    pub(super) async fn call<T: DeserializeOwned>(&self, subject: String, body: &Value) -> Result<T, ApiError> {
        let whole = format!("$JS.API.{subject}");
        let asked = async {
            self.context().request(subject, body).await.map_err(|error| match error.kind() {
                RequestErrorKind::TimedOut => no_answer(&whole),
                RequestErrorKind::NoResponders => {
                    let what = "JetStream does not answer: it is starting, or it is not enabled for this account";
                    QueueError::transient(QueueErrorKind::Unavailable, RETRY_AFTER, what)
                }
                _ => {
                    let what = format!("the request {whole} failed");
                    QueueError::transient(QueueErrorKind::Unavailable, RETRY_AFTER, what).with_source(error)
                }
            })
        };
        match self.guard(self.watch(), &whole, asked).await {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error }) => Err(ApiError::Said(error)),
            Err(error) => Err(ApiError::Failed(error)),
        }
    }

    /// A stream's configuration and state; `None` when it is not there.
    pub(super) async fn stream_info(&self, stream: &str) -> Result<Option<StreamInfo>, QueueError> {
        match self.call(format!("STREAM.INFO.{stream}"), &json!({})).await {
            Ok(info) => Ok(Some(info)),
            Err(ApiError::Said(error)) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            Err(error) => Err(error.into_queue_error(&format!("the state of stream {stream} can't be had"))),
        }
    }
}

/// A request that was not answered in time.
pub(super) fn no_answer(subject: &str) -> QueueError {
    let what = format!("the NATS server did not answer {subject} within {} s", ANSWER_WITHIN.as_secs());
    QueueError::transient(QueueErrorKind::Unavailable, RETRY_AFTER, what)
}

/// What an error that JetStream answered means.
pub(super) fn said(error: &Error, what: &str) -> QueueError {
    let text = format!("{what}: {error}");
    let code = error.error_code();
    match code {
        ErrorCode::STREAM_NOT_FOUND => {
            let text = format!("{what}: there is no such stream: make it with 'ronda queue init'");
            QueueError::permanent(QueueErrorKind::Mismatch, text)
        }
        ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
            let text = format!("{what}: JetStream is not enabled for this account");
            QueueError::permanent(QueueErrorKind::Mismatch, text)
        }
        // A stream reserves its room when it is made.
        ErrorCode::STORAGE_RESOURCES_EXCEEDED => {
            let way_out = "the server lacks the room that the stream reserves: give it more (max_file_store), or set queue.max_bytes lower";
            QueueError::permanent(QueueErrorKind::Mismatch, format!("{text}: {way_out}"))
        }
        // Replicas and placement.
        ErrorCode::CLUSTER_NO_PEERS | ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED | ErrorCode::STREAM_SUBJECT_OVERLAP => {
            QueueError::permanent(QueueErrorKind::Mismatch, text)
        }
        // The rest of what is said with a status of 400 won't change by itself.
        _ if error.code() == 400 => QueueError::permanent(QueueErrorKind::Mismatch, text),
        _ => QueueError::transient(QueueErrorKind::Unavailable, RETRY_AFTER, text),
    }
}

/// What the failure of a publish means.
pub(super) fn publish_failed(
    error: &PublishError,
    subject: &str,
    message_bytes: usize,
    max_bytes: usize,
) -> QueueError {
    let unavailable = |text: String| QueueError::transient(QueueErrorKind::Unavailable, RETRY_AFTER, text);
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => QueueError::too_large(message_bytes, max_bytes),
        // Also while the server starts: nothing tells this apart from a stream that is gone.
        PublishErrorKind::StreamNotFound => {
            unavailable(format!("no stream takes {subject} just now: if it stays so, see 'ronda queue check'"))
        }
        PublishErrorKind::TimedOut => no_answer(subject),
        _ => match error.source().and_then(|source| source.downcast_ref::<Error>()) {
            Some(said) => refused(said, message_bytes, max_bytes),
            None => unavailable(format!("a publish to {subject} failed: {error}")),
        },
    }
}

/// What the stream's refusal of a message means.
fn refused(error: &Error, message_bytes: usize, max_bytes: usize) -> QueueError {
    match error.error_code() {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM => {
            QueueError::too_large(message_bytes, max_bytes)
        }
        // The stream's own limit of bytes, the account's, and a full disk.
        ErrorCode::STREAM_STORE_FAILED
        | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED => {
            QueueError::transient(QueueErrorKind::Full, 2 * RETRY_AFTER, format!("the queue is full: {error}"))
        }
        _ => said(error, "the stream did not take a message"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_room_for_a_stream_says_what_to_do() {
        let answer =
            json!({"code": 500, "err_code": 10_047, "description": "insufficient storage resources available"});
        let error = said(&serde_json::from_value(answer).expect("an error"), "stream RONDA_COMMANDS can't be made");
        assert_eq!((error.kind, error.retryable), (QueueErrorKind::Mismatch, false));
        let text = error.to_string();
        assert!(text.contains("max_file_store") && text.contains("queue.max_bytes"), "{text}");
    }
}
