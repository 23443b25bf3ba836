//! Many alerts at once, or those that piled up while nothing could be told.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use ronda_domain::record::OccurrenceStatus;

use super::alert::{tenant_of, who};
use super::blocks::item_bytes;
use super::document::{Document, Line, Span, colour, dotted, line};
use super::escape::{is_blank, shortened};
use super::voice::Voice;
use super::words::Words;
use crate::language::Language;
use crate::surface::{DigestEntry, DigestFacts, Late};

/// What the entries of a digest may come to, in bytes as they are sent.
const MAX_DIGEST_BYTES: usize = 5_500;
/// How much longer a time may get: another zone's name, and seconds.
const MAX_TIME_GROWTH_BYTES: usize = 24;
/// What to say about one of them.
const ACKNOWLEDGE: &str = "/ronda ack <job>";
/// How many teams are told by name.
const MAX_TEAMS: usize = 4;
const MAX_TEAM_CHARS: usize = 20;
/// In the order in which they are counted.
const STATUSES: [OccurrenceStatus; 9] = [
    OccurrenceStatus::Failed,
    OccurrenceStatus::Stale,
    OccurrenceStatus::Missed,
    OccurrenceStatus::Unknown,
    OccurrenceStatus::Running,
    OccurrenceStatus::Expected,
    OccurrenceStatus::Succeeded,
    OccurrenceStatus::Skipped,
    OccurrenceStatus::Cancelled,
];

pub(super) fn digest(digest: &DigestFacts, late: Option<Late>, voice: &Voice) -> Document {
    let words = voice.words();
    let (total, over) = (digest.total(), digest.ended());
    let (mark, colour) = if over >= total { ("🟢 ", colour::GREEN) } else { ("🔴 ", colour::RED) };
    let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let since = digest.opened_at.into();
    let what = match (late, late.and_then(Late::kept_by)) {
        (_, Some(by)) => words.alerts_kept_back(by, count(total), since),
        (Some(_), None) => words.alerts_caught_up(count(total), since),
        (None, None) => words.alerts_at_once(count(total), since),
    };
    let mut headline = [line![mark], what].concat();
    if over >= total {
        headline.push(Span::text(words.all_over()));
    } else if over > 0 {
        headline.push(Span::text(words.of_them_over(count(over))));
    }
    let mut entries: Vec<_> = digest.entries.iter().take(digest_room(&digest.entries)).collect();
    entries.sort_by_key(|entry| entry.ended);
    let mut list = items(&entries, voice);
    let below = total.saturating_sub(entries.len());
    if below > 0 {
        list.push(line![words.named_in_thread(count(below))]);
    }
    let open: Vec<&DigestEntry> = digest.entries.iter().filter(|entry| !entry.ended).collect();
    let lead = [by_status(&open, words), by_team(&open, words)];
    Document {
        headline,
        lead: lead.into_iter().filter(|line| !line.is_empty()).collect(),
        colour: Some(colour),
        paragraphs: if digest.maybe_repeat { vec![line![words.maybe_repeat()]] } else { Vec::new() },
        list,
        footer: if voice.interactive && open.iter().any(|entry| entry.acknowledged().is_none()) {
            line![words.how_to_acknowledge(), Span::Code(ACKNOWLEDGE.to_owned())]
        } else {
            Line::new()
        },
        ..Document::default()
    }
}

/// An entry each. Who looks after one is named while there is room; that somebody does is marked in any case, and the thread names all.
fn items(entries: &[&DigestEntry], voice: &Voice) -> Vec<Line> {
    let words = voice.words();
    let mut list: Vec<Line> = entries.iter().map(|entry| digest_item(entry, words)).collect();
    let mut left = MAX_DIGEST_BYTES.saturating_sub(list.iter().map(|item| item_bytes(item, voice)).sum());
    for (item, entry) in list.iter_mut().zip(entries) {
        let Some(by) = entry.acknowledged() else { continue };
        let longer = dotted([item.clone(), words.acknowledged(&who(&by.by), by.at.into())]);
        let growth = item_bytes(&longer, voice).saturating_sub(item_bytes(item, voice)) + MAX_TIME_GROWTH_BYTES;
        if let Some(rest) = left.checked_sub(growth) {
            left = rest;
            *item = longer;
        }
    }
    list
}

fn by_status(open: &[&DigestEntry], words: &dyn Words) -> Line {
    let count = |status: OccurrenceStatus| open.iter().filter(|entry| entry.status == status).count();
    let counts = STATUSES.into_iter().map(|status| (count(status), status)).filter(|(count, _)| *count > 0);
    dotted(counts.map(|(count, status)| {
        let number = words.number(u64::try_from(count).unwrap_or(u64::MAX));
        line![Span::bold(number), format!(" {}", words.status(status))]
    }))
}

/// The teams that have most of them.
fn by_team(open: &[&DigestEntry], words: &dyn Words) -> Line {
    let mut teams: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in open.iter().filter(|entry| !is_blank(&entry.team)) {
        *teams.entry(&entry.team).or_default() += 1;
    }
    let mut teams: Vec<(&str, u64)> = teams.into_iter().collect();
    teams.sort_by_key(|(_, count)| Reverse(*count));
    dotted(
        teams
            .into_iter()
            .take(MAX_TEAMS)
            .map(|(team, count)| line![words.of_team(count, &shortened(team, MAX_TEAM_CHARS))]),
    )
}

fn digest_item(entry: &DigestEntry, words: &dyn Words) -> Line {
    let mark = match (entry.ended, entry.acknowledged()) {
        (true, _) => "✅ ",
        (false, Some(_)) => "👀 ",
        (false, None) => "",
    };
    let status = format!(": {}, ", words.status(entry.status));
    let mut item = line![mark, Span::bold(&*entry.name), status, entry.subject.time()];
    if !is_blank(&entry.team) {
        item.push(Span::text(format!(" ({})", entry.team)));
    }
    // An alert's key is `a/<tenant>/…`.
    if let Some(tenant) = entry.surface.split('/').nth(1).and_then(|tenant| tenant_of(tenant, words)) {
        item = dotted([item, tenant]);
    }
    item
}

/// How many of a digest's entries it has room for by name, whatever becomes of them and in whatever language it is told: always the
/// first ones, so that others may be named elsewhere.
pub(crate) fn digest_room(entries: &[DigestEntry]) -> usize {
    let mut left = MAX_DIGEST_BYTES;
    let fits = |entry: &&DigestEntry| match left.checked_sub(widest(entry) + MAX_TIME_GROWTH_BYTES) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    entries.iter().take_while(fits).count()
}

/// What an entry may take at most, in bytes.
fn widest(entry: &DigestEntry) -> usize {
    let voices =
        Language::ALL.map(|language| Voice { language, zone: TimeZone::UTC, details_url: None, interactive: false });
    let of = |voice: &Voice| {
        let words = voice.words();
        let status = STATUSES.into_iter().max_by_key(|status| words.status(*status).len());
        let status = status.unwrap_or(entry.status);
        // That somebody looks after it is said where there is room left; its mark is within what a time may grow.
        let widest = DigestEntry { ended: true, status, ..entry.clone() };
        item_bytes(&digest_item(&widest, words), voice)
    };
    voices.iter().map(of).max().unwrap_or(MAX_DIGEST_BYTES)
}
