//! What is counted of requests. Handles are made once a route: looking one up costs more than counting.

use std::time::Duration;

use hashbrown::HashMap;
use http::StatusCode;
use metrics::{Counter, Histogram, counter, describe_counter, describe_histogram, histogram};
use parking_lot::RwLock;

/// The statuses that are counted one by one; the others share a count by their class.
const STATUSES: [u16; 17] = [200, 201, 202, 204, 400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503];

struct RouteMetrics {
    by_status: Box<[Counter]>,
    other: Counter,
    seconds: Histogram,
}

/// Counts of requests, by route and status.
pub(crate) struct HttpMetrics {
    routes: RwLock<HashMap<Box<str>, RouteMetrics>>,
    panics: Counter,
}

impl RouteMetrics {
    fn new(route: &str) -> Self {
        let count =
            |status: String| counter!("ronda_http_requests_total", "route" => route.to_owned(), "status" => status);
        Self {
            by_status: STATUSES.iter().map(|status| count(status.to_string())).collect(),
            other: count("other".to_owned()),
            seconds: histogram!("ronda_http_request_duration_seconds", "route" => route.to_owned()),
        }
    }

    fn answered(&self, status: StatusCode, elapsed: Duration) {
        let place = STATUSES.iter().position(|known| *known == status.as_u16());
        place.and_then(|place| self.by_status.get(place)).unwrap_or(&self.other).increment(1);
        self.seconds.record(elapsed.as_secs_f64());
    }
}

impl HttpMetrics {
    pub(crate) fn new() -> Self {
        describe_counter!("ronda_http_requests_total", "Requests answered, by route and status");
        describe_histogram!("ronda_http_request_duration_seconds", "Time from a request's head to its answer");
        describe_counter!("ronda_http_panics_total", "Requests that ended in a panic");
        Self { routes: RwLock::default(), panics: counter!("ronda_http_panics_total") }
    }

    /// Counts an answer. Routes are the patterns of the router, so there are few.
    pub(crate) fn answered(&self, route: &str, status: StatusCode, elapsed: Duration) {
        if let Some(metrics) = self.routes.read().get(route) {
            return metrics.answered(status, elapsed);
        }
        let mut routes = self.routes.write();
        routes.entry(route.into()).or_insert_with(|| RouteMetrics::new(route)).answered(status, elapsed);
    }

    pub(crate) fn panicked(&self) {
        self.panics.increment(1);
    }
}
