//! Whatever jobs are called and say, in every kind, language and form: nobody is mentioned, nothing breaks out, and Slack's limits hold.

use jiff::tz::TimeZone;
use proptest::prelude::*;
use ronda_domain::attention::{Acknowledgment, By, Mute};
use ronda_domain::event::{Change, Resolution};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::Gap;
use ronda_domain::record::{OccurrenceStatus, StaleReason, Subject};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::{BlindReason, Past, SchedulerSummary};
use serde_json::Value;

use super::{Voice, content};
use crate::language::Language;
use crate::surface::{
    AdminFacts, AlertEnd, AlertFacts, BlindFacts, BoardFacts, BoardRow, Care, Counts, DigestEntry, DigestFacts, Doubts,
    Facts, Form, Former, Late, Later, NightChange, Own, ReplyFacts, ReplyWhat, SummaryFacts, Worse,
};

const NOW: Timestamp = Timestamp::from_seconds(1_795_456_800);
const STATUSES: [OccurrenceStatus; 5] = [
    OccurrenceStatus::Failed,
    OccurrenceStatus::Missed,
    OccurrenceStatus::Stale,
    OccurrenceStatus::Running,
    OccurrenceStatus::Unknown,
];

/// Pieces that do harm where they are not made harmless, and any others.
fn hostile(most: usize) -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "<!channel>",
            "<!here|x>",
            "<@U0123>",
            "@everyone",
            "<!date^1^{time}|x>",
            "```",
            "`",
            "*",
            "_",
            "~",
            "&amp;",
            "&lt;!channel&gt;",
            "&",
            "<",
            ">",
            "|",
            "\n",
            "\r\n",
            "\t",
            "\u{0}",
            "\u{1b}[31m",
            "\u{7f}",
            "\u{85}",
            "\u{202e}",
            "\u{2066}",
            "\u{200f}",
            "\u{200b}",
            "\u{feff}",
            "\u{2028}",
            "😀",
            "👩‍👩‍👧‍👦",
            "🇮🇩",
            "\u{e0041}",
            "語",
            "ا",
            "e\u{301}",
            "<https://x|y>",
            "https://x",
            "{}",
            "…",
            " ",
        ])
        .prop_map(str::to_owned),
        ".{0,20}",
        "[a-z]{1,30}",
    ];
    proptest::collection::vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

/// What the API lets in: so many bytes.
fn within(text: &str, most: usize) -> Box<str> {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text[..end].into()
}

struct Words {
    name: Box<str>,
    team: Box<str>,
    error: Box<str>,
    url: Box<str>,
}

impl Words {
    fn change(&self, to: OccurrenceStatus) -> Change {
        Change {
            subject: Subject::Occurrence { due: NOW },
            from: OccurrenceStatus::Running,
            to,
            correction: false,
            started_at: Some(NOW.plus_seconds(2)),
            ended_at: Some(NOW.plus_seconds(302)),
            late_start_ms: Some(61_000),
            stale: Some(StaleReason::OverMaxRun),
            run_id: Some(within(&self.name, 128)),
            error: Some(self.error.clone()),
            exit_code: Some(-1),
            duration_ms: Some(300_000),
        }
    }

    fn alert(&self, to: OccurrenceStatus) -> AlertFacts {
        let summary = SchedulerSummary {
            name: self.name.clone(),
            team: self.team.clone(),
            environment: self.team.clone(),
            tags: Box::new([]),
            severity: Severity::Critical,
            runbook_url: self.url.clone(),
            scheduled: true,
            past: Some(Past { last_good_at: NOW.minus_seconds(86_400), usual_ms: Some(372_000) }),
            mute: Some(Box::new(Mute { by: self.acknowledgment().by, at: NOW, until: NOW.plus_seconds(3_600) })),
        };
        let first = self.change(OccurrenceStatus::Stale);
        let key = SchedulerKey { tenant: TenantId::new("acme").unwrap(), scheduler: SchedulerId::new("job").unwrap() };
        AlertFacts {
            key,
            summary,
            opened_at: NOW,
            first,
            now: self.change(to),
            streak: 7,
            ended: None,
            former_repeat: Former::default(),
            care: Some(Box::new(Care { acknowledged: Some(self.acknowledgment()), ..Care::default() })),
        }
    }

    fn acknowledgment(&self) -> Acknowledgment {
        Acknowledgment { by: By { source: "slack", id: &self.name, name: &self.name }.into(), at: NOW }
    }

    fn row(&self, number: usize) -> BoardRow {
        let status = STATUSES[number % STATUSES.len()];
        BoardRow {
            status,
            name: self.name.clone(),
            time: NOW,
            started_at: Some(NOW.plus_seconds(90)),
            ended_at: Some(NOW.plus_seconds(300)),
            late_start_ms: Some(61_000),
            error: Some(within(&self.error, 120)),
            exit_code: Some(137),
            done: 1,
            total: 3,
            problems: 2,
            open: Some((1, NOW)),
            team: self.team.clone(),
            severity: Severity::Critical,
            again: true,
        }
    }

    fn board(&self, rows: usize) -> BoardFacts {
        BoardFacts {
            title: self.name.to_string(),
            date: "2026-11-24".into(),
            timezone: "Asia/Jakarta".into(),
            start: NOW,
            end: NOW.plus_seconds(21_600),
            counts: Counts { failed: 2_000, running: 1, ..Counts::default() },
            jobs: 2_000,
            rows: (0..rows).map(|number| self.row(number)).collect(),
            hidden_problems: 7,
            hidden_others: 1_000,
            closed: None,
            doubts: Doubts { untracked: true, batches: 2, rows: 3 },
            tenant: "acme".into(),
            bad: None,
            change: Some(NightChange { date: "2026-11-23".into(), is_yesterday: true, new: 3, again: 1, fixed: 2 }),
        }
    }

    fn digest(&self, entries: usize) -> DigestFacts {
        let entry = |number: usize| DigestEntry {
            surface: format!("a/acme/{number}"),
            name: self.name.clone(),
            team: self.team.clone(),
            status: STATUSES[number % STATUSES.len()],
            subject: Subject::Occurrence { due: NOW },
            ended: number.is_multiple_of(3),
            later: number
                .is_multiple_of(2)
                .then(|| Box::new(Later { since: 7, acknowledged: Some(self.acknowledgment()) })),
        };
        let entries = (0..entries).map(entry).collect();
        DigestFacts { opened_at: NOW, entries, more: 3, maybe_repeat: true, more_ended: 1 }
    }

    fn replies(&self) -> Vec<ReplyWhat> {
        let change = || self.change(OccurrenceStatus::Failed);
        let end = AlertEnd { at: NOW.plus_seconds(999), resolution: Resolution::CompletedLate { by: change() } };
        vec![
            ReplyWhat::Escalated { change: change() },
            ReplyWhat::Turned { before: change(), change: self.change(OccurrenceStatus::Missed) },
            ReplyWhat::Ended { opened_at: NOW, end },
            ReplyWhat::AfterTheEnd { change: change(), at: NOW },
            ReplyWhat::Acknowledged { by: self.acknowledgment() },
            ReplyWhat::AcknowledgedInDigest { by: self.acknowledgment() },
            ReplyWhat::Worse {
                alerts: vec![
                    Worse { surface: "a".into(), name: self.name.clone(), status: OccurrenceStatus::Failed };
                    20
                ],
            },
            ReplyWhat::StillWrong { since: NOW, until: NOW.plus_seconds(999), change: change() },
            ReplyWhat::Names { names: vec![self.name.clone(); 20] },
        ]
    }

    fn facts(&self, rows: usize) -> Vec<Facts> {
        let mut facts: Vec<Facts> = STATUSES.iter().map(|to| Facts::Alert(Box::new(self.alert(*to)))).collect();
        let by = self.change(OccurrenceStatus::Succeeded);
        let ended = Some(AlertEnd { at: NOW.plus_seconds(999), resolution: Resolution::Recovered { by } });
        facts.push(Facts::Alert(Box::new(AlertFacts { ended, ..self.alert(OccurrenceStatus::Failed) })));
        let reply = |what| Facts::Reply(Box::new(ReplyFacts { name: self.name.clone(), what }));
        facts.extend(self.replies().into_iter().map(reply));
        let board = self.board(rows);
        let summary = SummaryFacts {
            title: board.title.clone(),
            date: board.date.clone(),
            timezone: board.timezone.clone(),
            start: board.start,
            end: board.end,
            counts: board.counts,
            jobs: board.jobs,
            problems: board.rows.iter().take(20).cloned().collect(),
            hidden_problems: 7,
            doubts: board.doubts,
            tenant: board.tenant.clone(),
            change: board.change.clone(),
        };
        facts.extend([Facts::Board(Box::new(board)), Facts::Summary(Box::new(summary))]);
        facts.push(Facts::Digest(Box::new(self.digest(rows))));
        facts.push(Facts::Blind(Box::new(BlindFacts {
            tenant: TenantId::new("acme").unwrap(),
            gap: Gap { from: NOW, until: NOW.plus_seconds(61) },
            reason: BlindReason::LostFrames,
            parts: vec![(0, 90)],
            schedulers: vec!["a-scheduler-with-a-long-id".into(); 50],
            unknown: vec![(self.name.clone(), NOW); 50],
            unknown_total: 70,
        })));
        let (channel, code) = (self.name.to_string(), self.error.to_string());
        facts.push(Facts::Admin(Box::new(AdminFacts::Refused { channel, code, at: NOW })));
        facts
    }
}

/// No mention, no markup but ours, nothing that nobody sees.
fn check_markup(text: &str, is_whole: bool) {
    for (at, _) in text.match_indices('<') {
        let rest = &text[at..];
        let ours = rest.starts_with("<!date^") || rest.starts_with("<https://") || rest.starts_with("<http://");
        assert!(ours && rest.contains('>'), "markup of others: {rest:?}");
    }
    check_plain(text);
    assert!(text.matches('@').count() == text.matches("@\u{2060}").count(), "a mention: {text:?}");
    if is_whole {
        assert!(text.matches('`').count().is_multiple_of(2), "a code that does not end: {text:?}");
        assert!(text.matches("```").count() <= 2, "more than one block: {text:?}");
    }
}

fn check_plain(text: &str) {
    let is_bad = |character: char| {
        (character.is_control() && character != '\n')
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}' | '\u{2028}')
    };
    assert!(!text.contains(is_bad), "{text:?}");
}

fn text_of(object: &Value, most: usize) -> usize {
    let text = object["text"].as_str().unwrap();
    // Bytes are never fewer than what Slack counts.
    assert!(!text.trim().is_empty() && text.len() <= most, "{} bytes, of {most}: {text:?}", text.len());
    match object["type"].as_str().unwrap() {
        "mrkdwn" => check_markup(text, true),
        _ => {
            assert!(!text.contains(['<', '>']), "{text:?}");
            check_plain(text);
        }
    }
    text.len()
}

/// Bytes of text outside tables.
fn check_block(block: &Value) -> usize {
    match block["type"].as_str().unwrap() {
        "header" => text_of(&block["text"], 150),
        "section" => match block["fields"].as_array() {
            Some(fields) => {
                assert!(fields.len() <= 10);
                fields.iter().map(|field| text_of(field, 2_000)).sum()
            }
            None => text_of(&block["text"], 3_000),
        },
        "context" => block["elements"].as_array().unwrap().iter().map(|element| text_of(element, 2_000)).sum(),
        kind @ ("table" | "data_table") => {
            let rows = block["rows"].as_array().unwrap();
            let (most_rows, most_text) = if kind == "table" { (100, 10_000) } else { (201, 20_000) };
            let width = rows[0].as_array().unwrap().len();
            assert!(rows.len() <= most_rows && width <= 20);
            let cells = rows.iter().flat_map(|row| row.as_array().unwrap());
            assert!(rows.iter().all(|row| row.as_array().unwrap().len() == width));
            let size = |cell: &Value| {
                text_of(cell, 300);
                cell["text"].as_str().unwrap().chars().count()
            };
            assert!(cells.map(size).sum::<usize>() <= most_text);
            0
        }
        "actions" => {
            let buttons = block["elements"].as_array().unwrap();
            assert!(!buttons.is_empty() && buttons.len() <= 25);
            let mut ids: Vec<&str> = buttons.iter().map(|button| button["action_id"].as_str().unwrap()).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), buttons.len(), "Slack wants ids that differ");
            for button in buttons {
                text_of(&button["text"], 75);
                assert!(button["value"].as_str().is_none_or(|value| value.len() <= 2_000));
                assert!(button["url"].as_str().is_none_or(|url| url.len() <= 3_000 && url.starts_with("http")));
            }
            0
        }
        other => panic!("a block of kind {other}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_that_is_typed_mentions_anybody_or_breaks_a_limit(
        name in hostile(12), team in hostile(4), error in hostile(40), url in hostile(3), long in any::<bool>(), rows in prop_oneof![4 => 0usize..20, 1 => Just(200usize)],
    ) {
        let name = if long { name.repeat(40) } else { name };
        let words = Words {
            name: within(&name, 200),
            team: within(&team, 64),
            error: within(&error.repeat(if long { 9 } else { 1 }), 500),
            url: within(&format!("https://x/{url}"), 2_000),
        };
        for language in Language::ALL {
            let details_url = Some("https://ronda.example/{tenant}/{scheduler}".into());
            let voice = Voice { language, zone: TimeZone::get("Asia/Jakarta").unwrap(), details_url, interactive: true };
            for facts in words.facts(rows) {
                for form in [Form::DataTable, Form::Table, Form::Code, Form::Text] {
                    let own = Own { maybe_repeat: true, late: Some(Late::ByMillis(700_000)), ..Own::default() };
                    let shown = content(&facts, &own, form, &voice);
                    prop_assert!(shown.text.len() <= 3_000 && !shown.text.trim().is_empty());
                    check_markup(&shown.text, !shown.text.ends_with('…'));
                    check_plain(&shown.plain);
                    prop_assert!(shown.blocks.len() <= 50);
                    let outside: usize = shown.blocks.iter().map(|block| check_block(block) + 125).sum();
                    prop_assert!(outside <= 10_000, "{} bytes in {} blocks", outside, shown.blocks.len());
                    prop_assert_eq!(shown.blocks.iter().filter(|block| !block["rows"].is_null()).count() <= 1, true);
                    let first = shown.plain.lines().next().unwrap_or_default();
                    if !matches!(facts, Facts::Reply(_)) {
                        prop_assert!(first.chars().count() <= 90, "{} characters: {}", first.chars().count(), first);
                    }
                }
            }
        }
    }
}
