//! The pure core of one partition: no clock, no I/O, no async.
//!
//! A commit holds what a run of deliveries changed. Its life: [`PartitionCore::step`] (or
//! [`take`](PartitionCore::take) again and again, then [`close`](PartitionCore::close)), publish what goes first, make the commit
//! durable, [`committed`](PartitionCore::committed), publish, [`published`](PartitionCore::published), next step. Events that are not out
//! soon are [held back](PartitionCore::hold), and commits go on. When one of these fails for good, the core is thrown away and built
//! again from the store.

mod blindness;
mod direct;
mod errors;
mod frames;
mod gateways;
mod incoming;
mod judging;
mod lateness;
mod load;
mod news;
mod outbox;
mod recent;
mod schedulers;
mod step;
mod timers;
mod told;
mod unpublished;
mod watermark;

use hashbrown::HashMap;
use ronda_domain::Effects;
use ronda_domain::time::Timestamp;
use ronda_schemas::direct::digest_of;
use ronda_schemas::event::EventBatch;
use ronda_schemas::row::PartitionRow;
use ronda_store::port::Commit;

use crate::config::Config;
use crate::dead_letter::DeadLetter;
use gateways::Gateways;
pub use incoming::{Access, Denied, Direct, Incoming};
use judging::Underway;
use lateness::Lateness;
use outbox::Announcer;
use recent::Recent;
use schedulers::{Schedulers, SlotId};
use step::Work;
use timers::Timers;
use told::Told;
pub(crate) use unpublished::MAX_HELD;
use unpublished::Unpublished;
pub(crate) use watermark::Held;

/// What came of some deliveries.
#[derive(Debug)]
pub struct Step {
    /// To be published before the commit, in this order, each with the event partition that it goes to: what rows can't carry.
    pub publish_first: Vec<(u32, EventBatch)>,
    /// To be made durable then.
    pub commit: Commit,
    /// To be published after the commit, as above; nothing while others are held back.
    pub publish: Vec<(u32, EventBatch)>,
    /// To be published before the commit: messages that could not be read.
    pub dead_letters: Vec<DeadLetter>,
    /// What there was, counted.
    pub counts: Counts,
}

impl Step {
    /// Whether nothing came of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let commit = &self.commit;
        commit.rows.is_empty()
            && commit.occurrences.is_empty()
            && commit.runs.is_empty()
            && commit.errors.is_empty()
            && self.publish_first.is_empty()
            && self.publish.is_empty()
    }
}

/// What there was in a step, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames applied.
    pub frames: u64,
    /// Frames dropped because they had been applied before.
    pub repeated_frames: u64,
    /// Commands applied.
    pub applied: u64,
    /// Commands refused.
    pub refused: u64,
    /// Times that a scheduler was judged.
    pub ticks: u64,
    /// Blind intervals found.
    pub blind_gaps: u64,
    /// Frames that were confirmed and never came.
    pub lost_frames: u64,
    /// Derived events.
    pub events: u64,
    /// Messages taken that were published directly.
    pub direct_messages: u64,
    /// Such messages passed over because they had been taken before.
    pub repeated_messages: u64,
    /// Errors of such messages that were not told, because there were too many.
    pub errors_left_out: u64,
    /// Dead letters of such messages that were not kept, because there were too many.
    pub letters_left_out: u64,
}

/// One partition's schedulers and clock.
pub struct PartitionCore {
    config: Config,
    partition: u32,
    partitions: u32,
    epoch: u64,
    cursor: u64,
    watermark: Timestamp,
    published: u64,
    /// The partition's row as the last commit that ended with a whole frame has it, without its events.
    last: PartitionRow,
    /// A frame that is only in part in the commits so far.
    underway: Option<Underway>,
    applied: u64,
    refused: u64,
    gateways: Gateways,
    late: Lateness,
    schedulers: Schedulers,
    timers: Timers,
    announcer: Announcer,
    unpublished: Unpublished,
    /// Rows found ahead of the cursor: what they hold already is skipped.
    ahead: HashMap<SlotId, u64>,
    /// Deleted schedulers whose events are published: their rows go with the next commit.
    removable: Vec<SlotId>,
    /// Deleted schedulers whose events go out with the commit under way.
    deleted: Vec<SlotId>,
    /// Slots freed once the commit under way is durable.
    freed: Vec<SlotId>,
    /// Direct messages that may come again though they are committed.
    recent: Recent,
    /// What was wrong with direct messages in this minute.
    told: Told,
    /// Names the places of this partition's queue, for messages that have no other name.
    place_source: u64,
    /// The first frame's wall clock, while that has not been taken.
    first_wall: Option<Timestamp>,
    /// The latest time that a direct message got before the first frame of all, as far as this owner or its rows know.
    made_up: Timestamp,
    /// Whether what comes next can't be taken, because there is no time yet.
    lacks_clock: bool,
    effects: Effects,
    work: Work,
}

impl PartitionCore {
    /// A core as its partition's row says, with no schedulers yet: [`load`](Self::load) them, then call
    /// [`recover`](Self::recover).
    #[must_use]
    pub fn new(row: &PartitionRow, event_partitions: u32, config: Config) -> Self {
        let gateways = Gateways::from_rows(&row.gateways, config.pulse_period_ms, config.gateway_silent_periods);
        let announcer = Announcer::new(row.partition, row.partitions, event_partitions, config.pulse_period_ms);
        let (mut work, mut unpublished) = (Work::default(), Unpublished::default());
        if !row.outbox.is_empty() {
            work.recovered.extend(row.outbox.iter().cloned());
            unpublished.keep(None, row.outbox.clone());
        }
        let direct = row.direct.as_deref().cloned().unwrap_or_default();
        let minute = if direct.told.is_empty() { Told::minute_of(row.watermark) } else { direct.minute };
        let told = Told::from_rows(config.direct_errors_per_minute, minute, &direct.told);
        let [place_source, _] = digest_of(&[b"place", &row.partition.to_be_bytes(), &row.partitions.to_be_bytes()]);
        Self {
            config,
            partition: row.partition,
            partitions: row.partitions,
            epoch: row.epoch,
            cursor: row.cursor,
            watermark: row.watermark,
            published: row.published,
            last: PartitionRow { outbox: Vec::new(), ..row.clone() },
            underway: None,
            applied: row.applied,
            refused: row.refused,
            gateways,
            late: Lateness::new(row.late.clone(), &row.late_tenants),
            schedulers: Schedulers::default(),
            timers: Timers::default(),
            announcer,
            unpublished,
            ahead: HashMap::new(),
            removable: Vec::new(),
            deleted: Vec::new(),
            freed: Vec::new(),
            recent: Recent::from_rows(&direct.recent),
            told,
            place_source,
            first_wall: None,
            made_up: Timestamp::MIN,
            lacks_clock: false,
            effects: Effects::new(),
            work,
        }
    }

    /// For a queue without positions: of its committed messages, so many may be delivered again.
    #[must_use]
    pub fn counting(mut self, redelivered: usize) -> Self {
        self.recent.remember(u64::try_from(redelivered).unwrap_or(u64::MAX).max(1));
        self
    }

    /// For an event queue that each message costs dear: the clock alone is told only when it comes past a multiple of so many
    /// milliseconds.
    #[must_use]
    pub fn sparing(mut self, clock_every_ms: u32) -> Self {
        self.announcer.spare(clock_every_ms);
        self
    }

    /// The epoch of the owner whose core it is.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Queue position of the last delivery that was applied.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Everything before this time has been judged.
    #[must_use]
    pub const fn watermark(&self) -> Timestamp {
        if self.underway.is_some() { self.last.watermark } else { self.watermark }
    }

    /// Whether the clock stands still because a gateway's is behind it.
    pub(crate) fn held(&self) -> Option<Held> {
        watermark::held(&self.gateways, self.watermark())
    }

    /// Whether the last step ended in the middle of a frame.
    #[must_use]
    pub const fn is_underway(&self) -> bool {
        self.underway.is_some()
    }

    /// How many schedulers it holds.
    #[must_use]
    pub fn schedulers(&self) -> usize {
        self.schedulers.len()
    }

    /// How many live gateways hold its clock.
    #[must_use]
    pub fn live_gateways(&self) -> usize {
        self.gateways.entries().iter().filter(|entry| entry.live).count()
    }

    /// How far the clocks of its live gateways are apart at least, in milliseconds.
    #[must_use]
    pub fn skew_ms(&self) -> i64 {
        self.gateways.skew_ms()
    }

    /// About how much memory it takes, in bytes, the heap included.
    #[must_use]
    pub fn memory_estimate(&self) -> usize {
        size_of::<Self>() + self.schedulers.memory_bytes() + self.timers.memory_bytes()
    }

    /// The step's commit is durable.
    pub fn committed(&mut self) {
        for id in std::mem::take(&mut self.freed) {
            self.schedulers.remove(id);
        }
    }

    /// The step's events are published, and whatever was held back before.
    pub fn published(&mut self) {
        if self.is_holding() {
            // Deleted in one commit, registered and deleted again in a later one.
            self.deleted.sort_unstable();
            self.deleted.dedup();
        }
        self.unpublished = Unpublished::default();
        self.published = self.last.cursor;
        self.removable.append(&mut self.deleted);
    }
}
