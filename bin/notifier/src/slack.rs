//! What Slack says to the token and the channels, for the person who starts Ronda.

use ronda_notifier::NotifierStatus;
use tokio::sync::watch;

/// Slack, as the screen shows it.
pub struct Slack<'a> {
    /// Where messages go.
    pub channels: &'a str,
    /// What Slack said so far.
    pub status: NotifierStatus,
}

impl Slack<'_> {
    /// The lines to show.
    pub fn lines(&self) -> Vec<String> {
        let channels = self.channels;
        match (self.status.connected, &self.status.last_error) {
            (Some(false), Some(error)) => {
                let how = if is_unreachable(error) { "not reached" } else { "refused" };
                let (error, advice) = (said(error), advice(error));
                vec![
                    format!("{how}: {error}"),
                    String::from(advice),
                    String::from("what it does not take is kept until then"),
                ]
            }
            (Some(true), _) => {
                let identity = self.status.identity.as_ref().map(|identity| format!(", as {identity}"));
                vec![format!("on: {channels}{}", identity.unwrap_or_default())]
            }
            _ => vec![format!("on: {channels}"), String::from("it has not answered yet; the log says when it refuses")],
        }
    }
}

/// The call and Slack's code, without the notifier's own class before them.
fn said(error: &str) -> &str {
    match error.split_once(": ") {
        Some((class, rest)) if !class.contains('.') => rest,
        _ => error,
    }
}

fn is_unreachable(error: &str) -> bool {
    ["no connection", "no answer", "cut off"].iter().any(|what| error.contains(what))
}

/// What to do about a refusal, by Slack's code in it.
fn advice(error: &str) -> &'static str {
    let is = |codes: &[&str]| codes.iter().any(|code| error.contains(code));
    if is(&["missing_scope", "no_permission"]) {
        "give the app chat:write, channels:history and groups:history, and install it anew"
    } else if is(&["not_in_channel"]) {
        "invite the app into the channel: /invite @ronda"
    } else if is(&["channel_not_found"]) {
        "SLACK_CHANNEL is the channel's id (C0123456789); invite the app if it is private"
    } else if is(&["is_archived"]) {
        "the channel is archived: choose another (SLACK_CHANNEL)"
    } else if is(&["_auth", "token", "account_inactive", "request_not_built"]) || error.contains("not_authed") {
        "set SLACK_BOT_TOKEN to the app's bot token (xoxb-…) and start again"
    } else if is_unreachable(error) {
        "this machine must reach the address in SLACK_API_URL (https://slack.com)"
    } else {
        "docs/slack.md says how the app is made"
    }
}

/// Logs what to do whenever Slack begins to refuse us, and that it no longer does. Ends with the notifier.
pub async fn log_refusals(mut status: watch::Receiver<NotifierStatus>) {
    let mut told: Option<String> = None;
    loop {
        let refused = {
            let now = status.borrow_and_update();
            if now.connected == Some(false) { now.last_error.clone() } else { None }
        };
        match (&told, &refused) {
            (before, Some(error)) if before.as_ref() != Some(error) => {
                let error = error.as_str();
                tracing::error!(
                    error = said(error),
                    "Slack does not take everything; what it does not take is kept: {}",
                    advice(error)
                );
            }
            (Some(_), None) => tracing::info!(
                "Slack takes messages again; what waits for a channel that refused it is sent within five minutes"
            ),
            _ => {}
        }
        told = refused;
        if status.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_shown_with_what_to_do() {
        let shown = |connected, error: &str| {
            let last_error = Some(format!("destination_broken: {error}"));
            let status = NotifierStatus { connected, last_error, ..NotifierStatus::default() };
            Slack { channels: "C1", status }.lines().join("\n")
        };
        for (error, wanted) in [
            ("auth.test: invalid_auth", "SLACK_BOT_TOKEN"),
            ("auth.test: not_authed", "SLACK_BOT_TOKEN"),
            ("auth.test: token_revoked", "SLACK_BOT_TOKEN"),
            ("conversations.history: missing_scope for \"C1\"", "channels:history"),
            ("conversations.history: channel_not_found for \"C1\"", "channel's id"),
            ("conversations.history: not_in_channel for \"C1\"", "/invite"),
            ("auth.test: no connection", "SLACK_API_URL"),
            ("auth.test: something_new", "docs/slack.md"),
        ] {
            let text = shown(Some(false), error);
            assert!(text.contains(&format!("ed: {error}\n")) && text.contains(wanted), "{text}");
        }
        assert!(shown(None, "").contains("has not answered yet"));
        let status = NotifierStatus {
            connected: Some(true),
            identity: Some(String::from("ronda in T")),
            ..NotifierStatus::default()
        };
        assert_eq!(Slack { channels: "C1", status }.lines(), ["on: C1, as ronda in T"]);
    }
}
