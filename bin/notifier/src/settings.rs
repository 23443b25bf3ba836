//! From the settings to the notifier's own.

use std::path::PathBuf;

use ronda_domain::id::TenantId;
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;

use ronda_host::config::{self, Draft, Flaw, MailSecurity, Settings};
use ronda_host::exit::{Code, Failure};
use ronda_notifier::mail::Security;
use ronda_notifier::route::{self, Kind, Maintenance, Matcher, Mention, Quiet, Route, When};
use ronda_notifier::{Board, BoardFilter, Config, Hours, Language, MailConfig, WebhookConfig};
use ronda_runtime::Secret;

/// Where messages go on the terminal, where there are no channels.
const TERMINAL_CHANNEL: &str = "the terminal";

/// Whether messages go to Slack.
#[must_use]
pub fn slack_is_on(settings: &Settings) -> bool {
    !settings.slack.bot_token.is_empty()
}

/// Whether a gateway takes in what people click: without that, buttons would do nothing.
fn takes_clicks(settings: &Settings) -> bool {
    !settings.slack.signing_secret.is_empty() || !settings.slack.app_token.is_empty()
}

/// Settings with which a notifier is to send messages, with everything that is wrong with them.
#[must_use]
pub fn checked(draft: Draft) -> Draft {
    draft.for_sending().checked_by(flaws)
}

/// What the notifier alone knows to be wrong: addresses, secrets, recipients. For [`Draft::checked_by`].
#[must_use]
pub fn flaws(settings: &Settings) -> Vec<Flaw> {
    let flaw = |place: &str, (key, what): (&str, String)| Flaw { key: format!("{place}.{key}"), what };
    let mut flaws = Vec::new();
    for webhook in webhooks(settings) {
        let place = format!("webhooks.{}", webhook.name);
        flaws.extend(webhook.mistakes().into_iter().map(|mistake| flaw(&place, mistake)));
    }
    let (mail, unread) = mail_as_read(settings);
    flaws.extend(unread);
    let told = mail.iter().flat_map(ronda_notifier::MailConfig::mistakes);
    flaws.extend(told.map(|(key, what)| flaw("mail", (&key, what))));
    flaws
}

/// The notifier's, of settings without a mistake and without a [flaw](flaws).
///
/// # Errors
/// What the notifier has against them all the same.
pub fn config(settings: &Settings) -> Result<Config, Failure> {
    let (notifier, slack) = (&settings.notifier, &settings.slack);
    let channel = match slack.channel.as_str() {
        "" if settings.uses_slack() => settings
            .boards
            .iter()
            .map(|board| board.channel.clone())
            .find(|channel| !channel.is_empty())
            .unwrap_or_default(),
        "" => TERMINAL_CHANNEL.to_owned(),
        channel => channel.to_owned(),
    };
    let config = Config {
        channel,
        admin_channel: some(&notifier.admin_channel),
        timezone: notifier.timezone.clone(),
        language: language(&notifier.language)?.unwrap_or_default(),
        details_url: some(&notifier.details_url),
        grouping_wait_ms: notifier.grouping_wait_ms,
        storm_threshold: notifier.storm_threshold,
        storm_window_seconds: notifier.storm_window_seconds,
        retention_days: notifier.retention_days,
        interactive: takes_clicks(settings),
        // A claim that is older may be another's by now.
        claim_fresh_ms: settings.replicas.lease_ms / 2,
        boards: settings.boards.iter().map(board).collect::<Result<_, _>>()?,
        routes: (0..).zip(&settings.routes).map(|(at, given)| route(at, given)).collect::<Result<_, _>>()?,
        maintenance: (0..)
            .zip(&settings.maintenance)
            .filter_map(|(at, given)| maintenance(at, given).transpose())
            .collect::<Result<_, _>>()?,
        ..Config::default()
    };
    match config.validate() {
        Ok(()) => Ok(config),
        Err(mistakes) => {
            let lines: String = mistakes.iter().map(|mistake| format!("\n  - {mistake}")).collect();
            Err(Failure::new(Code::Configuration, format!("The notifier can't use its settings.{lines}")))
        }
    }
}

/// The webhooks of the settings.
pub(crate) fn webhooks(settings: &Settings) -> Vec<WebhookConfig> {
    let webhook = |(name, webhook): (&String, &config::Webhook)| WebhookConfig {
        allow_private: webhook.allow_private,
        allow_http: webhook.allow_http,
        ..WebhookConfig::new(name.as_str(), webhook.url.clone(), webhook.secrets.clone())
    };
    settings.webhooks.iter().map(webhook).collect()
}

/// Mail, when there is a server for it. Reads the files that the settings name.
///
/// # Errors
/// A file that can't be read.
pub(crate) fn mail(settings: &Settings) -> Result<Option<MailConfig>, Failure> {
    match mail_as_read(settings) {
        (mail, unread) if unread.is_empty() => Ok(mail),
        (_, unread) => {
            let told: Vec<String> = unread.iter().map(|flaw| format!("{} {}", flaw.key, flaw.what)).collect();
            Err(Failure::new(Code::Configuration, told.join("; ")))
        }
    }
}

/// The same, with the files that can't be read.
fn mail_as_read(settings: &Settings) -> (Option<MailConfig>, Vec<Flaw>) {
    let (mail, mut unread) = (&settings.mail, Vec::new());
    if mail.host.is_empty() {
        return (None, unread);
    }
    let mut read = |key: &str, path: &Option<PathBuf>| {
        let path = path.as_ref()?;
        let told = |error| {
            let what = format!("is {}, which can't be read: {error}", path.display());
            unread.push(Flaw { key: format!("mail.{key}"), what });
        };
        std::fs::read(path).map_err(told).ok()
    };
    let password = read("password_file", &mail.password_file).unwrap_or_default();
    let password = String::from_utf8_lossy(&password).lines().next().unwrap_or_default().to_owned();
    let ca_pem = read("ca_file", &mail.ca_file);
    let config = MailConfig {
        port: u16::try_from(mail.port).unwrap_or(587),
        security: match mail.security {
            MailSecurity::StartTls => Security::StartTls,
            MailSecurity::Tls => Security::Tls,
            MailSecurity::None => Security::None,
        },
        user: mail.user.clone(),
        password: Secret::new(password),
        ca_pem,
        lists: settings.mail_lists.clone(),
        ..MailConfig::new(mail.host.as_str(), mail.from.as_str())
    };
    (Some(config), unread)
}

/// Which channels messages go to, for people.
#[must_use]
pub fn destinations(config: &Config) -> String {
    let default = config.channel.as_str();
    let mut alerts: Vec<&str> = config.routes.iter().map(|route| route.channel.as_deref().unwrap_or(default)).collect();
    alerts.push(default);
    let mut tables: Vec<&str> = config.boards.iter().map(|board| board.channel.as_deref().unwrap_or(default)).collect();
    for channels in [&mut alerts, &mut tables] {
        channels.sort_unstable();
        channels.dedup();
    }
    let notices = config.admin_channel.as_deref().unwrap_or(default);
    if notices == default && alerts.iter().chain(&tables).all(|channel| *channel == default) {
        return default.to_owned();
    }
    let tables = if tables.is_empty() { String::new() } else { format!(", tables to {}", tables.join(" and ")) };
    format!("alerts to {}{tables}, notices to {notices}", alerts.join(" and "))
}

/// Whether any messages go to a webhook or by mail.
#[must_use]
pub fn goes_elsewhere(config: &Config) -> bool {
    let boards = config.boards.iter().filter_map(|board| board.channel.as_deref());
    let routes = config.routes.iter().filter_map(|route| route.channel.as_deref());
    let mut all = boards.chain(routes).chain([config.channel.as_str()]).chain(config.admin_channel.as_deref());
    all.any(ronda_notifier::switchboard::is_elsewhere)
}

fn board(board: &config::Board) -> Result<Board, Failure> {
    let tenant = TenantId::new(&board.tenant)
        .map_err(|error| Failure::new(Code::Configuration, format!("board {}: tenant: {error}", board.name)))?;
    let filter = BoardFilter {
        team: some(&board.team),
        environment: some(&board.environment),
        tags: board.tags.clone(),
        ids: board.ids.clone(),
    };
    Ok(Board {
        name: board.name.clone(),
        title: board.title.clone(),
        channel: some(&board.channel),
        start: board.start.clone(),
        end: board.end.clone(),
        timezone: board.timezone.clone(),
        language: language(&board.language)?,
        filter,
        refresh_interval_seconds: board.refresh_interval_seconds,
        closing_grace_seconds: board.closing_grace_seconds,
        ..Board::nightly(tenant)
    })
}

/// Conditions of a route or a maintenance, with what is to be said before what is wrong.
fn matcher(texts: [&[String]; 4], severities: &[String], kinds: &[String], place: &str) -> Result<Matcher, Failure> {
    let wrong =
        |key: &str, name: &str| Failure::new(Code::Configuration, format!("{place}.{key} has {name:?}, which is none"));
    let [teams, environments, tags, ids] = texts.map(<[String]>::to_vec);
    let severities = severities.iter().map(|name| severity(name).ok_or_else(|| wrong("severities", name)));
    let kinds = kinds.iter().map(|name| name.parse::<Kind>().map_err(|_| wrong("kinds", name)));
    Ok(Matcher {
        teams,
        environments,
        tags,
        ids,
        severities: severities.collect::<Result<_, _>>()?,
        kinds: kinds.collect::<Result<_, _>>()?,
    })
}

/// `None`: it is never.
fn maintenance(at: usize, given: &config::Maintenance) -> Result<Option<Maintenance>, Failure> {
    if given.start.is_empty() {
        return Ok(None);
    }
    let place = format!("maintenance[{at}]");
    let once = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp::from_millis(at.as_millisecond()));
    let when = match (once(&given.start), once(&given.end)) {
        (Some(from), Some(until)) => When::Once(from, until),
        _ => When::Daily(
            Hours::new(&given.start, &given.end, &given.timezone)
                .map_err(|what| Failure::new(Code::Configuration, format!("{place}: {what}")))?,
        ),
    };
    let texts = [&given.teams[..], &given.environments, &given.tags, &given.ids];
    Ok(Some(Maintenance { matcher: matcher(texts, &given.severities, &given.kinds, &place)?, when }))
}

fn quiet(route: &config::Route) -> Result<Option<Quiet>, String> {
    if route.quiet_start.is_empty() {
        return Ok(None);
    }
    let hours = Hours::new(&route.quiet_start, &route.quiet_end, &route.quiet_timezone)?;
    let below = severity(&route.quiet_below).ok_or_else(|| format!("quiet_below is {:?}", route.quiet_below))?;
    Ok(Some(Quiet { hours, below }))
}

fn route(at: usize, route: &config::Route) -> Result<Route, Failure> {
    let wrong = |key: &str, what: String| Failure::new(Code::Configuration, format!("routes[{at}].{key} {what}"));
    let mentions = route
        .mention
        .iter()
        .map(|text| text.parse::<Mention>().map_err(|error| wrong("mention", format!("has {text:?}, but {error}"))));
    let texts = [&route.teams[..], &route.environments, &route.tags, &route.ids];
    Ok(Route {
        matcher: matcher(texts, &route.severities, &route.kinds, &format!("routes[{at}]"))?,
        channel: some(&route.channel),
        mentions: mentions.collect::<Result<_, _>>()?,
        grouping_wait_ms: route.grouping_wait_ms,
        repeat_interval_ms: route.repeat_interval_minutes.map(|minutes| minutes.saturating_mul(60_000)),
        quiet: quiet(route).map_err(|what| wrong("quiet_start", what))?,
        goes_on: route.goes_on,
    })
}

/// A severity by its name.
#[must_use]
pub fn severity(name: &str) -> Option<Severity> {
    [Severity::Info, Severity::Warning, Severity::Critical]
        .into_iter()
        .find(|severity| route::severity_name(*severity) == name)
}

/// The language of a code; none of nothing.
fn language(code: &str) -> Result<Option<Language>, Failure> {
    let parsed = some(code).map(|code| code.parse::<Language>()).transpose();
    parsed.map_err(|error| Failure::new(Code::Configuration, format!("language {code:?}: {error}")))
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_taken() {
        let mut settings = Settings::default();
        settings.boards.push(config::Board::default());
        assert_eq!(config(&settings).unwrap().boards.len(), 1);
    }

    #[test]
    fn alerts_have_buttons_where_somebody_takes_the_clicks() {
        let mut settings = Settings::default();
        assert!(!config(&settings).unwrap().interactive);
        settings.slack.app_token = Secret::new("xapp-1");
        assert!(config(&settings).unwrap().interactive);
        settings.slack.app_token = Secret::default();
        settings.slack.signing_secret = Secret::new("8f742231b10e8888abcd99yyyzzz85a5");
        assert!(config(&settings).unwrap().interactive);
    }

    #[test]
    fn a_board_has_the_language_of_all_messages_unless_it_has_its_own() {
        let mut settings = Settings::default();
        settings.notifier.language = String::from("id");
        let board = |name: &str, language: &str| config::Board {
            name: name.into(),
            language: language.into(),
            ..config::Board::default()
        };
        settings.boards = vec![board("night", ""), board("day", "en")];
        let config = config(&settings).unwrap();
        assert_eq!(config.language, Language::Indonesian);
        let languages: Vec<_> = config.boards.iter().map(|board| board.language).collect();
        assert_eq!(languages, [None, Some(Language::English)]);
    }

    #[test]
    fn without_a_channel_of_its_own_alerts_go_to_the_first_board_that_has_one_and_it_is_said_so() {
        let mut settings = Settings::default();
        settings.slack.bot_token = ronda_runtime::Secret::new("xoxb-1");
        let board = |name: &str, channel: &str| config::Board {
            name: name.into(),
            channel: channel.into(),
            ..config::Board::default()
        };
        settings.boards = vec![board("night", ""), board("day", "C1")];
        assert_eq!(destinations(&config(&settings).unwrap()), "C1");
        settings.boards.push(board("edge", "C2"));
        settings.notifier.admin_channel = String::from("C3");
        assert_eq!(destinations(&config(&settings).unwrap()), "alerts to C1, tables to C1 and C2, notices to C3");
    }

    #[test]
    fn who_only_looks_is_told_the_same_place_without_a_token() {
        let board = config::Board { channel: "C1".into(), ..config::Board::default() };
        let mut settings = Settings { boards: vec![board], ..Settings::default() };
        assert_eq!(config(&settings).unwrap().channel, "C1");
        settings.boards[0].channel = String::from("webhook:ops");
        assert_eq!(config(&settings).unwrap().channel, TERMINAL_CHANNEL);
    }

    #[test]
    fn routes_are_taken_with_every_kind_and_severity_that_the_settings_know() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut settings = Settings::default();
        settings.slack.channel = String::from("C1");
        settings.slack.bot_token = Secret::new("xoxb-1");
        settings.routes.push(config::Route {
            teams: names(&["payments"]),
            severities: names(&config::routes::SEVERITIES),
            kinds: names(&config::routes::KINDS),
            channel: String::from("C2"),
            mention: names(&["here", "U0123ABCD", "S0123ABCD"]),
            goes_on: true,
            ..config::Route::default()
        });
        settings.routes.push(config::Route::default());
        let config = config(&settings).unwrap();
        assert_eq!(config.routes[0].matcher.kinds, Kind::ALL);
        assert_eq!((config.routes[0].matcher.severities.len(), config.routes[0].mentions.len()), (3, 3));
        assert!(config.routes[0].goes_on);
        assert_eq!((&config.routes[0].channel, &config.routes[1].channel), (&Some("C2".to_owned()), &None));
        assert_eq!(destinations(&config), "alerts to C1 and C2, notices to C1");
    }

    #[test]
    fn what_is_wrong_with_webhooks_and_mail_is_told_at_once_and_no_secret_with_it() {
        let mut settings = Settings::default();
        let webhook = config::Webhook {
            url: Secret::new("http://very-secret/"),
            secrets: vec![Secret::new("very-secret")],
            ..config::Webhook::default()
        };
        settings.webhooks.insert("ops".into(), webhook);
        settings.mail.host = "mail.example.com".into();
        settings.mail.from = "nobody".into();
        settings.mail.user = "ronda".into();
        settings.mail_lists.insert("ops".into(), vec!["a@b.c\r\nBcc: x@y.z".into()]);
        settings.mail.ca_file = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into());
        let told: Vec<String> =
            flaws(&settings).into_iter().map(|flaw| format!("{} {}", flaw.key, flaw.what)).collect();
        let told = told.join("\n");
        for wanted in [
            "webhooks.ops.url is plain http",
            "webhooks.ops.secrets number 1 must begin with whsec_",
            "mail.from is \"nobody\"",
            "mail.password_file is missing",
            "mail.lists.ops.to is \"a@b.c\\r\\n",
            "mail.ca_file has no certificate in it that can be read",
        ] {
            assert!(told.contains(wanted), "{wanted:?} is missing in\n{told}");
        }
        assert!(!told.contains("very-secret"), "{told}");
    }
}
