//! What messages are made of, in every language: a trait without defaults, so that no language can lack a text.
//!
//! Names, errors and times are passed in; how a number, a plural or the order of a sentence goes is the language's.

mod english;
mod indonesian;

use ronda_domain::record::OccurrenceStatus;
use ronda_domain::spec::Severity;
use ronda_schemas::event::BlindReason;

use super::document::{Line, Span};
use crate::language::Language;
use crate::surface::{Counts, Doubts, KeptBy, NightChange};

/// The words of a language.
pub(crate) fn words(language: Language) -> &'static dyn Words {
    match language {
        Language::English => &english::English,
        Language::Indonesian => &indonesian::Indonesian,
    }
}

/// What is wrong with an occurrence, or was, or is not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Failed,
    /// A worker from which nothing is heard.
    NoHeartbeat,
    TooLong,
    /// A run from which nothing is heard.
    FellSilent,
    NotStarted,
    StartedLate,
    Succeeded,
    Unseen,
    Cancelled,
    Skipped,
    Expected,
}

/// How an alert ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Alive,
    Recovered,
    Cancelled,
    /// With how long after its due time, where that is known.
    CompletedLate(Option<String>),
    Paused,
    Removed,
}

/// The label of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Job,
    Due,
    Started,
    SilentSince,
    StartedLate,
    Failed,
    Noticed,
    Missed,
    Ended,
    AlertSince,
    OverdueBy,
    OverSince,
    Took,
    Usually,
    LastGood,
    Run,
    BeganWith,
    Runbook,
    Details,
    Acknowledge,
    SnoozeHour,
    SnoozeMorning,
}

/// A column of the night's table; a time's is followed by its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Status,
    Job,
    Team,
    Due,
    Started,
    Ended,
    Done,
    Detail,
}

/// What is told to the operator: what is wrong, and what that means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble<'a> {
    LostFrames { count: u64, first: u64, last: u64, partition: u32, gateway: u64 },
    Destination { channel: &'a str, code: &'a str },
    Refused { channel: &'a str, code: &'a str },
    UnreadableEvents { partition: u32 },
    UnreadableRows { rows: u32 },
    ClockHeld { partition: u32, gateway: u64, ahead: String, clock: Span, wall: Span },
}

/// How the names of the units of a duration are written after their number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Units {
    pub(crate) days: &'static str,
    pub(crate) hours: &'static str,
    pub(crate) minutes: &'static str,
    pub(crate) seconds: &'static str,
    pub(crate) millis: &'static str,
}

/// A language.
pub(crate) trait Words: Sync {
    /// A whole number, with its thousands set apart.
    fn number(&self, number: u64) -> String;
    fn months(&self) -> [&'static str; 12];
    fn units(&self) -> Units;
    /// For a time that can't be written.
    fn some_time(&self) -> &'static str;
    fn span(&self, from: Span, until: Span) -> Line;
    fn more(&self, count: u64) -> String;
    fn label(&self, label: Label) -> &'static str;
    fn column(&self, column: Column) -> &'static str;
    /// One or two words, as counts and tables use them.
    fn status(&self, status: OccurrenceStatus) -> &'static str;
    fn severity(&self, severity: Severity) -> &'static str;
    fn tenant(&self, tenant: &str) -> String;
    fn team(&self, team: &str) -> String;

    // Alerts
    /// To follow a name, with what comes between.
    fn wrong(&self, wrong: Wrong) -> &'static str;
    fn over(&self, over: &Over) -> String;
    fn in_a_row(&self, count: u32) -> String;
    fn since(&self, at: Span) -> Line;
    fn lasted(&self, duration: &str) -> String;
    fn exit_code(&self, code: i32) -> String;
    fn after_due(&self, duration: &str) -> String;
    /// How it was before it was over; followed by that.
    fn before(&self) -> &'static str;
    fn maybe_repeat(&self) -> &'static str;
    fn told_late(&self, by: &str) -> String;
    /// It is told late because it was not to be told before.
    fn kept_back(&self, by: KeptBy) -> &'static str;
    fn acknowledged(&self, by: &str, at: Span) -> Line;
    fn muted(&self, until: Span, by: &str) -> Line;

    // Replies
    fn escalated(&self, name: Span, wrong: Wrong, at: Option<Span>) -> Line;
    fn started_late(&self, name: Span, after_due: Option<&str>) -> Line;
    fn turned(&self, name: Span, wrong: Wrong, due: Option<Span>, before: Wrong, before_at: Option<Span>) -> Line;
    /// At the end of a mute.
    fn still_wrong(&self, name: Span, wrong: Wrong) -> Line;
    /// It stays wrong.
    fn wrong_again(&self, name: Span, wrong: Wrong) -> Line;
    fn ended(&self, name: Span, over: &Over, lasted: &str) -> Line;
    fn after_the_end(&self, name: Span, wrong: Wrong, at: Span) -> Line;
    fn also_among(&self) -> &'static str;
    fn worse_among(&self) -> &'static str;

    // Nights
    fn under_way(&self) -> &'static str;
    fn problems_so_far(&self, problems: u32) -> String;
    /// The all-clear is only for a night in which everything ended, nothing badly, and nothing was lost.
    fn verdict(&self, counts: &Counts, doubts: Doubts) -> String;
    /// To follow the counts.
    fn in_all(&self, occurrences: u32, jobs: u32) -> String;
    fn change(&self, change: &NightChange) -> String;
    fn doubts(&self, doubts: Doubts) -> String;
    fn closed(&self, at: Span) -> Line;
    fn done_of(&self, done: u32, total: u32) -> String;
    fn again(&self) -> &'static str;
    fn problem(&self, name: Span, status: OccurrenceStatus, due: Span) -> Line;
    fn several_problems(&self, problems: u32) -> String;
    fn still_open(&self, open: u32, due: Span) -> Line;
    fn more_jobs(&self, count: u64) -> String;

    // Blind times
    fn blind(&self, duration: &str) -> Line;
    fn blind_reason(&self, reason: BlindReason) -> &'static str;
    fn blind_concerned(&self, jobs: u32) -> String;
    fn blind_consequence(&self) -> &'static str;
    fn ended_unknown(&self, count: u32) -> String;
    fn due_at(&self, name: Span, due: Span) -> Line;

    // Digests
    fn alerts_at_once(&self, count: u64, since: Span) -> Line;
    /// They piled up while nothing could be told.
    fn alerts_caught_up(&self, count: u64, since: Span) -> Line;
    /// Something kept them back that is over.
    fn alerts_kept_back(&self, by: KeptBy, count: u64, since: Span) -> Line;
    fn of_them_over(&self, over: u64) -> String;
    fn all_over(&self) -> &'static str;
    fn of_team(&self, count: u64, team: &str) -> String;
    fn named_in_thread(&self, count: u64) -> String;
    /// Followed by what to enter.
    fn how_to_acknowledge(&self) -> &'static str;

    // The operator
    fn trouble(&self, trouble: &Trouble<'_>) -> Line;
    fn trouble_at(&self, trouble: &Trouble<'_>, at: Span) -> Line;
    fn trouble_consequence(&self, trouble: &Trouble<'_>) -> String;
}

/// A number with its thousands set apart by this.
fn grouped(number: u64, separator: char) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(separator);
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart_as_readers_expect() {
        for (number, english, indonesian) in
            [(0, "0", "0"), (999, "999", "999"), (2_000, "2,000", "2.000"), (1_234_567, "1,234,567", "1.234.567")]
        {
            assert_eq!(words(Language::English).number(number), english);
            assert_eq!(words(Language::Indonesian).number(number), indonesian);
        }
    }
}
