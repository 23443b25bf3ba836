//! Reading nights from the store, a page between two turns: alerts don't wait for it.

use std::collections::VecDeque;
use std::sync::Arc;

use ronda_domain::id::{SchedulerId, SchedulerKey};
use ronda_schemas::row::SchedulerRow;
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{HistoryEntry, HistoryQuery, Store};

use super::is_newer;
use super::load::Patience;
use crate::board::{Night, Window};
use crate::core::{Core, NightToRead};

/// Schedulers read between two turns, each with its history: alerts don't wait for a night to be read, nor for the schedulers of a
/// deployment.
const SCHEDULERS_A_TURN: usize = 100;
/// Most history entries of one scheduler read for one night.
const MAX_HISTORY: usize = 10_000;
/// Most entries and runs that the store looks at for one page of them.
const HISTORY_ROWS: usize = 5_000;

/// A night that is being read.
struct Reading {
    night: NightToRead,
    what: ToRead,
}

/// Which schedulers are still to be read.
enum ToRead {
    /// All of the tenant's, after this one.
    All { after: Option<SchedulerId> },
    /// Those that changed.
    These(VecDeque<SchedulerKey>),
}

/// The nights that are being read.
pub(super) struct Nights {
    store: Arc<dyn Store>,
    patience: Patience,
    reading: VecDeque<Reading>,
}

impl Nights {
    pub(super) fn new(store: Arc<dyn Store>, patience: Patience) -> Self {
        Self { store, patience, reading: VecDeque::new() }
    }

    /// Whether there is something to read, so that the next turn need not wait.
    pub(super) fn is_reading(&self) -> bool {
        !self.reading.is_empty()
    }

    /// Forgets what was to be read for a shard.
    pub(super) fn forget(&mut self, core: &Core, shard: u32) {
        self.reading.retain(|reading| core.shard_of_board(reading.night.board) != Some(shard));
    }

    /// Takes in which nights are to be read, and reads the next schedulers.
    ///
    /// # Errors
    /// Which shard's night can't be read, and why.
    pub(super) async fn read_on(&mut self, core: &mut Core) -> Result<(), (u32, StoreError)> {
        let nights = core.take_nights_to_read();
        self.reading.extend(nights.into_iter().map(|night| Reading { night, what: ToRead::All { after: None } }));
        let reloads = core.take_reloads().into_iter();
        self.reading.extend(reloads.map(|(night, keys)| Reading { night, what: ToRead::These(keys.into()) }));
        let mut left = SCHEDULERS_A_TURN;
        while left > 0
            && let Some(mut reading) = self.reading.pop_front()
        {
            let Some(shard) = core.shard_of_board(reading.night.board) else { continue };
            match self.read_some(core, &mut reading, &mut left).await.map_err(|error| (shard, error))? {
                Some(true) => core.all_read(&reading.night),
                Some(false) => self.reading.push_front(reading),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads some of a night's schedulers; whether these were the last. `None`: not wanted any more.
    async fn read_some(
        &self,
        core: &mut Core,
        reading: &mut Reading,
        left: &mut usize,
    ) -> Result<Option<bool>, StoreError> {
        let Some((rows, is_last)) = self.next_rows(core, reading, left).await? else { return Ok(None) };
        let (board, window) = (reading.night.board, &reading.night.window);
        for row in rows {
            let Some(history) = self.history(&row, window).await? else { return Ok(None) };
            core.read(board, window, &row, history.as_deref());
            self.patience.health.beat();
        }
        Ok(Some(is_last))
    }

    /// The next schedulers of a night, at most so many, and whether these are the last; `None`: not wanted any more.
    async fn next_rows(
        &self,
        core: &Core,
        reading: &mut Reading,
        left: &mut usize,
    ) -> Result<Option<(Vec<SchedulerRow>, bool)>, StoreError> {
        match &mut reading.what {
            ToRead::All { after } => {
                let Some(board) = core.board(reading.night.board) else { return Ok(Some((Vec::new(), true))) };
                let next = || self.store.schedulers(&board.tenant, after.as_ref(), *left);
                let Some(page) = self.patience.wait_for(next).await? else { return Ok(None) };
                let is_last = page.len() < *left;
                *left -= page.len().min(*left);
                *after = page.last().map(|row| row.key.scheduler.clone());
                Ok(Some((page, is_last)))
            }
            ToRead::These(keys) => {
                let mut rows = Vec::new();
                while *left > 0
                    && let Some(key) = keys.pop_front()
                {
                    *left -= 1;
                    let read = || self.store.scheduler(key.tenant.as_str(), key.scheduler.as_str());
                    let Some(row) = self.patience.wait_for(read).await? else { return Ok(None) };
                    rows.extend(row);
                }
                Ok(Some((rows, keys.is_empty())))
            }
        }
    }

    /// A scheduler's history of a night; `Some(None)`: it can't be read.
    async fn history(
        &self,
        row: &SchedulerRow,
        window: &Window,
    ) -> Result<Option<Option<Vec<HistoryEntry>>>, StoreError> {
        // A table shows the last run of each entry.
        let mut query = HistoryQuery {
            from: Night::history_from(window, row),
            until: window.end,
            after: None,
            limit: MAX_HISTORY,
            runs_each: 1,
            max_rows: HISTORY_ROWS,
        };
        let mut entries = Vec::new();
        loop {
            match self.patience.wait_for(|| self.store.history(&row.key, &query)).await {
                Ok(None) => return Ok(None),
                Ok(Some(page)) => {
                    query.limit = query.limit.saturating_sub(page.entries.len());
                    entries.extend(page.entries);
                    query.after = page.next;
                }
                Err(error) if error.kind == StoreErrorKind::Unreadable && !is_newer(&error) => {
                    metrics::counter!("ronda_notifier_unreadable_rows_total").increment(1);
                    tracing::error!(scheduler = %row.key.scheduler, error = %error, "a history can't be read; its night will not be called clear");
                    return Ok(Some(None));
                }
                Err(error) => return Err(error),
            }
            if query.after.is_none() || query.limit == 0 {
                return Ok(Some(Some(entries)));
            }
            self.patience.health.beat();
        }
    }
}
