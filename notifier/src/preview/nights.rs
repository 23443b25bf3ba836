//! Samples of nights.

use ronda_domain::event::Change;
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::spec::Severity;

use super::alerts::at;
use super::{ONE, Sample};
use crate::surface::{BoardFacts, BoardRow, Counts, Doubts, Facts, NightChange, ReplyFacts, ReplyWhat, SummaryFacts};

pub(super) fn samples() -> Vec<Sample> {
    let open = night();
    let quiet = quiet();
    let doubtful =
        SummaryFacts { doubts: Doubts { untracked: false, batches: 1, rows: 2 }, ..summary(&closed(quiet.clone())) };
    let bad = closed(ended(open.clone()));
    let board = |kind, about, facts: BoardFacts| Sample::new(kind, about, Facts::Board(Box::new(facts)));
    let told = |kind, about, facts: SummaryFacts| Sample::new(kind, about, Facts::Summary(Box::new(facts)));
    vec![
        board("night", "The night's table while it is under way; edited in place.", open),
        board("night-quiet", "The same, as long as nothing is wrong.", quiet.clone()),
        board("night-full", "A night of 2,000 jobs.", full()),
        board("night-closed", "The table after the night.", bad.clone()),
        told("all-clear", "Everything expected has ended well: once a night.", summary(&closed(quiet))),
        told("problems", "The night has ended otherwise.", summary(&bad)),
        told("doubts", "Nothing is wrong as far as is known, but not everything is known.", doubtful),
        Sample::new("after-the-end", "Something of a closed night has changed.", after_the_end()),
    ]
}

fn row(status: OccurrenceStatus, name: &str, team: &str, due: i64) -> BoardRow {
    let is_bad = status.is_bad() || status == OccurrenceStatus::Unknown;
    let has_started = !matches!(status, OccurrenceStatus::Expected | OccurrenceStatus::Missed);
    BoardRow {
        status,
        name: name.into(),
        time: at(due),
        started_at: has_started.then(|| at(due)),
        ended_at: status.is_ended().then(|| at(due + 6)),
        late_start_ms: None,
        error: None,
        exit_code: None,
        done: u32::from(status == OccurrenceStatus::Succeeded),
        total: 1,
        problems: u32::from(is_bad),
        open: (!status.is_ended()).then(|| (1, at(due))),
        team: team.into(),
        severity: Severity::Warning,
        again: false,
    }
}

fn night() -> BoardFacts {
    let failed = BoardRow {
        error: Some("disk full: /var/lib/billing".into()),
        exit_code: Some(3),
        severity: Severity::Critical,
        ..row(OccurrenceStatus::Failed, "Nightly billing", "payments", 0)
    };
    let again = BoardRow {
        again: true,
        exit_code: Some(1),
        done: 9,
        total: 13,
        open: Some((3, at(150))),
        ..row(OccurrenceStatus::Failed, "Rates import", "treasury", 105)
    };
    let late = BoardRow {
        late_start_ms: Some(300_000),
        started_at: Some(at(115)),
        ..row(OccurrenceStatus::Running, "Ledger export", "finance", 100)
    };
    BoardFacts {
        title: "Night watch".into(),
        date: "2026-11-24".into(),
        timezone: "Asia/Jakarta".into(),
        start: at(-60),
        end: at(300),
        counts: Counts { failed: 2, stale: 1, missed: 1, running: 2, waiting: 5, succeeded: 12, ..Counts::default() },
        jobs: 10,
        rows: vec![
            failed,
            again,
            row(OccurrenceStatus::Stale, "Warehouse sync", "data", 30),
            row(OccurrenceStatus::Missed, "Statements", "payments", 60),
            late,
            row(OccurrenceStatus::Running, "Search index", "platform", 110),
            row(OccurrenceStatus::Expected, "Morning mail", "platform", 270),
            row(OccurrenceStatus::Expected, "Fraud report", "risk", 285),
            row(OccurrenceStatus::Succeeded, "Database backup", "platform", -55),
            row(OccurrenceStatus::Succeeded, "Log rotation", "platform", -30),
        ],
        hidden_problems: 0,
        hidden_others: 0,
        closed: None,
        doubts: Doubts::default(),
        tenant: "default".into(),
        bad: None,
        change: Some(NightChange { date: "2026-11-23".into(), is_yesterday: true, new: 3, again: 1, fixed: 2 }),
    }
}

/// The same night some hours later.
fn ended(night: BoardFacts) -> BoardFacts {
    let over = |row: BoardRow| match row.status {
        OccurrenceStatus::Running | OccurrenceStatus::Expected => BoardRow {
            status: OccurrenceStatus::Succeeded,
            started_at: row.started_at.or(Some(row.time)),
            ended_at: Some(row.time.plus_seconds(900)),
            open: None,
            done: 1,
            ..row
        },
        _ => BoardRow { open: None, done: if row.total > 1 { row.total - 1 } else { row.done }, ..row },
    };
    BoardFacts {
        counts: Counts { failed: 2, stale: 1, missed: 1, succeeded: 19, ..Counts::default() },
        rows: night.rows.into_iter().map(over).collect(),
        ..night
    }
}

fn closed(night: BoardFacts) -> BoardFacts {
    BoardFacts { closed: Some(night.end), ..night }
}

fn quiet() -> BoardFacts {
    let night = ended(night());
    let well = |row: &BoardRow| row.problems == 0;
    let rows: Vec<BoardRow> = night.rows.into_iter().filter(well).collect();
    BoardFacts {
        counts: Counts { succeeded: 23, ..Counts::default() },
        jobs: 10,
        rows,
        change: Some(NightChange { date: "2026-11-21".into(), is_yesterday: false, new: 0, again: 0, fixed: 2 }),
        ..night
    }
}

fn full() -> BoardFacts {
    let name = |number: u32| format!("Batch {number:04}");
    let bad = (0..37).map(|number| BoardRow {
        error: Some("connection refused: db-7.internal:5432".into()),
        ..row(OccurrenceStatus::Failed, &name(number), "data", i64::from(number))
    });
    let rest = (37..200).map(|number| row(OccurrenceStatus::Expected, &name(number), "data", i64::from(number)));
    BoardFacts {
        counts: Counts { failed: 37, waiting: 1_663, succeeded: 300, ..Counts::default() },
        jobs: 2_000,
        rows: bad.chain(rest).collect(),
        hidden_others: 1_800,
        change: Some(NightChange { date: "2026-11-23".into(), is_yesterday: true, new: 36, again: 1, fixed: 0 }),
        ..night()
    }
}

fn summary(night: &BoardFacts) -> SummaryFacts {
    SummaryFacts {
        title: night.title.clone(),
        date: night.date.clone(),
        timezone: night.timezone.clone(),
        start: night.start,
        end: night.end,
        counts: night.counts,
        jobs: night.jobs,
        problems: night.rows.iter().filter(|row| row.problems > 0).cloned().collect(),
        hidden_problems: 0,
        doubts: night.doubts,
        tenant: night.tenant.clone(),
        change: night.change.clone(),
    }
}

fn after_the_end() -> Facts {
    let change = Change {
        subject: Subject::Occurrence { due: at(60) },
        from: OccurrenceStatus::Missed,
        to: OccurrenceStatus::Succeeded,
        correction: true,
        started_at: Some(at(320)),
        ended_at: Some(at(331)),
        late_start_ms: Some(15_000_000),
        stale: None,
        run_id: None,
        error: None,
        exit_code: None,
        duration_ms: Some(660_000),
    };
    let at = ONE.plus_seconds(331 * 60);
    let what = ReplyWhat::AfterTheEnd { change, at };
    Facts::Reply(Box::new(ReplyFacts { name: "Statements".into(), what }))
}
