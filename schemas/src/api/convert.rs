//! From rows and views to what the API answers.

use ronda_domain::Scheduler;
use ronda_domain::attention::{Acknowledgment, Actor};
use ronda_domain::record::{Correction, OccurrenceRecord, Progress, RunRecord, Subject};
use ronda_domain::spec::Schedule;
use ronda_domain::time::Timestamp;
use ronda_domain::view::{AlertView, OccurrenceView, RunView};

use super::resource::{
    AcknowledgmentResource, ActorResource, AlertResource, CorrectionResource, EntryKind, ErrorResource,
    HistoryResource, KeyResource, LastResource, OpenRunResource, ProgressResource, RunResource, ScheduleResource,
    SchedulerResource,
};
use super::time::Time;
use crate::row::{ApiKeyRow, ErrorRow};

impl SchedulerResource {
    /// A scheduler as it is at a time: the watermark of its partition. A watermark from before its last change (none has
    /// come yet, or it changed in the very commit that is read) counts as that change.
    #[must_use]
    pub fn new(id: &str, state: &Scheduler, watermark: Timestamp) -> Self {
        let now = watermark.max(state.updated_at());
        let spec = state.spec();
        let view = state.view(now);
        Self {
            id: id.to_owned(),
            name: spec.name.to_string(),
            description: spec.description.to_string(),
            team: spec.team.to_string(),
            environment: spec.environment.to_string(),
            tags: spec.tags.iter().map(ToString::to_string).collect(),
            schedule: schedule(&spec.schedule),
            start_grace_seconds: spec.start_grace_seconds,
            early_window_seconds: spec.early_window_seconds,
            max_run_seconds: spec.max_run_seconds,
            heartbeat_timeout_seconds: spec.heartbeat_timeout_seconds,
            alert_after: spec.alert_after,
            recover_after: spec.recover_after,
            severity: spec.severity,
            runbook_url: spec.runbook_url.to_string(),
            status: view.status,
            paused: view.paused,
            next_due: view.next_due.map(Time),
            open_runs: view.open_runs.into_iter().map(Into::into).collect(),
            last: view.last.map(Into::into),
            alert: view.alert.map(Into::into),
            muted_until: view.mute.as_ref().map(|mute| Time(mute.until)),
            muted_by: view.mute.map(|mute| mute.by.into()),
            last_heartbeat_at: view.last_heartbeat_at.map(Time),
            bad_streak: view.bad_streak,
            good_streak: view.good_streak,
            registered_at: Time(view.registered_at),
            updated_at: Time(view.updated_at),
            revision: view.revision,
            as_of: Time(now),
        }
    }
}

fn schedule(schedule: &Schedule) -> Option<ScheduleResource> {
    match schedule {
        Schedule::None => None,
        Schedule::Cron { expression, timezone } => {
            Some(ScheduleResource::Cron { cron: expression.to_string(), timezone: timezone.to_string() })
        }
        Schedule::Every { seconds, anchor } => {
            Some(ScheduleResource::Every { every_seconds: *seconds, anchor: anchor.map(Time) })
        }
    }
}

const fn kind(subject: &Subject) -> EntryKind {
    match subject {
        Subject::Occurrence { .. } => EntryKind::Occurrence,
        Subject::Run { .. } => EntryKind::Run,
        Subject::Silence { .. } => EntryKind::Silence,
    }
}

impl From<Progress> for ProgressResource {
    fn from(progress: Progress) -> Self {
        Self { done: progress.done, total: progress.total, message: progress.message.map(Into::into) }
    }
}

impl From<RunView> for OpenRunResource {
    fn from(run: RunView) -> Self {
        Self {
            run_id: run.run_id.as_str().to_owned(),
            named: run.named,
            status: run.status,
            started_at: Time(run.started_at),
            last_sign_at: Time(run.last_sign_at),
            occurred_at: run.occurred_at.map(Time),
            due: run.due.map(Time),
            stale_reason: run.stale,
            deadline: run.deadline.map(Time),
            heartbeats: run.heartbeats,
            progress: run.progress.map(Into::into),
        }
    }
}

impl From<OccurrenceView> for LastResource {
    fn from(last: OccurrenceView) -> Self {
        Self {
            kind: kind(&last.subject),
            time: Time(last.subject.time()),
            status: last.status,
            started_at: last.started_at.map(Time),
            ended_at: last.ended_at.map(Time),
            late_start_ms: last.late_start_ms,
            stale_reason: last.stale,
            run_id: last.run_id.map(|id| id.as_str().to_owned()),
            error: last.error.map(Into::into),
            exit_code: last.exit_code,
        }
    }
}

impl From<AlertView> for AlertResource {
    fn from(alert: AlertView) -> Self {
        Self {
            id: alert.id.into(),
            opened_at: Time(alert.opened_at),
            streak: alert.streak,
            acknowledgment: alert.acknowledgment.map(Into::into),
        }
    }
}

impl From<Acknowledgment> for AcknowledgmentResource {
    fn from(acknowledgment: Acknowledgment) -> Self {
        Self { by: acknowledgment.by.into(), at: Time(acknowledgment.at) }
    }
}

impl From<Actor> for ActorResource {
    fn from(actor: Actor) -> Self {
        Self { name: actor.name.into(), id: actor.id.into(), source: actor.source.into() }
    }
}

impl From<Correction> for CorrectionResource {
    fn from(correction: Correction) -> Self {
        Self { at: Time(correction.at), from: correction.from, to: correction.to }
    }
}

impl HistoryResource {
    /// An entry with its runs, oldest first.
    #[must_use]
    pub fn new(record: OccurrenceRecord, runs: Vec<RunRecord>, runs_total: u64) -> Self {
        Self {
            kind: kind(&record.subject),
            time: Time(record.subject.time()),
            status: record.status,
            started_at: record.started_at.map(Time),
            ended_at: record.ended_at.map(Time),
            late_start_ms: record.late_start_ms,
            stale_reason: record.stale,
            corrections: record.corrections.into_iter().map(Into::into).collect(),
            acknowledgment: record.acknowledgment.map(Into::into),
            runs: runs.into_iter().map(Into::into).collect(),
            runs_total,
        }
    }
}

impl From<RunRecord> for RunResource {
    fn from(run: RunRecord) -> Self {
        Self {
            run_id: run.run_id.as_str().to_owned(),
            status: run.status,
            started_at: Time(run.started_at),
            ended_at: run.ended_at.map(Time),
            occurred_at: run.occurred_at.map(Time),
            error: run.error.map(Into::into),
            exit_code: run.exit_code,
            duration_ms: run.duration_ms,
            metadata: run.metadata.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            progress: run.progress.map(Into::into),
            heartbeats: run.heartbeats,
        }
    }
}

impl From<ErrorRow> for ErrorResource {
    fn from(row: ErrorRow) -> Self {
        let message = row.message;
        Self {
            at: Time(row.at),
            message_id: format!("{:016x}-{:x}-{:x}", message.source, message.sequence, message.index),
            scheduler_id: row.scheduler.into(),
            command: row.command.into(),
            code: row.code.into(),
            detail: row.detail.into(),
        }
    }
}

impl From<&ApiKeyRow> for KeyResource {
    fn from(row: &ApiKeyRow) -> Self {
        let scopes = [("ingest", row.scopes.ingest), ("read", row.scopes.read), ("admin", row.scopes.admin)];
        Self {
            id: row.id.to_string(),
            tenant: row.tenant.to_string(),
            name: row.name.to_string(),
            scopes: scopes.into_iter().filter(|(_, has)| *has).map(|(name, _)| name.to_owned()).collect(),
            rate_limit_per_minute: row.rate_limit_per_minute,
            created_at: Time(row.created_at),
            expires_at: row.expires_at.map(Time),
            revoked_at: row.revoked_at.map(Time),
        }
    }
}
