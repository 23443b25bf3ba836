//! How the connection of Socket Mode is, for people: in the health, and for the screen of `up`.

use std::fmt;

use ronda_runtime::{Component, Health};
use tokio::sync::watch;

/// Its name in the health.
const NAME: &str = "slack-socket";

/// How the connection of Socket Mode is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SocketStatus {
    /// Nothing came of it yet, neither good nor bad.
    #[default]
    Connecting,
    /// What people ask arrives.
    Connected,
    /// There is none, and trying again may help.
    Away {
        /// Why.
        error: String,
    },
    /// There is none until somebody does something about it.
    Refused {
        /// Why.
        error: String,
        /// What to do.
        advice: &'static str,
    },
}

impl fmt::Display for SocketStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting => f.write_str("connecting to Slack by Socket Mode"),
            Self::Connected => f.write_str("connected to Slack by Socket Mode"),
            Self::Away { error } => write!(f, "nothing that people ask in Slack arrives: {error}; it is tried again"),
            Self::Refused { error, advice } => {
                write!(f, "nothing that people ask in Slack arrives: {error}; {advice}")
            }
        }
    }
}

/// Tells how the connection is. The gateway is ready without it: reports have nothing to do with it.
pub(crate) struct Teller {
    component: Component,
    status: watch::Sender<SocketStatus>,
}

impl Teller {
    pub(crate) fn new(health: &Health) -> Self {
        let teller = Self { component: health.component(NAME), status: watch::Sender::default() };
        teller.tell(SocketStatus::Connecting);
        teller
    }

    pub(crate) fn listen(&self) -> watch::Receiver<SocketStatus> {
        self.status.subscribe()
    }

    pub(super) fn tell(&self, status: SocketStatus) {
        self.component.set_ready(true, status.to_string());
        self.status.send_replace(status);
    }
}
