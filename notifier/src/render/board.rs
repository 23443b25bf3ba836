//! The night's table and its summary, in words.

use jiff::tz::TimeZone;
use ronda_domain::record::OccurrenceStatus;

use super::document::{Document, Span, Table, colour, tenant};
use super::time::{duration, local, time_of_day};
use crate::surface::{BoardFacts, BoardRow, Counts, Doubts, SummaryFacts};

pub(crate) fn table(board: &BoardFacts) -> Document {
    let zone = zone(&board.timezone);
    let state = match (board.closed, board.counts.problems()) {
        (Some(_), _) => verdict(&board.counts, board.doubts),
        (None, 0) => "under way".to_owned(),
        (None, 1) => "1 problem so far".to_owned(),
        (None, problems) => format!("{problems} problems so far"),
    };
    let mut window = vec![Span::Time(board.start), Span::text(" to "), Span::Time(board.end)];
    if let Some(closed) = board.closed {
        window.extend([Span::text("  ·  closed "), Span::Time(closed)]);
    }
    if !board.rows.is_empty() {
        // A cell can't show a reader's own time.
        window.push(Span::text(format!("  ·  times in the table: {}", board.timezone)));
    }
    window.extend(tenant(&board.tenant));
    let rows = board.rows.iter().map(|row| cells(row, &zone)).collect();
    let header = vec!["Status", "Job", "Due", "Started", "Ended", "Done", "Detail"];
    let hidden = usize::try_from(board.hidden_problems.saturating_add(board.hidden_others)).unwrap_or(usize::MAX);
    Document {
        headline: vec![Span::text(format!("{}, {}: {state}", board.title, board.date))],
        paragraphs: paragraphs(&board.counts, board.jobs, board.doubts),
        table: Some(Table { caption: format!("{} {}", board.title, board.date), header, rows, hidden }),
        footer: window,
        ..Document::default()
    }
}

pub(crate) fn summary(summary: &SummaryFacts) -> Document {
    let clear = summary.counts.problems() == 0 && summary.counts.open() == 0 && !summary.doubts.any();
    let (mark, colour) = match (clear, summary.counts.problems()) {
        (true, _) => ("🟢", colour::GREEN),
        (false, 0) => ("🟡", colour::AMBER),
        (false, _) => ("🔴", colour::RED),
    };
    let zone = zone(&summary.timezone);
    let mut list: Vec<Vec<Span>> = summary.problems.iter().map(|row| problem(row, &zone)).collect();
    if summary.hidden_problems > 0 {
        list.push(vec![Span::text(format!("… and {} more jobs", summary.hidden_problems))]);
    }
    Document {
        headline: vec![
            Span::text(format!("{mark} ")),
            Span::bold(format!("{}, {}", summary.title, summary.date)),
            Span::text(format!(": {}", verdict(&summary.counts, summary.doubts))),
        ],
        colour: Some(colour),
        paragraphs: paragraphs(&summary.counts, summary.jobs, summary.doubts),
        list,
        footer: [Span::Time(summary.start), Span::text(" to "), Span::Time(summary.end)]
            .into_iter()
            .chain(tenant(&summary.tenant))
            .collect(),
        ..Document::default()
    }
}

fn paragraphs(counts: &Counts, jobs: u32, doubts: Doubts) -> Vec<Vec<Span>> {
    let mut paragraphs = vec![counts_line(counts, jobs)];
    if doubts.any() {
        let unknown = unknown(doubts);
        paragraphs.push(vec![Span::text(format!("Not everything is known of this night: {unknown}."))]);
    }
    paragraphs
}

/// What is not known of a night, in words.
fn unknown(doubts: Doubts) -> String {
    let mut parts = Vec::new();
    match doubts.batches {
        0 => {}
        1 => parts.push("one batch of events could not be read".to_owned()),
        many => parts.push(format!("{many} batches of events could not be read")),
    }
    if doubts.rows > 0 {
        parts.push(format!("{} stored rows could not be read", doubts.rows));
    }
    if doubts.untracked {
        parts.push("there were more occurrences than are tracked".to_owned());
    }
    parts.join(", ")
}

/// How a night ended. The all-clear is only for a night in which everything ended, nothing ended badly, and nothing was lost.
fn verdict(counts: &Counts, doubts: Doubts) -> String {
    match (ending(counts), doubts.any()) {
        (ending, false) => ending,
        (_, true) if counts.problems() == 0 && counts.open() == 0 => format!("ended, but {}", unknown(doubts)),
        (ending, true) => format!("{ending}, and {}", unknown(doubts)),
    }
}

fn ending(counts: &Counts) -> String {
    let open = match counts.open() {
        0 => String::new(),
        open => format!("{open} still open"),
    };
    match (counts.problems(), open.is_empty()) {
        (0, true) => "all clear".to_owned(),
        (0, false) => format!("ended with {open}"),
        (1, true) => "ended with 1 problem".to_owned(),
        (1, false) => format!("ended with 1 problem, {open}"),
        (problems, true) => format!("ended with {problems} problems"),
        (problems, false) => format!("ended with {problems} problems, {open}"),
    }
}

/// Counts, problems first; what is none is left out.
fn counts_line(counts: &Counts, jobs: u32) -> Vec<Span> {
    let named = [
        (counts.failed, "failed"),
        (counts.stale, "stale"),
        (counts.missed, "missed"),
        (counts.unknown, "unknown"),
        (counts.running, "running"),
        (counts.waiting, "waiting"),
        (counts.succeeded, "succeeded"),
        (counts.skipped, "skipped"),
        (counts.cancelled, "cancelled"),
    ];
    let mut spans = Vec::new();
    for (count, name) in named.into_iter().filter(|(count, _)| *count > 0) {
        if !spans.is_empty() {
            spans.push(Span::text("  ·  "));
        }
        spans.extend([Span::bold(count.to_string()), Span::text(format!(" {name}"))]);
    }
    let jobs = if jobs == 1 { "1 job".to_owned() } else { format!("{jobs} jobs") };
    spans.push(Span::text(format!("  ·  {} in all, of {jobs}", counts.total())));
    spans
}

fn cells(row: &BoardRow, zone: &TimeZone) -> Vec<String> {
    let time = |at: Option<_>| at.map(|at| time_of_day(at, zone)).unwrap_or_default();
    vec![
        status(row.status).to_owned(),
        row.name.to_string(),
        time_of_day(row.time, zone),
        time(row.started_at),
        // What was missed never ran.
        time(row.ended_at.filter(|_| row.status != OccurrenceStatus::Missed)),
        if row.total > 1 { format!("{} of {}", row.done, row.total) } else { String::new() },
        detail(row),
    ]
}

fn detail(row: &BoardRow) -> String {
    let mut details = Vec::new();
    if let (Some(_), Some(started)) = (row.late_start_ms.filter(|late| *late > 0), row.started_at) {
        details.push(format!("started {} after it was due", duration(started.millis_since(row.time))));
    }
    if let Some(code) = row.exit_code.filter(|code| *code != 0) {
        details.push(format!("exit code {code}"));
    }
    if let Some(error) = &row.error {
        details.push(error.to_string());
    }
    details.join(", ")
}

fn problem(row: &BoardRow, zone: &TimeZone) -> Vec<Span> {
    let mut item =
        vec![Span::bold(&*row.name), Span::text(format!(": {}, due {}", word(row.status), local(row.time, zone)))];
    let detail = detail(row);
    if !detail.is_empty() {
        item.push(Span::text(format!(", {detail}")));
    }
    // Together the items come to what the headline counts.
    if row.problems > 1 {
        item.push(Span::text(format!(" ({} problems)", row.problems)));
    }
    if let Some((open, due)) = row.open.filter(|_| row.problems > 0 || row.total > 1) {
        item.push(Span::text(format!("; {open} still open, due {}", local(due, zone))));
    }
    item
}

const fn status(status: OccurrenceStatus) -> &'static str {
    match status {
        OccurrenceStatus::Expected => "· waiting",
        OccurrenceStatus::Running => "▶ running",
        OccurrenceStatus::Succeeded => "✓ succeeded",
        OccurrenceStatus::Failed => "✗ failed",
        OccurrenceStatus::Cancelled => "– cancelled",
        OccurrenceStatus::Skipped => "– skipped",
        OccurrenceStatus::Missed => "✗ missed",
        OccurrenceStatus::Stale => "✗ stale",
        OccurrenceStatus::Unknown => "? unknown",
    }
}

/// A status in one word.
pub(crate) fn word(status: OccurrenceStatus) -> &'static str {
    self::status(status).split(' ').next_back().unwrap_or_default()
}

fn zone(name: &str) -> TimeZone {
    crate::config::zone(name).unwrap_or(TimeZone::UTC)
}
