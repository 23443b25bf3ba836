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
use ronda_domain::time::Timestamp;

use serde_json::json;

use crate::channel::Content;
use crate::language::Language;
use crate::route::Mention;
use crate::surface::{FURTHER_PREFIX, Facts, Form, Surface};
use document::{Document, Span};

pub(crate) use digest::digest_room;
pub(crate) use escape::cap;
pub(crate) use voice::Voice;

/// What is told later than this, in milliseconds, says so: then it is no news of now.
const LATE_MS: i64 = 120_000;

/// Renders a surface as it is to be shown now. Before `told_from` it was not to be told, whenever it began.
pub(crate) fn surface(surface: &Surface, told_from: Option<Timestamp>, voice: &Voice) -> Content {
    content(&surface.facts, late_ms(surface, told_from), surface.form, voice)
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

/// By how much a surface was told late because it could not be told before; `None`: in time.
fn late_ms(surface: &Surface, told_from: Option<Timestamp>) -> Option<i64> {
    let began = match &surface.facts {
        // It came there when it became something else, or when the settings said so.
        Facts::Alert(_) if surface.key.starts_with(FURTHER_PREFIX) => Timestamp::from_millis(surface.created_wall_ms),
        Facts::Alert(alert) => alert.opened_at,
        Facts::Digest(digest) => digest.opened_at,
        _ => return None,
    };
    // One that was shown elsewhere comes late because its place was changed.
    let was_shown_elsewhere = !surface.parked.is_empty();
    let told = Timestamp::from_millis(surface.last_claim_wall_ms);
    let began = told_from.map_or(began, |from| from.max(began));
    Some(told.millis_since(began)).filter(|late| *late > LATE_MS && !was_shown_elsewhere && surface.generation == 0)
}

/// Renders facts in the given form.
pub(crate) fn content(facts: &Facts, late_ms: Option<i64>, form: Form, voice: &Voice) -> Content {
    let document = document_of(facts, late_ms, voice);
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

fn document_of(facts: &Facts, late_ms: Option<i64>, voice: &Voice) -> Document {
    match facts {
        Facts::Alert(alert) => alert::alert(alert, late_ms, voice),
        Facts::Reply(reply) => reply::reply(reply, voice),
        Facts::Board(facts) => board::table(facts, voice),
        Facts::Summary(facts) => board::summary(facts, voice),
        Facts::Blind(facts) => notice::blind(facts, voice),
        Facts::Admin(facts) => notice::admin(facts, voice),
        Facts::Digest(facts) => digest::digest(facts, late_ms, voice),
    }
}
