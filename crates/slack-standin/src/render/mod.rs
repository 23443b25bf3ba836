//! What a person sees.

mod dates;
mod html;
mod mrkdwn;
mod text;
mod timeline;

pub use dates::Reader;
pub use text::message_as_text;

/// Text as a lock screen shows it.
pub(crate) fn plain_mrkdwn(text: &str) -> String {
    mrkdwn::plain(text, None)
}
