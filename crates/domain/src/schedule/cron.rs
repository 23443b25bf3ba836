//! Five-field cron expressions and `@` names on the wall clock of a zone.

use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, CronComponent};
use jiff::Timestamp as Instant;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use thiserror::Error;

use super::{MAX_STEPS, zone};
use crate::limits::MAX_CRON_BYTES;
use crate::time::Timestamp;

/// Nothing is due before this time, 1970-01-01: zones before the epoch have offsets that no cron daemon ever saw.
const EARLIEST: Timestamp = Timestamp::from_millis(0);
/// Nothing is due after this time, 4000-01-01.
const LATEST: Timestamp = Timestamp::from_millis(64_060_588_800_000);

/// How many days each month has at most.
const MONTH_LENGTHS: [u16; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// What marks a value that was named without `L`, `W` or `#` in croner's components.
const PLAIN: u8 = 1;

const NAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The fields by name, with the characters that each may have beside digits and `* , - /`.
const FIELDS: [(&str, &str, bool); 5] = [
    ("minute", "", false),
    ("hour", "", false),
    ("day-of-month", "LW?", false),
    ("month", "", true),
    ("day-of-week", "#?+", true),
];

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CronError {
    /// No text.
    #[error("must not be empty; write five fields, such as \"0 1 * * *\", or a name, such as \"@daily\"")]
    Empty,
    /// More bytes than [`MAX_CRON_BYTES`].
    #[error("must be at most {MAX_CRON_BYTES} characters long, and is {0}")]
    TooLong(usize),
    /// An `@` name that is not known.
    #[error("\"{0}\" is not a known name; use @yearly, @annually, @monthly, @weekly, @daily, @midnight or @hourly")]
    UnknownName(String),
    /// Too few or too many fields.
    #[error(
        "must have exactly five fields (minute hour day-of-month month day-of-week), and has {count}{}",
        if *.count > 5 { "; seconds and years are not supported" } else { "" }
    )]
    FieldCount {
        /// How many there are.
        count: usize,
    },
    /// One field is wrong.
    #[error("the {field} field \"{text}\" is not valid: {reason}")]
    Field {
        /// Which: `minute`, `hour`, `day-of-month`, `month` or `day-of-week`.
        field: &'static str,
        /// What it says.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The fields are right by themselves, but no day has them all (30 February).
    #[error("can never be due: no calendar day matches it")]
    NeverDue,
}

/// Parses five fields. Day of month and day of week are both needed when either starts with a star (so `*/2` in one
/// narrows the other), else one of them is enough: what Vixie's cron does.
fn parse(fields: &str) -> Result<Cron, croner::errors::CronError> {
    let days = [2, 4].into_iter().filter_map(|place| fields.split_ascii_whitespace().nth(place));
    let both = days.into_iter().any(|field| field.starts_with(['*', '?']));
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).dom_and_dow(both).build();
    parser.parse(fields)
}

/// The five fields behind an `@` name, or the text itself.
fn expand(expression: &str) -> &str {
    let named = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(expression));
    named.map_or(expression, |(_, fields)| fields)
}

/// Checks an expression; gives it back with white space folded (and a name in lower case).
///
/// # Errors
/// [`CronError`] says which field is wrong, and how.
pub fn check_cron(text: &str) -> Result<Box<str>, CronError> {
    if text.len() > MAX_CRON_BYTES {
        return Err(CronError::TooLong(text.len()));
    }
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    let folded = fields.join(" ");
    if folded.is_empty() {
        return Err(CronError::Empty);
    }
    if folded.starts_with('@') {
        let name = folded.to_ascii_lowercase();
        let known = NAMES.iter().any(|(known, _)| *known == name);
        return if known { Ok(name.into()) } else { Err(CronError::UnknownName(folded)) };
    }
    if fields.len() != FIELDS.len() {
        return Err(CronError::FieldCount { count: fields.len() });
    }
    for (position, text) in fields.iter().enumerate() {
        check_characters(position, text)?;
    }
    let Ok(cron) = parse(&folded) else {
        for (position, text) in fields.iter().enumerate() {
            check_field(position, text)?;
        }
        return Err(CronError::NeverDue);
    };
    if has_no_day(&cron, &fields) {
        return Err(CronError::NeverDue);
    }
    let start = DateTime::constant(2024, 1, 1, 0, 0, 0, 0);
    match cron.find_next_occurrence(&start, true) {
        Ok(_) => Ok(folded.into()),
        Err(_) => Err(CronError::NeverDue),
    }
}

/// Whether the days of the month decide, and none of the months has any of them (30 February): known at once, while a search
/// would go through thousands of years.
fn has_no_day(cron: &Cron, fields: &[&str]) -> bool {
    let (Some(days), Some(weekdays)) = (fields.get(2), fields.get(4)) else { return false };
    let is_plain = days.bytes().all(|byte| byte.is_ascii_digit() || b"*,-/".contains(&byte));
    if !is_plain || !weekdays.starts_with(['*', '?']) {
        return false;
    }
    let has = |component: &CronComponent, value| component.is_bit_set(value, PLAIN).unwrap_or(false);
    let has_day = |(month, length): (u16, u16)| {
        has(&cron.pattern.months, month) && (1..=length).any(|day| has(&cron.pattern.days, day))
    };
    !(1..).zip(MONTH_LENGTHS).any(has_day)
}

/// Checks that a field has only characters that it may have.
fn check_characters(position: usize, text: &str) -> Result<(), CronError> {
    let Some((field, extra, letters)) = FIELDS.get(position).copied() else {
        return Err(CronError::FieldCount { count: position });
    };
    let is_allowed = |character: char| {
        let plain = character.is_ascii_digit() || matches!(character, '*' | ',' | '-' | '/');
        plain || extra.contains(character.to_ascii_uppercase()) || (letters && character.is_ascii_alphabetic())
    };
    match text.chars().find(|character| !is_allowed(*character)) {
        None => Ok(()),
        Some(character) => {
            let reason = format!("the character {character:?} can't be used here");
            Err(CronError::Field { field, text: text.to_owned(), reason })
        }
    }
}

/// Checks one field by itself, with stars in all others, so that the message can name it.
fn check_field(position: usize, text: &str) -> Result<(), CronError> {
    let Some((field, ..)) = FIELDS.get(position).copied() else {
        return Err(CronError::FieldCount { count: position });
    };
    let wrong = |reason: String| CronError::Field { field, text: text.to_owned(), reason };
    let alone: Vec<&str> = (0..FIELDS.len()).map(|place| if place == position { text } else { "*" }).collect();
    match parse(&alone.join(" ")) {
        Ok(_) => Ok(()),
        Err(
            croner::errors::CronError::ComponentError(reason)
            | croner::errors::CronError::InvalidPattern(reason)
            | croner::errors::CronError::IllegalCharacters(reason),
        ) => Err(wrong(reason)),
        Err(other) => Err(wrong(other.to_string())),
    }
}

/// An expression with its zone.
#[derive(Debug)]
pub(super) struct CronPlan {
    cron: Cron,
    zone: TimeZone,
    /// Whether the minute or the hour field starts with a star. Such a job follows the real hours through a change of
    /// the clock; all others name times of day, each of which comes once a day.
    wildcard: bool,
}

impl CronPlan {
    pub(super) fn new(expression: &str, timezone: &str) -> Option<Self> {
        let fields = expand(expression);
        let wildcard = fields.split_ascii_whitespace().take(2).any(|field| field.starts_with('*'));
        Some(Self { cron: parse(fields).ok()?, zone: zone::find(timezone)?, wildcard })
    }

    pub(super) fn next_due(&self, after: Timestamp) -> Option<Timestamp> {
        if after >= LATEST {
            return None;
        }
        let after = Instant::from_millisecond(after.max(EARLIEST).as_millis()).ok()?;
        let due = if self.wildcard { self.next_by_hours(after) } else { self.next_by_clock(after) }?;
        Some(Timestamp::from_millis(due.as_millisecond())).filter(|due| *due < LATEST)
    }

    /// Every instant at which the wall clock shows a matching time: nothing is made up for a jump, nothing held back
    /// when an hour repeats. Searched from one change of the offset to the next.
    fn next_by_hours(&self, after: Instant) -> Option<Instant> {
        let mut from = after;
        let mut inclusive = false;
        for _ in 0..MAX_STEPS {
            let offset = self.zone.to_offset(from);
            let wall = self.cron.find_next_occurrence(&offset.to_datetime(from), inclusive).ok()?;
            let candidate = offset.to_timestamp(wall).ok()?;
            match self.zone.following(from).next() {
                Some(change) if change.timestamp() <= candidate => {
                    // A clock that is put back shows times again that lie before the candidate.
                    from = change.timestamp();
                    inclusive = true;
                }
                _ => return Some(candidate),
            }
        }
        None
    }

    /// Every matching time of day once: at the jump when the clock jumps over it, the first time when it comes twice.
    fn next_by_clock(&self, after: Instant) -> Option<Instant> {
        let mut wall = self.zone.to_datetime(after);
        for _ in 0..MAX_STEPS {
            wall = self.cron.find_next_occurrence(&wall, false).ok()?;
            let due = match self.zone.to_ambiguous_timestamp(wall).offset() {
                AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok()?,
                AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok()?,
                // Read with the later offset, a time that is jumped over lies before the jump.
                AmbiguousOffset::Gap { after, .. } => {
                    let before_jump = after.to_timestamp(wall).ok()?;
                    self.zone.following(before_jump).next()?.timestamp()
                }
            };
            if due > after {
                return Some(due);
            }
        }
        None
    }
}
