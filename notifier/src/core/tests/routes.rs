//! Which alert is shown where.

use std::time::Duration;

use ronda_domain::record::OccurrenceStatus as Status;
use ronda_domain::spec::Severity;

use super::MINUTE;
use super::rig::Rig;
use super::slack::Message;
use crate::channel::ChannelErrorKind;
use crate::config::Config;
use crate::hours::Hours;
use crate::route::{Kind, Maintenance, Matcher, Quiet, Route, When};

pub(super) fn team(team: &str, channel: &str) -> Route {
    let matcher = Matcher { teams: vec![team.into()], ..Matcher::default() };
    Route { matcher, channel: Some(channel.into()), ..Route::default() }
}

fn failures(channel: &str) -> Route {
    let matcher = Matcher { kinds: vec![Kind::Failed], ..Matcher::default() };
    Route { matcher, channel: Some(channel.into()), ..Route::default() }
}

pub(super) fn config(routes: Vec<Route>) -> Config {
    Config { channel: "C-all".into(), routes, ..Config::default() }
}

/// To its team, and to all.
pub(super) fn both() -> Config {
    let first = Route { goes_on: true, ..team("payments", "C-pay") };
    config(vec![first, team("*", "C-all")])
}

#[test]
fn an_alert_is_where_its_route_says_with_its_replies_and_the_others_are_where_they_were() {
    let mut rig = Rig::new(config(vec![team("payments", "C-pay")]));
    rig.team = "payments";
    rig.fails("billing");
    rig.team = "search";
    rig.fails("index");
    rig.pass(10_000);
    assert_eq!(rig.visible_in("C-pay"), ["🔴 *billing* failed (production)"]);
    assert_eq!(rig.visible_in("C-all"), ["🔴 *index* failed (production)"]);
    rig.team = "payments";
    rig.recovers("billing");
    rig.pass(10_000);
    assert_eq!(rig.visible_in("C-pay").len(), 2);
    assert!(rig.visible_in("C-pay")[0].starts_with("🟢 *billing* recovered"), "{:?}", rig.visible());
    assert!(rig.visible_in("C-pay")[1].starts_with("↳ ✅ *billing* recovered"), "{:?}", rig.visible());
    assert_eq!(rig.visible_in("C-all"), ["🔴 *index* failed (production)"]);
}

#[test]
fn an_alert_of_two_places_is_one_message_in_each_whatever_is_lost_and_repeated() {
    let mut rig = Rig::new(both());
    rig.team = "payments";
    rig.fails("billing");
    rig.slack.loses_answer = true;
    rig.pass(3_000);
    rig.restart();
    rig.fails("billing");
    rig.pass(3 * MINUTE);
    for channel in ["C-pay", "C-all"] {
        assert_eq!(rig.visible_in(channel), ["🔴 *billing* failed (production)"], "{channel}");
    }
    assert_eq!(rig.slack.posts, 2, "the lost one was found");
    rig.slack.fail_next(ChannelErrorKind::Ambiguous);
    rig.recovers("billing");
    rig.pass(10 * MINUTE);
    for channel in ["C-pay", "C-all"] {
        let shown = rig.visible_in(channel);
        assert!(shown[0].starts_with("🟢 ") && shown[1].starts_with("↳ ✅ ") && shown.len() == 2, "{shown:?}");
    }
}

#[test]
fn what_becomes_a_failure_is_shown_where_failures_go_and_stays_where_it_was() {
    let mut rig = Rig::new(config(vec![failures("C-fail")]));
    rig.opens("billing", Status::Stale);
    rig.pass(10_000);
    assert_eq!(rig.visible_in("C-fail"), Vec::<String>::new());
    rig.changes("billing", Status::Stale, Status::Failed);
    rig.pass(10_000);
    assert_eq!(rig.visible_in("C-fail"), ["🔴 *billing* failed (production)"], "news there, so no reply");
    assert_eq!(rig.visible_in("C-all").len(), 2, "{:?}", rig.visible());
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.slack.posts, 3, "a start changes nothing");
}

#[test]
fn a_route_that_comes_later_shows_what_is_open_and_one_that_goes_leaves_its_message_to_its_end() {
    let mut rig = Rig::new(config(Vec::new()));
    rig.team = "payments";
    rig.fails("billing");
    rig.fails("ledger");
    rig.pass(10_000);
    rig.recovers("ledger");
    rig.pass(10_000);
    rig.restart_with(both());
    rig.pass(10_000);
    assert_eq!(rig.visible_in("C-pay"), ["🔴 *billing* failed (production)"], "what is open, and only that");
    assert_eq!(rig.visible_in("C-all").len(), 3, "{:?}", rig.visible());
    rig.restart_with(config(Vec::new()));
    rig.pass(10_000);
    rig.recovers("billing");
    rig.pass(10_000);
    assert!(rig.visible_in("C-pay")[0].starts_with("🟢 "), "{:?}", rig.visible());
    assert!(rig.visible_in("C-all")[0].starts_with("🟢 "), "{:?}", rig.visible());
}

#[test]
fn when_the_routes_change_places_nothing_is_posted_again() {
    let mut rig = Rig::new(both());
    rig.team = "payments";
    rig.fails("billing");
    rig.pass(10_000);
    let turned = vec![Route { goes_on: true, ..team("*", "C-all") }, team("payments", "C-pay")];
    rig.restart_with(config(turned));
    rig.pass(10_000);
    rig.restart_with(config(vec![team("payments", "C-pay")]));
    rig.pass(10_000);
    rig.restart_with(config(Vec::new()));
    rig.pass(10_000);
    assert_eq!(rig.slack.posts, 2, "{:?}", rig.visible());
}

#[test]
fn what_a_channel_refuses_holds_no_other_up_and_what_nobody_saw_is_not_posted_where_no_route_leads_any_more() {
    let mut rig = Rig::new(both());
    rig.team = "payments";
    rig.slack.broken = Some("C-pay".into());
    rig.fails("billing");
    rig.pass(10_000);
    assert_eq!(rig.visible_in("C-all")[0], "🔴 *billing* failed (production)");
    rig.slack.broken = None;
    rig.restart_with(config(Vec::new()));
    rig.pass(20 * MINUTE);
    assert_eq!(rig.visible_in("C-pay"), Vec::<String>::new());
    assert_eq!(rig.visible_in("C-all").iter().filter(|line| line.contains("*billing*")).count(), 1);
    rig.restart_with(both());
    rig.pass(20 * MINUTE);
    assert_eq!(rig.visible_in("C-pay"), ["🔴 *billing* failed (production)"], "one leads there again");
}

#[test]
fn a_storm_in_one_channel_is_none_in_another() {
    let mut rig = Rig::new(config(vec![team("payments", "C-pay")]));
    rig.team = "payments";
    for number in 0..30 {
        rig.fails(&format!("job-{number}"));
    }
    rig.team = "search";
    rig.fails("index");
    rig.pass(MINUTE);
    assert_eq!(rig.visible_in("C-all"), ["🔴 *index* failed (production)"]);
    assert!(rig.visible_in("C-pay")[0].starts_with("🔴 *30 alerts"), "{:?}", rig.visible());
    rig.restart();
    rig.team = "payments";
    (0..30).for_each(|number| rig.recovers(&format!("job-{number}")));
    rig.pass(MINUTE);
    assert!(rig.visible_in("C-pay")[0].starts_with("🟢 *30 alerts"), "{:?}", rig.visible());
    assert_eq!(rig.visible_in("C-all"), ["🔴 *index* failed (production)"]);
}

#[test]
fn a_storm_over_two_places_is_a_digest_in_each_and_both_are_brought_to_their_end() {
    let mut rig = Rig::new(both());
    rig.team = "payments";
    (0..30).for_each(|number| rig.fails(&format!("job-{number}")));
    rig.pass(MINUTE);
    (0..30).for_each(|number| rig.recovers(&format!("job-{number}")));
    rig.pass(MINUTE);
    for channel in ["C-pay", "C-all"] {
        assert!(rig.visible_in(channel)[0].starts_with("🟢 *30 alerts"), "{:?}", rig.visible());
    }
}

pub(super) fn calling(mut config: Config) -> Config {
    config.routes[0].mentions = vec!["S0123ABCD".parse().unwrap()];
    config
}

/// What somebody is called by, and below which line.
pub(super) fn calls(rig: &Rig) -> Vec<(String, String)> {
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let called = rig.slack.messages.iter().filter(|message| message.content.text.contains("<!subteam^S0123ABCD>"));
    called.map(|message| (message.channel.clone(), first(&message.content.text))).collect()
}

#[test]
fn who_is_to_be_called_is_by_a_new_message_and_by_one_that_says_it_got_worse_and_by_no_edit() {
    let mut rig = Rig::new(calling(both()));
    rig.team = "payments";
    rig.opens("billing", Status::Stale);
    rig.pass(10_000);
    let opened = ("C-pay".to_owned(), rig.visible_in("C-pay")[0].clone());
    assert_eq!(calls(&rig), [opened], "and not in the other channel");
    rig.changes("billing", Status::Stale, Status::Failed);
    rig.pass(10_000);
    let replied = ("C-pay".to_owned(), rig.visible_in("C-pay")[1].trim_start_matches("↳ ").to_owned());
    assert_eq!(calls(&rig), [replied], "the alert was edited, and calls nobody any more");
    rig.recovers("billing");
    rig.pass(10_000);
    assert_eq!(calls(&rig).len(), 1, "that it is over calls nobody");
}

#[test]
fn what_is_over_before_it_is_told_calls_nobody() {
    let mut rig = Rig::new(calling(both()));
    rig.team = "payments";
    rig.fails("billing");
    rig.recovers("billing");
    rig.pass(10_000);
    assert_eq!((calls(&rig), rig.visible_in("C-pay").len()), (Vec::new(), 1));
}

#[test]
fn a_digest_calls_those_whom_its_alerts_would_have_called() {
    let mut rig = Rig::new(calling(config(vec![team("payments", "C-pay")])));
    rig.team = "payments";
    (0..30).for_each(|number| rig.fails(&format!("job-{number}")));
    rig.team = "search";
    rig.fails("index");
    rig.pass(MINUTE);
    assert_eq!(calls(&rig).len(), 1, "{:?}", rig.visible());
    assert!(calls(&rig)[0].1.contains("30 alerts"), "{:?}", rig.visible());
}

/// Twenty-five of a team that nobody is called for, told as a digest.
fn with_a_digest(config: Config) -> Rig {
    let mut rig = Rig::new(config);
    rig.team = "search";
    (0..25).for_each(|number| rig.fails(&format!("index-{number}")));
    rig.pass(5_000);
    assert_eq!((rig.slack.posts, rig.visible()[0].contains("25 alerts")), (1, true), "{:?}", rig.visible());
    assert_eq!(calls(&rig), []);
    rig
}

/// How many posts have called somebody.
fn called(rig: &Rig) -> usize {
    rig.slack.posted.iter().filter(|text| text.contains("<!subteam^S0123ABCD>")).count()
}

/// Everything into one channel, where payments call somebody.
fn one_channel() -> Config {
    calling(config(vec![team("payments", "C-all")]))
}

#[test]
fn who_would_call_somebody_that_a_digest_has_not_called_does_not_join_it_in_silence() {
    let mut rig = with_a_digest(one_channel());
    rig.team = "search";
    rig.fails("index-25");
    rig.team = "payments";
    rig.fails("billing");
    rig.pass(8_000);
    assert_eq!(rig.slack.posts, 2, "{:?}", rig.visible());
    assert_eq!(calls(&rig), [("C-all".to_owned(), "🔴 *billing* failed (production)".to_owned())]);
    assert!(rig.visible()[0].contains("26 alerts"), "who calls nobody joins: {:?}", rig.visible());
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.slack.posts, 2);
}

#[test]
fn many_who_would_call_somebody_are_a_digest_of_their_own_that_calls_once_and_takes_in_the_others() {
    let mut rig = with_a_digest(one_channel());
    rig.team = "payments";
    (0..25).for_each(|number| rig.fails(&format!("billing-{number}")));
    rig.pass(3_000);
    rig.fails("billing-25");
    rig.pass(MINUTE);
    assert_eq!(rig.slack.posts, 2, "{:?}", rig.visible());
    assert!(rig.visible()[1].contains("26 alerts"), "{:?}", rig.visible());
    assert_eq!(calls(&rig), [], "an edit has no call in it");
    assert_eq!(called(&rig), 1, "{:?}", rig.slack.posted);
}

#[test]
fn what_joins_a_digest_while_its_post_is_on_its_way_is_called_for_all_the_same() {
    let mut rig = Rig::new(one_channel());
    rig.team = "search";
    (0..25).for_each(|number| rig.fails(&format!("index-{number}")));
    rig.pass(500);
    let call = rig.claims(2_000);
    rig.team = "payments";
    rig.fails("billing");
    rig.ticks();
    assert!(rig.is_settled(&call));
    rig.pass(10_000);
    assert_eq!(called(&rig), 1, "{:?}", rig.slack.posted);
}

#[test]
fn a_critical_one_does_not_join_in_silence_a_digest_of_what_is_less() {
    let mut rig = with_a_digest(one_channel());
    rig.severity = Severity::Critical;
    rig.fails("core");
    rig.pass(8_000);
    assert_eq!(rig.slack.posts, 2, "{:?}", rig.visible());
    assert_eq!(rig.visible()[1], "🔴 *core* failed (production)");
}

#[test]
fn what_gets_worse_in_a_digest_is_told_below_it_and_calls_once_for_all() {
    let failures = Route { matcher: Matcher { kinds: vec![Kind::Failed], ..Matcher::default() }, ..Route::default() };
    let mut rig = Rig::new(calling(config(vec![failures])));
    (0..25).for_each(|number| rig.opens(&format!("job-{number:02}"), Status::Stale));
    rig.pass(5_000);
    assert_eq!((rig.slack.posts, called(&rig)), (1, 0), "{:?}", rig.visible());
    for number in 0..20 {
        rig.changes(&format!("job-{number:02}"), Status::Stale, Status::Failed);
        rig.pass(if number % 5 == 0 { 100 } else { 0 });
    }
    rig.pass(10_000);
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!((rig.slack.posts, called(&rig)), (2, 1), "{:?}", rig.visible());
    assert_eq!(rig.visible()[1], "↳ ⬆️ Worse now, of these alerts:");
    let reply = &rig.slack.messages[1].content.text;
    assert!((0..20).all(|number| reply.contains(&format!("*job-{number:02}*: failed"))), "{reply}");
    rig.changes("job-20", Status::Stale, Status::Failed);
    rig.pass(MINUTE);
    assert_eq!((rig.slack.posts, called(&rig)), (3, 2), "as each that got worse by itself would: {:?}", rig.visible());
}

#[test]
fn also_those_whom_a_digest_only_counts_are_called_for() {
    let mut rig = Rig::new(one_channel());
    rig.team = "search";
    (0..510).for_each(|number| rig.fails(&format!("index-{number:03}")));
    rig.team = "payments";
    rig.fails("zzz");
    rig.pass(MINUTE);
    assert_eq!(called(&rig), 1, "{:?}", rig.visible());
}

#[test]
fn a_route_has_a_grouping_wait_of_its_own() {
    let mut config = both();
    config.routes[0].grouping_wait_ms = Some(20_000);
    let mut rig = Rig::new(config);
    rig.team = "payments";
    rig.fails("billing");
    rig.pass(10_000);
    assert_eq!((rig.visible_in("C-pay").len(), rig.visible_in("C-all").len()), (0, 1));
    rig.pass(15_000);
    assert_eq!((rig.visible_in("C-pay").len(), rig.visible_in("C-all").len()), (1, 1));
}

pub(super) const HOUR: u64 = 60 * MINUTE;

/// From 22:00 to 06:00 in Jakarta, which is six hours from when a rig begins.
fn night() -> Hours {
    Hours::new("22:00", "06:00", "Asia/Jakarta").unwrap()
}

pub(super) fn quiet(below: Severity) -> Config {
    config(vec![Route { quiet: Some(Quiet { hours: night(), below }), ..team("payments", "C-pay") }])
}

fn maintenance() -> Config {
    let matcher = Matcher { teams: vec!["payments".into()], ..Matcher::default() };
    Config { maintenance: vec![Maintenance { matcher, when: When::Daily(night()) }], ..both() }
}

#[test]
fn in_quiet_hours_what_is_not_urgent_waits_and_is_shown_at_their_end_as_it_is_then() {
    let mut rig = Rig::new(quiet(Severity::Critical));
    rig.team = "payments";
    rig.fails("billing");
    rig.fails("ledger");
    rig.pass(HOUR);
    rig.restart();
    rig.recovers("ledger");
    rig.pass(4 * HOUR);
    assert_eq!(rig.visible(), Vec::<String>::new());
    rig.pass(HOUR + 5 * MINUTE);
    let mut shown = rig.visible_in("C-pay");
    shown.sort();
    assert_eq!(shown, ["🔴 *billing* failed (production)", "🟢 *ledger* recovered (production)"]);
    let says_why = |message: &Message| message.content.plain.contains("This comes late because of quiet hours.");
    assert!(rig.slack.messages.iter().all(says_why), "neither looks like news of now");
    assert_eq!(rig.slack.posts, 2);
}

#[test]
fn a_routes_channel_that_refuses_is_told_where_all_else_goes() {
    let mut rig = Rig::new(config(vec![team("payments", "C-pay")]));
    rig.team = "payments";
    rig.slack.broken = Some("C-pay".into());
    rig.fails("billing");
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["🛠️ *Messages can't be delivered* to C-pay: is_archived"]);
    assert!(rig.visible_in("C-pay").is_empty());
}

#[test]
fn what_could_not_be_told_at_the_end_of_quiet_hours_is_not_late_because_of_them() {
    let mut rig = Rig::new(quiet(Severity::Critical));
    rig.team = "payments";
    rig.fails("billing");
    rig.pass(5 * HOUR);
    let again = Duration::from_secs(30);
    rig.slack.fail_always(Some(ChannelErrorKind::NotSent { retry_after: again, rate_limited: false }));
    rig.pass(4 * HOUR);
    rig.slack.fail_always(None);
    rig.pass(5 * MINUTE);
    let plain = &rig.slack.messages[0].content.plain;
    assert!(plain.contains("late: it could not be told before") && !plain.contains("quiet hours"), "{plain}");
}

#[test]
fn in_quiet_hours_what_is_urgent_does_not_wait_nor_what_is_of_another_route() {
    let mut rig = Rig::new(quiet(Severity::Warning));
    rig.team = "payments";
    rig.fails("billing");
    rig.pass(MINUTE);
    assert_eq!(rig.visible_in("C-pay").len(), 1, "a warning is not below a warning");
    let mut rig = Rig::new(quiet(Severity::Critical));
    rig.team = "search";
    rig.fails("index");
    rig.pass(MINUTE);
    assert_eq!(rig.visible_in("C-all").len(), 1);
}

#[test]
fn many_that_have_waited_are_one_digest_at_the_end_of_quiet_hours_and_none_before() {
    let mut rig = Rig::new(quiet(Severity::Critical));
    rig.team = "payments";
    (0..30).for_each(|number| rig.fails(&format!("job-{number}")));
    rig.pass(5 * HOUR);
    assert_eq!(rig.visible(), Vec::<String>::new());
    rig.pass(HOUR + 5 * MINUTE);
    assert!(rig.visible()[0].starts_with("🔴 *30 alerts* kept back by quiet hours, since"), "{:?}", rig.visible());
}

#[test]
fn in_maintenance_nothing_is_told_and_at_its_end_what_is_still_so_and_only_that() {
    let mut rig = Rig::new(calling(maintenance()));
    rig.team = "payments";
    rig.fails("billing");
    rig.fails("ledger");
    rig.pass(HOUR);
    rig.recovers("ledger");
    rig.pass(HOUR);
    rig.restart();
    rig.team = "search";
    rig.fails("index");
    rig.pass(HOUR);
    assert_eq!(rig.visible(), ["🔴 *index* failed (production)"]);
    rig.pass(3 * HOUR + 5 * MINUTE);
    assert_eq!(rig.visible_in("C-pay"), ["🔴 *billing* failed (production)"]);
    let late = |message: &&Message| message.content.plain.contains("This comes late because of a maintenance.");
    assert_eq!(rig.slack.messages.iter().filter(late).count(), 2, "in both channels");
    assert_eq!(calls(&rig).len(), 1);
    assert_eq!(rig.slack.posts, 3, "{:?}", rig.visible());
}

#[test]
fn maintenance_that_is_taken_out_of_the_settings_holds_nothing_any_more() {
    let mut rig = Rig::new(maintenance());
    rig.team = "payments";
    rig.fails("billing");
    rig.pass(MINUTE);
    rig.restart_with(both());
    rig.pass(MINUTE);
    assert_eq!(rig.slack.posts, 2);
}
