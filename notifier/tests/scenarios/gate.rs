//! A replica's way to Slack, in which what it posts, or the answer to that, can be held back.

use async_trait::async_trait;
use ronda_notifier::channel::{ChannelError, FindRequest, Found, Pacing, PostRequest, Posted, UpdateRequest};
use ronda_notifier::{Channel, SlackChannel};
use tokio::sync::watch;

/// Where a replica's posts are held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Nowhere,
    /// Before Slack.
    Calls,
    /// On the way back.
    Answers,
}

/// See the module.
pub(crate) struct Gate {
    inner: SlackChannel,
    held: watch::Sender<Held>,
    waiting: watch::Sender<usize>,
}

impl Gate {
    pub(crate) fn new(inner: SlackChannel) -> Self {
        Self { inner, held: watch::Sender::new(Held::Nowhere), waiting: watch::Sender::new(0) }
    }

    pub(crate) fn hold(&self, held: Held) {
        self.held.send_replace(held);
    }

    /// Whether something stands in it.
    pub(crate) fn holds_one(&self) -> bool {
        *self.waiting.borrow() > 0
    }

    async fn pass(&self, here: Held) {
        let mut held = self.held.subscribe();
        if *held.borrow() == here {
            self.waiting.send_modify(|waiting| *waiting += 1);
            held.wait_for(|held| *held != here).await.unwrap();
            self.waiting.send_modify(|waiting| *waiting -= 1);
        }
    }
}

#[async_trait]
impl Channel for Gate {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }

    fn pacing(&self) -> Pacing {
        self.inner.pacing()
    }

    async fn check(&self, channels: &[String]) -> Result<String, ChannelError> {
        self.inner.check(channels).await
    }

    async fn post(&self, request: PostRequest) -> Result<Posted, ChannelError> {
        self.pass(Held::Calls).await;
        let answer = self.inner.post(request).await;
        self.pass(Held::Answers).await;
        answer
    }

    async fn update(&self, request: UpdateRequest) -> Result<(), ChannelError> {
        self.inner.update(request).await
    }

    async fn delete(&self, channel: &str, ts: &str) -> Result<(), ChannelError> {
        self.inner.delete(channel, ts).await
    }

    async fn find(&self, request: FindRequest) -> Result<Vec<Found>, ChannelError> {
        self.inner.find(request).await
    }
}
