//! What is kept of a shard, and what is not once it is somebody else's.

use ronda_domain::record::OccurrenceStatus as Status;

use super::MINUTE;
use super::rig::Rig;
use crate::config::Config;

#[test]
fn a_board_whose_shard_is_elsewhere_is_asleep_and_goes_on_when_that_comes_back() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.loses_shard();
    rig.open_window();
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), Vec::<String>::new(), "its night is somebody else's");
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["Night watch, 2026-11-24: under way"]);
    rig.loses_shard();
    let calls = rig.slack.calls;
    rig.watermark(6, 30);
    rig.pass(MINUTE);
    assert_eq!(rig.slack.calls, calls, "nor does it close the night");
    rig.restart();
    rig.judged("nightly", 60, Status::Running, Status::Succeeded);
    rig.watermark(6, 30);
    rig.pass(MINUTE);
    assert_eq!(rig.visible()[..2], ["Night watch, 2026-11-24: all clear", "🟢 *Night watch, 2026-11-24*: all clear"]);
}

#[test]
fn an_outcome_that_comes_after_its_shard_was_acquired_anew_changes_nothing_there() {
    let mut rig = Rig::new(Config::default());
    rig.fails("billing");
    rig.pass(1_900);
    let call = rig.claims(200);
    rig.restart();
    assert!(!rig.is_settled(&call), "it is of an earlier epoch");
    rig.pass(2 * MINUTE);
    assert_eq!(rig.visible(), ["🔴 *billing* failed (production)"], "it was looked up, not found, and posted again");
    assert_eq!(rig.slack.posts, 1);
}

#[test]
fn no_call_is_begun_for_a_shard_that_is_being_given_up_nor_before_the_installation_has_a_name() {
    let mut rig = Rig::new(Config::default());
    rig.gives_up();
    rig.fails("billing");
    rig.pass(MINUTE);
    assert_eq!(rig.slack.calls, 0);
    rig.restart_nameless();
    rig.pass(MINUTE);
    assert_eq!(rig.slack.calls, 0);
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["🔴 *billing* failed (production)"]);
}
