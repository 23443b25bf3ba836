//! What every request passes through: a request id, the key and its rate limit, metrics, the log line, and a net under panics.
//!
//! One layer does it all, because each layer costs an allocation a request.

use std::borrow::Cow;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::body::HttpBody;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::FutureExt;
use hashbrown::HashMap;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::{debug, error, warn};
use utoipa::openapi::PathItem;

use crate::access::Principal;
use crate::auth::{ActiveKey, AuthError};
use crate::problem::{Kind, Problem, with_request};
use crate::state::AppState;
use crate::writes::{self, Incoming, Operation};
use crate::{openapi, refusals};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID_BYTES: usize = 64;

/// Makes request ids: eight hexadecimal digits of the gateway's start, then a count.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: u32,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(gateway: u64) -> Self {
        // The upper half: as random as the whole.
        Self { prefix: u32::try_from(gateway >> 32).unwrap_or(0), count: AtomicU64::new(0) }
    }

    fn next(&self) -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut text = [b'0'; 20];
        let (prefix, rest) = text.split_at_mut(8);
        for (digits, mut number) in [(prefix, u64::from(self.prefix)), (rest, count)] {
            for digit in digits.iter_mut().rev() {
                *digit = DIGITS[(number & 0xf) as usize];
                number >>= 4;
            }
        }
        HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("none"))
    }
}

/// The client's own request id, when it is harmless: it will be in our log.
fn given_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let value = headers.get(REQUEST_ID)?;
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let bytes = value.as_bytes();
    let fits = !bytes.is_empty() && bytes.len() <= MAX_REQUEST_ID_BYTES && bytes.iter().all(harmless);
    fits.then(|| value.clone())
}

/// The layer around routes that need a key.
pub(crate) async fn guarded(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let passage = Passage::begin(&state, &request);
    let is_write = passage.method != http::Method::GET;
    let key = whose(&state, request.headers(), is_write).await;
    let work = |principal| {
        request.extensions_mut().insert::<Principal>(principal);
        next.run(request)
    };
    let response = admitted(&state, key, is_write, work).await;
    passage.end(&state, response)
}

/// A report, without the router: the same passage around the same work.
pub(crate) async fn report<B>(state: &AppState, operation: Operation, request: http::Request<B>) -> Response
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let passage = Passage::direct(state, operation, &request);
    let (parts, body) = request.into_parts();
    let key = whose(state, &parts.headers, true).await;
    let work = |principal| writes::handle(state, Incoming { operation, principal, parts, body });
    let response = admitted(state, key, true, work).await;
    passage.end(state, response)
}

/// The key of a request.
async fn whose(state: &AppState, headers: &HeaderMap, is_write: bool) -> Result<Arc<ActiveKey>, AuthError> {
    let checked = state.keys.check(headers);
    if !is_write {
        return checked.await;
    }
    // Whose it is can't be told.
    refusals::noted(checked, || state.publisher.note_refused()).await
}

/// Lets a request with a good key to its work, as far as the key's rate limit allows.
async fn admitted<F>(
    state: &AppState,
    key: Result<Arc<ActiveKey>, AuthError>,
    is_write: bool,
    work: impl FnOnce(Principal) -> F,
) -> Response
where
    F: Future<Output = Response>,
{
    let key = match key {
        Ok(key) => key,
        Err(AuthError::Unauthorized) => return Problem::unauthorized().into_response(),
        Err(AuthError::Unavailable) => {
            if is_write {
                // Whose it is can't be told.
                state.publisher.note_refused();
            }
            return Problem::store_unavailable().into_response();
        }
    };
    let Some(decision) = key.bucket.take(state.clock.mono_millis()) else {
        return caught(state, work(key.principal.clone())).await;
    };
    let mut response = if decision.allowed {
        caught(state, work(key.principal.clone())).await
    } else {
        Problem::rate_limited(key.bucket.quota(), decision.seconds).into_response()
    };
    key.bucket.headers(decision, response.headers_mut());
    response
}

/// The layer around everything else: documentation, and paths that lead nowhere.
pub(crate) async fn open(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let passage = Passage::begin(&state, &request);
    let response = caught(&state, next.run(request)).await;
    passage.end(&state, response)
}

async fn caught(state: &AppState, work: impl Future<Output = Response>) -> Response {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            // The panic hook has printed what and where.
            state.http_metrics.panicked();
            Problem::new(Kind::Internal, "The mistake was logged under this request's id.").into_response()
        }
    }
}

/// The paths of the API that lead nowhere.
pub(crate) async fn nowhere() -> Problem {
    Problem::not_found()
}

/// The pattern of a request's path.
enum Route {
    /// The router found it.
    Matched(MatchedPath),
    /// It was known without the router.
    Direct(&'static str),
    /// It leads nowhere.
    None,
}

impl Route {
    fn as_str(&self) -> Option<&str> {
        match self {
            Self::Matched(path) => Some(path.as_str()),
            Self::Direct(path) => Some(path),
            Self::None => None,
        }
    }
}

struct Passage {
    started: Instant,
    request_id: HeaderValue,
    route: Route,
    path: http::Uri,
    method: http::Method,
}

impl Passage {
    fn begin(state: &AppState, request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned().map_or(Route::None, Route::Matched);
        Self::through(state, route, request)
    }

    fn direct<B>(state: &AppState, operation: Operation, request: &http::Request<B>) -> Self {
        Self::through(state, operation.route().map_or(Route::None, Route::Direct), request)
    }

    fn through<B>(state: &AppState, route: Route, request: &http::Request<B>) -> Self {
        Self {
            started: Instant::now(),
            request_id: given_request_id(request.headers()).unwrap_or_else(|| state.request_ids.next()),
            route,
            path: request.uri().clone(),
            method: request.method().clone(),
        }
    }

    fn end(self, state: &AppState, response: Response) -> Response {
        let id = self.request_id.to_str().unwrap_or_default();
        let status = response.status();
        let route = self.route.as_str().unwrap_or("none");
        let elapsed = self.started.elapsed();
        state.http_metrics.answered(route, status, elapsed);
        let is_told = status != StatusCode::SERVICE_UNAVAILABLE || state.outage_log.takes(state.clock.mono_millis());
        if status.is_server_error() && is_told {
            warn!(request.id = id, http.method = %self.method, http.route = route, http.status = status.as_u16(), elapsed_ms = elapsed.as_millis(), "answered");
        } else {
            debug!(request.id = id, http.method = %self.method, http.route = route, http.status = status.as_u16(), elapsed_ms = elapsed.as_millis(), "answered");
        }
        let mut response = if status.is_success() { response } else { self.refined(response, id) };
        response.headers_mut().insert(REQUEST_ID, self.request_id);
        response
    }

    /// Problems learn the request's path and id; refusals that are not ours become problems.
    fn refined(&self, response: Response, id: &str) -> Response {
        if response.extensions().get::<Problem>().is_some() {
            return with_request(response, self.path.path(), id);
        }
        let status = response.status();
        if status.is_redirection() || status.is_informational() {
            return response;
        }
        let problem = match status {
            StatusCode::METHOD_NOT_ALLOWED => Problem::new(
                Kind::MethodNotAllowed,
                self.route.as_str().map_or("It takes other methods.".into(), takes),
            ),
            StatusCode::NOT_FOUND => Problem::not_found(),
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Kind::BodyTooLarge, "Send less at once."),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::unsupported_media_type("application/json"),
            other if other.is_client_error() => Problem::new(Kind::InvalidJson, "The request can't be read."),
            other => {
                error!(request.id = id, http.status = other.as_u16(), "answered without saying why");
                refusals::internal()
            }
        };
        with_request(problem.into_response(), self.path.path(), id)
    }
}

/// The methods of each route. From the document, which a test compares with the router: the router adds its own `Allow` only outside of
/// all layers, where problems are written already.
static METHODS: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
    let methods = |item: &PathItem| {
        let methods = [
            ("GET", item.get.is_some()),
            ("PUT", item.put.is_some()),
            ("POST", item.post.is_some()),
            ("DELETE", item.delete.is_some()),
        ];
        methods.into_iter().filter(|(_, taken)| *taken).map(|(method, _)| method).collect::<Vec<_>>().join(", ")
    };
    openapi::document().paths.paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
});

/// Which methods a route takes, in a sentence. What is not in the document are its own pages, to be read, and what Slack sends to.
fn takes(route: &str) -> Cow<'static, str> {
    let undescribed = if route.starts_with("/slack/") { "POST" } else { "GET" };
    let methods = METHODS.get(route).map_or(undescribed, String::as_str);
    format!("It takes {methods}.").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ_and_keep_their_length() {
        let ids = RequestIds::new(0x0123_4567_89ab_cdef);
        assert_eq!(ids.next(), "01234567000000000000");
        assert_eq!(ids.next(), "01234567000000000001");
    }

    #[test]
    fn a_given_id_is_taken_only_when_it_is_harmless() {
        let given = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            given_request_id(&headers)
        };
        assert_eq!(given(b"trace-1.a_B").unwrap(), "trace-1.a_B");
        assert!(given(b"a b").is_none());
        assert!(given(b"\xff").is_none());
        assert!(given(&[b'a'; 65]).is_none());
    }
}
