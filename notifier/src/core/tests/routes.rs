//! Which alert is shown where.

use ronda_domain::record::OccurrenceStatus as Status;

use super::MINUTE;
use super::rig::Rig;
use crate::channel::ChannelErrorKind;
use crate::config::Config;
use crate::route::{Kind, Matcher, Route};

fn team(team: &str, channel: &str) -> Route {
    let matcher = Matcher { teams: vec![team.into()], ..Matcher::default() };
    Route { matcher, channel: Some(channel.into()), goes_on: false }
}

fn failures(channel: &str) -> Route {
    let matcher = Matcher { kinds: vec![Kind::Failed], ..Matcher::default() };
    Route { matcher, channel: Some(channel.into()), goes_on: false }
}

fn config(routes: Vec<Route>) -> Config {
    Config { channel: "C-all".into(), routes, ..Config::default() }
}

/// To its team, and to all.
fn both() -> Config {
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
