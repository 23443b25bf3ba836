//! Reading nights from the store, a page between two turns: alerts don't wait for it, nor for a store that can't be asked about them.

use std::collections::VecDeque;
use std::sync::Arc;

use ronda_domain::id::{SchedulerId, SchedulerKey};
use ronda_runtime::Component;
use ronda_schemas::row::SchedulerRow;
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{HistoryEntry, HistoryQuery, SchedulerReads};
use tokio::time::Instant;

use super::is_newer;
use super::load::PAUSE;
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
    /// Schedulers that were read, and whose history is still to be.
    rows: VecDeque<SchedulerRow>,
}

/// Which schedulers are still to be read.
enum ToRead {
    /// All of the tenant's, after this one.
    All { after: Option<SchedulerId> },
    /// Those that changed.
    These(VecDeque<SchedulerKey>),
    /// None any more.
    Nothing,
}

/// The nights that are being read.
pub(super) struct Nights {
    store: Arc<dyn SchedulerReads>,
    health: Component,
    reading: VecDeque<Reading>,
    /// The store can't be asked: nothing is read before this.
    rests_until: Option<Instant>,
}

impl Nights {
    pub(super) fn new(store: Arc<dyn SchedulerReads>, health: Component) -> Self {
        Self { store, health, reading: VecDeque::new(), rests_until: None }
    }

    /// Whether there is something to read, so that the next turn need not wait.
    pub(super) fn is_reading(&self) -> bool {
        !self.reading.is_empty() && !self.is_resting()
    }

    fn is_resting(&self) -> bool {
        self.rests_until.is_some_and(|until| Instant::now() < until)
    }

    /// Forgets what was to be read for a shard.
    pub(super) fn forget(&mut self, core: &Core, shard: u32) {
        self.reading.retain(|reading| core.shard_of_board(reading.night.board) != Some(shard));
    }

    /// Takes in which nights are to be read, and reads the next schedulers. What can't be read now is tried again a little later, after what
    /// else there is to read.
    ///
    /// # Errors
    /// Which shard's night can't be read at all, and why.
    pub(super) async fn read_on(&mut self, core: &mut Core) -> Result<(), (u32, StoreError)> {
        let reading = |night, what| Reading { night, what, rows: VecDeque::new() };
        let nights = core.take_nights_to_read();
        self.reading.extend(nights.into_iter().map(|night| reading(night, ToRead::All { after: None })));
        let reloads = core.take_reloads().into_iter();
        self.reading.extend(reloads.map(|(night, keys)| reading(night, ToRead::These(keys.into()))));
        let mut left = SCHEDULERS_A_TURN;
        while left > 0
            && !self.is_resting()
            && let Some(mut reading) = self.reading.pop_front()
        {
            let Some(shard) = core.shard_of_board(reading.night.board) else { continue };
            match self.read_some(core, &mut reading, &mut left).await {
                Ok(()) if reading.rows.is_empty() && matches!(reading.what, ToRead::Nothing) => {
                    core.all_read(&reading.night);
                }
                Ok(()) => self.reading.push_front(reading),
                Err(error) if error.retryable => {
                    tracing::warn!(shard, error = %error, "a night can't be read now; trying again");
                    self.rests_until = Some(Instant::now() + error.retry_after.unwrap_or(PAUSE));
                    self.reading.push_back(reading);
                }
                Err(error) => return Err((shard, error)),
            }
        }
        Ok(())
    }

    /// Reads some of a night's schedulers. After an error it goes on where it was.
    async fn read_some(&self, core: &mut Core, reading: &mut Reading, left: &mut usize) -> Result<(), StoreError> {
        if reading.rows.is_empty() {
            self.read_rows(core, reading, left).await?;
        }
        let (board, window) = (reading.night.board, &reading.night.window);
        while *left > 0
            && let Some(row) = reading.rows.front()
        {
            let history = self.history(row, window).await?;
            core.read(board, window, row, history.as_deref());
            self.health.beat();
            reading.rows.pop_front();
            *left -= 1;
        }
        Ok(())
    }

    /// Reads the rows of a night's next schedulers, at most as many as are left; those that are gone count at once.
    async fn read_rows(&self, core: &Core, reading: &mut Reading, left: &mut usize) -> Result<(), StoreError> {
        match &mut reading.what {
            ToRead::All { after } => {
                if let Some(board) = core.board(reading.night.board) {
                    let page = self.store.schedulers(&board.tenant, after.as_ref(), *left).await?;
                    *after = page.last().map(|row| row.key.scheduler.clone());
                    let is_last = page.len() < *left;
                    reading.rows = page.into();
                    if !is_last {
                        return Ok(());
                    }
                }
                reading.what = ToRead::Nothing;
            }
            ToRead::These(keys) => {
                while reading.rows.len() < *left
                    && let Some(key) = keys.front()
                {
                    match self.store.scheduler(key.tenant.as_str(), key.scheduler.as_str()).await? {
                        Some(row) => reading.rows.push_back(row),
                        None => *left -= 1,
                    }
                    keys.pop_front();
                }
                if keys.is_empty() {
                    reading.what = ToRead::Nothing;
                }
            }
            ToRead::Nothing => {}
        }
        Ok(())
    }

    /// A scheduler's history of a night; `None`: it can't be read.
    async fn history(&self, row: &SchedulerRow, window: &Window) -> Result<Option<Vec<HistoryEntry>>, StoreError> {
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
            match self.store.history(&row.key, &query).await {
                Ok(page) => {
                    query.limit = query.limit.saturating_sub(page.entries.len());
                    entries.extend(page.entries);
                    query.after = page.next;
                }
                Err(error) if error.kind == StoreErrorKind::Unreadable && !is_newer(&error) => {
                    metrics::counter!("ronda_notifier_unreadable_rows_total").increment(1);
                    tracing::error!(scheduler = %row.key.scheduler, error = %error, "a history can't be read; its night will not be called clear");
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
            if query.after.is_none() || query.limit == 0 {
                return Ok(Some(entries));
            }
            self.health.beat();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use async_trait::async_trait;
    use parking_lot::Mutex;
    use ronda_domain::id::TenantId;
    use ronda_runtime::Health;
    use ronda_schemas::row::{ErrorRow, PartitionRow};
    use ronda_store::port::{ErrorCursor, HistoryPage};

    use super::*;
    use crate::channel::{Capabilities, Manner, Pacing};
    use crate::config::{Board, Config};
    use crate::intake::Now;
    use crate::manners::Manners;
    use crate::shard::Shard;

    /// 01:00 on 24 November 2026 in Jakarta.
    const IN_THE_NIGHT: i64 = 1_795_453_200_000 + 3_600_000;

    /// A store with three schedulers that can't be asked in some of its calls.
    #[derive(Default)]
    struct Away {
        /// Which of its calls fail, counted from 0.
        fails: BTreeSet<usize>,
        calls: Mutex<Vec<String>>,
    }

    impl Away {
        fn call(&self, what: &str) -> Result<(), StoreError> {
            let mut calls = self.calls.lock();
            calls.push(what.to_owned());
            if !self.fails.contains(&(calls.len() - 1)) {
                return Ok(());
            }
            let mut error = StoreError::new(StoreErrorKind::Unavailable, "it is away");
            error.retry_after = Some(Duration::from_millis(1));
            Err(error)
        }
    }

    fn row(id: &str) -> SchedulerRow {
        let key = SchedulerKey { tenant: TenantId::new("acme").unwrap(), scheduler: SchedulerId::new(id).unwrap() };
        SchedulerRow { key, state: None, epoch: 1, position: 1, outbox: Vec::new() }
    }

    #[async_trait]
    impl SchedulerReads for Away {
        async fn partition(&self, _: u32) -> Result<Option<PartitionRow>, StoreError> {
            unreachable!("not asked for")
        }

        async fn scheduler(&self, _: &str, _: &str) -> Result<Option<SchedulerRow>, StoreError> {
            unreachable!("not asked for")
        }

        async fn schedulers(
            &self,
            _: &TenantId,
            _: Option<&SchedulerId>,
            _: usize,
        ) -> Result<Vec<SchedulerRow>, StoreError> {
            self.call("schedulers").map(|()| ["a", "b", "c"].map(row).into())
        }

        async fn history(&self, key: &SchedulerKey, _: &HistoryQuery) -> Result<HistoryPage, StoreError> {
            self.call(key.scheduler.as_str()).map(|()| HistoryPage::default())
        }

        async fn errors(&self, _: &TenantId, _: Option<ErrorCursor>, _: usize) -> Result<Vec<ErrorRow>, StoreError> {
            unreachable!("not asked for")
        }

        async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
            unreachable!("not asked for")
        }
    }

    fn core() -> Core {
        let boards = vec![Board::nightly(TenantId::new("acme").unwrap())];
        let pacing = Pacing { post_interval: Duration::ZERO, edit_interval: Duration::ZERO };
        let manner = Manner { kind: "slack", pacing, capabilities: Capabilities::ALL, shares_limits: true };
        let manners = Manners::everywhere(manner);
        let mut core = Core::new(Arc::new(Config { boards, ..Config::default() }), manners, 1);
        core.take_up(Shard::new(0, 1), Now { wall_ms: IN_THE_NIGHT, mono_ms: 0 });
        core
    }

    #[tokio::test]
    async fn a_store_that_is_away_keeps_nothing_else_waiting_and_reading_goes_on_where_it_was() {
        let store = Arc::new(Away { fails: [0, 3].into(), ..Away::default() });
        let (mut core, health) = (core(), Health::new().component("notifier"));
        let mut nights = Nights::new(Arc::clone(&store) as _, health);
        nights.read_on(&mut core).await.unwrap();
        assert_eq!(*store.calls.lock(), ["schedulers"], "it is not asked again at once");
        while !nights.reading.is_empty() {
            nights.read_on(&mut core).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(*store.calls.lock(), ["schedulers", "schedulers", "a", "b", "b", "c"]);
        assert!(!nights.is_reading());
    }
}
