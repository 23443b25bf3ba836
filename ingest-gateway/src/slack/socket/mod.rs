//! The other edge: Socket Mode, for installs that Slack can't reach. A connection is opened from here, what people ask comes over it, and
//! each envelope is acknowledged once what it changes is durable, or the budget is spent.
//!
//! Slack ends each connection after some hours and says so before; the next one is open by then.

mod brake;
mod connection;
mod envelope;
mod status;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, warn};

use self::brake::Brake;
use self::connection::{Connection, Leaving};
pub use self::status::SocketStatus;
pub(crate) use self::status::Teller;
use super::desk::Desk;
use super::http::CallError;
use crate::state::AppState;

type Stream = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait before the next attempt after what a person has to put right.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// How long what is under way may take to be answered at the end.
const END_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked whether the gateway has joined its partitions.
const JOIN_LOOK: Duration = Duration::from_millis(50);
/// Largest message: a click brings the whole message along.
const MAX_MESSAGE_BYTES: usize = 2 * 1024 * 1024;

/// Why there is no connection.
#[derive(Debug, Error)]
enum LinkError {
    #[error(transparent)]
    Call(#[from] CallError),
    /// The address stays out: it holds a ticket.
    #[error("the address of the connection is not wss")]
    Address,
    #[error("the connection could not be made: {0}")]
    WebSocket(String),
    #[error("the connection was not made within {} s", CONNECT_WITHIN.as_secs())]
    Timeout,
}

impl LinkError {
    /// How long Slack wants to be left alone.
    fn again_in(&self) -> Duration {
        match self {
            Self::Call(CallError::Limited(again_in)) => *again_in,
            _ => Duration::ZERO,
        }
    }

    /// What somebody has to do about it, when trying again alone won't help.
    fn advice(&self) -> Option<&'static str> {
        let Self::Call(CallError::Refused(code)) = self else { return None };
        match code.as_str() {
            "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => {
                Some("make a new app-level token with the scope connections:write, and set slack.app_token")
            }
            "not_allowed_token_type" => Some("slack.app_token must be the app-level token, xapp-…, not the bot's"),
            "missing_scope" | "no_permission" => Some("give the app-level token the scope connections:write"),
            "forbidden" | "socket_mode_not_enabled" | "access_denied" => {
                Some("turn Socket Mode on in the app's settings")
            }
            _ => None,
        }
    }
}

/// Keeps a connection open until told to stop; then lets what is under way be answered.
pub(crate) async fn run(state: AppState, desk: Arc<Desk>, teller: Teller, stop: CancellationToken) {
    let open = TaskTracker::new();
    let work = async {
        while !state.publisher.is_joined() {
            sleep(JOIN_LOOK).await;
        }
        keep(&state, &desk, &Arc::new(teller), &open, &stop).await;
    };
    // The connections end by themselves.
    let _ = stop.run_until_cancelled(Box::pin(work)).await;
    open.close();
    if timeout(END_WITHIN, open.wait()).await.is_err() {
        warn!("what people asked over Socket Mode was still under way at the end");
    }
}

async fn keep(state: &AppState, desk: &Arc<Desk>, teller: &Arc<Teller>, open: &TaskTracker, stop: &CancellationToken) {
    let mut brake = Brake::new();
    loop {
        let pause = match link(desk).await {
            Ok(stream) => {
                let (opened_at, (leave, leaving)) = (Instant::now(), oneshot::channel());
                let connection =
                    Connection::new(state.clone(), Arc::clone(desk), Arc::clone(teller), leave, stop.clone());
                open.spawn(connection.serve(stream));
                let left = leaving.await;
                let pause = brake.after(opened_at.elapsed());
                match left {
                    Ok(Leaving::Announced) => {
                        debug!("Slack will end this connection of Socket Mode; the next one is opened");
                        pause
                    }
                    Ok(Leaving::Unwelcome { reason }) => {
                        warn!(
                            reason,
                            "Slack ends a connection of Socket Mode that it has not said hello to; it is made again"
                        );
                        teller.tell(SocketStatus::Away { error: format!("Slack ended the connection: {reason}") });
                        pause
                    }
                    Ok(Leaving::Disabled) => {
                        let (error, advice) =
                            ("Socket Mode was turned off in the app's settings".to_owned(), "turn it on again");
                        error!("{error}: nothing that people ask in Slack arrives; {advice}");
                        teller.tell(SocketStatus::Refused { error, advice });
                        REFUSED_PAUSE
                    }
                    Ok(Leaving::Lost { was_good: true }) => {
                        warn!("the connection of Socket Mode was lost; it is made again");
                        teller.tell(SocketStatus::Away { error: "the connection was lost".to_owned() });
                        pause
                    }
                    Ok(Leaving::Lost { was_good: false }) | Err(_) => {
                        teller.tell(SocketStatus::Away { error: "the connection was lost at once".to_owned() });
                        pause
                    }
                }
            }
            Err(failed) => match failed.advice() {
                Some(advice) => {
                    error!(error = %failed, advice, "no connection of Socket Mode: nothing that people ask in Slack arrives");
                    teller.tell(SocketStatus::Refused { error: failed.to_string(), advice });
                    REFUSED_PAUSE
                }
                None => {
                    warn!(error = %failed, "no connection of Socket Mode yet; it is tried again");
                    teller.tell(SocketStatus::Away { error: failed.to_string() });
                    brake.after(Duration::ZERO).max(failed.again_in())
                }
            },
        };
        sleep(pause).await;
    }
}

async fn link(desk: &Desk) -> Result<Stream, LinkError> {
    let address = desk.http.open_connection(&desk.config.app_token).await?;
    // Without TLS only where the Web API is without, too: a stand-in on this machine.
    if !address.starts_with("wss://") && !desk.config.api_url.starts_with("http://") {
        return Err(LinkError::Address);
    }
    let config =
        WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES)).max_frame_size(Some(MAX_MESSAGE_BYTES));
    let connecting = connect_async_with_config(address, Some(config), true);
    match timeout(CONNECT_WITHIN, connecting).await {
        Ok(Ok((stream, _))) => {
            debug!("a connection of Socket Mode is open");
            Ok(stream)
        }
        Ok(Err(error)) => Err(LinkError::WebSocket(error.to_string())),
        Err(_) => Err(LinkError::Timeout),
    }
}
