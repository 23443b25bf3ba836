//! What people see, with driven time: the core against a channel double.

mod again;
mod care;
mod rig;
mod routes;
mod scan;
mod shards;
mod slack;
mod storms;
mod told;
mod waits;

use ronda_domain::event::Lifecycle;
use ronda_domain::record::OccurrenceStatus as Status;

use crate::channel::ChannelErrorKind;
use crate::config::{Board, Config};
use rig::{Rig, tenant};

const MINUTE: u64 = 60_000;

#[test]
fn one_failure_is_one_red_alert_within_the_grouping_wait_and_two_seconds() {
    let mut rig = Rig::new(Config::default());
    rig.fails("billing");
    rig.fails("billing");
    rig.pass(1_900);
    assert_eq!(rig.visible(), Vec::<String>::new());
    rig.pass(2_000);
    assert_eq!(rig.visible(), ["🔴 *billing* failed (production)"]);
    assert_eq!(rig.slack.posts, 1, "the same event again changes nothing");
}

#[test]
fn fail_then_recover_turns_the_same_message_green_and_replies_once() {
    let mut rig = Rig::new(Config::default());
    rig.fails("billing");
    rig.pass(10_000);
    rig.recovers("billing");
    rig.pass(10_000);
    assert_eq!(rig.visible()[0], "🟢 *billing* recovered (production)");
    assert_eq!(rig.visible().len(), 2);
    assert!(rig.visible()[1].starts_with("↳ ✅ *billing* recovered after 10 s"), "{:?}", rig.visible());
}

#[test]
fn fail_and_recover_within_the_grouping_wait_is_one_green_message_with_both_times() {
    let mut rig = Rig::new(Config::default());
    rig.fails("billing");
    rig.pass(500);
    rig.recovers("billing");
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["🟢 *billing* recovered (production)"]);
    let plain = &rig.slack.messages[0].content.plain;
    assert!(plain.contains("Failed ") && plain.contains("Over since"), "{plain}");
}

#[test]
fn stale_then_completed_says_how_late_and_stale_then_failed_escalates_in_place() {
    let mut rig = Rig::new(Config::default());
    rig.opens("late", Status::Stale);
    rig.opens("dead", Status::Stale);
    rig.pass(10_000);
    rig.completes_late("late");
    rig.changes("dead", Status::Stale, Status::Failed);
    rig.pass(10_000);
    let visible = rig.visible();
    assert!(visible.contains(&"🔴 *dead* failed (production)".to_owned()), "{visible:?}");
    assert!(visible.iter().any(|line| line.starts_with("↳ ⬆️ *dead* failed at ")), "{visible:?}");
    assert!(visible.iter().any(|line| line.starts_with("🟢 *late* completed, 1 min")), "{visible:?}");
    assert_eq!(visible.len(), 4);
}

#[test]
fn after_a_rate_limit_nothing_is_sent_and_then_failures_come_first() {
    let mut rig = Rig::new(Config::default());
    rig.slack.fail_next(rig::rate_limit(30));
    rig.opens("missed", Status::Missed);
    rig.pass(3_000);
    assert_eq!(rig.slack.calls, 1);
    rig.opens("stale", Status::Stale);
    rig.opens("failed", Status::Failed);
    rig.pass(28_000);
    assert_eq!(rig.slack.calls, 1, "no call meanwhile");
    rig.pass(5_000);
    let names: Vec<&str> = rig.slack.messages.iter().map(|message| message.k.split('/').nth(2).unwrap()).collect();
    assert_eq!(names, ["failed", "stale", "missed"]);
}

#[test]
fn a_refused_destination_is_left_alone_told_elsewhere_and_loses_nothing() {
    let mut rig = Rig::new(Config { admin_channel: Some("C-admin".into()), ..Config::default() });
    rig.slack.broken = Some("#ronda".into());
    rig.fails("billing");
    rig.pass(4 * MINUTE);
    assert_eq!(rig.visible(), ["🛠️ *Messages can't be delivered* to #ronda: is_archived"]);
    assert!(rig.slack.calls <= 3, "no loop: {}", rig.slack.calls);
    rig.slack.broken = None;
    rig.pass(6 * MINUTE);
    assert!(rig.visible().contains(&"🔴 *billing* failed (production)".to_owned()));
}

#[test]
fn a_deleted_alert_stays_deleted_and_a_deleted_board_comes_back_once() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.open_window();
    rig.fails("billing");
    rig.pass(20_000);
    assert_eq!(rig.slack.messages.len(), 2);
    rig.slack.messages.clear();
    rig.recovers("billing");
    rig.changed("nightly", Status::Expected, Status::Running);
    rig.pass(MINUTE);
    assert_eq!(rig.slack.messages.len(), 1, "{:?}", rig.visible());
    assert!(rig.slack.messages[0].k.starts_with("b/night/"));
    rig.slack.messages.clear();
    rig.changed("nightly", Status::Running, Status::Succeeded);
    rig.pass(MINUTE);
    assert!(rig.slack.messages.iter().all(|message| !message.k.starts_with("b/")), "{:?}", rig.visible());
}

#[test]
fn a_reply_that_lost_its_parent_is_removed_and_never_posted_again() {
    let mut rig = Rig::new(Config::default());
    rig.fails("billing");
    rig.pass(10_000);
    rig.slack.messages.clear();
    rig.slack.refuses_removal = true;
    // The reply comes before the edit that would tell us that the alert is gone.
    let retry_after = std::time::Duration::from_secs(20);
    rig.slack.fail_next(ChannelErrorKind::NotSent { retry_after, rate_limited: false });
    rig.recovers("billing");
    rig.pass(5 * MINUTE);
    assert_eq!(rig.slack.posts, 2, "the alert, and its reply once: {:?}", rig.visible());
    assert_eq!(rig.slack.messages.len(), 1);
    rig.fails("other");
    rig.pass(10_000);
    assert_eq!(rig.slack.posts, 3, "a refused removal keeps nothing else waiting");
    rig.slack.refuses_removal = false;
    rig.restart();
    rig.pass(5 * MINUTE);
    assert_eq!(rig.visible(), ["🔴 *other* failed (production)"]);
}

#[test]
fn what_every_partition_says_of_a_gap_is_one_notice_and_another_gap_is_another() {
    let mut rig = Rig::new(Config::default());
    rig.blind_ms(0, (0, 600_000), &["a"]);
    rig.pass(10_000);
    // The others' frames were not of the same millisecond; one was heard again much later.
    rig.blind_ms(1, (-40, 600_250), &["b"]);
    rig.blind_ms(2, (10, 630_000), &["c"]);
    rig.pass(10_000);
    assert_eq!(rig.slack.messages.len(), 1, "{:?}", rig.visible());
    let plain = &rig.slack.messages[0].content.plain;
    assert!(plain.contains("3 jobs were due or running") && plain.contains("a, b, c"), "{plain}");
    assert!(rig.visible()[0].contains("Ronda was blind"), "{:?}", rig.visible());
    rig.blind(0, (3_000, 3_600), &["a"]);
    rig.pass(10_000);
    assert_eq!(rig.slack.messages.len(), 2, "{:?}", rig.visible());
}

#[test]
fn a_gap_that_concerned_nobody_is_not_told_until_it_did() {
    let mut rig = Rig::new(Config::default());
    rig.blind(0, (0, 600), &[]);
    rig.pass(MINUTE);
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), Vec::<String>::new());
    rig.blind(1, (0, 600), &["a"]);
    rig.pass(10_000);
    assert!(rig.slack.messages[0].content.plain.contains("1 job was due or running"), "{:?}", rig.visible());
}

#[test]
fn only_what_was_awaited_in_a_gap_is_told_as_its_unknown() {
    let mut rig = Rig::new(Config::default());
    rig.blind(0, (0, 600), &["a"]);
    rig.pass(10 * MINUTE);
    rig.judged("a", 5, Status::Expected, Status::Unknown);
    rig.judged("weeks-later", 20_000, Status::Expected, Status::Unknown);
    rig.pass(10_000);
    let plain = &rig.slack.messages[0].content.plain;
    assert!(plain.contains("1 ended as unknown") && !plain.contains("weeks-later"), "{plain}");
}

#[test]
fn a_post_whose_answer_was_lost_is_found_although_our_clock_is_hours_off() {
    for ahead_ms in [-5 * 3_600_000, 9 * 3_600_000] {
        let mut rig = Rig::new(Config::default());
        rig.slack.ahead_ms = ahead_ms;
        rig.fails("billing");
        rig.slack.loses_answer = true;
        rig.pass(5 * MINUTE);
        assert_eq!((rig.slack.posts, rig.slack.messages.len()), (1, 1), "{ahead_ms}");
    }
}

#[test]
fn a_night_is_one_table_few_edits_and_exactly_one_all_clear() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.schedules("often", "*/5 0 * * *");
    rig.open_window();
    rig.pass(1_000);
    assert_eq!(rig.visible(), ["Night watch, 2026-11-24: under way"]);
    let edits = rig.slack.edits;
    for minute in 0..12 {
        rig.judged("often", minute * 5, Status::Expected, Status::Succeeded);
        rig.pass(5_000);
    }
    assert!(rig.slack.edits - edits <= 6, "{} edits in a minute", rig.slack.edits - edits);
    rig.judged("nightly", 60, Status::Running, Status::Succeeded);
    rig.watermark(5, 59);
    rig.pass(MINUTE);
    let visible = rig.visible();
    assert_eq!(visible[0], "Night watch, 2026-11-24: all clear");
    assert_eq!(visible[1], "🟢 *Night watch, 2026-11-24*: all clear");
    rig.watermark(6, 10);
    rig.pass(MINUTE);
    assert_eq!(rig.visible().len(), 2, "one all-clear");
    rig.judged("nightly", 60, Status::Succeeded, Status::Failed);
    rig.pass(MINUTE);
    let visible = rig.visible();
    assert_eq!(visible[0], "Night watch, 2026-11-24: ended with 1 problem");
    assert!(visible[2].starts_with("↳ After the end: *nightly* failed"), "{visible:?}");
    assert_eq!(visible.len(), 3, "no second summary");
}

#[test]
fn a_night_ends_by_the_least_clock_of_all_partitions() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.open_window();
    rig.judged("nightly", 60, Status::Expected, Status::Missed);
    rig.watermark_of(0, 6, 30);
    rig.pass(7 * 60 * MINUTE);
    assert_eq!(rig.visible(), ["Night watch, 2026-11-24: 1 problem so far"]);
    rig.watermark(6, 30);
    rig.pass(MINUTE);
    let visible = rig.visible();
    assert_eq!(visible[0], "Night watch, 2026-11-24: ended with 1 problem");
    assert_eq!(visible[1], "🔴 *Night watch, 2026-11-24*: ended with 1 problem");
}

#[test]
fn after_a_restart_the_same_table_goes_on_and_after_the_window_it_is_finalised() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 4 * * *");
    rig.open_window();
    rig.pass(3 * 60 * MINUTE);
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.slack.messages.len(), 1);
    rig.stop_for(3 * 60 * MINUTE + 30 * MINUTE);
    rig.watermark(6, 30);
    rig.pass(MINUTE);
    let visible = rig.visible();
    assert_eq!(visible[0], "Night watch, 2026-11-24: ended with 1 still open");
    assert_eq!(visible.len(), 2, "{visible:?}");
}

#[test]
fn without_a_night_nothing_is_opened() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.stop_for(u64::try_from(7 * 3_600_000).unwrap());
    rig.restart();
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), Vec::<String>::new());
}

#[test]
fn a_scheduler_registered_in_the_night_joins_the_table() {
    let mut rig = Rig::night();
    rig.open_window();
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), Vec::<String>::new(), "nothing is expected, nothing is said");
    rig.schedules("nightly", "0 1 * * *");
    rig.lifecycle("nightly", Lifecycle::Registered);
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["Night watch, 2026-11-24: under way"]);
}

#[test]
fn refused_blocks_degrade_to_a_form_that_passes() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    for _ in 0..2 {
        rig.slack.fail_next(ChannelErrorKind::Payload { code: "invalid_blocks".into() });
    }
    rig.open_window();
    rig.pass(MINUTE);
    let blocks = serde_json::to_string(&rig.slack.messages[0].content.blocks).unwrap();
    assert!(blocks.contains("```") && blocks.contains("nightly") && !blocks.contains("data_table"), "{blocks}");
}

#[test]
fn two_thousand_schedulers_are_one_message_with_exact_counts() {
    let mut rig = Rig::night();
    for number in 0..2_000 {
        rig.schedules(&format!("job-{number:04}"), "0 1 * * *");
    }
    rig.open_window();
    rig.judged("job-1999", 60, Status::Running, Status::Failed);
    rig.pass(MINUTE);
    assert_eq!(rig.slack.messages.len(), 1);
    let text = serde_json::to_string(&rig.slack.messages[0].content.blocks).unwrap();
    assert!(text.contains("*1* failed") && text.contains("*1,999* waiting") && text.contains("of 2,000 jobs"));
    assert!(text.find("job-1999").unwrap() < text.find("job-0000").unwrap(), "problems come first");
}

#[test]
fn boards_of_other_tenants_see_nothing() {
    let mut other = Board::nightly(ronda_domain::id::TenantId::new("other").unwrap());
    other.name = "other".into();
    let mut rig = Rig::new(Config { boards: vec![other], ..Config::default() });
    assert_ne!(tenant().as_str(), "other");
    rig.schedules("nightly", "0 1 * * *");
    rig.open_window();
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), Vec::<String>::new());
}

#[test]
fn with_another_channel_what_is_open_goes_there_with_its_replies() {
    let mut rig = Rig::new(Config { channel: "the terminal".into(), ..Config::default() });
    rig.fails("billing");
    rig.pass(10_000);
    rig.restart_with(Config { channel: "C1".into(), ..Config::default() });
    rig.pass(10_000);
    rig.recovers("billing");
    rig.pass(10_000);
    assert_eq!(rig.slack.channels, ["the terminal", "C1", "C1"]);
    assert!(rig.visible()[2].starts_with("↳ ✅ *billing* recovered"), "{:?}", rig.visible());
}

#[test]
fn a_correction_for_the_better_leaves_the_alert_saying_what_is_wrong() {
    let mut rig = Rig::new(Config::default());
    rig.fails("billing");
    rig.pass(10_000);
    rig.changes("billing", Status::Stale, Status::Succeeded);
    rig.pass(10_000);
    assert_eq!(rig.visible(), ["🔴 *billing* failed (production)"]);
}

#[test]
fn a_scheduler_that_changed_while_it_was_due_still_keeps_the_night_open() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "30 5 * * *");
    rig.schedules("early", "0 1 * * *");
    rig.open_window();
    rig.judged("early", 60, Status::Running, Status::Succeeded);
    rig.pass(340 * MINUTE);
    rig.tags("nightly");
    rig.watermark(5, 40);
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["Night watch, 2026-11-24: under way"]);
    rig.judged("nightly", 330, Status::Expected, Status::Missed);
    rig.watermark(6, 1);
    rig.pass(MINUTE);
    assert_eq!(rig.visible()[1], "🔴 *Night watch, 2026-11-24*: ended with 1 problem");
}

#[test]
fn a_night_waits_for_schedulers_that_are_still_to_be_read_anew() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.open_window();
    rig.pass(MINUTE);
    rig.reads_nothing = true;
    rig.tags("nightly");
    rig.pass(MINUTE);
    rig.judged("nightly", 60, Status::Running, Status::Succeeded);
    rig.watermark(6, 1);
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["Night watch, 2026-11-24: under way"]);
    rig.reads_nothing = false;
    rig.pass(MINUTE);
    assert_eq!(rig.visible()[1], "🟢 *Night watch, 2026-11-24*: all clear");
}

#[test]
fn a_silence_that_began_before_the_night_is_still_its_problem_after_a_restart() {
    let mut rig = Rig::night();
    rig.watches("worker", 600);
    rig.schedules("nightly", "0 1 * * *");
    rig.open_window();
    rig.falls_silent("worker", -25, 575);
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["Night watch, 2026-11-24: 1 problem so far"]);
    rig.restart();
    rig.judged("nightly", 60, Status::Running, Status::Succeeded);
    rig.watermark(6, 1);
    rig.pass(MINUTE);
    assert_eq!(rig.visible()[1], "🔴 *Night watch, 2026-11-24*: ended with 1 problem");
}

#[test]
fn a_scheduler_that_was_removed_leaves_the_night_with_and_without_a_restart() {
    for restarts in [false, true] {
        let mut rig = Rig::night();
        rig.schedules("nightly", "0 1 * * *");
        rig.schedules("old", "0 2 * * *");
        rig.open_window();
        rig.judged("old", 120, Status::Expected, Status::Running);
        rig.pass(MINUTE);
        rig.deletes("old");
        if restarts {
            rig.restart();
        }
        rig.judged("nightly", 60, Status::Running, Status::Succeeded);
        rig.watermark(3, 0);
        rig.pass(MINUTE);
        assert_eq!(rig.visible()[0], "Night watch, 2026-11-24: all clear", "{restarts}");
    }
}

#[test]
fn with_a_batch_lost_the_night_is_not_called_clear_and_the_operator_is_told() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.open_window();
    rig.pass(MINUTE);
    rig.garbles();
    rig.judged("nightly", 60, Status::Running, Status::Succeeded);
    rig.watermark(3, 0);
    rig.pass(MINUTE);
    rig.restart();
    rig.judged("nightly", 60, Status::Running, Status::Succeeded);
    rig.watermark(6, 1);
    rig.pass(MINUTE);
    let visible = rig.visible();
    assert!(visible.iter().any(|line| line.contains("Events could not be read")), "{visible:?}");
    let ended = "🟡 *Night watch, 2026-11-24*: ended, but not everything is known";
    assert!(visible.iter().any(|line| line == ended), "{visible:?}");
    assert!(!visible.iter().any(|line| line.contains("all clear")), "{visible:?}");
}

#[test]
fn a_table_that_can_not_be_edited_any_more_ends_with_its_summary() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.open_window();
    rig.pass(MINUTE);
    rig.slack.fail_next(ChannelErrorKind::Fixed { code: "edit_window_closed".into() });
    rig.judged("nightly", 60, Status::Expected, Status::Running);
    rig.pass(MINUTE);
    rig.judged("nightly", 60, Status::Running, Status::Succeeded);
    rig.watermark(6, 1);
    rig.pass(MINUTE);
    assert_eq!(rig.visible()[1], "🟢 *Night watch, 2026-11-24*: all clear");
    assert_eq!(rig.slack.messages.len(), 2);
}

#[test]
fn another_window_on_the_same_day_is_another_night() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.schedules("late", "0 23 * * *");
    rig.open_window();
    rig.judged("nightly", 60, Status::Running, Status::Succeeded);
    rig.watermark(6, 1);
    rig.pass(MINUTE);
    let mut board = Board::nightly(tenant());
    board.start = "22:00".into();
    rig.restart_with(Config { boards: vec![board], ..Config::default() });
    rig.stop_for(22 * 60 * MINUTE);
    rig.pass(MINUTE);
    let visible = rig.visible();
    assert_eq!(visible.last().unwrap(), "Night watch, 2026-11-24: under way", "{visible:?}");
}

#[test]
fn a_message_that_is_refused_in_every_form_is_told_to_the_operator_and_kept() {
    let mut rig = Rig::new(Config { admin_channel: Some("C-admin".into()), ..Config::default() });
    for _ in 0..2 {
        rig.slack.fail_next(ChannelErrorKind::Payload { code: "invalid_arguments".into() });
    }
    rig.fails("billing");
    rig.pass(MINUTE);
    assert_eq!(rig.visible(), ["🛠️ *A message was refused* by #ronda in every form: invalid_arguments"]);
    rig.pass(61 * MINUTE);
    assert_eq!(rig.visible().last().unwrap(), "🔴 *billing* failed (production)");
}

#[test]
fn a_lookup_that_is_told_to_wait_keeps_no_post_waiting() {
    let mut rig = Rig::new(Config::default());
    rig.slack.loses_answer = true;
    rig.fails("billing");
    rig.pass(2_000);
    rig.slack.fail_next(rig::rate_limit(600));
    rig.pass(2_000);
    rig.fails("other");
    rig.pass(10_000);
    assert_eq!(rig.visible().len(), 2, "{:?}", rig.visible());
}

#[test]
fn another_kind_of_problem_is_a_reply_that_keeps_what_was_said_before() {
    let mut rig = Rig::new(Config::default());
    rig.fails_saying("billing", "disk full");
    rig.pass(10_000);
    rig.goes_wrong_again("billing", 1, Status::Failed);
    rig.pass(10_000);
    assert_eq!(rig.visible().len(), 1, "one more of the same is an edit: {:?}", rig.visible());
    let mut rig = Rig::new(Config::default());
    rig.fails_saying("billing", "disk full");
    rig.pass(10_000);
    rig.goes_wrong_again("billing", 1, Status::Missed);
    rig.pass(10_000);
    let visible = rig.visible();
    assert_eq!(visible[0], "🟠 *billing* did not start (production)");
    assert!(visible[1].starts_with("↳ ↪️ *billing* did not start, due "), "{visible:?}");
    assert!(visible[1].contains("; before that it failed, "), "{visible:?}");
    for message in &rig.slack.messages {
        assert!(message.content.plain.contains("disk full"), "{}", message.content.plain);
    }
    for minute in 2..60 {
        rig.goes_wrong_again("billing", minute, if minute % 2 == 0 { Status::Failed } else { Status::Missed });
        rig.pass(2_000);
    }
    assert!(rig.visible().len() <= 21, "{}", rig.visible().len());
}

#[test]
fn a_change_of_an_alert_that_is_not_known_opens_one_only_when_something_is_wrong() {
    let mut rig = Rig::new(Config::default());
    rig.changes("good", Status::Stale, Status::Succeeded);
    rig.changes("bad", Status::Stale, Status::Failed);
    rig.pass(10_000);
    assert_eq!(rig.visible(), ["🔴 *bad* failed (production)"]);
}

#[test]
fn the_night_s_closing_notice_comes_to_what_its_headline_counts() {
    let mut rig = Rig::night();
    rig.schedules("often", "*/20 0 * * *");
    rig.schedules("late", "50 5 * * *");
    rig.open_window();
    for minute in [0, 20, 40] {
        rig.judged("often", minute, Status::Expected, Status::Missed);
    }
    rig.watermark(6, 30);
    rig.pass(MINUTE);
    assert_eq!(rig.visible()[1], "🔴 *Night watch, 2026-11-24*: ended with 3 problems, 1 still open");
    let plain = &rig.slack.messages[1].content.plain;
    assert!(plain.contains("often: missed, due 24 Nov 00:40 WIB (3 problems)"), "{plain}");
    assert!(plain.contains("late: waiting, due 24 Nov 05:50 WIB"), "{plain}");
}
