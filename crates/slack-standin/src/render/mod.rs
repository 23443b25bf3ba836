//! What a person sees.

mod text;

pub use text::message_as_text;
