//! What Slack refuses in a payload, with its own error codes. Each rule names the page of Slack's documentation that it is from.
//!
//! `tests/model` compares these limits with two models that are not ours, at each limit and just over it: what is accepted here, both accept,
//! and it lists where these rules are stricter than both, and why.

mod block;
mod message;
mod table;
mod text;

use serde_json::Value;

use crate::state::Message;

pub(crate) use text::split;

/// What is asked for: an edit is held to other limits than a post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `chat.postMessage`, `chat.postEphemeral` and what goes to a `response_url`.
    Post,
    /// `chat.update`.
    Update,
}

/// Slack's refusal of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Slack's error code.
    pub code: &'static str,
    /// What is wrong and where, as in `response_metadata.messages`.
    pub why: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, why: impl Into<String>) -> Self {
        Self { code, why: why.into() }
    }
}

/// Which of Slack's error codes a message would get, if any.
pub(crate) fn refusal(message: &Message, purpose: Purpose) -> Option<Refusal> {
    message::check(message, purpose).err()
}

/// What `blocks.validate` says of blocks by themselves: the first thing that is wrong with them.
///
/// # Errors
/// [`Refusal`] as `chat.postMessage` would give it.
pub fn judge_blocks(blocks: &[Value]) -> Result<(), Refusal> {
    block::check_all(blocks, "", "invalid_blocks")?;
    message::check_totals(blocks, &[])
}

#[cfg(test)]
mod tests;
