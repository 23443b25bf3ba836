//! Blind notices and the operator's notices.

use super::alert::tenant_of;
use super::document::{Document, Line, Span, colour, line};
use super::time::duration;
use super::voice::Voice;
use super::words::Trouble;
use crate::surface::{AdminFacts, BlindFacts};

/// Longest channel and code in a headline, in characters.
const MAX_CHANNEL_CHARS: usize = 16;
const MAX_CODE_CHARS: usize = 28;

pub(super) fn blind(blind: &BlindFacts, voice: &Voice) -> Document {
    let words = voice.words();
    let affected: u32 = blind.parts.iter().map(|(_, total)| *total).fold(0, u32::saturating_add);
    let lasted = duration(blind.gap.until.millis_since(blind.gap.from), words);
    let mut paragraphs = vec![line![format!("{} {}", words.blind_reason(blind.reason), words.blind_consequence())]];
    if !blind.schedulers.is_empty() {
        let more = usize::try_from(affected).unwrap_or(usize::MAX).saturating_sub(blind.schedulers.len());
        let mut names = blind.schedulers.join(", ");
        if more > 0 {
            names.push_str(&format!(" {}", words.more(u64::try_from(more).unwrap_or(u64::MAX))));
        }
        paragraphs.push(line![names]);
    }
    let mut list: Vec<Line> = Vec::new();
    if blind.unknown_total > 0 {
        paragraphs.push(line![words.ended_unknown(blind.unknown_total)]);
        list.extend(blind.unknown.iter().map(|(name, due)| words.due_at(Span::bold(&**name), (*due).into())));
        let more = usize::try_from(blind.unknown_total).unwrap_or(usize::MAX).saturating_sub(blind.unknown.len());
        if more > 0 {
            list.push(line![words.more(u64::try_from(more).unwrap_or(u64::MAX))]);
        }
    }
    let headline = [line!["👁️ "], words.blind(&lasted), line![format!(": {}", words.blind_concerned(affected))]];
    Document {
        headline: headline.concat(),
        lead: vec![words.span(blind.gap.from.into(), blind.gap.until.into())],
        colour: Some(colour::AMBER),
        paragraphs,
        list,
        footer: tenant_of(blind.tenant.as_str(), words).unwrap_or_default(),
        ..Document::default()
    }
}

pub(super) fn admin(admin: &AdminFacts, voice: &Voice) -> Document {
    let words = voice.words();
    let short = super::escape::shortened;
    let (channel, code) = match admin {
        AdminFacts::Destination { channel, code, .. } | AdminFacts::Refused { channel, code, .. } => {
            (short(channel, MAX_CHANNEL_CHARS), short(code, MAX_CODE_CHARS))
        }
        _ => (String::new(), String::new()),
    };
    let (trouble, at) = match admin {
        AdminFacts::Lost(lost) => (
            Trouble::LostFrames {
                count: lost.last.saturating_sub(lost.first).saturating_add(1),
                first: lost.first,
                last: lost.last,
                partition: lost.partition,
                gateway: lost.gateway,
            },
            lost.at,
        ),
        AdminFacts::Destination { at, .. } => (Trouble::Destination { channel: &channel, code: &code }, *at),
        AdminFacts::Refused { at, .. } => (Trouble::Refused { channel: &channel, code: &code }, *at),
        AdminFacts::UnreadableEvents { partition, at } => (Trouble::UnreadableEvents { partition: *partition }, *at),
        AdminFacts::UnreadableRows { rows, at } => (Trouble::UnreadableRows { rows: *rows }, *at),
        AdminFacts::Held(held) => (
            Trouble::ClockHeld {
                partition: held.partition,
                gateway: held.gateway,
                ahead: duration(held.clock.millis_since(held.wall), words),
                clock: held.clock.into(),
                wall: held.wall.into(),
            },
            held.wall,
        ),
    };
    Document {
        headline: [line!["🛠️ "], words.trouble(&trouble)].concat(),
        lead: vec![line![words.trouble_consequence(&trouble)]],
        colour: Some(colour::RED),
        paragraphs: vec![words.trouble_at(&trouble, at.into())],
        ..Document::default()
    }
}
