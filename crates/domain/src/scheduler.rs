//! The state of one scheduler.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::attention::{Acknowledgment, Muting};
use crate::id::MessageId;
use crate::input::{Gap, ProgressReport};
use crate::limits::CLOCKS_APART_MS;
use crate::occurrence::Occurrence;
use crate::past::Past;
use crate::record::{Progress, Subject};
use crate::run::{End, Rearmed, Run, hash_registration};
use crate::spec::{Schedule, SchedulerSpec};
use crate::time::Timestamp;

/// All that is known of one scheduler. Changed by [`apply`](crate::apply()) only; the same inputs make the same state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scheduler {
    pub(crate) spec: SchedulerSpec,
    pub(crate) registered_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) revision: u32,
    pub(crate) paused: bool,
    /// The registration that the spec is from; older ones are ignored.
    pub(crate) spec_key: Key,
    /// Only occurrences due after this time are expected.
    pub(crate) armed_from: Timestamp,
    /// The earliest due time that is neither filled nor missed.
    pub(crate) expected: Option<Timestamp>,
    /// The due time right before `expected`; `None`: nothing has been due since `armed_from`. Kept because most runs belong
    /// to one of these two, and to search a cron expression backwards takes long.
    pub(crate) before: Option<Timestamp>,
    /// Facts up to this time have been looked at; never goes back.
    pub(crate) judged_at: Timestamp,
    /// The latest tick; never goes back. No deadline later than this has been judged.
    pub(crate) ticked_at: Timestamp,
    /// The earliest fact that no tick has looked at.
    pub(crate) facts_at: Option<Timestamp>,
    pub(crate) last_heartbeat_at: Option<Timestamp>,
    /// The last heartbeat that was no run's.
    pub(crate) own_heartbeat_at: Option<Timestamp>,
    /// By id.
    pub(crate) runs: Vec<Run>,
    /// By time.
    pub(crate) occurrences: Vec<Occurrence>,
    /// What was said without a run id; `None`: nothing ever was.
    pub(crate) unnamed: Option<Box<Unnamed>>,
    /// Hashes of forgotten runs, and of the messages that ended them without naming them, with the time of the last message;
    /// oldest first. The lowest bit says whether it had ended.
    pub(crate) forgotten: Box<[(u64, Timestamp)]>,
    /// Messages of unknown runs up to this time are copies: even the hashes are forgotten. Earlier than a tick that was, so
    /// that nothing new is ever as old.
    pub(crate) horizon: Timestamp,
    /// Occurrences due up to this time are forgotten.
    pub(crate) closed_until: Timestamp,
    pub(crate) bad_streak: u32,
    pub(crate) good_streak: u32,
    pub(crate) newest_bad: Option<Box<Subject>>,
    pub(crate) alert: Option<Box<Alert>>,
    /// What most don't have; `None` when all of it is as it was at the registration.
    pub(crate) rare: Option<Box<Rare>>,
    /// Tells it from a deleted one of the same key, in the ids of its events; 0: it was registered before there was such a number.
    #[serde(default)]
    pub(crate) incarnation: u64,
    /// How it went when it went well; `None`: it never did, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) past: Option<Box<Past>>,
}

/// What most schedulers don't have.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Rare {
    /// The last pause or resume; older ones are ignored.
    pub(crate) pause_key: Key,
    /// Due times later than `expected` that have their runs already, in order.
    pub(crate) filled: Vec<Timestamp>,
    /// Blind intervals that an expected occurrence may overlap, in order.
    pub(crate) gaps: Vec<Gap>,
    /// How its own heartbeat's deadline was put off.
    pub(crate) rearmed: Rearmed,
    /// Starts whose last moment lies in it may come after its end.
    #[serde(default)]
    pub(crate) late: Option<Gap>,
    /// Whether anybody wants to hear of it; `None`: nobody ever said.
    #[serde(default)]
    pub(crate) muting: Option<Box<Muting>>,
    /// The messages that acknowledged, muted or unmuted it last, in order: a copy of one says nothing. At most
    /// [`MAX_KNOWN_SAID`](crate::limits::MAX_KNOWN_SAID).
    #[serde(default)]
    pub(crate) said: Vec<Key>,
}

/// By hand, because what is at the end is left out when there is nothing of it, and only then can what is before it be left out, too.
impl Serialize for Rare {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_said = !self.said.is_empty();
        let has_muting = has_said || self.muting.is_some();
        let has_late = has_muting || self.late.is_some();
        let length = [true; 4].into_iter().chain([has_late, has_muting, has_said]).filter(|has| *has).count();
        let mut rare = serializer.serialize_struct("Rare", length)?;
        rare.serialize_field("pause_key", &self.pause_key)?;
        rare.serialize_field("filled", &self.filled)?;
        rare.serialize_field("gaps", &self.gaps)?;
        rare.serialize_field("rearmed", &self.rearmed)?;
        if has_late {
            rare.serialize_field("late", &self.late)?;
        }
        if has_muting {
            rare.serialize_field("muting", &self.muting)?;
        }
        if has_said {
            rare.serialize_field("said", &self.said)?;
        }
        rare.end()
    }
}

/// What all the others have instead.
static NOTHING_RARE: Rare = Rare {
    pause_key: (Timestamp::MIN, MessageId { source: 0, sequence: 0, index: 0 }),
    filled: Vec::new(),
    gaps: Vec::new(),
    rearmed: Rearmed::NEVER,
    late: None,
    muting: None,
    said: Vec::new(),
};

/// Messages without a run id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unnamed {
    /// Up to here they were given out; an older heartbeat is a copy.
    pub(crate) given_out: Key,
    /// Those that no tick has given to a run, by time.
    pub(crate) pending: Vec<Pending>,
}

/// Orders messages, and tells a copy from the message.
pub(crate) type Key = (Timestamp, MessageId);

/// An open alert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alert {
    pub(crate) id: Box<str>,
    pub(crate) opened_at: Timestamp,
    pub(crate) subject: Subject,
    /// Who looks after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acknowledgment: Option<Box<Acknowledgment>>,
}

/// A message without a run id: whose it is depends on what else was received before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) key: Key,
    pub(crate) fact: PendingFact,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum PendingFact {
    Heartbeat { occurred_at: Option<Timestamp>, progress: Option<Box<Progress>> },
    End(Box<End>),
}

impl Scheduler {
    /// A scheduler as it is right after its registration.
    pub(crate) fn new(spec: SchedulerSpec, at: Timestamp, message: MessageId) -> Self {
        let expected = crate::schedule::next_due(&spec.schedule, at, at);
        Self {
            spec,
            registered_at: at,
            updated_at: at,
            revision: 1,
            paused: false,
            spec_key: (at, message),
            armed_from: at,
            expected,
            before: None,
            judged_at: Timestamp::MIN,
            ticked_at: Timestamp::MIN,
            facts_at: None,
            last_heartbeat_at: None,
            own_heartbeat_at: None,
            runs: Vec::new(),
            occurrences: Vec::new(),
            unnamed: None,
            forgotten: Box::default(),
            horizon: Timestamp::MIN,
            closed_until: Timestamp::MIN,
            bad_streak: 0,
            good_streak: 0,
            newest_bad: None,
            alert: None,
            rare: None,
            incarnation: hash_registration(at, message),
            past: None,
        }
    }

    /// Its description.
    #[must_use]
    pub const fn spec(&self) -> &SchedulerSpec {
        &self.spec
    }

    /// Whether nothing is expected of it for now.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// When it was registered first.
    #[must_use]
    pub const fn registered_at(&self) -> Timestamp {
        self.registered_at
    }

    /// When its description, or whether it is paused, last changed.
    #[must_use]
    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// Goes up by one with every change of description, pause and resume; 1 after registration.
    #[must_use]
    pub fn revision(&self) -> u64 {
        u64::from(self.revision)
    }

    /// When something said to the scheduler itself counts as said, given when it was received, and that it came out of the queue after
    /// all that was said before. Clocks can't tell the order of what is close together; the queue can.
    #[must_use]
    pub fn said_at(&self, at: Timestamp, message: MessageId) -> Timestamp {
        let rare = self.rare();
        let muting = rare.muting.as_deref().map_or(rare.pause_key, |muting| muting.key);
        let last = self.spec_key.max(rare.pause_key).max(muting);
        let is_close = last.0.millis_since(at) <= CLOCKS_APART_MS;
        if (at, message) < last && is_close { last.0.plus_millis(1) } else { at }
    }

    /// When a report counts that has no time of its own but the clock's: a millisecond after what its jobs said before it, and not before what
    /// was said to the scheduler. The queue knows their order, and of two with one time it would be lost. A clock that stands still puts
    /// them off by no more than clocks may differ.
    #[must_use]
    pub fn reported_at(&self, clock: Timestamp) -> Timestamp {
        let is_close = |time: &Timestamp| *time >= clock && time.millis_since(clock) < CLOCKS_APART_MS;
        let to_it = Some(self.spec_key.max(self.rare().pause_key).0).filter(is_close);
        let by_jobs = self.last_reported_at().filter(is_close).map(|last| last.plus_millis(1));
        clock.max(to_it.unwrap_or(clock)).max(by_jobs.unwrap_or(clock))
    }

    /// The time of the last that its jobs said, as far as is known.
    fn last_reported_at(&self) -> Option<Timestamp> {
        let runs = self.runs.iter().map(Run::last_at);
        let forgotten = self.forgotten.iter().map(|(_, last)| *last);
        let waiting = self.pending().last().map(|held| held.key.0);
        runs.chain(forgotten).chain(waiting).chain(self.last_heartbeat_at).max()
    }

    /// Whether starts are waited for longer because they may come late.
    #[must_use]
    pub fn is_put_off(&self) -> bool {
        self.rare().late.is_some()
    }

    /// Whether a run sent heartbeats of which a copy would be recognised.
    #[must_use]
    pub fn knows_heartbeats(&self) -> bool {
        self.runs.iter().any(|run| !run.known_heartbeats.is_empty())
    }

    /// How it went when it went well; `None`: that is not known.
    #[must_use]
    pub fn past(&self) -> Option<&Past> {
        self.past.as_deref()
    }

    /// What most schedulers don't have.
    pub(crate) fn rare(&self) -> &Rare {
        self.rare.as_deref().unwrap_or(&NOTHING_RARE)
    }

    /// The same, to be changed; made when there is none.
    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_with(|| Box::new(NOTHING_RARE.clone()))
    }

    /// Gives back the memory of what is not rare any more, so that equal states are equal whatever they went through.
    pub(crate) fn tidy(&mut self) {
        self.rare.take_if(|rare| **rare == NOTHING_RARE);
    }

    /// Messages without a run id that no tick has given to a run, by time.
    pub(crate) fn pending(&self) -> &[Pending] {
        self.unnamed.as_deref().map_or(&[], |unnamed| &unnamed.pending)
    }

    /// Remembers that a tick at `at` or later has something to look at.
    pub(crate) fn note_fact(&mut self, at: Timestamp) {
        self.facts_at = Some(self.facts_at.map_or(at, |earliest| earliest.min(at)));
    }

    /// About how much memory it takes, in bytes, the heap included; allocator overhead is not.
    #[must_use]
    pub fn approximate_memory_bytes(&self) -> usize {
        let texts = [&self.spec.name, &self.spec.description, &self.spec.team, &self.spec.environment]
            .map(|text| text.len())
            .iter()
            .sum::<usize>();
        let tags: usize = self.spec.tags.iter().map(|tag| tag.len().saturating_add(size_of::<Box<str>>())).sum();
        let schedule = match &self.spec.schedule {
            Schedule::Cron { expression, timezone } => expression.len().saturating_add(timezone.len()),
            _ => 0,
        };
        let runs: usize = self.runs.iter().map(run_heap_bytes).sum();
        let parts = [
            size_of::<Self>(),
            texts,
            tags,
            schedule,
            self.spec.runbook_url.len(),
            runs,
            self.runs.capacity().saturating_mul(size_of::<Run>()),
            self.occurrences.capacity().saturating_mul(size_of::<Occurrence>()),
            self.occurrences.iter().map(Occurrence::heap_bytes).sum(),
            self.unnamed.as_deref().map_or(0, |unnamed| {
                unnamed.pending.capacity().saturating_mul(size_of::<Pending>()).saturating_add(size_of::<Unnamed>())
            }),
            self.rare.as_deref().map_or(0, Rare::memory_bytes),
            self.forgotten.len().saturating_mul(size_of::<(u64, Timestamp)>()),
            self.newest_bad.as_ref().map_or(0, |_| size_of::<Subject>()),
            self.past.as_ref().map_or(0, |_| size_of::<Past>()),
            self.alert.as_deref().map_or(0, Alert::memory_bytes),
        ];
        parts.iter().fold(0, |sum: usize, part| sum.saturating_add(*part))
    }
}

impl Rare {
    fn memory_bytes(&self) -> usize {
        let gaps = self.gaps.capacity().saturating_mul(size_of::<Gap>());
        let filled = self.filled.capacity().saturating_mul(size_of::<Timestamp>());
        let muting = self.muting.as_deref().map_or(0, Muting::memory_bytes);
        let said = self.said.capacity().saturating_mul(size_of::<Key>());
        [gaps, filled, muting, said].into_iter().fold(size_of::<Self>(), usize::saturating_add)
    }
}

impl Alert {
    fn memory_bytes(&self) -> usize {
        let who = self.acknowledgment.as_deref();
        let who = who.map_or(0, |who| size_of::<Acknowledgment>().saturating_add(who.by.heap_bytes()));
        size_of::<Self>().saturating_add(self.id.len()).saturating_add(who)
    }
}

fn run_heap_bytes(run: &Run) -> usize {
    let details = run.ends.iter().filter_map(|end| end.detail.as_ref()).map(|detail| {
        let metadata: usize = detail.metadata.iter().map(|(key, value)| key.len().saturating_add(value.len())).sum();
        let error = detail.error.as_ref().map_or(0, |error| error.len());
        size_of::<crate::run::Detail>().saturating_add(metadata).saturating_add(error)
    });
    let ends = run.ends.len().saturating_mul(size_of::<End>());
    let progress = run.progress.as_ref().map_or(0, |_| size_of::<(Timestamp, Progress)>());
    let rearmed = run.rearmed.as_ref().map_or(0, |_| size_of::<Rearmed>());
    let heartbeats = size_of_val(&*run.known_heartbeats);
    run.id
        .as_str()
        .len()
        .saturating_add(details.sum())
        .saturating_add(ends)
        .saturating_add(progress)
        .saturating_add(rearmed)
        .saturating_add(heartbeats)
}

impl<'a> From<&'a Progress> for ProgressReport<'a> {
    fn from(progress: &'a Progress) -> Self {
        Self { done: progress.done, total: progress.total, message: progress.message.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{SchedulerId, SchedulerKey, TenantId};
    use crate::input::{HeartbeatReport, Input, ReportedStatus, StatusReport};
    use crate::{Effects, ScheduleDraft, SpecDraft, apply};

    /// A nightly job that ended a few times and has a run open, as in operation.
    fn ordinary(ended: i64) -> Scheduler {
        let schedule = ScheduleDraft {
            cron: Some("0 1 * * *".to_owned()),
            timezone: Some("Asia/Jakarta".to_owned()),
            ..ScheduleDraft::default()
        };
        let id = "nightly-billing-000001".to_owned();
        let team = Some("payments".to_owned());
        let draft = SpecDraft {
            id,
            team,
            schedule: Some(schedule),
            heartbeat_timeout_seconds: Some(120),
            ..SpecDraft::default()
        };
        let key =
            SchedulerKey { tenant: TenantId::new("acme").unwrap(), scheduler: SchedulerId::new(&draft.id).unwrap() };
        let (mut slot, mut effects, mut sequence) = (None, Effects::new(), 0);
        let mut say = |input: &Input<'_>, at| {
            sequence += 1;
            apply(&mut slot, &key, input, at, MessageId { source: 1, sequence, index: 0 }, &mut effects);
        };
        let first = Timestamp::from_millis(1_795_456_800_000);
        say(&Input::Register(Box::new(draft.validate().unwrap())), first.plus_millis(-1_000));
        for day in 0..=ended {
            let at = first.plus_millis(day * 86_400_000);
            let run = format!("scheduled__2026-11-{:02}T01:00:00", day + 1);
            let run_id = Some(run.as_str());
            let status = |status| {
                let (occurred_at, error, exit_code) = (None, None, None);
                let duration_ms = (status != ReportedStatus::Running).then_some(600_000);
                let metadata = Vec::new();
                Input::Status(StatusReport { status, run_id, occurred_at, error, exit_code, duration_ms, metadata })
            };
            say(&status(ReportedStatus::Running), at);
            say(&Input::Tick, at);
            say(&Input::Heartbeat(HeartbeatReport { run_id, occurred_at: None, progress: None }), at.plus_seconds(60));
            if day < ended {
                say(&status(ReportedStatus::Success), at.plus_seconds(100));
                say(&Input::Tick, at.plus_seconds(100));
            }
        }
        assert_eq!(effects.events.iter().filter(|event| format!("{event:?}").contains("Alert")).count(), 0);
        slot.unwrap()
    }

    #[test]
    fn an_ordinary_scheduler_is_small() {
        for (ended, most) in [(0, 735), (4, 840), (30, 900)] {
            let state = ordinary(ended);
            assert!(state.rare.is_none() && state.unnamed.is_none());
            let bytes = state.approximate_memory_bytes();
            assert!(bytes < most, "{bytes} bytes after {ended} runs; {} for the state", size_of::<Scheduler>());
        }
    }
}
