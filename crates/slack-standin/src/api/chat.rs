//! Methods that write. <https://docs.slack.dev/reference/methods/chat.postMessage> and its neighbours.

use axum::response::Response;
use serde_json::{Value, json};

use super::answer::{Refused, deny, ok, rate_limited, refuse, refuse_payload};
use super::arguments::{Arguments, list, text};
use super::shown;
use crate::limits::{Purpose, refusal, split};
use crate::state::{Message, Slack, whisper_of};

/// The channel that is written to, when the app may.
fn channel<'a>(slack: &Slack, arguments: &'a Arguments) -> Result<&'a str, Refused> {
    let channel = text(arguments, "channel").unwrap_or_default();
    let may = slack.places(|places| places.require("chat:write").and_then(|()| places.enter(channel, true)));
    may.map(|_| channel).map_err(|denied| deny(slack, &denied))
}

fn metadata(arguments: &Arguments) -> Option<Value> {
    arguments.get("metadata").filter(|value| !value.is_null()).cloned()
}

/// What a call says that a message shall be.
pub(crate) fn content(arguments: &Arguments) -> Message {
    Message {
        thread_ts: text(arguments, "thread_ts").map(str::to_owned),
        text: text(arguments, "text").unwrap_or_default().to_owned(),
        blocks: list(arguments, "blocks").unwrap_or_default(),
        attachments: list(arguments, "attachments").unwrap_or_default(),
        metadata: metadata(arguments),
        ..Message::default()
    }
}

pub(super) fn post(slack: &Slack, arguments: &Arguments) -> Result<Response, Refused> {
    let channel = channel(slack, arguments)?;
    let message = content(arguments);
    if let Some(refused) = refusal(&message, Purpose::Post) {
        return Err(refuse_payload(&refused));
    }
    if let Some(seconds) = slack.rate_limited("chat.postMessage", channel) {
        return Err(rate_limited(seconds));
    }
    let message = post_in_pieces(slack, channel, message);
    Ok(ok(json!({"ok":true,"channel":channel,"ts":message.ts,"message":shown(&message, true)})))
}

/// Posts the message; a long text without blocks becomes several, of which the last one is answered. (j) Which one Slack answers is not
/// documented.
pub(crate) fn post_in_pieces(slack: &Slack, channel: &str, message: Message) -> Message {
    let mut pieces = if message.blocks.is_empty() { split(&message.text) } else { vec![message.text.clone()] };
    let last = pieces.pop().unwrap_or_default();
    for text in pieces {
        let thread_ts = message.thread_ts.clone();
        slack.post(channel, Message { thread_ts, text, ..Message::default() });
    }
    slack.post(channel, Message { text: last, ..message })
}

pub(super) fn post_ephemeral(slack: &Slack, arguments: &Arguments) -> Result<Response, Refused> {
    let channel = channel(slack, arguments)?;
    let message = content(arguments);
    let user = text(arguments, "user").ok_or_else(|| refuse("user_not_in_channel", "no user"))?;
    if let Some(refused) = refusal(&message, Purpose::Post) {
        return Err(refuse_payload(&refused));
    }
    if let Some(seconds) = slack.rate_limited("chat.postEphemeral", channel) {
        return Err(rate_limited(seconds));
    }
    let shown = slack.whisper(channel, whisper_of(message, user));
    Ok(ok(json!({"ok":true,"message_ts":shown.ts})))
}

pub(super) fn update(slack: &Slack, arguments: &Arguments) -> Result<Response, Refused> {
    let channel = channel(slack, arguments)?;
    let ts = text(arguments, "ts").unwrap_or_default();
    slack.may_change(channel, ts, true).map_err(|code| refuse(code, ts))?;
    if let Some(refused) = refusal(&content(arguments), Purpose::Update) {
        return Err(refuse_payload(&refused));
    }
    if let Some(seconds) = slack.rate_limited("chat.update", channel) {
        return Err(rate_limited(seconds));
    }
    let updated = slack.update(channel, ts, |message| change(message, arguments));
    if updated { Ok(ok(json!({"ok":true,"channel":channel,"ts":ts}))) } else { Err(refuse("message_not_found", ts)) }
}

/// An edit: text without blocks removes the blocks; metadata that is left out stays.
/// <https://docs.slack.dev/reference/methods/chat.update>
pub(crate) fn change(message: &mut Message, arguments: &Arguments) {
    let new_text = text(arguments, "text");
    let blocks = list(arguments, "blocks");
    if new_text.is_some() || blocks.is_some() {
        message.blocks = blocks.unwrap_or_default();
    }
    if let Some(text) = new_text {
        text.clone_into(&mut message.text);
    }
    if let Some(attachments) = list(arguments, "attachments") {
        message.attachments = attachments;
    }
    message.metadata = metadata(arguments).or(message.metadata.take());
}

pub(super) fn delete(slack: &Slack, arguments: &Arguments) -> Result<Response, Refused> {
    let channel = channel(slack, arguments)?;
    let ts = text(arguments, "ts").unwrap_or_default();
    slack.may_change(channel, ts, false).map_err(|code| refuse(code, ts))?;
    if let Some(seconds) = slack.rate_limited("chat.delete", channel) {
        return Err(rate_limited(seconds));
    }
    if slack.remove(channel, ts) {
        Ok(ok(json!({"ok":true,"channel":channel,"ts":ts})))
    } else {
        Err(refuse("message_not_found", ts))
    }
}
