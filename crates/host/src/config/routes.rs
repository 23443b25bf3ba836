//! `[[routes]]`: where alerts go.

use toml::Value as Toml;

use super::boards::{self, check_zone};
use super::mistake::{Mistake, Origin, nearest};
use super::rows::{self, Named, rows};

/// What an alert can be about, by the names that a route's `kinds` has.
pub const KINDS: [&str; 4] = ["failed", "stale", "missed", "started_late"];
/// How much a scheduler can matter, by the names that a route's `severities` has.
pub const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];

/// The longest after which an alert may be told again: a week.
const MAX_REPEAT_INTERVAL_MINUTES: u64 = 10_080;
/// The longest that a route may let alerts wait.
const MAX_GROUPING_WAIT_MS: u64 = 600_000;

rows! {
    /// One route. A condition that is empty is none; all that are given must be met. In texts `*` is any text and `?` any character.
    Route,
    /// The keys of a route, in the file's order.
    ROUTE_KEYS;
    /// For schedulers of one of these teams (in these and the next three `*` is any text, `?` any character); empty: of any.
    teams: Vec<String> = Vec::new();
    /// For those in one of these environments; empty: in any.
    environments: Vec<String> = Vec::new();
    /// For those with all of these tags; empty: with any or none.
    tags: Vec<String> = Vec::new();
    /// For those with one of these ids; empty: with any.
    ids: Vec<String> = Vec::new();
    /// For those of one of these severities: `info`, `warning`, `critical`; empty: of any.
    severities: Vec<String> = Vec::new(), checked by check_severities;
    /// For alerts of one of these kinds: `failed`, `stale`, `missed`, `started_late`; empty: of any.
    kinds: Vec<String> = Vec::new(), checked by check_kinds;
    /// Channel that they go to, `webhook:NAME` or `mail:NAME`; empty: the one of `[slack]`.
    channel: String = String::new();
    /// Whom a new message calls on Slack: ids of users (`U…`) and user groups (`S…`), or `here`. Edits, and that it is over, call nobody.
    mention: Vec<String> = Vec::new(), checked by check_mentions;
    /// How long a new alert waits for what follows at once, in milliseconds; empty: `notifier.grouping_wait_ms`.
    grouping_wait_ms: Option<u64> = None, checked by check_wait;
    /// After how many minutes an alert that stays wrong, and that nobody has acknowledged, is told again, below itself and calling as it did; then after twice as long, and so on, six times at most. Empty: never.
    repeat_interval_minutes: Option<u64> = None, checked by check_repeat;
    /// Start of quiet hours, `HH:MM`: a new alert below `quiet_below` waits for their end. Goes with `quiet_end`; both empty: none.
    quiet_start: String = String::new(), checked by check_hour;
    /// End of quiet hours, `HH:MM`; before the start: on the next day.
    quiet_end: String = String::new(), checked by check_hour;
    /// IANA time zone of quiet hours.
    quiet_timezone: String = String::from("Asia/Jakarta"), checked by check_zone;
    /// From this severity on nothing waits in quiet hours.
    quiet_below: String = String::from("critical"), checked by check_severity;
    /// Whether the routes after it are asked, too; else the first that matches is the last.
    goes_on: bool = false, named "continue";
}

rows! {
    /// One window of maintenance: nothing is sent of the alerts that it is for, and what is still true at its end is told then.
    Maintenance,
    /// The keys of a maintenance, in the file's order.
    MAINTENANCE_KEYS;
    /// Its beginning: once, as `2026-12-24T22:00:00+07:00`, or each day, as `22:00`. Both empty: never.
    start: String = String::new();
    /// Its end, written as its beginning is; of a daily one before the start: on the next day.
    end: String = String::new();
    /// IANA time zone of daily times.
    timezone: String = String::from("Asia/Jakarta"), checked by check_zone;
    /// Of schedulers of one of these teams, as in routes.
    teams: Vec<String> = Vec::new();
    /// Of those in one of these environments.
    environments: Vec<String> = Vec::new();
    /// Of those with all of these tags.
    tags: Vec<String> = Vec::new();
    /// Of those with one of these ids.
    ids: Vec<String> = Vec::new();
    /// Of those of one of these severities.
    severities: Vec<String> = Vec::new(), checked by check_severities;
    /// Of alerts of one of these kinds.
    kinds: Vec<String> = Vec::new(), checked by check_kinds;
}

/// Reads every maintenance of a file, and adds what is wrong with them.
pub(super) fn read_maintenance(value: &Toml, origin: &Origin, mistakes: &mut Vec<Mistake>) -> Vec<Maintenance> {
    let named = Named { section: "maintenance", one: "maintenance" };
    let read = rows::read(named, MAINTENANCE_KEYS, value, origin, mistakes);
    for (index, (one, _)) in read.iter().enumerate() {
        if let Err(what) = times(&one.start, &one.end) {
            mistakes.push(Mistake { origin: origin.clone(), key: format!("maintenance[{index}].end"), what });
        }
    }
    read.into_iter().map(|(one, _)| one).collect()
}

/// Whether two times are of one kind, and the second after the first.
fn times(start: &str, end: &str) -> Result<(), String> {
    let once = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let is_hour = |text: &str| boards::check_time(&text.to_owned()).is_ok();
    let goes_with = || {
        format!("is {end:?} and the start {start:?}: give both as \"2026-12-24T22:00:00+07:00\" or both as \"22:00\"")
    };
    match (once(start), once(end)) {
        _ if start.is_empty() && end.is_empty() => Ok(()),
        (Some(start), Some(end)) if start < end => Ok(()),
        (Some(_), Some(_)) => Err(format!("is {end:?}, which is not after the start")),
        (None, None) if is_hour(start) && is_hour(end) && start == end => {
            Err(format!("is {end:?}, and so is the start: that is always"))
        }
        (None, None) if is_hour(start) && is_hour(end) => Ok(()),
        _ => Err(goes_with()),
    }
}

/// Reads every route of a file, and adds what is wrong with them.
pub(super) fn read(value: &Toml, origin: &Origin, mistakes: &mut Vec<Mistake>) -> Vec<Route> {
    let named = Named { section: "routes", one: "route" };
    let read = rows::read(named, ROUTE_KEYS, value, origin, mistakes);
    for (index, (route, wrong)) in read.iter().enumerate() {
        let (start, end) = (&route.quiet_start, &route.quiet_end);
        // One that was not taken is empty, and told already.
        if wrong.iter().any(|key| key.starts_with("quiet_")) {
            continue;
        }
        if start.is_empty() != end.is_empty() || (start == end && !start.is_empty()) {
            let what = format!("is {end:?} while quiet_start is {start:?}: give two times that differ, or none");
            mistakes.push(Mistake { origin: origin.clone(), key: format!("routes[{index}].quiet_end"), what });
        }
    }
    read.into_iter().map(|(route, _)| route).collect()
}

fn check_severities(names: &[String]) -> Result<(), String> {
    check_names(names, &SEVERITIES)
}

fn check_severity(name: &str) -> Result<(), String> {
    check_severities(&[name.to_owned()])
}

fn check_hour(text: &String) -> Result<(), String> {
    if text.is_empty() { Ok(()) } else { boards::check_time(text) }
}

fn check_kinds(names: &[String]) -> Result<(), String> {
    check_names(names, &KINDS)
}

fn check_mentions(mentions: &[String]) -> Result<(), String> {
    let is_id = |text: &str| {
        text.starts_with(['U', 'W', 'S'])
            && (9..=24).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    };
    match mentions.iter().find(|mention| *mention != "here" && !is_id(mention)) {
        Some(wrong) => Err(format!(
            "has {wrong:?}, but must have ids of users (\"U0123ABCD\") or user groups (\"S0123ABCD\"), or \"here\""
        )),
        None => Ok(()),
    }
}

fn check_wait(wait_ms: &Option<u64>) -> Result<(), String> {
    match wait_ms {
        Some(wait_ms) if *wait_ms > MAX_GROUPING_WAIT_MS => {
            Err(format!("is {wait_ms}, but must be from 0 to {MAX_GROUPING_WAIT_MS}"))
        }
        _ => Ok(()),
    }
}

fn check_repeat(interval_minutes: &Option<u64>) -> Result<(), String> {
    match interval_minutes {
        Some(minutes) if !(1..=MAX_REPEAT_INTERVAL_MINUTES).contains(minutes) => {
            Err(format!("is {minutes}, but must be from 1 to {MAX_REPEAT_INTERVAL_MINUTES}"))
        }
        _ => Ok(()),
    }
}

fn check_names(names: &[String], known: &[&str]) -> Result<(), String> {
    let Some(wrong) = names.iter().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
    Err(match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("has {wrong:?}, which is none; did you mean {name:?}?"),
        None => format!("has {wrong:?}, but there are {}", known.join(", ")),
    })
}
