//! Jobs and who judges them: the domain itself, with what comes of it committed as a processor does.

use std::collections::BTreeMap;
use std::sync::Arc;

use ronda_domain::attention::By;
use ronda_domain::event::Event;
use ronda_domain::id::{MessageId, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::{Input, ReportedStatus, StatusReport};
use ronda_domain::spec::{Schedule, SchedulerSpec, Severity};
use ronda_domain::time::Timestamp;
use ronda_domain::{Effects, Scheduler};
use ronda_schemas::event::{EventEnvelope, SchedulerEvent, SchedulerSummary};
use ronda_schemas::row::{PartitionRow, SchedulerRow};
use ronda_store::port::{Commit, Store};

/// How long after its due time a run may start, in seconds.
const GRACE_SECONDS: u32 = 60;
/// Jobs committed together.
const TOGETHER: usize = 500;

/// See the module.
pub(crate) struct Jobs {
    store: Arc<dyn Store>,
    tenant: TenantId,
    partition: PartitionRow,
    jobs: BTreeMap<String, Option<Scheduler>>,
}

impl Jobs {
    pub(crate) async fn new(store: Arc<dyn Store>, tenant: TenantId) -> Self {
        let partition = store.acquire(0, 1).await.unwrap();
        Self { store, tenant, partition, jobs: BTreeMap::new() }
    }

    fn key(&self, job: &str) -> SchedulerKey {
        SchedulerKey { tenant: self.tenant.clone(), scheduler: SchedulerId::new(job).unwrap() }
    }

    /// Jobs are registered, a minute before this time.
    pub(crate) async fn register(&mut self, jobs: &[String], cron: &str, at: Timestamp) -> Vec<EventEnvelope> {
        let mut events = Vec::new();
        for some in jobs.chunks(TOGETHER) {
            let inputs = some.iter().map(|job| (job.as_str(), Input::Register(Box::new(spec(job, cron))))).collect();
            events.extend(self.apply(inputs, at.minus_seconds(60)).await);
        }
        events
    }

    /// Jobs report, each of the run that is due.
    pub(crate) async fn report(&mut self, reports: &[(&str, ReportedStatus)], at: Timestamp) -> Vec<EventEnvelope> {
        let inputs = reports.iter().map(|(job, status)| (*job, Input::Status(report(*status)))).collect();
        self.apply(inputs, at).await
    }

    /// Somebody says that they look after a job.
    pub(crate) async fn acknowledge(&mut self, job: &str, name: &str, at: Timestamp) -> Vec<EventEnvelope> {
        let by = By { source: "slack", id: name, name };
        self.apply(vec![(job, Input::Acknowledge { by, alert: None })], at).await
    }

    /// Everything before this time is judged.
    pub(crate) async fn judge(&mut self, at: Timestamp) -> Vec<EventEnvelope> {
        let names: Vec<String> = self.jobs.keys().cloned().collect();
        let mut events = Vec::new();
        for some in names.chunks(TOGETHER) {
            events.extend(self.apply(some.iter().map(|job| (job.as_str(), Input::Tick)).collect(), at).await);
        }
        events
    }

    /// Each a moment before this time, so that it is judged with all that time brings.
    async fn apply(&mut self, inputs: Vec<(&str, Input<'_>)>, at: Timestamp) -> Vec<EventEnvelope> {
        self.partition.cursor += 1;
        let mut commit = Commit { partition: self.partition.clone(), ..Commit::default() };
        let mut told = Vec::new();
        for (index, (job, input)) in inputs.into_iter().enumerate() {
            let key = self.key(job);
            let message =
                MessageId { source: 1, sequence: self.partition.cursor, index: u32::try_from(index).unwrap() };
            let state = self.jobs.entry(job.to_owned()).or_default();
            let mut effects = Effects::new();
            ronda_domain::apply(state, &key, &input, at.plus_millis(-1), message, &mut effects);
            assert_eq!(effects.refused, None, "{job} at {at:?}");
            ronda_domain::apply(state, &key, &Input::Tick, at, MessageId::default(), &mut effects);
            let summary = |event: &Event| SchedulerSummary::at(state.as_ref().unwrap(), event.at);
            let envelope = |event| SchedulerEvent { key: key.clone(), summary: summary(&event), event };
            told.extend(effects.events.into_iter().map(|event| EventEnvelope::Scheduler(Box::new(envelope(event)))));
            commit.occurrences.extend(effects.occurrences.into_iter().map(|record| (key.clone(), record)));
            commit.runs.extend(effects.runs.into_iter().map(|record| (key.clone(), record)));
            if effects.changed {
                let (epoch, position, state) = (self.partition.epoch, self.partition.cursor, state.clone());
                commit.rows.push(SchedulerRow { key, state, epoch, position, outbox: Vec::new() });
            }
        }
        self.store.commit(Arc::new(commit)).await.unwrap();
        told
    }
}

fn spec(job: &str, cron: &str) -> SchedulerSpec {
    SchedulerSpec {
        name: job.into(),
        description: "".into(),
        team: "payments".into(),
        environment: "production".into(),
        tags: Box::new([]),
        schedule: Schedule::Cron { expression: cron.into(), timezone: "Asia/Jakarta".into() },
        start_grace_seconds: GRACE_SECONDS,
        early_window_seconds: 60,
        max_run_seconds: None,
        heartbeat_timeout_seconds: None,
        alert_after: 1,
        recover_after: 1,
        severity: Severity::Critical,
        runbook_url: "".into(),
    }
}

fn report(status: ReportedStatus) -> StatusReport<'static> {
    let failed = status == ReportedStatus::Failed;
    StatusReport {
        status,
        run_id: Some("run"),
        occurred_at: None,
        error: failed.then_some("disk full"),
        exit_code: failed.then_some(1),
        duration_ms: None,
        metadata: Vec::new(),
    }
}
