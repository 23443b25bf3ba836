//! Any HTTP endpoint, by events signed as [Standard Webhooks](https://www.standardwebhooks.com) says.
//!
//! One attempt a call. Nothing can be looked up at a receiver, so an event whose fate is unknown is sent again, under the same
//! `webhook-id`: a receiver that remembers ids shows each message once. That is as far as it goes.

mod classify;
mod event;
mod guard;
mod sign;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Client;
use ronda_runtime::{Clock, Secret};
use thiserror::Error;

use crate::channel::{
    Capabilities, Channel, ChannelError, ChannelErrorKind, FindRequest, Found, Manner, Pacing, PostRequest, Posted,
    UpdateRequest,
};
use event::{Event, Showing};
use sign::Keys;

pub use sign::secret_mistake;

/// Where events go, and as whom.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// What it is called: `webhook:NAME` is the channel.
    pub name: String,
    /// Whereto. It may be a secret in itself, and is never logged.
    pub url: Secret,
    /// `whsec_…`, one or several; each signs.
    pub secrets: Vec<Secret>,
    /// Whether the host may be loopback, private or reserved. Default no.
    pub allow_private: bool,
    /// Whether plain http will do. Default no.
    pub allow_http: bool,
    /// Longest time for a whole call, in milliseconds. Default 10,000.
    pub timeout_ms: u64,
    /// Least time between two events, in milliseconds. Default 50.
    pub interval_ms: u64,
}

impl WebhookConfig {
    /// An address on the internet.
    #[must_use]
    pub fn new(name: impl Into<String>, url: Secret, secrets: Vec<Secret>) -> Self {
        let name = name.into();
        Self { name, url, secrets, allow_private: false, allow_http: false, timeout_ms: 10_000, interval_ms: 50 }
    }

    /// Everything that keeps it from being used, each with the setting that it is about.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = Vec::new();
        if let Err(what) = address(self) {
            mistakes.push(("url", what.to_owned()));
        }
        if self.secrets.is_empty() {
            mistakes.push(("secrets", "is empty; give one at least, as whsec_ and base64".to_owned()));
        }
        for (index, secret) in self.secrets.iter().enumerate() {
            if let Some(what) = secret_mistake(secret) {
                mistakes.push(("secrets", format!("number {} {what}", index + 1)));
            }
        }
        mistakes
    }
}

/// The address; or what is wrong with it, without a word of it.
fn address(config: &WebhookConfig) -> Result<reqwest::Url, &'static str> {
    let url = reqwest::Url::parse(config.url.expose()).map_err(|_| "is no address such as https://example.com/hook")?;
    match url.scheme() {
        "https" => {}
        "http" if config.allow_http => {}
        "http" => return Err("is plain http; use https, or allow it with allow_http = true"),
        _ => return Err("is no https address"),
    }
    let host = url.host_str().ok_or("names no host")?;
    // Names are looked at when they are resolved; numbers are not resolved.
    let number: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    if !config.allow_private && number.is_some_and(|number| !guard::is_public(number)) {
        return Err("is a loopback, private or reserved address; allow it with allow_private = true");
    }
    Ok(url)
}

/// A webhook can't be used as configured.
#[derive(Debug, Error)]
pub enum WebhookError {
    /// Settings.
    #[error("webhook {name}: {what}")]
    Settings {
        /// Which one.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The HTTP client could not be made: most often the machine has no root certificates.
    #[error("the HTTP client can't be made (are the system's root certificates installed?): {0}")]
    Client(#[source] reqwest::Error),
}

/// A webhook as a channel.
pub struct WebhookChannel {
    config: WebhookConfig,
    url: reqwest::Url,
    keys: Keys,
    client: Client,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for WebhookChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookChannel").field("config", &self.config).finish_non_exhaustive()
    }
}

impl WebhookChannel {
    /// A client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub fn new(config: WebhookConfig, clock: Arc<dyn Clock>) -> Result<Self, WebhookError> {
        let wrong = |what: &str| WebhookError::Settings { name: config.name.clone(), what: what.to_owned() };
        let url = address(&config).map_err(|what| wrong(&format!("the address {what}")))?;
        let keys = Keys::new(&config.secrets).map_err(|what| wrong(&format!("a secret {what}")))?;
        crate::slack::install_tls_provider();
        let timeout = Duration::from_millis(config.timeout_ms);
        let mut builder = Client::builder()
            .retry(reqwest::retry::never())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(timeout.min(Duration::from_secs(5)))
            .timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(20))
            .user_agent(concat!("ronda/", env!("CARGO_PKG_VERSION")));
        if !config.allow_private {
            // A proxy would resolve the name itself, and might find it inside.
            builder = builder.dns_resolver(Arc::new(guard::PublicOnly)).no_proxy();
        }
        if url.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(WebhookError::Client)?;
        Ok(Self { config, url, keys, client, clock })
    }

    async fn send(&self, id: &str, event: &Event<'_>, now_ms: i64) -> Result<(), ChannelError> {
        let name = &self.config.name;
        let body = serde_json::to_vec(event).map_err(|_| ChannelError {
            kind: ChannelErrorKind::Payload { code: "not_json".to_owned() },
            message: format!("{name}: the event can't be written as JSON"),
        })?;
        let timestamp = now_ms.div_euclid(1_000);
        let request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", self.keys.sign(id, timestamp, &body))
            .body(body);
        let response = request.send().await.map_err(|error| classify::transport(name, &error))?;
        let retry_after = response.headers().get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        classify::answer(name, response.status().as_u16(), retry_after, now_ms)
    }
}

#[async_trait]
impl Channel for WebhookChannel {
    fn kind(&self) -> &'static str {
        "webhook"
    }

    fn pacing(&self) -> Pacing {
        let interval = Duration::from_millis(self.config.interval_ms);
        Pacing { post_interval: interval, edit_interval: interval }
    }

    fn manner(&self, _channel: &str) -> Manner {
        let capabilities = Capabilities { can_edit: true, can_delete: true, can_find: false };
        Manner { kind: self.kind(), pacing: self.pacing(), capabilities, shares_limits: false }
    }

    /// Nothing is sent: a receiver has no question that it could be asked.
    async fn check(&self, _channels: &[String]) -> Result<String, ChannelError> {
        Ok(format!("webhook {}", self.config.name))
    }

    async fn post(&self, request: PostRequest) -> Result<Posted, ChannelError> {
        let now_ms = self.clock.wall_millis();
        let message = event::message_id(&request.metadata);
        let showing = Showing { content: &request.content, metadata: &request.metadata, about: &request.about };
        let reply_to = request.thread_ts.as_deref();
        let event = Event::showing("message.posted", now_ms, &message, reply_to, &showing);
        // One id for what is posted and what is updated: a repeated post may say by now what an update would have said.
        let id = event::event_id(&message, "shown", request.metadata.revision);
        self.send(&id, &event, now_ms).await?;
        Ok(Posted { channel: request.channel, ts: message })
    }

    async fn update(&self, request: UpdateRequest) -> Result<(), ChannelError> {
        let now_ms = self.clock.wall_millis();
        let showing = Showing { content: &request.content, metadata: &request.metadata, about: &request.about };
        let event = Event::showing("message.updated", now_ms, &request.ts, None, &showing);
        let id = event::event_id(&request.ts, "shown", request.metadata.revision);
        self.send(&id, &event, now_ms).await
    }

    async fn delete(&self, _channel: &str, ts: &str) -> Result<(), ChannelError> {
        let now_ms = self.clock.wall_millis();
        self.send(&event::event_id(ts, "removed", 0), &Event::removal(now_ms, ts), now_ms).await
    }

    /// Never asked for: see [`Capabilities::can_find`].
    async fn find(&self, _request: FindRequest) -> Result<Vec<Found>, ChannelError> {
        let kind = ChannelErrorKind::DestinationBroken { code: "no_lookup".to_owned() };
        Err(ChannelError { kind, message: "a webhook can't be asked what it received".to_owned() })
    }
}
