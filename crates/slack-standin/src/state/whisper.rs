//! What only one person sees, until they reload. <https://docs.slack.dev/reference/methods/chat.postEphemeral>

use super::{Message, Seen, SeenKind, Slack};

/// A message for one person's eyes.
pub(crate) fn whisper_of(message: Message, user: &str) -> Message {
    Message { only_for: Some(user.to_owned()), metadata: None, ..message }
}

impl Slack {
    /// What is shown to single persons in a channel as it stands, oldest first.
    #[must_use]
    pub fn whispers(&self, channel: &str) -> Vec<Message> {
        self.inner.lock().whispers.get(channel).cloned().unwrap_or_default()
    }

    /// Everything that only this person saw, in order.
    #[must_use]
    pub fn told(&self, user: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.only_for.as_deref() == Some(user)).collect()
    }

    /// A message as this person has it before them.
    pub(crate) fn shown_to(&self, user: &str, channel: &str, ts: &str) -> Option<Message> {
        let inner = self.inner.lock();
        let whispers = inner.whispers.get(channel).into_iter().flatten();
        let theirs = || whispers.filter(|message| message.only_for.as_deref() == Some(user));
        let public = inner.channels.get(channel).and_then(|messages| messages.get(ts));
        public.or_else(|| theirs().find(|message| message.ts == ts)).cloned()
    }

    pub(crate) fn whisper(&self, channel: &str, mut message: Message) -> Message {
        let mut inner = self.inner.lock();
        message.ts = inner.next_ts();
        inner.whispers.entry(channel.to_owned()).or_default().push(message.clone());
        self.note(&mut inner, SeenKind::Whispered, channel, &message);
        message
    }

    pub(crate) fn change_whisper(&self, channel: &str, ts: &str, change: impl FnOnce(&mut Message)) -> bool {
        let mut inner = self.inner.lock();
        let mut whispers = inner.whispers.get_mut(channel).into_iter().flatten();
        let Some(message) = whispers.find(|message| message.ts == ts) else { return false };
        change(message);
        let message = message.clone();
        self.note(&mut inner, SeenKind::Whispered, channel, &message);
        true
    }

    pub(crate) fn remove_whisper(&self, channel: &str, ts: &str) -> bool {
        let mut inner = self.inner.lock();
        let Some(whispers) = inner.whispers.get_mut(channel) else { return false };
        let before = whispers.len();
        whispers.retain(|message| message.ts != ts);
        whispers.len() < before
    }
}
