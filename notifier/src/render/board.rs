//! The night's table and its summary.

use jiff::tz::TimeZone;
use ronda_domain::record::OccurrenceStatus;

use super::alert::tenant_of;
use super::document::{Document, Line, Span, Table, colour, dotted, line};
use super::escape::{is_blank, shortened};
use super::excerpt::telling_line;
use super::time::{abbreviation, duration, time_of_day};
use super::voice::Voice;
use super::words::{Column, Words};
use crate::surface::{BoardFacts, BoardRow, Counts, Doubts, NightChange, SummaryFacts};

/// Longest title in a headline, in characters.
const MAX_TITLE_CHARS: usize = 26;
/// How many names are told where the table can't be seen, and how long they may be.
const MAX_GLANCE: usize = 3;
const MAX_GLANCE_CHARS: usize = 28;
/// Longest name, team and detail in the table, in characters.
const MAX_NAME_CHARS: usize = 60;
const MAX_TEAM_CHARS: usize = 20;
const MAX_DETAIL_CHARS: usize = 90;

pub(super) fn table(board: &BoardFacts, voice: &Voice) -> Document {
    let words = voice.words();
    let state = match (board.closed, board.counts.problems()) {
        (Some(_), _) => words.verdict(&board.counts, board.doubts),
        (None, 0) => words.under_way().to_owned(),
        (None, problems) => words.problems_so_far(problems),
    };
    let mut lead = vec![counts_line(&board.counts, board.jobs, words)];
    lead.extend(change_line(board.change.as_ref(), words));
    let mut footer = vec![words.span(board.start.into(), board.end.into())];
    footer.extend(board.closed.map(|closed| words.closed(closed.into())));
    footer.extend(tenant_of(&board.tenant, words));
    Document {
        headline: line![format!("{}, {}: {state}", shortened(&board.title, MAX_TITLE_CHARS), board.date)],
        lead,
        glance: glance(&board.rows, board.hidden_problems, words),
        paragraphs: doubts_line(board.doubts, words).into_iter().collect(),
        table: Some(table_of(board, &voice.zone, words)),
        footer: dotted(footer),
        ..Document::default()
    }
}

pub(super) fn summary(summary: &SummaryFacts, voice: &Voice) -> Document {
    let words = voice.words();
    let clear = summary.counts.problems() == 0 && summary.counts.open() == 0 && !summary.doubts.any();
    let (mark, colour) = match (clear, summary.counts.problems()) {
        (true, _) => ("🟢 ", colour::GREEN),
        (false, 0) => ("🟡 ", colour::AMBER),
        (false, _) => ("🔴 ", colour::RED),
    };
    let mut list: Vec<Line> = summary.problems.iter().map(|row| problem(row, words)).collect();
    if summary.hidden_problems > 0 {
        list.push(line![words.more_jobs(summary.hidden_problems.into())]);
    }
    let mut lead = vec![counts_line(&summary.counts, summary.jobs, words)];
    lead.extend(glance(&summary.problems, summary.hidden_problems, words));
    let mut paragraphs: Vec<Line> = doubts_line(summary.doubts, words).into_iter().collect();
    paragraphs.extend(change_line(summary.change.as_ref(), words));
    let mut footer = vec![words.span(summary.start.into(), summary.end.into())];
    footer.extend(tenant_of(&summary.tenant, words));
    let title = format!("{}, {}", shortened(&summary.title, MAX_TITLE_CHARS), summary.date);
    Document {
        headline: line![mark, Span::bold(title), format!(": {}", words.verdict(&summary.counts, summary.doubts)),],
        lead,
        colour: Some(colour),
        paragraphs,
        list,
        footer: dotted(footer),
        ..Document::default()
    }
}

fn doubts_line(doubts: Doubts, words: &dyn Words) -> Option<Line> {
    doubts.any().then(|| line![words.doubts(doubts)])
}

fn change_line(change: Option<&NightChange>, words: &dyn Words) -> Option<Line> {
    let change = change.filter(|change| change.new + change.again + change.fixed > 0)?;
    Some(line![words.change(change)])
}

/// Counts, problems first; what is none is left out.
fn counts_line(counts: &Counts, jobs: u32, words: &dyn Words) -> Line {
    let named = [
        (counts.failed, OccurrenceStatus::Failed),
        (counts.stale, OccurrenceStatus::Stale),
        (counts.missed, OccurrenceStatus::Missed),
        (counts.unknown, OccurrenceStatus::Unknown),
        (counts.running, OccurrenceStatus::Running),
        (counts.waiting, OccurrenceStatus::Expected),
        (counts.succeeded, OccurrenceStatus::Succeeded),
        (counts.skipped, OccurrenceStatus::Skipped),
        (counts.cancelled, OccurrenceStatus::Cancelled),
    ];
    let named = named.into_iter().filter(|(count, _)| *count > 0);
    let counted = named
        .map(|(count, status)| line![Span::bold(words.number(count.into())), format!(" {}", words.status(status))]);
    dotted(counted.chain([line![words.in_all(counts.total(), jobs)]]))
}

/// The first names with what is wrong with them, and how many more there are.
fn glance(rows: &[BoardRow], hidden: u32, words: &dyn Words) -> Option<Line> {
    let mut bad = rows.iter().filter(|row| row.problems > 0);
    let told = |row: &BoardRow| {
        line![Span::bold(shortened(&row.name, MAX_GLANCE_CHARS)), format!(" {}", words.status(row.status))]
    };
    let mut parts: Vec<Line> = bad.by_ref().take(MAX_GLANCE).map(told).collect();
    let more = u64::try_from(bad.count()).unwrap_or_default() + u64::from(hidden);
    if more > 0 {
        parts.push(line![words.more(more)]);
    }
    (!parts.is_empty()).then(|| dotted(parts))
}

fn table_of(board: &BoardFacts, zone: &TimeZone, words: &dyn Words) -> Table {
    let column = |column| words.column(column).to_owned();
    // A cell can't show a reader's own time, so it is said whose it is.
    let due = format!("{} ({})", words.column(Column::Due), abbreviation(board.start, zone));
    let (status, job, team) = (column(Column::Status), column(Column::Job), column(Column::Team));
    let (started, ended) = (column(Column::Started), column(Column::Ended));
    let table = Table {
        caption: format!("{} {}", shortened(&board.title, MAX_TITLE_CHARS), board.date),
        header: vec![status, job, team, due, started, ended, column(Column::Done), column(Column::Detail)],
        rows: board.rows.iter().map(|row| cells(row, zone, words)).collect(),
        hidden: usize::try_from(board.hidden_problems.saturating_add(board.hidden_others)).unwrap_or(usize::MAX),
        why: Some(7),
    };
    table.without_empty_columns()
}

fn cells(row: &BoardRow, zone: &TimeZone, words: &dyn Words) -> Vec<String> {
    let time = |at: Option<_>| at.map(|at| time_of_day(at, zone)).unwrap_or_default();
    vec![
        format!("{} {}", symbol(row.status), words.status(row.status)),
        if is_blank(&row.name) { "–".to_owned() } else { shortened(&row.name, MAX_NAME_CHARS) },
        shortened(&row.team, MAX_TEAM_CHARS),
        time_of_day(row.time, zone),
        time(row.started_at),
        // What was missed never ran.
        time(row.ended_at.filter(|_| row.status != OccurrenceStatus::Missed)),
        if row.total > 1 { words.done_of(row.done, row.total) } else { String::new() },
        shortened(&details(row, words).join(", "), MAX_DETAIL_CHARS),
    ]
}

/// What went wrong, and whether it did so before.
fn details(row: &BoardRow, words: &dyn Words) -> Vec<String> {
    let mut details = Vec::new();
    if let (Some(_), Some(started)) = (row.late_start_ms.filter(|late| *late > 0), row.started_at) {
        let late = words.after_due(&duration(started.millis_since(row.time), words));
        details.push(format!("{} {late}", words.label(super::words::Label::Started).to_lowercase()));
    }
    if row.again {
        details.push(words.again().to_owned());
    }
    if let Some(code) = row.exit_code.filter(|code| *code != 0) {
        details.push(words.exit_code(code));
    }
    details.extend(row.error.as_deref().and_then(telling_line).map(str::to_owned));
    details
}

fn problem(row: &BoardRow, words: &dyn Words) -> Line {
    let mut item = words.problem(Span::bold(&*row.name), row.status, row.time.into());
    item.extend(details(row, words).into_iter().map(|detail| Span::text(format!(", {detail}"))));
    // Together the items come to what the headline counts.
    if row.problems > 1 {
        item.push(Span::text(words.several_problems(row.problems)));
    }
    if let Some((open, due)) = row.open.filter(|_| row.problems > 0 || row.total > 1) {
        item.extend(words.still_open(open, due.into()));
    }
    item
}

const fn symbol(status: OccurrenceStatus) -> &'static str {
    match status {
        OccurrenceStatus::Expected => "·",
        OccurrenceStatus::Running => "▶",
        OccurrenceStatus::Succeeded => "✓",
        OccurrenceStatus::Failed | OccurrenceStatus::Missed | OccurrenceStatus::Stale => "✗",
        OccurrenceStatus::Cancelled | OccurrenceStatus::Skipped => "–",
        OccurrenceStatus::Unknown => "?",
    }
}
