//! Surfaces: what one visible message should look like now, and what is there.

mod about;
#[cfg(test)]
mod codec_tests;
mod facts;
mod machine;
#[cfg(test)]
mod machine_tests;
mod own;
mod waits;

use ronda_schemas::codec::{DecodeError, Versioned};
use serde::{Deserialize, Serialize};

pub(crate) use facts::{
    AdminFacts, AlertEnd, AlertFacts, AlertTone, BlindFacts, BoardFacts, BoardRow, Care, Counts, DigestEntry,
    DigestFacts, Doubts, Facts, Later, NightChange, ReplyFacts, ReplyWhat, SummaryFacts, Worse,
};
pub(crate) use machine::{Outcome, Policy, Work};
pub(crate) use own::{Called, Former, KeptBack, KeptBy, Late, Own};
pub(crate) use waits::{Telling, Wait};

/// What the keys of surfaces begin with that show an alert in further channels.
pub(crate) const FURTHER_PREFIX: &str = "x/";

/// One surface, as kept and stored. Times named `_ms` without `wall` are monotonic and mean nothing after a restart:
/// [`recover`](Surface::recover) sets them anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Surface {
    /// Its name within the shard; rides along with the message.
    pub(crate) key: String,
    /// Where it shall be shown, as configured; together with `target` it is what `applied` and `phase` are about.
    pub(crate) channel: String,
    /// The surface that it is a reply to.
    pub(crate) parent: Option<String>,
    /// What it says now.
    pub(crate) facts: Facts,
    /// Goes up with every change of `facts`.
    pub(crate) desired: u64,
    /// What is visible.
    pub(crate) applied: Option<Applied>,
    /// Where it is between the two.
    pub(crate) phase: Phase,
    /// How often it was posted anew because a lookup found nothing, or because a board was deleted.
    pub(crate) generation: u32,
    /// In which form it is written: lowered when the channel refuses one.
    pub(crate) form: Form,
    /// The kind of channel that `applied` and `phase` are about; empty until the first claim.
    pub(crate) target: String,
    /// What was visible on another channel, for when that one comes back.
    pub(crate) parked: Vec<Parked>,
    /// The digest that shows it in its place.
    pub(crate) folded_into: Option<String>,
    /// Whether it was deleted by a person and posted once more.
    pub(crate) recreated: bool,
    /// Messages to delete: late twins, and a reply that became a message of its own.
    pub(crate) twins: Vec<String>,
    /// Wall time of the first claim of a post, to look the message up by.
    pub(crate) first_claim_wall_ms: i64,
    /// Wall time of the last claim of a post.
    pub(crate) last_claim_wall_ms: i64,
    /// Wall time when it was made.
    pub(crate) created_wall_ms: i64,
    /// Wall time when it last changed: what retention goes by.
    pub(crate) touched_wall_ms: i64,
    /// No call before this.
    pub(crate) not_before_ms: u64,
    /// When to look again for twins and late edits.
    pub(crate) check_at_ms: Option<u64>,
    /// Failed attempts in a row, for back-off.
    pub(crate) attempts: u32,
    /// What is visible is still there and can't be changed any more.
    #[serde(default)]
    pub(crate) fixed: bool,
    /// What is true of this message alone.
    #[serde(default, skip_serializing_if = "Own::is_nothing")]
    pub(crate) own: Own,
    /// For what it waits until anybody is to see it: found anew after a start.
    #[serde(skip)]
    pub(crate) wait: Option<Wait>,
}

impl Versioned for Surface {
    const WHAT: &'static str = "surface";
    /// 3: how it went when it went well, and what is otherwise than in the night before. 4: what people said of it. 5: what a
    /// digest took in after its post, who looks after what is in it, and what is true of one message alone.
    const VERSION: u32 = 5;

    fn version(&self) -> u32 {
        if self.own.is_nothing() { self.facts.version() } else { 5 }
    }
}

/// What is visible of a surface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) revision: u64,
    pub(crate) channel: String,
    pub(crate) ts: String,
}

/// What is, or may be, visible of a surface on another channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parked {
    pub(crate) target: String,
    /// `None`: a post's fate was unknown, so it has to be looked up there.
    pub(crate) applied: Option<Applied>,
    /// Wall time of the first claim of a post there.
    #[serde(default)]
    pub(crate) first_claim_wall_ms: i64,
    /// Wall time of the last claim of a post there.
    #[serde(default)]
    pub(crate) last_claim_wall_ms: i64,
    /// Which channel of that kind, as configured then; empty in rows that knew only one.
    #[serde(default)]
    pub(crate) channel: String,
}

impl Parked {
    fn is_of(&self, target: &str, channel: &str) -> bool {
        self.target == target && (self.channel == channel || self.channel.is_empty())
    }
}

/// Where a surface is between desired and applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Not visible.
    Absent,
    /// A post is claimed: it may be on its way.
    Posting { fence: u64, revision: u64 },
    /// Visible; an edit may be due.
    Live,
    /// An edit is claimed.
    Editing { fence: u64, revision: u64 },
    /// A post may or may not be visible: to be looked up.
    Unknown { since_ms: u64, reads: u8 },
    /// Never to be shown (again).
    Gone,
}

/// The forms of a message, best first: what a channel refuses is sent in the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Form {
    /// Blocks; a table that can be paged and sorted.
    DataTable,
    /// Blocks; a plain table.
    Table,
    /// Blocks; a table in code blocks.
    Code,
    /// No blocks.
    Text,
}

impl Form {
    /// The next lower form of a message with, or without, a table.
    pub(crate) const fn lower(self, has_table: bool) -> Option<Self> {
        match self {
            Self::DataTable if has_table => Some(Self::Table),
            Self::Table if has_table => Some(Self::Code),
            Self::Text => None,
            _ => Some(Self::Text),
        }
    }
}

impl Surface {
    /// A surface that is not visible yet and may be posted from `not_before_ms` on.
    pub(crate) fn new(key: String, channel: String, facts: Facts, wall_ms: i64, not_before_ms: u64) -> Self {
        Self {
            key,
            channel,
            parent: None,
            facts,
            desired: 1,
            applied: None,
            phase: Phase::Absent,
            generation: 0,
            form: Form::DataTable,
            target: String::new(),
            parked: Vec::new(),
            folded_into: None,
            recreated: false,
            twins: Vec::new(),
            first_claim_wall_ms: 0,
            last_claim_wall_ms: 0,
            created_wall_ms: wall_ms,
            touched_wall_ms: wall_ms,
            not_before_ms,
            check_at_ms: None,
            attempts: 0,
            fixed: false,
            own: Own::default(),
            wait: None,
        }
    }

    /// Reads a row, of this release or an earlier one.
    pub(crate) fn of_row(row: &[u8]) -> Result<Self, DecodeError> {
        let mut surface = Self::decode(row)?;
        surface.adopt();
        Ok(surface)
    }

    /// Whether nothing will change it any more, so that it may be forgotten after its time.
    pub(crate) fn is_finished(&self) -> bool {
        match &self.facts {
            Facts::Alert(alert) => alert.ended.is_some(),
            Facts::Board(board) => board.closed.is_some(),
            Facts::Digest(digest) => digest.ended() >= digest.total(),
            Facts::Reply(_) | Facts::Summary(_) | Facts::Blind(_) | Facts::Admin(_) => true,
        }
    }

    /// Whether it is to be shown anew on another channel: what is true now, not what is over.
    fn is_current(&self) -> bool {
        match &self.facts {
            Facts::Alert(alert) => alert.ended.is_none(),
            Facts::Board(board) => board.closed.is_none(),
            Facts::Digest(digest) => digest.ended() < digest.total(),
            Facts::Reply(_) | Facts::Summary(_) | Facts::Blind(_) | Facts::Admin(_) => false,
        }
    }
}
