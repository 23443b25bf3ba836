//! What a write is answered with.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use ronda_schemas::row::IdempotentAnswer;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// An answer of 2xx.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// JSON; empty: none.
    pub(super) body: Bytes,
    pub(super) location: Option<HeaderValue>,
    /// The wait that was asked for and granted, in seconds.
    pub(super) waited_seconds: Option<u64>,
    /// Whether a part of it was not taken just now: the same request again is to be carried out, not answered with this.
    pub(super) undecided: bool,
}

impl Answer {
    pub(super) fn new(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { status, body: body.into(), location: None, waited_seconds: None, undecided: false }
    }

    /// 202: durable, not applied yet. The JSON of [`AcceptedResource`](ronda_schemas::api::resource::AcceptedResource), whose ids have no
    /// character that JSON would need escaped.
    pub(super) fn accepted(scheduler: &str, run: Option<&str>) -> Self {
        let mut body = Vec::with_capacity(64 + scheduler.len() + run.map_or(0, str::len));
        body.extend_from_slice(b"{\"scheduler_id\":\"");
        body.extend_from_slice(scheduler.as_bytes());
        body.extend_from_slice(b"\",\"accepted\":true");
        if let Some(run) = run {
            body.extend_from_slice(b",\"run_id\":\"");
            body.extend_from_slice(run.as_bytes());
            body.push(b'"');
        }
        body.push(b'}');
        Self::new(StatusCode::ACCEPTED, body).at(scheduler)
    }

    /// The same with the `Location` of a scheduler.
    pub(super) fn at(mut self, scheduler: &str) -> Self {
        const PREFIX: &[u8] = b"/api/v1/schedulers/";
        let mut path = Vec::with_capacity(PREFIX.len() + scheduler.len());
        path.extend_from_slice(PREFIX);
        path.extend_from_slice(scheduler.as_bytes());
        self.location = HeaderValue::from_maybe_shared(Bytes::from(path)).ok();
        self
    }

    /// What is kept for a replay.
    pub(super) fn to_stored(&self) -> IdempotentAnswer {
        let location = self.location.as_ref().and_then(|value| value.to_str().ok());
        IdempotentAnswer { status: self.status.as_u16(), body: self.body.to_vec(), location: location.map(Into::into) }
    }

    /// What was answered before.
    pub(super) fn from_stored(stored: IdempotentAnswer) -> Self {
        Self {
            status: StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK),
            body: stored.body.into(),
            location: stored.location.and_then(|location| HeaderValue::try_from(&*location).ok()),
            waited_seconds: None,
            undecided: false,
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let with_body = !self.body.is_empty();
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if with_body {
            headers.insert(header::CONTENT_TYPE, JSON);
        }
        if let Some(location) = self.location {
            headers.insert(header::LOCATION, location);
        }
        if let Some(value) =
            self.waited_seconds.and_then(|seconds| HeaderValue::try_from(format!("wait={seconds}")).ok())
        {
            headers.insert(PREFERENCE_APPLIED, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use ronda_schemas::api::resource::AcceptedResource;

    use super::*;

    #[test]
    fn an_accepted_answer_is_the_json_of_its_resource() {
        for run in [Some("r-1"), None] {
            let answer = Answer::accepted("nightly", run);
            let read: AcceptedResource = serde_json::from_slice(&answer.body).unwrap();
            let expected =
                AcceptedResource { scheduler_id: "nightly".into(), accepted: true, run_id: run.map(ToOwned::to_owned) };
            assert_eq!(read, expected);
            assert_eq!(answer.body, serde_json::to_vec(&expected).unwrap());
            assert_eq!(answer.location.unwrap(), "/api/v1/schedulers/nightly");
        }
    }
}
