//! What a message has to say: the facts, without any wording or markup.

use ronda_domain::attention::Acknowledgment;
use ronda_domain::event::{Change, Resolution};
use ronda_domain::id::{SchedulerKey, TenantId};
use ronda_domain::input::Gap;
use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::spec::Severity;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::{BlindReason, ClockHeld, LostFrames, SchedulerSummary};
use serde::{Deserialize, Serialize};

use super::own::Former;

/// What one surface has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Facts {
    /// Something is wrong with one scheduler, or was.
    Alert(Box<AlertFacts>),
    /// A line below another surface.
    Reply(Box<ReplyFacts>),
    /// A night's status table.
    Board(Box<BoardFacts>),
    /// How a night ended.
    Summary(Box<SummaryFacts>),
    /// Ronda could not hear for a while.
    Blind(Box<BlindFacts>),
    /// For the operator.
    Admin(Box<AdminFacts>),
    /// Many alerts at once.
    Digest(Box<DigestFacts>),
}

impl Facts {
    /// The oldest version of a surface that has all of these.
    pub(super) fn version(&self) -> u32 {
        match self {
            Self::Alert(alert) if alert.care.is_some() || alert.summary.mute.is_some() => 4,
            Self::Reply(reply)
                if matches!(reply.what, ReplyWhat::Acknowledged { .. } | ReplyWhat::StillWrong { .. }) =>
            {
                4
            }
            Self::Reply(reply)
                if matches!(
                    reply.what,
                    ReplyWhat::AcknowledgedInDigest { .. } | ReplyWhat::Worse { .. } | ReplyWhat::Again { .. }
                ) =>
            {
                5
            }
            Self::Digest(digest) if digest.entries.iter().any(|entry| entry.later.is_some()) => 5,
            Self::Board(_) | Self::Summary(_) => 3,
            Self::Alert(alert) if alert.summary.past.is_some() => 3,
            _ => 2,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AlertFacts {
    pub(crate) key: SchedulerKey,
    pub(crate) summary: SchedulerSummary,
    pub(crate) opened_at: Timestamp,
    /// What opened it.
    pub(crate) first: Change,
    /// What is wrong now.
    pub(crate) now: Change,
    pub(crate) streak: u32,
    pub(crate) ended: Option<AlertEnd>,
    /// [`Own::maybe_repeat`](super::Own::maybe_repeat), in rows of other versions.
    pub(crate) former_repeat: Former,
    /// What people said of it; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) care: Option<Box<Care>>,
}

/// What people said of an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Care {
    /// Who looks after it.
    pub(crate) acknowledged: Option<Acknowledgment>,
    /// Whether it was kept back, in rows of another version.
    pub(crate) former_kept_back: Former,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AlertEnd {
    pub(crate) at: Timestamp,
    pub(crate) resolution: Resolution,
}

/// In one word, what an alert says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AlertTone {
    Failed,
    Stale,
    Missed,
    StartedLate,
    Over,
    Withdrawn,
}

impl AlertFacts {
    /// Who looks after it.
    pub(crate) fn acknowledged(&self) -> Option<&Acknowledgment> {
        self.care.as_deref()?.acknowledged.as_ref()
    }

    /// Until when nobody wants to hear of it, if there is such a time.
    pub(crate) fn muted_until(&self) -> Option<Timestamp> {
        self.summary.mute.as_deref().map(|mute| mute.until)
    }

    /// Whether nobody wants to hear of it now.
    pub(crate) fn is_muted(&self, wall_ms: i64) -> bool {
        self.muted_until().is_some_and(|until| wall_ms < until.as_millis())
    }

    pub(crate) fn tone(&self) -> AlertTone {
        match &self.ended {
            Some(AlertEnd { resolution: Resolution::Recovered { .. } | Resolution::CompletedLate { .. }, .. }) => {
                AlertTone::Over
            }
            Some(_) => AlertTone::Withdrawn,
            None => match self.now.to {
                OccurrenceStatus::Stale => AlertTone::Stale,
                OccurrenceStatus::Missed => AlertTone::Missed,
                OccurrenceStatus::Running => AlertTone::StartedLate,
                _ => AlertTone::Failed,
            },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReplyFacts {
    pub(crate) name: Box<str>,
    pub(crate) what: ReplyWhat,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ReplyWhat {
    /// What is wrong has become something else.
    Escalated { change: Change },
    /// It is over.
    Ended { opened_at: Timestamp, end: AlertEnd },
    /// Something changed after its night had ended.
    AfterTheEnd { change: Change, at: Timestamp },
    /// Those for which a digest has no room.
    Names { names: Vec<Box<str>> },
    /// The next one went wrong in another way: what the alert had said is overwritten.
    Turned { before: Change, change: Change },
    /// Somebody looks after it.
    Acknowledged { by: Acknowledgment },
    /// Nobody wanted to hear of it until a time, and it is wrong still.
    StillWrong { since: Timestamp, until: Timestamp, change: Change },
    /// Somebody looks after one of a digest's.
    AcknowledgedInDigest { by: Acknowledgment },
    /// What got worse among a digest's.
    Worse { alerts: Vec<Worse> },
    /// It stays wrong, and nobody looks after it: told so for the how many-eth time, when due.
    Again { number: u32, due: Timestamp, since: Timestamp, change: Change },
}

/// An alert that got worse, of those that a digest shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Worse {
    /// The alert's surface.
    pub(crate) surface: String,
    pub(crate) name: Box<str>,
    /// What it is now.
    pub(crate) status: OccurrenceStatus,
}

impl ReplyWhat {
    /// When it is to be said; `None`: at once.
    pub(crate) const fn due(&self) -> Option<Timestamp> {
        match self {
            Self::StillWrong { until, .. } => Some(*until),
            Self::Again { due, .. } => Some(*due),
            _ => None,
        }
    }
}

/// How many occurrences of a night are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) succeeded: u32,
    pub(crate) running: u32,
    pub(crate) waiting: u32,
    pub(crate) failed: u32,
    pub(crate) stale: u32,
    pub(crate) missed: u32,
    pub(crate) unknown: u32,
    pub(crate) skipped: u32,
    pub(crate) cancelled: u32,
}

impl Counts {
    pub(crate) fn add(&mut self, status: OccurrenceStatus) {
        *self.slot(status) += 1;
    }

    pub(crate) fn remove(&mut self, status: OccurrenceStatus) {
        let slot = self.slot(status);
        *slot = slot.saturating_sub(1);
    }

    const fn slot(&mut self, status: OccurrenceStatus) -> &mut u32 {
        match status {
            OccurrenceStatus::Expected => &mut self.waiting,
            OccurrenceStatus::Running => &mut self.running,
            OccurrenceStatus::Succeeded => &mut self.succeeded,
            OccurrenceStatus::Failed => &mut self.failed,
            OccurrenceStatus::Cancelled => &mut self.cancelled,
            OccurrenceStatus::Skipped => &mut self.skipped,
            OccurrenceStatus::Missed => &mut self.missed,
            OccurrenceStatus::Stale => &mut self.stale,
            OccurrenceStatus::Unknown => &mut self.unknown,
        }
    }

    pub(crate) const fn problems(&self) -> u32 {
        self.failed + self.stale + self.missed + self.unknown
    }

    pub(crate) const fn open(&self) -> u32 {
        self.running + self.waiting
    }

    pub(crate) const fn total(&self) -> u32 {
        self.problems() + self.open() + self.succeeded + self.skipped + self.cancelled
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoardFacts {
    pub(crate) title: String,
    /// The night's date: that of its opening, in its zone, as `2026-11-24`.
    pub(crate) date: String,
    pub(crate) timezone: String,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    /// Of occurrences.
    pub(crate) counts: Counts,
    pub(crate) jobs: u32,
    /// One a scheduler, problems first; those that did not fit are only counted.
    pub(crate) rows: Vec<BoardRow>,
    /// Schedulers with a problem that are not in `rows`.
    pub(crate) hidden_problems: u32,
    /// Schedulers without a problem that are not in `rows`.
    pub(crate) hidden_others: u32,
    pub(crate) closed: Option<Timestamp>,
    #[serde(default)]
    pub(crate) doubts: Doubts,
    /// Whose schedulers they are.
    #[serde(default)]
    pub(crate) tenant: Box<str>,
    /// Hashes of the ids of all schedulers with a problem, in order: what the next night is compared with. `None`: too many, or written
    /// by a release that did not tell them.
    #[serde(default)]
    pub(crate) bad: Option<Vec<u64>>,
    /// What is otherwise than in the night before; `None`: that is not known.
    #[serde(default)]
    pub(crate) change: Option<NightChange>,
}

/// What is otherwise than in an earlier night, in schedulers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NightChange {
    /// The earlier night's date, as `2026-11-23`.
    pub(crate) date: Box<str>,
    /// Whether it is the night right before.
    pub(crate) is_yesterday: bool,
    /// With a problem now, and not then.
    pub(crate) new: u32,
    /// With a problem now and then.
    pub(crate) again: u32,
    /// With a problem then, and through this night without one.
    pub(crate) fixed: u32,
}

/// What is not known of a night: with any of it, it is not called clear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Doubts {
    /// There were more occurrences than are tracked.
    pub(crate) untracked: bool,
    /// Event batches that could not be read.
    pub(crate) batches: u32,
    /// Stored rows that could not be read.
    pub(crate) rows: u32,
}

impl Doubts {
    pub(crate) const fn any(self) -> bool {
        self.untracked || self.batches > 0 || self.rows > 0
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoardRow {
    /// Its worst occurrence's.
    pub(crate) status: OccurrenceStatus,
    pub(crate) name: Box<str>,
    /// When that occurrence was due, or the run started.
    pub(crate) time: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) late_start_ms: Option<i64>,
    /// What went wrong, in the job's words.
    pub(crate) error: Option<Box<str>>,
    pub(crate) exit_code: Option<i32>,
    /// Occurrences of the night that ended well.
    pub(crate) done: u32,
    /// Occurrences of the night.
    pub(crate) total: u32,
    /// Of those, how many went wrong.
    #[serde(default)]
    pub(crate) problems: u32,
    /// How many are still open, and when the first of them was due.
    #[serde(default)]
    pub(crate) open: Option<(u32, Timestamp)>,
    /// Whose it is; may be empty.
    #[serde(default)]
    pub(crate) team: Box<str>,
    #[serde(default)]
    pub(crate) severity: Severity,
    /// It had a problem in the night before, too.
    #[serde(default)]
    pub(crate) again: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SummaryFacts {
    pub(crate) title: String,
    pub(crate) date: String,
    pub(crate) timezone: String,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
    pub(crate) counts: Counts,
    pub(crate) jobs: u32,
    /// One a scheduler that has a problem or is not done, problems first.
    pub(crate) problems: Vec<BoardRow>,
    /// Such schedulers that are not in `problems`.
    pub(crate) hidden_problems: u32,
    #[serde(default)]
    pub(crate) doubts: Doubts,
    /// Whose schedulers they are.
    #[serde(default)]
    pub(crate) tenant: Box<str>,
    /// What is otherwise than in the night before; `None`: that is not known.
    #[serde(default)]
    pub(crate) change: Option<NightChange>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlindFacts {
    pub(crate) tenant: TenantId,
    pub(crate) gap: Gap,
    pub(crate) reason: BlindReason,
    /// Partitions whose part has come, each with how many schedulers it counts.
    pub(crate) parts: Vec<(u32, u32)>,
    /// Schedulers that were due or had a run open inside it: the first by id.
    pub(crate) schedulers: Vec<Box<str>>,
    /// Occurrences that ended as unknown since: the first that came.
    pub(crate) unknown: Vec<(Box<str>, Timestamp)>,
    pub(crate) unknown_total: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AdminFacts {
    /// The queue lost what it had confirmed.
    Lost(LostFrames),
    /// A channel refuses us.
    Destination { channel: String, code: String, at: Timestamp },
    /// A message is refused in every form that there is.
    Refused { channel: String, code: String, at: Timestamp },
    /// Event batches can't be read.
    UnreadableEvents { partition: u32, at: Timestamp },
    /// Rows of the notifier can't be read.
    UnreadableRows { rows: u32, at: Timestamp },
    /// A partition's clock stands still.
    Held(ClockHeld),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DigestFacts {
    pub(crate) opened_at: Timestamp,
    pub(crate) entries: Vec<DigestEntry>,
    /// Alerts beyond those in `entries`.
    pub(crate) more: u32,
    /// Posted although it may be visible already: the history could not be read.
    #[serde(default)]
    pub(crate) maybe_repeat: bool,
    /// Of those in `more`, how many are over.
    #[serde(default)]
    pub(crate) more_ended: u32,
}

impl DigestFacts {
    pub(crate) fn total(&self) -> usize {
        self.entries.len() + usize::try_from(self.more).unwrap_or(usize::MAX)
    }

    pub(crate) fn ended(&self) -> usize {
        let named = self.entries.iter().filter(|entry| entry.ended).count();
        named + usize::try_from(self.more_ended).unwrap_or(usize::MAX)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DigestEntry {
    /// The alert's surface.
    pub(crate) surface: String,
    pub(crate) name: Box<str>,
    pub(crate) team: Box<str>,
    pub(crate) status: OccurrenceStatus,
    pub(crate) subject: Subject,
    pub(crate) ended: bool,
    /// `None`: it was in the first post, and nobody has said anything of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) later: Option<Box<Later>>,
}

/// What became of an entry of a digest after it was told, or before it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Later {
    /// The first revision of the digest that has it; 0: whatever was posted first.
    pub(crate) since: u64,
    /// Who looks after it.
    pub(crate) acknowledged: Option<Acknowledgment>,
}

impl DigestEntry {
    /// The first revision of the digest that has it; 0: whatever was posted first.
    pub(crate) fn since(&self) -> u64 {
        self.later.as_ref().map_or(0, |later| later.since)
    }

    /// Who looks after it.
    pub(crate) fn acknowledged(&self) -> Option<&Acknowledgment> {
        self.later.as_deref()?.acknowledged.as_ref()
    }

    /// Says who looks after it.
    pub(crate) fn acknowledge(&mut self, by: Option<&Acknowledgment>) {
        if self.acknowledged() != by {
            self.later.get_or_insert_default().acknowledged = by.cloned();
        }
    }
}
