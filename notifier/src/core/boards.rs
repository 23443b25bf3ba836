//! Nights: opened by the wall clock, changed by events, closed by the partitions' clocks.

use ronda_domain::event::{EventKind, Lifecycle, Resolution};
use ronda_domain::id::SchedulerKey;
use ronda_domain::time::Timestamp;
use ronda_schemas::event::SchedulerEvent;
use ronda_schemas::row::SchedulerRow;
use ronda_store::port::HistoryEntry;

use super::Core;
use crate::board::{Former, Night, Window, board_key, board_prefix, summary_key, window_at};
use crate::config::Board;
use crate::hash::fnv64;
use crate::intake::Now;
use crate::shard::{Shard, fit_key};
use crate::surface::{BoardFacts, Doubts, Facts, ReplyFacts, ReplyWhat, Surface};

/// How long a closed night is kept for what comes late.
const KEEP_CLOSED_MS: i64 = 24 * 3_600_000;

/// A night of which all schedulers have to be read from the store, page by page: a tenant's history need not fit into memory.
#[derive(Clone, Debug)]
pub(crate) struct NightToRead {
    /// Which board: its tenant's schedulers are wanted.
    pub(crate) board: usize,
    /// Which night.
    pub(crate) window: Window,
}

impl Core {
    /// The board's settings.
    pub(crate) fn board(&self, index: usize) -> Option<&Board> {
        self.boards.get(index).map(|state| &state.board)
    }

    /// Which shard a board's night is kept in.
    pub(crate) fn shard_of_board(&self, index: usize) -> Option<u32> {
        self.boards.get(index).map(|state| state.shard)
    }

    /// Takes up the nights of a shard that was just taken up: open ones, to go on with or to finalise; closed ones for what comes
    /// late. And, with rows lost, no night that is open now is sure to be known.
    pub(super) fn wake_boards(&mut self, id: u32, now: Now) {
        let Some(shard) = self.shards.get(id) else { return };
        for state in self.boards.iter_mut().filter(|state| state.shard == id) {
            state.fall_asleep();
            let prefix = board_prefix(&state.board);
            for surface in shard.beginning_with(&prefix) {
                let Facts::Board(facts) = &surface.facts else { continue };
                if facts.closed.is_some() && facts.end.as_millis() + KEEP_CLOSED_MS < now.wall_ms {
                    continue;
                }
                let window = Window { date: facts.date.clone(), start: facts.start, end: facts.end };
                let doubts = Doubts { untracked: false, ..facts.doubts };
                let mut night = Night::new(window, facts.closed);
                night.doubts = doubts;
                state.begin(night);
            }
        }
        let unread_rows = shard.unread_rows;
        self.open_nights(now);
        for state in self.boards.iter_mut().filter(|state| state.shard == id) {
            for night in state.nights.iter_mut().filter(|night| night.closed.is_none()) {
                night.doubts.rows = night.doubts.rows.max(unread_rows);
            }
        }
    }

    /// Opens nights whose window is open now and that are not known yet. Of tenants whose shard is elsewhere somebody else does.
    pub(crate) fn open_nights(&mut self, now: Now) {
        for state in self.boards.iter_mut().filter(|state| self.shards.get(state.shard).is_some()) {
            let Some(window) = window_at(&state.board, Timestamp::from_millis(now.wall_ms)) else { continue };
            if state.nights.iter().all(|night| night.window.start != window.start) {
                state.begin(Night::new(window, None));
            }
        }
    }

    /// Nights to be read from the store: each scheduler goes to [`read`](Self::read), and then the end is told to
    /// [`all_read`](Self::all_read). Events are taken in meanwhile.
    pub(crate) fn take_nights_to_read(&mut self) -> Vec<NightToRead> {
        let boards = self.boards.iter_mut().enumerate();
        let nights = boards.flat_map(|(board, state)| {
            std::mem::take(&mut state.to_read).into_iter().map(move |window| NightToRead { board, window })
        });
        nights.collect()
    }

    /// Schedulers that changed, by the open night of which they have to be read anew; as with a whole night, the end is told to
    /// [`all_read`](Self::all_read).
    pub(crate) fn take_reloads(&mut self) -> Vec<(NightToRead, Vec<SchedulerKey>)> {
        let mut wanted = Vec::new();
        for (board, state) in self.boards.iter_mut().enumerate().filter(|(_, state)| !state.reloads.is_empty()) {
            let mut reloads = std::mem::take(&mut state.reloads);
            reloads.sort();
            reloads.dedup();
            for night in state.nights.iter_mut().filter(|night| night.closed.is_none()) {
                night.to_be_read += 1;
                wanted.push((NightToRead { board, window: night.window.clone() }, reloads.clone()));
            }
        }
        wanted
    }

    /// Takes in a scheduler that was read. Without a history, that could not be read.
    pub(crate) fn read(&mut self, board: usize, window: &Window, row: &SchedulerRow, history: Option<&[HistoryEntry]>) {
        let Some(state) = self.boards.get_mut(board) else { return };
        for night in state.nights.iter_mut().filter(|night| night.window == *window) {
            night.load(&state.board, row, history.unwrap_or_default());
            night.doubts.rows += u32::from(history.is_none());
        }
    }

    /// Takes in that a night's schedulers have all been read.
    pub(crate) fn all_read(&mut self, read: &NightToRead) {
        let Some(state) = self.boards.get_mut(read.board) else { return };
        for night in state.nights.iter_mut().filter(|night| night.window == read.window) {
            night.to_be_read = night.to_be_read.saturating_sub(1);
            night.changed = true;
        }
    }

    /// Something of a shard's open nights was lost on the way: what became of their schedulers is read from the store, but they
    /// are not called clear any more.
    pub(super) fn doubt_nights(&mut self, id: u32, now: Now) {
        for state in self.boards.iter_mut().filter(|state| state.shard == id) {
            let Some(shard) = self.shards.get_mut(id) else { return };
            for night in state.nights.iter_mut().filter(|night| night.closed.is_none()) {
                night.doubts.batches += 1;
                night.to_be_read += 1;
                state.to_read.push(night.window.clone());
                // Committed together with the cursor that passes over what was lost.
                shard.change(&board_key(&state.board, &night.window), |surface| {
                    let Facts::Board(facts) = &surface.facts else { return };
                    let facts = BoardFacts { doubts: night.doubts, ..(**facts).clone() };
                    surface.desire(Facts::Board(Box::new(facts)), now.wall_ms);
                });
            }
        }
    }

    pub(super) fn event_for_boards(&mut self, id: u32, event: &SchedulerEvent, now: Now) {
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
                self.lifecycle(id, event, *lifecycle);
                return;
            }
            EventKind::AlertResolved { .. }
            | EventKind::AlertAcknowledged { .. }
            | EventKind::Muted(_)
            | EventKind::Unmuted { .. } => return,
        };
        for state in self.boards.iter_mut().filter(|state| state.shard == id) {
            if state.board.tenant != event.key.tenant {
                continue;
            }
            for night in &mut state.nights {
                let late = night.apply(&state.board, &event.key.scheduler, &event.summary, change, at);
                if let Some(shard) = self.shards.get_mut(id)
                    && late
                {
                    let what = ReplyWhat::AfterTheEnd { change: change.clone(), at };
                    let facts = ReplyFacts { name: event.summary.name.clone(), what };
                    reply(shard, &board_key(&state.board, &night.window), &event.event.id, facts, now);
                }
            }
        }
    }

    fn lifecycle(&mut self, id: u32, event: &SchedulerEvent, lifecycle: Lifecycle) {
        for state in self.boards.iter_mut().filter(|state| state.shard == id) {
            if state.board.tenant != event.key.tenant || state.nights.is_empty() {
                continue;
            }
            match lifecycle {
                Lifecycle::Deleted => {
                    for night in &mut state.nights {
                        night.remove(&event.key.scheduler);
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
            let channel = self.config.channel_of(&state.board);
            let newest = state.nights.iter().map(|night| night.window.start).max();
            state.nights.retain(|night| {
                let newest = newest == Some(night.window.start);
                night.closed.is_none() || (newest && now.wall_ms < night.window.end.as_millis() + KEEP_CLOSED_MS)
            });
            let watermark = shard.least_watermark();
            for night in state.nights.iter_mut().filter(|night| night.to_be_read == 0) {
                refresh(shard, &state.board, channel, night, watermark, now);
            }
            // A night in which nothing was expected, and nothing happened, ends without a word.
            state.nights.retain(|night| {
                !night.is_empty()
                    || night.to_be_read > 0
                    || now.wall_ms < night.window.end.as_millis()
                    || shard.get(&board_key(&state.board, &night.window)).is_some()
            });
        }
    }
}

/// Brings a night's surfaces up to what is known of it.
fn refresh(shard: &mut Shard, board: &Board, channel: &str, night: &mut Night, watermark: Option<Timestamp>, now: Now) {
    let key = board_key(board, &night.window);
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
        let former = former_night(shard, board, &night.window);
        let summary = Facts::Summary(Box::new(night.summary(board, former.as_ref())));
        let key = summary_key(board, &night.window);
        shard.insert(Surface::new(key, channel.to_owned(), summary, now.wall_ms, now.mono_ms));
    }
    match known {
        None => {
            let former = former_night(shard, board, &night.window);
            let facts = Facts::Board(Box::new(night.facts(board, former.as_ref())));
            shard.insert(Surface::new(key, channel.to_owned(), facts, now.wall_ms, now.mono_ms));
            night.changed = false;
        }
        // Between two edits nothing is worked out.
        Some(not_before_ms) if closing || (night.changed && now.mono_ms >= not_before_ms) => {
            let former = former_night(shard, board, &night.window);
            let facts = Facts::Board(Box::new(night.facts(board, former.as_ref())));
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

/// The last night of a board before this one, while its table is remembered.
fn former_night(shard: &Shard, board: &Board, window: &Window) -> Option<Former> {
    let prefix = board_prefix(board);
    let tables = shard.beginning_with(&prefix).filter_map(|surface| match &surface.facts {
        Facts::Board(facts) if facts.start < window.start => Some(facts),
        _ => None,
    });
    Former::of(tables.max_by_key(|facts| facts.start)?)
}

fn reply(shard: &mut Shard, parent: &str, event_id: &str, facts: ReplyFacts, now: Now) {
    let Some(channel) = shard.get(parent).map(|surface| surface.channel.clone()) else { return };
    let key = fit_key(format!("r/{:016x}/{:016x}", fnv64(parent), fnv64(event_id) ^ fnv64(&facts.name)));
    let mut reply = Surface::new(key, channel, Facts::Reply(Box::new(facts)), now.wall_ms, now.mono_ms);
    reply.parent = Some(parent.to_owned());
    shard.insert(reply);
}
