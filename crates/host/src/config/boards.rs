//! `[[boards]]`: tables of a night, one message each, edited in place.

use toml::Value as Toml;

use super::mistake::{Mistake, Origin, nearest};
use super::rows::{self, Named, rows};

rows! {
    /// One night board.
    Board,
    /// The keys of a board, in the file's order.
    BOARD_KEYS;
    /// Name of the board, unique: letters, digits, `-` and `_`. Renaming it starts it anew.
    name: String = String::from("night"), checked by check_name;
    /// What people read above it.
    title: String = String::from("Night watch");
    /// Channel to post to, `webhook:NAME` or `mail:NAME`; empty: the one of `[slack]`.
    channel: String = String::new();
    /// Tenant whose schedulers it shows.
    tenant: String = String::from("default"), checked by check_tenant;
    /// Start of the window, `HH:MM`.
    start: String = String::from("00:00"), checked by check_time;
    /// End of the window, `HH:MM`; at or before the start: on the next day.
    end: String = String::from("06:00"), checked by check_time;
    /// IANA time zone of the window.
    timezone: String = String::from("Asia/Jakarta"), checked by check_zone;
    /// Language of its table and summary: `en` (English), `id` (Indonesian); empty: `notifier.language`.
    language: String = String::new(), checked by check_board_language;
    /// Only schedulers of this team; empty: all.
    team: String = String::new();
    /// Only schedulers in this environment; empty: all.
    environment: String = String::new();
    /// Only schedulers with all of these tags.
    tags: Vec<String> = Vec::new();
    /// Only schedulers whose id matches one of these patterns (`*` any text, `?` any character); empty: all.
    ids: Vec<String> = Vec::new();
    /// Least time between two edits, in seconds; at least 10.
    refresh_interval_seconds: u64 = 10, checked by check_refresh;
    /// How long closing waits, after the window's end, for occurrences that are still open, in seconds.
    closing_grace_seconds: u32 = 300;
}

/// Reads every board of a file, and adds what is wrong with them.
pub fn read(value: &Toml, origin: &Origin, mistakes: &mut Vec<Mistake>) -> Vec<Board> {
    let named = Named { section: "boards", one: "board" };
    let mut boards: Vec<Board> = Vec::new();
    for (index, (board, wrong)) in rows::read(named, BOARD_KEYS, value, origin, mistakes).into_iter().enumerate() {
        // A name that was not taken is the default's, and no repetition.
        let is_repeated = boards.iter().any(|other| other.name == board.name);
        if is_repeated && !wrong.iter().any(|key| key == "name") {
            let what = format!("is {:?} a second time; give each board a name of its own", board.name);
            mistakes.push(Mistake { origin: origin.clone(), key: format!("boards[{index}].name"), what });
        }
        boards.push(board);
    }
    boards
}

pub(super) fn check_name(name: &String) -> Result<(), String> {
    let fine = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if fine { Ok(()) } else { Err(format!("is {name:?}, but must be 1 to 64 letters, digits, - and _")) }
}

fn check_tenant(tenant: &String) -> Result<(), String> {
    ronda_domain::id::TenantId::new(tenant).map(drop).map_err(|error| format!("is {tenant:?}: {error}"))
}

pub(super) fn check_zone(zone: &String) -> Result<(), String> {
    if jiff::tz::db().get(zone).is_ok() {
        return Ok(());
    }
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    Err(match nearest(zone, known.iter().map(String::as_str)) {
        Some(name) => format!("is {zone:?}, which is not an IANA time zone; did you mean {name:?}?"),
        None => format!("is {zone:?}, which is not an IANA time zone such as \"Asia/Jakarta\""),
    })
}

fn check_board_language(language: &str) -> Result<(), String> {
    if language.is_empty() { Ok(()) } else { check_language(language) }
}

pub(super) fn check_language(language: &str) -> Result<(), String> {
    match language {
        "en" | "id" => Ok(()),
        other => Err(format!("is {other:?}, but must be \"en\" (English) or \"id\" (Indonesian)")),
    }
}

fn check_refresh(seconds: &u64) -> Result<(), String> {
    if *seconds < 10 { Err(format!("is {seconds}, but must be at least 10")) } else { Ok(()) }
}

pub(super) fn check_time(text: &String) -> Result<(), String> {
    let part = |text: &str, most: u32| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits && text.parse::<u32>().is_ok_and(|number| number <= most)
    };
    match text.split_once(':') {
        Some((hour, minute)) if part(hour, 23) && part(minute, 59) => Ok(()),
        _ => Err(format!("is {text:?}, but must be a time of day such as \"06:00\", up to \"23:59\"")),
    }
}
