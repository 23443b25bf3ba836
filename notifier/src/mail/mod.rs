//! E-mail over SMTP.
//!
//! A mail that was read stays as it was read: it can be neither edited nor taken back nor looked up. So a change is told by what is a message
//! of its own anyway (a recovery is a reply, a night's end a summary), in the same thread, and an update sends nothing unless nothing else
//! would tell it: only a digest whose alerts are all over. A mail whose fate is unknown is sent again with the same `Message-ID`.

mod letter;
mod smtp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use lettre::message::Mailbox;
use lettre::transport::smtp::client::TlsParameters;
use ronda_runtime::{Clock, Secret};
use thiserror::Error;

use crate::channel::{
    About, Capabilities, Channel, ChannelError, ChannelErrorKind, Content, FindRequest, Found, Manner, Pacing,
    PostRequest, Posted, UpdateRequest,
};
use letter::Place;

/// What a mail list's channel begins with.
pub(crate) const PREFIX: &str = "mail:";

/// How the connection to the server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// STARTTLS, without which nothing is sent (port 587).
    #[default]
    StartTls,
    /// TLS from the beginning (port 465).
    Tls,
    /// None: for a relay on the same machine (port 25).
    None,
}

/// The mail server, and who gets mail.
#[derive(Clone, Debug)]
pub struct MailConfig {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
    /// Who logs in; empty: nobody.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// Whom mails are from, as `Ronda <ronda@example.com>`.
    pub from: String,
    /// Certificates of authorities to trust beside the system's, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Recipients by the list's name: `mail:NAME` is the channel.
    pub lists: BTreeMap<String, Vec<String>>,
    /// Longest time up to a mail's text, and for it, in milliseconds. Default 10,000.
    pub timeout_ms: u64,
}

impl MailConfig {
    /// A server with STARTTLS and without a login.
    #[must_use]
    pub fn new(host: impl Into<String>, from: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: 587,
            security: Security::StartTls,
            user: String::new(),
            password: Secret::default(),
            from: from.into(),
            ca_pem: None,
            lists: BTreeMap::new(),
            timeout_ms: 10_000,
        }
    }

    /// Everything that keeps it from being used, each with the setting that it is about.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(String, String)> {
        let mut mistakes = Vec::new();
        let mut add = |key: &str, what: String| mistakes.push((key.to_owned(), what));
        if self.host.is_empty() {
            add("host", "is missing; give the mail server's name".to_owned());
        }
        if let Err(what) = mailbox(&self.from) {
            add("from", what);
        }
        if !self.user.is_empty() && self.security == Security::None {
            add("user", "would send its password in the clear; set security to \"starttls\" or \"tls\"".to_owned());
        }
        if !self.user.is_empty() && self.password.is_empty() {
            add("password_file", "is missing, or its file is empty, while user is set".to_owned());
        }
        if let Some(what) = smtp::certificate_mistake(self) {
            add("ca_file", what);
        }
        for (name, recipients) in &self.lists {
            let key = format!("lists.{name}.to");
            if recipients.is_empty() {
                add(&key, "is empty; give the recipients' addresses".to_owned());
            }
            for recipient in recipients {
                if let Err(what) = mailbox(recipient) {
                    add(&key, what);
                }
            }
        }
        mistakes
    }

    /// The domain that mails are from.
    fn domain(&self) -> &str {
        let address = self.from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
        address.trim_end_matches('>').trim()
    }
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let mailbox: Mailbox =
        text.parse().map_err(|_| format!("is {text:?}, but must be an address such as \"ops@example.com\""))?;
    if text.chars().any(char::is_control) || !mailbox.email.to_string().is_ascii() {
        return Err(format!("is {text:?}, but an address must be visible ASCII"));
    }
    Ok(mailbox)
}

/// Mail can't be used as configured.
#[derive(Debug, Error)]
#[error("mail: {0}")]
pub struct MailError(String);

/// E-mail as a channel.
pub struct MailChannel {
    config: MailConfig,
    from: Mailbox,
    lists: BTreeMap<String, Vec<Mailbox>>,
    tls: Option<TlsParameters>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for MailChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailChannel").field("config", &self.config).finish_non_exhaustive()
    }
}

impl MailChannel {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// The first setting that can't be used; [`MailConfig::mistakes`] tells all.
    pub fn new(config: MailConfig, clock: Arc<dyn Clock>) -> Result<Self, MailError> {
        if let Some((key, what)) = config.mistakes().into_iter().next() {
            return Err(MailError(format!("{key} {what}")));
        }
        let from = mailbox(&config.from).map_err(MailError)?;
        let mut lists = BTreeMap::new();
        for (name, recipients) in &config.lists {
            let mailboxes: Result<Vec<Mailbox>, String> = recipients.iter().map(|text| mailbox(text)).collect();
            lists.insert(format!("{PREFIX}{name}"), mailboxes.map_err(MailError)?);
        }
        let tls = smtp::tls(&config).map_err(MailError)?;
        Ok(Self { config, from, lists, tls, clock })
    }

    async fn send(
        &self,
        channel: &str,
        place: &Place<'_>,
        content: &Content,
        about: &About,
    ) -> Result<(), ChannelError> {
        let to = self.lists.get(channel).ok_or_else(|| unknown(channel))?;
        let now = Duration::from_millis(u64::try_from(self.clock.wall_millis()).unwrap_or(0));
        let mail = letter::write(&self.from, to, place, content, about, SystemTime::UNIX_EPOCH + now);
        let mail = mail.map_err(|error| ChannelError {
            kind: ChannelErrorKind::Payload { code: "not_written".to_owned() },
            message: format!("the mail can't be written: {error}"),
        })?;
        smtp::send(&self.config, self.tls.as_ref(), &mail).await
    }
}

fn unknown(channel: &str) -> ChannelError {
    let kind = ChannelErrorKind::DestinationBroken { code: "no_such_list".to_owned() };
    ChannelError { kind, message: format!("there is no mail list {channel:?} in the settings") }
}

/// Whether nothing else tells what an update says.
fn is_worth_a_mail(about: &About) -> bool {
    about.what == "digest" && about.is_over
}

#[async_trait]
impl Channel for MailChannel {
    fn kind(&self) -> &'static str {
        "mail"
    }

    fn pacing(&self) -> Pacing {
        Pacing { post_interval: Duration::from_secs(1), edit_interval: Duration::ZERO }
    }

    fn manner(&self, _channel: &str) -> Manner {
        let capabilities = Capabilities { can_edit: false, can_delete: false, can_find: false };
        // Of one server, but one list's trouble is seldom another's.
        Manner { kind: self.kind(), pacing: self.pacing(), capabilities, shares_limits: false }
    }

    /// Connects and logs in; sends nothing.
    async fn check(&self, channels: &[String]) -> Result<String, ChannelError> {
        if let Some(channel) = channels.iter().find(|channel| !self.lists.contains_key(*channel)) {
            return Err(unknown(channel));
        }
        smtp::greet(&self.config, self.tls.as_ref()).await?;
        Ok(format!("mail by {}", self.config.host))
    }

    async fn post(&self, request: PostRequest) -> Result<Posted, ChannelError> {
        let id = letter::message_id(&request.metadata, self.config.domain());
        let place = Place { id: &id, below: request.thread_ts.as_deref() };
        self.send(&request.channel, &place, &request.content, &request.about).await?;
        Ok(Posted { channel: request.channel, ts: id })
    }

    async fn update(&self, request: UpdateRequest) -> Result<(), ChannelError> {
        if !is_worth_a_mail(&request.about) {
            return Ok(());
        }
        let id = letter::message_id(&request.metadata, self.config.domain());
        let place = Place { id: &id, below: Some(&request.ts) };
        self.send(&request.channel, &place, &request.content, &request.about).await
    }

    /// What was sent can't be taken back.
    async fn delete(&self, _channel: &str, _ts: &str) -> Result<(), ChannelError> {
        let kind = ChannelErrorKind::Fixed { code: "mail_is_sent".to_owned() };
        Err(ChannelError { kind, message: "a mail can't be taken back".to_owned() })
    }

    /// Never asked for: see [`Capabilities::can_find`].
    async fn find(&self, _request: FindRequest) -> Result<Vec<Found>, ChannelError> {
        let kind = ChannelErrorKind::DestinationBroken { code: "no_lookup".to_owned() };
        Err(ChannelError { kind, message: "mail can't be looked up".to_owned() })
    }
}
