//! Blind notices, the operator's notices and storm digests, in words.

use ronda_domain::record::OccurrenceStatus;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::BlindReason;

use super::alert::maybe_repeat;
use super::blocks::item_bytes;
use super::board::word;
use super::document::{Document, Span, colour, tenant};
use super::time::duration;
use crate::surface::{AdminFacts, BlindFacts, DigestEntry, DigestFacts};

/// What the entries of a digest may come to, in bytes as they are sent.
const MAX_DIGEST_BYTES: usize = 5_500;
/// How much longer a time may get: another zone's name, and seconds.
const MAX_TIME_GROWTH_BYTES: usize = 24;

pub(crate) fn blind(blind: &BlindFacts) -> Document {
    let affected: u32 = blind.parts.iter().map(|(_, total)| *total).sum();
    let reason = match blind.reason {
        BlindReason::NoPulse => "No gateway was running, or none could reach the queue.",
        BlindReason::ClockStep => "A gateway's clock was set to another time.",
        BlindReason::LostFrames => "The queue lost messages that it had confirmed.",
    };
    let mut paragraphs = vec![vec![
        Span::text(format!(
            "{reason} What was waited for then gets its time again; what can't be known ends as unknown. "
        )),
        Span::text(match affected {
            0 => "No job was due or running.".to_owned(),
            1 => "1 job was due or running.".to_owned(),
            many => format!("{many} jobs were due or running."),
        }),
    ]];
    if !blind.schedulers.is_empty() {
        let more = usize::try_from(affected).unwrap_or(usize::MAX).saturating_sub(blind.schedulers.len());
        let mut names = blind.schedulers.join(", ");
        if more > 0 {
            names.push_str(&format!(" and {more} more"));
        }
        paragraphs.push(vec![Span::text(names)]);
    }
    let mut list: Vec<Vec<Span>> = Vec::new();
    if blind.unknown_total > 0 {
        paragraphs.push(vec![Span::text(format!("{} ended as unknown:", blind.unknown_total))]);
        list.extend(
            blind.unknown.iter().map(|(name, due)| vec![Span::bold(&**name), Span::text(", due "), Span::Time(*due)]),
        );
        let more = usize::try_from(blind.unknown_total).unwrap_or(usize::MAX).saturating_sub(blind.unknown.len());
        if more > 0 {
            list.push(vec![Span::text(format!("… and {more} more"))]);
        }
    }
    Document {
        headline: vec![
            Span::text("👁️ "),
            Span::bold("Ronda was blind"),
            Span::text(" from "),
            Span::Time(blind.gap.from),
            Span::text(" to "),
            Span::Time(blind.gap.until),
            Span::text(format!(" ({})", duration(blind.gap.until.millis_since(blind.gap.from)))),
        ],
        colour: Some(colour::AMBER),
        paragraphs,
        list,
        footer: tenant(blind.tenant.as_str()).into_iter().collect(),
        ..Document::default()
    }
}

pub(crate) fn admin(admin: &AdminFacts) -> Document {
    match admin {
        AdminFacts::Lost(lost) => {
            let count = lost.last.saturating_sub(lost.first).saturating_add(1);
            Document {
                headline: vec![
                    Span::text("🛠️ "),
                    Span::bold("The queue lost frames"),
                    Span::text(format!(
                        ": {count} confirmed frame(s) of gateway {:016x} never came out of partition {}.",
                        lost.gateway, lost.partition
                    )),
                ],
                colour: Some(colour::RED),
                paragraphs: vec![vec![
                    Span::text(format!("Numbers {} to {}, seen missing at ", lost.first, lost.last)),
                    Span::Time(lost.at),
                    Span::text(
                        ". Jobs that reported in them are treated as unheard. Check that queue and store are of one data \
                         directory, and the queue's disk and its fsync.",
                    ),
                ]],
                ..Document::default()
            }
        }
        AdminFacts::Destination { channel, code, at } => trouble(
            "Messages can't be delivered",
            format!(" to {channel}: {code}"),
            *at,
            ". They are kept and will be delivered once that is put right.",
        ),
        AdminFacts::Refused { channel, code, at } => trouble(
            "A message was refused",
            format!(" by {channel} in every form: {code}"),
            *at,
            ". It is kept and tried again every hour; the log names it.",
        ),
        AdminFacts::UnreadableEvents { partition, at } => trouble(
            "Events could not be read",
            format!(": partition {partition} of the event queue is damaged"),
            *at,
            ". They were passed over, so an alert may be missing, and the open nights will not be called clear. The jobs' history \
             is not concerned.",
        ),
        AdminFacts::UnreadableRows { rows, at } => trouble(
            "The notifier's rows could not be read",
            format!(": {rows} of them were passed over"),
            *at,
            ". A message that they belong to may be posted once more, and the open nights will not be called clear.",
        ),
        AdminFacts::Held(held) => Document {
            headline: vec![
                Span::text("🛠️ "),
                Span::bold("Judgement stands still"),
                Span::text(format!(" in partition {}: its clock is at ", held.partition)),
                Span::Time(held.clock),
                Span::text(", and a gateway's clock says "),
                Span::Time(held.wall),
                Span::text("."),
            ],
            colour: Some(colour::RED),
            paragraphs: vec![vec![Span::text(format!(
                "Reports are taken, but nothing is called missed, stale or late for {}. Check the clock of gateway {:016x}; \
                 what to do is in docs/operations.md, \"A clock that is ahead\".",
                duration(held.clock.millis_since(held.wall)),
                held.gateway
            ))]],
            ..Document::default()
        },
    }
}

fn trouble(what: &str, where_and_why: String, at: Timestamp, consequence: &str) -> Document {
    Document {
        headline: vec![Span::text("🛠️ "), Span::bold(what), Span::text(where_and_why)],
        colour: Some(colour::RED),
        paragraphs: vec![vec![Span::text("Since "), Span::Time(at), Span::text(consequence)]],
        ..Document::default()
    }
}

fn digest_item(entry: &DigestEntry) -> Vec<Span> {
    let mut item = vec![Span::text(if entry.ended { "✅ " } else { "" }), Span::bold(&*entry.name)];
    item.push(Span::text(format!(": {}, ", word(entry.status))));
    item.push(Span::Time(entry.subject.time()));
    if !entry.team.is_empty() {
        item.push(Span::text(format!(" ({})", entry.team)));
    }
    // An alert's key is `a/<tenant>/…`.
    item.extend(entry.surface.split('/').nth(1).and_then(tenant));
    item
}

/// How many of a digest's entries it has room for by name, whatever becomes of them: always the first ones, so that others may be
/// named elsewhere.
pub(crate) fn digest_room(entries: &[DigestEntry]) -> usize {
    let mut left = MAX_DIGEST_BYTES;
    let mut fits = |entry: &&DigestEntry| {
        let widest = DigestEntry { ended: true, status: OccurrenceStatus::Succeeded, ..(*entry).clone() };
        match left.checked_sub(item_bytes(&digest_item(&widest)) + MAX_TIME_GROWTH_BYTES) {
            Some(rest) => left = rest,
            None => return false,
        }
        true
    };
    entries.iter().take_while(|entry| fits(entry)).count()
}

pub(crate) fn digest(digest: &DigestFacts) -> Document {
    let (total, over) = (digest.total(), digest.ended());
    let (mark, colour) = if over == total { ("🟢", colour::GREEN) } else { ("🔴", colour::RED) };
    let mut headline =
        vec![Span::text(format!("{mark} ")), Span::bold(format!("{total} alerts at once")), Span::text(" since ")];
    headline.push(Span::Time(digest.opened_at));
    if over > 0 {
        headline.push(Span::text(format!(", {over} of them over")));
    }
    let mut entries: Vec<_> = digest.entries.iter().take(digest_room(&digest.entries)).collect();
    entries.sort_by_key(|entry| entry.ended);
    let mut list: Vec<Vec<Span>> = entries.iter().map(|entry| digest_item(entry)).collect();
    let below = total.saturating_sub(entries.len());
    if below > 0 {
        list.push(vec![Span::text(format!("… and {below} more, named in the thread"))]);
    }
    let paragraphs = if digest.maybe_repeat { vec![maybe_repeat()] } else { Vec::new() };
    Document { headline, colour: Some(colour), paragraphs, list, ..Document::default() }
}
