//! Slack's Web API.
//!
//! One attempt a call: retries are the surfaces' business, because only they know whether a second post could be a
//! second message. Needs the scopes `chat:write`, `channels:history` and `groups:history`.

mod classify;
mod payload;

pub use payload::message;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use reqwest::Client;
use ronda_runtime::Secret;
use serde_json::{Value, json};
use thiserror::Error;

use crate::channel::{
    Channel, ChannelError, ChannelErrorKind, FindRequest, Found, Pacing, PostRequest, Posted, UpdateRequest,
};

use payload::Span;

/// Slack's own address.
const DEFAULT_API_URL: &str = "https://slack.com/api/";
/// Pages of history that one lookup reads at most, of 200 messages each.
const MAX_PAGES: usize = 10;

/// How far from its claim a message is looked for first, in milliseconds: clocks are seldom further apart, and a busy channel's
/// history is long.
const NEAR_MS: i64 = 15 * 60_000;

/// How to reach Slack.
#[derive(Clone, Debug)]
pub struct SlackConfig {
    /// Bot token, `xoxb-…`.
    pub token: Secret,
    /// Base of the Web API (`SLACK_API_URL`); for tests and proxies. Default `https://slack.com/api/`.
    pub api_url: String,
    /// Longest time to connect, in milliseconds. Default 5000.
    pub connect_timeout_ms: u64,
    /// Longest time for a whole call, in milliseconds. Default 10,000.
    pub timeout_ms: u64,
    /// Least time between two posts to one channel, in milliseconds. Default 1000, Slack's limit.
    pub post_interval_ms: u64,
    /// Least time between two edits or lookups, in milliseconds. Default 1250: Slack's limit is about 50 a minute.
    pub edit_interval_ms: u64,
}

impl SlackConfig {
    /// Slack itself, with this bot token.
    #[must_use]
    pub fn new(token: Secret) -> Self {
        Self {
            token,
            api_url: DEFAULT_API_URL.to_owned(),
            connect_timeout_ms: 5_000,
            timeout_ms: 10_000,
            post_interval_ms: 1_000,
            edit_interval_ms: 1_250,
        }
    }
}

/// Slack can't be used as configured.
#[derive(Debug, Error)]
pub enum SlackError {
    /// The address is none.
    #[error("SLACK_API_URL {0:?} is no http or https address such as https://slack.com/api/")]
    ApiUrl(String),
    /// The HTTP client could not be made: most often the machine has no root certificates.
    #[error("the HTTP client can't be made (are the system's root certificates installed?): {0}")]
    Client(#[source] reqwest::Error),
}

/// Slack as a channel.
#[derive(Debug)]
pub struct SlackChannel {
    config: SlackConfig,
    base: String,
    client: Client,
    /// Our own bot id, once known: only our own messages are ever adopted.
    bot_id: Mutex<Option<String>>,
}

/// Most times that the check of a channel waits because Slack asked for silence.
const MAX_SILENCES: u32 = 10;

impl SlackChannel {
    /// A client for Slack. Nothing is sent yet.
    ///
    /// # Errors
    /// [`SlackError`] when the address or the machine's certificates can't be used.
    pub fn new(config: SlackConfig) -> Result<Self, SlackError> {
        let url = reqwest::Url::parse(&config.api_url).map_err(|_| SlackError::ApiUrl(config.api_url.clone()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(SlackError::ApiUrl(config.api_url.clone()));
        }
        install_tls_provider();
        let mut builder = Client::builder()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
            .timeout(Duration::from_millis(config.timeout_ms))
            // A connection that idled for long may be dead, and a request on a dead one has an unknown fate.
            .pool_idle_timeout(Duration::from_secs(20))
            .user_agent(concat!("ronda/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // No certificate will be looked at, so none is needed on the machine.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(SlackError::Client)?;
        let base = format!("{}/", config.api_url.trim_end_matches('/'));
        Ok(Self { config, base, client, bot_id: Mutex::new(None) })
    }

    async fn call(&self, method: &str, body: Body) -> Result<Value, ChannelError> {
        let request = self.client.post(format!("{}{method}", self.base)).bearer_auth(self.config.token.expose());
        let request = match body {
            Body::Json(value) => request.json(&value),
            Body::Form(pairs) => request.form(&pairs),
        };
        let response = request.send().await.map_err(|error| classify::transport(method, &error))?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.trim().parse().ok());
        let body = response.bytes().await.map_err(|error| classify::transport(method, &error))?;
        classify::answer(method, status.as_u16(), retry_after, &body)
    }

    async fn bot_id(&self) -> Result<Option<String>, ChannelError> {
        if let Some(known) = self.bot_id.lock().clone() {
            return Ok(Some(known));
        }
        self.who_are_we().await?;
        Ok(self.bot_id.lock().clone())
    }

    /// Our messages in a part of the history; `None`: there are none in as much as is read at once, which was not all.
    async fn find_in(
        &self,
        request: &FindRequest,
        span: Span,
        bot_id: Option<&str>,
    ) -> Result<Option<Vec<Found>>, ChannelError> {
        let method = if request.thread_ts.is_some() { "conversations.replies" } else { "conversations.history" };
        let mut found = Vec::new();
        let mut cursor = String::new();
        let mut whole = false;
        for _ in 0..MAX_PAGES {
            let answer = self.call(method, Body::Form(payload::find(request, span, &cursor))).await?;
            let messages = answer["messages"].as_array().map_or(&[][..], Vec::as_slice);
            found.extend(messages.iter().filter_map(|message| payload::recognise(message, request, bot_id)));
            match answer["response_metadata"]["next_cursor"].as_str() {
                Some(next) if !next.is_empty() => next.clone_into(&mut cursor),
                _ => {
                    whole = true;
                    break;
                }
            }
        }
        found.sort_by(|a, b| a.ts.cmp(&b.ts));
        // Not read to the end, "not found" would be a guess.
        Ok((whole || !found.is_empty()).then_some(found))
    }

    async fn who_are_we(&self) -> Result<String, ChannelError> {
        let answer = self.call("auth.test", Body::Form(Vec::new())).await?;
        *self.bot_id.lock() = answer["bot_id"].as_str().map(str::to_owned);
        let user = answer["user"].as_str().unwrap_or("?");
        let team = answer["team"].as_str().unwrap_or("?");
        Ok(format!("{user} in {team}"))
    }
}

/// How arguments travel: reads want forms, structured ones JSON.
enum Body {
    Json(Value),
    Form(Vec<(&'static str, String)>),
}

/// Makes ring the process's TLS provider, unless it has one already.
pub fn install_tls_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster, which is as well.
        let _: Result<(), Arc<_>> = rustls::crypto::ring::default_provider().install_default();
    }
}

#[async_trait]
impl Channel for SlackChannel {
    fn kind(&self) -> &'static str {
        "slack"
    }

    fn pacing(&self) -> Pacing {
        Pacing {
            post_interval: Duration::from_millis(self.config.post_interval_ms),
            edit_interval: Duration::from_millis(self.config.edit_interval_ms),
        }
    }

    async fn check(&self, channels: &[String]) -> Result<String, ChannelError> {
        let identity = self.who_are_we().await?;
        let mut refused: Option<ChannelError> = None;
        for channel in channels {
            let Err(error) = self.read_a_little(channel).await else { continue };
            let message = format!("{} for {channel:?}", error.message);
            refused = match (refused, &error.kind) {
                (Some(first), ChannelErrorKind::DestinationBroken { .. }) => {
                    Some(ChannelError { message: format!("{}, {message}", first.message), ..first })
                }
                (None, ChannelErrorKind::DestinationBroken { .. }) => Some(ChannelError { message, ..error }),
                // Nothing was said about it, so nothing will be about the others.
                _ => return Err(ChannelError { message, ..error }),
            };
        }
        refused.map_or(Ok(identity), Err)
    }

    async fn post(&self, request: PostRequest) -> Result<Posted, ChannelError> {
        let answer = self.call("chat.postMessage", Body::Json(payload::post(&request))).await?;
        let (Some(channel), Some(ts)) = (answer["channel"].as_str(), answer["ts"].as_str()) else {
            return Err(classify::ambiguous("chat.postMessage answered ok without channel and ts"));
        };
        let posted = Posted { channel: channel.to_owned(), ts: ts.to_owned() };
        // A reply to a deleted message becomes a message of its own, and Slack says ok.
        if request.thread_ts.is_some() && answer["message"]["thread_ts"].is_null() {
            return Err(ChannelError {
                kind: ChannelErrorKind::Orphaned { stray: posted },
                message: "the message to reply to was deleted".to_owned(),
            });
        }
        Ok(posted)
    }

    async fn update(&self, request: UpdateRequest) -> Result<(), ChannelError> {
        self.call("chat.update", Body::Json(payload::update(&request))).await.map(drop)
    }

    async fn delete(&self, channel: &str, ts: &str) -> Result<(), ChannelError> {
        match self.call("chat.delete", Body::Json(json!({"channel":channel,"ts":ts}))).await {
            Err(ChannelError { kind: ChannelErrorKind::Missing { .. }, .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    async fn find(&self, request: FindRequest) -> Result<Vec<Found>, ChannelError> {
        let found = self.find_there(&request).await;
        let is_nowhere = match &found {
            Ok(found) => found.is_empty(),
            Err(error) => matches!(error.kind, ChannelErrorKind::Missing { .. }),
        };
        if request.thread_ts.is_none() || !is_nowhere {
            return found;
        }
        // A reply to a message that was deleted on the way stands in the channel, where nobody looks for replies.
        let beside = FindRequest { thread_ts: None, ..request };
        match self.find_there(&beside).await?.into_iter().next() {
            None => found,
            Some(Found { ts, .. }) => Err(ChannelError {
                kind: ChannelErrorKind::Orphaned { stray: Posted { channel: beside.channel, ts } },
                message: "the message to reply to was deleted, and the reply stands beside it".to_owned(),
            }),
        }
    }
}

impl SlackChannel {
    /// Tries whether a channel can be read: who may post may not read yet, and without the history no lost answer can be settled. As often as
    /// Slack asks for silence it is tried again after that: many channels are more than it answers at once.
    async fn read_a_little(&self, channel: &str) -> Result<(), ChannelError> {
        let mut silences = 0;
        loop {
            let form = vec![("channel", channel.to_owned()), ("limit", "1".to_owned())];
            match self.call("conversations.history", Body::Form(form)).await {
                Err(ChannelError { kind: ChannelErrorKind::NotSent { retry_after, rate_limited: true }, .. })
                    if silences < MAX_SILENCES =>
                {
                    silences += 1;
                    tokio::time::sleep(retry_after).await;
                }
                answer => return answer.map(drop),
            }
        }
    }

    /// Our messages where they belong: in the channel, or in the thread.
    async fn find_there(&self, request: &FindRequest) -> Result<Vec<Found>, ChannelError> {
        let bot_id = self.bot_id().await?;
        let (first_ms, last_ms) = request.claimed_ms;
        let near = Span { oldest_ms: first_ms - NEAR_MS, latest_ms: Some(last_ms + NEAR_MS) };
        let near = self.find_in(request, near, bot_id.as_deref()).await?;
        if let Some(found) = near.as_ref().filter(|found| !found.is_empty()) {
            return Ok(found.clone());
        }
        let all = Span { oldest_ms: request.oldest_ms, latest_ms: None };
        match self.find_in(request, all, bot_id.as_deref()).await? {
            Some(found) => Ok(found),
            // A busy channel. What was read whole is where the message would be, unless a clock is far off.
            None => near.ok_or_else(|| classify::ambiguous("the channel's history is too long to be read to its end")),
        }
    }
}
