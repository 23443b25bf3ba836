//! Whether people in Slack can ask and act, as the screen shows it.

use ronda_ingest_gateway::SocketStatus;

/// The ways in which `/ronda` and clicks come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Requests are taken that have Slack's signature.
    pub(super) https: bool,
    /// How the connection of Socket Mode is, where one is opened.
    pub(super) socket: Option<SocketStatus>,
}

impl Asked {
    /// The lines to show, to follow `/ronda`.
    pub(super) fn lines(&self) -> Vec<String> {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut lines = match &self.socket {
            None if self.https => {
                return texts(&["and the buttons: over HTTPS, at /slack/commands and", "/slack/interactions"]);
            }
            None => {
                return texts(&[
                    "and the buttons: off. To turn them on (docs/slack.md), set",
                    "SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTPS)",
                ]);
            }
            Some(SocketStatus::Connected) => texts(&["and the buttons: connected by Socket Mode"]),
            Some(SocketStatus::Connecting) => {
                texts(&["and the buttons: not connected by Socket Mode yet;", "/health/ready says how it goes"])
            }
            Some(SocketStatus::Away { error }) => {
                let first = format!("and the buttons: not connected by Socket Mode: {error}");
                vec![first, String::from("it is tried again; /health/ready says how it goes")]
            }
            Some(SocketStatus::Refused { error, advice }) => {
                let first = format!("and the buttons: refused by Socket Mode: {error}");
                vec![first, (*advice).to_owned()]
            }
        };
        if self.https {
            lines.extend(texts(&["also over HTTPS, at /slack/commands and /slack/interactions"]));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_told_and_what_to_do_where_there_is_none() {
        let refused =
            SocketStatus::Refused { error: "Slack answered \"invalid_auth\"".into(), advice: "set slack.app_token" };
        for (https, socket, wanted) in [
            (false, None, "off. To turn them on (docs/slack.md), set\nSLACK_APP_TOKEN"),
            (true, None, "over HTTPS, at /slack/commands"),
            (false, Some(SocketStatus::Connected), "connected by Socket Mode"),
            (true, Some(SocketStatus::Connected), "connected by Socket Mode\nalso over HTTPS, at /slack/commands"),
            (false, Some(SocketStatus::Connecting), "not connected by Socket Mode yet"),
            (
                false,
                Some(SocketStatus::Away { error: "no DNS".into() }),
                "not connected by Socket Mode: no DNS\nit is tried again",
            ),
            (
                true,
                Some(refused),
                "refused by Socket Mode: Slack answered \"invalid_auth\"\nset slack.app_token\nalso over HTTPS",
            ),
        ] {
            let text = Asked { https, socket }.lines().join("\n");
            assert!(text.starts_with(&format!("and the buttons: {wanted}")), "{wanted:?} does not begin\n{text}");
        }
    }
}
