//! Nights: opened by the wall clock, changed by events, closed by the partitions' clocks.

use ronda_domain::event::{EventKind, Lifecycle, Resolution};
use ronda_domain::id::SchedulerKey;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::SchedulerEvent;
use ronda_schemas::row::SchedulerRow;
use ronda_store::port::HistoryEntry;

use super::{BoardState, Core};
use crate::board::{Night, Window, board_key, summary_key, window_at};
use crate::config::Board;
use crate::hash::fnv64;
use crate::intake::Now;
use crate::shard::{Shard, fit_key};
use crate::surface::{Facts, ReplyFacts, ReplyWhat, Surface};

/// How long a closed night is kept for what comes late.
const KEEP_CLOSED_MS: i64 = 24 * 3_600_000;

/// A night that has to be read from the store.
#[derive(Clone, Debug)]
pub(crate) struct NightToLoad {
    /// Which board.
    pub(crate) board: usize,
    /// Its tenant's schedulers are wanted, with their history of this window.
    pub(crate) window: Window,
    closed: Option<Timestamp>,
}

/// A night that is being read from the store, one scheduler at a time: a tenant's history need not fit into memory.
#[derive(Debug)]
pub(crate) struct LoadingNight {
    board: usize,
    night: Night,
}

impl LoadingNight {
    /// Nothing has been read yet.
    pub(crate) fn new(to_load: NightToLoad) -> Self {
        Self { board: to_load.board, night: Night::new(to_load.window, to_load.closed) }
    }

    /// Takes in one scheduler.
    pub(crate) fn take_in(&mut self, board: &Board, row: &SchedulerRow, history: &[HistoryEntry]) {
        self.night.load(board, row, history);
    }
}

impl Core {
    /// The board's settings.
    pub(crate) fn board(&self, index: usize) -> Option<&Board> {
        self.boards.get(index).map(|state| &state.board)
    }

    /// Nights that an earlier process left: open ones, to go on with or to finalise; closed ones for what comes late.
    pub(crate) fn nights_left(&self, now: Now) -> Vec<NightToLoad> {
        let mut nights = Vec::new();
        for (index, state) in self.boards.iter().enumerate() {
            let Some(shard) = self.shards.get(state.shard) else { continue };
            let prefix = board_key(&state.board, "");
            for surface in shard.surfaces().filter(|surface| surface.key.starts_with(&prefix)) {
                let Facts::Board(facts) = &surface.facts else { continue };
                if facts.closed.is_some() && facts.end.as_millis() + KEEP_CLOSED_MS < now.wall_ms {
                    continue;
                }
                let window = Window { date: facts.date.clone(), start: facts.start, end: facts.end };
                nights.push(NightToLoad { board: index, window, closed: facts.closed });
            }
        }
        nights
    }

    /// Nights whose window is open now and that are not known yet.
    pub(crate) fn nights_to_open(&self, now: Now) -> Vec<NightToLoad> {
        let at = Timestamp::from_millis(now.wall_ms);
        let missing = |(index, state): (usize, &BoardState)| {
            let window = window_at(&state.board, at)?;
            let known = state.nights.iter().any(|night| night.window.date == window.date);
            (!known).then_some(NightToLoad { board: index, window, closed: None })
        };
        self.boards.iter().enumerate().filter_map(missing).collect()
    }

    /// Begins, or goes on with, a night whose schedulers have all been read.
    pub(crate) fn begin_night(&mut self, loading: LoadingNight) {
        let Some(state) = self.boards.get_mut(loading.board) else { return };
        state.nights.retain(|known| known.window.date != loading.night.window.date);
        state.nights.push(loading.night);
    }

    /// Schedulers that changed and have to be read anew, each with the board and the window that ask for it.
    pub(crate) fn take_reloads(&mut self) -> Vec<(usize, SchedulerKey, Window)> {
        let mut wanted = Vec::new();
        for (index, state) in self.boards.iter_mut().enumerate() {
            let mut reloads = std::mem::take(&mut state.reloads);
            reloads.sort();
            reloads.dedup();
            for key in reloads {
                let open = state.nights.iter().filter(|night| night.closed.is_none());
                wanted.extend(open.map(|night| (index, key.clone(), night.window.clone())));
            }
        }
        wanted
    }

    /// Takes in a scheduler that was read anew.
    pub(crate) fn reload(&mut self, board: usize, window: &Window, row: &SchedulerRow, history: &[HistoryEntry]) {
        let Some(state) = self.boards.get_mut(board) else { return };
        for night in state.nights.iter_mut().filter(|night| night.window == *window) {
            night.load(&state.board, row, history);
        }
    }

    pub(super) fn event_for_boards(&mut self, shard_index: usize, event: &SchedulerEvent, now: Now) {
        let at = event.event.at;
        let change = match &event.event.kind {
            EventKind::Changed(change)
            | EventKind::AlertOpened { cause: change, .. }
            | EventKind::AlertChanged { cause: change, .. }
            | EventKind::AlertResolved {
                resolution: Resolution::Recovered { by: change } | Resolution::CompletedLate { by: change },
                ..
            } => change,
            EventKind::Lifecycle(lifecycle) => {
                self.lifecycle(shard_index, event, *lifecycle);
                return;
            }
            EventKind::AlertResolved { .. } => return,
        };
        for state in self.boards.iter_mut().filter(|state| state.shard == shard_index) {
            if state.board.tenant != event.key.tenant {
                continue;
            }
            for night in &mut state.nights {
                let late = night.apply(&state.board, &event.key.scheduler, &event.summary, change, at);
                if let Some(shard) = self.shards.get_mut(shard_index)
                    && late
                {
                    let what = ReplyWhat::AfterTheEnd { change: change.clone(), at };
                    let facts = ReplyFacts { name: event.summary.name.clone(), what };
                    reply(shard, &board_key(&state.board, &night.window.date), &event.event.id, facts, now);
                }
            }
        }
    }

    fn lifecycle(&mut self, shard_index: usize, event: &SchedulerEvent, lifecycle: Lifecycle) {
        for state in self.boards.iter_mut().filter(|state| state.shard == shard_index) {
            if state.board.tenant != event.key.tenant || state.nights.is_empty() {
                continue;
            }
            match lifecycle {
                Lifecycle::Deleted => {
                    for night in &mut state.nights {
                        night.stop_expecting(&event.key.scheduler, Timestamp::MIN);
                    }
                }
                Lifecycle::Registered | Lifecycle::Updated | Lifecycle::Paused | Lifecycle::Resumed => {
                    state.reloads.push(event.key.clone());
                }
            }
        }
    }

    pub(super) fn tick_boards(&mut self, now: Now) {
        for state in &mut self.boards {
            let Some(shard) = self.shards.get_mut(state.shard) else { continue };
            let channel = state.board.channel.as_ref().unwrap_or(&self.config.channel);
            let dates: Vec<String> = state.nights.iter().map(|night| night.window.date.clone()).collect();
            state.nights.retain(|night| {
                let newest = dates.iter().max() == Some(&night.window.date);
                night.closed.is_none() || (newest && now.wall_ms < night.window.end.as_millis() + KEEP_CLOSED_MS)
            });
            let watermark = shard.least_watermark();
            for night in &mut state.nights {
                refresh(shard, &state.board, channel, night, watermark, now);
            }
            // A night in which nothing was expected, and nothing happened, ends without a word.
            state.nights.retain(|night| {
                !night.is_empty()
                    || now.wall_ms < night.window.end.as_millis()
                    || shard.get(&board_key(&state.board, &night.window.date)).is_some()
            });
        }
    }
}

/// Brings a night's surfaces up to what is known of it.
fn refresh(shard: &mut Shard, board: &Board, channel: &str, night: &mut Night, watermark: Option<Timestamp>, now: Now) {
    let key = board_key(board, &night.window.date);
    let known = shard.get(&key).map(|surface| surface.not_before_ms);
    if night.is_empty() && known.is_none() {
        return;
    }
    let closing = night.closed.is_none()
        && watermark.is_some_and(|watermark| {
            (night.changed || watermark >= night.window.end) && night.is_over(watermark, board.closing_grace_seconds)
        });
    if closing {
        night.closed = watermark;
        let summary = Facts::Summary(Box::new(night.summary(board)));
        let key = summary_key(board, &night.window.date);
        shard.insert(Surface::new(key, channel.to_owned(), summary, now.wall_ms, now.mono_ms));
    }
    match known {
        None => {
            let facts = Facts::Board(Box::new(night.facts(board)));
            shard.insert(Surface::new(key, channel.to_owned(), facts, now.wall_ms, now.mono_ms));
            night.changed = false;
        }
        // Between two edits nothing is worked out.
        Some(not_before_ms) if closing || (night.changed && now.mono_ms >= not_before_ms) => {
            let facts = Facts::Board(Box::new(night.facts(board)));
            shard.change(&key, |surface| {
                surface.desire(facts, now.wall_ms);
                if closing {
                    surface.not_before_ms = now.mono_ms;
                }
            });
            night.changed = false;
        }
        Some(_) => {}
    }
}

fn reply(shard: &mut Shard, parent: &str, event_id: &str, facts: ReplyFacts, now: Now) {
    let Some(channel) = shard.get(parent).map(|surface| surface.channel.clone()) else { return };
    let key = fit_key(format!("r/{:016x}/{:016x}", fnv64(parent), fnv64(event_id) ^ fnv64(&facts.name)));
    let mut reply = Surface::new(key, channel, Facts::Reply(Box::new(facts)), now.wall_ms, now.mono_ms);
    reply.parent = Some(parent.to_owned());
    shard.insert(reply);
}
