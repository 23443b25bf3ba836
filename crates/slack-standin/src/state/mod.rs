//! What the stand-in keeps: messages by channel, and everything that was ever to be seen.

mod clock;
mod message;
mod place;
mod whisper;

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::faults::{Fault, FaultRule, Faults};
use crate::interact::Interactions;
use crate::rates::Rates;
use clock::{Clock, micros};
use place::Places;

pub use message::{Message, Seen, SeenKind};
pub(crate) use place::Denied;
pub use place::Place;
pub(crate) use whisper::whisper_of;

#[derive(Debug, Default)]
struct Inner {
    channels: BTreeMap<String, BTreeMap<String, Message>>,
    whispers: BTreeMap<String, Vec<Message>>,
    seen: Vec<Seen>,
    faults: Faults,
    calls: BTreeMap<String, u64>,
    last_ts_micros: u64,
    rates: Option<Rates>,
    places: Places,
    clock: Clock,
    history_lag: Duration,
    /// How long a message may be edited; `None`: for ever.
    edit_window: Option<Duration>,
}

/// The stand-in's memory and moods.
#[derive(Debug, Default)]
pub struct Slack {
    inner: Mutex<Inner>,
    pub(crate) interactions: Interactions,
    changes: Notify,
    echo: bool,
}

fn ts_micros(ts: &str) -> u64 {
    let (seconds, fraction) = ts.split_once('.').unwrap_or((ts, "0"));
    let seconds: u64 = seconds.parse().unwrap_or(0);
    let padded = format!("{fraction:0<6}");
    seconds.saturating_mul(1_000_000).saturating_add(padded.get(..6).and_then(|six| six.parse().ok()).unwrap_or(0))
}

impl Inner {
    /// A new message's name; no two are the same.
    fn next_ts(&mut self) -> String {
        let micros = self.clock.now_micros().max(self.last_ts_micros + 1);
        self.last_ts_micros = micros;
        format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}

impl Slack {
    /// The same, holding callers to Slack's rates.
    #[must_use]
    pub fn enforcing_rate(mut self) -> Self {
        self.inner.get_mut().rates = Some(Rates::default());
        self
    }

    /// The same, with a clock that stands at this time until [`Slack::advance`] moves it.
    #[must_use]
    pub fn with_frozen_clock(mut self, at_ms: u64) -> Self {
        self.inner.get_mut().clock = Clock::frozen(at_ms);
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
        self.inner.get_mut().history_lag = lag;
        self
    }

    /// The same, with a channel that is known by this name. Every id (`C…`, `G…`) is known without that.
    #[must_use]
    pub fn knowing(mut self, channel: &str) -> Self {
        self.inner.get_mut().places.set(channel, Place::default());
        self
    }

    /// Posts appear in the history only after so long from now on.
    pub fn set_history_lag(&self, lag: Duration) {
        self.inner.lock().history_lag = lag;
    }

    /// Messages that are older than this can't be edited; `None`: all can.
    pub fn set_edit_window(&self, window: Option<Duration>) {
        self.inner.lock().edit_window = window;
    }

    /// What a channel is from now on: archived, private, with or without the app.
    pub fn set_place(&self, channel: &str, place: Place) {
        self.inner.lock().places.set(channel, place);
    }

    /// Takes a scope from the app, or grants it.
    pub fn set_scope(&self, scope: &str, granted: bool) {
        self.inner.lock().places.set_scope(scope, granted);
    }

    /// The token is refused with this code from now on, such as `token_revoked`; `None`: it is taken.
    pub fn set_token_refused(&self, code: Option<&str>) {
        self.inner.lock().places.token_refused = code.map(str::to_owned);
    }

    /// Moves the stand-in's clock.
    pub fn advance(&self, by: Duration) {
        self.inner.lock().clock.advance(by);
    }

    /// What time it is in the stand-in, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.inner.lock().clock.now_micros() / 1_000
    }

    /// One more call of `method` (such as `chat.postMessage`) meets this fault.
    pub fn fail_next(&self, method: &str, fault: Fault) {
        self.fail(FaultRule::next(method, fault));
    }

    /// Every call of `method` meets this fault from now on, or none does any more.
    pub fn fail_always(&self, method: &str, fault: Option<Fault>) {
        let mut inner = self.inner.lock();
        inner.faults.end(method);
        if let Some(fault) = fault {
            inner.faults.add(FaultRule::always(method, fault));
        }
    }

    /// Calls fail by this rule.
    pub fn fail(&self, rule: FaultRule) {
        self.inner.lock().faults.add(rule);
    }

    /// No call fails any more.
    pub fn fail_no_more(&self) {
        self.inner.lock().faults.clear();
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

    /// Waits until something is so, looking at each change; whether it came to be so in time.
    pub async fn until(&self, patience: Duration, mut is_so: impl FnMut(&Self) -> bool) -> bool {
        let wait = async {
            loop {
                let change = self.changes.notified();
                tokio::pin!(change);
                // Before the look, so that no change goes by unseen.
                change.as_mut().enable();
                if is_so(self) {
                    return;
                }
                change.await;
            }
        };
        tokio::time::timeout(patience, wait).await.is_ok()
    }

    pub(crate) fn changed(&self) {
        self.changes.notify_waiters();
    }

    /// Takes a message away, as a person would.
    pub fn delete_by_hand(&self, channel: &str, ts: &str) -> bool {
        self.remove(channel, ts)
    }

    /// A person writes into a channel, or into a thread.
    pub fn person_posts(&self, user: &str, channel: &str, thread_ts: Option<&str>, text: &str) -> Message {
        let author = Some(user.to_owned());
        let thread_ts = thread_ts.map(str::to_owned);
        self.post(channel, Message { author, thread_ts, text: text.to_owned(), ..Message::default() })
    }

    /// The app has posted this already, whatever its limits and rates: where a scene begins.
    pub fn app_posts(&self, channel: &str, text: &str, blocks: Vec<Value>) -> Message {
        self.post(channel, Message { text: text.to_owned(), blocks, ..Message::default() })
    }

    /// A person reacts to a message; whether there is such a one.
    pub fn person_reacts(&self, user: &str, channel: &str, ts: &str, emoji: &str) -> bool {
        let mut inner = self.inner.lock();
        let message = inner.channels.get_mut(channel).and_then(|messages| messages.get_mut(ts));
        message.is_some_and(|message| {
            message.reactions.push((emoji.to_owned(), user.to_owned()));
            true
        })
    }

    /// Counts a call and tells what it meets.
    pub(crate) fn called(&self, method: &str, arguments: &Map<String, Value>) -> Fault {
        let mut inner = self.inner.lock();
        *inner.calls.entry(method.to_owned()).or_default() += 1;
        inner.faults.take(method, arguments)
    }

    pub(crate) fn places<T>(&self, look: impl FnOnce(&Places) -> T) -> T {
        look(&self.inner.lock().places)
    }

    /// Seconds to wait when the rate is used up.
    pub(crate) fn rate_limited(&self, method: &str, channel: &str) -> Option<u64> {
        let mut inner = self.inner.lock();
        let now = inner.clock.now_micros();
        inner.rates.as_mut()?.take(method, channel, now).err()
    }

    /// Whether the app may change this message.
    pub(crate) fn may_change(&self, channel: &str, ts: &str, edit: bool) -> Result<(), &'static str> {
        let inner = self.inner.lock();
        let message = inner.channels.get(channel).and_then(|messages| messages.get(ts)).ok_or("message_not_found")?;
        if message.author.is_some() {
            return Err(if edit { "cant_update_message" } else { "cant_delete_message" });
        }
        let age = inner.clock.now_micros().saturating_sub(ts_micros(ts));
        if edit && inner.edit_window.is_some_and(|window| age > micros(window)) {
            return Err("edit_window_closed");
        }
        Ok(())
    }

    /// Whether there is such a thread, or what is left of one.
    pub(crate) fn has_thread(&self, channel: &str, ts: &str) -> bool {
        let inner = self.inner.lock();
        inner.channels.get(channel).is_some_and(|messages| {
            messages.contains_key(ts) || messages.values().any(|message| message.thread_ts.as_deref() == Some(ts))
        })
    }

    pub(crate) fn post(&self, channel: &str, mut message: Message) -> Message {
        let mut inner = self.inner.lock();
        message.ts = inner.next_ts();
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
        let seen = Seen::new(inner.clock.now_micros() / 1_000, kind, channel, message);
        if self.echo {
            echo(&seen);
        }
        inner.seen.push(seen);
        self.changed();
    }

    /// Messages that `conversations.history` (no thread) or `conversations.replies` (one thread) would list, newest first.
    pub(crate) fn list(&self, channel: &str, thread: Option<&str>, oldest: &str, latest: Option<&str>) -> Vec<Message> {
        let oldest = ts_micros(oldest);
        let latest = latest.map_or(u64::MAX, ts_micros);
        let inner = self.inner.lock();
        let visible_until = inner.clock.now_micros().saturating_sub(micros(inner.history_lag));
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
