//! Everything together, without I/O: batches in, calls out, outcomes in, writes out. Time comes with every call.

mod boards;
mod calls;
mod shards;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use ronda_domain::id::SchedulerKey;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::{EventBatch, EventEnvelope};

use crate::board::{Night, Window, board_prefix};
use crate::config::{Board, Config};
use crate::intake::{self, Further, Now};
use crate::manners::Manners;
use crate::pace::Pace;
use crate::render::Voice;
use crate::shard::Shard;
use crate::storm::{self, Storm};
use crate::surface::{AdminFacts, Facts, Policy, Surface};

pub(crate) use boards::NightToRead;
pub(crate) use calls::{Call, Request};
pub(crate) use shards::Shards;

/// How often finished surfaces are looked through for those past their time.
const FORGET_INTERVAL_MS: u64 = 60_000;

/// What a board is at.
#[derive(Debug)]
struct BoardState {
    board: Board,
    /// Where its tenant's events come. While that is not one of ours the board is asleep: it has no nights.
    shard: u32,
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

    fn fall_asleep(&mut self) {
        self.nights.clear();
        self.reloads.clear();
        self.to_read.clear();
    }
}

/// The notifier without its surroundings.
#[derive(Debug)]
pub(crate) struct Core {
    config: Arc<Config>,
    manners: Manners,
    /// Rides along with every message: until it is known nothing is sent.
    installation: Option<String>,
    pub(crate) shards: Shards,
    boards: Vec<BoardState>,
    pace: Pace,
    /// Surfaces that are being looked up: nothing else is done about them meanwhile.
    looked_up: BTreeSet<(u32, String)>,
    storm: Storm,
    next_forget_ms: u64,
    pub(crate) posts: u64,
    pub(crate) edits: u64,
    pub(crate) last_error: Option<String>,
}

impl Core {
    /// Without shards yet, of an event queue with so many partitions.
    pub(crate) fn new(config: Arc<Config>, manners: Manners, partitions: u32) -> Self {
        let state = |board: &Board| {
            let shard = ronda_domain::id::partition_of(board.tenant.as_str(), "", partitions);
            BoardState { board: board.clone(), shard, nights: Vec::new(), reloads: Vec::new(), to_read: Vec::new() }
        };
        let boards = config.boards.iter().map(state).collect();
        Self {
            config,
            installation: None,
            shards: Shards::default(),
            boards,
            pace: Pace::new(manners.clone()),
            manners,
            looked_up: BTreeSet::new(),
            storm: Storm::default(),
            next_forget_ms: 0,
            posts: 0,
            edits: 0,
            last_error: None,
        }
    }

    /// The installation's name, once it is known.
    pub(crate) fn installation(&self) -> Option<&str> {
        self.installation.as_deref()
    }

    /// Takes in which installation this is.
    pub(crate) fn name(&mut self, installation: String) {
        self.installation = Some(installation);
    }

    /// Takes up a shard that was acquired and loaded: makes sense of what another process, or an earlier one, left.
    pub(crate) fn take_up(&mut self, mut shard: Shard, now: Now) {
        if let Some(name) = &shard.installation {
            self.installation = Some(name.clone());
        }
        let policy = policy(&self.config, &self.manners, None);
        let further = Further::of(&shard);
        shard.recover(now.mono_ms, &self.manners, &policy, |surface| home(&self.config, &further, surface));
        intake::show_anew(&mut shard, &self.config, now);
        let id = shard.id;
        self.shards.insert(shard);
        self.own_up_to_unread_rows(id, now);
        self.wake_boards(id, now);
    }

    /// Begins no call for a shard any more; those under way may still be settled.
    pub(crate) fn begin_nothing_for(&mut self, id: u32) {
        if let Some(shard) = self.shards.get_mut(id) {
            shard.is_leaving = true;
        }
    }

    /// Forgets a shard and everything that is kept because of it.
    pub(crate) fn let_go(&mut self, id: u32) {
        self.shards.remove(id);
        self.boards.iter_mut().filter(|state| state.shard == id).for_each(BoardState::fall_asleep);
        self.looked_up.retain(|(shard, _)| *shard != id);
        self.storm.forget(id);
    }

    /// Rows that can't be read are passed over, and that is not kept quiet.
    fn own_up_to_unread_rows(&mut self, id: u32, now: Now) {
        let Some(rows) = self.shards.get(id).map(|shard| shard.unread_rows).filter(|rows| *rows > 0) else { return };
        let at = Timestamp::from_millis(now.wall_ms);
        self.tell_admin(id, &format!("rows/{id}"), AdminFacts::UnreadableRows { rows, at }, now);
    }

    /// Takes in one event batch of a shard.
    pub(crate) fn ingest(&mut self, id: u32, position: Option<u64>, batch: &EventBatch, now: Now) {
        for envelope in &batch.events {
            let Some(shard) = self.shards.get_mut(id) else { return };
            if !shard.first_sight(&envelope.id()) {
                metrics::counter!("ronda_notifier_repeated_events_total").increment(1);
                continue;
            }
            metrics::counter!("ronda_notifier_events_total").increment(1);
            intake::take_in(shard, &self.config, &self.manners, envelope, now);
            if let EventEnvelope::Scheduler(event) = envelope {
                for key in intake::alerts_of(shard, event) {
                    storm::follow(shard, &key, &event.event, now);
                }
                self.event_for_boards(id, event, now);
            }
        }
        if let Some(shard) = self.shards.get_mut(id) {
            shard.advance(position, batch.source_partition, batch.source_partitions, batch.watermark);
        }
    }

    /// Takes in that a message could not be read: it is passed over. What it may have said of the open nights is read from the
    /// store, and what it may have said of alerts is lost, which the operator gets to know.
    pub(crate) fn skip(&mut self, id: u32, position: Option<u64>, now: Now) {
        if let Some(shard) = self.shards.get_mut(id) {
            shard.pass(position);
        }
        self.doubt_nights(id, now);
        let facts = AdminFacts::UnreadableEvents { partition: id, at: Timestamp::from_millis(now.wall_ms) };
        self.tell_admin(id, &format!("events/{id}"), facts, now);
    }

    /// Does what time asks for: boards open, are refreshed and close; storms fold; the finished is forgotten.
    pub(crate) fn tick(&mut self, now: Now) {
        self.tick_boards(now);
        for shard in self.shards.iter_mut() {
            intake::release(shard, &self.config, now);
        }
        self.look_through(now);
        for shard in self.shards.iter_mut() {
            self.storm.fold(shard, &self.config, &self.manners, now);
        }
        if now.mono_ms >= self.next_forget_ms {
            self.next_forget_ms = now.mono_ms + FORGET_INTERVAL_MS;
            let before = now.wall_ms - i64::from(self.config.retention_days) * 86_400_000;
            for shard in self.shards.iter_mut() {
                let forgotten = shard.forget(before, self.config.max_surfaces);
                metrics::counter!("ronda_notifier_forgotten_surfaces_total")
                    .increment(u64::try_from(forgotten).unwrap_or(u64::MAX));
            }
        }
    }

    /// Surfaces that are not yet as they should be; not those that are to wait.
    pub(crate) fn backlog(&self) -> usize {
        self.shards.iter().map(Shard::backlog).sum()
    }

    /// When the next surface has waited long enough, if nothing happens before; monotonic, in milliseconds.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.shards.iter().filter_map(Shard::next_due_ms).min()
    }
}

/// The board that a table or a summary is of.
fn board_of<'a>(config: &'a Config, surface: &Surface) -> Option<&'a Board> {
    let name = surface.key.split('/').nth(1)?;
    config.boards.iter().find(|board| board.name == name)
}

/// The channel that a surface belongs to as configured now; `None`: nothing asks for it any more.
fn home(config: &Config, further: &Further, surface: &Surface) -> Option<String> {
    let channel = match &surface.facts {
        Facts::Board(_) | Facts::Summary(_) => config.channel_of(board_of(config, surface)?),
        Facts::Admin(_) => config.channel_for_admin(),
        Facts::Alert(alert) => return further.home(config, surface, alert),
        // Of the alerts of one channel, wherever it is still one of alerts.
        Facts::Digest(_) if config.is_for_alerts(&surface.channel) => &surface.channel,
        Facts::Digest(_) | Facts::Reply(_) | Facts::Blind(_) => &config.channel,
    };
    Some(channel.to_owned())
}

/// How a surface is told: a board's table, its summary and what stands below them as the board says, all else as the notifier does.
pub(crate) fn voice(config: &Config, surface: &Surface) -> Voice {
    let key = surface.parent.as_deref().unwrap_or(&surface.key);
    let board = match &surface.facts {
        Facts::Board(_) | Facts::Summary(_) => board_of(config, surface),
        Facts::Reply(_) => config.boards.iter().find(|board| key.starts_with(&board_prefix(board))),
        _ => None,
    };
    let zone = board.map_or(&config.timezone, |board| &board.timezone);
    Voice {
        language: board.and_then(|board| board.language).unwrap_or(config.language),
        zone: crate::config::zone(zone).unwrap_or(TimeZone::UTC),
        details_url: config.details_url.as_deref().map(Into::into),
        interactive: config.interactive,
    }
}

/// How patient to be with a surface.
fn policy(config: &Config, manners: &Manners, surface: Option<&Surface>) -> Policy {
    let can_find = surface.is_none_or(|surface| manners.of(&surface.channel).capabilities.can_find);
    let board = surface
        .filter(|surface| matches!(surface.facts, Facts::Board(_)))
        .and_then(|surface| board_of(config, surface));
    Policy {
        reconcile_interval_ms: config.reconcile_interval_ms(),
        give_up_ms: config.reconcile_give_up_seconds.saturating_mul(1_000),
        board_interval_ms: board.map_or(10_000, |board| board.refresh_interval_seconds.max(10).saturating_mul(1_000)),
        can_find,
    }
}
