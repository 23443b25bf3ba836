use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{ToSpan, Zoned};
use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZoneDatabase::bundled().get(name).unwrap()
}

fn cron(expression: &str, timezone: &str) -> Schedule {
    Schedule::Cron { expression: check_cron(expression).unwrap(), timezone: check_zone(timezone).unwrap() }
}

fn instant(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

fn shown(due: Timestamp, timezone: &str) -> String {
    let at = jiff::Timestamp::from_millisecond(due.as_millis()).unwrap().to_zoned(zone(timezone));
    at.strftime("%Y-%m-%dT%H:%M%:z").to_string()
}

/// The due times of an expression from a UTC time on, as wall-clock times with their offset.
fn following(expression: &str, timezone: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = cron(expression, timezone);
    dues(&schedule, Timestamp::MIN, instant(from), Timestamp::MAX, count).map(|due| shown(due, timezone)).collect()
}

#[test]
fn a_time_that_is_jumped_over_comes_once_right_after_the_jump() {
    let dues = following("30 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2);
    assert_eq!(dues, ["2026-03-08T03:00-04:00", "2026-03-09T02:30-04:00"]);
    let dues = following("0 2,14 * * *", "Europe/Berlin", "2026-03-28T20:00:00Z", 2);
    assert_eq!(dues, ["2026-03-29T03:00+02:00", "2026-03-29T14:00+02:00"]);
    // Lord Howe jumps by half an hour, from 02:00 to 02:30.
    let dues = following("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", 2);
    assert_eq!(dues, ["2026-10-04T02:30+11:00", "2026-10-05T02:15+11:00"]);
    // Santiago jumps at midnight.
    let dues = following("@daily", "America/Santiago", "2026-09-05T12:00:00Z", 2);
    assert_eq!(dues, ["2026-09-06T01:00-03:00", "2026-09-07T00:00-03:00"]);
}

#[test]
fn several_times_that_are_jumped_over_together_come_once() {
    let dues = following("10,40 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 3);
    assert_eq!(dues, ["2026-03-08T03:00-04:00", "2026-03-09T02:10-04:00", "2026-03-09T02:40-04:00"]);
}

#[test]
fn a_time_that_comes_twice_is_due_the_first_time() {
    let dues = following("30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", 2);
    assert_eq!(dues, ["2026-11-01T01:30-04:00", "2026-11-02T01:30-05:00"]);
    let dues = following("0,30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", 3);
    assert_eq!(dues, ["2026-11-01T01:00-04:00", "2026-11-01T01:30-04:00", "2026-11-02T01:00-05:00"]);
    let dues = following("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00Z", 2);
    assert_eq!(dues, ["2026-04-05T01:45+11:00", "2026-04-06T01:45+10:30"]);
}

#[test]
fn a_star_in_the_hours_follows_the_real_hours() {
    let dues = following("0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3);
    assert_eq!(dues, ["2026-03-29T01:00+01:00", "2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"]);
    let dues = following("@hourly", "Europe/Berlin", "2026-10-25T00:00:00Z", 3);
    assert_eq!(dues, ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"]);
}

#[test]
fn an_hour_that_is_shown_again_is_not_skipped_when_the_next_match_is_days_away() {
    let dues = following("*/30 2 * * 0", "Africa/Casablanca", "2022-03-27T01:45:00Z", 2);
    assert_eq!(dues, ["2022-03-27T02:00+00:00", "2022-03-27T02:30+00:00"]);
}

#[test]
fn calendar_corners_are_right() {
    let dues = following("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", 2);
    assert_eq!(dues, ["2028-02-29T00:00+00:00", "2032-02-29T00:00+00:00"]);
    let dues = following("0 0 31 * *", "UTC", "2026-01-31T12:00:00Z", 3);
    assert_eq!(dues, ["2026-03-31T00:00+00:00", "2026-05-31T00:00+00:00", "2026-07-31T00:00+00:00"]);
    // Day of month and day of week, both given: either; with a star in one, both.
    let dues = following("0 0 */10 * MON", "UTC", "2026-01-01T12:00:00Z", 2);
    assert_eq!(dues, ["2026-05-11T00:00+00:00", "2026-06-01T00:00+00:00"]);
    let dues = following("0 0 13 * FRI", "UTC", "2026-11-10T00:00:00Z", 4);
    assert_eq!(
        dues,
        ["2026-11-13T00:00+00:00", "2026-11-20T00:00+00:00", "2026-11-27T00:00+00:00", "2026-12-04T00:00+00:00"]
    );
    assert_eq!(following("@midnight", "Asia/Jakarta", "2026-11-23T00:00:00Z", 1), ["2026-11-24T00:00+07:00"]);
}

#[test]
fn intervals_count_from_their_anchor_or_registration() {
    let at = Timestamp::from_seconds;
    let anchored = Schedule::Every { seconds: 300, anchor: Some(at(1_000)) };
    assert_eq!(next_due(&anchored, at(5), at(7)), Some(at(1_000)));
    assert_eq!(next_due(&anchored, at(5), at(1_000)), Some(at(1_300)));
    assert_eq!(next_due(&anchored, at(5), at(2_000)), Some(at(2_200)));
    let plain = Schedule::Every { seconds: 60, anchor: None };
    assert_eq!(next_due(&plain, at(5), at(5)), Some(at(65)));
    assert_eq!(next_due(&plain, at(5), at(0)), Some(at(65)));
    assert_eq!(Plan::new(&plain, at(5)).latest_due(at(5), at(64)), None);
    assert_eq!(Plan::new(&plain, at(5)).latest_due(at(5), at(190)), Some(at(185)));
    assert_eq!(next_due(&plain, Timestamp::MIN, Timestamp::MAX), None);
    assert_eq!(next_due(&plain, at(5), Timestamp::MAX), None);
}

#[test]
fn the_latest_due_time_is_found_backwards() {
    let plan = Plan::new(&cron("0 1 * * 1", "Asia/Jakarta"), Timestamp::MIN);
    let monday = instant("2026-11-22T18:00:00Z");
    assert_eq!(plan.latest_due(Timestamp::MIN, instant("2026-11-28T00:00:00Z")), Some(monday));
    assert_eq!(plan.latest_due(Timestamp::MIN, monday), Some(monday));
    assert_eq!(plan.latest_due(monday, instant("2026-11-28T00:00:00Z")), None);
}

#[test]
fn expressions_are_described() {
    assert_eq!(describe(&cron("0  1 * * *", "asia/jakarta")), "0 1 * * * (Asia/Jakarta)");
    assert_eq!(describe(&Schedule::Every { seconds: 300, anchor: None }), "every 5 min");
    assert_eq!(describe(&Schedule::Every { seconds: 90, anchor: None }), "every 90 s");
    assert_eq!(describe(&Schedule::None), "none");
}

#[test]
fn a_wrong_expression_says_which_field() {
    let said = |text: &str| check_cron(text).unwrap_err().to_string();
    assert!(said("61 * * * *").starts_with("the minute field \"61\" is not valid: "), "{}", said("61 * * * *"));
    assert!(said("0 24 * * *").starts_with("the hour field"));
    assert!(said("0 0 32 * *").starts_with("the day-of-month field"));
    assert!(said("0 0 * 13 *").starts_with("the month field"));
    assert!(said("0 0 * * MOON").starts_with("the day-of-week field"));
    assert!(said("MON 0 * * *").starts_with("the minute field"));
    assert!(said("*/0 * * * *").starts_with("the minute field"));
    assert!(said("0 0 * *").contains("has 4"));
    assert!(said("0 0 0 * * *").contains("seconds and years are not supported"));
    assert!(said("@reboot").contains("@hourly"));
    assert!(said("  ").contains("empty"));
    assert!(said("0 0 30 2 *").contains("never be due"));
    assert!(said("0 0 31 2,4,6,9,11 *").contains("never be due"));
    assert!(said(&"1,".repeat(300)).contains("at most 256"));
    assert!(check_cron("\u{0} * * * *").is_err());
    assert!(check_cron("ﬁ * * * *").is_err());
}

#[test]
fn right_expressions_are_taken() {
    for text in ["* * * * *", "*/15 9-17 * * MON-FRI", "0 0 1,15 jan-mar 0", "5 4 L * *", "0 0 * * 7", "0 0 * * 1#2"] {
        assert_eq!(check_cron(text).as_deref(), Ok(text));
    }
    assert_eq!(check_cron(" 0   1 *\t* * ").as_deref(), Ok("0 1 * * *"));
    assert_eq!(check_cron("@Daily").as_deref(), Ok("@daily"));
}

const ZONES: [&str; 6] = [
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",
    "Asia/Jakarta",
    "Africa/Casablanca",
    "America/Santiago",
];

/// A second implementation, slow and plain: the fields as sets, every minute of a window looked at.
struct Oracle {
    sets: [Vec<i16>; 5],
    star_days: (bool, bool),
    wildcard: bool,
}

impl Oracle {
    fn new(expression: &str) -> Self {
        let fields: Vec<&str> = expression.split(' ').collect();
        let ranges = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        let sets = std::array::from_fn(|place| Self::set(fields[place], ranges[place]));
        let wildcard = fields[0].starts_with('*') || fields[1].starts_with('*');
        Self { sets, star_days: (fields[2].starts_with('*'), fields[4].starts_with('*')), wildcard }
    }

    fn set(field: &str, (low, high): (i16, i16)) -> Vec<i16> {
        let part = |part: &str| {
            let (range, step) = part.split_once('/').map_or((part, 1), |(range, step)| (range, step.parse().unwrap()));
            let (from, to) = match range.split_once('-') {
                Some((from, to)) => (from.parse().unwrap(), to.parse().unwrap()),
                None if range == "*" => (low, high),
                None => (range.parse().unwrap(), range.parse().unwrap()),
            };
            (from..=to).step_by(step).collect::<Vec<i16>>()
        };
        field.split(',').flat_map(part).collect()
    }

    fn matches(&self, wall: DateTime) -> bool {
        let has = |place: usize, value: i8| self.sets[place].contains(&i16::from(value));
        let (day, week_day) = (has(2, wall.day()), has(4, wall.weekday().to_sunday_zero_offset()));
        let is_day = match self.star_days {
            (false, false) => day || week_day,
            _ => day && week_day,
        };
        has(0, wall.minute()) && has(1, wall.hour()) && has(3, wall.month()) && is_day
    }

    /// What is due in the days from a date on, by real minutes or by the clock's.
    fn dues(&self, zone: &TimeZone, from: &Zoned, days: i64) -> Vec<Timestamp> {
        let (start, minutes) = (from.timestamp(), days * 1_440);
        let as_ours = |at: jiff::Timestamp| Timestamp::from_millis(at.as_millisecond());
        let mut found = Vec::new();
        if self.wildcard {
            let instants = (0..minutes).map(|minute| start + minute.minutes());
            found.extend(instants.filter(|at| self.matches(zone.to_datetime(*at))).map(as_ours));
        } else {
            // Each matching time on the clock's face, put where it first is, or where the clock next is.
            let walls = (-180..minutes + 180).map(|minute| from.datetime() + minute.minutes());
            for wall in walls.filter(|wall| self.matches(*wall)) {
                let real = (0..).map(|minute| wall + minute.minutes());
                let mut real = real.map(|wall| zone.to_ambiguous_zoned(wall));
                let first = real.find(|wall| !matches!(wall.offset(), jiff::tz::AmbiguousOffset::Gap { .. }));
                found.push(as_ours(first.unwrap().earlier().unwrap().timestamp()));
            }
        }
        let end = as_ours(start + minutes.minutes());
        found.retain(|due| *due >= as_ours(start) && *due < end);
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn field(low: u8, high: u8) -> impl Strategy<Value = String> {
    let value = low..=high;
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => value.clone().prop_map(|value| value.to_string()),
        1 => (value.clone(), value.clone()).prop_map(|(a, b)| format!("{},{}", a.min(b), a.max(b))),
        1 => (value.clone(), value).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (2u8..=20).prop_map(|step| format!("*/{step}")),
    ]
}

fn expression() -> impl Strategy<Value = String> {
    // Hours are drawn from the early ones mostly, where clocks change.
    let hour = prop_oneof![field(0, 4), field(0, 23)];
    (field(0, 59), hour, field(1, 28), field(1, 12), field(0, 6))
        .prop_map(|(minute, hour, day, month, week)| format!("{minute} {hour} {day} {month} {week}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Around each change of the clock and elsewhere, our due times are those of the slow second implementation.
    #[test]
    fn due_times_are_those_of_a_minute_by_minute_search(
        expression in expression(),
        place in 0..ZONES.len(),
        change in 0usize..12,
        hours_before in 1i64..60,
    ) {
        let zone = zone(ZONES[place]);
        let year = jiff::civil::date(2020, 1, 1).to_zoned(zone.clone()).unwrap();
        let near = zone.following(year.timestamp()).nth(change).map(|change| change.timestamp());
        let from = near.unwrap_or_else(|| year.timestamp() + (i64::try_from(change).unwrap() * 4_000).hours());
        let from = (from - hours_before.hours()).to_zoned(zone.clone());
        let from = from.round(jiff::Unit::Minute).unwrap();
        let expected = Oracle::new(&expression).dues(&zone, &from, 4);
        let schedule = Schedule::Cron { expression: expression.clone().into(), timezone: ZONES[place].into() };
        let start = Timestamp::from_millis(from.timestamp().as_millisecond());
        let found: Vec<Timestamp> =
            dues(&schedule, Timestamp::MIN, start, start.plus_seconds(4 * 86_400), 10_000).collect();
        prop_assert_eq!(&found, &expected, "{} in {} from {}", expression, ZONES[place], from);
        if let (Some(last), false) = (found.last(), found.is_empty()) {
            let plan = Plan::new(&schedule, Timestamp::MIN);
            let end = start.plus_seconds(4 * 86_400).plus_millis(-1);
            prop_assert_eq!(plan.latest_due(Timestamp::MIN, end), Some(*last));
        }
    }

    /// Where no clock changes, the `cronexpr` crate gives the same times over years.
    #[test]
    fn due_times_are_those_of_another_crate(expression in expression(), start in 0i64..1_893_456_000) {
        let other = cronexpr::parse_crontab(&format!("{expression} Asia/Jakarta"));
        prop_assume!(other.is_ok());
        let schedule = Schedule::Cron { expression: expression.clone().into(), timezone: "Asia/Jakarta".into() };
        let mut after = Timestamp::from_seconds(start);
        for _ in 0..20 {
            let theirs = other.as_ref().unwrap().find_next(jiff::Timestamp::from_millisecond(after.as_millis()).unwrap());
            let ours = next_due(&schedule, Timestamp::MIN, after);
            let theirs = theirs.ok().map(|due| Timestamp::from_millis(due.timestamp().as_millisecond()));
            // It looks ahead some years only.
            let Some(theirs) = theirs else { break };
            prop_assert_eq!(ours, Some(theirs), "{}", expression);
            after = ours.unwrap();
        }
    }

    #[test]
    fn any_time_and_text_is_survived(text in ".{0,40}", after in any::<i64>(), seconds in any::<u32>(), base in any::<i64>()) {
        let after = Timestamp::from_millis(after);
        let _ = check_cron(&text);
        let _ = check_zone(&text);
        for schedule in [
            Schedule::Cron { expression: text.clone().into(), timezone: "UTC".into() },
            Schedule::Cron { expression: "0 1 29 2 *".into(), timezone: "Europe/Berlin".into() },
            Schedule::Every { seconds, anchor: Some(Timestamp::from_millis(base)) },
        ] {
            let due = next_due(&schedule, Timestamp::MIN, after);
            prop_assert!(due.is_none_or(|due| due > after));
            let latest = Plan::new(&schedule, Timestamp::MIN).latest_due(Timestamp::MIN, after);
            prop_assert!(latest.is_none_or(|due| due <= after));
        }
    }
}
