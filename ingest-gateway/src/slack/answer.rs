//! What is answered to one person: a text, and the same as blocks. Pure. Only who asked sees it, and nothing in it mentions anybody.

use jiff::tz::TimeZone;
use ronda_domain::attention::{Acknowledgment, Actor};
use ronda_domain::record::OccurrenceStatus;
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use serde_json::{Value, json};

use super::command::USAGE;
use super::escape::mrkdwn;
use super::fleet::Job;
use super::when::shown;

/// Longest text of a section is 3000; a block is closed before it.
const MAX_SECTION_BYTES: usize = 2_800;
/// Most bytes of an answer's text, and of all its sections together.
const MAX_TEXT_BYTES: usize = 3_000;
pub(super) const MAX_ALL_BYTES: usize = 9_000;
/// Most characters of a name, and of what a job says of its error.
const NAME: usize = 150;
const ERROR: usize = 600;

/// An answer, as lines of `mrkdwn`; the first says it all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    lines: Vec<String>,
}

impl Answer {
    pub(super) fn new(first: String) -> Self {
        Self { lines: vec![first] }
    }

    pub(super) fn with(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }

    /// As Slack takes it, as an answer to a request and at a `response_url`: ephemeral, and beside the message it may be about.
    pub(crate) fn to_json(&self) -> Value {
        let block =
            |text: String| json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}});
        json!({
            "response_type": "ephemeral",
            "replace_original": false,
            "text": sections(&self.lines, MAX_TEXT_BYTES, MAX_TEXT_BYTES).swap_remove(0),
            "blocks": sections(&self.lines, MAX_SECTION_BYTES, MAX_ALL_BYTES).into_iter().map(block).collect::<Vec<_>>(),
        })
    }

    /// What can be written.
    pub(crate) fn help() -> Self {
        Self::new("*Ronda watches your jobs.* What you can ask it, here or in any channel:".to_owned()).with(usage())
    }

    /// One job.
    pub(crate) fn job(job: &Job, zone: &TimeZone) -> Self {
        let view = &job.view;
        let mut lines = Vec::new();
        if let Some(alert) = &view.alert {
            let streak = (alert.streak > 1).then(|| format!(" · {} in a row went wrong", alert.streak));
            lines.push(format!("Alert since {}{}", shown(alert.opened_at, zone), streak.unwrap_or_default()));
            lines.extend(alert.acknowledgment.as_ref().map(|earlier| on_it(earlier, zone)));
        }
        if let Some(last) = &view.last {
            let at = last.ended_at.or(last.started_at).map(|at| format!(" {}", shown(at, zone))).unwrap_or_default();
            let code = last.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
            lines.push(format!("Last: {}{at}{code}", word(last.status)));
            if let Some(error) = &last.error {
                lines.push(format!("&gt; {}", mrkdwn(error, ERROR)));
            }
        }
        if let Some(run) = view.open_runs.last() {
            let progress = run.progress.as_ref().map(|progress| match progress.total {
                Some(total) => format!(", {} of {total} done", progress.done),
                None => format!(", {} done", progress.done),
            });
            lines.push(format!("Running since {}{}", shown(run.started_at, zone), progress.unwrap_or_default()));
        }
        lines.extend(muted(job, zone));
        lines.extend(view.next_due.map(|due| format!("Next due {}", shown(due, zone))));
        let team = (!job.team.is_empty()).then(|| format!(" · Team {}", mrkdwn(&job.team, NAME)));
        lines.push(format!("Severity {}{}", severity(job.severity), team.unwrap_or_default()));
        lines.extend(link(&job.runbook_url).map(|url| format!("<{url}|Runbook>")));
        let icon = light(job.is_bad());
        Self::new(format!("{icon} *{}* `{}` is *{}*", mrkdwn(&job.name, NAME), job.id, view.status)).with(lines)
    }

    /// Nothing is called so.
    pub(crate) fn no_such_job(text: &str, near: &[String]) -> Self {
        let first = format!("There is no job “{}”.", mrkdwn(text, NAME));
        match near {
            [] => Self::new(first).with(["`/ronda status` shows what there is.".to_owned()]),
            near => Self::new(format!("{first} Did you mean {}?", one_of(near))),
        }
    }

    /// Several are called so.
    pub(crate) fn several(text: &str, ids: &[String]) -> Self {
        Self::new(format!("Several jobs are called “{}”; say which by its id: {}.", mrkdwn(text, NAME), one_of(ids)))
    }

    /// It is muted.
    pub(crate) fn muted(job: &Job, until: Timestamp, zone: &TimeZone) -> Self {
        Self::new(format!(
            "🔕 *{}* is muted until {}. `/ronda unmute {}` ends it earlier.",
            mrkdwn(&job.name, NAME),
            shown(until, zone),
            job.id
        ))
    }

    /// It is not muted: no more, or as it was.
    pub(crate) fn unmuted(job: &Job) -> Self {
        let more = if job.view.mute.is_some() { " any more" } else { "" };
        Self::new(format!("🔔 *{}* is not muted{more}.", mrkdwn(&job.name, NAME)))
    }

    /// Its alert is acknowledged. Whether and where that alert is told is the notifier's to know; a mute is known here.
    pub(crate) fn acknowledged(job: &Job, zone: &TimeZone) -> Self {
        Self::new(format!("👀 You are on *{}*; whoever is told of it sees that.", mrkdwn(&job.name, NAME)))
            .with(muted(job, zone))
    }

    /// Somebody else was faster, or the same person clicks again.
    pub(crate) fn somebody_is(job: &Job, earlier: &Acknowledgment, zone: &TimeZone) -> Self {
        Self::new(format!("*{}*: {}.", mrkdwn(&job.name, NAME), on_it(earlier, zone)))
    }

    /// It is durable, and nothing more is known.
    pub(crate) fn sent(job: &Job) -> Self {
        let name = mrkdwn(&job.name, NAME);
        let again = format!("`/ronda show {}` tells whether it is.", job.id);
        Self::new(format!("👀 Sent: that you are on *{name}* is kept, but not in effect yet. {again}"))
    }

    /// There is no alert to acknowledge, or another than the one that was seen.
    pub(crate) fn nothing_to_acknowledge(job: &Job, has_seen_one: bool, zone: &TimeZone) -> Self {
        let name = mrkdwn(&job.name, NAME);
        match &job.view.alert {
            Some(open) => {
                let since = shown(open.opened_at, zone);
                let ack = format!("`/ronda ack {}` says that you are on that one.", job.id);
                Self::new(format!("That alert is over; the present alert of *{name}* began at {since}. {ack}"))
            }
            None if has_seen_one => Self::new(format!("That alert is over: *{name}* is {}.", job.view.status)),
            None => Self::new(format!("*{name}* has no open alert: it is {}.", job.view.status)),
        }
    }

    /// It takes longer than a person should wait without a word.
    pub(crate) fn later() -> Self {
        Self::new("This takes longer than usual; the answer will appear here.".to_owned())
    }

    /// It could not be carried out now.
    pub(crate) fn not_now(what: &str) -> Self {
        Self::new(format!(
            "⚠️ That did not work: {} Nothing is certain to have changed; try again in a moment.",
            mrkdwn(what, 300)
        ))
    }

    /// Too many ask at once.
    pub(crate) fn busy() -> Self {
        Self::new("⚠️ Too many questions at once; nothing was done. Try again in a moment.".to_owned())
    }

    /// Somebody who may not ask.
    pub(crate) fn not_yours(what: &str) -> Self {
        Self::new(format!("⛔ {}", mrkdwn(what, 300)))
    }
}

pub(super) const fn light(is_bad: bool) -> &'static str {
    if is_bad { "🔴" } else { "🟢" }
}

/// What must not be overlooked is bold.
pub(super) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "*critical*",
    }
}

pub(super) fn usage() -> impl Iterator<Item = String> {
    USAGE.iter().map(|(command, what)| format!("• `{}` – {what}", mrkdwn(command, 80)))
}

fn muted(job: &Job, zone: &TimeZone) -> Option<String> {
    let mute = job.view.mute.as_ref()?;
    Some(format!("🔕 Muted until {} by {}", shown(mute.until, zone), person(&mute.by)))
}

fn on_it(earlier: &Acknowledgment, zone: &TimeZone) -> String {
    format!("👀 {} is on it since {}", person(&earlier.by), shown(earlier.at, zone))
}

pub(super) fn person(actor: &Actor) -> String {
    let name = if actor.name.is_empty() { &actor.id } else { &actor.name };
    mrkdwn(name, 60)
}

const fn word(status: OccurrenceStatus) -> &'static str {
    match status {
        OccurrenceStatus::Expected => "expected",
        OccurrenceStatus::Running => "running",
        OccurrenceStatus::Succeeded => "succeeded",
        OccurrenceStatus::Failed => "failed",
        OccurrenceStatus::Cancelled => "cancelled",
        OccurrenceStatus::Skipped => "skipped",
        OccurrenceStatus::Missed => "missed",
        OccurrenceStatus::Stale => "stale",
        OccurrenceStatus::Unknown => "unknown",
    }
}

fn one_of(ids: &[String]) -> String {
    // Ids have no character that would be markup.
    let quoted: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// An address that may be clicked.
fn link(url: &str) -> Option<String> {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'|' | b'`' | b'"');
    (is_web && url.len() <= 2_000 && url.bytes().all(plain)).then(|| url.replace('&', "&amp;"))
}

/// Lines put together into texts of at most `each` bytes, and at most `all` in sum; there is always one. A line is never cut: it is short.
fn sections(lines: &[String], each: usize, all: usize) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut left = all;
    for line in lines {
        let Some(rest) = left.checked_sub(line.len() + 1) else { break };
        left = rest;
        match texts.last_mut() {
            Some(last) if last.is_empty() => last.push_str(line),
            Some(last) if last.len() + 1 + line.len() <= each => {
                last.push('\n');
                last.push_str(line);
            }
            _ => texts.push(line.clone()),
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_seen_by_who_asked_and_mentions_nobody() {
        let nasty = "<!channel> @here `x`";
        for answer in
            [Answer::no_such_job(nasty, &[]), Answer::several(nasty, &["a".into(), "b".into()]), Answer::not_now(nasty)]
        {
            let json = answer.to_json();
            assert_eq!(json["response_type"], "ephemeral");
            let text = json.to_string();
            assert!(!text.contains("<!") && !text.contains("@here") && !text.contains("`x`"), "{text}");
        }
    }

    #[test]
    fn the_longest_answer_keeps_slacks_limits() {
        let answer = Answer::new("x".repeat(900)).with((0..100).map(|_| "é".repeat(400)));
        let json = answer.to_json();
        assert!(json["text"].as_str().unwrap().len() <= MAX_TEXT_BYTES);
        let blocks = json["blocks"].as_array().unwrap();
        assert!(blocks.len() < 50);
        let lengths = blocks.iter().map(|block| block["text"]["text"].as_str().unwrap().len());
        assert!(lengths.clone().all(|length| length <= 3_000) && lengths.sum::<usize>() <= MAX_ALL_BYTES);
    }

    #[test]
    fn names_that_are_near_are_offered() {
        let text = |answer: Answer| answer.to_json()["text"].as_str().unwrap().to_owned();
        assert_eq!(text(Answer::no_such_job("a", &["b".into()])), "There is no job “a”. Did you mean `b`?");
        let three = ["b".into(), "c".into(), "d".into()];
        assert_eq!(text(Answer::no_such_job("a", &three)), "There is no job “a”. Did you mean `b`, `c` or `d`?");
    }

    #[test]
    fn the_help_shows_every_command() {
        let text = Answer::help().to_json()["text"].as_str().unwrap().to_owned();
        for (usage, _) in USAGE {
            assert!(text.contains(&usage.replace('<', "&lt;").replace('>', "&gt;")), "{usage}: {text}");
        }
    }

    #[test]
    fn only_a_web_address_becomes_a_link() {
        assert_eq!(link("https://wiki.example/a?b=1&c=2").as_deref(), Some("https://wiki.example/a?b=1&amp;c=2"));
        for url in ["javascript:alert(1)", "https://a|b", "https://a> <!channel>", "https://a b", ""] {
            assert_eq!(link(url), None, "{url}");
        }
    }
}
