//! Calls to Slack: for a connection of Socket Mode, and what is said at a `response_url`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Url};
use ronda_runtime::Secret;
use ronda_runtime::retry::{BackoffBuilder, policy};
use serde_json::Value;
use thiserror::Error;
use tracing::{debug, warn};

use super::answer::Answer;

/// A `response_url` takes so many answers, and no more.
const MAX_USES: usize = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long Slack is left alone that says it was asked too often, whatever else it says.
const LEAST_LIMITED: Duration = Duration::from_secs(1);
const LONGEST_LIMITED: Duration = Duration::from_secs(600);

/// Slack can't be used as configured.
#[derive(Debug, Error)]
pub enum SlackError {
    /// The address is none.
    #[error("slack.api_url {0:?} is no http or https address such as https://slack.com/api")]
    ApiUrl(String),
    /// The zone is none.
    #[error("there is no time zone {0:?}")]
    Zone(String),
    /// The HTTP client could not be made: most often the machine has no root certificates.
    #[error("the HTTP client for Slack can't be made (are the system's root certificates installed?)")]
    Client(#[source] reqwest::Error),
}

/// Why a call came to nothing.
#[derive(Debug, Error)]
pub(super) enum CallError {
    /// Slack said so.
    #[error("Slack answered {0:?}")]
    Refused(String),
    #[error("Slack answered with status {0}")]
    Status(u16),
    /// It was asked too often.
    #[error("Slack wants to be asked again in {} s, and not before", .0.as_secs())]
    Limited(Duration),
    /// The address stays out: it may be a secret.
    #[error("Slack was not reached: {0}")]
    Transport(String),
}

/// A client for Slack.
pub(super) struct SlackHttp {
    client: Client,
    base: Url,
}

impl SlackHttp {
    pub(super) fn new(api_url: &str) -> Result<Self, SlackError> {
        let base = Url::parse(&format!("{}/", api_url.trim_end_matches('/')))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| SlackError::ApiUrl(api_url.to_owned()))?;
        install_tls_provider();
        let mut builder = Client::builder()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(10))
            .user_agent(concat!("ronda/", env!("CARGO_PKG_VERSION")));
        if base.scheme() == "http" {
            // No certificate will be looked at, so none is needed on the machine.
            builder = builder.tls_certs_only([]);
        }
        Ok(Self { client: builder.build().map_err(SlackError::Client)?, base })
    }

    /// The address of a new connection of Socket Mode.
    pub(super) async fn open_connection(&self, app_token: &Secret) -> Result<String, CallError> {
        let address = format!("{}apps.connections.open", self.base);
        let answer = self.client.post(address).bearer_auth(app_token.expose()).send().await.map_err(transport)?;
        let status = answer.status();
        let again_in = retry_after(answer.headers());
        if status == reqwest::StatusCode::TOO_MANY_REQUESTS {
            return Err(CallError::Limited(again_in));
        }
        if !status.is_success() {
            return Err(CallError::Status(status.as_u16()));
        }
        let answer: Value = answer.json().await.map_err(transport)?;
        match (answer["ok"].as_bool(), answer["url"].as_str()) {
            (Some(true), Some(url)) => Ok(url.to_owned()),
            _ if answer["error"] == "ratelimited" => Err(CallError::Limited(again_in)),
            _ => Err(CallError::Refused(answer["error"].as_str().unwrap_or("neither ok nor error").to_owned())),
        }
    }

    /// Where more can be said, if that is Slack's: the address comes with a request.
    pub(super) fn reply_to(self: &Arc<Self>, response_url: Option<&str>) -> Option<Replies> {
        let url = Url::parse(response_url?).ok()?;
        let slacks = url.scheme() == "https"
            && url.host_str().is_some_and(|host| {
                ["slack.com", "slack-gov.com"].into_iter().any(|domain| host.ends_with(&format!(".{domain}")))
            });
        // A stand-in answers where it is called.
        if !slacks && url.origin() != self.base.origin() {
            warn!(host = url.host_str(), "a response_url is not at Slack; nothing is said there");
            return None;
        }
        Some(Replies { http: Arc::clone(self), url, left: MAX_USES })
    }
}

/// When Slack wants to be asked again; within bounds, whatever it says.
fn retry_after(headers: &reqwest::header::HeaderMap) -> Duration {
    let seconds = headers.get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Duration::from_secs(seconds.unwrap_or(0)).clamp(LEAST_LIMITED, LONGEST_LIMITED)
}

/// What may be said at one `response_url`.
pub(super) struct Replies {
    http: Arc<SlackHttp>,
    url: Url,
    left: usize,
}

impl Replies {
    /// Says it; tried again while it is certain, or likely, that nobody saw it, and as often as the address may be used.
    pub(super) async fn say(&mut self, answer: &Answer) {
        let mut pauses = policy(FIRST_PAUSE, LONGEST_PAUSE, MAX_USES).build();
        while let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            let told = self.http.client.post(self.url.clone()).json(&answer.to_json()).send().await;
            let error = match told {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) if !answer.status().is_server_error() && answer.status().as_u16() != 429 => {
                    warn!(http.status = answer.status().as_u16(), "Slack did not take an answer at a response_url");
                    return;
                }
                Ok(answer) => CallError::Status(answer.status().as_u16()),
                Err(error) => transport(error),
            };
            debug!(%error, left, "an answer at a response_url did not get through");
            match pauses.next() {
                Some(pause) if self.left > 0 => tokio::time::sleep(pause).await,
                _ => break,
            }
        }
        warn!("an answer could not be said at its response_url: its uses are spent");
    }
}

#[allow(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn transport(error: reqwest::Error) -> CallError {
    CallError::Transport(error.without_url().to_string())
}

/// Makes ring the process's TLS provider, unless it has one already.
fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster, which is as well.
        let _: Result<(), Arc<_>> = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_is_left_alone_for_as_long_as_it_says_within_bounds() {
        let after = |text: &'static str| {
            let value = reqwest::header::HeaderValue::from_static(text);
            retry_after(&reqwest::header::HeaderMap::from_iter([(reqwest::header::RETRY_AFTER, value)])).as_secs()
        };
        assert_eq!([after("30"), after("0"), after("86400"), after("soon")], [30, 1, 600, 1]);
        assert_eq!(retry_after(&reqwest::header::HeaderMap::new()).as_secs(), 1);
    }

    #[test]
    fn answers_go_to_slack_alone() {
        let http = Arc::new(SlackHttp::new("http://127.0.0.1:4567/api").unwrap());
        for good in
            ["https://hooks.slack.com/commands/1/2", "https://hooks.slack-gov.com/x", "http://127.0.0.1:4567/r/1"]
        {
            assert!(http.reply_to(Some(good)).is_some(), "{good}");
        }
        for bad in [
            "http://hooks.slack.com/commands/1/2",
            "https://slack.com.example/x",
            "https://evilslack.com/x",
            "http://169.254.169.254/latest",
            "http://127.0.0.1:4568/r/1",
            "file:///etc/passwd",
            "",
        ] {
            assert!(http.reply_to(Some(bad)).is_none(), "{bad}");
        }
        assert!(http.reply_to(None).is_none());
    }
}
