//! What messages look like, and that nothing in them can do harm or be refused.

use jiff::tz::TimeZone;
use ronda_domain::event::{Change, Resolution};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::SchedulerSummary;
use serde_json::{Value, json};

use super::{Voice, content as content_told};
use crate::channel::Content;
use crate::language::Language;
use crate::surface::{
    AlertEnd, AlertFacts, BoardFacts, BoardRow, Counts, Doubts, Facts, Form, Former, Own, SummaryFacts,
};

const DUE: Timestamp = Timestamp::from_seconds(1_795_456_800);

fn voice() -> Voice {
    Voice {
        language: Language::English,
        zone: TimeZone::get("Asia/Jakarta").unwrap(),
        details_url: None,
        interactive: false,
    }
}

fn content(facts: &Facts, form: Form, voice: &Voice) -> Content {
    content_told(facts, &Own::default(), form, voice)
}

fn alert(name: &str, error: &str) -> AlertFacts {
    let cause = Change {
        subject: Subject::Occurrence { due: DUE },
        from: OccurrenceStatus::Running,
        to: OccurrenceStatus::Failed,
        correction: false,
        started_at: Some(DUE.plus_seconds(2)),
        ended_at: Some(DUE.plus_seconds(302)),
        late_start_ms: None,
        stale: None,
        run_id: Some("r-7".into()),
        error: Some(error.into()),
        exit_code: Some(3),
        duration_ms: Some(300_000),
    };
    AlertFacts {
        key: SchedulerKey { tenant: TenantId::new("acme").unwrap(), scheduler: SchedulerId::new("billing").unwrap() },
        summary: SchedulerSummary {
            name: name.into(),
            team: "payments".into(),
            environment: "production".into(),
            tags: Box::new([]),
            severity: Severity::Critical,
            runbook_url: "https://wiki/billing".into(),
            scheduled: true,
            past: None,
            mute: None,
        },
        opened_at: DUE.plus_seconds(302),
        first: cause.clone(),
        now: cause,
        streak: 2,
        ended: None,
        former_repeat: Former::default(),
        care: None,
    }
}

#[test]
fn a_silence_that_is_over_is_no_run_that_completed() {
    let mut facts = alert("Worker", "");
    let since = Subject::Silence { since: DUE };
    facts.now = Change { subject: since.clone(), to: OccurrenceStatus::Stale, error: None, ..facts.now };
    let by = Change { subject: since, to: OccurrenceStatus::Succeeded, ..facts.now.clone() };
    facts.ended = Some(AlertEnd { at: DUE.plus_seconds(400), resolution: Resolution::CompletedLate { by } });
    let shown = content(&Facts::Alert(Box::new(facts)), Form::DataTable, &voice());
    let expected = "🟢 *Worker* is alive again (production)\nlasted 1 min 38 s  ·  critical  ·  team payments\nbefore: exit code 3";
    assert_eq!(shown.text, expected);
}

#[test]
fn an_alert_says_what_when_and_where_to_look() {
    let shown = content(&Facts::Alert(Box::new(alert("Nightly billing", "disk full"))), Form::DataTable, &voice());
    assert_eq!(shown.colour, Some("#a30200"));
    let first_lines = "🔴 *Nightly billing* failed (production)\n2 in a row  ·  critical  ·  team payments  ·  since \
        <!date^1795457102^{date_short_pretty} {time_secs}|24 Nov 01:05:02 WIB>\nexit code 3: `disk full`";
    assert_eq!(shown.text, first_lines);
    let field = |label: &str, value: &str| json!({"type":"mrkdwn","text":format!("*{label}*\n{value}")});
    let expected = [
        json!({"type":"section","fields":[
            field("Due", "<!date^1795456800^{date_short_pretty} {time}|24 Nov 01:00 WIB>"),
            field("Started", "<!date^1795456802^{date_short_pretty} {time_secs}|24 Nov 01:00:02 WIB>"),
            field("Failed", "<!date^1795457102^{date_short_pretty} {time_secs}|24 Nov 01:05:02 WIB>"),
            field("Took", "5 min"), field("Run", "`r-7`"),
        ]}),
        json!({"type":"context","elements":[{"type":"mrkdwn","text":"`billing`  ·  tenant acme  ·  <https://wiki/billing|Runbook>"}]}),
    ];
    assert_eq!(shown.blocks, expected);
}

#[test]
fn a_terminal_shows_the_same() {
    let mut facts = alert("Nightly billing", "disk full\nsecond line");
    let by = Change { to: OccurrenceStatus::Succeeded, ..facts.now.clone() };
    facts.ended = Some(AlertEnd { at: DUE.plus_seconds(902), resolution: Resolution::Recovered { by } });
    let shown = content(&Facts::Alert(Box::new(facts)), Form::DataTable, &voice());
    let expected = "🟢 Nightly billing recovered (production)\n  lasted 10 min  ·  critical  ·  team payments\n  Due         24 Nov 01:00 WIB\n  Started     24 Nov 01:00:02 WIB\n  \
        Failed      24 Nov 01:05:02 WIB\n  Over since  24 Nov 01:15:02 WIB\n  Took        5 min\n  Run         r-7\n  > disk full\n  \
        > second line\nbilling  ·  tenant acme  ·  Runbook: https://wiki/billing";
    assert_eq!(shown.plain, expected);
}

#[test]
fn no_name_or_error_can_ping_or_break_out() {
    let hostile = "<!channel> @here ``` *x* \u{202e}evil\u{0} &lt;";
    let shown = content(&Facts::Alert(Box::new(alert(hostile, hostile))), Form::DataTable, &voice());
    let all = format!("{}{}", shown.text, Value::Array(shown.blocks));
    assert!(!all.contains("<!channel>") && !all.contains("@here") && !all.contains('\u{202e}'), "{all}");
    assert_eq!(all.matches("```").count(), 2, "the quote is not closed early: {all}");
    assert!(!shown.plain.contains(['\u{202e}', '\u{0}']));
}

fn board(rows: usize, name: &str) -> BoardFacts {
    let row = |number: usize| BoardRow {
        status: OccurrenceStatus::Failed,
        name: format!("{name}{number}").into(),
        time: DUE,
        started_at: Some(DUE),
        ended_at: Some(DUE.plus_seconds(60)),
        late_start_ms: Some(61_000),
        error: Some("語".repeat(40).into()),
        exit_code: Some(1),
        done: 1,
        total: 2,
        problems: 1,
        open: None,
        team: "".into(),
        severity: Severity::Warning,
        again: false,
    };
    let problems = u32::try_from(rows).unwrap();
    BoardFacts {
        title: "Night watch".into(),
        date: "2026-11-24".into(),
        timezone: "Asia/Jakarta".into(),
        start: DUE.minus_seconds(3_600),
        end: DUE.plus_seconds(18_000),
        counts: Counts { failed: problems, ..Counts::default() },
        jobs: problems,
        rows: (0..rows).map(row).collect(),
        hidden_problems: 7,
        hidden_others: 0,
        closed: None,
        doubts: Doubts::default(),
        tenant: "".into(),
        bad: None,
        change: None,
    }
}

/// Characters of all texts below a value.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.iter().filter(|(key, _)| *key != "type").map(|(_, value)| size(value)).sum(),
        _ => 0,
    }
}

#[test]
fn every_form_of_a_full_table_stays_within_the_limits_and_counts_what_it_leaves_out() {
    let facts = Facts::Board(Box::new(board(200, &"ü&".repeat(90))));
    for (form, kind, most_rows, most_text) in [
        (Form::DataTable, "data_table", 201, 20_000),
        (Form::Table, "table", 100, 10_000),
        (Form::Code, "section", 50, 13_000),
    ] {
        let shown = content(&facts, form, &voice());
        assert!(shown.blocks.len() <= 50 && shown.text.len() <= 3_000);
        let tables: Vec<&Value> = shown.blocks.iter().filter(|block| !block["rows"].is_null()).collect();
        for table in &tables {
            assert_eq!(table["type"], kind);
            let rows = table["rows"].as_array().unwrap();
            assert!(rows.len() <= most_rows && size(&table["rows"]) <= most_text, "{} rows", rows.len());
            assert!(rows.iter().all(|row| row.as_array().unwrap().len() == 7));
        }
        let others: usize = shown.blocks.iter().filter(|block| block["rows"].is_null()).map(size).sum();
        assert!(others <= 10_000, "{form:?}: {others}");
        let text = Value::Array(shown.blocks).to_string();
        let left_out: usize =
            text.split("… and ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
        assert!(left_out > 7, "{form:?} {left_out}");
    }
    let text = content(&facts, Form::Text, &voice());
    assert!(text.blocks.is_empty() && text.text.contains("*200* failed"), "{}", text.text);
}

#[test]
fn a_night_without_problems_says_so() {
    let mut facts = board(1, "job");
    facts.rows[0].status = OccurrenceStatus::Succeeded;
    facts.counts = Counts { succeeded: 2, ..Counts::default() };
    facts.hidden_problems = 0;
    facts.closed = Some(facts.end);
    let shown = content(&Facts::Board(Box::new(facts)), Form::DataTable, &voice());
    assert!(shown.text.starts_with("Night watch, 2026-11-24: all clear\n*2* succeeded"), "{}", shown.text);
    assert_eq!(shown.blocks[2]["rows"][1][1]["text"], "job0");
}

#[test]
fn the_tenant_that_everybody_begins_with_needs_no_name() {
    let mut facts = alert("Nightly billing", "disk full");
    facts.key.tenant = TenantId::new("default").unwrap();
    let shown = content(&Facts::Alert(Box::new(facts)), Form::DataTable, &voice());
    assert!(!shown.plain.contains("tenant"), "{}", shown.plain);
}

#[test]
fn the_text_form_says_everything_that_fits() {
    let shown = content(&Facts::Alert(Box::new(alert("Nightly billing", "disk <full>"))), Form::Text, &voice());
    for part in
        ["*Nightly billing* failed", "exit code 3: `disk &lt;full&gt;`", "*Took*: 5 min", "|Runbook>", "team payments"]
    {
        assert!(shown.text.contains(part), "{part} is not in {}", shown.text);
    }
    let shown = content(&Facts::Board(Box::new(board(200, "job"))), Form::Text, &voice());
    assert!(
        shown.text.contains("✗ failed") && shown.text.contains("job0") && shown.text.len() <= 3_000,
        "{}",
        shown.text
    );
}

#[test]
fn the_table_says_whose_time_its_cells_are_in() {
    let shown = content(&Facts::Board(Box::new(board(1, "job"))), Form::DataTable, &voice());
    assert!(Value::Array(shown.blocks).to_string().contains("Due (WIB)"));
}

#[test]
fn an_alert_that_is_about_something_else_by_now_still_says_how_it_began() {
    let mut facts = alert("Nightly billing", "");
    facts.first.error = Some("disk full\nat line 7".into());
    let due = DUE.plus_seconds(60);
    facts.now = Change {
        subject: Subject::Occurrence { due },
        to: OccurrenceStatus::Running,
        started_at: Some(due.plus_seconds(28)),
        ended_at: None,
        late_start_ms: Some(8_000),
        error: None,
        ..facts.now
    };
    let plain = content(&Facts::Alert(Box::new(facts)), Form::DataTable, &voice()).plain;
    assert!(plain.contains("Began with    failed, 24 Nov 01:05:02 WIB: disk full\n"), "{plain}");
    assert!(plain.contains("Started late  28 s after it was due\n"), "{plain}");
    assert!(plain.contains("Alert since   24 Nov 01:05:02 WIB\n"), "{plain}");
}

#[test]
fn a_failure_whose_start_nobody_told_has_no_start_and_took_no_time() {
    let mut facts = alert("Nightly billing", "disk full");
    (facts.now.started_at, facts.now.duration_ms) = (facts.now.ended_at, Some(0));
    let plain = content(&Facts::Alert(Box::new(facts)), Form::DataTable, &voice()).plain;
    assert!(!plain.contains("Started") && !plain.contains("Took"), "{plain}");
}

#[test]
fn the_summary_lists_as_many_problems_as_it_counts_and_names_what_is_open() {
    let night = board(2, "job");
    let mut problems = night.rows;
    problems[0].problems = 3;
    problems[0].status = OccurrenceStatus::Missed;
    problems[1].open = Some((1, DUE.plus_seconds(3_600)));
    let summary = SummaryFacts {
        title: night.title,
        date: night.date,
        timezone: night.timezone,
        start: night.start,
        end: night.end,
        counts: Counts { missed: 3, failed: 1, running: 1, ..Counts::default() },
        jobs: 2,
        problems,
        hidden_problems: 0,
        doubts: Doubts::default(),
        tenant: "".into(),
        change: None,
    };
    let plain = content(&Facts::Summary(Box::new(summary)), Form::DataTable, &voice()).plain;
    assert!(plain.contains("ended with 4 problems, 1 still open"), "{plain}");
    assert!(plain.contains("job0: missed, due") && plain.contains(" (3 problems)"), "{plain}");
    assert!(plain.contains("; 1 still open, due 24 Nov 02:00 WIB"), "{plain}");
}

#[test]
fn what_was_missed_has_no_end_in_the_table() {
    let mut facts = board(1, "job");
    facts.rows[0].status = OccurrenceStatus::Missed;
    let shown = content(&Facts::Board(Box::new(facts)), Form::DataTable, &voice());
    let table = &shown.blocks[2]["rows"];
    let header: Vec<&str> = table[0].as_array().unwrap().iter().filter_map(|cell| cell["text"].as_str()).collect();
    // No row has an end, so there is no column of them; and what says why stands where a phone shows it.
    assert_eq!(header, ["Status", "Job", "Detail", "Due (WIB)", "Started", "Done"]);
}
