//! One of everything that is encoded. Changing a value here changes what is compared, not what is promised: leave them as they are.

use ronda_domain::attention::{By, Mute};
use ronda_domain::event::{Change, Event, EventKind, Lifecycle, Resolution};
use ronda_domain::id::{MessageId, RunId, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::{Gap, HeartbeatReport, Input, ProgressReport, ReportedStatus, StatusReport};
use ronda_domain::record::{OccurrenceStatus, StaleReason, Subject};
use ronda_domain::spec::{Schedule, SchedulerSpec, Severity};
use ronda_domain::time::Timestamp;
use ronda_domain::{Effects, Scheduler, apply};
use ronda_schemas::command::Command;
use ronda_schemas::event::{
    BlindNotice, BlindReason, ClockHeld, EventBatch, EventEnvelope, LostFrames, SchedulerEvent, SchedulerSummary,
};
use ronda_schemas::frame::{FrameHeader, FrameKind, Refused};
use ronda_schemas::lease::{AssignmentRow, MemberId, MemberRow, Slot};
use ronda_schemas::row::{
    ApiKeyRow, ClockAhead, DirectRow, ErrorRow, GatewayRow, IdempotencyRow, IdempotentAnswer, LateRow, PartitionRow,
    SchedulerRow, Scopes, ToldRow,
};

/// 2026-11-22T19:00:00Z, and so many seconds.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_374_000 + seconds)
}

fn key() -> SchedulerKey {
    SchedulerKey {
        tenant: TenantId::new("acme").expect("an id"),
        scheduler: SchedulerId::new("nightly-billing").expect("an id"),
    }
}

const MESSAGE: MessageId = MessageId { source: 0xFEDC_BA98_7654_3210, sequence: 42, index: 7 };

pub(crate) fn headers() -> [FrameHeader; 7] {
    let header = |number, kind, abandoned| FrameHeader {
        gateway: 0xFEDC_BA98_7654_3210,
        number,
        wall: at(1),
        mono_ms: 123_456,
        kind,
        abandoned,
        refused: Refused::Nobody,
    };
    [
        header(42, FrameKind::Normal, vec![40, 41]),
        header(1, FrameKind::Join, Vec::new()),
        header(u64::MAX, FrameKind::Leave, Vec::new()),
        header(1, FrameKind::JoinAlone, Vec::new()),
        header(43, FrameKind::Awaited, Vec::new()),
        FrameHeader { refused: Refused::Anybody, ..header(44, FrameKind::Normal, vec![41]) },
        FrameHeader {
            refused: Refused::Tenants(vec!["acme".into(), "z".into()]),
            ..header(45, FrameKind::Normal, vec![41])
        },
    ]
}

fn spec(schedule: Schedule) -> SchedulerSpec {
    SchedulerSpec {
        name: "Nightly billing".into(),
        description: "Bills everybody".into(),
        team: "payments".into(),
        environment: "production".into(),
        tags: Box::new(["billing".into(), "nightly".into()]),
        schedule,
        start_grace_seconds: 300,
        early_window_seconds: 60,
        max_run_seconds: Some(7_200),
        heartbeat_timeout_seconds: None,
        alert_after: 1,
        recover_after: 2,
        severity: Severity::Critical,
        runbook_url: "https://runbooks.example/billing".into(),
    }
}

fn cron() -> Schedule {
    Schedule::Cron { expression: "0 2 * * *".into(), timezone: "Asia/Jakarta".into() }
}

fn failure() -> StatusReport<'static> {
    StatusReport {
        status: ReportedStatus::Failed,
        run_id: Some("scheduled__2026-11-23T02:00"),
        occurred_at: Some(at(5)),
        error: Some("disk full: /var"),
        exit_code: Some(-1),
        duration_ms: Some(5_321),
        metadata: vec![("host", "batch-7"), ("rows", "1204")],
    }
}

fn bare(status: ReportedStatus) -> StatusReport<'static> {
    StatusReport {
        status,
        run_id: None,
        occurred_at: None,
        error: None,
        exit_code: None,
        duration_ms: None,
        metadata: Vec::new(),
    }
}

/// Every kind of command, by name.
pub(crate) fn commands() -> Vec<(&'static str, Command<'static>)> {
    let every = Schedule::Every { seconds: 900, anchor: Some(at(0)) };
    let progress = ProgressReport { done: 40, total: Some(100), message: Some("page 40") };
    let inputs = [
        ("register-cron", Input::Register(Box::new(spec(cron())))),
        ("register-every", Input::Register(Box::new(spec(every)))),
        ("register-unscheduled", Input::Register(Box::new(spec(Schedule::None)))),
        ("delete", Input::Delete),
        ("pause", Input::Pause),
        ("resume", Input::Resume),
        ("running", Input::Status(bare(ReportedStatus::Running))),
        ("success", Input::Status(bare(ReportedStatus::Success))),
        ("failed", Input::Status(failure())),
        ("cancelled", Input::Status(bare(ReportedStatus::Cancelled))),
        ("skipped", Input::Status(bare(ReportedStatus::Skipped))),
        ("heartbeat", Input::Heartbeat(HeartbeatReport { run_id: None, occurred_at: None, progress: None })),
        (
            "heartbeat-progress",
            Input::Heartbeat(HeartbeatReport {
                run_id: Some("run-1"),
                occurred_at: Some(at(9)),
                progress: Some(progress),
            }),
        ),
    ];
    let command = |input| Command { tenant: "acme", scheduler: "nightly-billing", age_ms: 3, input, message: None };
    inputs.into_iter().map(|(name, input)| (name, command(input))).collect()
}

const BY: By<'static> = By { source: "slack", id: "U0123456789", name: "Ratna" };

/// The kinds of commands that version 5 of a frame has more, by name.
pub(crate) fn attention_commands() -> Vec<(&'static str, Command<'static>)> {
    let inputs = [
        ("acknowledge", Input::Acknowledge { alert: None, by: BY }),
        ("mute", Input::Mute { until: at(3_600), by: BY }),
        ("unmute", Input::Unmute { by: BY }),
    ];
    let command = |input| Command { tenant: "acme", scheduler: "nightly-billing", age_ms: 3, input, message: None };
    inputs.into_iter().map(|(name, input)| (name, command(input))).collect()
}

/// What version 6 has more: an acknowledgment of one alert.
pub(crate) fn acknowledgment_of_an_alert() -> Command<'static> {
    let input = Input::Acknowledge { alert: Some("alert:00000000000000a1:due:1795456800000:failed:0"), by: BY };
    Command { tenant: "acme", scheduler: "nightly-billing", age_ms: 3, input, message: None }
}

fn change() -> Change {
    Change {
        subject: Subject::Occurrence { due: at(0) },
        from: OccurrenceStatus::Stale,
        to: OccurrenceStatus::Succeeded,
        correction: true,
        started_at: Some(at(3)),
        ended_at: Some(at(9_000)),
        late_start_ms: Some(1_500),
        stale: Some(StaleReason::OverMaxRun),
        run_id: Some("run-1".into()),
        error: Some("disk full".into()),
        exit_code: Some(1),
        duration_ms: Some(8_997_000),
    }
}

fn small_change(subject: Subject, to: OccurrenceStatus) -> Change {
    Change {
        subject,
        from: OccurrenceStatus::Expected,
        to,
        correction: false,
        started_at: None,
        ended_at: None,
        late_start_ms: None,
        stale: None,
        run_id: None,
        error: None,
        exit_code: None,
        duration_ms: None,
    }
}

fn event_kinds() -> Vec<EventKind> {
    let run = Subject::Run { started: at(7), run_id: RunId::new("adhoc-1").expect("an id") };
    let resolved = |resolution| EventKind::AlertResolved { alert: "alert-1".into(), opened_at: at(300), resolution };
    let lifecycle =
        [Lifecycle::Registered, Lifecycle::Updated, Lifecycle::Paused, Lifecycle::Resumed, Lifecycle::Deleted];
    let mut kinds: Vec<_> = lifecycle.into_iter().map(EventKind::Lifecycle).collect();
    kinds.extend([
        EventKind::Changed(change()),
        EventKind::Changed(small_change(run, OccurrenceStatus::Unknown)),
        EventKind::Changed(small_change(Subject::Silence { since: at(1) }, OccurrenceStatus::Stale)),
        EventKind::AlertOpened { alert: "alert-1".into(), cause: change(), streak: 1 },
        EventKind::AlertChanged { alert: "alert-1".into(), cause: change(), streak: 2 },
        resolved(Resolution::Recovered { by: change() }),
        resolved(Resolution::CompletedLate { by: change() }),
        resolved(Resolution::Paused),
        resolved(Resolution::Deleted),
    ]);
    kinds
}

fn events() -> Vec<EventEnvelope> {
    let envelope = |(number, kind): (usize, EventKind)| {
        let event = Event { id: format!("event-{number}").into(), at: at(10), kind };
        EventEnvelope::Scheduler(Box::new(SchedulerEvent {
            key: key(),
            summary: SchedulerSummary::from(&spec(cron())),
            event,
        }))
    };
    let mut events: Vec<_> = event_kinds().into_iter().enumerate().map(envelope).collect();
    for reason in [BlindReason::NoPulse, BlindReason::ClockStep, BlindReason::LostFrames] {
        events.push(EventEnvelope::Blind(Box::new(BlindNotice {
            tenant: key().tenant,
            partition: 3,
            gap: Gap { from: at(1), until: at(600) },
            reason,
            schedulers: vec![key().scheduler],
            total: 51,
        })));
    }
    let lost = LostFrames { partition: 3, gateway: 0xFEDC_BA98_7654_3210, first: 5, last: 6, at: at(11) };
    events.push(EventEnvelope::Lost(lost));
    events
}

pub(crate) fn empty_batch() -> EventBatch {
    EventBatch { source_partition: 3, source_partitions: 8, watermark: at(12), events: Vec::new() }
}

pub(crate) fn event_batch() -> EventBatch {
    EventBatch { events: events(), ..empty_batch() }
}

/// A failure of a scheduler of which it is known how it usually goes.
pub(crate) fn past_batch() -> EventBatch {
    let row = good_row();
    let summary = row.state.as_ref().map(|state| SchedulerSummary::at(state, at(10))).expect("a state");
    let kind = EventKind::AlertOpened { alert: "alert-1".into(), cause: change(), streak: 1 };
    let event = SchedulerEvent { key: key(), summary, event: Event { id: "event-1".into(), at: at(10), kind } };
    EventBatch { events: vec![EventEnvelope::Scheduler(Box::new(event))], ..empty_batch() }
}

/// What people say of an alert, and an alert of a muted scheduler.
pub(crate) fn attention_batch() -> EventBatch {
    let mute = Mute { by: BY.into(), at: at(12), until: at(3_600) };
    let summary = SchedulerSummary { mute: Some(Box::new(mute.clone())), ..SchedulerSummary::from(&spec(cron())) };
    let kinds = [
        EventKind::AlertAcknowledged { alert: "alert-1".into(), by: BY.into() },
        EventKind::Muted(mute),
        EventKind::AlertOpened { alert: "alert-1".into(), cause: change(), streak: 1 },
        EventKind::Unmuted { by: BY.into() },
    ];
    let envelope = |(number, kind)| {
        let event = Event { id: format!("event-{number}").into(), at: at(10), kind };
        EventEnvelope::Scheduler(Box::new(SchedulerEvent { key: key(), summary: summary.clone(), event }))
    };
    EventBatch {
        events: kinds.into_iter().zip(0..).map(|(kind, number): (_, u32)| envelope((number, kind))).collect(),
        ..empty_batch()
    }
}

pub(crate) fn held_batch() -> EventBatch {
    let held = ClockHeld { partition: 3, gateway: 0xFEDC_BA98_7654_3210, clock: at(4_000), wall: at(12) };
    EventBatch { events: vec![EventEnvelope::Held(held)], ..empty_batch() }
}

/// With a gateway whose clock isn't followed.
pub(crate) fn doubting_partition_row() -> PartitionRow {
    let mut row = partition_row();
    row.gateways[0].ahead = Some(ClockAhead { since_mono_ms: 100_000, by_ms: 86_400_000 });
    row
}

pub(crate) fn late_partition_row() -> PartitionRow {
    let gap = |from, until| Gap { from: at(from), until: at(until) };
    PartitionRow { late: vec![gap(-20, 9), gap(12, 42)], ..partition_row() }
}

pub(crate) fn late_tenants_partition_row() -> PartitionRow {
    let late =
        |tenant: &str, from, until| LateRow { tenant: tenant.into(), gap: Gap { from: at(from), until: at(until) } };
    PartitionRow { late_tenants: vec![late("acme", -20, 9), late("z", 12, 42)], ..partition_row() }
}

/// Of a queue that others publish onto, too.
pub(crate) fn direct_partition_row() -> PartitionRow {
    let told = |tenant: &str, errors| ToldRow { tenant: tenant.into(), errors, letters: 300 };
    let direct = DirectRow {
        recent: vec![(999_998, 0xFEDC_BA98_7654_3210), (1_000_000, 7)],
        minute: 29_923_889,
        told: vec![told("", 0), told("acme", 101)],
    };
    PartitionRow { direct: Some(Box::new(direct)), ..partition_row() }
}

pub(crate) fn partition_row() -> PartitionRow {
    let gateway = |gateway, live| GatewayRow {
        gateway,
        number: 42,
        wall: at(12),
        mono_ms: 123_456,
        live,
        covered_from: at(12),
        ahead: None,
    };
    PartitionRow {
        partition: 3,
        partitions: 8,
        epoch: 5,
        cursor: 1_000_000,
        watermark: at(12),
        gateways: vec![gateway(0xFEDC_BA98_7654_3210, true), gateway(1, false)],
        published: 999_999,
        outbox: events().split_off(14),
        applied: 123_456_789,
        refused: 12,
        direct: None,
        late: Vec::new(),
        late_tenants: Vec::new(),
    }
}

pub(crate) fn error_row() -> ErrorRow {
    ErrorRow {
        tenant: key().tenant,
        at: at(13),
        message: MESSAGE,
        scheduler: "no such job".into(),
        command: "status".into(),
        code: "unknown_scheduler".into(),
        detail: "no scheduler of this id is registered; register it first".into(),
    }
}

pub(crate) fn api_key_row() -> ApiKeyRow {
    ApiKeyRow {
        hash: std::array::from_fn(|place| u8::try_from(place * 8).expect("a byte")),
        id: "k-7f3a".into(),
        tenant: key().tenant,
        name: "billing fleet".into(),
        scopes: Scopes { ingest: true, read: true, admin: false },
        rate_limit_per_minute: 6_000,
        created_at: at(0),
        expires_at: Some(at(86_400)),
        revoked_at: None,
    }
}

pub(crate) fn idempotency_rows() -> [IdempotencyRow; 2] {
    let claimed = IdempotencyRow { fingerprint: [0xAB; 32], created_at: at(1), answer: None, message: MESSAGE };
    let answer =
        IdempotentAnswer { status: 202, body: br#"{"run_id":"r-1"}"#.to_vec(), location: Some("/v1/runs/r-1".into()) };
    [claimed.clone(), IdempotencyRow { answer: Some(answer), ..claimed }]
}

pub(crate) fn deleted_row() -> SchedulerRow {
    SchedulerRow { key: key(), state: None, epoch: 5, position: 77, outbox: events().split_off(13) }
}

/// A scheduler with a past: a failure that opened an alert, and a run that is open.
pub(crate) fn scheduler_row() -> SchedulerRow {
    let mut state: Option<Scheduler> = None;
    let mut effects = Effects::new();
    let mut sequence = 0;
    let mut input = |input: &Input<'_>, seconds: i64| {
        sequence += 1;
        let message = MessageId { source: 1, sequence, index: 0 };
        apply(&mut state, &key(), input, at(seconds), message, &mut effects);
    };
    input(&Input::Register(Box::new(spec(cron()))), -3_600);
    let running = |run_id| StatusReport { run_id: Some(run_id), ..bare(ReportedStatus::Running) };
    input(&Input::Status(running("run-0")), 2);
    input(&Input::Tick, 3);
    let failed = StatusReport { run_id: Some("run-0"), ..failure() };
    input(&Input::Status(failed), 60);
    input(&Input::Tick, 61);
    input(&Input::Status(running("run-1")), 120);
    let progress = ProgressReport { done: 1, total: None, message: Some("second try") };
    input(
        &Input::Heartbeat(HeartbeatReport { run_id: Some("run-1"), occurred_at: None, progress: Some(progress) }),
        130,
    );
    input(&Input::Tick, 131);
    SchedulerRow { key: key(), state, epoch: 5, position: 77, outbox: Vec::new() }
}

/// Somebody looks after its failure, and it is muted.
pub(crate) fn attended_row() -> SchedulerRow {
    let row = scheduler_row();
    let (mut state, mut effects) = (row.state, Effects::new());
    let inputs = [
        (Input::Acknowledge { alert: None, by: BY }, 140),
        (Input::Mute { until: at(3_600), by: BY }, 150),
        (Input::Tick, 151),
    ];
    for ((input, seconds), sequence) in inputs.into_iter().zip(1..) {
        let message = MessageId { source: 2, sequence, index: 0 };
        apply(&mut state, &key(), &input, at(seconds), message, &mut effects);
    }
    let view = state.as_ref().map(|state| state.view(at(151))).expect("a state");
    assert!(view.mute.is_some() && view.alert.is_some_and(|alert| alert.acknowledgment.is_some()));
    SchedulerRow { key: key(), state, epoch: 5, position: 78, outbox: Vec::new() }
}

/// Three good runs.
pub(crate) fn good_row() -> SchedulerRow {
    let mut state: Option<Scheduler> = None;
    let mut effects = Effects::new();
    let mut sequence = 0;
    let mut input = |input: &Input<'_>, seconds: i64| {
        sequence += 1;
        let message = MessageId { source: 1, sequence, index: 0 };
        apply(&mut state, &key(), input, at(seconds), message, &mut effects);
    };
    input(&Input::Register(Box::new(spec(cron()))), -3_600);
    for (day, run_id) in [(0, "run-0"), (1, "run-1"), (2, "run-2")] {
        let from = day * 86_400;
        input(&Input::Status(StatusReport { run_id: Some(run_id), ..bare(ReportedStatus::Running) }), from + 2);
        input(&Input::Status(StatusReport { run_id: Some(run_id), ..bare(ReportedStatus::Success) }), from + 600 + day);
        input(&Input::Tick, from + 700);
    }
    assert!(state.as_ref().is_some_and(|state| state.past().is_some()));
    SchedulerRow { key: key(), state, epoch: 5, position: 77, outbox: Vec::new() }
}

/// Its start was waited for when a gateway fell silent.
pub(crate) fn put_off_row() -> SchedulerRow {
    let mut state: Option<Scheduler> = None;
    let mut effects = Effects::new();
    let inputs =
        [(Input::Register(Box::new(spec(cron()))), -3_600), (Input::Late(Gap { from: at(290), until: at(320) }), 310)];
    for ((input, seconds), sequence) in inputs.into_iter().zip(1..) {
        let message = MessageId { source: 1, sequence, index: 0 };
        apply(&mut state, &key(), &input, at(seconds), message, &mut effects);
    }
    assert!(state.as_ref().is_some_and(Scheduler::is_put_off));
    SchedulerRow { key: key(), state, epoch: 5, position: 77, outbox: Vec::new() }
}

pub(crate) fn member_row() -> MemberRow {
    MemberRow {
        id: MemberId(0xFEDC_BA98_7654_3210),
        name: "processor-0/1".into(),
        renewals: 42,
        leaving: true,
        partitions: 64,
    }
}

pub(crate) fn assignment_row() -> AssignmentRow {
    let (one, other) = (MemberId(0xFEDC_BA98_7654_3210), MemberId(7));
    let slots = vec![Slot::Held(one), Slot::Moving { from: one, to: other }, Slot::Free, Slot::Held(other)];
    AssignmentRow { version: 9, slots }
}
