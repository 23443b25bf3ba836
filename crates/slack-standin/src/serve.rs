//! HTTP by hand where axum's own server is too kind: a connection can be closed without an answer.

use std::io;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Marks an answer that is never sent: the connection is closed in its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutOff;

/// Serves until it is stopped; open connections are closed then.
pub(crate) async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        // What a client did to its connection is no reason to end.
        let Ok((stream, _)) = accepted else { continue };
        let (router, stop) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = connection(stream, router) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

async fn connection(stream: TcpStream, router: Router) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let response = match router.oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            if response.extensions().get::<CutOff>().is_some() {
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, "planned"));
            }
            Ok(response)
        }
    });
    // An error is a client that went away, or our own reset.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}
