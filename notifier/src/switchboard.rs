//! One channel out of several: each request goes to the adapter that its destination names.
//!
//! `webhook:NAME` and `mail:NAME` are those of the settings; every other name is the home channel's: Slack's, or the terminal's.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::channel::{
    Capabilities, Channel, ChannelError, ChannelErrorKind, FindRequest, Found, Manner, Pacing, PostRequest, Posted,
    UpdateRequest,
};
use crate::mail::{self, MailChannel};
use crate::webhook::WebhookChannel;

/// What a webhook's channel begins with.
const WEBHOOK: &str = "webhook:";

/// Sends each request where it belongs.
pub struct Switchboard {
    home: Arc<dyn Channel>,
    webhooks: BTreeMap<String, Arc<dyn Channel>>,
    mail: Option<Arc<dyn Channel>>,
}

impl std::fmt::Debug for Switchboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Switchboard").field("webhooks", &self.webhooks.keys()).finish_non_exhaustive()
    }
}

/// Whether a destination is none of the home channel's.
#[must_use]
pub fn is_elsewhere(channel: &str) -> bool {
    channel.starts_with(WEBHOOK) || channel.starts_with(mail::PREFIX)
}

impl Switchboard {
    /// With the home channel alone.
    #[must_use]
    pub fn new(home: Arc<dyn Channel>) -> Self {
        Self { home, webhooks: BTreeMap::new(), mail: None }
    }

    /// And a webhook, by its name in the settings.
    #[must_use]
    pub fn with_webhook(mut self, name: &str, webhook: WebhookChannel) -> Self {
        self.webhooks.insert(format!("{WEBHOOK}{name}"), Arc::new(webhook));
        self
    }

    /// And mail.
    #[must_use]
    pub fn with_mail(mut self, mail: MailChannel) -> Self {
        self.mail = Some(Arc::new(mail));
        self
    }

    fn of(&self, channel: &str) -> Result<&Arc<dyn Channel>, ChannelError> {
        let found = if channel.starts_with(WEBHOOK) {
            self.webhooks.get(channel)
        } else if channel.starts_with(mail::PREFIX) {
            self.mail.as_ref()
        } else {
            Some(&self.home)
        };
        found.ok_or_else(|| ChannelError {
            kind: ChannelErrorKind::DestinationBroken { code: "not_configured".to_owned() },
            message: format!("there is no {channel:?} in the settings"),
        })
    }
}

#[async_trait]
impl Channel for Switchboard {
    fn kind(&self) -> &'static str {
        self.home.kind()
    }

    fn pacing(&self) -> Pacing {
        self.home.pacing()
    }

    fn manner(&self, channel: &str) -> Manner {
        match self.of(channel) {
            Ok(adapter) => adapter.manner(channel),
            // Its kind is known by its name; nothing can be done there.
            Err(_) => {
                let kind = if channel.starts_with(WEBHOOK) { "webhook" } else { "mail" };
                let capabilities = Capabilities { can_edit: false, can_delete: false, can_find: false };
                Manner { kind, pacing: self.home.pacing(), capabilities, shares_limits: false }
            }
        }
    }

    /// The home channel's answer. What the others have against us is logged: it holds for their destinations alone.
    async fn check(&self, channels: &[String]) -> Result<String, ChannelError> {
        let (elsewhere, home): (Vec<String>, Vec<String>) =
            channels.iter().cloned().partition(|name| is_elsewhere(name));
        let mut last = Ok(String::new());
        for channel in elsewhere {
            let answer = match self.of(&channel) {
                Ok(adapter) => adapter.check(std::slice::from_ref(&channel)).await,
                Err(error) => Err(error),
            };
            match &answer {
                Ok(identity) => tracing::info!(channel, identity, "messages go there"),
                Err(error) => tracing::error!(channel, error = %error, "can't be used, and messages for it are kept"),
            }
            last = answer;
        }
        if home.is_empty() { last } else { self.home.check(&home).await }
    }

    async fn post(&self, request: PostRequest) -> Result<Posted, ChannelError> {
        self.of(&request.channel)?.post(request).await
    }

    async fn update(&self, request: UpdateRequest) -> Result<(), ChannelError> {
        self.of(&request.channel)?.update(request).await
    }

    async fn delete(&self, channel: &str, ts: &str) -> Result<(), ChannelError> {
        self.of(channel)?.delete(channel, ts).await
    }

    async fn find(&self, request: FindRequest) -> Result<Vec<Found>, ChannelError> {
        self.of(&request.channel)?.find(request).await
    }
}
