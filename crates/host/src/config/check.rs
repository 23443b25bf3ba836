//! Mistakes that only show when all values are known.

use super::boards::{self, Board};
use super::elsewhere::is_elsewhere;
use super::load::Loading;
use super::mistake::Origin;
use super::routes::Route;
use super::table::Settings;
use crate::{parts, store};

impl Loading {
    /// What only shows when all values are known.
    pub(super) fn check_whole(&mut self) {
        let origin = |loading: &Self, name: &str| loading.origins.get(name).cloned().unwrap_or(Origin::Default);
        if !self.settings.storage.partitions.is_power_of_two() {
            let partitions = self.settings.storage.partitions;
            let from = origin(self, "storage.partitions");
            self.add(
                &from,
                "storage.partitions",
                format!("is {partitions}, but must be a power of two: 1, 2, 4, 8, …"),
            );
        }
        let server = &self.settings.server;
        if server.listen == server.admin_listen && server.listen.port() != 0 {
            let (address, from) = (server.listen, origin(self, "server.admin_listen"));
            let what = format!("is {address}, the same as server.listen; give each a port of its own");
            self.add(&from, "server.admin_listen", what);
        }
        if let Err(error) = ronda_runtime::telemetry::check_filter(&self.settings.telemetry.log_filter) {
            let from = origin(self, "telemetry.log_filter");
            self.add(&from, "telemetry.log_filter", error.to_string());
        }
        if let Err(what) = boards::check_zone(&self.settings.notifier.timezone) {
            let from = origin(self, "notifier.timezone");
            self.add(&from, "notifier.timezone", what);
        }
        if let Err(what) = boards::check_language(&self.settings.notifier.language) {
            let from = origin(self, "notifier.language");
            self.add(&from, "notifier.language", what);
        }
        self.check_details_url();
        let slack = &self.settings.slack;
        if url::Url::parse(&slack.api_url).ok().is_none_or(|url| !matches!(url.scheme(), "http" | "https")) {
            let (what, from) = (
                format!("is {:?}, but must be an http or https address", slack.api_url),
                origin(self, "slack.api_url"),
            );
            self.add(&from, "slack.api_url", what);
        }
        self.check_interactivity();
        self.check_queue();
        self.check_store();
        self.check_channels();
        self.check_mentions();
        if self.settings.boards.is_empty() && !self.origins.contains_key("boards") {
            self.settings.boards.push(Board::default());
        }
    }

    /// What people in Slack may do, and with which secrets it comes. The secrets themselves are never told.
    fn check_interactivity(&mut self) {
        let slack = &self.settings.slack;
        let (signing, app) = (slack.signing_secret.expose(), slack.app_token.expose());
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let mut found = Vec::new();
        if signing.starts_with("xox") || signing.starts_with("xapp-") {
            let what = "is a token, but must be the signing secret of the app's page Basic Information";
            found.push(("slack.signing_secret", what.to_owned()));
        } else if !plain(signing) || (1..16).contains(&signing.len()) {
            let what = "is not a signing secret: those are 32 hexadecimal digits (Basic Information on the app's page)";
            found.push(("slack.signing_secret", what.to_owned()));
        }
        if !app.is_empty() && (!app.starts_with("xapp-") || !plain(app)) {
            let what = "is not an app-level token: those begin with xapp- (Basic Information on the app's page)";
            found.push(("slack.app_token", what.to_owned()));
        }
        if let Err(error) = ronda_domain::id::TenantId::new(&slack.tenant) {
            found.push(("slack.tenant", format!("is {:?}: {error}", slack.tenant)));
        }
        let is_team = |id: &str| {
            id.starts_with(['T', 'E'])
                && id.len() >= 3
                && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        };
        if !slack.team_id.is_empty() && !is_team(&slack.team_id) {
            let what = format!("is {:?}, but must be a workspace's id such as T0123456789", slack.team_id);
            found.push(("slack.team_id", what));
        }
        for (key, what) in found {
            let from = self.origins.get(key).cloned().unwrap_or(Origin::Default);
            self.add(&from, key, what);
        }
    }

    /// What is no web address would be shown as text below each alert.
    fn check_details_url(&mut self) {
        let details = self.settings.notifier.details_url.as_str();
        let is_web = details.starts_with("https://") || details.starts_with("http://");
        if details.is_empty() || (is_web && details.contains("{scheduler}")) {
            return;
        }
        let what = format!("is {details:?}, but must be an http or https address with {{scheduler}} in it");
        let from = self.origins.get("notifier.details_url").cloned().unwrap_or(Origin::Default);
        self.add(&from, "notifier.details_url", what);
    }

    /// A token without a channel, and a channel without a token: in both cases nobody would be told anything in Slack.
    fn check_channels(&mut self) {
        self.check_elsewhere();
        let (slack, boards) = (&self.settings.slack, &self.settings.boards);
        let mut channels = vec![(String::from("slack.channel"), "slack.channel", slack.channel.as_str())];
        channels.extend(
            (0..).zip(boards).map(|(at, board): (usize, &Board)| {
                (format!("boards[{at}].channel"), "boards", board.channel.as_str())
            }),
        );
        let has_token = !slack.bot_token.is_empty();
        if has_token {
            if channels.iter().all(|(_, _, channel)| channel.is_empty()) {
                let from = self.origins.get("slack.bot_token").cloned().unwrap_or(Origin::Default);
                let what = "is missing while slack.bot_token is set; give the channel's id (SLACK_CHANNEL)";
                self.add(&from, "slack.channel", what);
            }
            return;
        }
        let admin = self.settings.notifier.admin_channel.as_str();
        channels.push((String::from("notifier.admin_channel"), "notifier.admin_channel", admin));
        let routes = (0..).zip(&self.settings.routes);
        channels.extend(
            routes.map(|(at, route): (usize, &Route)| {
                (format!("routes[{at}].channel"), "routes", route.channel.as_str())
            }),
        );
        if let Some((key, origin, _)) =
            channels.iter().find(|(_, _, channel)| !channel.is_empty() && !is_elsewhere(channel))
        {
            let from = self.origins.get(*origin).cloned().unwrap_or(Origin::Default);
            let what =
                format!("is missing while {key} is set, so nothing would go to Slack; give it (SLACK_BOT_TOKEN)");
            self.add(&from, "slack.bot_token", what);
        }
    }

    /// Only Slack can call somebody.
    fn check_mentions(&mut self) {
        let default = self.settings.slack.channel.as_str();
        let goes = |route: &Route| if route.channel.is_empty() { default.to_owned() } else { route.channel.clone() };
        let calls = (0..).zip(&self.settings.routes).filter(|(_, route)| !route.mention.is_empty());
        let wrong: Vec<(usize, String)> = calls
            .map(|(at, route): (usize, &Route)| (at, goes(route)))
            .filter(|(_, channel)| is_elsewhere(channel))
            .collect();
        let from = self.origins.get("routes").cloned().unwrap_or(Origin::Default);
        for (at, channel) in wrong {
            let what = format!(
                "calls somebody in {channel:?}, but only Slack can: leave it out, or give a channel of Slack's"
            );
            self.add(&from, format!("routes[{at}].mention"), what);
        }
    }

    /// Channels that nothing is said about; and mail without a server.
    fn check_elsewhere(&mut self) {
        let Settings { slack, notifier, boards, routes, webhooks, mail, mail_lists, .. } = &self.settings;
        let mut channels = vec![
            (String::from("slack.channel"), "slack.channel", &slack.channel),
            (String::from("notifier.admin_channel"), "notifier.admin_channel", &notifier.admin_channel),
        ];
        channels.extend(
            (0..)
                .zip(boards)
                .map(|(at, board): (usize, &Board)| (format!("boards[{at}].channel"), "boards", &board.channel)),
        );
        channels.extend(
            (0..)
                .zip(routes)
                .map(|(at, route): (usize, &Route)| (format!("routes[{at}].channel"), "routes", &route.channel)),
        );
        let mut found = Vec::new();
        for (key, origin, channel) in channels {
            let missing = match channel.split_once(':') {
                Some(("webhook", name)) if !webhooks.contains_key(name) => format!("[webhooks.{name}]"),
                Some(("mail", name)) if !mail_lists.contains_key(name) => format!("[mail.lists.{name}]"),
                _ => continue,
            };
            found.push((key, origin, format!("is {channel:?}, but there is no {missing}")));
        }
        if mail.host.is_empty() && !mail_lists.is_empty() {
            let what = String::from("is missing while there are mail lists; give the mail server's name");
            found.push((String::from("mail.host"), "mail.lists", what));
        }
        for (name, path) in [("mail.password_file", &mail.password_file), ("mail.ca_file", &mail.ca_file)] {
            if let Some((path, Err(error))) = path.as_ref().map(|path| (path, std::fs::File::open(path))) {
                found.push((name.to_owned(), name, format!("is {}, which can't be read: {error}", path.display())));
            }
        }
        for (key, origin, what) in found {
            let from = self.origins.get(origin).cloned().unwrap_or(Origin::Default);
            self.add(&from, key, what);
        }
    }

    fn check_queue(&mut self) {
        let settings = &self.settings;
        let mut found = match settings.queue.url.expose().strip_prefix("embedded:") {
            Some("") => Vec::new(),
            Some(_) => vec![("url", String::from("names a place after embedded:, but that is storage.data (--data)"))],
            None => ronda_queue::mistakes(&parts::broker_options(settings)),
        };
        for (key, path) in [
            ("credentials_file", &settings.queue.credentials_file),
            ("ca_file", &settings.queue.ca_file),
            ("client_certificate_file", &settings.queue.client_certificate_file),
            ("client_key_file", &settings.queue.client_key_file),
        ] {
            let readable = path.as_ref().map(|path| (path, std::fs::File::open(path)));
            if let Some((path, Err(error))) = readable {
                found.push((key, format!("is {}, which can't be read: {error}", path.display())));
            }
        }
        let queue = &settings.queue;
        if queue.client_certificate_file.is_some() != queue.client_key_file.is_some() {
            found.push((
                "client_key_file",
                String::from("goes with queue.client_certificate_file: give both or neither"),
            ));
        }
        if !queue.direct_tenant.is_empty()
            && let Err(error) = ronda_domain::id::TenantId::new(&queue.direct_tenant)
        {
            found.push(("direct_tenant", format!("is {:?}: {error}", queue.direct_tenant)));
        }
        for (key, what) in found {
            let name = if key == "partitions" { String::from("storage.partitions") } else { format!("queue.{key}") };
            let from = self.origins.get(&name).cloned().unwrap_or(Origin::Default);
            self.add(&from, name, what);
        }
    }

    fn check_store(&mut self) {
        let settings = &self.settings;
        let mut found = match settings.store.url.expose().strip_prefix("embedded:") {
            Some("") => None,
            Some(_) => Some(String::from("names a place after embedded:, but that is storage.data (--data)")),
            None => ronda_store::backend::mistake(&store::options(settings)),
        }
        .map(|what| ("url", what));
        for (key, path) in
            [("credentials_file", &settings.store.credentials_file), ("ca_file", &settings.store.ca_file)]
        {
            if let Some((path, Err(error))) = path.as_ref().map(|path| (path, std::fs::File::open(path))) {
                // The address could only say the same.
                found = Some((key, format!("is {}, which can't be read: {error}", path.display())));
            }
        }
        if let Some((key, what)) = found {
            let name = format!("store.{key}");
            let from = self.origins.get(&name).cloned().unwrap_or(Origin::Default);
            self.add(&from, name, what);
        }
    }
}
