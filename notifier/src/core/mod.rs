//! Everything together, without I/O: batches in, calls out, outcomes in, writes out. Time comes with every call.

mod boards;
mod calls;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use ronda_domain::id::SchedulerKey;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::{EventBatch, EventEnvelope};

use crate::board::{Night, Window};
use crate::channel::Pacing;
use crate::config::{Board, Config};
use crate::intake::{self, Now};
use crate::pace::Pace;
use crate::shard::Shard;
use crate::storm::{self, Storm};
use crate::surface::{AdminFacts, Facts, Policy, Surface};

pub(crate) use boards::NightToRead;
pub(crate) use calls::{Call, Request};

/// How often finished surfaces are looked through for those past their time.
const FORGET_INTERVAL_MS: u64 = 60_000;

/// What a board is at.
#[derive(Debug)]
struct BoardState {
    board: Board,
    shard: usize,
    nights: Vec<Night>,
    /// Schedulers to be read anew from the store.
    reloads: Vec<SchedulerKey>,
    /// Nights of which all schedulers have to be read from the store.
    to_read: Vec<Window>,
}

impl BoardState {
    fn begin(&mut self, mut night: Night) {
        night.to_be_read += 1;
        self.to_read.push(night.window.clone());
        self.nights.push(night);
    }
}

/// The notifier without its surroundings.
#[derive(Debug)]
pub(crate) struct Core {
    config: Arc<Config>,
    zone: TimeZone,
    target: &'static str,
    /// Rides along with every message.
    installation: String,
    pub(crate) shards: Vec<Shard>,
    boards: Vec<BoardState>,
    pace: Pace,
    /// Surfaces that are being looked up: nothing else is done about them meanwhile.
    looked_up: BTreeSet<(usize, String)>,
    storm: Storm,
    next_forget_ms: u64,
    pub(crate) posts: u64,
    pub(crate) edits: u64,
    pub(crate) last_error: Option<String>,
}

impl Core {
    /// From loaded shards, in the order of their numbers.
    pub(crate) fn new(
        config: Arc<Config>,
        target: &'static str,
        installation: String,
        pacing: Pacing,
        shards: Vec<Shard>,
    ) -> Self {
        let partitions = u32::try_from(shards.len()).unwrap_or(u32::MAX);
        let state = |board: &Board| {
            let shard = ronda_domain::id::partition_of(board.tenant.as_str(), "", partitions);
            let shard = usize::try_from(shard).unwrap_or(0);
            BoardState { board: board.clone(), shard, nights: Vec::new(), reloads: Vec::new(), to_read: Vec::new() }
        };
        let boards = config.boards.iter().map(state).collect();
        let zone = crate::config::zone(&config.timezone).unwrap_or(TimeZone::UTC);
        Self {
            config,
            zone,
            target,
            installation,
            shards,
            boards,
            pace: Pace::new(pacing),
            looked_up: BTreeSet::new(),
            storm: Storm::default(),
            next_forget_ms: 0,
            posts: 0,
            edits: 0,
            last_error: None,
        }
    }

    /// Makes sense of what an earlier process left.
    pub(crate) fn recover(&mut self, now: Now) {
        let policy = policy(&self.config, None);
        for shard in &mut self.shards {
            shard.recover(now.mono_ms, self.target, &policy, |surface| home(&self.config, surface).map(str::to_owned));
        }
        for index in 0..self.shards.len() {
            self.own_up_to_unread_rows(index, now);
        }
    }

    /// Rows that can't be read are passed over, and that is not kept quiet.
    fn own_up_to_unread_rows(&mut self, index: usize, now: Now) {
        let Some(rows) = self.shards.get(index).map(|shard| shard.unread_rows).filter(|rows| *rows > 0) else { return };
        let at = Timestamp::from_millis(now.wall_ms);
        self.tell_admin(index, &format!("rows/{index}"), AdminFacts::UnreadableRows { rows, at }, now);
    }

    /// Takes in one event batch of a shard.
    pub(crate) fn ingest(&mut self, shard_index: usize, position: Option<u64>, batch: &EventBatch, now: Now) {
        for envelope in &batch.events {
            let Some(shard) = self.shards.get_mut(shard_index) else { return };
            if !shard.first_sight(&envelope.id()) {
                metrics::counter!("ronda_notifier_repeated_events_total").increment(1);
                continue;
            }
            metrics::counter!("ronda_notifier_events_total").increment(1);
            intake::take_in(shard, &self.config, envelope, now);
            if let EventEnvelope::Scheduler(event) = envelope {
                if let Some(key) = intake::alert_of(event) {
                    storm::follow(shard, &key, now);
                }
                self.event_for_boards(shard_index, event, now);
            }
        }
        if let Some(shard) = self.shards.get_mut(shard_index) {
            shard.advance(position, batch.source_partition, batch.source_partitions, batch.watermark);
        }
    }

    /// Takes in that a message could not be read: it is passed over. What it may have said of the open nights is read from the
    /// store, and what it may have said of alerts is lost, which the operator gets to know.
    pub(crate) fn skip(&mut self, shard_index: usize, position: Option<u64>, now: Now) {
        if let Some(shard) = self.shards.get_mut(shard_index) {
            shard.pass(position);
        }
        self.doubt_nights(shard_index, now);
        let partition = u32::try_from(shard_index).unwrap_or(u32::MAX);
        let facts = AdminFacts::UnreadableEvents { partition, at: Timestamp::from_millis(now.wall_ms) };
        self.tell_admin(shard_index, &format!("events/{partition}"), facts, now);
    }

    /// Does what time asks for: boards open, are refreshed and close; storms fold; the finished is forgotten.
    pub(crate) fn tick(&mut self, now: Now) {
        self.tick_boards(now);
        for shard in &mut self.shards {
            self.storm.fold(shard, &self.config, now);
        }
        if now.mono_ms >= self.next_forget_ms {
            self.next_forget_ms = now.mono_ms + FORGET_INTERVAL_MS;
            let before = now.wall_ms - i64::from(self.config.retention_days) * 86_400_000;
            for shard in &mut self.shards {
                let forgotten = shard.forget(before, self.config.max_surfaces);
                metrics::counter!("ronda_notifier_forgotten_surfaces_total")
                    .increment(u64::try_from(forgotten).unwrap_or(u64::MAX));
            }
        }
    }

    /// Surfaces that are not yet as they should be.
    pub(crate) fn backlog(&self) -> usize {
        self.shards.iter().map(Shard::active_len).sum()
    }
}

/// The board that a table or a summary is of.
fn board_of<'a>(config: &'a Config, surface: &Surface) -> Option<&'a Board> {
    let name = surface.key.split('/').nth(1)?;
    config.boards.iter().find(|board| board.name == name)
}

/// The channel that a surface belongs to as configured now; `None`: nothing asks for it any more.
fn home<'a>(config: &'a Config, surface: &Surface) -> Option<&'a str> {
    match &surface.facts {
        Facts::Board(_) | Facts::Summary(_) => board_of(config, surface).map(|board| config.channel_of(board)),
        Facts::Admin(_) => Some(config.channel_for_admin()),
        Facts::Alert(_) | Facts::Reply(_) | Facts::Blind(_) | Facts::Digest(_) => Some(&config.channel),
    }
}

/// How patient to be with a surface.
fn policy(config: &Config, surface: Option<&Surface>) -> Policy {
    let board = surface
        .filter(|surface| matches!(surface.facts, Facts::Board(_)))
        .and_then(|surface| board_of(config, surface));
    Policy {
        reconcile_interval_ms: config.reconcile_interval_ms(),
        give_up_ms: config.reconcile_give_up_seconds.saturating_mul(1_000),
        board_interval_ms: board.map_or(10_000, |board| board.refresh_interval_seconds.max(10).saturating_mul(1_000)),
    }
}
