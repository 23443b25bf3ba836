//! Where a connection's requests come in: reports go straight to their work, everything else through the router.
//!
//! Under load nearly every request is a report, and finding its handler through the router's layers costs more than the rest of its way
//! (docs/performance.md). The router knows these routes too, and what happens on either way is the same code.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use http::{Method, Request};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::front;
use crate::state::AppState;
use crate::stream::Turn;
use crate::writes::Operation;

/// The service of one connection.
#[derive(Clone)]
pub(crate) struct Entrance {
    /// Behind a count of the connection's own: one that all connections raise and lower for each request goes from core to core.
    state: Arc<AppState>,
    router: TowerToHyperService<Router>,
    turn: Turn,
}

impl Entrance {
    pub(crate) fn new(state: AppState, router: Router) -> Self {
        Self { state: Arc::new(state), router: TowerToHyperService::new(router), turn: Turn::default() }
    }

    /// The same for a connection that wants to know when it is our turn.
    pub(crate) fn of(&self, turn: Turn) -> Self {
        Self { turn, state: Arc::new(AppState::clone(&self.state)), router: self.router.clone() }
    }
}

impl Service<Request<Incoming>> for Entrance {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let ours = self.turn.take();
        match direct(request.method(), request.uri().path()) {
            Some(operation) => {
                let state = Arc::clone(&self.state);
                Box::pin(async move {
                    let _ours = ours;
                    Ok(front::report(&state, operation, request).await)
                })
            }
            None => {
                let answer = self.router.call(request);
                Box::pin(async move {
                    let _ours = ours;
                    answer.await
                })
            }
        }
    }
}

/// The report that a request is. A path that the router would see otherwise, percent-encoded for one, is left to it.
fn direct(method: &Method, path: &str) -> Option<Operation> {
    if path == Operation::EVENTS_ROUTE {
        return (*method == Method::POST).then_some(Operation::Events);
    }
    let (id, action) = path.strip_prefix("/api/v1/schedulers/")?.split_once('/')?;
    let operation = match action {
        "status" if *method == Method::PUT => Operation::Status,
        "heartbeat" if *method == Method::POST => Operation::Heartbeat,
        _ => return None,
    };
    (!id.is_empty()).then_some(operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reports_go_straight() {
        let status = "/api/v1/schedulers/nightly/status";
        assert_eq!(direct(&Method::PUT, status), Some(Operation::Status));
        assert_eq!(direct(&Method::POST, "/api/v1/schedulers/nightly/heartbeat"), Some(Operation::Heartbeat));
        assert_eq!(direct(&Method::POST, "/api/v1/events"), Some(Operation::Events));
        assert_eq!(direct(&Method::GET, status), None, "the router answers 405");
        for path in
            ["/api/v1/events/", "/api/v1/schedulers//status", "/api/v1/schedulers/a/status/", "/api/v1/schedulers/a"]
        {
            assert_eq!(direct(&Method::PUT, path), None, "{path}");
        }
    }
}
