//! Connections: accepted in bounded number, with time limits on everything that a client can draw out.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::config::Config;
use crate::entrance::Entrance;
use crate::stream::{Guarded, Patience, Turn};

/// How long to wait after the machine refused a connection (out of file descriptors, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Most bytes of a request's head.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// Serves until told to stop, then lets what is in flight end. Answers once all connections are closed, or `drain` has passed since.
pub(crate) async fn serve(
    listener: TcpListener,
    entrance: Entrance,
    config: &Config,
    stop: CancellationToken,
    drain: Duration,
) {
    let mut builder = http1::Builder::new();
    // Time limits are the stream's: hyper's own would arm a timer for each request.
    builder.header_read_timeout(None).writev(false).max_buf_size(MAX_HEAD_BYTES.max(8 * 1024));
    let seconds = |seconds: u64| Duration::from_secs(seconds.max(1));
    let patience = Patience {
        idle: seconds(config.idle_timeout_seconds),
        head: seconds(config.header_read_timeout_seconds),
        write: seconds(config.write_timeout_seconds),
    };
    let slots = Arc::new(Semaphore::new(config.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let connections = TaskTracker::new();
    let give_up = CancellationToken::new();
    loop {
        let Some((stream, slot)) = next(&listener, &slots, &stop).await else { break };
        // Small answers must not wait for more to send; a socket that refuses the option works all the same.
        let _ = stream.set_nodelay(true);
        let turn = Turn::default();
        let io = TokioIo::new(Guarded::new(stream, patience, turn.clone()));
        let connection = builder.serve_connection(io, entrance.of(turn));
        let (stop, give_up) = (stop.child_token(), give_up.child_token());
        connections.spawn(async move {
            let _slot = slot;
            tokio::pin!(connection);
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = connection.as_mut() => ended,
                        () = give_up.cancelled() => Ok(()),
                    }
                }
            };
            if let Err(error) = ended {
                debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        warn!(
            connections = connections.len(),
            "requests were still under way when the time to drain was over; they are cut off"
        );
        give_up.cancel();
        connections.wait().await;
    }
}

/// The next connection, once there is room for it; `None`: time to stop.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = tokio::select! {
        slot = Arc::clone(slots).acquire_owned() => slot.ok()?,
        () = stop.cancelled() => return None,
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return None,
        };
        match accepted {
            Ok((stream, _)) => return Some((stream, slot)),
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                warn!(%error, "can't take connections; is the limit of open files too low?");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}
