//! What stands below another message.

use ronda_domain::record::{OccurrenceStatus, Subject};

use super::alert::{because, late_start, over, who, wrong};
use super::document::{Document, Span, line};
use super::escape::{is_blank, shortened};
use super::time::duration;
use super::voice::Voice;
use crate::surface::{ReplyFacts, ReplyWhat, Worse};

/// Longest name in a reply, in characters: the message above has it whole.
const MAX_NAME_CHARS: usize = 40;

pub(super) fn reply(reply: &ReplyFacts, voice: &Voice) -> Document {
    let words = voice.words();
    let name = Span::bold(shortened(&reply.name, MAX_NAME_CHARS));
    let headline = match &reply.what {
        ReplyWhat::Escalated { change } if change.to == OccurrenceStatus::Running => {
            [line!["⬆️ "], words.started_late(name, late_start(change, words).as_deref())].concat()
        }
        ReplyWhat::Escalated { change } => {
            [line!["⬆️ "], words.escalated(name, wrong(change), change.ended_at.map(Span::Time))].concat()
        }
        ReplyWhat::Turned { before, change } => {
            let due = match change.subject {
                Subject::Occurrence { due } => Some(Span::Time(due)),
                _ => None,
            };
            let before_at = before.ended_at.map(Span::Time);
            [line!["↪️ "], words.turned(name, wrong(change), due, wrong(before), before_at)].concat()
        }
        ReplyWhat::Ended { opened_at, end } => {
            let lasted = duration(end.at.millis_since(*opened_at), words);
            [line!["✅ "], words.ended(name, &over(end, words), &lasted)].concat()
        }
        ReplyWhat::Acknowledged { by } => [line!["👀 "], words.acknowledged(&who(&by.by), by.at.into())].concat(),
        ReplyWhat::AcknowledgedInDigest { by } => {
            [line!["👀 ", name, ": "], words.acknowledged(&who(&by.by), by.at.into())].concat()
        }
        ReplyWhat::StillWrong { change, .. } => [line!["⏰ "], words.still_wrong(name, wrong(change))].concat(),
        ReplyWhat::Again { change, .. } => [line!["🔔 "], words.wrong_again(name, wrong(change))].concat(),
        ReplyWhat::Names { .. } => line![words.also_among()],
        ReplyWhat::Worse { .. } => line!["⬆️ ", words.worse_among()],
        ReplyWhat::AfterTheEnd { change, at } => words.after_the_end(name, wrong(change), (*at).into()),
    };
    let told = match &reply.what {
        ReplyWhat::Escalated { change }
        | ReplyWhat::AfterTheEnd { change, .. }
        | ReplyWhat::StillWrong { change, .. }
        | ReplyWhat::Again { change, .. } => Some(change),
        // The edit shows the new one's.
        ReplyWhat::Turned { before, .. } => Some(before),
        ReplyWhat::Ended { .. }
        | ReplyWhat::Names { .. }
        | ReplyWhat::Worse { .. }
        | ReplyWhat::Acknowledged { .. }
        | ReplyWhat::AcknowledgedInDigest { .. } => None,
    };
    let list = match &reply.what {
        ReplyWhat::Names { names } => names.iter().map(|name| line![Span::bold(&**name)]).collect(),
        ReplyWhat::Worse { alerts } => {
            let item = |alert: &Worse| line![Span::bold(&*alert.name), format!(": {}", words.status(alert.status))];
            alerts.iter().map(item).collect()
        }
        _ => Vec::new(),
    };
    let lead = match &reply.what {
        ReplyWhat::Ended { opened_at, end } => vec![words.span((*opened_at).into(), end.at.into())],
        ReplyWhat::StillWrong { since, .. } | ReplyWhat::Again { since, .. } => vec![words.since((*since).into())],
        _ => Vec::new(),
    };
    let because = told.and_then(|change| because(change, words));
    Document {
        headline,
        lead,
        quote: told.and_then(|change| change.error.as_deref()).filter(|error| !is_blank(error)).map(str::to_owned),
        reason_has_quote: because.as_ref().is_some_and(|(_, is_all)| *is_all),
        reason: because.map(|(line, _)| line),
        list,
        ..Document::default()
    }
}
