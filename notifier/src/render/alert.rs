//! Alerts.

use ronda_domain::attention::Actor;
use ronda_domain::event::{Change, Resolution};
use ronda_domain::record::{OccurrenceStatus, StaleReason, Subject};

use super::document::{Button, Document, Does, Line, Span, colour, dotted, line};
use super::escape::{is_blank, shortened, url};
use super::excerpt::telling_line;
use super::time::duration;
use super::voice::Voice;
use super::words::{Label, Over, Words, Wrong};
use crate::surface::{AlertEnd, AlertFacts, AlertTone, Late, Own};

/// What a locked phone shows of a line, in characters.
const LINE_CHARS: usize = 80;
/// The least of a name that is always shown.
const MIN_NAME_CHARS: usize = 24;
/// Longest environment in a headline.
const MAX_ENVIRONMENT_CHARS: usize = 20;
/// Longest name of somebody who looks after it, in characters.
const MAX_ACTOR_CHARS: usize = 40;
/// How much is shown of an error in a line, in characters.
const MAX_REASON_CHARS: usize = 160;

pub(super) fn alert(alert: &AlertFacts, own: &Own, voice: &Voice) -> Document {
    let words = voice.words();
    let (colour, mark) = match alert.tone() {
        AlertTone::Failed => (colour::RED, "🔴 "),
        AlertTone::Missed => (colour::ORANGE, "🟠 "),
        AlertTone::Stale | AlertTone::StartedLate => (colour::AMBER, "🟡 "),
        AlertTone::Over => (colour::GREEN, "🟢 "),
        AlertTone::Withdrawn => (colour::GREY, "⚪ "),
    };
    let what = match &alert.ended {
        Some(end) => words.over(&over(end, words)),
        None => words.wrong(wrong(&alert.now)).to_owned(),
    };
    let name = name(alert);
    let (shown, environment) = fitted(name, &what, &alert.summary.environment);
    let mut fields = fields(alert, words);
    if shown != name.trim() {
        fields.insert(0, (Label::Job, line![name]));
    }
    let because = because(&alert.now, words);
    let reason = match (&because, &alert.ended) {
        (Some((because, _)), Some(_)) => Some([line![words.before()], because.clone()].concat()),
        (Some((because, _)), None) => Some(because.clone()),
        (None, Some(_)) => None,
        (None, None) => usual_facts(&alert.now, &mut fields, words),
    };
    let mut paragraphs = Vec::new();
    match (own.late, own.late.and_then(Late::kept_by)) {
        _ if own.maybe_repeat => paragraphs.push(line![words.maybe_repeat()]),
        (_, Some(by)) => paragraphs.push(line![words.kept_back(by)]),
        (Some(Late::ByMillis(late_ms)), _) => paragraphs.push(line![words.told_late(&duration(late_ms, words))]),
        _ => {}
    }
    Document {
        headline: line![mark, Span::bold(shown), what, environment],
        lead: [lead(alert, words)].into_iter().chain(care(alert, words)).collect(),
        reason,
        colour: Some(colour),
        paragraphs,
        fields: fields.into_iter().map(|(label, value)| (words.label(label), value)).collect(),
        quote: alert.now.error.as_deref().filter(|error| !is_blank(error)).map(str::to_owned),
        reason_has_quote: because.is_some_and(|(_, is_all)| is_all),
        footer: footer(alert, words),
        links: links(alert, voice).into_iter().map(|(label, _, url)| link(label, url, words)).collect(),
        buttons: buttons(alert, voice),
        ..Document::default()
    }
}

/// What people call it; its id where they call it nothing.
fn name(alert: &AlertFacts) -> &str {
    if is_blank(&alert.summary.name) { alert.key.scheduler.as_str() } else { &alert.summary.name }
}

/// Name and environment, so that the first line is whole on a locked phone.
fn fitted(name: &str, what: &str, environment: &str) -> (String, String) {
    let left = LINE_CHARS.saturating_sub(3 + what.chars().count());
    let environment = shortened(environment, MAX_ENVIRONMENT_CHARS);
    let environment = if environment.is_empty() { environment } else { format!(" ({environment})") };
    match left.checked_sub(environment.chars().count()).filter(|left| *left >= MIN_NAME_CHARS) {
        Some(left) => (shortened(name, left), environment),
        None => (shortened(name, left.max(MIN_NAME_CHARS)), String::new()),
    }
}

/// How many, how bad, whose, since when.
fn lead(alert: &AlertFacts, words: &dyn Words) -> Line {
    let mut parts = Vec::new();
    if alert.streak > 1 && alert.ended.is_none() {
        parts.push(line![words.in_a_row(alert.streak)]);
    }
    if let Some(end) = &alert.ended {
        parts.push(line![words.lasted(&duration(end.at.millis_since(alert.opened_at), words))]);
    }
    parts.push(line![words.severity(alert.summary.severity)]);
    if !is_blank(&alert.summary.team) {
        parts.push(line![words.team(&alert.summary.team)]);
    }
    if alert.ended.is_none() {
        parts.push(words.since(alert.opened_at.into()));
    }
    dotted(parts)
}

/// What people said of it.
fn care(alert: &AlertFacts, words: &dyn Words) -> Vec<Line> {
    let acknowledged = alert.acknowledged();
    let acknowledged = acknowledged.map(|by| [line!["👀 "], words.acknowledged(&who(&by.by), by.at.into())].concat());
    let mute = alert.summary.mute.as_deref().filter(|_| alert.ended.is_none());
    let muted = mute.map(|mute| [line!["🔕 "], words.muted(mute.until.into(), &who(&mute.by))].concat());
    acknowledged.into_iter().chain(muted).collect()
}

/// What to call somebody.
pub(super) fn who(by: &Actor) -> String {
    let name = if is_blank(&by.name) { &by.id } else { &by.name };
    shortened(if is_blank(name) { "?" } else { name }, MAX_ACTOR_CHARS)
}

pub(super) fn wrong(change: &Change) -> Wrong {
    match (change.to, change.stale, &change.subject) {
        (OccurrenceStatus::Stale, _, Subject::Silence { .. }) => Wrong::NoHeartbeat,
        (OccurrenceStatus::Stale, Some(StaleReason::OverMaxRun), _) => Wrong::TooLong,
        (OccurrenceStatus::Stale, _, _) => Wrong::FellSilent,
        (OccurrenceStatus::Missed, _, _) => Wrong::NotStarted,
        (OccurrenceStatus::Running, _, _) => Wrong::StartedLate,
        (OccurrenceStatus::Succeeded, _, _) => Wrong::Succeeded,
        (OccurrenceStatus::Unknown, _, _) => Wrong::Unseen,
        (OccurrenceStatus::Cancelled, _, _) => Wrong::Cancelled,
        (OccurrenceStatus::Skipped, _, _) => Wrong::Skipped,
        (OccurrenceStatus::Expected, _, _) => Wrong::Expected,
        (OccurrenceStatus::Failed, _, _) => Wrong::Failed,
    }
}

pub(super) fn over(end: &AlertEnd, words: &dyn Words) -> Over {
    match &end.resolution {
        Resolution::Recovered { by } | Resolution::CompletedLate { by }
            if matches!(by.subject, Subject::Silence { .. }) =>
        {
            Over::Alive
        }
        Resolution::Recovered { .. } => Over::Recovered,
        Resolution::CompletedLate { by } if by.to == OccurrenceStatus::Cancelled => Over::Cancelled,
        Resolution::CompletedLate { by } => Over::CompletedLate(lateness(by, words)),
        Resolution::Paused => Over::Paused,
        Resolution::Deleted => Over::Removed,
    }
}

/// How long after its due time an occurrence ended.
fn lateness(change: &Change, words: &dyn Words) -> Option<String> {
    match (&change.subject, change.ended_at) {
        (Subject::Occurrence { due }, Some(ended)) => Some(duration(ended.millis_since(*due), words)),
        _ => None,
    }
}

/// Exit code and error in a line, and whether that is all of the error.
pub(super) fn because(change: &Change, words: &dyn Words) -> Option<(Line, bool)> {
    let error = change.error.as_deref().filter(|error| !is_blank(error));
    let code = change.exit_code.filter(|code| *code != 0).map(|code| words.exit_code(code));
    let telling = error.and_then(telling_line).map(|line| shortened(line, MAX_REASON_CHARS));
    let is_all = telling.as_deref() == error.map(str::trim);
    let line = match (code, telling) {
        (Some(code), Some(telling)) => line![code, ": ", Span::Code(telling)],
        (Some(code), None) => line![code],
        (None, Some(telling)) => line![Span::Code(telling)],
        (None, None) => return None,
    };
    Some((line, is_all))
}

/// Without words of its own: what is known of its times, in a line. They are not told again below.
fn usual_facts(now: &Change, fields: &mut Vec<(Label, Line)>, words: &dyn Words) -> Option<Line> {
    let wanted: &[Label] = match wrong(now) {
        Wrong::NotStarted => &[Label::Due, Label::Usually, Label::LastGood],
        Wrong::NoHeartbeat => &[Label::SilentSince],
        Wrong::StartedLate => &[Label::StartedLate, Label::Due, Label::Started],
        _ => &[Label::Started, Label::Usually, Label::LastGood],
    };
    let mut parts = Vec::new();
    for label in wanted {
        if let Some(at) = fields.iter().position(|(known, _)| known == label) {
            let (_, value) = fields.remove(at);
            // The headline has said what kind of lateness it is.
            let name = if *label == Label::StartedLate { Line::new() } else { line![words.label(*label), " "] };
            parts.push([name, value].concat());
        }
    }
    (!parts.is_empty()).then(|| dotted(parts))
}

fn fields(alert: &AlertFacts, words: &dyn Words) -> Vec<(Label, Line)> {
    let now = &alert.now;
    let told = |millis: i64| line![duration(millis, words)];
    let mut fields = Vec::new();
    match now.subject {
        Subject::Occurrence { due } => fields.push((Label::Due, line![due])),
        Subject::Run { started, .. } if now.started_at.is_none() => fields.push((Label::Started, line![started])),
        Subject::Run { .. } => {}
        Subject::Silence { since } => fields.push((Label::SilentSince, line![since])),
    }
    // Of a run whose start nobody told, its end says all.
    if let Some(started) = now.started_at.filter(|started| now.ended_at != Some(*started)) {
        fields.push((Label::Started, line![started]));
    }
    if let Some(late) = late_start(now, words) {
        fields.push((Label::StartedLate, line![words.after_due(&late)]));
    }
    fields.push(match now.ended_at {
        Some(ended) => (noticed(now), line![ended]),
        None => (Label::AlertSince, line![alert.opened_at]),
    });
    if let (OccurrenceStatus::Missed, Subject::Occurrence { due }) = (now.to, &now.subject) {
        fields.push((Label::OverdueBy, told(now.ended_at.unwrap_or(alert.opened_at).millis_since(*due))));
    }
    if let Some(end) = &alert.ended {
        fields.push((Label::OverSince, line![end.at]));
    }
    // Of what fell silent it is not known how long it took.
    if let Some(took) = now.duration_ms.filter(|took| *took > 0 && now.to == OccurrenceStatus::Failed) {
        fields.push((Label::Took, told(i64::try_from(took).unwrap_or(i64::MAX))));
    }
    fields.extend(as_usual(alert, words));
    if let Some(run) = &now.run_id {
        fields.push((Label::Run, vec![Span::Code(run.to_string())]));
    }
    if let Some(first) = began_with(alert, words) {
        fields.push((Label::BeganWith, first));
    }
    fields
}

/// How it went when it went well. What is over needs no comparison.
fn as_usual(alert: &AlertFacts, words: &dyn Words) -> Vec<(Label, Line)> {
    let Some(past) = alert.summary.past.filter(|_| alert.ended.is_none()) else { return Vec::new() };
    let usually = past.usual_ms.map(|usual| i64::try_from(usual).unwrap_or(i64::MAX));
    // A judgement that was taken back may have made this very run the last good one.
    let is_before = past.last_good_at < alert.now.subject.time();
    let last_good = is_before.then(|| (Label::LastGood, line![past.last_good_at]));
    usually.map(|usual| (Label::Usually, line![duration(usual, words)])).into_iter().chain(last_good).collect()
}

/// How late a start was that is called late: counted from the due time, as people do.
pub(super) fn late_start(change: &Change, words: &dyn Words) -> Option<String> {
    let grace_over_ms = change.late_start_ms.filter(|late| *late > 0)?;
    let late_ms = match (&change.subject, change.started_at) {
        (Subject::Occurrence { due }, Some(started)) => started.millis_since(*due),
        _ => grace_over_ms,
    };
    Some(duration(late_ms, words))
}

/// What opened an alert that says something else by now: the first error is often the one that says why.
fn began_with(alert: &AlertFacts, words: &dyn Words) -> Option<Line> {
    let (first, now) = (&alert.first, &alert.now);
    let is_same = first.to == now.to && (first.subject == now.subject || first.error == now.error);
    if is_same || alert.ended.is_some() {
        return None;
    }
    let mut spans = line![format!("{}, ", words.status(first.to)), first.ended_at.unwrap_or(alert.opened_at)];
    if let Some(line) = first.error.as_deref().and_then(telling_line) {
        spans.push(Span::text(format!(": {}", shortened(line, MAX_REASON_CHARS))));
    }
    Some(spans)
}

const fn noticed(change: &Change) -> Label {
    match change.to {
        OccurrenceStatus::Failed => Label::Failed,
        OccurrenceStatus::Stale => Label::Noticed,
        OccurrenceStatus::Missed => Label::Missed,
        _ => Label::Ended,
    }
}

fn footer(alert: &AlertFacts, words: &dyn Words) -> Line {
    let mut parts = vec![vec![Span::Code(alert.key.scheduler.as_str().to_owned())]];
    parts.extend(tenant_of(alert.key.tenant.as_str(), words));
    dotted(parts)
}

/// Where more is to be read: label, name for machines, address.
fn links(alert: &AlertFacts, voice: &Voice) -> Vec<(Label, &'static str, String)> {
    let runbook = Some(alert.summary.runbook_url.to_string()).filter(|url| !url.is_empty());
    let details = voice.details(alert.key.tenant.as_str(), alert.key.scheduler.as_str());
    let runbook = runbook.map(|url| (Label::Runbook, "runbook", url));
    runbook.into_iter().chain(details.map(|url| (Label::Details, "details", url))).collect()
}

fn link(label: Label, url: String, words: &dyn Words) -> Line {
    vec![Span::Link { label: words.label(label), url }]
}

/// What a reader can do about it: nothing more about what is over, and nothing twice.
fn buttons(alert: &AlertFacts, voice: &Voice) -> Vec<Button> {
    if !voice.interactive {
        return Vec::new();
    }
    let words = voice.words();
    let (tenant, scheduler) = (alert.key.tenant.as_str(), alert.key.scheduler.as_str());
    // Which alert: a message may be seen long after it, and the next one is not what was looked at.
    let value = serde_json::json!({"t": tenant, "s": scheduler, "o": alert.opened_at.as_millis()}).to_string();
    let send = |label, id| Button { label: words.label(label), id, does: Does::Send(value.clone()) };
    let mut buttons = Vec::new();
    if alert.ended.is_none() {
        if alert.acknowledged().is_none() {
            buttons.push(send(Label::Acknowledge, "acknowledge"));
        }
        buttons.push(send(Label::SnoozeHour, "snooze_1h"));
        buttons.push(send(Label::SnoozeMorning, "snooze_morning"));
    }
    let open = |(label, id, address): (Label, &'static str, String)| {
        url(&address)?;
        Some(Button { label: words.label(label), id, does: Does::Open(address) })
    };
    buttons.extend(links(alert, voice).into_iter().filter_map(open));
    buttons
}

/// Whose it is, where there is more than the tenant that everybody begins with.
pub(super) fn tenant_of(tenant: &str, words: &dyn Words) -> Option<Line> {
    (!matches!(tenant, "" | "default")).then(|| line![words.tenant(tenant)])
}
