//! From what a client wrote to a [`SchedulerSpec`], with every wrong field told at once.

use crate::id::check_id;
use crate::limits;
use crate::schedule::{check_cron, check_zone};
use crate::spec::{Schedule, SchedulerSpec, Severity};
use crate::time::Timestamp;

/// How long after its due time a start is in time, unless the client says otherwise, in seconds.
pub const DEFAULT_START_GRACE_SECONDS: u32 = 300;
/// How long before its due time a start counts, unless the client says otherwise, in seconds.
pub const DEFAULT_EARLY_WINDOW_SECONDS: u32 = 60;

/// A description as it comes out of JSON: nothing checked, anything absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecDraft {
    /// The scheduler's id (part of the key, not of the spec); the default of `name`.
    pub id: String,
    /// See [`SchedulerSpec::name`].
    pub name: Option<String>,
    /// See [`SchedulerSpec::description`].
    pub description: Option<String>,
    /// See [`SchedulerSpec::team`].
    pub team: Option<String>,
    /// See [`SchedulerSpec::environment`].
    pub environment: Option<String>,
    /// See [`SchedulerSpec::tags`].
    pub tags: Option<Vec<String>>,
    /// See [`SchedulerSpec::schedule`]; absent: none.
    pub schedule: Option<ScheduleDraft>,
    /// Seconds; see [`SchedulerSpec::start_grace_seconds`]. Absent: [`DEFAULT_START_GRACE_SECONDS`], or half the period
    /// (at least one second) when that is less, so that one missed start is told from the next.
    pub start_grace_seconds: Option<i64>,
    /// Seconds; see [`SchedulerSpec::early_window_seconds`]. Absent: [`DEFAULT_EARLY_WINDOW_SECONDS`], or a tenth of the
    /// period when that is less, so that a late start is not taken for an early one.
    pub early_window_seconds: Option<i64>,
    /// Seconds; see [`SchedulerSpec::max_run_seconds`].
    pub max_run_seconds: Option<i64>,
    /// Seconds; see [`SchedulerSpec::heartbeat_timeout_seconds`].
    pub heartbeat_timeout_seconds: Option<i64>,
    /// See [`SchedulerSpec::alert_after`]; absent: 1.
    pub alert_after: Option<i64>,
    /// See [`SchedulerSpec::recover_after`]; absent: 1.
    pub recover_after: Option<i64>,
    /// `info`, `warning` (also when absent) or `critical`.
    pub severity: Option<String>,
    /// See [`SchedulerSpec::runbook_url`].
    pub runbook_url: Option<String>,
}

/// A schedule as it comes out of JSON: either `cron` (with `timezone`) or `every_seconds` (with `anchor`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleDraft {
    /// Five fields, or an `@` name.
    pub cron: Option<String>,
    /// IANA name; `UTC` when absent.
    pub timezone: Option<String>,
    /// Period in seconds.
    pub every_seconds: Option<i64>,
    /// RFC 3339 time that due times are counted from; itself the first.
    pub anchor: Option<String>,
}

/// One thing that is wrong with a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the register body, such as `/schedule/cron`.
    pub pointer: String,
    /// A short constant name for machines.
    pub code: &'static str,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl SpecDraft {
    /// Checks everything, fills in defaults.
    ///
    /// # Errors
    /// Every wrong field, in the order of the fields above.
    pub fn validate(self) -> Result<SchedulerSpec, Vec<FieldError>> {
        let mut checks = Checks::default();
        if let Err(error) = check_id(&self.id) {
            checks.wrong("/id", "invalid_id", error.to_string());
        }
        let name = checks.text("/name", self.name.as_deref(), limits::MAX_NAME_BYTES, false);
        let description = checks.text("/description", self.description.as_deref(), limits::MAX_DESCRIPTION_BYTES, true);
        let team = checks.text("/team", self.team.as_deref(), limits::MAX_LABEL_BYTES, false);
        let environment = checks.text("/environment", self.environment.as_deref(), limits::MAX_LABEL_BYTES, false);
        let tags = checks.tags(&self.tags.unwrap_or_default());
        let schedule = checks.schedule(self.schedule);
        let period = shortest_period(&schedule);
        let grace = period.map_or(DEFAULT_START_GRACE_SECONDS, |period| {
            DEFAULT_START_GRACE_SECONDS.min(period.checked_div(2).unwrap_or(0).max(1))
        });
        let early = period.map_or(DEFAULT_EARLY_WINDOW_SECONDS, |period| {
            DEFAULT_EARLY_WINDOW_SECONDS.min(period.checked_div(10).unwrap_or(0))
        });
        let start_grace_seconds = checks.seconds("/start_grace_seconds", self.start_grace_seconds, 0).unwrap_or(grace);
        let early_window_seconds =
            checks.seconds("/early_window_seconds", self.early_window_seconds, 0).unwrap_or(early);
        if self.early_window_seconds.is_some() && period.is_some_and(|period| early_window_seconds >= period) {
            let message = "must be shorter than the time between two due times, so that a start belongs to one of them";
            checks.wrong("/early_window_seconds", "too_long", message);
        }
        let spec = SchedulerSpec {
            name: if name.is_empty() { self.id.as_str().into() } else { name },
            description,
            team,
            environment,
            tags,
            schedule,
            start_grace_seconds,
            early_window_seconds,
            max_run_seconds: checks.seconds("/max_run_seconds", self.max_run_seconds, 1),
            heartbeat_timeout_seconds: checks.seconds("/heartbeat_timeout_seconds", self.heartbeat_timeout_seconds, 1),
            alert_after: checks.threshold("/alert_after", self.alert_after),
            recover_after: checks.threshold("/recover_after", self.recover_after),
            severity: checks.severity(self.severity.as_deref()),
            runbook_url: checks.url("/runbook_url", self.runbook_url.as_deref()),
        };
        if checks.errors.is_empty() { Ok(spec) } else { Err(checks.errors) }
    }
}

/// The period of an interval; of a cron expression the least time between two of the next few due times.
fn shortest_period(schedule: &Schedule) -> Option<u32> {
    match schedule {
        Schedule::None => None,
        Schedule::Every { seconds, .. } => Some(*seconds),
        Schedule::Cron { .. } => {
            // From a fixed time, so that the same description always gets the same defaults.
            let start = Timestamp::from_seconds(1_767_225_600);
            let few: Vec<Timestamp> = crate::schedule::dues(schedule, start, start, Timestamp::MAX, 64).collect();
            let least =
                few.iter().zip(few.iter().skip(1)).map(|(earlier, later)| later.millis_since(*earlier)).min()?;
            u32::try_from(least.checked_div(1_000)?).ok()
        }
    }
}

#[derive(Default)]
struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    fn wrong(&mut self, pointer: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.errors.push(FieldError { pointer: pointer.into(), code, message: message.into() });
    }

    /// A text within its limit and without control characters (line breaks and tabs where several lines make sense).
    fn text(&mut self, pointer: &str, given: Option<&str>, max: usize, lines: bool) -> Box<str> {
        let text = given.unwrap_or_default().trim();
        if text.len() > max {
            let message = format!("must be at most {max} bytes of UTF-8, and has {}", text.len());
            self.wrong(pointer, "too_long", message);
            return Box::default();
        }
        let is_refused =
            |character: char| character.is_control() && !(lines && matches!(character, '\n' | '\r' | '\t'));
        if let Some(position) = text.chars().position(is_refused) {
            let message = format!("must not contain control characters; character {position} is one");
            self.wrong(pointer, "control_character", message);
        }
        text.into()
    }

    fn tags(&mut self, given: &[String]) -> Box<[Box<str>]> {
        if given.len() > limits::MAX_TAGS {
            let message = format!("must have at most {} tags, and has {}", limits::MAX_TAGS, given.len());
            self.wrong("/tags", "too_many", message);
            return Box::default();
        }
        let mut tags: Vec<Box<str>> = Vec::with_capacity(given.len());
        for (index, tag) in given.iter().enumerate() {
            let pointer = format!("/tags/{index}");
            if tag.trim().is_empty() {
                self.wrong(pointer, "empty", "must not be empty");
                continue;
            }
            let tag = self.text(&pointer, Some(tag), limits::MAX_TAG_BYTES, false);
            tags.push(tag);
        }
        tags.sort_unstable();
        tags.dedup();
        tags.into()
    }

    fn schedule(&mut self, given: Option<ScheduleDraft>) -> Schedule {
        let draft = given.unwrap_or_default();
        match (draft.cron, draft.every_seconds) {
            (Some(_), Some(_)) => {
                self.wrong("/schedule", "contradiction", "must have either cron or every_seconds, not both");
                Schedule::None
            }
            (None, None) => {
                if draft.timezone.is_some() || draft.anchor.is_some() {
                    self.wrong(
                        "/schedule",
                        "incomplete",
                        "must have cron or every_seconds; leave it out for no schedule",
                    );
                }
                Schedule::None
            }
            (Some(cron), None) => {
                if draft.anchor.is_some() {
                    self.wrong("/schedule/anchor", "not_applicable", "only goes with every_seconds, not with cron");
                }
                self.cron(&cron, draft.timezone.as_deref().unwrap_or("UTC"))
            }
            (None, Some(seconds)) => {
                if draft.timezone.is_some() {
                    self.wrong("/schedule/timezone", "not_applicable", "only goes with cron, not with every_seconds");
                }
                let seconds = self.seconds("/schedule/every_seconds", Some(seconds), limits::MIN_INTERVAL_SECONDS);
                let anchor = draft.anchor.and_then(|anchor| self.anchor(&anchor));
                seconds.map_or(Schedule::None, |seconds| Schedule::Every { seconds, anchor })
            }
        }
    }

    fn cron(&mut self, cron: &str, timezone: &str) -> Schedule {
        let expression = check_cron(cron);
        if let Err(error) = &expression {
            self.wrong("/schedule/cron", "invalid_cron", error.to_string());
        }
        let zone = check_zone(timezone);
        if let Err(error) = &zone {
            self.wrong("/schedule/timezone", "unknown_timezone", error.to_string());
        }
        match (expression, zone) {
            (Ok(expression), Ok(timezone)) => Schedule::Cron { expression, timezone },
            _ => Schedule::None,
        }
    }

    fn anchor(&mut self, text: &str) -> Option<Timestamp> {
        match text.parse::<jiff::Timestamp>() {
            Ok(anchor) => Some(Timestamp::from_millis(anchor.as_millisecond())),
            Err(_) => {
                let message = "must be an RFC 3339 time with its offset, such as \"2026-11-23T01:00:00Z\"";
                self.wrong("/schedule/anchor", "invalid_time", message);
                None
            }
        }
    }

    fn seconds(&mut self, pointer: &str, given: Option<i64>, min: u32) -> Option<u32> {
        let given = given?;
        let seconds = u32::try_from(given).ok().filter(|seconds| (min..=limits::MAX_SECONDS).contains(seconds));
        if seconds.is_none() {
            let message = format!("must be from {min} to {} seconds, and is {given}", limits::MAX_SECONDS);
            self.wrong(pointer, "out_of_range", message);
        }
        seconds
    }

    fn threshold(&mut self, pointer: &str, given: Option<i64>) -> u8 {
        let Some(given) = given else { return 1 };
        let threshold = u8::try_from(given).ok().filter(|count| (1..=limits::MAX_THRESHOLD).contains(count));
        threshold.unwrap_or_else(|| {
            let message = format!("must be from 1 to {}, and is {given}", limits::MAX_THRESHOLD);
            self.wrong(pointer, "out_of_range", message);
            1
        })
    }

    fn severity(&mut self, given: Option<&str>) -> Severity {
        match given {
            None | Some("warning") => Severity::Warning,
            Some("info") => Severity::Info,
            Some("critical") => Severity::Critical,
            Some(_) => {
                self.wrong("/severity", "unknown_value", "must be one of info, warning, critical");
                Severity::Warning
            }
        }
    }

    /// An address that can be put behind a link: `http` or `https`, a host, no white space.
    fn url(&mut self, pointer: &str, given: Option<&str>) -> Box<str> {
        let url = self.text(pointer, given, limits::MAX_URL_BYTES, false);
        if url.is_empty() {
            return url;
        }
        let scheme_and_rest = url.split_once("://");
        let is_web = scheme_and_rest.is_some_and(|(scheme, rest)| {
            (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"))
                && rest.chars().next().is_some_and(|first| first.is_alphanumeric() || first == '[')
        });
        if !is_web || url.contains(|character: char| character.is_whitespace() || "<>\"|".contains(character)) {
            self.wrong(
                pointer,
                "invalid_url",
                "must be an http:// or https:// address without spaces, quotes, '|', '<' or '>'",
            );
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> SpecDraft {
        SpecDraft { id: "nightly".to_owned(), ..SpecDraft::default() }
    }

    fn cron(expression: &str, timezone: &str) -> Option<ScheduleDraft> {
        Some(ScheduleDraft {
            cron: Some(expression.to_owned()),
            timezone: Some(timezone.to_owned()),
            ..ScheduleDraft::default()
        })
    }

    fn every(seconds: i64) -> Option<ScheduleDraft> {
        Some(ScheduleDraft { every_seconds: Some(seconds), ..ScheduleDraft::default() })
    }

    fn wrong(draft: SpecDraft) -> Vec<(String, &'static str)> {
        draft.validate().unwrap_err().into_iter().map(|error| (error.pointer, error.code)).collect()
    }

    #[test]
    fn an_id_is_enough() {
        let spec = draft().validate().unwrap();
        assert_eq!(&*spec.name, "nightly");
        assert_eq!(spec.schedule, Schedule::None);
        assert_eq!((spec.start_grace_seconds, spec.early_window_seconds), (300, 60));
        assert_eq!((spec.alert_after, spec.recover_after, spec.severity), (1, 1, Severity::Warning));
        assert_eq!((spec.max_run_seconds, spec.heartbeat_timeout_seconds), (None, None));
    }

    #[test]
    fn short_periods_get_shorter_windows() {
        let windows = |schedule| {
            let spec = SpecDraft { schedule, ..draft() }.validate().unwrap();
            (spec.start_grace_seconds, spec.early_window_seconds)
        };
        assert_eq!(windows(every(60)), (30, 6));
        assert_eq!(windows(every(1)), (1, 0));
        assert_eq!(windows(every(86_400)), (300, 60));
        assert_eq!(windows(cron("* * * * *", "UTC")), (30, 6));
        assert_eq!(windows(cron("0 1 * * *", "Asia/Jakarta")), (300, 60));
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let draft = SpecDraft {
            id: "../x".to_owned(),
            name: Some("a\0b".to_owned()),
            description: Some("x".repeat(2_001)),
            tags: Some(vec!["ok".to_owned(), " ".to_owned()]),
            schedule: cron("61 * * * *", "Asia/Jakrta"),
            start_grace_seconds: Some(-1),
            max_run_seconds: Some(0),
            alert_after: Some(0),
            recover_after: Some(101),
            severity: Some("fatal".to_owned()),
            runbook_url: Some("javascript:alert(1)".to_owned()),
            ..SpecDraft::default()
        };
        let errors = draft.clone().validate().unwrap_err();
        assert!(errors.iter().any(|error| error.message.contains("did you mean \"Asia/Jakarta\"?")));
        let pointers: Vec<String> = wrong(draft).into_iter().map(|(pointer, _)| pointer).collect();
        let expected = [
            "/id",
            "/name",
            "/description",
            "/tags/1",
            "/schedule/cron",
            "/schedule/timezone",
            "/start_grace_seconds",
            "/max_run_seconds",
            "/alert_after",
            "/recover_after",
            "/severity",
            "/runbook_url",
        ];
        assert_eq!(pointers, expected);
    }

    #[test]
    fn schedules_must_be_of_one_kind() {
        let of = |schedule| wrong(SpecDraft { schedule: Some(schedule), ..draft() });
        let both = ScheduleDraft { cron: Some("@daily".into()), every_seconds: Some(5), ..ScheduleDraft::default() };
        assert_eq!(of(both), [("/schedule".to_owned(), "contradiction")]);
        let zone = ScheduleDraft { timezone: Some("UTC".into()), ..ScheduleDraft::default() };
        assert_eq!(of(zone), [("/schedule".to_owned(), "incomplete")]);
        let anchor = ScheduleDraft { every_seconds: Some(5), anchor: Some("soon".into()), ..ScheduleDraft::default() };
        assert_eq!(of(anchor), [("/schedule/anchor".to_owned(), "invalid_time")]);
        assert_eq!(of(ScheduleDraft { every_seconds: Some(0), ..ScheduleDraft::default() }).len(), 1);
    }

    #[test]
    fn an_early_window_can_not_reach_the_due_time_before() {
        let draft = SpecDraft { schedule: every(60), early_window_seconds: Some(60), ..draft() };
        assert_eq!(wrong(draft), [("/early_window_seconds".to_owned(), "too_long")]);
    }

    #[test]
    fn texts_of_any_script_are_kept() {
        let spec = SpecDraft { name: Some(" tugas malam 🌙 עברית ".to_owned()), ..draft() }.validate().unwrap();
        assert_eq!(&*spec.name, "tugas malam 🌙 עברית");
        let spec = SpecDraft { description: Some("two\nlines".to_owned()), ..draft() }.validate().unwrap();
        assert_eq!(&*spec.description, "two\nlines");
    }

    #[test]
    fn tags_are_sorted_without_repeats() {
        let tags = Some(vec!["b".to_owned(), "a".to_owned(), "b".to_owned()]);
        let spec = SpecDraft { tags, ..draft() }.validate().unwrap();
        assert_eq!(spec.tags.iter().map(|tag| &**tag).collect::<Vec<_>>(), ["a", "b"]);
    }
}
