//! What the stand-in keeps: messages by channel, and everything that was ever to be seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value;

use crate::fault::{Fault, FaultPlan};
use crate::render::message_as_text;

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
}

impl Seen {
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

#[derive(Debug, Default)]
struct Inner {
    channels: BTreeMap<String, BTreeMap<String, Message>>,
    seen: Vec<Seen>,
    faults: BTreeMap<String, FaultPlan>,
    calls: BTreeMap<String, u64>,
    last_ts_micros: u64,
    last_post: BTreeMap<String, u64>,
}

/// The stand-in's memory and moods.
#[derive(Debug)]
pub struct Slack {
    inner: Mutex<Inner>,
    enforce_rate: bool,
    history_lag: Duration,
    echo: bool,
    /// Channels that it knows besides those whose name is an id.
    known: BTreeSet<String>,
}

impl Default for Slack {
    fn default() -> Self {
        Self {
            inner: Mutex::default(),
            enforce_rate: false,
            history_lag: Duration::ZERO,
            echo: false,
            known: BTreeSet::new(),
        }
    }
}

fn now_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn ts_micros(ts: &str) -> u64 {
    let (seconds, fraction) = ts.split_once('.').unwrap_or((ts, "0"));
    let seconds: u64 = seconds.parse().unwrap_or(0);
    let padded = format!("{fraction:0<6}");
    seconds.saturating_mul(1_000_000).saturating_add(padded.get(..6).and_then(|six| six.parse().ok()).unwrap_or(0))
}

impl Slack {
    /// The same, holding callers to one post a second and channel.
    #[must_use]
    pub fn enforcing_rate(mut self) -> Self {
        self.enforce_rate = true;
        self
    }

    /// The same, printing everything as it happens.
    #[must_use]
    pub fn echoing(mut self) -> Self {
        self.echo = true;
        self
    }

    /// The same, with posts appearing in the history only after so long.
    #[must_use]
    pub fn with_history_lag(mut self, lag: Duration) -> Self {
        self.history_lag = lag;
        self
    }

    /// The same, with a channel that is known by this name. Every id (`C…`, `G…`) is known without that.
    #[must_use]
    pub fn knowing(mut self, channel: &str) -> Self {
        self.known.insert(channel.to_owned());
        self
    }

    /// Whether there is such a channel.
    pub(crate) fn knows(&self, channel: &str) -> bool {
        let is_id = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        channel.strip_prefix(['C', 'G']).is_some_and(is_id) || self.known.contains(channel)
    }

    /// One more call of `method` (such as `chat.postMessage`) meets this fault.
    pub fn fail_next(&self, method: &str, fault: Fault) {
        self.inner.lock().faults.entry(method.to_owned()).or_default().push(fault);
    }

    /// Every call of `method` meets this fault from now on, or none does any more.
    pub fn fail_always(&self, method: &str, fault: Option<Fault>) {
        self.inner.lock().faults.entry(method.to_owned()).or_default().always(fault);
    }

    /// How often a method was called.
    #[must_use]
    pub fn calls(&self, method: &str) -> u64 {
        self.inner.lock().calls.get(method).copied().unwrap_or(0)
    }

    /// A channel's messages and replies as they stand, oldest first.
    #[must_use]
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.inner.lock().channels.get(channel).map(|messages| messages.values().cloned().collect()).unwrap_or_default()
    }

    /// Everything that was to be seen, in order.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.inner.lock().seen.clone()
    }

    /// Takes a message away, as a person would.
    pub fn delete_by_hand(&self, channel: &str, ts: &str) -> bool {
        self.remove(channel, ts)
    }

    pub(crate) fn called(&self, method: &str) -> Fault {
        let mut inner = self.inner.lock();
        *inner.calls.entry(method.to_owned()).or_default() += 1;
        inner.faults.get_mut(method).map_or(Fault::None, FaultPlan::take)
    }

    /// Seconds to wait when the channel's rate is used up.
    pub(crate) fn rate_limited(&self, channel: &str) -> Option<u64> {
        if !self.enforce_rate {
            return None;
        }
        let now = now_micros();
        let mut inner = self.inner.lock();
        let last = inner.last_post.entry(channel.to_owned()).or_default();
        // A token bucket as a "virtual time": one post a second, three at once.
        let next = (*last).max(now.saturating_sub(3_000_000)) + 1_000_000;
        if next > now {
            return Some((next - now).div_ceil(1_000_000).max(1));
        }
        *last = next;
        None
    }

    pub(crate) fn post(&self, channel: &str, mut message: Message) -> Message {
        let mut inner = self.inner.lock();
        let micros = now_micros().max(inner.last_ts_micros + 1);
        inner.last_ts_micros = micros;
        message.ts = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let messages = inner.channels.entry(channel.to_owned()).or_default();
        // A reply to a message that is gone becomes a message of its own, and Slack says ok.
        if message.thread_ts.as_ref().is_some_and(|parent| !messages.contains_key(parent)) {
            message.thread_ts = None;
        }
        messages.insert(message.ts.clone(), message.clone());
        let kind = if message.thread_ts.is_some() { SeenKind::Replied } else { SeenKind::Posted };
        self.note(&mut inner, kind, channel, &message);
        message
    }

    pub(crate) fn update(&self, channel: &str, ts: &str, change: impl FnOnce(&mut Message)) -> bool {
        let mut inner = self.inner.lock();
        let Some(message) = inner.channels.get_mut(channel).and_then(|messages| messages.get_mut(ts)) else {
            return false;
        };
        change(message);
        message.edits += 1;
        let message = message.clone();
        self.note(&mut inner, SeenKind::Edited, channel, &message);
        true
    }

    pub(crate) fn remove(&self, channel: &str, ts: &str) -> bool {
        let mut inner = self.inner.lock();
        let Some(message) = inner.channels.get_mut(channel).and_then(|messages| messages.remove(ts)) else {
            return false;
        };
        self.note(&mut inner, SeenKind::Deleted, channel, &message);
        true
    }

    fn note(&self, inner: &mut Inner, kind: SeenKind, channel: &str, message: &Message) {
        let seen = Seen {
            at_ms: now_micros() / 1_000,
            kind,
            channel: channel.to_owned(),
            ts: message.ts.clone(),
            text: message_as_text(message),
        };
        if self.echo {
            echo(&seen);
        }
        inner.seen.push(seen);
    }

    /// Messages that `conversations.history` (no thread) or `conversations.replies` (one thread) would list, newest first.
    pub(crate) fn list(&self, channel: &str, thread: Option<&str>, oldest: &str, latest: Option<&str>) -> Vec<Message> {
        let lag = u64::try_from(self.history_lag.as_micros()).unwrap_or(u64::MAX);
        let visible_until = now_micros().saturating_sub(lag);
        let oldest = ts_micros(oldest);
        let latest = latest.map_or(u64::MAX, ts_micros);
        let inner = self.inner.lock();
        let Some(messages) = inner.channels.get(channel) else {
            return Vec::new();
        };
        let wanted = |message: &&Message| {
            let at = ts_micros(&message.ts);
            let in_place = match thread {
                Some(parent) => message.thread_ts.as_deref() == Some(parent) || message.ts == parent,
                None => message.thread_ts.is_none(),
            };
            in_place && at >= oldest && at <= latest && at <= visible_until
        };
        messages.values().rev().filter(wanted).cloned().collect()
    }
}

#[allow(clippy::print_stdout, reason = "showing messages on the terminal is what echo is for")]
fn echo(seen: &Seen) {
    let seconds = seen.at_ms / 1_000 % 86_400;
    println!(
        "── {:02}:{:02}:{:02} UTC  {:?} in {} ({})\n{}\n",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        seen.kind,
        seen.channel,
        seen.ts,
        seen.text
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_of_the_job_that_it_names() {
        let seen = |text: &str| Seen {
            at_ms: 0,
            kind: SeenKind::Posted,
            channel: String::new(),
            ts: String::new(),
            text: text.to_owned(),
        };
        assert!(seen("🔴 *bad-1-fails* failed").is_alert_of("bad-1-fails"));
        assert!(!seen("🔴 *bad-1-fails-2* failed").is_alert_of("bad-1-fails"));
        assert!(!seen("🔴 *bad-10* failed").is_alert_of("bad-1"));
        assert!(!seen("*Night watch*\n🔴 *bad-1* failed").is_alert_of("bad-1"));
    }
}
