//! Everything together, without I/O: batches in, calls out, outcomes in, writes out. Time comes with every call.

mod boards;
mod calls;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::tz::TimeZone;
use ronda_domain::id::SchedulerKey;
use ronda_schemas::event::{EventBatch, EventEnvelope};

use crate::board::Night;
use crate::channel::Pacing;
use crate::config::{Board, Config};
use crate::intake::{self, Now};
use crate::pace::Pace;
use crate::shard::Shard;
use crate::storm::{self, Storm};
use crate::surface::{Facts, Policy, Surface};

pub(crate) use boards::{LoadingNight, NightToLoad};
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
}

/// The notifier without its surroundings.
#[derive(Debug)]
pub(crate) struct Core {
    config: Arc<Config>,
    zone: TimeZone,
    target: &'static str,
    pub(crate) shards: Vec<Shard>,
    boards: Vec<BoardState>,
    pace: Pace,
    storm: Storm,
    next_forget_ms: u64,
    pub(crate) posts: u64,
    pub(crate) edits: u64,
    pub(crate) last_error: Option<String>,
}

impl Core {
    /// From loaded shards, in the order of their numbers.
    pub(crate) fn new(config: Arc<Config>, target: &'static str, pacing: Pacing, shards: Vec<Shard>) -> Self {
        let partitions = u32::try_from(shards.len()).unwrap_or(u32::MAX);
        let state = |board: &Board| {
            let shard = ronda_domain::id::partition_of(board.tenant.as_str(), "", partitions);
            let shard = usize::try_from(shard).unwrap_or(0);
            BoardState { board: board.clone(), shard, nights: Vec::new(), reloads: Vec::new() }
        };
        let boards = config.boards.iter().map(state).collect();
        let zone = crate::config::zone(&config.timezone).unwrap_or(TimeZone::UTC);
        Self {
            config,
            zone,
            target,
            shards,
            boards,
            pace: Pace::new(pacing),
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
            shard.recover(now.mono_ms, self.target, &policy);
        }
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

    /// Takes in that a message could not be read: it is passed over.
    pub(crate) fn skip(&mut self, shard_index: usize, position: Option<u64>) {
        if let Some(shard) = self.shards.get_mut(shard_index) {
            shard.pass(position);
        }
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

/// How patient to be with a surface.
fn policy(config: &Config, surface: Option<&Surface>) -> Policy {
    let board = surface
        .filter(|surface| matches!(surface.facts, Facts::Board(_)))
        .and_then(|surface| surface.key.split('/').nth(1))
        .and_then(|name| config.boards.iter().find(|board| board.name == name));
    Policy {
        reconcile_interval_ms: config.reconcile_interval_ms(),
        give_up_ms: config.reconcile_give_up_seconds.saturating_mul(1_000),
        board_interval_ms: board.map_or(10_000, |board| board.refresh_interval_seconds.max(10).saturating_mul(1_000)),
    }
}
