//! A stand-in for Slack's Web API over real HTTP.
//!
//! It is not Slack: it knows the handful of methods that Ronda calls, keeps what was posted, refuses what Slack's documentation
//! says that Slack refuses (sizes, block shapes, update rules, scopes, channels), and fails on request in the ways that matter:
//! before and after the message was kept, by rate limit, by silence. It tells what a person would have seen, in order.
//!
//! | module | subject |
//! |---|---|
//! | `limits` | which payloads are refused, with which code |
//! | `state` | messages, channels, scopes, the clock |
//! | `rates` | tiers, 429 |
//! | `faults` | failures on request |
//! | `render` | what a person sees |
//! | `interact` | what a person does: clicks and commands, over HTTP or a socket |
//! | `api` | the methods, and the stand-in's own pages |
//!
//! What Slack's documentation leaves open is marked (j), a judgement.

mod api;
mod faults;
mod interact;
mod limits;
mod rates;
mod render;
mod serve;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use api::Deed;
pub use faults::{Fault, FaultRule};
pub use interact::{Gesture, Interaction, NothingThere, Outcome, RequestUrls, SIGNING_SECRET, Signing, SocketTrouble};
pub use limits::{Refusal, judge_blocks};
pub use render::{Reader, message_as_text};
pub use state::{Message, Place, Seen, SeenKind, Slack};

/// The bot's token that the stand-in accepts.
pub const TOKEN: &str = "xoxb-stand-in";
/// The app-level token that `apps.connections.open` wants.
pub const APP_TOKEN: &str = "xapp-stand-in";

/// A stand-in that listens on a loopback port until it is dropped.
#[derive(Debug)]
pub struct StandIn {
    slack: Arc<Slack>,
    address: SocketAddr,
    _stop: DropGuard,
}

impl StandIn {
    /// Starts on a free loopback port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start() -> std::io::Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), Slack::default()).await
    }

    /// Starts on the given address with the given state.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start_on(address: SocketAddr, slack: Slack) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let slack = Arc::new(slack);
        let stop = CancellationToken::new();
        slack.opened_at(format!("http://{address}"));
        slack.interactions.sockets.end_with(stop.clone());
        let router = api::router(Arc::clone(&slack));
        tokio::spawn(serve::serve(listener, router, stop.clone()));
        Ok(Self { slack, address, _stop: stop.drop_guard() })
    }

    /// What `SLACK_API_URL` has to be: ends with a slash, as Slack's own does.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}/api/", self.address)
    }

    /// A person clicks on a button that they see. With [`Slack::set_request_urls`] it is sent there, else over a socket.
    ///
    /// # Errors
    /// [`NothingThere`]: they see no such button.
    pub async fn click(
        &self,
        channel: &str,
        ts: &str,
        action_id: &str,
        user: &str,
    ) -> Result<Interaction, NothingThere> {
        self.slack.click(channel, ts, action_id, user, Signing::Right).await
    }

    /// A person enters a slash command in a channel, such as `/ronda` and `status`.
    pub async fn slash(&self, channel: &str, command: &str, text: &str, user: &str) -> Interaction {
        self.slack.slash(channel, command, text, user, Signing::Right).await
    }

    /// What it keeps, and how it shall fail.
    #[must_use]
    pub fn slack(&self) -> &Slack {
        &self.slack
    }
}
