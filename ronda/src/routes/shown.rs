//! A decision, for people.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use ronda_domain::time::Timestamp;
use ronda_notifier::Config;
use ronda_notifier::route::{
    Decision, Difference, Held, HeldBy, Kind, Place, Quiet, Route, Rules, Verdict, When, decide, severity_name,
};

use super::Job;
use crate::text::{printable, whole_columns};

/// Most things that an alert is said to wait for, one after another.
const MOST_WAITS: usize = 8;

pub(super) fn told(job: &Job, kind: Kind, config: &Config, decision: &Decision) -> String {
    let rules = &config.rules();
    let mut out = format!("{}\n\n", about(job, kind));
    for place in &decision.places {
        let because = match place.routes.as_slice() {
            [] if rules.routes.is_empty() => String::from("there are no routes, so it goes where all alerts do"),
            [] => String::from("no route is for it, so it goes where such alerts do"),
            routes => {
                let names: Vec<String> = routes.iter().map(|index| format!("routes[{index}]")).collect();
                names.join(" and ")
            }
        };
        let waits = waits(place, job, kind, config);
        let _ = writeln!(out, "goes to {}: {because}{}{waits}", printable(&place.channel), how(place));
    }
    if !rules.routes.is_empty() {
        let rows: Vec<Vec<String>> = (0..)
            .zip(rules.routes.iter().zip(&decision.why))
            .map(|(index, (route, verdict)): (usize, _)| {
                vec![format!("  routes[{index}]"), to(route, rules), verdict_told(verdict, route)]
            })
            .collect();
        let _ = write!(out, "\n{}", whole_columns(&rows));
    }
    out
}

/// What else its routes say of a place.
fn how(place: &Place) -> String {
    let mut told = String::new();
    if !place.mentions.is_empty() {
        let whom: Vec<String> = place.mentions.iter().map(ToString::to_string).collect();
        let _ = write!(told, "; calls {}", whom.join(" and "));
    }
    if let Some(wait_ms) = place.grouping_wait_ms {
        let _ = write!(told, "; waits {wait_ms} ms for what follows");
    }
    if let Some(interval_ms) = place.repeat_interval_ms {
        let _ = write!(told, "; told again after {} min while nobody acknowledges it", interval_ms / 60_000);
    }
    told
}

/// Until when an alert waits there, and for what: at the end of one thing another may have begun.
fn waits(place: &Place, job: &Job, kind: Kind, config: &Config) -> String {
    let (rules, subject) = (config.rules(), super::subject(job, kind));
    let next = |held: &Held| {
        let then = decide(&rules, &subject, held.until).places;
        then.into_iter().find(|later| later.channel == place.channel).and_then(|later| later.held)
    };
    let all: Vec<Held> = std::iter::successors(place.held, next).take(MOST_WAITS).collect();
    let Some(last) = all.last() else { return String::new() };
    let why: Vec<String> = all.iter().map(|held| reason(held.by)).collect();
    format!("; not before {}: {}", at(last.until, zone(*last, place, config)), why.join(", then "))
}

fn reason(by: HeldBy) -> String {
    match by {
        HeldBy::QuietHours => String::from("quiet hours"),
        HeldBy::Maintenance(index) => format!("maintenance[{index}]"),
    }
}

/// The zone in which somebody wrote until when an alert waits; of what was written as a moment that of all messages.
fn zone(held: Held, place: &Place, config: &Config) -> TimeZone {
    let hours = match held.by {
        // Of several routes to a channel the one whose hours end first decides.
        HeldBy::QuietHours => {
            let quiet = place.routes.iter().filter_map(|index| config.routes.get(*index)?.quiet.as_ref());
            quiet.map(|Quiet { hours, .. }| hours).find(|hours| hours.end_at(held.until))
        }
        HeldBy::Maintenance(index) => match config.maintenance.get(index).map(|maintenance| &maintenance.when) {
            Some(When::Daily(hours)) => Some(hours),
            Some(When::Once(..)) | None => None,
        },
    };
    let own = || TimeZone::get(&config.timezone).unwrap_or(TimeZone::UTC);
    hours.map_or_else(own, |hours| hours.zone().clone())
}

fn at(time: Timestamp, zone: TimeZone) -> String {
    match jiff::Timestamp::from_millisecond(time.as_millis()) {
        Ok(time) => time.to_zoned(zone).strftime("%Y-%m-%d %H:%M %Z").to_string(),
        Err(_) => format!("{time:?}"),
    }
}

fn about(job: &Job, kind: Kind) -> String {
    let mut parts = vec![format!("{}: {kind}, {}", printable(&job.id), severity_name(job.severity))];
    for (what, text) in [("team", &job.team), ("environment", &job.environment)] {
        parts.push(if text.is_empty() { format!("no {what}") } else { format!("{what} {}", printable(text)) });
    }
    let tags: Vec<String> = job.tags.iter().map(|tag| printable(tag)).collect();
    parts.push(if tags.is_empty() { String::from("no tags") } else { format!("tags {}", tags.join(", ")) });
    parts.join(", ")
}

fn to(route: &Route, rules: &Rules<'_>) -> String {
    format!("to {}", printable(route.channel.as_deref().unwrap_or(rules.channel)))
}

fn verdict_told(verdict: &Verdict, route: &Route) -> String {
    match verdict {
        Verdict::Matches if route.goes_on => String::from("matches, and the next are asked, too"),
        Verdict::Matches => String::from("matches, and is the last"),
        Verdict::Differs(differences) => {
            let told: Vec<String> = differences.iter().map(difference).collect();
            format!("does not match: {}", told.join("; "))
        }
        Verdict::NotAsked { after } => format!("is not asked: routes[{after}] is the last"),
    }
}

fn difference(difference: &Difference) -> String {
    let Difference { condition, wanted, is } = difference;
    let is = is.iter().filter(|text| !text.is_empty()).map(|text| quoted(text)).collect::<Vec<_>>();
    let is = if is.is_empty() { String::from("there is none") } else { format!("it is {}", is.join(", ")) };
    let wanted: Vec<String> = wanted.iter().map(|text| quoted(text)).collect();
    format!("{condition} wants {}, and {is}", wanted.join(if *condition == "tags" { " and " } else { " or " }))
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text))
}

#[cfg(test)]
mod tests {
    use ronda_domain::spec::Severity;
    use ronda_notifier::Hours;
    use ronda_notifier::route::{Maintenance, Matcher, Mention, decide};

    use super::*;

    fn job() -> Job {
        Job {
            id: "nightly-billing".into(),
            team: "payments".into(),
            environment: "production".into(),
            tags: Box::new(["money".into()]),
            severity: Severity::Critical,
        }
    }

    fn told_with(routes: &[Route]) -> String {
        let at = Timestamp::from_seconds(1_795_867_200);
        let meanwhile = When::Once(at, at.plus_seconds(3_600));
        let matcher = Matcher { tags: vec!["slow".into()], ..Matcher::default() };
        let maintenance = vec![Maintenance { matcher, when: meanwhile }];
        let config = Config { routes: routes.to_vec(), maintenance, channel: "C-all".into(), ..Config::default() };
        let mut job = job();
        if routes.is_empty() {
            job.tags = Box::new(["slow".into()]);
        }
        told_at(&job, &config, at)
    }

    fn told_at(job: &Job, config: &Config, at: Timestamp) -> String {
        let decision = decide(&config.rules(), &super::super::subject(job, Kind::Failed), at);
        told(job, Kind::Failed, config, &decision)
    }

    #[test]
    fn until_when_it_waits_is_told_in_the_zone_in_which_it_is_written() {
        // 12:00 in UTC, 19:00 in Jakarta, 21:00 in Tokyo.
        let noon = Timestamp::from_seconds(1_795_867_200);
        let quiet = |end: &str, zone: &str| Route {
            quiet: Some(Quiet { hours: Hours::new("18:00", end, zone).unwrap(), below: Severity::Critical }),
            ..Route::default()
        };
        let mut job = job();
        job.severity = Severity::Warning;
        let both = vec![Route { goes_on: true, ..quiet("07:00", "Asia/Jakarta") }, quiet("06:30", "Asia/Tokyo")];
        let config = Config { routes: both, ..Config::default() };
        let told = told_at(&job, &config, noon);
        assert!(told.contains("; not before 2026-11-29 06:30 JST: quiet hours\n"), "{told}");
        let daily = When::Daily(Hours::new("18:00", "23:00", "Asia/Makassar").unwrap());
        let config =
            Config { maintenance: vec![Maintenance { matcher: Matcher::default(), when: daily }], ..Config::default() };
        let told = told_at(&job, &config, noon);
        assert!(told.contains("; not before 2026-11-28 23:00 WITA: maintenance[0]\n"), "{told}");
        // 23:00 in Makassar is midnight in Tokyo.
        let config = Config { routes: vec![quiet("06:30", "Asia/Tokyo")], ..config };
        let told = told_at(&job, &config, noon);
        assert!(told.contains("; not before 2026-11-29 06:30 JST: maintenance[0], then quiet hours\n"), "{told}");
    }

    #[test]
    fn where_it_goes_comes_first_and_then_what_each_route_made_of_it() {
        let team = |team: &str| Matcher { teams: vec![team.into()], ..Matcher::default() };
        let to = |channel: &str, matcher| Route { matcher, channel: Some(channel.into()), ..Route::default() };
        let mentions: Vec<Mention> = ["here", "S0123ABCD"].iter().map(|text| text.parse().unwrap()).collect();
        let stale = Matcher { kinds: vec![Kind::Stale, Kind::Missed], tags: vec!["eu".into()], ..team("search") };
        let routes = [
            to("C-search", stale),
            Route {
                goes_on: true,
                mentions,
                grouping_wait_ms: Some(500),
                repeat_interval_ms: Some(1_800_000),
                ..to("C-pay", team("pay*"))
            },
            Route::default(),
            to("C-x", team("*")),
        ];
        assert_eq!(
            told_with(&routes),
            "nightly-billing: failed, critical, team payments, environment production, tags money\n\n\
             goes to C-pay: routes[1]; calls here and S0123ABCD; waits 500 ms for what follows; told again after 30 min while nobody acknowledges it\n\
             goes to C-all: routes[2]\n\n\
             \x20 routes[0]  to C-search  does not match: teams wants \"search\", and it is \"payments\"; tags wants \"eu\", and it is \"money\"; \
             kinds wants \"stale\" or \"missed\", and it is \"failed\"\n\
             \x20 routes[1]  to C-pay     matches, and the next are asked, too\n\
             \x20 routes[2]  to C-all     matches, and is the last\n\
             \x20 routes[3]  to C-x       is not asked: routes[2] is the last\n"
        );
    }

    #[test]
    fn without_a_match_the_default_is_said_to_be_that() {
        let nobody = Route { matcher: Matcher { ids: vec!["x".into()], ..Matcher::default() }, ..Route::default() };
        assert!(told_with(&[nobody]).contains("goes to C-all: no route is for it"), "{}", told_with(&[]));
        let told = told_with(&[]);
        assert!(
            told.ends_with(
                "goes to C-all: there are no routes, so it goes where all alerts do; not before 2026-11-28 20:00 WIB: maintenance[0]\n"
            ),
            "{told}"
        );
    }
}
