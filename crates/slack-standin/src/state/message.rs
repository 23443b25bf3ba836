//! A message, and what a person saw of it.

use serde::Serialize;
use serde_json::Value;

/// One message as it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Message {
    /// Slack's id of a message within its channel.
    pub ts: String,
    /// The parent's `ts`, when it is a reply.
    pub thread_ts: Option<String>,
    /// The plain text: notification and fallback.
    pub text: String,
    /// Block Kit blocks.
    pub blocks: Vec<Value>,
    /// Legacy attachments, which carry the colour bar.
    pub attachments: Vec<Value>,
    /// `{event_type, event_payload}`.
    pub metadata: Option<Value>,
    /// How often it was edited.
    pub edits: u32,
    /// The person who wrote it; `None`: the bot.
    pub author: Option<String>,
    /// The only person who sees it; `None`: all in the channel do.
    pub only_for: Option<String>,
    /// Emoji, each with who reacted so.
    pub reactions: Vec<(String, String)>,
}

impl Message {
    /// What a lock screen shows: the text alone, never the blocks. <https://docs.slack.dev/reference/methods/chat.postMessage>, `text`
    #[must_use]
    pub fn notification(&self) -> String {
        let fallback = || self.attachments.iter().find_map(|attachment| attachment["fallback"].as_str());
        let text = Some(self.text.as_str()).filter(|text| !text.is_empty()).or_else(fallback);
        crate::render::plain_mrkdwn(text.unwrap_or("[no preview available]"))
    }

    /// Whether the text, or a block, names a person, a group or everybody.
    pub(crate) fn mentions(&self) -> bool {
        let blocks = Value::Array([self.blocks.clone(), self.attachments.clone()].concat()).to_string();
        ["<@U", "<@W", "<!channel>", "<!here>", "<!everyone>", "<!subteam^"]
            .iter()
            .any(|mention| self.text.contains(mention) || blocks.contains(mention))
    }
}

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenKind {
    /// A new message in the channel.
    Posted,
    /// A new reply in a thread.
    Replied,
    /// An existing message changed.
    Edited,
    /// A message went away.
    Deleted,
    /// Something that only one person sees, until they reload.
    Whispered,
}

/// One thing that a person in the channel could have seen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Seen {
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What happened.
    pub kind: SeenKind,
    /// Where.
    pub channel: String,
    /// To which message.
    pub ts: String,
    /// The message as a person reads it.
    pub text: String,
    /// The only person who saw it; `None`: all in the channel could.
    pub only_for: Option<String>,
    /// What their lock screen showed. Edits and deletions notify nobody, replies only when they mention somebody.
    pub notification: Option<String>,
}

impl Seen {
    pub(crate) fn new(at_ms: u64, kind: SeenKind, channel: &str, message: &Message) -> Self {
        let notifies = match kind {
            SeenKind::Posted => true,
            SeenKind::Replied => message.mentions(),
            SeenKind::Edited | SeenKind::Deleted | SeenKind::Whispered => false,
        };
        Self {
            at_ms,
            kind,
            channel: channel.to_owned(),
            ts: message.ts.clone(),
            text: crate::render::message_as_text(message),
            only_for: message.only_for.clone(),
            notification: notifies.then(|| message.notification()),
        }
    }

    /// Whether it is Ronda's alert of a job: names the job, and is neither the night's table nor the notice of a blind time, which name many.
    #[must_use]
    pub fn is_alert_of(&self, job: &str) -> bool {
        let is_of_many = ["Night watch", "Ronda was blind"].iter().any(|title| self.text.contains(title));
        !is_of_many && names(&self.text, job)
    }
}

/// Whether a text names a job, and not merely one whose name begins so.
fn names(text: &str, job: &str) -> bool {
    let goes_on = |next: char| next.is_ascii_alphanumeric() || next == '-';
    text.match_indices(job).any(|(at, _)| !text[at.saturating_add(job.len())..].starts_with(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_of_the_job_that_it_names() {
        let seen = |text: &str| {
            let message = Message { text: text.to_owned(), ..Message::default() };
            Seen::new(0, SeenKind::Posted, "C1", &message)
        };
        assert!(seen("🔴 *bad-1-fails* failed").is_alert_of("bad-1-fails"));
        assert!(!seen("🔴 *bad-1-fails-2* failed").is_alert_of("bad-1-fails"));
        assert!(!seen("🔴 *bad-10* failed").is_alert_of("bad-1"));
        assert!(!seen("*Night watch*\n🔴 *bad-1* failed").is_alert_of("bad-1"));
    }

    #[test]
    fn posts_and_mentions_notify_and_edits_do_not() {
        let message = |text: &str| Message { text: text.to_owned(), ..Message::default() };
        let shown = |kind, text: &str| Seen::new(0, kind, "C1", &message(text)).notification;
        assert_eq!(shown(SeenKind::Posted, "a &amp; b").as_deref(), Some("a & b"));
        assert_eq!(shown(SeenKind::Edited, "a"), None);
        assert_eq!(shown(SeenKind::Replied, "a"), None);
        assert!(shown(SeenKind::Replied, "<@U1> look").is_some());
        assert_eq!(shown(SeenKind::Posted, "").as_deref(), Some("[no preview available]"));
    }
}
