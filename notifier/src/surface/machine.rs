//! The surface's state machine: pure, without clock or I/O. Times come in as monotonic milliseconds.
//!
//! The promise that it keeps: between two posts of one surface there is always either a definite answer that the first
//! one is not visible, or a lookup that did not find it. And what is desired last is what is shown in the end.

use super::{Applied, Facts, Parked, Phase, Surface, Telling};
use crate::channel::{ChannelErrorKind, Found, Posted};

/// How patient to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Least time between two counted lookups.
    pub(crate) reconcile_interval_ms: u64,
    /// How long lookups may fail before a failure alert is posted again.
    pub(crate) give_up_ms: u64,
    /// Least time between two edits of a board.
    pub(crate) board_interval_ms: u64,
    /// Whether messages can be looked up where it is shown.
    pub(crate) can_find: bool,
}

/// So many intervals after a post was claimed it must be there, or never comes: it was looked for during two, and may be as long on its way.
const POSTS_ARRIVE_WITHIN: u64 = 4;
/// A lookup this soon after an ambiguous answer finds most messages that were posted; it does not count when it finds none.
const FIRST_LOOK_MS: u64 = 1_000;
/// How long a change of what changes in numbers waits for the next one.
const GATHERING_MS: u64 = 2_000;
/// Lookups that must find nothing before a surface is posted again.
const READS: u8 = 2;
/// Attempts at removing a message before it is left where it is.
const MAX_DELETES: u32 = 20;
/// The longest pause between attempts at one surface.
const MAX_BACKOFF_MS: u64 = 300_000;
/// The pause after even the plainest form of a message was refused: what stands in the way will hardly go by itself.
const REFUSED_BACKOFF_MS: u64 = 3_600_000;
/// Most other channels on which a surface is remembered.
const MAX_PARKED: usize = 4;

/// The call that a surface needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Post,
    Edit {
        channel: String,
        ts: String,
    },
    /// Look the message up.
    Find,
    /// Remove a twin, or a reply that lost its parent.
    Delete {
        channel: String,
        ts: String,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Posted(Posted),
    Edited,
    Found(Vec<Found>),
    Deleted,
    Failed(ChannelErrorKind),
}

impl Surface {
    /// Says what it shall say from now on. Answers whether that is anything new.
    pub(crate) fn desire(&mut self, facts: Facts, wall_ms: i64) -> bool {
        if self.facts == facts {
            return false;
        }
        self.facts = facts;
        self.desired += 1;
        self.touched_wall_ms = wall_ms;
        true
    }

    /// The same for what tends to come in numbers: the first change waits a little for others, which then don't put it off
    /// any further.
    pub(crate) fn desire_with_others(&mut self, facts: Facts, wall_ms: i64, now_ms: u64) -> bool {
        let first = self.is_shown();
        let new = self.desire(facts, wall_ms);
        if first && new {
            self.not_before_ms = self.not_before_ms.max(now_ms + GATHERING_MS);
        }
        new
    }

    /// Whether what is visible is what is desired.
    fn is_shown(&self) -> bool {
        self.applied.as_ref().is_some_and(|applied| applied.revision >= self.desired)
    }

    /// The call that it needs now, if any.
    pub(crate) fn work(&self, now_ms: u64) -> Option<Work> {
        if now_ms < self.not_before_ms {
            return None;
        }
        if let (Some(ts), Some(applied), Phase::Live | Phase::Gone) = (self.twins.first(), &self.applied, &self.phase) {
            return Some(Work::Delete { channel: applied.channel.clone(), ts: ts.clone() });
        }
        match &self.phase {
            Phase::Absent if self.telling() == Telling::Now => Some(Work::Post),
            Phase::Unknown { .. } => Some(Work::Find),
            Phase::Live => match &self.applied {
                Some(_) if self.check_at_ms.is_some_and(|at| now_ms >= at) => Some(Work::Find),
                Some(applied) if applied.revision < self.desired && !self.fixed => {
                    Some(Work::Edit { channel: applied.channel.clone(), ts: applied.ts.clone() })
                }
                _ => None,
            },
            Phase::Absent | Phase::Posting { .. } | Phase::Editing { .. } | Phase::Gone => None,
        }
    }

    /// Whether a call will be needed sooner or later without anything new being desired.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.phase {
            Phase::Gone => self.twins.is_empty() || self.applied.is_none(),
            Phase::Absent => !self.is_of_its_own(),
            Phase::Live => self.twins.is_empty() && self.check_at_ms.is_none() && (self.fixed || self.is_shown()),
            Phase::Posting { .. } | Phase::Editing { .. } | Phase::Unknown { .. } => false,
        }
    }

    /// Records that a call is about to be made. To be committed before it is.
    pub(crate) fn claim(&mut self, work: &Work, fence: u64, target: &str, wall_ms: i64) {
        match work {
            Work::Post => {
                self.phase = Phase::Posting { fence, revision: self.desired };
                self.target = target.to_owned();
                if self.first_claim_wall_ms == 0 {
                    self.first_claim_wall_ms = wall_ms;
                }
                self.last_claim_wall_ms = wall_ms;
            }
            Work::Edit { .. } => self.phase = Phase::Editing { fence, revision: self.desired },
            Work::Find | Work::Delete { .. } => {}
        }
    }

    /// Takes in how a claimed call ended.
    pub(crate) fn settle(&mut self, work: &Work, outcome: Outcome, now_ms: u64, policy: &Policy) {
        match (work, outcome) {
            (Work::Post, Outcome::Posted(posted)) => self.posted(posted, now_ms, policy),
            (Work::Post, Outcome::Failed(kind)) => self.post_failed(&kind, now_ms, policy),
            (Work::Edit { .. }, Outcome::Edited) => self.edited(now_ms, policy),
            (Work::Edit { .. }, Outcome::Failed(kind)) => self.edit_failed(&kind, now_ms, policy),
            (Work::Find, Outcome::Found(found)) => self.found(found, now_ms, policy),
            (Work::Find, Outcome::Failed(kind)) => self.find_failed(&kind, now_ms, policy),
            (Work::Delete { ts, .. }, Outcome::Deleted) => self.forget_twin(ts),
            (Work::Delete { ts, .. }, Outcome::Failed(kind)) => match kind {
                ChannelErrorKind::Missing { .. }
                | ChannelErrorKind::Fixed { .. }
                | ChannelErrorKind::Payload { .. } => self.forget_twin(ts),
                _ if self.attempts + 1 >= MAX_DELETES => self.forget_twin(ts),
                _ => self.back_off(now_ms, 0),
            },
            // The worker never pairs these; changing nothing is the safe answer.
            _ => {}
        }
    }

    fn posted(&mut self, posted: Posted, now_ms: u64, policy: &Policy) {
        let Phase::Posting { revision, .. } = self.phase else { return };
        self.applied = Some(Applied { revision, channel: posted.channel, ts: posted.ts });
        self.fixed = false;
        self.live(now_ms, policy);
        self.look_for_earlier_ones(now_ms, policy);
    }

    /// Of a message that was posted again an earlier attempt may still turn up.
    fn look_for_earlier_ones(&mut self, now_ms: u64, policy: &Policy) {
        if self.generation > 0 && policy.can_find {
            self.check_at_ms = Some(now_ms + policy.reconcile_interval_ms * 2);
        }
    }

    /// An edit that may still arrive is looked for once the latest must have, where anything can be looked for. What is to be looked for later
    /// stays so.
    fn look_later(&mut self, now_ms: u64, policy: &Policy) {
        let at_ms = policy.can_find.then(|| now_ms + policy.reconcile_interval_ms * 2);
        self.check_at_ms = at_ms.max(self.check_at_ms);
    }

    /// The same by who takes the surface over: when the other one would have looked can't be known, and where there were several posts the last
    /// of them may still be on its way.
    fn look_later_than_another(&mut self, now_ms: u64, policy: &Policy) {
        let intervals = if self.generation > 0 { POSTS_ARRIVE_WITHIN } else { 2 };
        self.check_at_ms = policy.can_find.then(|| now_ms + policy.reconcile_interval_ms * intervals);
    }

    fn forget_twin(&mut self, ts: &str) {
        self.twins.retain(|twin| twin != ts);
        self.attempts = 0;
    }

    fn live(&mut self, now_ms: u64, policy: &Policy) {
        self.phase = Phase::Live;
        self.attempts = 0;
        self.not_before_ms = match &self.facts {
            // The closing edit does not wait for the pace.
            Facts::Board(board) if board.closed.is_none() => now_ms + policy.board_interval_ms,
            _ => now_ms,
        };
    }

    fn post_failed(&mut self, kind: &ChannelErrorKind, now_ms: u64, policy: &Policy) {
        match kind {
            ChannelErrorKind::NotSent { retry_after, .. } => {
                self.phase = Phase::Absent;
                self.back_off(now_ms, u64::try_from(retry_after.as_millis()).unwrap_or(MAX_BACKOFF_MS));
            }
            // Under the same generation, and so under the same id: who gets both drops one.
            ChannelErrorKind::Ambiguous if !policy.can_find => {
                self.phase = Phase::Absent;
                self.back_off(now_ms, 0);
            }
            ChannelErrorKind::Ambiguous => {
                self.phase = Phase::Unknown { since_ms: now_ms, reads: 0 };
                self.not_before_ms = now_ms + FIRST_LOOK_MS;
            }
            // How long the channel rests is the worker's: it holds for all surfaces there.
            ChannelErrorKind::DestinationBroken { .. } => self.phase = Phase::Absent,
            ChannelErrorKind::Payload { .. } => match self.form.lower(self.has_table()) {
                Some(form) => {
                    self.form = form;
                    self.phase = Phase::Absent;
                }
                // Nobody has seen it, so it is not given up.
                None => {
                    self.phase = Phase::Absent;
                    self.back_off(now_ms, REFUSED_BACKOFF_MS);
                }
            },
            // To what it should be a reply to nothing can be said any more.
            ChannelErrorKind::Missing { .. } | ChannelErrorKind::Fixed { .. } => self.phase = Phase::Gone,
            ChannelErrorKind::Orphaned { stray } => self.orphaned(stray),
        }
    }

    /// A reply became a message of its own, because what it should be below was deleted.
    fn orphaned(&mut self, stray: &Posted) {
        self.phase = Phase::Gone;
        self.applied = Some(Applied { revision: self.desired, channel: stray.channel.clone(), ts: stray.ts.clone() });
        self.twins.push(stray.ts.clone());
        self.attempts = 0;
    }

    fn edited(&mut self, now_ms: u64, policy: &Policy) {
        let Phase::Editing { revision, .. } = self.phase else { return };
        if let Some(applied) = &mut self.applied {
            applied.revision = revision;
        }
        self.live(now_ms, policy);
    }

    fn edit_failed(&mut self, kind: &ChannelErrorKind, now_ms: u64, policy: &Policy) {
        let Phase::Editing { revision, .. } = self.phase else { return };
        self.phase = Phase::Live;
        match kind {
            ChannelErrorKind::NotSent { retry_after, .. } => {
                self.back_off(now_ms, u64::try_from(retry_after.as_millis()).unwrap_or(MAX_BACKOFF_MS));
            }
            // An edit says everything anew, so it may simply be made again; but the first one may still arrive.
            ChannelErrorKind::Ambiguous => {
                self.back_off(now_ms, 0);
                self.look_later(now_ms, policy);
            }
            // The second can't come of an edit.
            ChannelErrorKind::DestinationBroken { .. } | ChannelErrorKind::Orphaned { .. } => {}
            ChannelErrorKind::Payload { .. } => match self.form.lower(self.has_table()) {
                Some(form) => self.form = form,
                // Nothing lower is left: keep what is visible until something else is desired.
                None => {
                    if let Some(applied) = &mut self.applied {
                        applied.revision = revision;
                    }
                }
            },
            ChannelErrorKind::Missing { .. } => {
                let board = matches!(&self.facts, Facts::Board(board) if board.closed.is_none());
                if board && !self.recreated {
                    self.recreated = true;
                    self.post_again();
                } else {
                    self.phase = Phase::Gone;
                }
            }
            // It is still there, as it was: replies below it say what has changed.
            ChannelErrorKind::Fixed { .. } => self.fixed = true,
        }
    }

    fn post_again(&mut self) {
        self.phase = Phase::Absent;
        self.applied = None;
        self.check_at_ms = None;
        self.generation += 1;
    }

    fn found(&mut self, mut found: Vec<Found>, now_ms: u64, policy: &Policy) {
        found.sort_by(|a, b| a.ts.cmp(&b.ts));
        let mut found = found.into_iter();
        match (&self.phase, found.next()) {
            (Phase::Unknown { since_ms, .. }, Some(first)) => {
                // The last post may still be on its way, when it was an earlier one that was found.
                let latest_ms = since_ms + policy.reconcile_interval_ms * POSTS_ARRIVE_WITHIN;
                self.applied = Some(Applied { revision: first.revision, channel: self.channel.clone(), ts: first.ts });
                self.twins = found.map(|twin| twin.ts).collect();
                self.live(now_ms, policy);
                self.not_before_ms = now_ms;
                self.look_for_earlier_ones(now_ms, policy);
                self.check_at_ms = self.check_at_ms.map(|at_ms| at_ms.max(latest_ms));
            }
            (Phase::Unknown { .. }, None) => {
                let is_nowhere = self.is_nowhere(now_ms, policy);
                if is_nowhere {
                    self.post_again();
                    self.not_before_ms = now_ms;
                }
            }
            (Phase::Live, first) => {
                self.check_at_ms = None;
                if let (Some(first), Some(applied)) = (first, &mut self.applied) {
                    applied.ts = first.ts;
                    // A late edit of an earlier sender shows here; it is then edited once more.
                    applied.revision = first.revision;
                    self.twins = found.map(|twin| twin.ts).collect();
                }
            }
            _ => {}
        }
    }

    /// Counts a lookup that found nothing. Answers whether there were enough of them.
    fn is_nowhere(&mut self, now_ms: u64, policy: &Policy) -> bool {
        let Phase::Unknown { since_ms, reads } = self.phase else { return false };
        let due = since_ms + policy.reconcile_interval_ms * (u64::from(reads) + 1);
        let reads = if now_ms >= due { reads + 1 } else { reads };
        if reads >= READS {
            return true;
        }
        self.phase = Phase::Unknown { since_ms, reads };
        self.not_before_ms = since_ms + policy.reconcile_interval_ms * (u64::from(reads) + 1);
        if reads > 0 {
            // However late this one was, the next is a whole interval later.
            self.not_before_ms = self.not_before_ms.max(now_ms + policy.reconcile_interval_ms);
        }
        false
    }

    fn find_failed(&mut self, kind: &ChannelErrorKind, now_ms: u64, policy: &Policy) {
        match self.phase {
            Phase::Unknown { .. } if matches!(kind, ChannelErrorKind::Orphaned { .. }) => {
                if let ChannelErrorKind::Orphaned { stray } = kind {
                    self.orphaned(stray);
                }
            }
            // The message to reply to is gone. What was posted below it may turn up beside it, and is removed there.
            Phase::Unknown { .. } if self.parent.is_some() && matches!(kind, ChannelErrorKind::Missing { .. }) => {
                let is_nowhere = self.is_nowhere(now_ms, policy);
                if is_nowhere {
                    self.phase = Phase::Gone;
                }
            }
            Phase::Unknown { since_ms, .. } => {
                self.not_before_ms = now_ms + policy.reconcile_interval_ms;
                let given_up = now_ms.saturating_sub(since_ms) >= policy.give_up_ms;
                if given_up && self.becomes_repeat() {
                    self.desired += 1;
                    self.post_again();
                    self.not_before_ms = now_ms;
                }
            }
            Phase::Live => {
                self.attempts += 1;
                self.check_at_ms = (self.attempts < 10).then(|| now_ms + policy.reconcile_interval_ms);
            }
            _ => {}
        }
    }

    /// Says from now on that it may be visible already. `false`: it is of a kind that waits until that is known.
    fn becomes_repeat(&mut self) -> bool {
        match &mut self.facts {
            Facts::Alert(_) => self.own.maybe_repeat = true,
            Facts::Digest(digest) => digest.maybe_repeat = true,
            _ => return false,
        }
        true
    }

    fn back_off(&mut self, now_ms: u64, least_ms: u64) {
        self.attempts = self.attempts.saturating_add(1);
        let backoff = 1_000_u64.saturating_mul(1 << self.attempts.min(10)).min(MAX_BACKOFF_MS);
        self.not_before_ms = now_ms + if least_ms > 0 { least_ms } else { backoff };
    }

    fn has_table(&self) -> bool {
        matches!(self.facts, Facts::Board(_))
    }

    /// Makes sense of a row that another process left: a claimed post may be visible, a claimed edit may have been made,
    /// or may still arrive. And what is visible on another channel is not visible on the one where it shall be now: `target`
    /// is the kind, `home` the channel as configured today; `None`: nothing asks for it any more.
    pub(crate) fn recover(&mut self, now_ms: u64, target: &str, home: Option<&str>, policy: &Policy) {
        self.not_before_ms = now_ms;
        self.attempts = 0;
        match self.phase {
            Phase::Posting { .. } => self.phase = Phase::Unknown { since_ms: now_ms, reads: 0 },
            Phase::Unknown { .. } => self.phase = Phase::Unknown { since_ms: now_ms, reads: 0 },
            Phase::Editing { .. } => {
                self.phase = Phase::Live;
                self.look_later_than_another(now_ms, policy);
            }
            Phase::Live if self.check_at_ms.is_some() => self.look_later_than_another(now_ms, policy),
            Phase::Absent | Phase::Live | Phase::Gone => {}
        }
        let channel = home.unwrap_or(&self.channel).to_owned();
        if self.target.is_empty() {
            self.channel = channel;
        } else if self.target != target || self.channel != channel {
            self.move_to(target, channel, now_ms);
            if home.is_none() && self.applied.is_none() {
                self.phase = Phase::Gone;
            }
        }
        if !policy.can_find && matches!(self.phase, Phase::Unknown { .. }) {
            self.phase = Phase::Absent;
        }
    }

    fn move_to(&mut self, target: &str, channel: String, now_ms: u64) {
        let from = std::mem::replace(&mut self.target, target.to_owned());
        let from_channel = std::mem::replace(&mut self.channel, channel);
        let applied = self.applied.take();
        let unseen = applied.is_none() && self.phase == Phase::Absent;
        if applied.is_some() || matches!(self.phase, Phase::Unknown { .. }) {
            self.parked.retain(|parked| !parked.is_of(&from, &from_channel));
            self.parked.push(Parked {
                target: from,
                applied,
                first_claim_wall_ms: self.first_claim_wall_ms,
                last_claim_wall_ms: self.last_claim_wall_ms,
                channel: from_channel,
            });
            let surplus = self.parked.len().saturating_sub(MAX_PARKED);
            self.parked.drain(..surplus);
        }
        self.twins.clear();
        self.check_at_ms = None;
        self.fixed = false;
        self.form = super::Form::DataTable;
        self.first_claim_wall_ms = 0;
        self.last_claim_wall_ms = 0;
        if let Some(index) = self.parked.iter().position(|parked| parked.is_of(target, &self.channel)) {
            let parked = self.parked.swap_remove(index);
            self.phase = match &parked.applied {
                Some(_) => Phase::Live,
                None => Phase::Unknown { since_ms: now_ms, reads: 0 },
            };
            self.applied = parked.applied;
            self.first_claim_wall_ms = parked.first_claim_wall_ms;
            self.last_claim_wall_ms = parked.last_claim_wall_ms;
        } else if self.is_current() || unseen {
            // What is true now; and what was still to be said to anybody at all.
            self.phase = Phase::Absent;
        } else {
            self.phase = Phase::Gone;
        }
    }
}
