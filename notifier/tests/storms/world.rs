//! Jobs and what becomes of them, judged by the domain itself: rows and history for the store, events for the queue.

use std::sync::Arc;

use bytes::Bytes;
use ronda_domain::Scheduler;
use ronda_domain::event::Event;
use ronda_domain::id::{MessageId, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::{HeartbeatReport, Input, ReportedStatus, StatusReport};
use ronda_domain::record::OccurrenceStatus;
use ronda_domain::spec::{Schedule, SchedulerSpec, Severity};
use ronda_domain::time::Timestamp;
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::{EventBatch, EventEnvelope, SchedulerEvent, SchedulerSummary};
use ronda_schemas::row::{PartitionRow, SchedulerRow};
use ronda_store::port::{Commit, Store};

use crate::attention::{Saying, sayings};
use crate::chance::Chance;

/// Minutes after the hour at which occurrences are due.
const DUES: [u32; 4] = [10, 15, 20, 25];
/// How long a job may run, and how long after its due time it may start, in seconds.
const MAX_RUN_SECONDS: u32 = 120;
const GRACE_SECONDS: u32 = 60;
/// Whose jobs somebody is called for.
pub(crate) const CALLING_TEAM: &str = "payments";

/// What becomes of one occurrence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Good,
    Fails,
    Missed,
    StartsLate,
    Stale,
    StaleThenGood,
    StaleThenFails,
    Cancelled,
    Skipped,
}

impl Fate {
    /// What is said of it in the end, by anybody who knows what happened.
    pub(crate) const fn end(self) -> OccurrenceStatus {
        match self {
            Self::Good | Self::StartsLate | Self::StaleThenGood => OccurrenceStatus::Succeeded,
            Self::Fails | Self::StaleThenFails => OccurrenceStatus::Failed,
            Self::Missed => OccurrenceStatus::Missed,
            Self::Stale => OccurrenceStatus::Stale,
            Self::Cancelled => OccurrenceStatus::Cancelled,
            Self::Skipped => OccurrenceStatus::Skipped,
        }
    }

    /// What the job reports, each so many seconds after the due time.
    const fn reports(self) -> &'static [(u32, ReportedStatus)] {
        use ReportedStatus::{Cancelled, Failed, Running, Skipped, Success};
        match self {
            Self::Good => &[(1, Running), (31, Success)],
            Self::Fails => &[(1, Running), (31, Failed)],
            Self::Missed => &[],
            Self::StartsLate => &[(90, Running), (185, Success)],
            Self::Stale => &[(1, Running)],
            Self::StaleThenGood => &[(1, Running), (200, Success)],
            Self::StaleThenFails => &[(1, Running), (200, Failed)],
            Self::Cancelled => &[(1, Running), (31, Cancelled)],
            Self::Skipped => &[(5, Skipped)],
        }
    }
}

/// One job.
pub(crate) struct Job {
    pub(crate) key: SchedulerKey,
    /// What becomes of its occurrences, in their order; none: it only sends heartbeats.
    pub(crate) fates: Vec<Fate>,
    /// Heartbeats, in seconds after the hour.
    beats: Vec<u32>,
    state: Option<Scheduler>,
}

impl Job {
    pub(crate) fn name(&self) -> &str {
        self.key.scheduler.as_str()
    }

    /// Of what fails by the dozen nobody is to be called for any; so who joins its digest may be the first.
    fn team(&self) -> &'static str {
        if self.name().starts_with("storm-") { "search" } else { CALLING_TEAM }
    }
}

/// What happens at one moment.
struct Deed {
    at: Timestamp,
    job: usize,
    what: What,
}

enum What {
    Report { status: ReportedStatus, run: String },
    Beat,
    Said(Saying),
}

/// All jobs of a seed.
pub(crate) struct World {
    /// The hour in which it all happens: the one before the last full hour, so that the night's window is open by the wall clock.
    pub(crate) hour: Timestamp,
    /// A tenant of each partition of the event queue; the first has a board.
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) jobs: Vec<Job>,
    deeds: Vec<Deed>,
    next_deed: usize,
    messages: u64,
    partition: Option<PartitionRow>,
}

/// What one tenant's partition of the event queue gets.
pub(crate) struct Told {
    pub(crate) partition: u32,
    pub(crate) events: Vec<SchedulerEvent>,
    pub(crate) bytes: Bytes,
}

impl World {
    pub(crate) fn new(chance: &mut Chance, attention: &mut Chance, partitions: u32) -> Self {
        const HOUR_MS: i64 = 3_600_000;
        let now_ms = i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
        let hour = Timestamp::from_millis((now_ms / HOUR_MS - 1) * HOUR_MS);
        let mut tenants = tenants(partitions);
        if chance.one_in(2) {
            tenants.reverse();
        }
        let mut world =
            Self { hour, tenants, jobs: Vec::new(), deeds: Vec::new(), next_deed: 0, messages: 0, partition: None };
        world.people(chance);
        world.plan(attention);
        world
    }

    /// Makes up jobs: few that go any which way, or all well, and now and then many that fail at once.
    fn people(&mut self, chance: &mut Chance) {
        const ANY: [Fate; 14] = [
            Fate::Good,
            Fate::Good,
            Fate::Good,
            Fate::Fails,
            Fate::Fails,
            Fate::Fails,
            Fate::Missed,
            Fate::StartsLate,
            Fate::Stale,
            Fate::StaleThenGood,
            Fate::StaleThenGood,
            Fate::StaleThenFails,
            Fate::Cancelled,
            Fate::Skipped,
        ];
        const WELL: [Fate; 4] = [Fate::Good, Fate::Good, Fate::StartsLate, Fate::StaleThenGood];
        let (nights_well, stormy) = (chance.one_in(3), chance.one_in(3));
        for number in 0..chance.between(3, 7) {
            let fates = if nights_well { &WELL[..] } else { &ANY[..] };
            let fates = (0..chance.between(1, 4)).map(|_| chance.of(fates)).collect();
            self.job(0, &format!("board-{number:02}"), fates, Vec::new());
        }
        for number in 0..chance.between(1, 4) {
            let fates = (0..chance.between(1, 4)).map(|_| chance.of(&ANY)).collect();
            self.job(1, &format!("other-{number:02}"), fates, Vec::new());
        }
        if chance.one_in(2) {
            // It falls silent, and in one half of all cases wakes.
            let beats = if chance.one_in(2) { vec![540] } else { vec![540, 1_200, 1_260, 1_320, 1_380, 1_440, 1_500] };
            self.job(1, "quiet-00", Vec::new(), beats);
        }
        if stormy {
            let at = chance.index(3);
            for number in 0..chance.between(16, 40) {
                let mut fates = vec![Fate::Good; at];
                fates.push(Fate::Fails);
                fates.extend((chance.one_in(2)).then(|| chance.of(&[Fate::Good, Fate::Fails])));
                self.job(1, &format!("storm-{number:02}"), fates, Vec::new());
            }
        }
    }

    fn job(&mut self, tenant: usize, id: &str, fates: Vec<Fate>, beats: Vec<u32>) {
        let key = SchedulerKey { tenant: self.tenants[tenant].clone(), scheduler: SchedulerId::new(id).unwrap() };
        let mut job = Job { key, fates, beats, state: None };
        let spec = Box::new(spec(&job, self.hour));
        let (at, mut effects) = (self.hour.minus_seconds(3_600), ronda_domain::Effects::new());
        ronda_domain::apply(&mut job.state, &job.key, &Input::Register(spec), at, MessageId::default(), &mut effects);
        self.jobs.push(job);
    }

    fn plan(&mut self, attention: &mut Chance) {
        for (index, job) in self.jobs.iter().enumerate() {
            for (fate, minute) in job.fates.iter().zip(DUES) {
                for (seconds, status) in fate.reports() {
                    let at = self.hour.plus_seconds(minute * 60 + seconds);
                    let what = What::Report { status: *status, run: format!("run-{minute}") };
                    self.deeds.push(Deed { at, job: index, what });
                }
            }
            let beats = job.beats.iter();
            self.deeds.extend(beats.map(|beat| Deed {
                at: self.hour.plus_seconds(*beat),
                job: index,
                what: What::Beat,
            }));
        }
        for (second, job, saying) in sayings(&self.jobs, attention) {
            self.deeds.push(Deed { at: self.hour.plus_seconds(second), job, what: What::Said(saying) });
        }
        self.deeds.sort_by_key(|deed| deed.at);
    }

    /// When the night's window ends.
    pub(crate) fn end(&self) -> Timestamp {
        self.hour.plus_seconds(86_400)
    }

    /// The moments at which something may be concluded.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Timestamp> + use<> {
        let hour = self.hour;
        (9..=31).map(move |minute| hour.plus_seconds(minute * 60 + 2))
    }

    /// Puts all jobs into the store, as they are before anything happens.
    pub(crate) async fn settle_in(&mut self, store: &Arc<dyn Store>) {
        self.partition = Some(store.acquire(0, 1).await.unwrap());
        let all: Vec<usize> = (0..self.jobs.len()).collect();
        self.commit(store, &all, Vec::new(), Vec::new()).await;
    }

    async fn commit(
        &mut self,
        store: &Arc<dyn Store>,
        changed: &[usize],
        occurrences: Vec<(SchedulerKey, ronda_domain::record::OccurrenceRecord)>,
        runs: Vec<(SchedulerKey, ronda_domain::record::RunRecord)>,
    ) {
        let partition = self.partition.clone().unwrap();
        let row = |index: &usize| {
            let job = &self.jobs[*index];
            let (key, state) = (job.key.clone(), job.state.clone());
            SchedulerRow { key, state, epoch: partition.epoch, position: 0, outbox: Vec::new() }
        };
        let rows = changed.iter().map(row).collect();
        let commit =
            Commit { partition: partition.clone(), rows, removed: Vec::new(), occurrences, runs, errors: Vec::new() };
        store.commit(Arc::new(commit)).await.unwrap();
    }

    /// Lets everything happen up to this time, judges it, and commits it as a processor does. What is to be told of it is not told yet.
    pub(crate) async fn step(&mut self, store: &Arc<dyn Store>, at: Timestamp) -> Vec<Told> {
        let mut effects: Vec<ronda_domain::Effects> = self.jobs.iter().map(|_| ronda_domain::Effects::new()).collect();
        while let Some(deed) = self.deeds.get(self.next_deed).filter(|deed| deed.at <= at) {
            self.next_deed += 1;
            self.messages += 1;
            let message = MessageId { source: 1, sequence: self.messages, index: 0 };
            let job = &mut self.jobs[deed.job];
            let input = match &deed.what {
                What::Report { status, run } => Input::Status(report(*status, run)),
                What::Beat => Input::Heartbeat(HeartbeatReport { run_id: None, occurred_at: None, progress: None }),
                What::Said(saying) => saying.input(deed.at),
            };
            ronda_domain::apply(&mut job.state, &job.key, &input, deed.at, message, &mut effects[deed.job]);
            assert_eq!(effects[deed.job].refused, None, "{} at {:?}", job.name(), deed.at);
        }
        for (job, effects) in self.jobs.iter_mut().zip(&mut effects) {
            ronda_domain::apply(&mut job.state, &job.key, &Input::Tick, at, MessageId::default(), effects);
        }
        self.publishable(store, at, effects).await
    }

    /// A run that fell silent ends well long after the night. Answers which job's, when there is one.
    pub(crate) async fn awake_after_the_end(
        &mut self,
        store: &Arc<dyn Store>,
        at: Timestamp,
    ) -> Option<(usize, Vec<Told>)> {
        let is_stale = |job: &Job| job.key.tenant == self.tenants[0] && job.fates.last() == Some(&Fate::Stale);
        let index = self.jobs.iter().position(is_stale)?;
        let mut effects: Vec<ronda_domain::Effects> = self.jobs.iter().map(|_| ronda_domain::Effects::new()).collect();
        self.messages += 1;
        let message = MessageId { source: 1, sequence: self.messages, index: 0 };
        let job = &mut self.jobs[index];
        let run = format!("run-{}", DUES[job.fates.len() - 1]);
        let input = Input::Status(report(ReportedStatus::Success, &run));
        ronda_domain::apply(&mut job.state, &job.key, &input, at, message, &mut effects[index]);
        ronda_domain::apply(&mut job.state, &job.key, &Input::Tick, at, MessageId::default(), &mut effects[index]);
        let is_over = effects[index].occurrences.iter().any(|record| record.status == OccurrenceStatus::Succeeded);
        assert!(is_over, "the model has to know what the domain makes of it: {:?}", effects[index]);
        *job.fates.last_mut().unwrap() = Fate::StaleThenGood;
        Some((index, self.publishable(store, at, effects).await))
    }

    async fn publishable(
        &mut self,
        store: &Arc<dyn Store>,
        at: Timestamp,
        effects: Vec<ronda_domain::Effects>,
    ) -> Vec<Told> {
        let (mut changed, mut occurrences, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        let mut events: Vec<Vec<SchedulerEvent>> = vec![Vec::new(); self.tenants.len()];
        for (index, (job, effects)) in self.jobs.iter().zip(effects).enumerate() {
            if effects.changed {
                changed.push(index);
            }
            occurrences.extend(effects.occurrences.into_iter().map(|record| (job.key.clone(), record)));
            runs.extend(effects.runs.into_iter().map(|record| (job.key.clone(), record)));
            let tenant = self.tenants.iter().position(|tenant| *tenant == job.key.tenant).unwrap();
            let state = job.state.as_ref().unwrap();
            let summary = |event: &Event| SchedulerSummary::at(state, event.at);
            let event = |event| SchedulerEvent { key: job.key.clone(), summary: summary(&event), event };
            events[tenant].extend(effects.events.into_iter().map(event));
        }
        self.commit(store, &changed, occurrences, runs).await;
        self.tell(at, events)
    }

    /// Nothing but that everything before this time is judged.
    pub(crate) fn passes(&self, at: Timestamp) -> Vec<Told> {
        self.tell(at, vec![Vec::new(); self.tenants.len()])
    }

    fn tell(&self, watermark: Timestamp, events: Vec<Vec<SchedulerEvent>>) -> Vec<Told> {
        let partitions = u32::try_from(self.tenants.len()).unwrap();
        let told = self.tenants.iter().zip(events).map(|(tenant, events)| {
            let envelopes = events.iter().map(|event| EventEnvelope::Scheduler(Box::new(event.clone()))).collect();
            let batch = EventBatch { source_partition: 0, source_partitions: 1, watermark, events: envelopes };
            let partition = ronda_domain::id::partition_of(tenant.as_str(), "", partitions);
            Told { partition, events, bytes: Bytes::from(batch.encode().unwrap()) }
        });
        told.collect()
    }
}

/// A tenant of each partition, in their order.
fn tenants(partitions: u32) -> Vec<TenantId> {
    let of = |partition: u32| {
        let names = (0..).map(|number| format!("tenant-{number}"));
        let mut names = names.filter(|name| ronda_domain::id::partition_of(name, "", partitions) == partition);
        TenantId::new(&names.next().unwrap()).unwrap()
    };
    (0..partitions).map(of).collect()
}

fn spec(job: &Job, hour: Timestamp) -> SchedulerSpec {
    let minutes: Vec<String> = DUES.iter().take(job.fates.len()).map(u32::to_string).collect();
    let hour = hour.as_millis() / 3_600_000 % 24;
    let schedule = if job.fates.is_empty() {
        Schedule::None
    } else {
        let expression = format!("{} {hour} * * *", minutes.join(","));
        Schedule::Cron { expression: expression.into(), timezone: "UTC".into() }
    };
    SchedulerSpec {
        name: job.name().into(),
        description: "".into(),
        team: job.team().into(),
        environment: "production".into(),
        tags: Box::new([]),
        schedule,
        start_grace_seconds: GRACE_SECONDS,
        early_window_seconds: 60,
        max_run_seconds: (!job.fates.is_empty()).then_some(MAX_RUN_SECONDS),
        heartbeat_timeout_seconds: job.fates.is_empty().then_some(120),
        alert_after: 1,
        recover_after: 1,
        severity: Severity::Critical,
        runbook_url: "".into(),
    }
}

fn report(status: ReportedStatus, run: &str) -> StatusReport<'_> {
    let failed = status == ReportedStatus::Failed;
    StatusReport {
        status,
        run_id: Some(run),
        occurred_at: None,
        error: failed.then_some("disk full"),
        exit_code: failed.then_some(1),
        duration_ms: None,
        metadata: Vec::new(),
    }
}
