//! What a person sees, held against what they are to see.

use std::collections::BTreeMap;

use ronda_slack_standin::{Message, SeenKind, message_as_text};

use crate::model::{Alert, Model, Night};
use crate::stage::{ADMIN, PARTITIONS, Stage, key_of};

/// How a complaint begins that something is there more than once.
pub(crate) const TWICE: &str = "seen more than once";

/// What is to be seen, and what is not as it should be with it.
struct View<'a> {
    model: &'a Model,
    messages: Vec<Message>,
    /// All texts that anybody ever saw.
    ever: Vec<String>,
    complaints: Vec<String>,
}

/// Everything that is not as it should be.
pub(crate) fn complaints(stage: &Stage, model: &Model, night: &Night) -> Vec<String> {
    let slack = stage.stand_in.slack();
    let ever = slack.seen().into_iter().filter(|seen| seen.kind != SeenKind::Deleted).map(|seen| seen.text).collect();
    let mut view = View { model, messages: stage.messages(), ever, complaints: Vec::new() };
    view.each_once(&slack.messages(ADMIN));
    for (key, alert) in &model.alerts {
        view.alert(key, alert);
    }
    view.jobs();
    view.night(night);
    view.complaints
}

impl View<'_> {
    fn complain(&mut self, what: impl Into<String>) {
        self.complaints.push(what.into());
    }

    fn is_deleted(&self, key: &str) -> bool {
        self.model.deleted.contains(key)
    }

    /// Whether a person deleted a digest, or a reply that named those for which one had no room.
    fn names_may_be_gone(&self) -> bool {
        !self.model.deleted_digests.is_empty() || self.model.deleted.iter().any(|key| key.contains("/names-"))
    }

    /// Those whose key begins so.
    fn of(&self, prefix: &str) -> Vec<Message> {
        self.messages.iter().filter(|message| key_of(message).starts_with(prefix)).cloned().collect()
    }

    fn below(&self, parent: &Message) -> Vec<Message> {
        let parent = Some(parent.ts.as_str());
        self.messages.iter().filter(|message| message.thread_ts.as_deref() == parent).cloned().collect()
    }

    /// No message is there twice, none without a key, and no reply outside of its thread.
    fn each_once(&mut self, elsewhere: &[Message]) {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        for message in self.messages.iter().chain(elsewhere) {
            *known.entry(key_of(message)).or_default() += 1;
            if key_of(message).starts_with("r/") != message.thread_ts.is_some() {
                wrong.push(format!("a reply stands in the channel, or a message in a thread: {:?}", message.text));
            }
        }
        // Of a broken destination each partition tells the operator by itself.
        let most = |key: &str| if key.starts_with("admin/") { PARTITIONS as usize } else { 1 };
        let twice = known.iter().filter(|(key, count)| **count > most(key));
        wrong.extend(twice.map(|(key, count)| format!("{TWICE}: {key}, {count} times")));
        self.complaints.extend(wrong);
    }

    /// One alert, where it has a message of its own: its last state, and its replies each once.
    fn alert(&mut self, key: &str, alert: &Alert) {
        let job = &alert.job;
        // A digest that a person deletes takes along what was folded into it and not seen yet.
        let may_be_unseen = !self.model.deleted_digests.is_empty();
        if !may_be_unseen && !self.ever.iter().any(|text| text.contains(&format!("*{job}*"))) {
            self.complain(format!("lost: nobody ever saw anything of {job}"));
        }
        let Some(message) = self.of(key).into_iter().find(|message| key_of(message) == key) else { return };
        let first = message.text.lines().next().unwrap_or_default();
        let wanted = format!("*{job}*{}", alert.state());
        if !first.contains(&wanted) {
            self.complain(format!("an old state: {first:?} in place of {wanted:?}"));
        }
        if let Some(wanted) = alert.in_a_row().filter(|wanted| !message.text.contains(wanted)) {
            self.complain(format!("an old state: {:?} without {wanted:?}", message.text));
        }
        if self.is_deleted(key) {
            return;
        }
        let replies = self.below(&message);
        for mark in ["⬆️", "↪️", "✅"] {
            let due = alert.replies.iter().filter(|reply| reply.mark == mark);
            let (most, owed) = (due.clone().count(), due.filter(|reply| reply.is_owed).count());
            let there = replies.iter().filter(|reply| reply.text.starts_with(mark)).count();
            let deleted = self.model.deleted.iter().filter(|key| key.starts_with("r/")).count();
            if there > most {
                self.complain(format!("{TWICE}: {there} replies {mark} below {job}, of {most}"));
            } else if there + deleted < owed {
                self.complain(format!("lost: {there} replies {mark} below {job}, of {owed}"));
            }
        }
    }

    /// Each job's alerts, wherever they are told: in messages of their own, or in digests.
    fn jobs(&mut self) {
        let mut alerts: BTreeMap<&str, Vec<(&str, &Alert)>> = BTreeMap::new();
        for (key, alert) in &self.model.alerts {
            alerts.entry(&alert.job).or_default().push((key, alert));
        }
        let digests = self.of("d/");
        for (job, alerts) in alerts {
            let own = self.of("a/").iter().filter(|message| message.text.contains(&format!("*{job}*"))).count();
            let lines = digests.iter().flat_map(|digest| lines_of(digest, job)).collect::<Vec<String>>();
            let below = digests.iter().flat_map(|digest| self.below(digest));
            let named = below.filter(|reply| reply.text.starts_with("Also among")).map(|reply| {
                let text = message_as_text(&reply);
                text.lines().filter(|line| line.ends_with(&format!("*{job}*"))).count()
            });
            let there = own + lines.len() + named.sum::<usize>();
            let is_deleted = |key: &str| self.is_deleted(key);
            let of_digests = self.model.deleted_digests.iter().filter(|text| text.contains(&format!("*{job}*")));
            let deleted = alerts.iter().filter(|(key, _)| is_deleted(key)).count() + of_digests.count();
            if there > alerts.len() {
                self.complain(format!("{TWICE}: {there} messages tell of {} alerts of {job}", alerts.len()));
            } else if there + deleted < alerts.len() && !self.names_may_be_gone() {
                self.complain(format!("lost: {there} messages tell of {} alerts of {job}", alerts.len()));
            }
            // Which of several alerts a line is about can't be seen.
            if let ([line], [(_, alert)]) = (&lines[..], &alerts[..]) {
                let is_current = line.contains(&format!("*{job}*: {}", alert.word()));
                if !is_current || line.contains("✅") != alert.is_over() {
                    self.complain(format!("an old state in a digest: {line:?}"));
                }
            }
        }
    }

    /// The night: its table, exact; its summary, once and true; and what came after the end.
    fn night(&mut self, night: &Night) {
        let Some(closed) = &self.model.closed else { return };
        let (tables, summaries) = (self.of("b/"), self.of("n/"));
        let deleted = |prefix: &str| self.model.deleted.iter().any(|key| key.starts_with(prefix));
        let (no_table, no_summary) = (deleted("b/"), deleted("n/"));
        match &tables[..] {
            [table] => {
                self.table(table, night);
                let late = |message: &Message| message.text.starts_with("After the end: ");
                let late: Vec<Message> = self.below(table).into_iter().filter(late).collect();
                let wanted = self.model.after_the_end.len();
                if !no_table && !deleted("r/") && late.len() != wanted {
                    let what = if late.len() > wanted { TWICE } else { "lost" };
                    self.complain(format!("{what}: {} replies after the end, of {wanted}", late.len()));
                }
            }
            [] if no_table => {}
            [] => self.complain("lost: no table"),
            // Complained of already.
            _ => {}
        }
        match &summaries[..] {
            [summary] => {
                let text = summary.text.replace('*', "");
                if !text.contains(&format!(": {}", closed.verdict)) || !text.contains(&closed.counts) {
                    self.complain(format!("the summary is wrong: {text:?} in place of {closed:?}"));
                }
            }
            [] if no_summary => {}
            [] => self.complain("lost: no summary"),
            _ => {}
        }
        let says_clear = |text: &&String| text.contains("🟢 *Night watch") && text.contains("all clear");
        if !closed.is_clear && self.ever.iter().any(|text| says_clear(&text)) {
            self.complain("it was called all clear, and was not");
        }
    }

    fn table(&mut self, table: &Message, night: &Night) {
        let (text, whole) = (table.text.replace('*', ""), message_as_text(table));
        if !text.contains(&format!(": {}", night.verdict)) || !text.contains(&night.counts) {
            self.complain(format!("the table's counts are wrong: {text:?} in place of {night:?}"));
        }
        for (job, word) in &night.rows {
            let rows: Vec<&str> =
                whole.lines().filter(|line| line.contains('|') && line.contains(job.as_str())).collect();
            if !matches!(rows[..], [row] if row.contains(word)) {
                self.complain(format!("the table's row of {job} is not {word}: {rows:?}"));
            }
        }
    }
}

fn lines_of(digest: &Message, job: &str) -> Vec<String> {
    let text = message_as_text(digest);
    text.lines().filter(|line| line.contains(&format!("*{job}*: "))).map(str::to_owned).collect()
}
