//! What is said of jobs without anybody judging them.

use ronda_domain::event::{Change, Event, EventKind, Resolution};
use ronda_domain::id::{SchedulerId, SchedulerKey};
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::{EventEnvelope, SchedulerEvent, SchedulerSummary};

use crate::scene::Scene;

impl Scene {
    pub(crate) async fn fails(&self, job: &str) {
        self.tell(vec![self.failure(job)]).await;
    }

    /// That a job failed, to be told with others.
    pub(crate) fn failure(&self, job: &str) -> EventEnvelope {
        let cause = self.change(OccurrenceStatus::Running, OccurrenceStatus::Failed);
        self.event(job, "opened", EventKind::AlertOpened { alert: "a1".into(), cause, streak: 1 })
    }

    pub(crate) async fn goes_stale(&self, job: &str) {
        let cause = self.change(OccurrenceStatus::Running, OccurrenceStatus::Stale);
        let event = self.event(job, "stale", EventKind::AlertOpened { alert: "a1".into(), cause, streak: 1 });
        self.tell(vec![event]).await;
    }

    pub(crate) async fn stale_fails(&self, job: &str) {
        let cause = self.change(OccurrenceStatus::Stale, OccurrenceStatus::Failed);
        let event = self.event(job, "changed", EventKind::AlertChanged { alert: "a1".into(), cause, streak: 1 });
        self.tell(vec![event]).await;
    }

    pub(crate) async fn stale_completes(&self, job: &str) {
        let by = self.change(OccurrenceStatus::Stale, OccurrenceStatus::Succeeded);
        self.tell(vec![self.resolution(job, Resolution::CompletedLate { by })]).await;
    }

    pub(crate) async fn recovers(&self, job: &str) {
        self.tell(vec![self.recovery(job)]).await;
    }

    pub(crate) fn recovery(&self, job: &str) -> EventEnvelope {
        let by = self.change(OccurrenceStatus::Running, OccurrenceStatus::Succeeded);
        self.resolution(job, Resolution::Recovered { by })
    }

    fn resolution(&self, job: &str, resolution: Resolution) -> EventEnvelope {
        let opened_at = self.at().minus_seconds(60);
        self.event(job, "resolved", EventKind::AlertResolved { alert: "a1".into(), opened_at, resolution })
    }

    fn change(&self, from: OccurrenceStatus, to: OccurrenceStatus) -> Change {
        let due = Timestamp::from_seconds(1_795_456_800);
        Change {
            subject: Subject::Occurrence { due },
            from,
            to,
            correction: false,
            started_at: Some(due),
            ended_at: Some(self.at()),
            late_start_ms: None,
            stale: None,
            run_id: Some("r-1".into()),
            error: Some("disk full".into()),
            exit_code: Some(1),
            duration_ms: None,
        }
    }

    fn event(&self, job: &str, id: &str, kind: EventKind) -> EventEnvelope {
        let key = SchedulerKey { tenant: self.tenant.clone(), scheduler: SchedulerId::new(job).unwrap() };
        let summary = SchedulerSummary {
            name: job.into(),
            team: "payments".into(),
            environment: "production".into(),
            tags: Box::new([]),
            severity: Severity::Critical,
            runbook_url: "".into(),
            scheduled: true,
            past: None,
            mute: None,
        };
        let event = Event { id: id.into(), at: self.at(), kind };
        EventEnvelope::Scheduler(Box::new(SchedulerEvent { key, summary, event }))
    }
}
