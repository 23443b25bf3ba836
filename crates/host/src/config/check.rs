//! Mistakes that only show when all values are known.

use super::boards::{self, Board};
use super::load::Draft;
use super::mistake::Origin;
use crate::{parts, store};

/// From so many characters on a signing secret is taken for one: Slack's have 32, a stand-in's may have fewer.
const MIN_SIGNING_SECRET: usize = 16;

impl Draft {
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
        self.check_slack();
        self.check_queue();
        self.check_store();
        self.check_channels();
        self.check_mail();
        if self.settings.boards.is_empty() && !self.origins.contains_key("boards") {
            self.settings.boards.push(Board::default());
        }
    }

    /// Slack's tokens and secrets, each in its place, and who may ask. The secrets themselves are never told.
    fn check_slack(&mut self) {
        let slack = &self.settings.slack;
        let (bot, signing, app) = (slack.bot_token.expose(), slack.signing_secret.expose(), slack.app_token.expose());
        let mut found = Vec::new();
        if bot.starts_with("xapp-") {
            let what = "is an app-level token, which belongs into slack.app_token (SLACK_APP_TOKEN); the bot's begins with xoxb- \
                        (OAuth & Permissions on the app's page)";
            found.push(("slack.bot_token", what.to_owned()));
        } else if !bot.is_empty() && !bot.starts_with("xoxb-") {
            let what = "is not a bot token: those begin with xoxb- (OAuth & Permissions on the app's page)";
            found.push(("slack.bot_token", what.to_owned()));
        }
        if signing.starts_with("xox") || signing.starts_with("xapp-") {
            let what = "is a token, but must be the signing secret of the app's page Basic Information";
            found.push(("slack.signing_secret", what.to_owned()));
        } else if (1..MIN_SIGNING_SECRET).contains(&signing.len()) {
            let what =
                "is too short for a signing secret: Slack's have 32 characters (Basic Information on the app's page)";
            found.push(("slack.signing_secret", what.to_owned()));
        }
        if !app.is_empty() && !app.starts_with("xapp-") {
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
