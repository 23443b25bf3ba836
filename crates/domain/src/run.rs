//! What is known of one run: facts that are joined in any order, and what was last judged of them.

use serde::{Deserialize, Serialize};

use crate::id::{MessageId, RunId};
use crate::input::{Gap, ProgressReport, ReportedStatus, StatusReport};
use crate::limits::{CLOCKS_APART_MS, MAX_KNOWN_HEARTBEATS};
use crate::record::{OccurrenceStatus, Progress, StaleReason};
use crate::scheduler::Key;
use crate::time::Timestamp;

/// How far a client's own time may be from ours and still order a run's messages, in milliseconds: 24 hours.
const TRUSTED_SKEW_MS: i64 = 86_400_000;

/// One end of a run, as reported. Several only when reports contradict each other; one per status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) status: ReportedStatus,
    /// What orders contradicting ends: the client's time when it can be believed, else ours.
    pub(crate) order: Timestamp,
    /// When the first report of this status was received.
    pub(crate) at: Timestamp,
    /// When the last one was received.
    pub(crate) last_at: Timestamp,
    /// Hash of the message that `order` and what follows are from.
    pub(crate) message: u64,
    /// Hash of the message without a run id that said so, by which alone a copy of it is known; 0: there is none.
    pub(crate) unnamed: u64,
    pub(crate) duration_ms: Option<u64>,
    pub(crate) detail: Option<Box<Detail>>,
}

/// What most ends don't have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Detail {
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) error: Option<Box<str>>,
    pub(crate) metadata: Vec<(Box<str>, Box<str>)>,
}

impl End {
    pub(crate) fn new(report: &StatusReport<'_>, at: Timestamp, message: MessageId) -> Self {
        let believed =
            report.occurred_at.filter(|own| own.millis_since(at).unsigned_abs() <= TRUSTED_SKEW_MS.unsigned_abs());
        let detail = Detail {
            occurred_at: report.occurred_at,
            exit_code: report.exit_code,
            error: report.error.map(Into::into),
            metadata: report.metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        };
        Self {
            status: report.status,
            order: believed.unwrap_or(at),
            at,
            last_at: at,
            message: hash_message(message),
            unnamed: if report.run_id.is_none() { hash_message(message) } else { 0 },
            duration_ms: report.duration_ms,
            detail: (detail != Detail::default()).then(|| Box::new(detail)),
        }
    }

    /// Failed wins over success when both are of one time: better a look too many than a failure unseen.
    const fn rank(&self) -> u8 {
        match self.status {
            ReportedStatus::Running => 0,
            ReportedStatus::Skipped => 1,
            ReportedStatus::Cancelled => 2,
            ReportedStatus::Success => 3,
            ReportedStatus::Failed => 4,
        }
    }

    pub(crate) const fn outcome(&self) -> OccurrenceStatus {
        match self.status {
            ReportedStatus::Running => OccurrenceStatus::Running,
            ReportedStatus::Success => OccurrenceStatus::Succeeded,
            ReportedStatus::Failed => OccurrenceStatus::Failed,
            ReportedStatus::Cancelled => OccurrenceStatus::Cancelled,
            ReportedStatus::Skipped => OccurrenceStatus::Skipped,
        }
    }

    /// The start that this end tells of, when no message told of the start.
    fn start(&self) -> Timestamp {
        let duration = self.duration_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(0);
        self.at.plus_millis(duration.min(TRUSTED_SKEW_MS).saturating_neg())
    }
}

/// What was concluded of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Verdict {
    pub(crate) status: OccurrenceStatus,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) stale: Option<StaleReason>,
    /// Hash of the message that ended it; a contradiction of the same status is another verdict.
    pub(crate) message: u64,
}

impl Verdict {
    pub(crate) const RUNNING: Self =
        Self { status: OccurrenceStatus::Running, ended_at: None, stale: None, message: 0 };
}

/// Which history entry a run belongs to. Fixed when it is first judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// The occurrence that was due then.
    Due(Timestamp),
    /// None: the run is an entry of its own.
    Alone,
}

/// How deadlines were put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rearmed {
    /// They count from here at the earliest; [`Timestamp::MIN`]: from their own times.
    pub(crate) at: Timestamp,
    /// The end of the last blind interval across which they ran; [`Timestamp::MIN`]: there was none.
    pub(crate) blind_until: Timestamp,
    /// How long all of those were together, in milliseconds.
    #[serde(default)]
    pub(crate) blind_ms: i64,
}

impl Rearmed {
    pub(crate) const NEVER: Self = Self { at: Timestamp::MIN, blind_until: Timestamp::MIN, blind_ms: 0 };

    /// Takes in a blind interval that ends later than those before it.
    pub(crate) fn note_blind(&mut self, gap: Gap) {
        let unheard_ms = gap.until.millis_since(gap.from.max(self.blind_until));
        self.blind_ms = self.blind_ms.saturating_add(unheard_ms.max(0));
        self.blind_until = gap.until;
    }
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) named: bool,
    /// It was one open run too many, or can't be told from one whose end was lost.
    pub(crate) given_up: bool,
    /// The first message that says that it runs; [`Timestamp::MAX`]: none did.
    pub(crate) opened_at: Timestamp,
    /// The last such message; [`Timestamp::MIN`]: none did.
    pub(crate) last_sign: Timestamp,
    /// The client's own time in that message.
    pub(crate) occurred_at: Option<Timestamp>,
    /// When the last of the counted heartbeats came.
    pub(crate) heartbeat_at: Timestamp,
    /// How many heartbeats came, without copies.
    pub(crate) heartbeats: u32,
    /// The last progress, and when it was reported.
    pub(crate) progress: Option<Box<(Timestamp, Progress)>>,
    /// Ends, by status.
    pub(crate) ends: Box<[End]>,
    /// When its deadlines were put off; few ever are.
    pub(crate) rearmed: Option<Box<Rearmed>>,
    /// Its start, fixed when it was placed.
    pub(crate) placed: Option<(Timestamp, Place)>,
    pub(crate) verdict: Option<Verdict>,
    /// Hashes of the messages counted last as heartbeats, at most [`MAX_KNOWN_HEARTBEATS`], oldest first.
    #[serde(default, skip_serializing_if = "<[u64]>::is_empty")]
    pub(crate) known_heartbeats: Box<[u64]>,
}

impl Run {
    pub(crate) fn new(id: RunId, named: bool) -> Self {
        Self {
            id,
            named,
            given_up: false,
            opened_at: Timestamp::MAX,
            last_sign: Timestamp::MIN,
            occurred_at: None,
            heartbeat_at: Timestamp::MIN,
            heartbeats: 0,
            progress: None,
            ends: Box::default(),
            rearmed: None,
            placed: None,
            verdict: None,
            known_heartbeats: Box::default(),
        }
    }

    /// Joins a message that says that the run goes on.
    pub(crate) fn join_sign(&mut self, at: Timestamp, occurred_at: Option<Timestamp>) {
        self.opened_at = self.opened_at.min(at);
        if (at, occurred_at) > (self.last_sign, self.occurred_at) {
            self.last_sign = at;
            self.occurred_at = occurred_at;
        }
    }

    /// Joins a message that came after the end: it says nothing, but it was the last. Says whether it is news.
    pub(crate) fn join_afterword(&mut self, at: Timestamp) -> bool {
        let is_news = at > self.last_sign;
        self.last_sign = at.max(self.last_sign);
        is_news
    }

    pub(crate) fn join_heartbeat(
        &mut self,
        (at, message): Key,
        occurred_at: Option<Timestamp>,
        progress: Option<&ProgressReport<'_>>,
    ) {
        self.join_sign(at, occurred_at);
        self.count_heartbeat(at, hash_message(message));
        if let Some(report) = progress {
            self.join_progress(at, report);
        }
    }

    /// Counts a heartbeat, unless it is a copy of one of the last ones, or comes from so long before them that it must be a copy.
    ///
    /// Times alone don't tell: many messages may have the same, and those that came through a slow clock have an earlier one.
    fn count_heartbeat(&mut self, at: Timestamp, hash: u64) {
        if self.heartbeat_at.millis_since(at) > CLOCKS_APART_MS || self.known_heartbeats.contains(&hash) {
            return;
        }
        self.heartbeat_at = self.heartbeat_at.max(at);
        self.heartbeats = self.heartbeats.saturating_add(1);
        if self.known_heartbeats.len() < MAX_KNOWN_HEARTBEATS {
            let known = std::mem::take(&mut self.known_heartbeats);
            self.known_heartbeats = known.into_iter().chain([hash]).collect();
        } else if let Some((oldest, _)) = self.known_heartbeats.split_first_mut() {
            *oldest = hash;
            self.known_heartbeats.rotate_left(1);
        }
    }

    fn join_progress(&mut self, at: Timestamp, report: &ProgressReport<'_>) {
        let new = (at, report.done, report.total, report.message);
        match self.progress.as_deref_mut() {
            Some((told, old)) if new <= (*told, old.done, old.total, old.message.as_deref()) => {}
            Some((told, old)) => {
                *told = at;
                old.done = report.done;
                old.total = report.total;
                if old.message.as_deref() != report.message {
                    old.message = report.message.map(Into::into);
                }
            }
            None => {
                let message = report.message.map(Into::into);
                let progress = Progress { done: report.done, total: report.total, message };
                self.progress = Some(Box::new((at, progress)));
            }
        }
    }

    /// The last progress that was reported.
    pub(crate) fn progress(&self) -> Option<&Progress> {
        self.progress.as_deref().map(|(_, progress)| progress)
    }

    /// How its deadlines were put off.
    pub(crate) fn rearmed(&self) -> Rearmed {
        self.rearmed.as_deref().copied().unwrap_or(Rearmed::NEVER)
    }

    /// Puts its deadlines off, so that they count from `at` at the earliest.
    pub(crate) fn rearm(&mut self, at: Timestamp) -> &mut Rearmed {
        let rearmed = self.rearmed.get_or_insert_with(|| Box::new(Rearmed::NEVER));
        rearmed.at = rearmed.at.max(at);
        rearmed
    }

    /// Joins an end: for each status the first time it was received and the last one said about it.
    pub(crate) fn join_end(&mut self, end: End) {
        match self.ends.iter_mut().find(|known| known.status == end.status) {
            Some(known) => {
                let first = known.at.min(end.at);
                let last = known.last_at.max(end.last_at);
                let unnamed = known.unnamed.max(end.unnamed);
                if (end.order, end.message) > (known.order, known.message) {
                    *known = end;
                }
                known.at = first;
                known.last_at = last;
                known.unnamed = unnamed;
            }
            None => {
                let mut ends = std::mem::take(&mut self.ends).into_vec();
                ends.reserve_exact(1);
                ends.push(end);
                ends.sort_unstable_by_key(|end| end.status);
                self.ends = ends.into();
            }
        }
    }

    /// When it last said that it goes on, or started.
    pub(crate) fn heard_at(&self) -> Timestamp {
        self.last_sign.max(self.started_at())
    }

    /// Whether there was a blind time, and nothing of it since.
    pub(crate) fn is_unheard_since_blind(&self) -> bool {
        self.heard_at() < self.rearmed().blind_until
    }

    /// Whether it was unheard for more than half of the time that it may take: then it will have ended in that, and its client
    /// given up saying so, rather than gone on.
    pub(crate) fn is_end_hidden(&self, max_run_seconds: u32) -> bool {
        self.rearmed().blind_ms.saturating_mul(2) > i64::from(max_run_seconds).saturating_mul(1_000)
    }

    /// When the first of its messages was received.
    pub(crate) fn first_at(&self) -> Timestamp {
        self.ends.iter().map(|end| end.at).fold(self.opened_at, Timestamp::min)
    }

    /// When the last of its messages was received, as far as is known.
    pub(crate) fn last_at(&self) -> Timestamp {
        self.ends.iter().map(|end| end.last_at).fold(self.last_sign, Timestamp::max)
    }

    /// Its start: the least receive time; told by the duration when only its end was reported. Fixed once placed.
    pub(crate) fn started_at(&self) -> Timestamp {
        if let Some((started, _)) = self.placed {
            return started;
        }
        let first_end = self.ends.iter().map(|end| end.at).min();
        match first_end {
            Some(end) if end < self.opened_at => self.ends.iter().map(End::start).fold(self.opened_at, Timestamp::min),
            _ => self.opened_at,
        }
    }

    /// The end that counts, of those received by `now`: the latest, then the worst.
    pub(crate) fn end(&self, now: Timestamp) -> Option<&End> {
        let received = self.ends.iter().filter(|end| end.at <= now);
        received.max_by_key(|end| (end.order, end.rank()))
    }

    /// Whether it had started and not ended at a time.
    pub(crate) fn is_open_at(&self, at: Timestamp) -> bool {
        self.started_at() <= at && !self.given_up && self.ends.iter().all(|end| end.at > at)
    }

    /// The occurrence that a run without an id belongs to, and its start.
    pub(crate) fn unnamed_of_due(&self) -> Option<(Timestamp, Timestamp)> {
        match self.placed {
            Some((started, Place::Due(due))) if !self.named => Some((due, started)),
            _ => None,
        }
    }

    /// An end without a run id goes to the youngest run without one. Once a later occurrence has such a run, an older one can't be
    /// told from one whose end was lost: it is not waited for any longer.
    pub(crate) fn is_superseded_by(&self, (newest, started): (Timestamp, Timestamp)) -> bool {
        self.unnamed_of_due().is_some_and(|(due, _)| due < newest) && self.last_sign < started
    }

    pub(crate) fn status(&self) -> Option<OccurrenceStatus> {
        self.verdict.map(|verdict| verdict.status)
    }

    /// Whether a report ended it, as last judged.
    pub(crate) fn has_ended(&self) -> bool {
        self.verdict.is_some_and(|verdict| {
            !matches!(verdict.status, OccurrenceStatus::Running | OccurrenceStatus::Stale | OccurrenceStatus::Unknown)
        })
    }
}

/// FNV-1a 64 over a run's id.
pub(crate) fn hash_run(id: &str) -> u64 {
    hash(id.bytes())
}

/// FNV-1a 64 over a message's id.
pub(crate) fn hash_message(message: MessageId) -> u64 {
    let bytes = message.source.to_le_bytes().into_iter().chain(message.sequence.to_le_bytes());
    hash(bytes.chain(message.index.to_le_bytes()))
}

/// FNV-1a 64 over when, and by which message, a scheduler was registered; never 0.
pub(crate) fn hash_registration(at: Timestamp, message: MessageId) -> u64 {
    hash(at.as_millis().to_le_bytes().into_iter().chain(hash_message(message).to_le_bytes())).max(1)
}

fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_put_off_by_an_earlier_release_are_read() {
        let at = Timestamp::from_seconds(60);
        let bytes = rmp_serde::to_vec(&(at, at)).unwrap();
        assert_eq!(rmp_serde::from_slice::<Rearmed>(&bytes).unwrap(), Rearmed { at, blind_until: at, blind_ms: 0 });
    }
}
