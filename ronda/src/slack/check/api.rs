//! Slack's Web API, asked as often as it bears.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, header};
use ronda_host::exit::{Failure, chain};
use ronda_runtime::Secret;
use serde_json::Value;
use tokio::time::sleep;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that one call waits, in all, because Slack wants to be left alone.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(60);
/// How long it is left alone when it does not say.
const SILENCE: Duration = Duration::from_secs(5);
/// Its code when it is asked too often.
pub(super) const LIMITED: &str = "ratelimited";

/// Slack's yes or its code, with the answer's head; or why there was no answer.
pub(super) type Outcome = Result<(Result<Value, String>, Head), String>;

pub(super) struct Api {
    client: Client,
    pub(super) base: String,
}

/// What an answer's head says.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) date: Option<String>,
    pub(super) scopes: Option<String>,
    pub(super) retry_after: Option<String>,
}

impl Api {
    pub(super) fn new(api_url: &str) -> Result<Self, Failure> {
        ronda_notifier::slack::install_tls_provider();
        let mut builder = Client::builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none());
        if api_url.starts_with("http://") {
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| Failure::other(chain(&error)))?;
        Ok(Self { client, base: api_url.trim_end_matches('/').to_owned() })
    }

    /// Calls, and waits as Slack asks for when that is not too long.
    pub(super) async fn call(&self, method: &str, token: &Secret, arguments: &Value) -> Outcome {
        let mut left = MAX_SILENCE;
        loop {
            let answer = self.call_once(method, token, arguments).await;
            let silence = match &answer {
                Ok((Err(code), head)) if code == LIMITED => head.silence(),
                _ => return answer,
            };
            match left.checked_sub(silence) {
                Some(rest) => left = rest,
                None => return answer,
            }
            sleep(silence).await;
        }
    }

    async fn call_once(&self, method: &str, token: &Secret, arguments: &Value) -> Outcome {
        // Forms are taken by every method.
        let form: Vec<(&String, String)> = arguments
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, value)| (key, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        let request = self.client.post(format!("{}/{method}", self.base)).bearer_auth(token.expose()).form(&form);
        let answer = request.send().await.map_err(|error| chain(&error.without_url()))?;
        let head = Head::of(&answer);
        let status = answer.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Ok((Err(LIMITED.to_owned()), head));
        }
        let body: Value = answer.json().await.map_err(|_| format!("{method} answered {status} without JSON"))?;
        if body["ok"] == true {
            return Ok((Ok(body), head));
        }
        let code = body["error"].as_str().unwrap_or("no reason given");
        // Some methods write it in the old way.
        let code = if code == "rate_limited" { LIMITED } else { code };
        Ok((Err(code.to_owned()), head))
    }
}

impl Head {
    fn of(answer: &Response) -> Self {
        let text = |name| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self {
            date: text(header::DATE.as_str()),
            scopes: text("x-oauth-scopes"),
            retry_after: text(header::RETRY_AFTER.as_str()),
        }
    }

    /// How long Slack wants to be left alone; at least a second, since it counts in seconds.
    fn silence(&self) -> Duration {
        let seconds = self.retry_after.as_deref().and_then(|text| text.trim().parse().ok());
        seconds.map_or(SILENCE, |seconds: u64| Duration::from_secs(seconds.max(1)))
    }
}
