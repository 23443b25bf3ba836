//! The evidence: what was seen, scenario by replicas and store.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use ronda_slack_standin::{Message, SeenKind, Slack};

use crate::bed::On;

/// Most messages of a cell that are written down; the others are counted.
const MAX_MESSAGES: usize = 10;
/// Longest message, in characters.
const MAX_CHARS: usize = 110;

type Cell = (u32, &'static str, usize, On);

static CELLS: Mutex<BTreeMap<Cell, String>> = Mutex::new(BTreeMap::new());

/// What stands in a channel in the end, message by message, and how many were deleted.
pub(crate) fn channel(slack: &Slack, channel: &str) -> Vec<String> {
    let messages = slack.messages(channel);
    let line = |message: &Message| {
        let indent = if message.thread_ts.is_some() { "↳ " } else { "" };
        let edited = if message.edits > 0 { " (edited)" } else { "" };
        format!("{indent}{} {}{edited}", time_of(&message.ts), short(&message.notification()))
    };
    let parents = messages.iter().filter(|message| message.thread_ts.is_none());
    let below = |parent: &Message| {
        let ts = parent.ts.clone();
        messages.iter().filter(move |message| message.thread_ts.as_ref() == Some(&ts)).map(line)
    };
    let mut lines: Vec<String> =
        parents.flat_map(|parent| std::iter::once(line(parent)).chain(below(parent)).collect::<Vec<_>>()).collect();
    let more = lines.len().saturating_sub(MAX_MESSAGES);
    lines.truncate(MAX_MESSAGES);
    if more > 0 {
        lines.push(format!("… and {more} more"));
    }
    let seen = slack.seen();
    let deleted = seen.iter().filter(|seen| seen.channel == channel && seen.kind == SeenKind::Deleted).count();
    if deleted > 0 {
        lines.push(format!("({deleted} deleted)"));
    }
    lines
}

/// When it was posted, in Jakarta.
fn time_of(ts: &str) -> String {
    const AHEAD_SECONDS: u64 = 7 * 3_600;
    let seconds: u64 = ts.split('.').next().unwrap().parse().unwrap();
    let seconds = (seconds + AHEAD_SECONDS) % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// A message's first two lines, in one.
pub(crate) fn short(text: &str) -> String {
    let lines: Vec<&str> = text.lines().take(2).collect();
    let text = lines.join(" · ").replace('*', "").replace("  ·  ", " · ");
    let cut: String = text.chars().take(MAX_CHARS).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}

/// Notes what a person saw. With `RONDA_SCENARIOS_TABLE=<file>` a Markdown table of all is written there.
pub(crate) fn note((scenario, what): (u32, &'static str), (replicas, on): (usize, On), seen: &[String]) {
    let Ok(file) = std::env::var("RONDA_SCENARIOS_TABLE") else { return };
    let seen = if seen.is_empty() { "nothing".to_owned() } else { seen.join("<br>") };
    let mut cells = CELLS.lock();
    cells.insert((scenario, what, replicas, on), seen.replace('|', "\\|"));
    let mut table = "| scenario | replicas | store | what the person saw |\n|---|---|---|---|\n".to_owned();
    for ((scenario, what, replicas, on), seen) in cells.iter() {
        table.push_str(&format!("| {scenario} {what} | {replicas} | {} | {seen} |\n", on.name()));
    }
    std::fs::write(file, table).unwrap();
}
