//! Facts become content: pure functions, in two steps. First a [`Document`], which says what is shown in which order,
//! without markup and in one language; then its forms: Slack's blocks with their limits and escaping, and plain text.

mod alert;
mod blocks;
mod board;
mod digest;
mod document;
mod escape;
mod excerpt;
#[cfg(test)]
mod hostile_tests;
mod notice;
mod plain;
mod reply;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod voice;
mod words;

use jiff::tz::TimeZone;
use serde_json::json;

use crate::channel::Content;
use crate::language::Language;
use crate::route::Mention;
use crate::surface::{Facts, Form, Own, Surface};
use document::{Document, Span};

pub(crate) use digest::digest_room;
pub(crate) use escape::cap;
pub(crate) use voice::Voice;

/// Renders a surface as it is to be shown now.
pub(crate) fn surface(surface: &Surface, voice: &Voice) -> Content {
    content(&surface.facts, &surface.own, surface.form, voice)
}

/// Puts those whom it calls below a message that is posted. An edit has none: it would call nobody, and say so.
pub(crate) fn call(content: &mut Content, mentions: &[Mention]) {
    if mentions.is_empty() {
        return;
    }
    let markup = mentions.iter().map(Mention::markup).collect::<Vec<_>>().join(" ");
    // Where there is a colour, the text stands above the blocks; else it is only what a notification shows.
    if content.colour.is_none() && !content.blocks.is_empty() {
        content.blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": markup}}));
    }
    content.text = format!("{}\n{markup}", content.text);
}

/// Renders facts in the given form.
pub(crate) fn content(facts: &Facts, own: &Own, form: Form, voice: &Voice) -> Content {
    let document = document_of(facts, own, voice);
    let is_text = form == Form::Text;
    Content {
        text: if is_text { text::whole(&document, voice) } else { text::fallback(&document, voice) },
        blocks: if is_text { Vec::new() } else { blocks::blocks(&document, form, voice) },
        colour: if is_text { None } else { document.colour },
        plain: plain::text(&document, voice),
    }
}

/// What a name takes of the reply that lists it, in bytes.
pub(crate) fn name_bytes(name: &str) -> usize {
    let voice = Voice { language: Language::default(), zone: TimeZone::UTC, details_url: None, interactive: false };
    blocks::item_bytes(&[Span::bold(name)], &voice)
}

fn document_of(facts: &Facts, own: &Own, voice: &Voice) -> Document {
    match facts {
        Facts::Alert(alert) => alert::alert(alert, own, voice),
        Facts::Reply(reply) => reply::reply(reply, voice),
        Facts::Board(facts) => board::table(facts, voice),
        Facts::Summary(facts) => board::summary(facts, voice),
        Facts::Blind(facts) => notice::blind(facts, voice),
        Facts::Admin(facts) => notice::admin(facts, voice),
        Facts::Digest(facts) => digest::digest(facts, own.late, voice),
    }
}
