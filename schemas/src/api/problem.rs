//! Problem details (RFC 9457) as they are sent, and as the command line reads them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::invalid::FieldError;

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldProblem {
    /// JSON pointer (RFC 6901) into the body, such as `/schedule/cron`; empty for the body itself. For a query parameter its name.
    #[cfg_attr(feature = "openapi", schema(value_type = String, examples("/schedule/cron")))]
    pub pointer: Cow<'static, str>,
    /// A short constant name for machines.
    #[cfg_attr(feature = "openapi", schema(value_type = String, examples("invalid_cron")))]
    pub code: Cow<'static, str>,
    /// What is wrong and what to do, for people.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub message: Cow<'static, str>,
}

impl From<FieldError> for FieldProblem {
    fn from(error: FieldError) -> Self {
        Self { pointer: error.pointer.into(), code: error.code.into(), message: error.message.into() }
    }
}

/// An answer that says what was wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Problem))]
pub struct ProblemBody {
    /// Where this kind of problem is described, relative to the API's address.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uri-reference", examples("/api/docs/problems#invalid_body")))]
    pub kind: Cow<'static, str>,
    /// What kind of problem, for people.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub title: Cow<'static, str>,
    /// The HTTP status.
    #[cfg_attr(feature = "openapi", schema(minimum = 400, maximum = 599))]
    pub status: u16,
    /// What was wrong with this request and what to do.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub detail: Cow<'static, str>,
    /// A short constant name for machines.
    #[cfg_attr(feature = "openapi", schema(value_type = String, examples("invalid_body")))]
    pub code: Cow<'static, str>,
    /// The path that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The request's id, as in the header `X-Request-Id` and in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// When to try again, in seconds; the same as the header `Retry-After`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// Every wrong field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// A request that would help, ready to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<ExampleRequest>,
}

/// A request that would help, ready to be sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExampleRequest {
    /// HTTP method.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub method: Cow<'static, str>,
    /// Path, relative to the API's address.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub path: Cow<'static, str>,
    /// JSON body.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub body: serde_json::Value,
}

/// One refused item of a bulk write: its place, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RejectedEvent {
    /// Its place in the body, counted from 0; of NDJSON, empty lines not counted.
    pub index: usize,
    /// Why it was refused.
    #[serde(flatten)]
    pub problem: ProblemBody,
}

/// The answer to a bulk write. What counts as accepted is durable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BulkAnswer {
    /// How many items were accepted.
    pub accepted: usize,
    /// The items that were refused, in the body's order.
    pub rejected: Vec<RejectedEvent>,
}
