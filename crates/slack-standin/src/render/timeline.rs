//! A channel as a person scrolls through it, with threads below their parents.

use std::collections::BTreeMap;

use super::dates::Reader;
use super::text;
use crate::state::{Message, Seen, SeenKind, Slack};

/// What stands at one place of a channel, in order of time.
pub(super) enum Entry<'a> {
    /// A message and its thread.
    Message { message: &'a Message, replies: Vec<&'a Message> },
    /// What only one person sees.
    Whisper(&'a Message),
    /// Where a message was that is gone.
    Deleted,
}

/// What a channel is shown from.
pub(super) struct View {
    messages: Vec<Message>,
    whispers: Vec<Message>,
    deleted: Vec<Seen>,
}

/// All that there is to see, oldest first. A reply whose parent is gone stays below where the parent was.
pub(super) fn entries<'a>(view: &'a View) -> Vec<Entry<'a>> {
    let View { messages, whispers, deleted } = view;
    let mut replies: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    for message in messages {
        if let Some(parent) = &message.thread_ts {
            replies.entry(parent).or_default().push(message);
        }
    }
    let mut places: BTreeMap<&str, Entry<'a>> = BTreeMap::new();
    for gone in deleted {
        places.insert(&gone.ts, Entry::Deleted);
    }
    places.extend(whispers.iter().map(|message| (message.ts.as_str(), Entry::Whisper(message))));
    for message in messages.iter().filter(|message| message.thread_ts.is_none()) {
        let replies = replies.remove(message.ts.as_str()).unwrap_or_default();
        places.insert(&message.ts, Entry::Message { message, replies });
    }
    places.into_values().collect()
}

impl Slack {
    pub(super) fn view(&self, channel: &str, reader: &Reader) -> View {
        let mut whispers = self.whispers(channel);
        whispers.retain(|message| reader.sees(message));
        let mut deleted = self.seen();
        deleted.retain(|seen| seen.kind == SeenKind::Deleted && seen.channel == channel);
        View { messages: self.messages(channel), whispers, deleted }
    }

    /// A channel as text, as this reader sees it on a phone.
    #[must_use]
    pub fn timeline(&self, channel: &str, reader: &Reader) -> String {
        let view = self.view(channel, reader);
        let mut out = String::new();
        for entry in entries(&view) {
            match entry {
                Entry::Whisper(message) => out.push_str(&one(message, reader)),
                Entry::Deleted => out.push_str("(a message was deleted)\n"),
                Entry::Message { message, replies } => {
                    out.push_str(&one(message, reader));
                    if !replies.is_empty() {
                        let plural = if replies.len() == 1 { "reply" } else { "replies" };
                        out.push_str(&format!("    {} {plural}\n", replies.len()));
                    }
                    replies.iter().for_each(|reply| out.push_str(&one(reply, reader)));
                }
            }
        }
        out
    }

    /// What a lock screen showed of a channel, oldest first: texts of posts, cut as a phone cuts them. Edits show nothing.
    #[must_use]
    pub fn notifications(&self, channel: &str) -> Vec<String> {
        let of_channel = |seen: &Seen| (seen.channel == channel).then(|| seen.notification.clone()).flatten();
        self.seen().iter().filter_map(of_channel).map(|text| lock_screen(&text)).collect()
    }
}

fn one(message: &Message, reader: &Reader) -> String {
    let indent = if message.thread_ts.is_some() { "    ↳ " } else { "" };
    let who = message.author.as_deref().unwrap_or("Ronda");
    let edited = if message.edits > 0 { " (edited)" } else { "" };
    let body = text::message_for(message, Some(reader));
    let reactions: String =
        message.reactions.iter().map(|(emoji, user)| format!("{indent}  :{emoji}: {user}\n")).collect();
    let only = message.only_for.as_ref().map(|user| format!("  (only visible to {user})")).unwrap_or_default();
    format!("{indent}{who}  {}{edited}{only}\n{body}\n{reactions}", reader.time_of(&message.ts))
}

/// (j) About four lines on a phone.
fn lock_screen(text: &str) -> String {
    const CHARS: usize = 178;
    let lines: Vec<&str> = text.lines().take(4).collect();
    let shown = lines.join("\n");
    let cut: String = shown.chars().take(CHARS).collect();
    if cut.len() < text.trim_end().len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn text_of(text: &str) -> Message {
        Message { text: text.to_owned(), ..Message::default() }
    }

    #[test]
    fn threads_edits_deletions_and_people_are_to_be_seen() {
        let slack = Slack::default().with_frozen_clock(1_795_443_535_000);
        let parent = slack.post("C1", text_of("*billing* failed"));
        let gone = slack.post("C1", text_of("twin"));
        slack.post("C1", text_of("another"));
        slack.post("C1", Message { thread_ts: Some(parent.ts.clone()), ..text_of("still failing") });
        slack.update("C1", &parent.ts, |message| message.text = "*billing* recovered".to_owned());
        slack.delete_by_hand("C1", &gone.ts);
        slack.person_posts("U1", "C1", Some(&parent.ts), "on it");
        slack.person_reacts("U1", "C1", &parent.ts, "eyes");
        let reader = Reader::new("Asia/Jakarta", slack.now_ms()).unwrap();
        let expected = "Ronda  21:18 (edited)\n  *billing* recovered\n  :eyes: U1\n    2 replies\n    ↳ Ronda  21:18\n    ↳ still \
             failing\n    ↳ U1  21:18\n    ↳ on it\n(a message was deleted)\nRonda  21:18\n  another\n";
        assert_eq!(slack.timeline("C1", &reader), expected);
        assert_eq!(slack.notifications("C1"), ["*billing* failed", "twin", "another"]);
    }

    #[test]
    fn a_lock_screen_shows_the_first_lines() {
        assert_eq!(lock_screen("a\nb"), "a\nb");
        assert_eq!(lock_screen("1\n2\n3\n4\n5"), "1\n2\n3\n4…");
        assert_eq!(lock_screen(&"x".repeat(200)).chars().count(), 179);
    }
}
