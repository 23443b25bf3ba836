//! Where alerts go.

use proptest::prelude::*;
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;

use super::*;
use crate::hours::Hours;

/// 2026-11-28 12:00 in UTC, 19:00 in Jakarta.
const NOON: Timestamp = Timestamp::from_millis(1_795_867_200_000);
const HOUR_MS: i64 = 3_600_000;

fn quiet(start: &str, end: &str) -> Option<Quiet> {
    Some(Quiet { hours: Hours::new(start, end, "Asia/Jakarta").unwrap(), below: Severity::Critical })
}

fn at_hour(hours: i64) -> Timestamp {
    NOON.plus_millis(hours * HOUR_MS)
}

#[test]
fn quiet_hours_hold_what_is_not_urgent_until_their_end() {
    let routes = [Route { quiet: quiet("18:00", "06:00"), ..of_team("C1", "*") }];
    let rules = Rules { routes: &routes, maintenance: &[], channel: "C" };
    let critical = subject("payments", Kind::Failed);
    let warning = Subject { severity: Severity::Warning, ..critical };
    let held = |subject: &Subject<'_>, at| decide(&rules, subject, at).places[0].held;
    assert_eq!(held(&warning, NOON), Some(Held { until: at_hour(11), by: HeldBy::QuietHours }));
    assert_eq!(held(&warning, at_hour(11)), None, "at its end it is over");
    assert_eq!(held(&warning, at_hour(-2)), None);
    assert_eq!(held(&critical, NOON), None);
}

#[test]
fn a_channel_is_quiet_only_where_all_of_the_routes_to_it_are_and_then_until_the_first_is_not() {
    let held = |second: Option<Quiet>| {
        let first = Route { goes_on: true, quiet: quiet("18:00", "06:00"), ..of_team("C1", "*") };
        let routes = [first, Route { quiet: second, ..of_team("C1", "*") }];
        let rules = Rules { routes: &routes, maintenance: &[], channel: "C" };
        let warning = Subject { severity: Severity::Warning, ..subject("payments", Kind::Failed) };
        decide(&rules, &warning, NOON).places[0].held.map(|held| held.until)
    };
    assert_eq!(held(None), None);
    assert_eq!(held(quiet("19:00", "20:00")), Some(at_hour(1)));
    assert_eq!(held(quiet("20:00", "21:00")), None);
}

#[test]
fn maintenance_holds_everywhere_what_it_is_for_and_of_several_the_longest_counts() {
    let window =
        |team: &str, when| Maintenance { matcher: Matcher { teams: vec![team.into()], ..Matcher::default() }, when };
    let daily = When::Daily(Hours::new("18:30", "19:30", "Asia/Jakarta").unwrap());
    let maintenance = [
        window("pay*", daily),
        window("payments", When::Once(NOON, at_hour(5))),
        window("x", When::Once(NOON, at_hour(9))),
    ];
    let routes = [Route { goes_on: true, ..of_team("C1", "*") }, of_team("C2", "*")];
    let rules = Rules { routes: &routes, maintenance: &maintenance, channel: "C" };
    let held = |team, at| {
        let places = decide(&rules, &subject(team, Kind::Failed), at).places;
        places.into_iter().map(|place| place.held).collect::<Vec<_>>()
    };
    let longest = Some(Held { until: at_hour(5), by: HeldBy::Maintenance(1) });
    assert_eq!(held("payments", NOON), [longest; 2]);
    assert_eq!(held("search", NOON), [None, None]);
    assert_eq!(held("payments", at_hour(5)), [None, None]);
}

fn subject(team: &'static str, kind: Kind) -> Subject<'static> {
    Subject { id: "nightly-billing", team, environment: "production", tags: &[], severity: Severity::Critical, kind }
}

fn route(channel: &str, matcher: Matcher) -> Route {
    Route { matcher, channel: Some(channel.to_owned()), ..Route::default() }
}

fn of_team(channel: &str, team: &str) -> Route {
    route(channel, Matcher { teams: vec![team.to_owned()], ..Matcher::default() })
}

fn channels(routes: &[Route], subject: &Subject<'_>) -> Vec<String> {
    let decision = decide(&Rules { routes, maintenance: &[], channel: "C-default" }, subject, NOON);
    decision.places.into_iter().map(|place| place.channel).collect()
}

#[test]
fn the_first_route_that_is_for_it_decides_and_without_any_the_default() {
    let routes = [of_team("C-pay", "pay*"), of_team("C-all", "*")];
    assert_eq!(channels(&routes, &subject("payments", Kind::Failed)), ["C-pay"]);
    assert_eq!(channels(&routes, &subject("search", Kind::Failed)), ["C-all"]);
    assert_eq!(channels(&routes[..1], &subject("search", Kind::Failed)), ["C-default"]);
    assert_eq!(channels(&[], &subject("search", Kind::Failed)), ["C-default"]);
}

#[test]
fn a_route_that_goes_on_lets_the_next_ones_be_asked_and_a_channel_is_one_place() {
    let mut routes = [of_team("C-pay", "payments"), of_team("C-all", "*"), of_team("C-pay", "*")];
    routes[0].goes_on = true;
    routes[1].goes_on = true;
    let decision =
        decide(&Rules { routes: &routes, maintenance: &[], channel: "C" }, &subject("payments", Kind::Missed), NOON);
    let places: Vec<_> = decision.places.iter().map(|place| (place.channel.as_str(), &place.routes[..])).collect();
    assert_eq!(places, [("C-pay", &[0, 2][..]), ("C-all", &[1])]);
}

#[test]
fn a_place_calls_whom_its_routes_call_and_waits_as_the_most_urgent_of_them() {
    let call = |whom: &[&str], wait| Route {
        goes_on: true,
        mentions: whom.iter().map(|whom| whom.parse().unwrap()).collect(),
        grouping_wait_ms: wait,
        ..of_team("C1", "*")
    };
    let routes = [
        call(&["here", "S0123ABCD"], Some(5_000)),
        call(&["U0123ABCD", "here"], Some(1_000)),
        call(&[], None),
        of_team("C2", "*"),
    ];
    let decision =
        decide(&Rules { routes: &routes, maintenance: &[], channel: "C" }, &subject("payments", Kind::Missed), NOON);
    let told: Vec<String> = decision.places[0].mentions.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["here", "S0123ABCD", "U0123ABCD"]);
    assert_eq!((decision.places[0].grouping_wait_ms, decision.places[1].grouping_wait_ms), (Some(1_000), None));
    assert_eq!(decision.places[1].mentions, []);
}

#[test]
fn everything_that_stands_against_a_route_is_told() {
    let matcher = Matcher {
        teams: vec!["search".into()],
        environments: vec!["prod*".into()],
        tags: vec!["money".into()],
        ids: vec!["hourly-*".into()],
        severities: vec![Severity::Info, Severity::Warning],
        kinds: vec![Kind::Stale],
    };
    let routes = [route("C1", matcher), of_team("C2", "*"), of_team("C3", "*")];
    let decision =
        decide(&Rules { routes: &routes, maintenance: &[], channel: "C" }, &subject("payments", Kind::Failed), NOON);
    let Verdict::Differs(differences) = &decision.why[0] else { panic!("{decision:?}") };
    let conditions: Vec<_> = differences.iter().map(|difference| difference.condition).collect();
    assert_eq!(conditions, ["teams", "ids", "tags", "severities", "kinds"]);
    assert_eq!(
        (&differences[3].wanted[..], &differences[3].is[..]),
        (&["info".to_owned(), "warning".to_owned()][..], &["critical".to_owned()][..])
    );
    assert_eq!(decision.why[1..], [Verdict::Matches, Verdict::NotAsked { after: 1 }]);
}

#[test]
fn kinds_are_read_as_they_are_written() {
    for kind in Kind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert!(NotAKind.to_string().contains(&format!("{:?}", kind.name())));
    }
    assert_eq!("late".parse::<Kind>(), Err(NotAKind));
}

fn any_route() -> impl Strategy<Value = Route> {
    let team = prop::sample::select(vec!["*", "pay*", "payments", "search", "?", ""]);
    let channel = prop::option::of(prop::sample::select(vec!["C1", "C2", "webhook:ops"]));
    let kinds = prop::sample::subsequence(Kind::ALL.to_vec(), 0..3);
    (team, channel, kinds, any::<bool>()).prop_map(|(team, channel, kinds, goes_on)| Route {
        matcher: Matcher { teams: vec![team.to_owned()], kinds, ..Matcher::default() },
        channel: channel.map(str::to_owned),
        goes_on,
        ..Route::default()
    })
}

proptest! {
    #[test]
    fn each_alert_has_a_place_each_channel_once_and_a_reason_from_every_route(
        routes in prop::collection::vec(any_route(), 0..6),
        team in prop::sample::select(vec!["payments", "search", "x", ""]),
        kind in prop::sample::select(Kind::ALL.to_vec()),
    ) {
        let subject = subject(team, kind);
        let decision = decide(&Rules { routes: &routes, maintenance: &[], channel: "C-default" }, &subject, NOON);
        prop_assert_eq!(decision.why.len(), routes.len());
        let mut channels: Vec<_> = decision.places.iter().map(|place| &place.channel).collect();
        channels.sort();
        channels.dedup();
        prop_assert_eq!(channels.len(), decision.places.len());
        // Every route that is for it shows it at its own place, and no other does.
        let matching: Vec<usize> = (0..routes.len()).filter(|index| decision.why[*index] == Verdict::Matches).collect();
        let mut leading: Vec<usize> = decision.places.iter().flat_map(|place| place.routes.clone()).collect();
        leading.sort_unstable();
        prop_assert_eq!(&leading, &matching);
        prop_assert_eq!(matching.is_empty(), decision.places[0].routes.is_empty());
        for place in &decision.places {
            for index in &place.routes {
                prop_assert_eq!(routes[*index].channel.as_deref().unwrap_or("C-default"), &place.channel);
            }
        }
        // All but the last that matches go on, and who comes after one that does not is not asked.
        if let Some((last, earlier)) = matching.split_last() {
            prop_assert!(earlier.iter().all(|index| routes[*index].goes_on));
            let not_asked = decision.why.iter().filter(|verdict| matches!(verdict, Verdict::NotAsked { .. })).count();
            prop_assert_eq!(not_asked, if routes[*last].goes_on { 0 } else { routes.len() - last - 1 });
        }
    }

    #[test]
    fn a_route_that_is_not_for_it_changes_nothing(
        routes in prop::collection::vec(any_route(), 0..5),
        at in 0_usize..5,
        kind in prop::sample::select(Kind::ALL.to_vec()),
    ) {
        let subject = subject("payments", kind);
        let before = channels(&routes, &subject);
        let mut with = routes;
        with.insert(at.min(with.len()), of_team("C-elsewhere", "nobody"));
        prop_assert_eq!(channels(&with, &subject), before);
    }
}
