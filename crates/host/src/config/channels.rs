//! Channels: which the settings name, and whether messages can go there.

use super::boards::Board;
use super::elsewhere::is_elsewhere;
use super::load::Draft;
use super::routes::Route;
use super::table::Settings;

/// A channel that the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedChannel<'a> {
    /// By which setting, as `routes[1].channel`.
    pub key: String,
    /// Its name.
    pub channel: &'a str,
}

impl NamedChannel<'_> {
    /// Whether it is one of Slack's.
    #[must_use]
    pub fn is_slacks(&self) -> bool {
        !is_elsewhere(self.channel)
    }
}

impl Settings {
    /// Every channel that is named, in the order of the settings; one that several name is there several times.
    #[must_use]
    pub fn channels(&self) -> Vec<NamedChannel<'_>> {
        let Self { slack, notifier, boards, routes, .. } = self;
        let mut named = vec![
            (String::from("slack.channel"), &slack.channel),
            (String::from("notifier.admin_channel"), &notifier.admin_channel),
        ];
        let boards = (0..).zip(boards);
        named.extend(boards.map(|(at, board): (usize, &Board)| (format!("boards[{at}].channel"), &board.channel)));
        let routes = (0..).zip(routes);
        named.extend(routes.map(|(at, route): (usize, &Route)| (format!("routes[{at}].channel"), &route.channel)));
        let given = named.into_iter().filter(|(_, channel)| !channel.is_empty());
        given.map(|(key, channel)| NamedChannel { key, channel }).collect()
    }

    /// Whether anything is to go to Slack: there is a token for it, or a channel of Slack's is named.
    #[must_use]
    pub fn uses_slack(&self) -> bool {
        !self.slack.bot_token.is_empty() || self.channels().iter().any(NamedChannel::is_slacks)
    }
}

/// Whether a text can be the id of a channel of Slack's: a public one's, a private one's or a conversation's.
fn is_id(text: &str) -> bool {
    let rest = text.strip_prefix(['C', 'G', 'D']).unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// What stands in a channel's place, as far as it may be shown: a token and the address of an incoming webhook are secrets.
fn shown(text: &str) -> String {
    if text.starts_with("xox") || text.starts_with("xapp-") {
        String::from("a token")
    } else if text.contains("://") {
        String::from("an address")
    } else {
        format!("{text:?}")
    }
}

impl Draft {
    /// What no message can go to, and mentions where nobody can be called.
    pub(super) fn check_channels(&mut self) {
        if !self.is_read() {
            return;
        }
        let Settings { webhooks, mail_lists, .. } = &self.settings;
        let mut found = Vec::new();
        for NamedChannel { key, channel } in self.settings.channels() {
            let what = match channel.split_once(':') {
                Some(("webhook", name)) if webhooks.contains_key(name) => continue,
                Some(("mail", name)) if mail_lists.contains_key(name) => continue,
                Some(("webhook", name)) => format!("is {channel:?}, but there is no [webhooks.{name}]"),
                Some(("mail", name)) => format!("is {channel:?}, but there is no [mail.lists.{name}]"),
                _ if is_id(channel) => continue,
                _ => format!(
                    "is {}, but must be the channel's id, such as C0123456789 (in Slack: click the channel's name, About, at the \
                     bottom), or webhook:NAME or mail:NAME",
                    shown(channel)
                ),
            };
            found.push((key, what));
        }
        self.check_mentions(&mut found);
        for (key, what) in found {
            self.add(&self.origin_of(&key), key, what);
        }
    }

    /// Slack without a channel for what has none of its own.
    fn check_home(&mut self) {
        let Settings { slack, boards, .. } = &self.settings;
        if !slack.channel.is_empty() || boards.iter().any(|board| !board.channel.is_empty()) {
            return;
        }
        let channels = self.settings.channels();
        let because = match channels.iter().find(|named| named.is_slacks()) {
            _ if !slack.bot_token.is_empty() => String::from("slack.bot_token"),
            Some(named) => named.key.clone(),
            None => return,
        };
        let what = format!("is missing while {because} is set; give the channel's id (SLACK_CHANNEL)");
        self.add(&self.origin_of(&because), "slack.channel", what);
    }

    /// Only Slack can call somebody.
    fn check_mentions(&self, found: &mut Vec<(String, String)>) {
        let default = self.settings.slack.channel.as_str();
        for (at, route) in (0..).zip(&self.settings.routes) {
            let (at, route): (usize, &Route) = (at, route);
            let channel = if route.channel.is_empty() { default } else { route.channel.as_str() };
            if !route.mention.is_empty() && is_elsewhere(channel) {
                let what = format!(
                    "calls somebody in {channel:?}, but only Slack can: leave it out, or give a channel of Slack's"
                );
                found.push((format!("routes[{at}].mention"), what));
            }
        }
    }

    /// For what sends messages: who only looks at the settings, or has another part in it, seldom has the token and the files with secrets.
    #[must_use]
    pub fn for_sending(mut self) -> Self {
        if !self.is_read() {
            return self;
        }
        self.check_home();
        self.check_mail_files();
        if !self.settings.slack.bot_token.is_empty() || self.has_mistake("slack.bot_token") {
            return self;
        }
        let named = self.settings.channels().into_iter().find(NamedChannel::is_slacks).map(|named| named.key);
        if let Some(key) = named {
            let what =
                format!("is missing while {key} is set, so nothing would go to Slack; give it (SLACK_BOT_TOKEN)");
            self.add(&self.origin_of(&key), "slack.bot_token", what);
        }
        self
    }

    /// Mail without a server.
    pub(super) fn check_mail(&mut self) {
        let Settings { mail, mail_lists, .. } = &self.settings;
        if mail.host.is_empty() && !mail_lists.is_empty() {
            let what = "is missing while there are mail lists; give the mail server's name";
            self.add(&self.origin_of("mail.host"), "mail.host", what);
        }
    }

    fn check_mail_files(&mut self) {
        let mail = &self.settings.mail;
        let mut found = Vec::new();
        for (name, path) in [("mail.password_file", &mail.password_file), ("mail.ca_file", &mail.ca_file)] {
            if let Some((path, Err(error))) = path.as_ref().map(|path| (path, std::fs::File::open(path))) {
                found.push((name, format!("is {}, which can't be read: {error}", path.display())));
            }
        }
        for (key, what) in found {
            self.add(&self.origin_of(key), key, what);
        }
    }
}
