//! What stays wrong is told again where a route says so.

use ronda_domain::record::OccurrenceStatus as Status;
use ronda_domain::spec::Severity;

use super::MINUTE;
use super::rig::{self, Rig};
use super::routes::{HOUR, both, calling, calls, quiet};
use crate::channel::ChannelErrorKind;
use crate::config::Config;

/// Calls, and again after half an hour, in C-pay only.
fn insisting() -> Config {
    let mut config = calling(both());
    config.routes[0].repeat_interval_ms = Some(30 * MINUTE);
    config
}

fn rig(config: Config) -> Rig {
    let mut rig = Rig::new(config);
    rig.team = "payments";
    rig
}

fn again(rig: &Rig) -> usize {
    rig.visible_in("C-pay").iter().filter(|line| line.contains("🔔")).count()
}

/// How often it was told again, where a route says so and there alone.
fn told_again(rig: &Rig) -> usize {
    let again = "↳ 🔔 *billing* failed, and nobody has acked it yet";
    assert_eq!(rig.visible_in("C-all").len(), 1, "the other route says nothing of it: {:?}", rig.visible());
    rig.visible_in("C-pay").iter().filter(|line| *line == again).count()
}

#[test]
fn what_nobody_looks_after_is_told_again_after_ever_longer_and_not_forever_and_calls_each_time() {
    let mut rig = rig(insisting());
    rig.fails("billing");
    rig.pass(29 * MINUTE);
    assert_eq!((told_again(&rig), calls(&rig).len()), (0, 1));
    let mut passed = 29;
    for (number, minutes) in [30, 90, 210, 450, 930, 1_890].into_iter().enumerate() {
        rig.pass((minutes - passed - 1) * MINUTE);
        assert_eq!(told_again(&rig), number, "before minute {minutes}");
        rig.pass(2 * MINUTE);
        passed = minutes + 1;
        assert_eq!((told_again(&rig), calls(&rig).len()), (number + 1, number + 2), "after minute {minutes}");
        assert_eq!(rig.backlog(), 0, "the next one waits");
    }
    rig.pass(100 * HOUR);
    assert_eq!(told_again(&rig), 6);
}

#[test]
fn it_is_told_again_once_each_over_restarts_and_lost_answers() {
    let mut rig = rig(insisting());
    rig.fails("billing");
    for _ in 0..3 {
        rig.pass(10 * MINUTE);
        rig.restart();
    }
    rig.slack.loses_answer = true;
    rig.pass(MINUTE);
    rig.restart();
    rig.pass(10 * MINUTE);
    assert_eq!(told_again(&rig), 1);
    rig.slack.fail_always(Some(ChannelErrorKind::Ambiguous));
    rig.pass(HOUR);
    rig.restart();
    rig.slack.fail_always(None);
    rig.pass(10 * MINUTE);
    rig.restart();
    rig.pass(10 * MINUTE);
    assert_eq!(told_again(&rig), 2, "{:?}", rig.visible());
    rig.stop_for(20 * HOUR);
    rig.pass(10 * MINUTE);
    assert_eq!(told_again(&rig), 3, "not all at once that were due meanwhile: {:?}", rig.visible());
}

#[test]
fn nobody_is_called_again_to_what_somebody_looks_after_or_is_over() {
    for is_over in [false, true] {
        let mut rig = rig(insisting());
        rig.fails("billing");
        rig.pass(40 * MINUTE);
        if is_over {
            rig.recovers("billing");
        } else {
            rig.acknowledged("billing", "Ratna");
        }
        rig.pass(10 * HOUR);
        rig.restart();
        rig.pass(10 * HOUR);
        let again = again(&rig);
        assert_eq!((again, calls(&rig).len()), (1, 1), "the alert was edited since: {:?}", rig.visible());
    }
}

#[test]
fn an_acknowledgment_that_comes_before_a_call_that_could_not_be_made_takes_it_back() {
    let mut rig = rig(insisting());
    rig.fails("billing");
    rig.pass(29 * MINUTE);
    rig.slack.fail_always(Some(rig::rate_limit(5)));
    rig.pass(10 * MINUTE);
    rig.acknowledged("billing", "Ratna");
    rig.slack.fail_always(None);
    rig.pass(HOUR);
    assert_eq!((calls(&rig).len(), rig.visible_in("C-pay").len()), (0, 2), "{:?}", rig.visible());
}

#[test]
fn a_snooze_puts_it_off_and_its_end_counts_as_told() {
    let mut rig = rig(insisting());
    rig.fails("billing");
    rig.pass(10 * MINUTE);
    rig.muted("billing", "Ratna", 120);
    rig.pass(HOUR);
    rig.restart();
    rig.goes_wrong_again("billing", 60, Status::Failed);
    rig.pass(HOUR + 20 * MINUTE);
    let reminders = rig.visible_in("C-pay").iter().filter(|line| line.contains("⏰")).count();
    assert_eq!((again(&rig), reminders), (0, 1), "{:?}", rig.visible());
    rig.goes_wrong_again("billing", 120, Status::Failed);
    rig.pass(5 * MINUTE);
    assert_eq!(again(&rig), 0, "{:?}", rig.visible());
    rig.pass(10 * MINUTE);
    assert_eq!(again(&rig), 1, "{:?}", rig.visible());
}

#[test]
fn in_quiet_hours_nobody_is_called_again_until_they_are_over() {
    let mut config = calling(quiet(Severity::Critical));
    config.routes[0].repeat_interval_ms = Some(30 * MINUTE);
    let mut rig = rig(config);
    // Two hours before the next quiet hours, which are eight of every day.
    rig.pass(20 * HOUR);
    rig.fails("billing");
    rig.pass(9 * HOUR);
    assert_eq!(again(&rig), 2, "after half an hour, and an hour after that: {:?}", rig.visible());
    rig.pass(HOUR + 5 * MINUTE);
    assert_eq!(again(&rig), 3, "{:?}", rig.visible());
}

#[test]
fn a_route_that_says_it_later_calls_again_and_one_that_does_no_more_does_not() {
    let mut rig = rig(calling(both()));
    rig.fails("billing");
    rig.pass(HOUR);
    assert_eq!(told_again(&rig), 0);
    rig.restart_with(insisting());
    rig.pass(MINUTE);
    assert_eq!(told_again(&rig), 1);
    rig.restart_with(calling(both()));
    rig.pass(10 * HOUR);
    assert_eq!(told_again(&rig), 1);
    rig.restart_with(insisting());
    rig.pass(MINUTE);
    assert_eq!(told_again(&rig), 2);
}

#[test]
fn what_got_worse_has_called_by_that() {
    let mut rig = rig(insisting());
    rig.opens("billing", Status::Stale);
    rig.pass(20 * MINUTE);
    rig.changes("billing", Status::Stale, Status::Failed);
    rig.pass(20 * MINUTE);
    assert_eq!(again(&rig), 0, "{:?}", rig.visible());
    rig.pass(11 * MINUTE);
    assert_eq!(again(&rig), 1, "{:?}", rig.visible());
}

#[test]
fn what_could_not_be_told_again_before_quiet_hours_waits_for_their_end() {
    let mut config = calling(quiet(Severity::Critical));
    config.routes[0].repeat_interval_ms = Some(30 * MINUTE);
    let mut rig = rig(config);
    rig.pass(21 * HOUR + 20 * MINUTE);
    rig.fails("billing");
    rig.pass(29 * MINUTE);
    rig.slack.fail_always(Some(rig::rate_limit(5)));
    rig.pass(20 * MINUTE);
    rig.slack.fail_always(None);
    rig.pass(HOUR);
    assert_eq!(again(&rig), 0, "{:?}", rig.visible());
    rig.pass(7 * HOUR);
    assert_eq!(again(&rig), 1, "{:?}", rig.visible());
}
