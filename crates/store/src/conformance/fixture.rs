//! Rows and owners for the cases.

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use ronda_domain::id::{MessageId, RunId, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::Input;
use ronda_domain::record::{OccurrenceRecord, OccurrenceStatus, RunRecord, Subject};
use ronda_domain::spec::{Schedule, SchedulerSpec, Severity};
use ronda_domain::time::Timestamp;
use ronda_domain::{Effects, Scheduler, apply};
use ronda_schemas::row::{ApiKeyRow, ErrorRow, IdempotencyRow, PartitionRow, SchedulerRow, Scopes};

use crate::error::{StoreError, StoreErrorKind};
use crate::port::{Commit, HistoryQuery, Store};

/// A time of so many seconds.
#[must_use]
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

/// A time of so many seconds, counted from an hour before the suite began: for what is kept for a time by the wall clock.
#[must_use]
pub fn recent(seconds: i64) -> Timestamp {
    static BASE: OnceLock<Timestamp> = OnceLock::new();
    BASE.get_or_init(|| now().minus_seconds(3_600)).plus_millis(seconds.saturating_mul(1_000))
}

/// The wall clock.
///
/// # Panics
/// When it is set to before 1970.
#[must_use]
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    Timestamp::from_millis(i64::try_from(since_epoch.as_millis()).expect("a time"))
}

/// A tenant.
#[must_use]
pub fn tenant(text: &str) -> TenantId {
    TenantId::new(text).expect("a tenant id")
}

/// A scheduler's id.
#[must_use]
pub fn id(text: &str) -> SchedulerId {
    SchedulerId::new(text).expect("a scheduler id")
}

/// A scheduler's key.
#[must_use]
pub fn key(tenant_id: &str, scheduler: &str) -> SchedulerKey {
    SchedulerKey { tenant: tenant(tenant_id), scheduler: id(scheduler) }
}

/// The state of a scheduler that has just been registered.
#[must_use]
pub fn registered(key: &SchedulerKey, name: &str) -> Option<Scheduler> {
    let spec = SchedulerSpec {
        name: name.into(),
        description: "".into(),
        team: "payments".into(),
        environment: "production".into(),
        tags: Box::new([]),
        schedule: Schedule::Every { seconds: 3_600, anchor: None },
        start_grace_seconds: 300,
        early_window_seconds: 60,
        max_run_seconds: None,
        heartbeat_timeout_seconds: None,
        alert_after: 1,
        recover_after: 1,
        severity: Severity::Warning,
        runbook_url: "".into(),
    };
    let mut state = None;
    apply(&mut state, key, &Input::Register(Box::new(spec)), at(1_000), MessageId::default(), &mut Effects::new());
    assert!(state.is_some(), "registering makes a scheduler");
    state
}

/// A registered scheduler's row, changed at a position.
#[must_use]
pub fn row(key: &SchedulerKey, position: u64) -> SchedulerRow {
    SchedulerRow {
        key: key.clone(),
        state: registered(key, key.scheduler.as_str()),
        epoch: 1,
        position,
        outbox: Vec::new(),
    }
}

/// A deleted scheduler's row, whose last events are not published yet.
#[must_use]
pub fn deleted(key: &SchedulerKey, position: u64) -> SchedulerRow {
    SchedulerRow { key: key.clone(), state: None, epoch: 1, position, outbox: Vec::new() }
}

/// An occurrence due at so many seconds.
#[must_use]
pub fn due(seconds: i64) -> Subject {
    Subject::Occurrence { due: at(seconds) }
}

/// An unscheduled run that started at so many seconds.
#[must_use]
pub fn unscheduled(seconds: i64, run_id: &str) -> Subject {
    Subject::Run { started: at(seconds), run_id: RunId::new(run_id).expect("a run id") }
}

/// A history entry.
#[must_use]
pub fn occurrence(subject: &Subject, status: OccurrenceStatus) -> OccurrenceRecord {
    OccurrenceRecord {
        subject: subject.clone(),
        status,
        started_at: Some(subject.time()),
        ended_at: None,
        late_start_ms: None,
        stale: None,
        runs: 1,
        corrections: Vec::new(),
        acknowledgment: None,
    }
}

/// A run of a history entry.
#[must_use]
pub fn run(subject: &Subject, run_id: &str, started_seconds: i64) -> RunRecord {
    RunRecord {
        subject: subject.clone(),
        run_id: RunId::new(run_id).expect("a run id"),
        status: OccurrenceStatus::Succeeded,
        started_at: at(started_seconds),
        ended_at: None,
        occurred_at: None,
        error: None,
        exit_code: Some(0),
        duration_ms: None,
        metadata: vec![("host".into(), "batch-7".into())],
        progress: None,
        heartbeats: 3,
    }
}

/// An entry of an error feed.
#[must_use]
pub fn error(tenant_id: &str, seconds: i64, sequence: u64) -> ErrorRow {
    ErrorRow {
        tenant: tenant(tenant_id),
        at: at(seconds),
        message: MessageId { source: 7, sequence, index: 0 },
        scheduler: "not registered".into(),
        command: "status".into(),
        code: "unknown_scheduler".into(),
        detail: "register it first".into(),
    }
}

/// An API key.
#[must_use]
pub fn api_key(tenant_id: &str, number: u8, created_seconds: i64) -> ApiKeyRow {
    ApiKeyRow {
        hash: [number; 32],
        id: format!("key-{number}").into(),
        tenant: tenant(tenant_id),
        name: "fleet".into(),
        scopes: Scopes { ingest: true, read: true, admin: false },
        rate_limit_per_minute: 600,
        created_at: at(created_seconds),
        expires_at: None,
        revoked_at: None,
    }
}

/// A claim of an idempotency key.
#[must_use]
pub fn claim(number: u8, created_at: Timestamp) -> IdempotencyRow {
    let message = MessageId { source: u64::from(number), sequence: 1, index: 0 };
    IdempotencyRow { fingerprint: [number; 32], created_at, answer: None, message }
}

/// All of a history, in one page.
#[must_use]
pub fn everything() -> HistoryQuery {
    let (from, until) = (Timestamp::MIN, Timestamp::MAX);
    HistoryQuery { from, until, after: None, limit: 10_000, runs_each: 10_000, max_rows: 100_000 }
}

/// The owner of a partition.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its row, as last committed or acquired.
    pub partition: PartitionRow,
}

impl Owner {
    /// Becomes the owner.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn acquire(store: &dyn Store, partition: u32, partitions: u32) -> Self {
        Self { partition: store.acquire(partition, partitions).await.expect("acquire") }
    }

    /// A commit that moves the cursor by one.
    #[must_use]
    pub fn next_commit(&mut self) -> Commit {
        self.partition.cursor += 1;
        Commit { partition: self.partition.clone(), ..Commit::default() }
    }

    /// Commits rows.
    ///
    /// # Panics
    /// When the store refuses.
    pub async fn put(&mut self, store: &dyn Store, rows: Vec<SchedulerRow>) {
        let commit = Commit { rows, ..self.next_commit() };
        store.commit(Arc::new(commit)).await.expect("commit");
    }
}

/// The kind of a refusal.
///
/// # Panics
/// When it was no refusal.
pub fn refusal<T>(result: Result<T, StoreError>) -> StoreErrorKind {
    match result {
        Ok(_) => panic!("this must be refused"),
        Err(error) => {
            assert!(!error.message.is_empty(), "a refusal says why");
            error.kind
        }
    }
}
