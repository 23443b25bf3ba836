//! Derived events on their way from a processor to the notifier.

use ronda_domain::Scheduler;
use ronda_domain::attention::Mute;
use ronda_domain::event::{Event, EventKind};
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::input::Gap;
use ronda_domain::spec::{SchedulerSpec, Severity};
use ronda_domain::time::Timestamp;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use crate::codec::Versioned;

/// One message of the event queue: what one commit of one command partition derived for one event partition, and how far that
/// command partition's clock has come. Without events it is only the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventBatch {
    /// The command partition that it comes from.
    pub source_partition: u32,
    /// How many command partitions there are: a night is over only when all of them have come past its end.
    pub source_partitions: u32,
    /// Everything before this time has been judged in that partition.
    pub watermark: Timestamp,
    /// What was derived, in order.
    pub events: Vec<EventEnvelope>,
}

impl Versioned for EventBatch {
    const WHAT: &'static str = "event batch";
    /// 2: a clock that is held. 3: how it went when it went well. 4: who looks after an alert, and who wants to hear of it.
    const VERSION: u32 = 4;

    fn version(&self) -> u32 {
        if self.events.iter().any(EventEnvelope::has_attention) {
            return 4;
        }
        if self.events.iter().any(EventEnvelope::has_past) {
            return 3;
        }
        if self.events.iter().any(EventEnvelope::is_held) { 2 } else { 1 }
    }
}

/// One derived event with everything that is needed to tell people of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventEnvelope {
    /// A conclusion about a scheduler.
    Scheduler(Box<SchedulerEvent>),
    /// Ronda could not hear for a while.
    Blind(Box<BlindNotice>),
    /// The queue lost what it had confirmed: frames are missing.
    Lost(LostFrames),
    /// A partition's clock is far ahead of its gateways': nothing is judged.
    Held(ClockHeld),
}

impl EventEnvelope {
    /// The event's id, unique over everything: consumers drop ids that they have seen.
    #[must_use]
    pub fn id(&self) -> String {
        match self {
            Self::Scheduler(event) => {
                format!("{}/{}/{}", event.key.tenant, event.key.scheduler, event.event.id)
            }
            Self::Blind(notice) => {
                format!("{}/blind/{}/{}", notice.tenant, notice.partition, notice.gap.until.as_millis())
            }
            Self::Lost(lost) => {
                format!("lost/{}/{:016x}/{}", lost.partition, lost.gateway, lost.first)
            }
            Self::Held(held) => format!("held/{}/{}", held.partition, held.clock.as_millis()),
        }
    }

    /// Whether earlier releases don't know it.
    pub(crate) const fn is_held(&self) -> bool {
        matches!(self, Self::Held(_))
    }

    /// Whether it says how it went when it went well, which earlier releases don't read.
    pub(crate) const fn has_past(&self) -> bool {
        matches!(self, Self::Scheduler(event) if event.summary.past.is_some())
    }

    /// Whether it says who looks after an alert or wants to hear of it, which earlier releases don't read.
    pub(crate) const fn has_attention(&self) -> bool {
        let Self::Scheduler(event) = self else { return false };
        let is_new = matches!(
            event.event.kind,
            EventKind::AlertAcknowledged { .. } | EventKind::Muted(_) | EventKind::Unmuted { .. }
        );
        is_new || event.summary.mute.is_some()
    }

    /// Whose event it is; `None`: the operator's.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Scheduler(event) => Some(&event.key.tenant),
            Self::Blind(notice) => Some(&notice.tenant),
            Self::Lost(_) | Self::Held(_) => None,
        }
    }
}

/// A conclusion about a scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerEvent {
    /// About which one.
    pub key: SchedulerKey,
    /// What a message needs to know of it, as it was when the event was derived.
    pub summary: SchedulerSummary,
    /// What was concluded.
    pub event: Event,
}

/// What a message needs to know of a scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SchedulerSummary {
    /// What people call it.
    pub name: Box<str>,
    /// Whose it is; may be empty.
    pub team: Box<str>,
    /// Where it runs; may be empty.
    pub environment: Box<str>,
    /// Free labels.
    pub tags: Box<[Box<str>]>,
    /// How much it matters.
    pub severity: Severity,
    /// Where it says what to do; may be empty.
    pub runbook_url: Box<str>,
    /// Whether a schedule expects it.
    pub scheduled: bool,
    /// How it went when it went well; `None`: that is not known.
    #[serde(default)]
    pub past: Option<Past>,
    /// Nobody wants to hear of it for now.
    #[serde(default)]
    pub mute: Option<Box<Mute>>,
}

/// By hand, because what is at the end is left out when there is nothing of it, and only then can what is before it be left out, too.
impl Serialize for SchedulerSummary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let has_mute = self.mute.is_some();
        let has_past = has_mute || self.past.is_some();
        let more = usize::from(has_past) + usize::from(has_mute);
        let mut summary = serializer.serialize_struct("SchedulerSummary", 7 + more)?;
        summary.serialize_field("name", &self.name)?;
        summary.serialize_field("team", &self.team)?;
        summary.serialize_field("environment", &self.environment)?;
        summary.serialize_field("tags", &self.tags)?;
        summary.serialize_field("severity", &self.severity)?;
        summary.serialize_field("runbook_url", &self.runbook_url)?;
        summary.serialize_field("scheduled", &self.scheduled)?;
        if has_past {
            summary.serialize_field("past", &self.past)?;
        }
        if has_mute {
            summary.serialize_field("mute", &self.mute)?;
        }
        summary.end()
    }
}

/// How a scheduler's runs go when they go well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// When the last good one ended.
    pub last_good_at: Timestamp,
    /// How long one usually takes, in milliseconds; `None`: there were too few.
    pub usual_ms: Option<u64>,
}

impl SchedulerSummary {
    /// What is so of a scheduler at a time, which is that of the event that it goes with.
    #[must_use]
    pub fn at(state: &Scheduler, at: Timestamp) -> Self {
        let past = state.past().map(|past| Past { last_good_at: past.last_good_at(), usual_ms: past.usual_ms() });
        let mute = state.mute_at(at).cloned().map(Box::new);
        Self { past, mute, ..Self::from(state.spec()) }
    }
}

impl From<&SchedulerSpec> for SchedulerSummary {
    fn from(spec: &SchedulerSpec) -> Self {
        Self {
            name: spec.name.clone(),
            team: spec.team.clone(),
            environment: spec.environment.clone(),
            tags: spec.tags.clone(),
            severity: spec.severity,
            runbook_url: spec.runbook_url.clone(),
            scheduled: spec.schedule != ronda_domain::spec::Schedule::None,
            past: None,
            mute: None,
        }
    }
}

/// Ronda could not hear for a while: one partition's part of the notice for one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlindNotice {
    /// Whose schedulers it lists.
    pub tenant: TenantId,
    /// The command partition that found the gap.
    pub partition: u32,
    /// From when to when. `until` is the same in every partition that found the same gap.
    pub gap: Gap,
    /// Why: what the partition saw.
    pub reason: BlindReason,
    /// Schedulers that were due, or had a run open, inside it: the first 50 by id.
    pub schedulers: Vec<SchedulerId>,
    /// How many there are in all.
    pub total: u32,
}

/// Why a partition could not hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlindReason {
    /// No gateway pulsed.
    NoPulse,
    /// A gateway's wall clock was stepped.
    ClockStep,
    /// The queue lost frames that it had confirmed.
    LostFrames,
}

/// Frames that were confirmed and never came out of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostFrames {
    /// The command partition.
    pub partition: u32,
    /// The gateway start whose frames they were.
    pub gateway: u64,
    /// Number of the first missing frame.
    pub first: u64,
    /// Number of the last missing frame.
    pub last: u64,
    /// When the hole was seen, by the partition's clock.
    pub at: Timestamp,
}

/// A partition's clock stands still because it is ahead of the clocks of its gateways: they were set back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockHeld {
    /// The command partition.
    pub partition: u32,
    /// The gateway start whose clock is the furthest behind.
    pub gateway: u64,
    /// The partition's clock; nothing is judged before the gateways' clocks have come to it.
    pub clock: Timestamp,
    /// That gateway's wall clock when this was seen.
    pub wall: Timestamp,
}
