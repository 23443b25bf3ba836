//! The notifier's settings.

use std::collections::BTreeSet;

use jiff::civil::Time;
use jiff::tz::TimeZone;
use ronda_domain::id::TenantId;
use thiserror::Error;

use crate::language::Language;
use crate::route::{Maintenance, Route, Rules};

/// The notifier's settings. Parsing them from a file is the binary's task; [`validate`](Self::validate) says all that is wrong.
#[derive(Clone, Debug)]
pub struct Config {
    /// Channel that alerts, blind notices and digests go to: on Slack its id (`C…`). Default `#ronda`.
    pub channel: String,
    /// Channel for the operator's notices (lost frames, a broken destination). Default: none, `channel` is used.
    pub admin_channel: Option<String>,
    /// Zone in which times are written where a reader's own can't be shown. Default `Asia/Jakarta`.
    pub timezone: String,
    /// The language of what is of no board: alerts, digests and notices. Default English.
    pub language: Language,
    /// Address of a page about a scheduler, with `{tenant}` and `{scheduler}` in it, for the link below an alert. Default: none.
    pub details_url: Option<String>,
    /// Whether alerts on Slack have buttons: only where somebody takes in what is clicked. Default false.
    pub interactive: bool,
    /// How long a new alert waits for what follows at once, so that a job that fails and recovers within it is one green
    /// message. Default 2000.
    pub grouping_wait_ms: u64,
    /// More new alerts than this in one channel, waiting or posted within `storm_window_seconds`, become one digest. Default 20.
    pub storm_threshold: usize,
    /// See `storm_threshold`. Default 10.
    pub storm_window_seconds: u64,
    /// Least time between two counted lookups of a message whose fate is unknown; it is posted again after the second finds
    /// nothing. Default 30.
    pub reconcile_interval_seconds: u64,
    /// How long the history may be unreadable before a failure alert whose fate is unknown is posted again, marked as a possible
    /// repeat. Default 600.
    pub reconcile_give_up_seconds: u64,
    /// How long nothing is sent to a channel that refused us (revoked token, archived channel). Default 300.
    pub broken_backoff_seconds: u64,
    /// How long finished messages are remembered, in days; after it they are not edited any more. Default 7.
    pub retention_days: u32,
    /// Most surfaces kept per event partition; beyond it the oldest finished ones are forgotten first. Default 50,000.
    pub max_surfaces: usize,
    /// How long a shutdown, or a partition that is let go, waits for calls in flight, in milliseconds. Default 5000.
    pub drain_ms: u64,
    /// How long after its claim was committed a call may begin without the store being asked once more whether the partition is still ours,
    /// in milliseconds: half of the time after which another notifier takes over from one that stands still, and, with the time that a call may
    /// take, well below twice `reconcile_interval_seconds`, after which who took over posts again. Default 5000.
    pub claim_fresh_ms: u64,
    /// The status tables. Default: none.
    pub boards: Vec<Board>,
    /// Where alerts go, in order; those that no route is for go to `channel`. Default: none.
    pub routes: Vec<Route>,
    /// When alerts are not told. Default: none.
    pub maintenance: Vec<Maintenance>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            channel: "#ronda".to_owned(),
            admin_channel: None,
            timezone: "Asia/Jakarta".to_owned(),
            language: Language::English,
            details_url: None,
            interactive: false,
            grouping_wait_ms: 2_000,
            storm_threshold: 20,
            storm_window_seconds: 10,
            reconcile_interval_seconds: 30,
            reconcile_give_up_seconds: 600,
            broken_backoff_seconds: 300,
            retention_days: 7,
            max_surfaces: 50_000,
            drain_ms: 5_000,
            claim_fresh_ms: 5_000,
            boards: Vec::new(),
            routes: Vec::new(),
            maintenance: Vec::new(),
        }
    }
}

/// One status table: a window of the day, and the schedulers that it shows.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its name: unique, `[A-Za-z0-9_-]{1,64}`; part of the messages' keys, so renaming it starts it anew.
    pub name: String,
    /// What people read above it. Default: `Night watch`.
    pub title: String,
    /// Where it is posted; `None`: the notifier's `channel`.
    pub channel: Option<String>,
    /// Whose schedulers it shows.
    pub tenant: TenantId,
    /// When the window opens, on the zone's wall clock, as `HH:MM`. Default `00:00`.
    pub start: String,
    /// When it closes, as `HH:MM`; at or before `start`: on the next day. Default `06:00`.
    pub end: String,
    /// The window's zone, an IANA name. Default `Asia/Jakarta`.
    pub timezone: String,
    /// The language of its table and summary; `None`: that of the other messages. Default: none.
    pub language: Option<Language>,
    /// Which of the tenant's schedulers it shows. Default: all.
    pub filter: BoardFilter,
    /// Least time between two edits; at least 10. Default 10.
    pub refresh_interval_seconds: u64,
    /// How long after the window's end, by the partitions' clocks, closing waits for occurrences that are still open. Default 300.
    pub closing_grace_seconds: u32,
}

impl Board {
    /// The default board of a tenant: 00:00 to 06:00 in Jakarta, everything, in the notifier's channel.
    #[must_use]
    pub fn nightly(tenant: TenantId) -> Self {
        Self {
            name: "night".to_owned(),
            title: "Night watch".to_owned(),
            channel: None,
            tenant,
            start: "00:00".to_owned(),
            end: "06:00".to_owned(),
            timezone: "Asia/Jakarta".to_owned(),
            language: None,
            filter: BoardFilter::default(),
            refresh_interval_seconds: 10,
            closing_grace_seconds: 300,
        }
    }
}

/// Which schedulers a board shows: those that meet every condition given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoardFilter {
    /// Of this team.
    pub team: Option<String>,
    /// In this environment.
    pub environment: Option<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// Whose id matches one of these patterns (`*` any text, `?` any character); empty: any id.
    pub ids: Vec<String>,
}

/// A setting that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {message}")]
pub struct ConfigError {
    /// Which one, as `boards[0].start`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Config {
    /// Checks everything.
    ///
    /// # Errors
    /// Every setting that can't be used, not only the first.
    pub fn validate(&self) -> Result<(), Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut wrong = |field: String, message: String| errors.push(ConfigError { field, message });
        if self.channel.trim().is_empty() {
            wrong("channel".into(), "must not be empty: give the channel's id".into());
        }
        if let Err(message) = zone(&self.timezone) {
            wrong("timezone".into(), message);
        }
        if self.storm_threshold == 0 {
            wrong("storm_threshold".into(), "must be at least 1".into());
        }
        if self.max_surfaces < 100 {
            wrong("max_surfaces".into(), "must be at least 100".into());
        }
        if self.claim_fresh_ms < 100 {
            wrong("claim_fresh_ms".into(), "must be at least 100: the store takes that long to answer".into());
        }
        for (index, board) in self.boards.iter().enumerate() {
            for (field, message) in board.faults() {
                wrong(format!("boards[{index}].{field}"), message);
            }
            if self.boards.iter().take(index).any(|earlier| earlier.name == board.name) {
                wrong(format!("boards[{index}].name"), format!("another board is called {:?} already", board.name));
            }
        }
        for (index, route) in self.routes.iter().enumerate() {
            if route.channel.as_ref().is_some_and(|channel| channel.trim().is_empty()) {
                wrong(format!("routes[{index}].channel"), "must not be empty: give the channel's id".into());
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    pub(crate) fn channel_for_admin(&self) -> &str {
        self.admin_channel.as_ref().unwrap_or(&self.channel)
    }

    pub(crate) fn channel_of<'a>(&'a self, board: &'a Board) -> &'a str {
        board.channel.as_ref().unwrap_or(&self.channel)
    }

    /// What decides about alerts.
    #[must_use]
    pub fn rules(&self) -> Rules<'_> {
        Rules { routes: &self.routes, maintenance: &self.maintenance, channel: &self.channel }
    }

    /// Whether alerts may go to this channel.
    pub(crate) fn is_for_alerts(&self, channel: &str) -> bool {
        self.channel == channel || self.routes.iter().any(|route| route.channel.as_deref() == Some(channel))
    }

    /// Every channel that messages may go to, each once.
    pub(crate) fn channels(&self) -> Vec<String> {
        let boards = self.boards.iter().map(|board| self.channel_of(board));
        let routes = self.routes.iter().filter_map(|route| route.channel.as_deref());
        let own = [self.channel.as_str(), self.channel_for_admin()];
        let all: BTreeSet<&str> = own.into_iter().chain(boards).chain(routes).collect();
        all.into_iter().map(str::to_owned).collect()
    }

    pub(crate) fn reconcile_interval_ms(&self) -> u64 {
        self.reconcile_interval_seconds.saturating_mul(1_000)
    }
}

impl Board {
    fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        let fits = (1..=64).contains(&self.name.len());
        if !fits || !self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-') {
            faults.push(("name", "must be 1 to 64 letters, digits, '_' and '-'".to_owned()));
        }
        for (field, text) in [("start", &self.start), ("end", &self.end)] {
            if let Err(message) = time_of_day(text) {
                faults.push((field, message));
            }
        }
        if let Err(message) = zone(&self.timezone) {
            faults.push(("timezone", message));
        }
        if self.refresh_interval_seconds < 10 {
            faults.push(("refresh_interval_seconds", "must be at least 10".to_owned()));
        }
        faults
    }
}

/// The zone of an IANA name, from the bundled database.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("{name:?} is no IANA time zone such as Asia/Jakarta"))
}

/// A time of day written as `HH:MM`.
pub(crate) fn time_of_day(text: &str) -> Result<Time, String> {
    let wrong = || format!("{text:?} is no time of day such as 06:00");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    if hour.len() != 2 || minute.len() != 2 {
        return Err(wrong());
    }
    let hour: i8 = hour.parse().map_err(|_| wrong())?;
    let minute: i8 = minute.parse().map_err(|_| wrong())?;
    Time::new(hour, minute, 0, 0).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_every_mistake_is_told_at_once() {
        let tenant = TenantId::new("acme").unwrap();
        let mut config = Config { boards: vec![Board::nightly(tenant.clone())], ..Config::default() };
        assert_eq!(config.validate(), Ok(()));
        let mut second = Board::nightly(tenant);
        second.start = "24:00".into();
        second.timezone = "Asia/Jakatra".into();
        second.refresh_interval_seconds = 1;
        config.boards.push(second);
        config.channel = String::new();
        let fields: Vec<String> = config.validate().unwrap_err().into_iter().map(|error| error.field).collect();
        assert_eq!(
            fields,
            [
                "channel",
                "boards[1].start",
                "boards[1].timezone",
                "boards[1].refresh_interval_seconds",
                "boards[1].name"
            ]
        );
    }
}
