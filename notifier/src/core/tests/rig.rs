//! Core, time and a channel double in one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ronda_domain::attention::{Actor, By, Mute};
use ronda_domain::event::{Change, Event, EventKind, Lifecycle, Resolution};
use ronda_domain::id::{MessageId, SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::{Gap, Input};
use ronda_domain::record::{Correction, OccurrenceRecord, OccurrenceStatus, Subject};
use ronda_domain::spec::{Schedule, SchedulerSpec, Severity};
use ronda_domain::time::Timestamp;
use ronda_schemas::event::{BlindNotice, BlindReason, EventBatch, EventEnvelope, SchedulerEvent, SchedulerSummary};
use ronda_schemas::row::SchedulerRow;
use ronda_store::port::HistoryEntry;

use super::slack::{Message, Slack};
use crate::board::{Night, Window};
use crate::channel::{Capabilities, ChannelError, ChannelErrorKind, Manner, Pacing, Posted};
use crate::config::{Board, Config};
use crate::core::{Call, Core, NightToRead};
use crate::intake::Now;
use crate::manners::Manners;
use crate::shard::Shard;
use crate::surface::Outcome;

/// 23:59:30 on 23 November 2026 in Jakarta, half a minute before the window.
pub(super) const EVENING: i64 = 1_795_453_170_000;
const MIDNIGHT: i64 = EVENING + 30_000;
const PARTITIONS: u32 = 2;

pub(super) fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub(super) fn rate_limit(seconds: u64) -> ChannelErrorKind {
    ChannelErrorKind::NotSent { retry_after: Duration::from_secs(seconds), rate_limited: true }
}

fn actor(name: &str) -> Actor {
    By { source: "slack", id: name, name }.into()
}

pub(super) struct Rig {
    config: Arc<Config>,
    capabilities: Capabilities,
    core: Core,
    now: Now,
    pub(super) slack: Slack,
    rows: Vec<SchedulerRow>,
    records: Vec<(SchedulerKey, OccurrenceRecord)>,
    stored: Vec<(String, Vec<u8>)>,
    events: u64,
    /// Whose schedulers they are that events are of.
    pub(super) team: &'static str,
    pub(super) severity: Severity,
    /// The store has no time for schedulers that changed.
    pub(super) reads_nothing: bool,
    reloads: Vec<(NightToRead, Vec<SchedulerKey>)>,
    /// As the processor knows them.
    mutes: BTreeMap<String, Mute>,
    /// How far events are behind when they come, in milliseconds.
    pub(super) behind_ms: u64,
}

impl Rig {
    pub(super) fn new(config: Config) -> Self {
        Self::where_one_can(config, Capabilities::ALL)
    }

    /// With a channel that can do no more than this.
    pub(super) fn where_one_can(config: Config, capabilities: Capabilities) -> Self {
        let config = Arc::new(config);
        let now = Now { wall_ms: EVENING, mono_ms: 0 };
        let core = core(&config, capabilities, Shard::new(0, 1), now);
        Self {
            config,
            capabilities,
            core,
            now,
            slack: Slack::default(),
            rows: Vec::new(),
            records: Vec::new(),
            stored: Vec::new(),
            events: 0,
            team: "",
            severity: Severity::Warning,
            reads_nothing: false,
            reloads: Vec::new(),
            mutes: BTreeMap::new(),
            behind_ms: 0,
        }
    }

    /// With the default board.
    pub(super) fn night() -> Self {
        Self::new(Config { boards: vec![Board::nightly(tenant())], ..Config::default() })
    }

    /// Registers a scheduler in the store, without an event.
    pub(super) fn schedules(&mut self, id: &str, cron: &str) {
        let schedule = Schedule::Cron { expression: cron.into(), timezone: "Asia/Jakarta".into() };
        self.register(id, spec(id, schedule));
    }

    /// Registers, in the store, a scheduler that only sends heartbeats, at least one in so many seconds.
    pub(super) fn watches(&mut self, id: &str, heartbeat_timeout_seconds: u32) {
        let spec = spec(id, Schedule::None);
        self.register(id, SchedulerSpec { heartbeat_timeout_seconds: Some(heartbeat_timeout_seconds), ..spec });
    }

    /// Gives a scheduler a tag.
    pub(super) fn tags(&mut self, id: &str) {
        let row = self.rows.iter().find(|row| row.key == key(id)).unwrap();
        let mut spec = row.state.as_ref().unwrap().spec().clone();
        spec.tags = Box::new(["new".into()]);
        self.register(id, spec);
        self.lifecycle(id, Lifecycle::Updated);
    }

    /// Takes a scheduler away.
    pub(super) fn deletes(&mut self, id: &str) {
        self.rows.retain(|row| row.key != key(id));
        self.lifecycle(id, Lifecycle::Deleted);
    }

    /// Puts a heartbeat's silence into the history and tells of it: the last one, and when it was overdue, in seconds after
    /// midnight.
    pub(super) fn falls_silent(&mut self, id: &str, since: i64, noticed: i64) {
        let at = |seconds: i64| Timestamp::from_millis(MIDNIGHT + seconds * 1_000);
        let subject = Subject::Silence { since: at(since) };
        let change = Change {
            subject: subject.clone(),
            started_at: None,
            ended_at: Some(at(noticed)),
            ..self.change(at(0), OccurrenceStatus::Expected, OccurrenceStatus::Stale)
        };
        self.records.push((
            key(id),
            OccurrenceRecord {
                subject,
                status: OccurrenceStatus::Stale,
                started_at: None,
                ended_at: change.ended_at,
                late_start_ms: None,
                stale: None,
                runs: 0,
                corrections: Vec::new(),
                acknowledgment: None,
            },
        ));
        self.event(id, "silent", EventKind::Changed(change));
    }

    /// The occurrence that is due so many minutes after midnight ends well five minutes later, in the store, and nothing of it is told yet.
    pub(super) fn ends_well_in_the_store(&mut self, id: &str, minutes: i64) {
        let at = |minutes: i64| Timestamp::from_millis(MIDNIGHT + minutes * 60_000);
        let record = OccurrenceRecord {
            subject: Subject::Occurrence { due: at(minutes) },
            status: OccurrenceStatus::Succeeded,
            started_at: Some(at(minutes)),
            ended_at: Some(at(minutes + 5)),
            late_start_ms: None,
            stale: None,
            runs: 1,
            acknowledgment: None,
            corrections: Vec::new(),
        };
        self.records.push((key(id), record));
    }

    /// That occurrence turned out well a moment ago, in the store, and nothing of it is told yet.
    pub(super) fn is_corrected_in_the_store(&mut self, id: &str, minutes: i64) {
        self.ends_well_in_the_store(id, minutes);
        let at = Timestamp::from_millis(self.now.wall_ms);
        let (from, to) = (OccurrenceStatus::Missed, OccurrenceStatus::Succeeded);
        let corrected = self.records.last_mut().into_iter();
        corrected.for_each(|(_, record)| record.corrections.push(Correction { at, from, to }));
    }

    /// A batch of events can't be read.
    pub(super) fn garbles(&mut self) {
        self.core.skip(0, Some(1_000_000), self.now);
    }

    fn register(&mut self, id: &str, spec: SchedulerSpec) {
        let key = key(id);
        let known = self.rows.iter().position(|row| row.key == key).map(|index| self.rows.remove(index));
        let mut state = known.and_then(|row| row.state);
        let at = Timestamp::from_millis(self.now.wall_ms);
        let mut effects = ronda_domain::Effects::new();
        let input = Input::Register(Box::new(spec));
        let message = MessageId { source: 0, sequence: self.events, index: 0 };
        ronda_domain::apply(&mut state, &key, &input, at, message, &mut effects);
        self.rows.push(SchedulerRow { key, state, epoch: 1, position: 1, outbox: Vec::new() });
    }

    /// Lets time pass, with everything that happens in it.
    pub(super) fn pass(&mut self, millis: u64) {
        let step = if millis > 3_600_000 { 5_000 } else { 100 };
        for _ in 0..millis.div_ceil(step) {
            self.turn();
            self.now.mono_ms += step;
            self.now.wall_ms += i64::try_from(step).unwrap();
        }
        self.turn();
    }

    fn turn(&mut self) {
        self.core.open_nights(self.now);
        for night in self.core.take_nights_to_read() {
            let tenant = self.core.board(night.board).unwrap().tenant.clone();
            for row in self.rows.iter().filter(|row| row.key.tenant == tenant) {
                let history = self.history(row, &night.window);
                self.core.read(night.board, &night.window, row, Some(&history));
            }
            self.core.all_read(&night);
        }
        self.reloads.extend(self.core.take_reloads());
        let reloads = if self.reads_nothing { Vec::new() } else { std::mem::take(&mut self.reloads) };
        for (night, keys) in reloads {
            for row in self.rows.iter().filter(|row| keys.contains(&row.key)) {
                let history = self.history(row, &night.window);
                self.core.read(night.board, &night.window, row, Some(&history));
            }
            self.core.all_read(&night);
        }
        self.core.tick(self.now);
        self.core.look_through(self.now);
        let apart: Vec<_> = self.core.shards.iter().map(Shard::alerts_apart).collect();
        assert_eq!(apart, self.core.apart());
        while let Some(call) = self.next_call() {
            self.commit();
            let outcome = self.slack.call(call.request.clone(), self.now.wall_ms);
            self.core.settle(&call, &outcome, self.now);
        }
        self.commit();
    }

    /// The next call, which has to be the one that is found by looking at every surface.
    fn next_call(&mut self) -> Option<Call> {
        let wanted = self.core.most_urgent(self.now);
        let call = self.core.next_call(self.now);
        let claimed = call.as_ref().map(|call| (call.shard, call.key.clone(), call.work.clone()));
        assert_eq!(claimed, wanted.filter(|_| self.core.installation().is_some()));
        call
    }

    /// As the store would answer.
    fn history(&self, row: &SchedulerRow, window: &Window) -> Vec<HistoryEntry> {
        let from = Night::history_from(window, row);
        let records = self.records.iter().filter(|(key, record)| {
            *key == row.key && from <= record.subject.time() && record.subject.time() < window.end
        });
        records
            .map(|(_, occurrence)| HistoryEntry { occurrence: occurrence.clone(), runs: Vec::new(), runs_total: 0 })
            .collect()
    }

    fn commit(&mut self) {
        let Some(shard) = self.core.shards.get_mut(0).filter(|shard| shard.has_news()) else { return };
        for write in shard.take_writes().unwrap() {
            self.stored.retain(|(key, _)| *key != write.key);
            self.stored.extend(write.row.map(|row| (write.key, row)));
        }
    }

    /// Kills the notifier and starts it again with other settings.
    pub(super) fn restart_with(&mut self, config: Config) {
        self.config = Arc::new(config);
        self.restart();
    }

    /// Kills the notifier and starts it again from what it committed.
    pub(super) fn restart(&mut self) {
        self.core = core(&self.config, self.capabilities, self.stored_shard(), self.now);
    }

    /// The same, and the installation's name is not known yet.
    pub(super) fn restart_nameless(&mut self) {
        self.core = nameless(&self.config, self.capabilities);
        self.core.take_up(self.stored_shard(), self.now);
    }

    fn stored_shard(&self) -> Shard {
        let mut shard = Shard::new(0, 2);
        for (key, row) in &self.stored {
            shard.load_row(key, row).unwrap();
        }
        shard
    }

    /// The shard is somebody else's.
    pub(super) fn loses_shard(&mut self) {
        self.core.let_go(0);
    }

    /// The shard is about to be let go.
    pub(super) fn gives_up(&mut self) {
        self.core.begin_nothing_for(0);
    }

    /// Lets time pass and claims a call, whose outcome does not come yet.
    pub(super) fn claims(&mut self, millis: u64) -> Call {
        self.now.mono_ms += millis;
        let call = self.next_call().unwrap();
        self.commit();
        call
    }

    /// Does what time asks for, and makes no call.
    pub(super) fn ticks(&mut self) {
        self.core.tick(self.now);
    }

    /// A call that was made ends well; whether that is of any concern to its surface.
    pub(super) fn is_settled(&mut self, call: &Call) -> bool {
        let posted = Posted { channel: call.channel.clone(), ts: "9".to_owned() };
        self.core.settle(call, &Ok(Outcome::Posted(posted)), self.now)
    }

    /// A call that was made fails.
    pub(super) fn settles_badly(&mut self, call: &Call, kind: ChannelErrorKind) {
        self.core.settle(call, &Err(ChannelError { kind, message: String::new() }), self.now);
    }

    /// What is not yet as it should be.
    pub(super) fn backlog(&self) -> usize {
        self.core.backlog()
    }

    /// Stands still for so long, then starts again.
    pub(super) fn stop_for(&mut self, millis: u64) {
        self.now.wall_ms += i64::try_from(millis).unwrap();
        self.restart();
    }

    /// Lets the default board's window open.
    pub(super) fn open_window(&mut self) {
        self.pass(u64::try_from(MIDNIGHT - self.now.wall_ms).unwrap() + 100);
    }

    /// The first line of every message as it stands, in the order of posting; replies are marked.
    pub(super) fn visible(&self) -> Vec<String> {
        let line = |message: &Message| {
            let mark = if message.thread.is_some() { "↳ " } else { "" };
            format!("{mark}{}", message.content.text.lines().next().unwrap_or_default())
        };
        self.slack.messages.iter().map(line).collect()
    }

    /// The same of one channel.
    pub(super) fn visible_in(&self, channel: &str) -> Vec<String> {
        let lines = self.visible().into_iter().zip(&self.slack.messages);
        lines.filter(|(_, message)| message.channel == channel).map(|(line, _)| line).collect()
    }

    fn due(&self) -> Timestamp {
        Timestamp::from_millis(EVENING - 60_000)
    }

    pub(super) fn fails(&mut self, id: &str) {
        self.opens(id, OccurrenceStatus::Failed);
    }

    pub(super) fn opens(&mut self, id: &str, status: OccurrenceStatus) {
        let cause = self.change(self.due(), OccurrenceStatus::Running, status);
        self.event(id, "opened", EventKind::AlertOpened { alert: "a1".into(), cause, streak: 1 });
    }

    /// Fails in its own words.
    pub(super) fn fails_saying(&mut self, id: &str, error: &str) {
        let cause = self.change(self.due(), OccurrenceStatus::Running, OccurrenceStatus::Failed);
        let cause = Change { error: Some(error.into()), ..cause };
        self.event(id, "opened", EventKind::AlertOpened { alert: "a1".into(), cause, streak: 1 });
    }

    /// A scheduler of another name than its id fails.
    pub(super) fn named_fails(&mut self, id: &str, name: &str) {
        let cause = self.change(self.due(), OccurrenceStatus::Running, OccurrenceStatus::Failed);
        self.event_named(id, name, "opened", EventKind::AlertOpened { alert: "a1".into(), cause, streak: 1 });
    }

    /// The occurrence that was due so many minutes after the one that opened the alert goes wrong, too.
    pub(super) fn goes_wrong_again(&mut self, id: &str, minutes: u32, to: OccurrenceStatus) {
        let cause = self.change(self.due().plus_seconds(minutes * 60), OccurrenceStatus::Expected, to);
        let alert = EventKind::AlertChanged { alert: "a1".into(), cause, streak: minutes + 1 };
        self.event(id, &format!("again-{minutes}"), alert);
    }

    pub(super) fn changes(&mut self, id: &str, from: OccurrenceStatus, to: OccurrenceStatus) {
        let cause = self.change(self.due(), from, to);
        self.event(id, "changed", EventKind::AlertChanged { alert: "a1".into(), cause, streak: 1 });
    }

    pub(super) fn recovers(&mut self, id: &str) {
        let by = self.change(self.due(), OccurrenceStatus::Running, OccurrenceStatus::Succeeded);
        self.resolved(id, Resolution::Recovered { by });
    }

    pub(super) fn completes_late(&mut self, id: &str) {
        let by = self.change(self.due(), OccurrenceStatus::Stale, OccurrenceStatus::Succeeded);
        self.resolved(id, Resolution::CompletedLate { by });
    }

    fn resolved(&mut self, id: &str, resolution: Resolution) {
        let opened_at = Timestamp::from_millis(self.now.wall_ms - 10_000);
        self.event(id, "resolved", EventKind::AlertResolved { alert: "a1".into(), opened_at, resolution });
    }

    /// The occurrence of 01:00 changes.
    pub(super) fn changed(&mut self, id: &str, from: OccurrenceStatus, to: OccurrenceStatus) {
        self.judged(id, 60, from, to);
    }

    /// The occurrence that was due so many minutes after midnight changes.
    pub(super) fn judged(&mut self, id: &str, minutes: i64, from: OccurrenceStatus, to: OccurrenceStatus) {
        let change = self.change(Timestamp::from_millis(MIDNIGHT + minutes * 60_000), from, to);
        self.events += 1;
        let name = format!("{}", self.events);
        self.event(id, &name, EventKind::Changed(change));
    }

    pub(super) fn acknowledged(&mut self, id: &str, name: &str) {
        let kind = EventKind::AlertAcknowledged { alert: "a1".into(), by: actor(name) };
        self.event(id, "acknowledged", kind);
    }

    /// Nobody wants to hear of it for so many minutes.
    pub(super) fn muted(&mut self, id: &str, name: &str, minutes: i64) {
        let at = self.event_at();
        let mute = Mute { by: actor(name), at, until: at.plus_millis(minutes * 60_000) };
        self.mutes.insert(id.to_owned(), mute.clone());
        self.event(id, &format!("muted by {name}"), EventKind::Muted(mute));
    }

    pub(super) fn unmuted(&mut self, id: &str) {
        self.mutes.remove(id);
        self.event(id, "unmuted", EventKind::Unmuted { by: actor("Bayu") });
    }

    pub(super) fn lifecycle(&mut self, id: &str, lifecycle: Lifecycle) {
        self.event(id, "lifecycle", EventKind::Lifecycle(lifecycle));
    }

    fn change(&self, due: Timestamp, from: OccurrenceStatus, to: OccurrenceStatus) -> Change {
        let now = self.event_at();
        Change {
            subject: Subject::Occurrence { due },
            from,
            to,
            correction: false,
            started_at: Some(due),
            ended_at: to.is_ended().then_some(now),
            late_start_ms: None,
            stale: None,
            run_id: Some("r-1".into()),
            error: None,
            exit_code: None,
            duration_ms: None,
        }
    }

    /// When what is told next has happened.
    fn event_at(&self) -> Timestamp {
        Timestamp::from_millis(self.now.wall_ms).plus_millis(-i64::try_from(self.behind_ms).unwrap())
    }

    fn event(&mut self, id: &str, event: &str, kind: EventKind) {
        self.event_named(id, id, event, kind);
    }

    fn event_named(&mut self, id: &str, name: &str, event: &str, kind: EventKind) {
        let summary = SchedulerSummary {
            name: name.into(),
            team: self.team.into(),
            environment: "production".into(),
            tags: Box::new([]),
            severity: self.severity,
            runbook_url: "".into(),
            scheduled: true,
            past: None,
            mute: self.mutes.get(id).filter(|mute| self.event_at() < mute.until).cloned().map(Box::new),
        };
        let event = Event { id: event.into(), at: self.event_at(), kind };
        let event = SchedulerEvent { key: key(id), summary, event };
        self.batch(0, Timestamp::MIN, vec![EventEnvelope::Scheduler(Box::new(event))]);
    }

    /// A partition finds that it was blind between two times after midnight, in seconds, and who was concerned.
    pub(super) fn blind(&mut self, partition: u32, (from, until): (i64, i64), ids: &[&str]) {
        self.blind_ms(partition, (from * 1_000, until * 1_000), ids);
    }

    /// The same, in milliseconds.
    pub(super) fn blind_ms(&mut self, partition: u32, (from, until): (i64, i64), ids: &[&str]) {
        let at = |millis: i64| Timestamp::from_millis(MIDNIGHT + millis);
        let notice = BlindNotice {
            tenant: tenant(),
            partition,
            gap: Gap { from: at(from), until: at(until) },
            reason: BlindReason::NoPulse,
            schedulers: ids.iter().map(|id| SchedulerId::new(id).unwrap()).collect(),
            total: u32::try_from(ids.len()).unwrap(),
        };
        self.batch(partition, Timestamp::MIN, vec![EventEnvelope::Blind(Box::new(notice))]);
    }

    /// Every partition's clock comes to a time of day in Jakarta.
    pub(super) fn watermark(&mut self, hour: i64, minute: i64) {
        for partition in 0..PARTITIONS {
            self.watermark_of(partition, hour, minute);
        }
    }

    pub(super) fn watermark_of(&mut self, partition: u32, hour: i64, minute: i64) {
        let at = Timestamp::from_millis(MIDNIGHT + (hour * 60 + minute) * 60_000);
        self.batch(partition, at, Vec::new());
    }

    fn batch(&mut self, source_partition: u32, watermark: Timestamp, events: Vec<EventEnvelope>) {
        let batch = EventBatch { source_partition, source_partitions: PARTITIONS, watermark, events };
        self.core.ingest(0, None, &batch, self.now);
    }
}

fn core(config: &Arc<Config>, capabilities: Capabilities, shard: Shard, now: Now) -> Core {
    let mut core = nameless(config, capabilities);
    core.name("here".to_owned());
    core.take_up(shard, now);
    core
}

fn nameless(config: &Arc<Config>, capabilities: Capabilities) -> Core {
    let pacing = Pacing { post_interval: Duration::from_secs(1), edit_interval: Duration::from_millis(1_250) };
    let manner = Manner { kind: "slack", pacing, capabilities, shares_limits: true };
    Core::new(Arc::clone(config), Manners::everywhere(manner), 1)
}

fn key(id: &str) -> SchedulerKey {
    SchedulerKey { tenant: tenant(), scheduler: SchedulerId::new(id).unwrap() }
}

fn spec(id: &str, schedule: Schedule) -> SchedulerSpec {
    SchedulerSpec {
        name: id.into(),
        description: "".into(),
        team: "".into(),
        environment: "production".into(),
        tags: Box::new([]),
        schedule,
        start_grace_seconds: 300,
        early_window_seconds: 60,
        max_run_seconds: None,
        heartbeat_timeout_seconds: None,
        alert_after: 1,
        recover_after: 1,
        severity: Severity::Warning,
        runbook_url: "".into(),
    }
}
