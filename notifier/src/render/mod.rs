//! Facts become content: pure functions, in two steps. First a [`Document`], which says what is shown in which order,
//! without markup; then its forms: Slack's blocks with their limits and escaping, and plain text.

mod alert;
mod blocks;
mod board;
mod document;
mod escape;
mod notice;
mod plain;
#[cfg(test)]
mod tests;
mod time;

use jiff::tz::TimeZone;

use crate::channel::Content;
use crate::surface::{Facts, Form};
use document::{Document, Span};

pub(crate) use escape::cap;
pub(crate) use notice::digest_room;

/// Renders facts in the given form. `zone` is used where a reader's own zone can't be.
pub(crate) fn content(facts: &Facts, form: Form, zone: &TimeZone) -> Content {
    let document = document_of(facts);
    Content {
        text: if form == Form::Text { blocks::whole(&document, zone) } else { blocks::fallback(&document, zone) },
        blocks: if form == Form::Text { Vec::new() } else { blocks::blocks(&document, form, zone) },
        colour: if form == Form::Text { None } else { document.colour },
        plain: plain::text(&document, zone),
    }
}

/// What a name takes of the reply that lists it, in bytes.
pub(crate) fn name_bytes(name: &str) -> usize {
    blocks::item_bytes(&[Span::bold(name)])
}

fn document_of(facts: &Facts) -> Document {
    match facts {
        Facts::Alert(alert) => alert::alert(alert),
        Facts::Reply(reply) => alert::reply(reply),
        Facts::Board(facts) => board::table(facts),
        Facts::Summary(facts) => board::summary(facts),
        Facts::Blind(facts) => notice::blind(facts),
        Facts::Admin(facts) => notice::admin(facts),
        Facts::Digest(facts) => notice::digest(facts),
    }
}
