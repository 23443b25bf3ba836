//! Samples of alerts and of what stands below them.

use ronda_domain::attention::{Acknowledgment, By, Mute};
use ronda_domain::event::{Change, Resolution};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::record::{OccurrenceStatus, StaleReason, Subject};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::{Past, SchedulerSummary};

use super::{ONE, Sample};
use crate::surface::{AlertEnd, AlertFacts, Care, Facts, Former, Late, Own, ReplyFacts, ReplyWhat};

const DISK_FULL: &str = "disk full: /var/lib/billing";
const TRACEBACK: &str = "Traceback (most recent call last):\n  File \"/app/bill.py\", line 212, in main\n    post(invoice)\n  \
    File \"/app/post.py\", line 88, in post\n    rate = rates[currency]\nKeyError: 'IDR'";

pub(super) fn samples() -> Vec<Sample> {
    // Constants are ids.
    let (Some(key), Some(worker)) = (key("nightly-billing"), key("mail-worker")) else { return Vec::new() };
    let failed = alert(&key, failure(DISK_FULL));
    let traceback = AlertFacts { streak: 3, ..alert(&key, failure(TRACEBACK)) };
    let unsaid = alert(&key, Change { error: None, exit_code: None, ..failure("") });
    let stale = alert(&key, stale(StaleReason::OverMaxRun));
    let fell_silent = alert(&key, self::stale(StaleReason::NoHeartbeat));
    let missed = alert(&key, missed());
    let late = alert(&key, started_late());
    let by = Change { to: OccurrenceStatus::Succeeded, error: None, ended_at: Some(at(47)), ..failure("") };
    let killed = Change { ended_at: Some(at(41)), duration_ms: Some(2_458_000), ..failure("killed: out of memory") };
    let escalated = AlertFacts { first: stale.now.clone(), now: killed, ..stale.clone() };
    let recovered = ended(failed.clone(), Resolution::Recovered { by: by.clone() });
    let completed = ended(stale.clone(), Resolution::CompletedLate { by });
    let paused = ended(failed.clone(), Resolution::Paused);
    let escalation = ReplyWhat::Escalated { change: escalated.now.clone() };
    let next = Change { subject: Subject::Occurrence { due: ONE.plus_seconds(86_400) }, ..missed.now.clone() };
    let turn = ReplyWhat::Turned { before: failed.now.clone(), change: next };
    let repeated = Sample {
        own: Own { maybe_repeat: true, ..Own::default() },
        ..of("repeat", "It may be there already: Slack's history could not be read.", failed.clone())
    };
    let late_told = of("late", "A failure that could not be told when it happened.", failed.clone());
    let kept_back = of("kept-back", "It failed while it was snoozed, and is told at the end.", failed.clone());
    let acknowledged = acknowledged(failed.clone());
    let snoozed = snoozed(failed.clone());
    let buttons = Sample {
        interactive: true,
        ..of("buttons", "A failure, where Ronda takes in what is clicked.", failed.clone())
    };
    let still = ReplyWhat::StillWrong { since: failed.opened_at, until: at(300), change: failed.now.clone() };
    let again = ReplyWhat::Again { number: 1, due: at(64), since: failed.opened_at, change: failed.now.clone() };
    let by = ReplyWhat::Acknowledged { by: ratna() };
    vec![
        of("failure", "A run failed and said why.", failed),
        of("failure-traceback", "A run failed with many words, for the third time in a row.", traceback),
        of("failure-silent", "A run failed without a word.", unsaid),
        of("stale", "A run takes longer than it may.", stale),
        of("fell-silent", "A run sends no heartbeat any more.", fell_silent),
        of("silence", "A worker sends no heartbeat.", silence(&worker)),
        of("missed", "A run did not start in time.", missed),
        of("started-late", "A run that was missed has started after all.", late),
        of("escalation", "A stale run has failed: the same message.", escalated),
        reply("escalation-reply", "The same, in the thread, where it notifies.", escalation),
        reply("turn-reply", "The next run went wrong in another way: what the edit overwrites.", turn),
        of("recovery", "A later run succeeded: the same message turns green.", recovered.clone()),
        reply("recovery-reply", "The same, in the thread.", end_of(&recovered)),
        of("late-recovery", "The stale run has completed after all.", completed.clone()),
        reply("late-recovery-reply", "The same, in the thread.", end_of(&completed)),
        buttons,
        of("acknowledged", "Somebody looks after it: the same message.", acknowledged),
        reply("acknowledged-reply", "The same, in the thread.", by),
        of("snoozed", "Somebody wants to hear of it again in the morning.", snoozed),
        reply("still-wrong-reply", "Morning has come, and it is not over: in the thread, where it notifies.", still),
        reply(
            "again-reply",
            "It stays wrong and nobody has taken it: in the thread, where it calls people once more.",
            again,
        ),
        kept_back.late(Late::Snoozed),
        of("paused", "Somebody paused the scheduler.", paused),
        repeated,
        late_told.late(Late::ByMillis(32 * 60_000)),
    ]
}

/// Who looks after it.
pub(super) fn ratna() -> Acknowledgment {
    Acknowledgment { by: By { source: "slack", id: "U0123456789", name: "Ratna" }.into(), at: at(12) }
}

fn acknowledged(alert: AlertFacts) -> AlertFacts {
    AlertFacts { care: Some(Box::new(Care { acknowledged: Some(ratna()), ..Care::default() })), ..alert }
}

fn snoozed(mut alert: AlertFacts) -> AlertFacts {
    let Acknowledgment { by, at: since } = ratna();
    alert.summary.mute = Some(Box::new(Mute { by, at: since, until: at(300) }));
    alert
}

fn of(kind: &'static str, about: &'static str, alert: AlertFacts) -> Sample {
    Sample::new(kind, about, Facts::Alert(Box::new(alert)))
}

fn reply(kind: &'static str, about: &'static str, what: ReplyWhat) -> Sample {
    Sample::new(kind, about, Facts::Reply(Box::new(ReplyFacts { name: "Nightly billing".into(), what })))
}

/// So many minutes past one.
pub(super) fn at(minutes: i64) -> Timestamp {
    ONE.plus_millis(minutes * 60_000)
}

fn key(id: &str) -> Option<SchedulerKey> {
    Some(SchedulerKey { tenant: TenantId::new("default").ok()?, scheduler: SchedulerId::new(id).ok()? })
}

fn alert(key: &SchedulerKey, cause: Change) -> AlertFacts {
    AlertFacts {
        key: key.clone(),
        summary: SchedulerSummary {
            name: "Nightly billing".into(),
            team: "payments".into(),
            environment: "production".into(),
            tags: Box::new([]),
            severity: Severity::Critical,
            runbook_url: "https://wiki.example/runbooks/billing".into(),
            scheduled: true,
            past: Some(Past { last_good_at: at(6 - 24 * 60), usual_ms: Some(372_000) }),
            mute: None,
        },
        opened_at: cause.ended_at.unwrap_or(at(31)),
        first: cause.clone(),
        now: cause,
        streak: 1,
        ended: None,
        former_repeat: Former::default(),
        care: None,
    }
}

fn ended(alert: AlertFacts, resolution: Resolution) -> AlertFacts {
    AlertFacts { ended: Some(AlertEnd { at: at(47), resolution }), ..alert }
}

fn end_of(alert: &AlertFacts) -> ReplyWhat {
    let end = alert.ended.clone().unwrap_or(AlertEnd { at: at(47), resolution: Resolution::Deleted });
    ReplyWhat::Ended { opened_at: alert.opened_at, end }
}

fn failure(error: &str) -> Change {
    Change {
        subject: Subject::Occurrence { due: ONE },
        from: OccurrenceStatus::Running,
        to: OccurrenceStatus::Failed,
        correction: false,
        started_at: Some(ONE.plus_seconds(2)),
        ended_at: Some(at(4)),
        late_start_ms: None,
        stale: None,
        run_id: Some("2026-11-24T01:00".into()),
        error: Some(Box::from(error)).filter(|_| !error.is_empty()),
        exit_code: Some(3),
        duration_ms: Some(238_000),
    }
}

fn stale(reason: StaleReason) -> Change {
    Change {
        to: OccurrenceStatus::Stale,
        stale: Some(reason),
        ended_at: Some(at(30)),
        error: None,
        exit_code: None,
        duration_ms: None,
        ..failure("")
    }
}

fn missed() -> Change {
    Change {
        to: OccurrenceStatus::Missed,
        from: OccurrenceStatus::Expected,
        started_at: None,
        run_id: None,
        ended_at: Some(at(10)),
        ..stale(StaleReason::OverMaxRun)
    }
}

fn started_late() -> Change {
    Change {
        from: OccurrenceStatus::Missed,
        to: OccurrenceStatus::Running,
        started_at: Some(at(25)),
        ended_at: None,
        late_start_ms: Some(900_000),
        ..missed()
    }
}

/// A worker of another team, without a schedule and without a runbook.
fn silence(key: &SchedulerKey) -> AlertFacts {
    let change = Change {
        subject: Subject::Silence { since: at(12) },
        ended_at: Some(at(17)),
        started_at: None,
        run_id: None,
        ..stale(StaleReason::NoHeartbeat)
    };
    let base = alert(key, change);
    let summary = SchedulerSummary {
        name: "Mail worker".into(),
        team: "platform".into(),
        severity: Severity::Warning,
        runbook_url: "".into(),
        past: None,
        scheduled: false,
        ..base.summary
    };
    AlertFacts { summary, ..base }
}
