//! Problem details (RFC 9457): every refusal of the API, from one list of kinds.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use ronda_schemas::api::problem::{ExampleRequest, FieldProblem, ProblemBody, RejectedEvent};
use ronda_schemas::api::time::Time;
use ronda_schemas::api::{FieldError, Invalid};
use serde_json::json;

/// Where the kinds are described, relative to the API's address; `#code` follows.
pub const DOCUMENTATION_PATH: &str = "/api/docs/problems";

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident, $status:ident, $code:literal, $title:literal;)*) => {
        /// A kind of problem. Each is described in docs/api/problems.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// Every kind, in the order of their statuses.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The constant name for machines; the type's URI ends with it.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that it is answered with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// What kind of problem it is, for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

kinds! {
    /// The body can't be read as JSON.
    InvalidJson, BAD_REQUEST, "invalid_json", "The body is not JSON";
    /// Fields of the body are wrong.
    InvalidBody, BAD_REQUEST, "invalid_body", "Fields of the body are wrong";
    /// Query parameters are wrong.
    InvalidQuery, BAD_REQUEST, "invalid_query", "Query parameters are wrong";
    /// The path has no valid id.
    InvalidPath, BAD_REQUEST, "invalid_path", "The path is not valid";
    /// A header is wrong.
    InvalidHeader, BAD_REQUEST, "invalid_header", "A header is wrong";
    /// The cursor is not one, or belongs to other filters.
    InvalidCursor, BAD_REQUEST, "invalid_cursor", "The cursor does not fit";
    /// No key, or not a valid one.
    Unauthorized, UNAUTHORIZED, "unauthorized", "A valid API key is needed";
    /// A request to Slack's addresses that Slack did not sign.
    InvalidSignature, UNAUTHORIZED, "invalid_signature", "The request is not signed by Slack";
    /// A key without the scope that is needed.
    Forbidden, FORBIDDEN, "forbidden", "The key may not do this";
    /// No such address.
    NotFound, NOT_FOUND, "not_found", "There is nothing at this address";
    /// Nobody registered this scheduler.
    UnknownScheduler, NOT_FOUND, "unknown_scheduler", "No scheduler of this id is registered";
    /// The address does not take this method.
    MethodNotAllowed, METHOD_NOT_ALLOWED, "method_not_allowed", "The address does not take this method";
    /// The client took too long.
    RequestTimeout, REQUEST_TIMEOUT, "request_timeout", "The request took too long to arrive";
    /// The first request of this `Idempotency-Key` is still under way.
    IdempotencyInProgress, CONFLICT, "idempotency_in_progress", "The first request with this key is still under way";
    /// The alert that is acknowledged is not open.
    AlertOver, CONFLICT, "alert_over", "The alert is over";
    /// The body is larger than is taken.
    BodyTooLarge, PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    /// The body is of a type that is not taken.
    UnsupportedMediaType, UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body is of a type that is not taken";
    /// The `Idempotency-Key` was used for another request.
    IdempotencyMismatch, UNPROCESSABLE_ENTITY, "idempotency_mismatch", "The key was used for another request";
    /// Too many requests of one key.
    RateLimited, TOO_MANY_REQUESTS, "rate_limited", "Too many requests";
    /// A mistake of ours.
    Internal, INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side";
    /// The queue can't take writes now.
    QueueUnavailable, SERVICE_UNAVAILABLE, "queue_unavailable", "Writes can't be made durable just now";
    /// The store can't be read now.
    StoreUnavailable, SERVICE_UNAVAILABLE, "store_unavailable", "The store can't be read just now";
    /// More is waiting than can be held.
    Overloaded, SERVICE_UNAVAILABLE, "overloaded", "Too much is waiting to be written";
    /// The gateway is going down.
    ShuttingDown, SERVICE_UNAVAILABLE, "shutting_down", "The gateway is shutting down";
}

/// A refusal, to be answered.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    // Boxed: handlers carry it in every `Result`.
    body: Box<ProblemBody>,
    allow: Option<&'static str>,
}

impl Problem {
    /// A problem of a kind, with what was wrong this time and what to do.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        let body = ProblemBody {
            kind: format!("{DOCUMENTATION_PATH}#{}", kind.code()).into(),
            title: kind.title().into(),
            status: kind.status().as_u16(),
            detail: detail.into(),
            code: kind.code().into(),
            instance: None,
            request_id: None,
            retry_after_seconds: None,
            errors: Vec::new(),
            example: None,
        };
        Self { kind, body: Box::new(body), allow: None }
    }

    /// The same with a `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.body.retry_after_seconds = Some(seconds);
        self
    }

    /// The same with wrong fields.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.body.errors = errors.into_iter().map(FieldProblem::from).collect();
        self
    }

    /// Which kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// What is sent.
    #[must_use]
    pub const fn body(&self) -> &ProblemBody {
        &self.body
    }

    /// The same as one refused item of a bulk write.
    #[must_use]
    pub fn rejected(self, index: usize) -> RejectedEvent {
        RejectedEvent { index, problem: *self.body }
    }

    /// Wrong query parameters, each by its name.
    #[must_use]
    pub fn invalid_query(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("The query parameter '{}' {}.", only.pointer, only.message),
            more => format!("{} query parameters are wrong; each is listed with the reason.", more.len()),
        };
        Self::new(Kind::InvalidQuery, detail).with_errors(errors)
    }

    /// A path whose scheduler id is none.
    #[must_use]
    pub fn invalid_id(error: &ronda_domain::id::IdError) -> Self {
        Self::new(Kind::InvalidPath, format!("The scheduler id in the path {error}."))
    }

    /// No key, or not a valid one.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(Kind::Unauthorized, "Send a valid key as 'X-API-Key: …' or 'Authorization: Bearer …'.")
    }

    /// A key without the scope that is needed.
    #[must_use]
    pub fn forbidden(scope: &str) -> Self {
        Self::new(Kind::Forbidden, format!("The key lacks the scope '{scope}'; use one that has it."))
    }

    /// No such address.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "The API's addresses are listed at /api/docs.")
    }

    /// Nobody registered this scheduler; says how to.
    #[must_use]
    pub fn unknown_scheduler(id: &str) -> Self {
        let detail = format!(
            "No scheduler '{id}' is registered. Register it first with POST /api/v1/schedulers/register; the example is ready to be sent."
        );
        let mut problem = Self::new(Kind::UnknownScheduler, detail);
        problem.body.example = Some(ExampleRequest {
            method: "POST".into(),
            path: "/api/v1/schedulers/register".into(),
            body: json!({ "id": id, "schedule": { "cron": "0 1 * * *", "timezone": "UTC" } }),
        });
        problem
    }

    /// Another alert is open than the one that is acknowledged, or none; `since`: when the other one was opened.
    #[must_use]
    pub fn alert_over(since: Option<Time>) -> Self {
        let now = match since {
            Some(since) => {
                format!("the scheduler's present alert began at {since}. Read it before you acknowledge it.")
            }
            None => "the scheduler has no open alert.".to_owned(),
        };
        Self::new(Kind::AlertOver, format!("That alert is over, and nothing was acknowledged; {now}"))
    }

    /// The address does not take this method; `allow` lists those that it takes, as for the header.
    #[must_use]
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let mut problem = Self::new(Kind::MethodNotAllowed, format!("It takes {allow}."));
        problem.allow = Some(allow);
        problem
    }

    /// The body is larger than is taken.
    #[must_use]
    pub fn body_too_large(max_bytes: usize) -> Self {
        Self::new(Kind::BodyTooLarge, format!("A body here may have at most {max_bytes} bytes; send less at once."))
    }

    /// A bulk body with more items than are taken.
    #[must_use]
    pub fn too_many_items(max_items: usize) -> Self {
        Self::new(Kind::BodyTooLarge, format!("A bulk body may have at most {max_items} events; send fewer at once."))
    }

    /// The body is of a type that is not taken.
    #[must_use]
    pub fn unsupported_media_type(accepted: &str) -> Self {
        Self::new(Kind::UnsupportedMediaType, format!("Send the body with 'Content-Type: {accepted}'."))
    }

    /// The `Idempotency-Key` was used for another request.
    #[must_use]
    pub fn idempotency_mismatch() -> Self {
        Self::new(
            Kind::IdempotencyMismatch,
            "This Idempotency-Key was used with another method, path or body; use a new key for a new request.",
        )
    }

    /// The first request of this `Idempotency-Key` is still under way.
    #[must_use]
    pub fn idempotency_in_progress() -> Self {
        Self::new(
            Kind::IdempotencyInProgress,
            "A request with this Idempotency-Key is still being carried out; ask again with the same key.",
        )
        .retry_after(1)
    }

    /// Too many requests of one key.
    #[must_use]
    pub fn rate_limited(limit_per_minute: u32, retry_after_seconds: u64) -> Self {
        let detail = format!(
            "The key may make {limit_per_minute} requests a minute; try again in {retry_after_seconds} s, or send many events at once with POST /api/v1/events."
        );
        Self::new(Kind::RateLimited, detail).retry_after(retry_after_seconds)
    }

    /// The queue is known to take nothing, so it was not asked.
    #[must_use]
    pub fn queue_away(retry_after_seconds: u64) -> Self {
        Self::new(
            Kind::QueueUnavailable,
            "The queue is away, or takes nothing for now, as earlier writes have found; nothing of this was handed to it. Send it again.",
        )
        .retry_after(retry_after_seconds)
    }

    /// The queue did not confirm a write that it may have.
    #[must_use]
    pub fn queue_unavailable(retry_after_seconds: u64) -> Self {
        Self::new(
            Kind::QueueUnavailable,
            "The queue did not confirm the write in time; it may or may not take effect. Sending it again with the same run id or Idempotency-Key is safe.",
        )
        .retry_after(retry_after_seconds)
    }

    /// The store can't be read now.
    #[must_use]
    pub fn store_unavailable() -> Self {
        Self::new(
            Kind::StoreUnavailable,
            "The store did not answer in time; try again. Reports without an Idempotency-Key are still taken.",
        )
        .retry_after(2)
    }

    /// The store's disk is full.
    #[must_use]
    pub fn store_full() -> Self {
        Self::new(
            Kind::StoreUnavailable,
            "The store's disk is full, so nothing was written; it goes on by itself once somebody has made room.",
        )
        .retry_after(30)
    }

    /// What the store holds can't be read.
    #[must_use]
    pub fn store_unreadable() -> Self {
        Self::new(
            Kind::StoreUnavailable,
            "What is stored can't be read; trying again won't help before somebody has seen to it. The reason is in the log.",
        )
    }

    /// More bodies are being read than can be held.
    #[must_use]
    pub fn too_many_bodies() -> Self {
        Self::new(
            Kind::Overloaded,
            "More request bodies are being read than can be held in memory; nothing of this request was taken.",
        )
        .retry_after(1)
    }

    /// More is waiting than can be held.
    #[must_use]
    pub fn overloaded() -> Self {
        Self::new(
            Kind::Overloaded,
            "More is waiting for the queue than can be held; nothing of this request was taken.",
        )
        .retry_after(1)
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let kind = if invalid.code == Invalid::NOT_JSON { Kind::InvalidJson } else { Kind::InvalidBody };
        Self::new(kind, invalid.detail).with_errors(invalid.fields)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = render(&self.body);
        let headers = response.headers_mut();
        if let Some(seconds) = self.body.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ronda\""));
        }
        if self.kind == Kind::InvalidSignature {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Signature realm=\"slack\""));
        }
        response.extensions_mut().insert(self);
        response
    }
}

fn render(body: &ProblemBody) -> Response {
    // A problem has only texts and numbers: it can always be written.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let status = StatusCode::from_u16(body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type: [(HeaderName, &str); 1] = [(header::CONTENT_TYPE, "application/problem+json")];
    (status, content_type, bytes).into_response()
}

/// Writes the request's path and id into a problem's body, once they are known; every other answer is left as it is.
#[must_use]
pub fn with_request(response: Response, path: &str, request_id: &str) -> Response {
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let mut body = (*problem.body).clone();
    body.instance = Some(path.to_owned());
    body.request_id = Some(request_id.to_owned());
    let (mut parts, _) = response.into_parts();
    // Its length is another one now.
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, render(&body).into_body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_documented_and_nothing_else() {
        let page = include_str!("../../docs/api/problems.md");
        let documented: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`')).collect();
        let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(documented, kinds, "docs/api/problems.md has one heading '## `code`' a kind, in their order");
        for kind in Kind::ALL {
            let status = format!("**{}** {}", kind.status().as_u16(), kind.title());
            assert!(page.contains(&status), "docs/api/problems.md lacks the line '{status}'");
        }
    }

    #[test]
    fn a_problem_says_where_and_when_once_that_is_known() {
        let response = Problem::queue_unavailable(5).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "5");
        let response = with_request(response, "/api/v1/events", "req-1");
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let Some(problem) = response.extensions().get::<Problem>() else { panic!("a problem") };
        assert_eq!(problem.kind(), Kind::QueueUnavailable);
    }
}
