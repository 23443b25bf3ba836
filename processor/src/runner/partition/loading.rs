//! Taking a partition up: from the store's rows to a core.

use std::sync::Arc;
use std::time::Duration;

use ronda_domain::id::SchedulerKey;
use ronda_schemas::row::SchedulerRow;
use ronda_store::error::StoreError;
use ronda_store::port::{KeyStore, PartitionStore, Retention};
use tokio::task::JoinHandle;

use super::{MAX_REDELIVERED, Owner, SPARING_CLOCK_MS, Shared};
use crate::core::{MAX_HELD, PartitionCore, Step};
use crate::runner::pause::Stopwatch;
use crate::runner::{AbortOnDrop, ProcessorError, telemetry};

/// A page that took longer to come has a long way. The next one is larger then: the way is what takes the time.
const FAR: Duration = Duration::from_millis(4);
/// Rows of the largest page that this makes.
const MOST_ROWS: usize = 2_048;

/// A partition's rows, page after page. The next one is on its way while this one is taken in.
struct Pages<S: ?Sized> {
    shared: Arc<Shared<S>>,
    partition: u32,
    rows: usize,
    next: Option<AbortOnDrop<Page>>,
}

/// A page, and how long it took.
type Page = (Result<Vec<SchedulerRow>, StoreError>, Duration);

impl<S: PartitionStore + Retention + KeyStore + ?Sized + 'static> Pages<S> {
    fn begin(shared: Arc<Shared<S>>, partition: u32) -> Self {
        let rows = shared.config.load_rows;
        let mut pages = Self { shared, partition, rows, next: None };
        pages.ask(None);
        pages
    }

    fn ask(&mut self, after: Option<SchedulerKey>) {
        let (shared, partition, rows) = (Arc::clone(&self.shared), self.partition, self.rows);
        let read: JoinHandle<Page> = tokio::spawn(async move {
            let _turn = shared.beginning.acquire().await;
            let watch = Stopwatch::start();
            let read = shared.store.load(partition, shared.commands.partitions(), after.as_ref(), rows).await;
            (read, watch.elapsed())
        });
        self.next = Some(AbortOnDrop(read));
    }

    /// The next page; empty: the end.
    async fn next(&mut self) -> Result<Vec<SchedulerRow>, ProcessorError> {
        let Some(page) = &mut self.next else { return Ok(Vec::new()) };
        let (rows, took) = (&mut page.0).await.map_err(|_| ProcessorError::Panicked)?;
        let rows = rows?;
        if took > FAR {
            self.rows = self.rows.saturating_mul(2).min(MOST_ROWS.max(self.rows));
        }
        match rows.last() {
            Some(last) => self.ask(Some(last.key.clone())),
            None => self.next = None,
        }
        Ok(rows)
    }
}

impl<S: PartitionStore + Retention + KeyStore + ?Sized + 'static> Owner<S> {
    /// Takes the partition over and builds its core from the store; what may not have been published is published. Answers the core and
    /// the queue's position that it has come to.
    pub(super) async fn take_up(&mut self) -> Result<(PartitionCore, u64), ProcessorError> {
        let shared = Arc::clone(&self.shared);
        let (watch, partition) = (Stopwatch::start(), self.partition);
        let turn = shared.beginning.acquire().await;
        let row = shared.store.acquire(partition, shared.commands.partitions()).await?;
        self.proof.acquired();
        drop(turn);
        let acquired = watch.elapsed();
        let cursor = row.cursor;
        let mut core = PartitionCore::new(&row, shared.events.partitions(), shared.config.clone());
        if !shared.commands.capabilities().positions {
            core = core.counting(self.max_unsettled.min(MAX_REDELIVERED));
        }
        if shared.events.capabilities().linger.is_some() {
            core = core.sparing(SPARING_CLOCK_MS);
        }
        let mut pages = Pages::begin(shared, partition);
        loop {
            let rows = pages.next().await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                core.load(row);
                // Never more in memory than that and one row's: a partition that is taken up again and again would not get further.
                self.publish(core.recovered(MAX_HELD)).await?;
            }
            self.beat();
        }
        let loaded = watch.elapsed();
        let recovered = core.recover();
        self.send_recovered(&mut core, recovered).await?;
        self.confirm(&mut core).await?;
        telemetry::state(partition, &core);
        tracing::debug!(partition, schedulers = core.schedulers(), ?acquired, ?loaded, all = ?watch.elapsed(), "taken up");
        Ok((core, cursor))
    }

    /// Commits before anything is taken in. Had somebody acquired the partition since, rows that were loaded late might be that owner's, or
    /// gone with it, and what is derived from them, wrong; only a commit tells. It writes the rows that were found ahead of the cursor
    /// under this owner's epoch, too, and that what was recovered is published.
    async fn confirm(&mut self, core: &mut PartitionCore) -> Result<(), ProcessorError> {
        let Step { commit, publish, .. } = core.close();
        let commit = Arc::new(commit);
        // It comes no further by it: a partition that fails again and again is taken up ever more seldom all the same.
        self.try_commit(&commit).await?;
        core.committed();
        self.send(core, publish, &commit).await
    }
}
