//! What is not to be told yet, whatever the reason: when it is told after all, and as what.

use ronda_domain::record::OccurrenceStatus as Status;
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;

use super::MINUTE;
use super::rig::{self, EVENING, Rig};
use super::routes::{HOUR, both, calling, calls, config, quiet};
use crate::channel::ChannelErrorKind;
use crate::config::Config;
use crate::route::{Maintenance, Matcher, When};

/// Six in the morning in Jakarta, in milliseconds after a rig begins.
const SIX: u64 = 6 * HOUR + 30_000;

/// Maintenance of everything, between two times after a rig begins.
fn maintained(config: Config, from: u64, until: u64) -> Config {
    let at = |millis: u64| Timestamp::from_millis(EVENING + i64::try_from(millis).unwrap());
    let when = When::Once(at(from), at(until));
    Config { maintenance: vec![Maintenance { matcher: Matcher::default(), when }], ..config }
}

fn plain(rig: &Rig) -> Vec<String> {
    rig.slack.messages.iter().map(|message| message.content.plain.clone()).collect()
}

/// The whole texts of one channel.
fn plain_in(rig: &Rig, channel: &str) -> Vec<String> {
    let there = rig.slack.messages.iter().filter(|message| message.channel == channel);
    there.map(|message| message.content.plain.clone()).collect()
}

#[test]
fn what_was_wrong_before_a_maintenance_is_told_though_it_was_over_within() {
    let mut rig = Rig::new(maintained(Config::default(), 30 * MINUTE, 60 * MINUTE));
    rig.slack.fail_always(Some(rig::rate_limit(5)));
    rig.fails("billing");
    rig.pass(40 * MINUTE);
    rig.recovers("billing");
    rig.slack.fail_always(None);
    rig.pass(5 * MINUTE);
    rig.restart();
    rig.pass(5 * MINUTE);
    assert_eq!(rig.visible(), Vec::<String>::new(), "it may wait for the end");
    rig.pass(15 * MINUTE);
    assert_eq!(rig.visible(), ["🟢 *billing* recovered (production)"]);
}

#[test]
fn what_quiet_hours_held_is_told_after_a_maintenance_that_follows_on_them_also_when_that_sees_a_restart() {
    for restarts in [false, true] {
        let config = quiet(Severity::Critical);
        let mut rig = Rig::new(maintained(config, SIX, SIX + 30 * MINUTE));
        rig.team = "payments";
        rig.fails("billing");
        rig.pass(HOUR);
        rig.recovers("billing");
        rig.pass(SIX - HOUR + 10 * MINUTE);
        if restarts {
            rig.restart();
        }
        assert_eq!(rig.visible(), Vec::<String>::new());
        rig.pass(30 * MINUTE);
        assert_eq!(rig.visible_in("C-pay"), ["🟢 *billing* recovered (production)"]);
        assert!(plain(&rig)[0].contains("This comes late because of a maintenance."), "{:?}", plain(&rig));
    }
}

#[test]
fn what_began_and_ended_within_a_maintenance_or_a_mute_never_was_though_it_is_heard_of_after_it() {
    let mut rig = Rig::new(maintained(Config::default(), 0, HOUR));
    rig.pass(2 * HOUR);
    for (job, behind) in [("within", [80, 70]), ("longer", [80, 30]), ("earlier", [130, 70])] {
        rig.behind_ms = behind[0] * MINUTE;
        rig.fails(job);
        rig.behind_ms = behind[1] * MINUTE;
        rig.recovers(job);
    }
    for (job, over) in [("muted", 55), ("muted-not-so-long", 45)] {
        rig.behind_ms = 110 * MINUTE;
        rig.muted(job, "Ratna", 60);
        rig.behind_ms = 100 * MINUTE;
        rig.fails(job);
        rig.behind_ms = over * MINUTE;
        rig.recovers(job);
    }
    rig.behind_ms = 0;
    rig.pass(10 * MINUTE);
    let mut shown = rig.visible();
    shown.sort();
    let recovered = |job: &str| format!("🟢 *{job}* recovered (production)");
    assert_eq!(shown, [recovered("earlier"), recovered("longer"), recovered("muted-not-so-long")]);
}

#[test]
fn a_mute_that_is_heard_of_after_its_end_reminds_at_once_and_what_changed_under_it_gets_no_reply() {
    let mut rig = Rig::new(Config::default());
    for job in ["billing", "stock"] {
        rig.opens(job, Status::Stale);
    }
    rig.pass(2 * HOUR);
    for job in ["billing", "stock"] {
        rig.behind_ms = 110 * MINUTE;
        rig.muted(job, "Ratna", 60);
        rig.behind_ms = 90 * MINUTE;
        rig.changes(job, Status::Stale, Status::Failed);
    }
    rig.behind_ms = 80 * MINUTE;
    rig.recovers("stock");
    rig.behind_ms = 0;
    rig.pass(10 * MINUTE);
    let shown = rig.visible();
    assert_eq!(shown[..2], ["🔴 *billing* failed (production)", "🟢 *stock* recovered (production)"]);
    assert_eq!(shown[2..], ["↳ ⏰ The snooze is over, and it is not: *billing* failed"]);
    assert!(plain(&rig).iter().all(|text| !text.contains("Snoozed until")), "{:?}", plain(&rig));
}

#[test]
fn a_mute_over_what_waits_since_before_it_lets_it_be_told_at_the_end() {
    let mut rig = Rig::new(Config::default());
    rig.slack.fail_always(Some(rig::rate_limit(5)));
    rig.fails("billing");
    rig.pass(10 * MINUTE);
    rig.muted("billing", "Ratna", 30);
    rig.slack.fail_always(None);
    rig.pass(10 * MINUTE);
    rig.recovers("billing");
    rig.pass(10 * MINUTE);
    assert_eq!(rig.visible(), Vec::<String>::new());
    rig.restart();
    rig.pass(11 * MINUTE);
    assert_eq!(
        rig.visible(),
        ["🟢 *billing* recovered (production)"],
        "it was wrong before anybody was to hear nothing"
    );
}

#[test]
fn two_mutes_in_a_row_are_one_in_which_what_is_over_never_was() {
    let mut rig = Rig::new(Config::default());
    rig.muted("billing", "Ratna", 30);
    rig.pass(10 * MINUTE);
    rig.fails("billing");
    rig.pass(10 * MINUTE);
    rig.muted("billing", "Bayu", 60);
    rig.pass(1_000);
    rig.restart();
    rig.pass(40 * MINUTE);
    rig.recovers("billing");
    rig.pass(2 * HOUR);
    assert_eq!(rig.visible(), Vec::<String>::new());
}

#[test]
fn what_is_true_of_one_message_is_not_said_by_another() {
    let mut config = both();
    config.routes[1].quiet = quiet(Severity::Critical).routes[0].quiet.clone();
    let mut rig = Rig::new(config);
    rig.team = "payments";
    rig.fails("billing");
    rig.fails("ledger");
    rig.pass(10_000);
    rig.muted("billing", "Ratna", 30);
    rig.muted("ledger", "Ratna", 600);
    rig.goes_wrong_again("billing", 60, Status::Failed);
    rig.pass(MINUTE);
    rig.unmuted("ledger");
    rig.pass(1_000);
    rig.restart();
    rig.pass(HOUR);
    rig.goes_wrong_again("billing", 120, Status::Failed);
    rig.pass(SIX);
    assert_eq!(rig.visible_in("C-all").len(), 2, "{:?}", rig.visible());
    // Those in the other channel waited for the end of the quiet hours there.
    assert_eq!(
        plain(&rig).iter().filter(|text| text.contains("because of quiet hours")).count(),
        2,
        "{:?}",
        plain(&rig)
    );
    assert!(plain(&rig).iter().all(|text| !text.contains("was snoozed")), "{:?}", plain(&rig));
    assert!(plain(&rig).iter().all(|text| !text.contains("Snoozed until")), "{:?}", plain(&rig));
}

#[test]
fn one_message_that_may_be_a_repeat_says_nothing_of_the_others() {
    let mut rig = Rig::new(both());
    rig.team = "payments";
    rig.slack.loses_answer = true;
    rig.fails("billing");
    rig.pass(2_500);
    rig.slack.fail_always(Some(ChannelErrorKind::DestinationBroken { code: "missing_scope".into() }));
    rig.pass(15 * MINUTE);
    rig.slack.fail_always(None);
    rig.pass(20 * MINUTE);
    rig.restart();
    rig.goes_wrong_again("billing", 60, Status::Failed);
    rig.pass(MINUTE);
    let repeats = |channel: &str| {
        let texts = plain_in(&rig, channel);
        assert!(texts.iter().any(|text| text.contains("61 in a row")), "{channel}: {texts:?}");
        texts.iter().filter(|text| text.contains("may be a repeat")).count()
    };
    assert_eq!((repeats("C-pay"), repeats("C-all")), (1, 0), "{:?}", plain(&rig));
}

#[test]
fn what_is_muted_is_no_backlog_nor_what_it_will_remind_of() {
    let mut rig = Rig::new(Config::default());
    rig.fails("seen");
    rig.pass(10_000);
    rig.muted("seen", "Ratna", 60);
    rig.muted("unseen", "Ratna", 60);
    rig.fails("unseen");
    rig.pass(10_000);
    assert_eq!(rig.backlog(), 0);
    rig.slack.fail_always(Some(rig::rate_limit(5)));
    rig.pass(HOUR);
    assert_eq!(rig.backlog(), 3, "the alert, the reminder, and that the snooze is over");
}

#[test]
fn nothing_says_that_it_is_snoozed_after_the_end_of_that() {
    let mut rig = Rig::new(Config::default());
    rig.fails("seen");
    rig.pass(10_000);
    rig.muted("seen", "Ratna", 30);
    rig.muted("unseen", "Ratna", 30);
    rig.fails("unseen");
    rig.pass(20 * MINUTE);
    assert!(plain(&rig)[0].contains("Snoozed until"), "{:?}", plain(&rig));
    rig.restart();
    rig.pass(11 * MINUTE);
    assert_eq!(rig.slack.posts, 3, "{:?}", rig.visible());
    assert!(plain(&rig).iter().all(|text| !text.contains("Snoozed until")), "{:?}", plain(&rig));
    let late: Vec<bool> = plain(&rig).iter().map(|text| text.contains("because the scheduler was snoozed")).collect();
    assert_eq!(late.iter().filter(|late| **late).count(), 1, "{:?}", plain(&rig));
}

#[test]
fn many_that_one_snooze_kept_back_are_a_digest_that_says_so() {
    let mut rig = Rig::new(Config { storm_threshold: 3, ..Config::default() });
    for number in 0..10 {
        let job = format!("job{number}");
        rig.muted(&job, "Ratna", 30);
        rig.fails(&job);
    }
    rig.pass(20 * MINUTE);
    rig.restart();
    rig.pass(11 * MINUTE);
    assert!(rig.visible()[0].starts_with("🔴 *10 alerts* kept back by a snooze, since "), "{:?}", rig.visible());
    (0..9).for_each(|number| rig.recovers(&format!("job{number}")));
    rig.pass(1_000);
    rig.restart();
    rig.pass(10 * MINUTE);
    assert!(rig.visible()[0].starts_with("🔴 *10 alerts* kept back by a snooze, since "), "{:?}", rig.visible());
}

#[test]
fn a_snooze_that_ends_in_quiet_hours_ends_with_them() {
    let mut rig = Rig::new(quiet(Severity::Critical));
    rig.team = "payments";
    rig.muted("billing", "Ratna", 120);
    rig.fails("billing");
    rig.pass(5 * HOUR);
    assert_eq!(rig.visible(), Vec::<String>::new());
    rig.pass(HOUR + 5 * MINUTE);
    assert_eq!(rig.visible(), ["🔴 *billing* failed (production)"]);
    let why = plain(&rig)[0].contains("late because of quiet hours");
    assert!(why, "they were the last to hold it: {:?}", plain(&rig));
}

#[test]
fn what_somebody_looks_after_calls_nobody_when_it_has_waited_and_calls_when_it_gets_worse() {
    let mut rig = Rig::new(calling(quiet(Severity::Critical)));
    rig.team = "payments";
    rig.opens("billing", Status::Stale);
    rig.pass(HOUR);
    rig.acknowledged("billing", "Ratna");
    rig.pass(5 * HOUR + 5 * MINUTE);
    assert_eq!((calls(&rig).len(), rig.visible().len()), (0, 1), "{:?}", rig.visible());
    rig.changes("billing", Status::Stale, Status::Failed);
    rig.pass(MINUTE);
    assert_eq!(calls(&rig).len(), 1, "{:?}", rig.visible());
}

#[test]
fn where_a_route_newly_leads_a_muted_alert_waits_too() {
    let mut rig = Rig::new(config(Vec::new()));
    rig.team = "payments";
    rig.muted("billing", "Ratna", 60);
    rig.fails("billing");
    rig.pass(MINUTE);
    rig.restart_with(both());
    rig.pass(30 * MINUTE);
    assert_eq!(rig.visible(), Vec::<String>::new());
    rig.pass(30 * MINUTE);
    assert_eq!((rig.visible_in("C-pay").len(), rig.visible_in("C-all").len()), (1, 1), "{:?}", rig.visible());
}

#[test]
fn a_mute_that_is_taken_back_while_a_post_is_on_its_way_keeps_nothing_back() {
    let mut rig = Rig::new(Config::default());
    rig.muted("billing", "Ratna", 30);
    rig.fails("billing");
    rig.pass(1_000);
    // By the clock the mute is over before the notifier hears that it was taken back long ago.
    rig.stop_for(31 * MINUTE);
    let call = rig.claims(10_000);
    rig.behind_ms = 20 * 60_000;
    rig.unmuted("billing");
    let retry_after = std::time::Duration::from_secs(1);
    rig.settles_badly(&call, ChannelErrorKind::NotSent { retry_after, rate_limited: false });
    rig.behind_ms = 10 * 60_000;
    rig.recovers("billing");
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["🟢 *billing* recovered (production)"]);
}
