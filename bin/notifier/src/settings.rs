//! From the settings to the notifier's own.

use ronda_domain::id::TenantId;
use ronda_host::config::{self, Settings};
use ronda_host::exit::{Code, Failure};
use ronda_notifier::{Board, BoardFilter, Config, Language};

/// Where messages go on the terminal, where there are no channels.
const TERMINAL_CHANNEL: &str = "the terminal";

/// Whether messages go to Slack.
#[must_use]
pub fn slack_is_on(settings: &Settings) -> bool {
    !settings.slack.bot_token.is_empty()
}

/// The notifier's.
///
/// # Errors
/// What the notifier has against it, all at once.
pub fn config(settings: &Settings) -> Result<Config, Failure> {
    let (notifier, slack) = (&settings.notifier, &settings.slack);
    let channel = match slack.channel.as_str() {
        "" if slack_is_on(settings) => settings
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
        // A claim that is older may be another's by now.
        claim_fresh_ms: settings.replicas.lease_ms / 2,
        boards: settings.boards.iter().map(board).collect::<Result<_, _>>()?,
        ..Config::default()
    };
    config.validate().map_err(|errors| {
        let lines: String = errors.iter().map(|error| format!("\n  - {error}")).collect();
        Failure::new(Code::Configuration, format!("The notifier's settings have mistakes; nothing was started.{lines}"))
    })?;
    Ok(config)
}

/// Which channels messages go to, for people.
#[must_use]
pub fn destinations(config: &Config) -> String {
    let alerts = config.channel.as_str();
    let mut tables: Vec<&str> = config.boards.iter().map(|board| board.channel.as_deref().unwrap_or(alerts)).collect();
    tables.sort_unstable();
    tables.dedup();
    let notices = config.admin_channel.as_deref().unwrap_or(alerts);
    if notices == alerts && tables.iter().all(|channel| *channel == alerts) {
        return alerts.to_owned();
    }
    let tables = if tables.is_empty() { String::new() } else { format!(", tables to {}", tables.join(" and ")) };
    format!("alerts to {alerts}{tables}, notices to {notices}")
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
}
