//! What a person sees.

mod text;

pub use text::message_as_text;
pub(crate) use text::mrkdwn as plain_mrkdwn;
