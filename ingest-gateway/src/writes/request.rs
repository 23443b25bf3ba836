//! A write request, read and ready to be carried out.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::HttpBody;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use http_body_util::BodyExt;
use ronda_domain::id::check_id;
use tokio::time::timeout;

use super::budget::{BodyBudget, BodyShare};
use crate::access::Principal;
use crate::problem::{Kind, Problem};
use crate::publisher::Until;
use crate::reads::no_query;
use crate::refusals;
use crate::state::AppState;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 255;
/// A body over the limit is read away up to here, so that the client gets to read the answer, in bytes.
const MAX_DISCARDED_BYTES: usize = 32 * 1024 * 1024;
const DISCARD_FOR: Duration = Duration::from_secs(3);

/// What a write asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Status,
    Heartbeat,
    Register,
    Events,
    Delete,
    Pause,
    Resume,
    Acknowledge,
    Mute,
    Unmute,
}

impl Operation {
    /// Where a status is reported.
    pub(crate) const STATUS_ROUTE: &str = "/api/v1/schedulers/{id}/status";
    /// Where a heartbeat is reported.
    pub(crate) const HEARTBEAT_ROUTE: &str = "/api/v1/schedulers/{id}/heartbeat";
    /// Where many of both are.
    pub(crate) const EVENTS_ROUTE: &str = "/api/v1/events";

    /// The pattern of a report's path; `None`: it is no report.
    pub(crate) const fn route(self) -> Option<&'static str> {
        match self {
            Self::Status => Some(Self::STATUS_ROUTE),
            Self::Heartbeat => Some(Self::HEARTBEAT_ROUTE),
            Self::Events => Some(Self::EVENTS_ROUTE),
            _ => None,
        }
    }

    /// Whether it needs the scope `admin`; else `ingest`.
    const fn needs_admin(self) -> bool {
        match self {
            Self::Delete | Self::Pause | Self::Resume | Self::Acknowledge | Self::Mute | Self::Unmute => true,
            Self::Status | Self::Heartbeat | Self::Register | Self::Events => false,
        }
    }
}

/// A write request whose body is still to be read.
pub(crate) struct Incoming<B> {
    pub(crate) operation: Operation,
    /// Who asks.
    pub(crate) principal: Principal,
    pub(crate) parts: Parts,
    pub(crate) body: B,
}

/// A write request whose body has been read.
pub(super) struct Write {
    pub(super) operation: Operation,
    pub(super) principal: Principal,
    pub(super) parts: Parts,
    pub(super) body: Bytes,
    /// Held for as long as the body is.
    _share: BodyShare,
    /// Whether the body is one event a line.
    pub(super) ndjson: bool,
    /// How long the client wants to wait for the result, in seconds.
    pub(super) prefer_wait_seconds: Option<u64>,
}

impl<B: HttpBody<Data = Bytes> + Unpin> Incoming<B> {
    /// Checks who asks and how, and reads the body.
    pub(super) async fn read(self, state: &AppState) -> Result<Write, Problem> {
        let Self { operation, principal, parts, body } = self;
        let (allowed, scope) = if operation.needs_admin() {
            (principal.scopes.admin, "admin")
        } else {
            (principal.scopes.ingest, "ingest")
        };
        if !allowed {
            return Err(Problem::forbidden(scope));
        }
        let bulk = operation == Operation::Events;
        let limit = if bulk { state.config.max_bulk_body_bytes } else { state.config.max_body_bytes };
        let within = Duration::from_secs(state.config.body_read_timeout_seconds);
        no_query(&parts.uri)?;
        let read = read_body(&state.bodies, body, limit, within).await;
        let (body, share) = read.inspect_err(|problem| note_refusal(state, principal.tenant.as_str(), problem))?;
        let ndjson = content_type(&parts.headers, operation, body.is_empty())?;
        let prefer_wait_seconds =
            prefer_wait(&parts.headers).map(|seconds| seconds.min(state.config.max_prefer_wait_seconds));
        Ok(Write { operation, principal, parts, body, _share: share, ndjson, prefer_wait_seconds })
    }
}

impl Write {
    /// What the client waits for.
    pub(super) fn wants(&self) -> Until {
        if self.prefer_wait_seconds.is_some() { Until::Applied } else { Until::Durable }
    }

    /// The scheduler that the path names.
    pub(super) fn scheduler(&self) -> Result<Cow<'_, str>, Problem> {
        scheduler_in(self.parts.uri.path())
    }

    /// The tenant's id.
    pub(super) fn tenant(&self) -> &str {
        self.principal.tenant.as_str()
    }

    /// The `Idempotency-Key`, when there is one.
    pub(super) fn idempotency_key(&self) -> Result<Option<&str>, Problem> {
        let Some(value) = self.parts.headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        if text.is_empty() || text.len() > MAX_IDEMPOTENCY_KEY_BYTES {
            return Err(refusals::invalid_header("Idempotency-Key must be 1 to 255 printable ASCII characters."));
        }
        Ok(Some(text))
    }
}

/// Says in the next frames whose write was not taken, if that was by our own fault and the queue has no part in it: what the queue refuses
/// is noted there. Others' writes are none the worse for it.
pub(super) fn note_refusal(state: &AppState, tenant: &str, problem: &Problem) {
    if matches!(problem.kind(), Kind::StoreUnavailable | Kind::Overloaded) {
        state.publisher.note_refused_of(tenant);
    }
}

/// The id in `/api/v1/schedulers/{id}…`.
fn scheduler_in(path: &str) -> Result<Cow<'_, str>, Problem> {
    let segment = path.split('/').nth(4).unwrap_or_default();
    let id = if segment.contains('%') { Cow::Owned(percent_decoded(segment)) } else { Cow::Borrowed(segment) };
    check_id(&id).map_err(|error| Problem::invalid_id(&error))?;
    Ok(id)
}

/// Percent-decodes (RFC 3986); what is not UTF-8 then can't be an id and need not survive.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = if *first == b'%' { after.split_at_checked(2) } else { None };
        let decoded = digits.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = decoded.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Checks the content type; whether it is NDJSON.
fn content_type(headers: &HeaderMap, operation: Operation, empty: bool) -> Result<bool, Problem> {
    if matches!(operation, Operation::Delete | Operation::Pause | Operation::Resume) {
        return Ok(false);
    }
    let expected = match operation {
        Operation::Events => "application/json (an array), or application/x-ndjson (one event a line)",
        _ => "application/json",
    };
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return if empty { Ok(false) } else { Err(Problem::unsupported_media_type(expected)) };
    };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if essence.eq_ignore_ascii_case(b"application/json") {
        Ok(false)
    } else if operation == Operation::Events && essence.eq_ignore_ascii_case(b"application/x-ndjson") {
        Ok(true)
    } else {
        Err(Problem::unsupported_media_type(expected))
    }
}

/// `Prefer: wait=N` (RFC 7240), in seconds. What can't be read is not preferred.
fn prefer_wait(headers: &HeaderMap) -> Option<u64> {
    let mut preferences = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
    preferences.find_map(|value| {
        value.split([',', ';']).find_map(|preference| {
            let (name, value) = preference.split_once('=')?;
            if name.trim().eq_ignore_ascii_case("wait") { value.trim().trim_matches('"').parse().ok() } else { None }
        })
    })
}

/// Reads a body of bounded size within a bounded time.
pub(crate) async fn read_body<B>(
    budget: &BodyBudget,
    body: B,
    max_bytes: usize,
    within: Duration,
) -> Result<(Bytes, BodyShare), Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > max_bytes as u64 {
        let mut body = body;
        discard(&mut body).await;
        return Err(Problem::body_too_large(max_bytes));
    }
    match timeout(within, collect(budget, body, max_bytes)).await {
        Ok(read) => read,
        Err(_) => Err(refusals::body_timeout()),
    }
}

async fn collect<B>(budget: &BodyBudget, mut body: B, max_bytes: usize) -> Result<(Bytes, BodyShare), Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let mut share = BodyShare::default();
    // What is announced is reserved before any of it is read; of a body that announces nothing, what has come.
    budget.grow(&mut share, usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX))?;
    // Nearly every body comes in one piece, which is then used as it is.
    let mut whole = Bytes::new();
    let mut pieces: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| refusals::body_broken())?.into_data() else { continue };
        let length = whole.len() + pieces.len() + data.len();
        budget.grow(&mut share, length)?;
        if length > max_bytes {
            discard(&mut body).await;
            return Err(Problem::body_too_large(max_bytes));
        }
        if whole.is_empty() && pieces.is_empty() {
            whole = data;
        } else {
            pieces.extend_from_slice(&std::mem::take(&mut whole));
            pieces.extend_from_slice(&data);
        }
    }
    Ok((if pieces.is_empty() { whole } else { pieces.into() }, share))
}

async fn discard<B>(body: &mut B)
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let reading = async {
        let mut left = MAX_DISCARDED_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    // Whatever was not read by then is dropped with the connection.
    let _ = timeout(DISCARD_FOR, reading).await;
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_id_comes_from_the_path_also_when_it_is_percent_encoded() {
        assert_eq!(scheduler_in("/api/v1/schedulers/nightly-billing/status").unwrap(), "nightly-billing");
        assert_eq!(scheduler_in("/api/v1/schedulers/nightly%2Dbilling").unwrap(), "nightly-billing");
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        let long = format!("/api/v1/schedulers/{}/status", "a".repeat(129));
        let paths = [
            "/api/v1/schedulers/..%2f..%2fetc/status",
            "/api/v1/schedulers/../status",
            "/api/v1/schedulers/a%00b",
            &long,
        ];
        for path in paths {
            assert_eq!(scheduler_in(path).unwrap_err().status(), http::StatusCode::BAD_REQUEST, "{path}");
        }
        assert!(scheduler_in("/api/v1/schedulers/%ff%/status").is_err());
    }

    #[test]
    fn preferences_are_read_as_rfc_7240_has_them() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_static(value));
            prefer_wait(&headers)
        };
        assert_eq!(read("wait=5"), Some(5));
        assert_eq!(read("respond-async, Wait=\"7\""), Some(7));
        assert_eq!(read("return=minimal"), None);
        assert_eq!(read("wait=soon"), None);
    }
}
