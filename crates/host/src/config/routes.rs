//! `[[routes]]`: where alerts go.

use toml::Value as Toml;

use super::mistake::{Mistake, Origin, nearest};
use super::rows::{self, Named, rows};

/// What an alert can be about, by the names that a route's `kinds` has.
pub const KINDS: [&str; 4] = ["failed", "stale", "missed", "started_late"];
/// How much a scheduler can matter, by the names that a route's `severities` has.
pub const SEVERITIES: [&str; 3] = ["info", "warning", "critical"];

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
    /// Whether the routes after it are asked, too; else the first that matches is the last.
    goes_on: bool = false, named "continue";
}

/// Reads every route of a file, and adds what is wrong with them.
pub(super) fn read(value: &Toml, origin: &Origin, mistakes: &mut Vec<Mistake>) -> Vec<Route> {
    let named = Named { section: "routes", one: "route" };
    rows::read(named, ROUTE_KEYS, value, origin, mistakes).into_iter().map(|(route, _)| route).collect()
}

fn check_severities(names: &[String]) -> Result<(), String> {
    check_names(names, &SEVERITIES)
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

fn check_names(names: &[String], known: &[&str]) -> Result<(), String> {
    let Some(wrong) = names.iter().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
    Err(match nearest(wrong, known.iter().copied()) {
        Some(name) => format!("has {wrong:?}, which is none; did you mean {name:?}?"),
        None => format!("has {wrong:?}, but there are {}", known.join(", ")),
    })
}
