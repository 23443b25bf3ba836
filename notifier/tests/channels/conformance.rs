//! The port's suite on every channel that is one.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use ronda_notifier::channel::conformance::{ChannelHarness, Shown, Trouble};
use ronda_notifier::{Channel, SlackChannel, SlackConfig};
use ronda_runtime::Secret;
use ronda_slack_standin::{Fault, StandIn, TOKEN};
use serde_json::Value;

use super::stranger::Stranger;
use super::{mail as mails, webhook as webhooks};

struct OnSlack(StandIn);

#[async_trait]
impl ChannelHarness for OnSlack {
    async fn start() -> Option<Self> {
        Some(Self(StandIn::start().await.unwrap()))
    }

    fn channel(&self) -> Arc<dyn Channel> {
        let config = SlackConfig { api_url: self.0.api_url(), ..SlackConfig::new(Secret::new(TOKEN)) };
        Arc::new(SlackChannel::new(config).unwrap())
    }

    fn place(&self) -> String {
        "C1".to_owned()
    }

    async fn meet(&mut self, trouble: Trouble) {
        let refuse = |code: &str| Fault::Refuse { code: code.to_owned() };
        let fault = match trouble {
            Trouble::AnswerLost => Fault::ServerError { effective: true },
            Trouble::Payload => refuse("invalid_blocks"),
            Trouble::Broken => refuse("is_archived"),
            Trouble::NotNow => Fault::RateLimited { retry_after_seconds: 1 },
        };
        self.0.slack().fail_next("chat.postMessage", fault);
    }

    async fn seen(&mut self) -> Vec<Shown> {
        let shown = |message: ronda_slack_standin::Message| Shown {
            ts: message.ts,
            reply_to: message.thread_ts,
            text: message.text,
        };
        self.0.slack().messages("C1").into_iter().map(shown).collect()
    }
}

/// A receiver that does as docs/channels.md says: it drops ids that it knows, and shows each message once.
struct OnWebhook {
    receiver: Stranger,
    ids: Vec<String>,
    messages: BTreeMap<String, Shown>,
}

#[async_trait]
impl ChannelHarness for OnWebhook {
    async fn start() -> Option<Self> {
        let receiver = Stranger::start("receiver.py", webhooks::LIBRARY, &[webhooks::NEW]).await?;
        Some(Self { receiver, ids: Vec::new(), messages: BTreeMap::new() })
    }

    fn channel(&self) -> Arc<dyn Channel> {
        Arc::new(webhooks::channel(webhooks::config(self.receiver.port, &[webhooks::NEW])))
    }

    fn place(&self) -> String {
        webhooks::HERE.to_owned()
    }

    async fn meet(&mut self, trouble: Trouble) {
        let answer = match trouble {
            Trouble::AnswerLost => "0",
            Trouble::Payload => "422",
            Trouble::Broken => "410",
            Trouble::NotNow => "429 1",
        };
        self.receiver.tell(answer).await;
    }

    async fn seen(&mut self) -> Vec<Shown> {
        for event in self.receiver.all().await {
            let id = event["id"].as_str().unwrap().to_owned();
            // What it refused it has not taken.
            if event["taken"] != true || self.ids.contains(&id) {
                continue;
            }
            self.ids.push(id);
            let data = &event["body"]["data"];
            let text = |field: &Value| field.as_str().map(str::to_owned);
            let ts = text(&data["message"]).unwrap();
            if event["body"]["type"] == "message.removed" {
                self.messages.remove(&ts);
                continue;
            }
            let reply_to = text(&data["reply_to"]);
            let shown = Shown { ts: ts.clone(), reply_to, text: text(&data["text"]).unwrap() };
            self.messages.insert(ts, shown);
        }
        self.messages.values().cloned().collect()
    }
}

/// A mail program that drops a `Message-ID` that it knows.
struct OnMail {
    server: Stranger,
    mails: Vec<Shown>,
}

#[async_trait]
impl ChannelHarness for OnMail {
    async fn start() -> Option<Self> {
        Some(Self { server: Stranger::start("mailbox.py", mails::SERVER, &["none"]).await?, mails: Vec::new() })
    }

    fn channel(&self) -> Arc<dyn Channel> {
        Arc::new(mails::channel(mails::config(self.server.port)))
    }

    fn place(&self) -> String {
        mails::OPS.to_owned()
    }

    async fn meet(&mut self, trouble: Trouble) {
        let fault = match trouble {
            Trouble::AnswerLost => "drop",
            Trouble::Payload => "data 554",
            Trouble::Broken => "rcpt 550",
            Trouble::NotNow => "data 451",
        };
        self.server.tell(fault).await;
    }

    async fn seen(&mut self) -> Vec<Shown> {
        for mail in self.server.all().await {
            let header = |name: &str| mail["headers"][name].as_str().map(str::to_owned);
            let (ts, reply_to) = (header("message-id").unwrap(), header("in-reply-to"));
            if !self.mails.iter().any(|known| known.ts == ts) {
                self.mails.push(Shown { ts, reply_to, text: header("subject").unwrap() });
            }
        }
        self.mails.clone()
    }
}

mod slack {
    ronda_notifier::channel_conformance_tests!(super::OnSlack);
}

mod webhook {
    ronda_notifier::channel_conformance_tests!(super::OnWebhook);
}

mod mail {
    ronda_notifier::channel_conformance_tests!(super::OnMail);
}
