//! What is remembered of one history entry, so that a late word on it is a correction.

use serde::{Deserialize, Serialize};

use crate::attention::Acknowledgment;
use crate::limits::MAX_CORRECTIONS;
use crate::record::{Correction, OccurrenceRecord, OccurrenceStatus, StaleReason, Subject};
use crate::time::Timestamp;

/// How an entry was counted in the streaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Counted {
    Not,
    Bad,
    Good,
}

/// One occurrence, unscheduled run or silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Occurrence {
    pub(crate) subject: Subject,
    pub(crate) status: OccurrenceStatus,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) stale: Option<StaleReason>,
    pub(crate) runs: u32,
    /// When the run started that decided it last.
    pub(crate) decided_by: Timestamp,
    pub(crate) counted: Counted,
    /// What most don't have.
    pub(crate) more: Option<Box<More>>,
}

/// What is remembered of an entry that did not go as it should.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct More {
    pub(crate) late_start_ms: Option<i64>,
    /// How many corrections there were, the forgotten ones included.
    pub(crate) corrected: u32,
    pub(crate) corrections: Vec<Correction>,
    /// Who looked after it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) acknowledgment: Option<Box<Acknowledgment>>,
}

impl Occurrence {
    pub(crate) const fn new(subject: Subject) -> Self {
        Self {
            subject,
            status: OccurrenceStatus::Expected,
            started_at: None,
            ended_at: None,
            stale: None,
            runs: 0,
            decided_by: Timestamp::MIN,
            counted: Counted::Not,
            more: None,
        }
    }

    /// What entries are ordered by: time first.
    pub(crate) const fn order(&self) -> (Timestamp, &Subject) {
        (self.subject.time(), &self.subject)
    }

    /// Goes over to another status; says whether that takes back an earlier judgement.
    pub(crate) fn go_to(&mut self, status: OccurrenceStatus, at: Timestamp) -> bool {
        let from = std::mem::replace(&mut self.status, status);
        if !from.is_ended() {
            return false;
        }
        let more = self.more.get_or_insert_default();
        more.corrected = more.corrected.saturating_add(1);
        if more.corrections.len() >= MAX_CORRECTIONS {
            more.corrections.remove(0);
        }
        more.corrections.reserve_exact(1);
        more.corrections.push(Correction { at, from, to: status });
        true
    }

    /// How late after its grace it started, in milliseconds; `None`: in time.
    pub(crate) fn late_start_ms(&self) -> Option<i64> {
        self.more.as_deref()?.late_start_ms
    }

    /// An earlier run of it was heard of, and with it how late it started.
    pub(crate) fn set_late_start(&mut self, late_ms: Option<i64>) {
        if late_ms.is_some() || self.more.is_some() {
            self.more.get_or_insert_default().late_start_ms = late_ms;
        }
        self.more.take_if(|more| **more == More::default());
    }

    /// The id of the event that says how it is now. Between two corrections no status comes twice, so this is unique within the
    /// scheduler that was registered.
    pub(crate) fn event_id(&self) -> Box<str> {
        let status = match self.status {
            OccurrenceStatus::Expected => "expected",
            OccurrenceStatus::Running => "running",
            OccurrenceStatus::Succeeded => "succeeded",
            OccurrenceStatus::Failed => "failed",
            OccurrenceStatus::Cancelled => "cancelled",
            OccurrenceStatus::Skipped => "skipped",
            OccurrenceStatus::Missed => "missed",
            OccurrenceStatus::Stale => "stale",
            OccurrenceStatus::Unknown => "unknown",
        };
        let corrected = self.more.as_deref().map_or(0, |more| more.corrected);
        let text = match &self.subject {
            Subject::Occurrence { due } => format!("due:{}:{status}:{corrected}", due.as_millis()),
            Subject::Run { started, run_id } => format!("run:{}:{run_id}:{status}:{corrected}", started.as_millis()),
            Subject::Silence { since } => format!("silence:{}:{status}:{corrected}", since.as_millis()),
        };
        text.into()
    }

    pub(crate) fn record(&self) -> OccurrenceRecord {
        OccurrenceRecord {
            subject: self.subject.clone(),
            status: self.status,
            started_at: self.started_at,
            ended_at: self.ended_at,
            late_start_ms: self.late_start_ms(),
            stale: self.stale,
            runs: self.runs,
            corrections: self.more.as_deref().map(|more| more.corrections.clone()).unwrap_or_default(),
            acknowledgment: self.more.as_deref().and_then(|more| more.acknowledgment.as_deref().cloned()),
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let name = match &self.subject {
            Subject::Run { run_id, .. } => run_id.as_str().len(),
            Subject::Occurrence { .. } | Subject::Silence { .. } => 0,
        };
        let more = self.more.as_deref().map_or(0, |more| {
            let who = more.acknowledgment.as_deref();
            let who = who.map_or(0, |who| size_of::<Acknowledgment>().saturating_add(who.by.heap_bytes()));
            let corrections = more.corrections.capacity().saturating_mul(size_of::<Correction>());
            size_of::<More>().saturating_add(corrections).saturating_add(who)
        });
        more.saturating_add(name)
    }
}
