//! Problem details (RFC 9457).

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use ronda_domain::draft::FieldError;
use serde::Serialize;

/// An answer that says what was wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// HTTP status.
    #[serde(serialize_with = "status_code")]
    pub status: StatusCode,
    /// A short constant name for machines; the type's URI ends with it.
    pub code: &'static str,
    /// What kind of problem, for people.
    pub title: &'static str,
    /// What was wrong with this request and what to do.
    pub detail: Cow<'static, str>,
    /// The wrong fields.
    #[serde(skip)]
    pub errors: Vec<FieldError>,
    /// When to try again, in seconds.
    #[serde(skip)]
    pub retry_after_seconds: Option<u64>,
}

fn status_code<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem without field errors.
    pub fn new(status: StatusCode, code: &'static str, title: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, title, detail: detail.into(), errors: Vec::new(), retry_after_seconds: None }
    }

    /// The same with a `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// No key, or not a valid one.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "A valid API key is needed",
            "Send a key as 'X-API-Key: …' or 'Authorization: Bearer …'.",
        )
    }

    /// A key without the scope that is needed.
    #[must_use]
    pub fn forbidden(scope: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "The key may not do this",
            format!("The key lacks the scope '{scope}'."),
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, body).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
