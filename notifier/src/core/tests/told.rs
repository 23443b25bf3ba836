//! What a night says of the one before, and in which language and zone.

use ronda_domain::record::OccurrenceStatus as Status;

use super::MINUTE;
use super::rig::{self, Rig, tenant};
use crate::config::{Board, Config};
use crate::language::Language;

/// Minutes after the first midnight at which the second night is.
const NEXT: i64 = 24 * 60;

#[test]
fn the_second_night_says_what_is_new_again_and_fixed_also_after_a_restart() {
    let mut rig = Rig::night();
    for job in ["again", "fixed", "new", "well"] {
        rig.schedules(job, "0 1 * * *");
    }
    rig.open_window();
    for (job, to) in
        [("again", Status::Failed), ("fixed", Status::Missed), ("new", Status::Succeeded), ("well", Status::Succeeded)]
    {
        rig.judged(job, 60, Status::Running, to);
    }
    rig.watermark(6, 1);
    rig.pass(361 * MINUTE);
    let first = rig.slack.messages[0].content.plain.clone();
    assert!(!first.contains("since the night"), "there was none before: {first}");
    rig.pass(18 * 60 * MINUTE);
    rig.restart();
    for (job, to) in [("again", Status::Failed), ("new", Status::Stale), ("well", Status::Succeeded)] {
        rig.judged(job, NEXT + 60, Status::Running, to);
    }
    rig.pass(MINUTE);
    let table = |rig: &Rig| {
        let mut tables = rig.slack.messages.iter().map(|message| message.content.plain.clone());
        tables.find(|plain| plain.starts_with("Night watch, 2026-11-25")).unwrap()
    };
    assert!(table(&rig).contains("  1 new, 1 again since the night before\n"), "one is still to come: {}", table(&rig));
    rig.judged("fixed", NEXT + 60, Status::Running, Status::Succeeded);
    rig.watermark(30, 1);
    rig.pass(MINUTE);
    assert!(table(&rig).contains("  1 new, 1 fixed, 1 again since the night before\n"), "{}", table(&rig));
    let row = table(&rig).lines().find(|line| line.starts_with("✗ failed")).unwrap().to_owned();
    assert!(row.contains("again") && row.ends_with("last night too"), "{row}");
    let summary = &rig.slack.messages.last().unwrap().content;
    assert!(summary.plain.contains("\n1 new, 1 fixed, 1 again since the night before\n"), "{}", summary.plain);
    assert!(summary.text.ends_with("\n*again* failed  ·  *new* stale"), "{}", summary.text);
}

#[test]
fn a_board_has_its_own_language_and_zone_and_what_stands_below_it_too() {
    let board = Board {
        language: Some(Language::Indonesian),
        timezone: "Asia/Makassar".into(),
        start: "01:00".into(),
        end: "07:00".into(),
        ..Board::nightly(tenant())
    };
    let mut rig = Rig::new(Config { boards: vec![board], ..Config::default() });
    rig.schedules("nightly", "0 1 * * *");
    rig.open_window();
    rig.fails("billing");
    rig.judged("nightly", 60, Status::Expected, Status::Missed);
    rig.watermark(6, 1);
    rig.pass(361 * MINUTE);
    rig.judged("nightly", 60, Status::Missed, Status::Succeeded);
    rig.pass(MINUTE);
    let visible = rig.visible();
    assert!(visible.contains(&"🔴 *billing* failed (production)".to_owned()), "{visible:?}");
    assert!(
        visible.iter().any(|line| line == "🔴 *Night watch, 2026-11-24*: berakhir dengan 1 masalah"),
        "{visible:?}"
    );
    assert!(
        visible.iter().any(|line| line.starts_with("↳ Setelah malam ditutup: *nightly* berhasil, ")),
        "{visible:?}"
    );
    let table = rig.slack.messages.iter().find(|message| message.content.plain.starts_with("Night watch")).unwrap();
    assert!(
        table.content.plain.contains("Jadwal (WITA)") && table.content.plain.contains("  02:00"),
        "{}",
        table.content.plain
    );
    assert!(table.content.plain.contains("ditutup 24 Nov 07:01 WITA"), "{}", table.content.plain);
}

#[test]
fn what_could_not_be_told_before_says_so_and_goes_on_saying_it() {
    let mut rig = Rig::new(Config::default());
    rig.slack.fail_always(Some(rig::rate_limit(5)));
    rig.fails("billing");
    rig.pass(5 * MINUTE);
    rig.slack.fail_always(None);
    rig.pass(MINUTE);
    let plain = |rig: &Rig, at: usize| rig.slack.messages[at].content.plain.clone();
    assert!(plain(&rig, 0).contains("This comes 5 min "), "{}", plain(&rig, 0));
    rig.recovers("billing");
    rig.pass(MINUTE);
    assert!(plain(&rig, 0).starts_with("🟢") && plain(&rig, 0).contains("This comes 5 min "), "{}", plain(&rig, 0));
    rig.fails("other");
    rig.pass(10 * MINUTE);
    rig.recovers("other");
    rig.pass(MINUTE);
    let other = rig.slack.messages.iter().find(|message| message.content.plain.starts_with("🟢 other")).unwrap();
    assert!(!other.content.plain.contains("This comes"), "{}", other.content.plain);
}

#[test]
fn a_night_that_was_read_ahead_of_its_events_ends_with_them_and_nothing_of_it_comes_after_the_end() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.ends_well_in_the_store("nightly", 60);
    rig.open_window();
    rig.watermark(0, 10);
    rig.pass(15_000);
    let is_clear = |rig: &Rig| rig.visible().iter().filter(|line| line.starts_with("🟢")).count();
    assert_eq!(is_clear(&rig), 0, "the events have not come as far: {:?}", rig.visible());
    rig.pass(70 * 60_000);
    rig.judged("nightly", 60, Status::Running, Status::Succeeded);
    rig.watermark(1, 30);
    rig.pass(15_000);
    assert_eq!(is_clear(&rig), 1, "{:?}", rig.visible());
    assert!(!rig.visible().iter().any(|line| line.starts_with('↳')), "{:?}", rig.visible());
}

#[test]
fn what_came_after_the_end_is_told_though_it_was_read_from_the_store_before_its_event_came() {
    let mut rig = Rig::night();
    rig.schedules("nightly", "0 1 * * *");
    rig.open_window();
    rig.judged("nightly", 60, Status::Expected, Status::Missed);
    rig.watermark(6, 10);
    rig.pass(7 * 3_600_000);
    rig.is_corrected_in_the_store("nightly", 60);
    rig.restart();
    rig.pass(0);
    rig.judged("nightly", 60, Status::Missed, Status::Succeeded);
    rig.pass(15_000);
    let late = rig.visible().iter().filter(|line| line.starts_with("↳ After the end: *nightly* succeeded")).count();
    assert_eq!(late, 1, "{:?}", rig.visible());
}
