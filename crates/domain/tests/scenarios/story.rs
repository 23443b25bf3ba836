//! A small stage for stories about one scheduler.

use ronda_domain::attention::By;
use ronda_domain::event::{Change, Event, EventKind};
use ronda_domain::id::{MessageId, SchedulerKey};
use ronda_domain::input::{Gap, HeartbeatReport, Input, ProgressReport, ReportedStatus, StatusReport};
use ronda_domain::record::{OccurrenceRecord, RunRecord, Subject};
use ronda_domain::spec::{Schedule, SchedulerSpec};
use ronda_domain::time::Timestamp;
use ronda_domain::{Effects, Refusal, Scheduler, SchedulerView, SpecDraft, apply, next_deadline};

/// 2026-11-24T00:00 in Jakarta.
const MIDNIGHT_MS: i64 = 1_795_453_200_000;

/// A wall-clock time of the night, "HH:MM" or "HH:MM:SS".
pub fn time(text: &str) -> Timestamp {
    let parts: Vec<i64> = text.split(':').map(|part| part.parse().unwrap()).collect();
    let seconds = parts[0] * 3_600 + parts[1] * 60 + parts.get(2).unwrap_or(&0);
    Timestamp::from_millis(MIDNIGHT_MS + seconds * 1_000)
}

pub fn cron(expression: &str) -> Schedule {
    Schedule::Cron { expression: expression.into(), timezone: "Asia/Jakarta".into() }
}

pub fn ad_hoc() -> SchedulerSpec {
    SpecDraft { id: "job".to_owned(), ..SpecDraft::default() }.validate().unwrap()
}

/// Every night at one; five minutes' grace, two minutes between heartbeats, an hour at most.
pub fn nightly() -> SchedulerSpec {
    SchedulerSpec {
        schedule: cron("0 1 * * *"),
        heartbeat_timeout_seconds: Some(120),
        max_run_seconds: Some(3_600),
        ..ad_hoc()
    }
}

/// Every so many seconds, with half a minute's grace.
pub fn plain(seconds: u32) -> SchedulerSpec {
    let schedule = Schedule::Every { seconds, anchor: None };
    SchedulerSpec { schedule, start_grace_seconds: 30, early_window_seconds: 5, ..ad_hoc() }
}

pub fn heartbeat_only() -> SchedulerSpec {
    SchedulerSpec { heartbeat_timeout_seconds: Some(120), ..ad_hoc() }
}

/// Somebody, as a chat knows them.
pub fn by(name: &'static str) -> By<'static> {
    By { source: "slack", id: name, name }
}

pub struct Story {
    key: SchedulerKey,
    slot: Option<Scheduler>,
    now: Timestamp,
    sequence: u64,
    seen: usize,
    seen_alerts: usize,
    events: Vec<Event>,
    occurrences: Vec<OccurrenceRecord>,
    runs: Vec<RunRecord>,
}

impl Story {
    /// Registered at midnight.
    pub fn of(spec: SchedulerSpec) -> Self {
        let key = SchedulerKey {
            tenant: ronda_domain::id::TenantId::new("acme").unwrap(),
            scheduler: ronda_domain::id::SchedulerId::new("job").unwrap(),
        };
        let mut story = Self {
            key,
            slot: None,
            now: time("00:00"),
            sequence: 0,
            seen: 0,
            seen_alerts: 0,
            events: Vec::new(),
            occurrences: Vec::new(),
            runs: Vec::new(),
        };
        story.register(&spec);
        story
    }

    fn apply_at(&mut self, input: &Input<'_>, at: Timestamp) -> Effects {
        self.sequence += 1;
        self.apply_as(MessageId { source: 7, sequence: self.sequence, index: 0 }, input, at)
    }

    fn apply_as(&mut self, message: MessageId, input: &Input<'_>, at: Timestamp) -> Effects {
        let mut effects = Effects::new();
        apply(&mut self.slot, &self.key, input, at, message, &mut effects);
        self.events.extend(effects.events.iter().cloned());
        self.occurrences.extend(effects.occurrences.iter().cloned());
        self.runs.extend(effects.runs.iter().cloned());
        effects
    }

    /// As a frame with one gateway does: the message, and right after it the tick.
    fn send(&mut self, input: &Input<'_>) -> Effects {
        let effects = self.apply_at(input, self.now);
        self.tick(self.now);
        effects
    }

    fn tick(&mut self, at: Timestamp) {
        while let Some(deadline) = self.slot.as_ref().and_then(next_deadline).filter(|deadline| *deadline <= at) {
            self.apply_at(&Input::Tick, deadline.max(self.now));
            let next = self.slot.as_ref().and_then(next_deadline);
            assert!(next != Some(deadline), "a tick at its deadline gets on");
        }
    }

    pub fn at(&mut self, text: &str) -> &mut Self {
        self.go_to(time(text))
    }

    pub fn at_seconds(&mut self, seconds: i64) -> &mut Self {
        self.go_to(Timestamp::from_millis(MIDNIGHT_MS + seconds * 1_000))
    }

    /// It is that time, but nothing has ticked since.
    pub fn now(&mut self, text: &str) -> &mut Self {
        self.now = time(text);
        self
    }

    fn go_to(&mut self, at: Timestamp) -> &mut Self {
        self.tick(at);
        self.now = at;
        self
    }

    fn say(
        &mut self,
        status: ReportedStatus,
        run_id: Option<&str>,
        fill: impl FnOnce(&mut StatusReport<'_>),
    ) -> &mut Self {
        let mut report = report(status, run_id);
        fill(&mut report);
        self.send(&Input::Status(report));
        self
    }

    pub fn running(&mut self, run: &str) -> &mut Self {
        self.say_running(Some(run))
    }

    pub fn say_running(&mut self, run: Option<&str>) -> &mut Self {
        self.say(ReportedStatus::Running, run, |_| ())
    }

    pub fn running_as_of(&mut self, run: &str, occurred_at: &str) -> &mut Self {
        self.say(ReportedStatus::Running, Some(run), |report| report.occurred_at = Some(parse(occurred_at)))
    }

    pub fn success(&mut self, run: &str) -> &mut Self {
        self.say_success(Some(run))
    }

    pub fn say_success(&mut self, run: Option<&str>) -> &mut Self {
        self.say(ReportedStatus::Success, run, |_| ())
    }

    pub fn success_as_of(&mut self, run: &str, occurred_at: &str) -> &mut Self {
        self.say(ReportedStatus::Success, Some(run), |report| report.occurred_at = Some(parse(occurred_at)))
    }

    pub fn end_after(&mut self, run: Option<&str>, duration_ms: u64) -> &mut Self {
        self.say(ReportedStatus::Success, run, |report| report.duration_ms = Some(duration_ms))
    }

    pub fn failed(&mut self, run: &str, error: &'static str) -> &mut Self {
        self.say(ReportedStatus::Failed, Some(run), |report| {
            report.error = Some(error);
            report.exit_code = Some(1);
        })
    }

    pub fn skipped(&mut self, run: &str) -> &mut Self {
        self.say(ReportedStatus::Skipped, Some(run), |_| ())
    }

    pub fn cancelled(&mut self, run: &str) -> &mut Self {
        self.say(ReportedStatus::Cancelled, Some(run), |_| ())
    }

    pub fn failed_as_of(&mut self, run: &str, occurred_at: &str) -> &mut Self {
        self.say(ReportedStatus::Failed, Some(run), |report| report.occurred_at = Some(parse(occurred_at)))
    }

    pub fn heartbeat(&mut self, run: &str) -> &mut Self {
        self.beat(Some(run), None)
    }

    pub fn beat(&mut self, run_id: Option<&str>, progress: Option<(u64, Option<u64>)>) -> &mut Self {
        let progress = progress.map(|(done, total)| ProgressReport { done, total, message: None });
        self.send(&Input::Heartbeat(HeartbeatReport { run_id, occurred_at: None, progress }));
        self
    }

    pub fn refusal_of_a_heartbeat(&mut self) -> Option<Refusal> {
        let report = HeartbeatReport { run_id: None, occurred_at: None, progress: None };
        self.send(&Input::Heartbeat(report)).refused
    }

    pub fn refusal_of(&mut self, status: ReportedStatus, run: &str) -> Option<Refusal> {
        self.send(&Input::Status(report(status, Some(run)))).refused
    }

    /// All of them at one time, in one frame: no tick in between.
    pub fn at_once(&mut self, reports: &[(ReportedStatus, Option<&str>)]) -> &mut Self {
        for (status, run) in reports {
            self.apply_at(&Input::Status(report(*status, *run)), self.now);
        }
        self.tick(self.now);
        self
    }

    /// One message without a run id, received at several times before the next tick.
    pub fn attempts(&mut self, sequence: u64, status: ReportedStatus, times: &[Timestamp]) {
        let (message, mut effects) = (MessageId { source: 9, sequence, index: 0 }, Effects::new());
        for at in times {
            apply(&mut self.slot, &self.key, &Input::Status(report(status, None)), *at, message, &mut effects);
        }
        assert!(effects.events.is_empty());
        self.tick(self.now);
    }

    pub fn is_concerned_by(&self, gap: Gap) -> bool {
        self.slot.as_ref().unwrap().is_concerned_by(gap)
    }

    pub fn pause(&mut self) {
        self.send(&Input::Pause);
    }

    pub fn resume(&mut self) {
        self.send(&Input::Resume);
    }

    pub fn acknowledge(&mut self, name: &'static str) -> &mut Self {
        self.send(&Input::Acknowledge { alert: None, by: by(name) });
        self
    }

    /// An acknowledgment of one alert.
    pub fn refusal_of_acknowledging(&mut self, alert: &str, name: &'static str) -> Option<Refusal> {
        self.send(&Input::Acknowledge { alert: Some(alert), by: by(name) }).refused
    }

    /// A message of its own, as it was received at a time, which may be before now.
    pub fn say_at(&mut self, text: &str, message: MessageId, input: &Input<'_>) -> &mut Self {
        let at = time(text);
        self.go_to(self.now.max(at));
        self.apply_as(message, input, at);
        self.tick(self.now);
        self
    }

    pub fn mute(&mut self, until: &str, name: &'static str) -> &mut Self {
        self.send(&Input::Mute { until: time(until), by: by(name) });
        self
    }

    pub fn unmute(&mut self, name: &'static str) -> &mut Self {
        self.send(&Input::Unmute { by: by(name) });
        self
    }

    pub fn delete(&mut self) {
        self.send(&Input::Delete);
    }

    pub fn register(&mut self, spec: &SchedulerSpec) {
        self.send(&Input::Register(Box::new(spec.clone())));
    }

    /// Nothing is heard between two times, and no tick comes.
    pub fn blind(&mut self, from: &str, until: &str) -> &mut Self {
        self.go_to(time(from));
        self.now = time(until);
        self.send(&Input::Blind(Gap { from: time(from), until: time(until) }));
        self
    }

    /// Not everybody was heard between two times, as is found now.
    pub fn late(&mut self, from: &str, until: &str) -> &mut Self {
        self.apply_at(&Input::Late(Gap { from: time(from), until: time(until) }), self.now);
        self.tick(self.now);
        self
    }

    pub fn view(&self) -> SchedulerView {
        self.slot.as_ref().unwrap().view(self.now)
    }

    pub fn memory(&self) -> usize {
        self.slot.as_ref().unwrap().approximate_memory_bytes()
    }

    /// The changes since this was last asked.
    pub fn changes(&mut self) -> Vec<Change> {
        let new = self.events[std::mem::replace(&mut self.seen, self.events.len())..].iter();
        new.filter_map(|event| match &event.kind {
            EventKind::Changed(change) => Some(change.clone()),
            _ => None,
        })
        .collect()
    }

    /// The alert events since this was last asked.
    pub fn alerts(&mut self) -> Vec<Event> {
        let new = self.events[std::mem::replace(&mut self.seen_alerts, self.events.len())..].iter();
        new.filter(|event| !matches!(event.kind, EventKind::Changed(_) | EventKind::Lifecycle(_))).cloned().collect()
    }

    pub fn ids_are_unique(&self) -> bool {
        let ids: std::collections::BTreeSet<_> = self.events.iter().map(|event| &event.id).collect();
        ids.len() == self.events.len()
    }

    /// The history entry of a due time, as last written.
    pub fn occurrence(&self, due: &str) -> OccurrenceRecord {
        let subject = Subject::Occurrence { due: time(due) };
        self.occurrences.iter().rev().find(|record| record.subject == subject).unwrap().clone()
    }

    /// A run as last written.
    pub fn run(&self, id: &str) -> RunRecord {
        self.runs.iter().rev().find(|record| record.run_id.as_str() == id).unwrap().clone()
    }
}

const fn report(status: ReportedStatus, run_id: Option<&str>) -> StatusReport<'_> {
    StatusReport {
        status,
        run_id,
        occurred_at: None,
        error: None,
        exit_code: None,
        duration_ms: None,
        metadata: Vec::new(),
    }
}

fn parse(text: &str) -> Timestamp {
    Timestamp::from_millis(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}
