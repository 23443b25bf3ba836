//! What a person sees, held against what they are to see.

use std::collections::BTreeMap;

use ronda_slack_standin::{Message, Seen, SeenKind, message_as_text};

use crate::model::{Alert, Model, Night};
use crate::stage::{ADMIN, CALLED, CHANNEL, FURTHER, PARTITIONS, Stage, key_in, key_of};

/// How a complaint begins that something is there more than once.
pub(crate) const TWICE: &str = "seen more than once";

/// What is to be seen, and what is not as it should be with it.
struct View<'a> {
    model: &'a Model,
    channel: &'static str,
    messages: Vec<Message>,
    /// All texts that anybody ever saw.
    ever: Vec<String>,
    /// By message of the channel, whether its post called somebody, and all that it ever said.
    called: Vec<(bool, String)>,
    complaints: Vec<String>,
}

/// Everything that is not as it should be.
pub(crate) fn complaints(stage: &Stage, model: &Model, night: &Night) -> Vec<String> {
    let slack = stage.stand_in.slack();
    let seen = slack.seen();
    let called = called(&seen);
    let of_channel = |seen: &Seen| seen.channel == CHANNEL && seen.kind != SeenKind::Deleted;
    let ever = seen.into_iter().filter(of_channel).map(|seen| seen.text).collect();
    let mut view = View { model, channel: CHANNEL, messages: stage.messages(), ever, called, complaints: Vec::new() };
    view.each_once(&slack.messages(ADMIN));
    view.alerts();
    view.night(night);
    let mut complaints = view.complaints;
    let seen = slack.seen().into_iter().filter(|seen| seen.channel == FURTHER && seen.kind != SeenKind::Deleted);
    let (ever, messages) = (seen.map(|seen| seen.text).collect(), slack.messages(FURTHER));
    let mut view = View { model, channel: FURTHER, messages, ever, called: Vec::new(), complaints: Vec::new() };
    view.each_once(&[]);
    view.alerts();
    complaints.extend(view.complaints.into_iter().map(|complaint| format!("{complaint} (in {FURTHER})")));
    complaints
}

/// Of each message in the channel: whether its post called somebody, and all that it ever said.
fn called(seen: &[Seen]) -> Vec<(bool, String)> {
    let mut called: BTreeMap<&str, (bool, String)> = BTreeMap::new();
    for seen in seen.iter().filter(|seen| seen.channel == CHANNEL) {
        if seen.kind == SeenKind::Posted {
            called.insert(&seen.ts, (seen.text.contains(&format!("@{CALLED}")), String::new()));
        }
        if let Some((_, said)) = called.get_mut(&*seen.ts) {
            said.push_str(&seen.text);
            said.push('\n');
        }
    }
    called.into_values().collect()
}

impl View<'_> {
    fn complain(&mut self, what: impl Into<String>) {
        self.complaints.push(what.into());
    }

    fn alerts(&mut self) {
        let model = self.model;
        for (key, alert) in model.alerts.iter().filter(|(_, alert)| alert.is_shown_in(self.channel)) {
            self.alert(&key_in(self.channel, key), alert);
        }
        self.jobs();
    }

    fn is_deleted(&self, key: &str) -> bool {
        self.model.deleted.contains(key)
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
        if alert.is_owed() && !self.ever.iter().any(|text| text.contains(&format!("*{job}*"))) {
            self.complain(format!("lost: nobody ever saw anything of {job}"));
        }
        self.called_for(alert);
        let Some(message) = self.of(key).into_iter().find(|message| key_of(message) == key) else { return };
        let first = message.text.lines().next().unwrap_or_default();
        let wanted = format!("*{job}*{}", alert.state());
        if !first.contains(&wanted) {
            self.complain(format!("an old state: {first:?} in place of {wanted:?}"));
        }
        if let Some(wanted) = alert.in_a_row().filter(|wanted| !message.text.contains(wanted)) {
            self.complain(format!("an old state: {:?} without {wanted:?}", message.text));
        }
        if alert.is_acknowledged() && !message.text.contains("👀 Acked by Ratna, ") {
            self.complain(format!("nobody is said to look after {job}: {:?}", message.text));
        }
        if self.is_deleted(key) {
            return;
        }
        let replies = self.below(&message);
        for mark in ["⬆️", "↪️", "✅", "👀", "⏰"] {
            let due = alert.replies.iter().filter(|reply| reply.mark == mark);
            let (most, owed) = (due.clone().count(), due.filter(|reply| reply.is_owed(self.channel)).count());
            let there = replies.iter().filter(|reply| reply.text.starts_with(mark)).count();
            let deleted = self.model.deleted.iter().filter(|key| key.starts_with("r/")).count();
            if there > most {
                self.complain(format!("{TWICE}: {there} replies {mark} below {job}, of {most}"));
            } else if there + deleted < owed {
                self.complain(format!("lost: {there} replies {mark} below {job}, of {owed}"));
            }
        }
    }

    /// Of what is wrong still, whoever is to be called was called by a message that tells of it.
    fn called_for(&mut self, alert: &Alert) {
        let name = format!("*{}*", alert.job);
        let mut telling = self.called.iter().filter(|(_, said)| said.contains(&name)).peekable();
        // Those for which a digest has no room are named below it.
        if alert.is_called_for() && telling.peek().is_some() && !telling.any(|(called, _)| *called) {
            self.complain(format!("nobody was called for {}", alert.job));
        }
    }

    /// Each job's alerts, wherever they are told: in messages of their own, or in digests.
    fn jobs(&mut self) {
        let mut alerts: BTreeMap<&str, Vec<(&str, &Alert)>> = BTreeMap::new();
        for (key, alert) in self.model.alerts.iter().filter(|(_, alert)| alert.is_shown_in(self.channel)) {
            alerts.entry(&alert.job).or_default().push((key, alert));
        }
        let digests = self.of("d/");
        for (job, alerts) in alerts {
            let own = self
                .of("a/")
                .into_iter()
                .chain(self.of("x/"))
                .filter(|message| message.text.contains(&format!("*{job}*")))
                .count();
            let lines = digests.iter().flat_map(|digest| lines_of(digest, job)).collect::<Vec<String>>();
            let below = digests.iter().flat_map(|digest| self.below(digest));
            let named = below.filter(|reply| reply.text.starts_with("Also among")).map(|reply| {
                let text = message_as_text(&reply);
                text.lines().filter(|line| line.ends_with(&format!("*{job}*"))).count()
            });
            let there = own + lines.len() + named.sum::<usize>();
            let is_deleted = |key: &str| self.is_deleted(&key_in(self.channel, key));
            let name = format!("*{job}*");
            let of_digests = self.model.deleted_digests.iter().filter(|(channel, _)| *channel == self.channel);
            let of_digests = of_digests.map(|(_, text)| text.matches(&name).count());
            let deleted = alerts.iter().filter(|(key, _)| is_deleted(key)).count() + of_digests.sum::<usize>();
            if there > alerts.len() {
                self.complain(format!("{TWICE}: {there} messages tell of {} alerts of {job}", alerts.len()));
            }
            let owed = alerts.iter().filter(|(_, alert)| alert.is_owed()).count();
            if there + deleted < owed {
                self.complain(format!("lost: {there} messages tell of {owed} alerts of {job}"));
            }
            self.noted_in_digests(job, &alerts, &digests);
            // Which of several alerts a line is about can't be seen.
            if let ([line], [(_, alert)]) = (&lines[..], &alerts[..]) {
                let is_current = line.contains(&format!("*{job}*: {}", alert.word()));
                let is_cared_for = alert.is_acknowledged() && !alert.is_over();
                if !is_current || line.contains("✅") != alert.is_over() || line.contains("👀") != is_cared_for {
                    self.complain(format!("an old state in a digest: {line:?}"));
                }
            }
        }
    }

    /// That somebody looks after what a digest shows is noted below it, once.
    fn noted_in_digests(&mut self, job: &str, alerts: &[(&str, &Alert)], digests: &[Message]) {
        let notes = |digest: &Message| {
            let begins = format!("👀 *{job}*: Acked by Ratna, ");
            self.below(digest).iter().filter(|reply| reply.text.starts_with(&begins)).count()
        };
        let there: usize = digests.iter().map(notes).sum();
        let most = alerts.iter().filter(|(_, alert)| alert.is_acknowledged()).count();
        let is_left =
            |digest: &&String| !self.is_deleted(digest) && digests.iter().any(|there| key_of(there) == digest.as_str());
        let owed = alerts.iter().flat_map(|(_, alert)| alert.noted_below()).filter(is_left).count();
        let deleted = self.model.deleted.iter().filter(|key| key.starts_with("r/")).count();
        if there > most {
            self.complain(format!("{TWICE}: {there} notes in digests that somebody looks after {job}, of {most}"));
        } else if there + deleted < owed {
            self.complain(format!("lost: {there} notes in digests that somebody looks after {job}, of {owed}"));
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
