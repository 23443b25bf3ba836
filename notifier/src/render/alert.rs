//! Alerts and the replies below them, in words.

use ronda_domain::event::{Change, Resolution};
use ronda_domain::record::{OccurrenceStatus, StaleReason, Subject};
use ronda_domain::spec::Severity;

use super::board::word;
use super::document::{Document, Span, colour, tenant};
use super::escape::cap;
use super::time::duration;
use crate::surface::{AlertEnd, AlertFacts, AlertTone, ReplyFacts, ReplyWhat};

/// How much is shown of the error with which an alert began, in bytes.
const MAX_FIRST_ERROR_BYTES: usize = 200;

pub(crate) fn alert(alert: &AlertFacts) -> Document {
    let (colour, mark) = match alert.tone() {
        AlertTone::Failed => (colour::RED, "🔴"),
        AlertTone::Missed => (colour::ORANGE, "🟠"),
        AlertTone::Stale | AlertTone::StartedLate => (colour::AMBER, "🟡"),
        AlertTone::Over => (colour::GREEN, "🟢"),
        AlertTone::Withdrawn => (colour::GREY, "⚪"),
    };
    let what = match &alert.ended {
        Some(end) => ended(end),
        None => wrong(&alert.now).to_owned(),
    };
    let mut headline = vec![Span::text(format!("{mark} ")), Span::bold(&*alert.summary.name), Span::text(what)];
    if !alert.summary.environment.is_empty() {
        headline.push(Span::text(format!(" ({})", alert.summary.environment)));
    }
    let mut paragraphs = Vec::new();
    if alert.maybe_repeat {
        paragraphs.push(maybe_repeat());
    }
    Document {
        headline,
        colour: Some(colour),
        paragraphs,
        fields: fields(alert),
        quote: alert.now.error.as_deref().filter(|error| !error.trim().is_empty()).map(str::to_owned),
        footer: footer(alert),
        ..Document::default()
    }
}

/// For what is posted again without knowing whether it is visible.
pub(super) fn maybe_repeat() -> Vec<Span> {
    vec![Span::text("This may be a repeat: what was posted before could not be looked up.")]
}

/// What is wrong, to follow a name.
pub(crate) fn wrong(change: &Change) -> &'static str {
    match (change.to, change.stale, &change.subject) {
        (OccurrenceStatus::Stale, _, Subject::Silence { .. }) => " sends no heartbeat",
        (OccurrenceStatus::Stale, Some(StaleReason::OverMaxRun), _) => " runs too long",
        (OccurrenceStatus::Stale, _, _) => " fell silent",
        (OccurrenceStatus::Missed, _, _) => " did not start",
        (OccurrenceStatus::Running, _, _) => " started late",
        (OccurrenceStatus::Succeeded, _, _) => " succeeded",
        (OccurrenceStatus::Unknown, _, _) => " ended unseen",
        (OccurrenceStatus::Cancelled, _, _) => " was cancelled",
        (OccurrenceStatus::Skipped, _, _) => " was skipped",
        (OccurrenceStatus::Expected, _, _) => " is expected",
        (OccurrenceStatus::Failed, _, _) => " failed",
    }
}

fn ended(end: &AlertEnd) -> String {
    match &end.resolution {
        Resolution::Recovered { by } | Resolution::CompletedLate { by }
            if matches!(by.subject, Subject::Silence { .. }) =>
        {
            " is alive again".to_owned()
        }
        Resolution::Recovered { .. } => " recovered".to_owned(),
        Resolution::CompletedLate { by } if by.to == OccurrenceStatus::Cancelled => " was cancelled".to_owned(),
        Resolution::CompletedLate { by } => match lateness(by) {
            Some(late) => format!(" completed, {late} after it was due"),
            None => " completed late".to_owned(),
        },
        Resolution::Paused => ": alert closed, the scheduler was paused".to_owned(),
        Resolution::Deleted => ": alert closed, the scheduler was removed".to_owned(),
    }
}

/// How long after its due time an occurrence ended.
fn lateness(change: &Change) -> Option<String> {
    match (&change.subject, change.ended_at) {
        (Subject::Occurrence { due }, Some(ended)) => Some(duration(ended.millis_since(*due))),
        _ => None,
    }
}

fn fields(alert: &AlertFacts) -> Vec<(&'static str, Vec<Span>)> {
    let now = &alert.now;
    let mut fields = Vec::new();
    match now.subject {
        Subject::Occurrence { due } => fields.push(("Due", vec![Span::Time(due)])),
        Subject::Run { started, .. } if now.started_at.is_none() => fields.push(("Started", vec![Span::Time(started)])),
        Subject::Run { .. } => {}
        Subject::Silence { since } => fields.push(("Silent since", vec![Span::Time(since)])),
    }
    // Of a run whose start nobody told, its end says all.
    if let Some(started) = now.started_at.filter(|started| now.ended_at != Some(*started)) {
        fields.push(("Started", vec![Span::Time(started)]));
    }
    if let Some(late) = late_start(now) {
        fields.push(("Started late", vec![Span::text(late)]));
    }
    fields.push(match now.ended_at {
        Some(ended) => (noticed(now), vec![Span::Time(ended)]),
        None => ("Alert since", vec![Span::Time(alert.opened_at)]),
    });
    if let (OccurrenceStatus::Missed, Subject::Occurrence { due }) = (now.to, &now.subject) {
        let waited = now.ended_at.unwrap_or(alert.opened_at).millis_since(*due);
        fields.push(("Overdue by", vec![Span::text(duration(waited))]));
    }
    if let Some(end) = &alert.ended {
        fields.push(("Over since", vec![Span::Time(end.at)]));
        fields.push(("Lasted", vec![Span::text(duration(end.at.millis_since(alert.opened_at)))]));
    }
    if let Some(code) = now.exit_code {
        fields.push(("Exit code", vec![Span::text(code.to_string())]));
    }
    if let Some(took) = now.duration_ms.filter(|took| *took > 0) {
        fields.push(("Took", vec![Span::text(duration(i64::try_from(took).unwrap_or(i64::MAX)))]));
    }
    if let Some(run) = &now.run_id {
        fields.push(("Run", vec![Span::Code(run.to_string())]));
    }
    if let Some(first) = began_with(alert) {
        fields.push(("Began with", first));
    }
    if alert.streak > 1 {
        fields.push(("In a row", vec![Span::text(alert.streak.to_string())]));
    }
    if !alert.summary.team.is_empty() {
        fields.push(("Team", vec![Span::text(&*alert.summary.team)]));
    }
    fields.push(("Severity", vec![Span::text(severity(alert.summary.severity))]));
    fields
}

/// How late a start was that is called late: counted from the due time, as people do.
fn late_start(change: &Change) -> Option<String> {
    let grace_over_ms = change.late_start_ms.filter(|late| *late > 0)?;
    let late_ms = match (&change.subject, change.started_at) {
        (Subject::Occurrence { due }, Some(started)) => started.millis_since(*due),
        _ => grace_over_ms,
    };
    Some(format!("{} after it was due", duration(late_ms)))
}

/// What opened an alert that is about something else by now: the first error is often the one that says why.
fn began_with(alert: &AlertFacts) -> Option<Vec<Span>> {
    let (first, now) = (&alert.first, &alert.now);
    if first.subject == now.subject || (first.to, &first.error) == (now.to, &now.error) {
        return None;
    }
    let mut spans = vec![Span::text(format!("{}, ", word(first.to)))];
    spans.push(Span::Time(first.ended_at.unwrap_or(alert.opened_at)));
    if let Some(line) = first.error.as_deref().and_then(|error| error.lines().find(|line| !line.trim().is_empty())) {
        spans.push(Span::text(format!(": {}", cap(line, MAX_FIRST_ERROR_BYTES))));
    }
    Some(spans)
}

const fn noticed(change: &Change) -> &'static str {
    match change.to {
        OccurrenceStatus::Failed => "Failed",
        OccurrenceStatus::Stale => "Found stale",
        OccurrenceStatus::Missed => "Missed",
        _ => "Ended",
    }
}

const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

fn footer(alert: &AlertFacts) -> Vec<Span> {
    let mut footer = vec![Span::Code(alert.key.scheduler.to_string())];
    footer.extend(tenant(alert.key.tenant.as_str()));
    if !alert.summary.runbook_url.is_empty() {
        footer.push(Span::text("  ·  "));
        footer.push(Span::Link { label: "Runbook", url: alert.summary.runbook_url.to_string() });
    }
    footer
}

pub(crate) fn reply(reply: &ReplyFacts) -> Document {
    let headline = match &reply.what {
        ReplyWhat::Escalated { change } => {
            let mut line = vec![Span::text("⬆️ "), Span::bold(&*reply.name), Span::text(wrong(change))];
            match (change.to, late_start(change)) {
                (OccurrenceStatus::Running, Some(late)) => line.push(Span::text(format!(", {late}"))),
                (_, _) => line.extend(change.ended_at.into_iter().flat_map(|at| [Span::text(" at "), Span::Time(at)])),
            }
            line
        }
        ReplyWhat::Turned { before, change } => {
            let mut line = vec![Span::text("↪️ "), Span::bold(&*reply.name), Span::text(wrong(change))];
            if let Subject::Occurrence { due } = change.subject {
                line.extend([Span::text(", due "), Span::Time(due)]);
            }
            line.push(Span::text(format!("; before that it{}", wrong(before))));
            line.extend(before.ended_at.into_iter().flat_map(|at| [Span::text(", "), Span::Time(at)]));
            line
        }
        ReplyWhat::Ended { opened_at, end } => vec![
            Span::text("✅ "),
            Span::bold(&*reply.name),
            Span::text(ended(end)),
            Span::text(format!(" after {} (", duration(end.at.millis_since(*opened_at)))),
            Span::Time(*opened_at),
            Span::text(" to "),
            Span::Time(end.at),
            Span::text(")"),
        ],
        ReplyWhat::Names { .. } => vec![Span::text("Also among these alerts:")],
        ReplyWhat::AfterTheEnd { change, at } => {
            vec![
                Span::text("After the end: "),
                Span::bold(&*reply.name),
                Span::text(wrong(change)),
                Span::text(", "),
                Span::Time(*at),
            ]
        }
    };
    let quote = match &reply.what {
        ReplyWhat::Escalated { change } => change.error.as_deref().map(str::to_owned),
        // The edit shows the new one's.
        ReplyWhat::Turned { before, .. } => before.error.as_deref().map(str::to_owned),
        _ => None,
    };
    let list = match &reply.what {
        ReplyWhat::Names { names } => names.iter().map(|name| vec![Span::bold(&**name)]).collect(),
        _ => Vec::new(),
    };
    Document { headline, quote, list, ..Document::default() }
}
