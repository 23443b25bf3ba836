//! The core with store and channel: commits what it claims before it calls, and what it learns after.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ronda_domain::id::{SchedulerId, SchedulerKey};
use ronda_queue::Token;
use ronda_runtime::{CancellationToken, Component};
use ronda_schemas::codec::{DecodeError, Versioned};
use ronda_schemas::row::SchedulerRow;
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::port::{HistoryEntry, HistoryQuery, Store, SurfaceWrite};
use tokio::sync::{mpsc, watch};

use super::source::Batches;
use super::{NotifierError, is_newer};
use crate::board::{Night, Window};
use crate::channel::{Channel, ChannelError};
use crate::config::Config;
use crate::core::{Call, Core, NightToRead, Request};
use crate::intake::Now;
use crate::shard::{INSTALLATION_ROW, Installation, Shard};
use crate::status::NotifierStatus;
use crate::surface::Outcome;

/// Rows read at once.
const PAGE: usize = 500;
/// Schedulers read between two turns, each with its history: alerts don't wait for a night to be read, nor for the schedulers of a
/// deployment.
const SCHEDULERS_A_TURN: usize = 100;
/// Most history entries of one scheduler read for one night.
const MAX_HISTORY: usize = 10_000;
/// Most entries and runs that the store looks at for one page of them.
const HISTORY_ROWS: usize = 5_000;
/// Pause after a failed store call that may succeed later.
const PAUSE: Duration = Duration::from_millis(500);
/// How long cursor and clocks alone may stay uncommitted, in milliseconds.
const META_INTERVAL_MS: u64 = 2_000;
/// Pause between two questions whether our credentials are good, until they are, in milliseconds.
const CHECK_INTERVAL_MS: u64 = 60_000;

/// What a task of ours came back with.
#[derive(Debug)]
pub(super) enum Done {
    Call(Box<Call>, Result<Outcome, ChannelError>),
    Check(Result<String, ChannelError>),
}

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

struct Progress {
    /// Settles what was taken in since the last commit.
    taken_in: Option<Token>,
    committed: watch::Sender<Option<Token>>,
}

/// See the module.
pub(super) struct Engine {
    core: Core,
    config: Arc<Config>,
    store: Arc<dyn Store>,
    patience: Patience,
    reading: VecDeque<Reading>,
    channel: Arc<dyn Channel>,
    progress: Vec<Progress>,
    done: mpsc::Sender<Done>,
    in_flight: usize,
    next_meta_ms: u64,
    next_check_ms: Option<u64>,
    connected: Option<bool>,
    identity: Option<String>,
    check_error: Option<String>,
}

impl Engine {
    /// Becomes the owner of all shards and reads what is kept of them; `None` when cancelled meanwhile.
    pub(super) async fn load(
        config: Arc<Config>,
        store: Arc<dyn Store>,
        channel: Arc<dyn Channel>,
        shards: u32,
        now: Now,
        done: mpsc::Sender<Done>,
        patience: Patience,
    ) -> Result<Option<Self>, NotifierError> {
        let mut loaded = Vec::new();
        for id in 0..shards {
            let load = || load_shard(store.as_ref(), id);
            let Some(shard) = patience.wait_for(load).await? else { return Ok(None) };
            loaded.push(shard?);
        }
        let first = loaded.first().map(|shard| (shard.epoch, shard.installation.clone()));
        let installation = match first {
            Some((epoch, None)) => {
                let made = new_installation()?;
                let row = made.encode()?;
                let save = || {
                    let write = SurfaceWrite { key: INSTALLATION_ROW.to_owned(), row: Some(row.clone()) };
                    store.commit_surfaces(0, epoch, vec![write])
                };
                if patience.wait_for(save).await?.is_none() {
                    return Ok(None);
                }
                made.0
            }
            Some((_, Some(known))) => known,
            None => String::new(),
        };
        let progress = (0..shards).map(|_| Progress { taken_in: None, committed: watch::Sender::new(None) }).collect();
        let mut core = Core::new(Arc::clone(&config), channel.kind(), installation, channel.pacing(), loaded);
        core.recover(now);
        core.recover_nights(now);
        Ok(Some(Self {
            core,
            config,
            store,
            patience,
            reading: VecDeque::new(),
            channel,
            progress,
            done,
            in_flight: 0,
            next_meta_ms: 0,
            next_check_ms: Some(0),
            connected: None,
            identity: None,
            check_error: None,
        }))
    }

    /// What each shard's reader needs: its number, where it goes on, and what it may settle.
    pub(super) fn readers(&mut self) -> Vec<(usize, u64, watch::Receiver<Option<Token>>)> {
        let shards = self.core.shards.iter().zip(&self.progress).enumerate();
        shards.map(|(index, (shard, progress))| (index, shard.meta.cursor, progress.committed.subscribe())).collect()
    }

    pub(super) const fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn status(&self) -> NotifierStatus {
        NotifierStatus {
            channel: self.channel.kind(),
            connected: self.connected,
            identity: self.identity.clone(),
            last_error: self.core.last_error.clone().or_else(|| self.check_error.clone()),
            posts: self.core.posts,
            edits: self.core.edits,
            backlog: self.core.backlog(),
        }
    }

    /// Takes in what a partition delivered.
    pub(super) fn take_in(&mut self, delivered: &Batches, now: Now) {
        for (position, batch) in &delivered.batches {
            match batch {
                Some(batch) => self.core.ingest(delivered.shard, *position, batch, now),
                None => self.core.skip(delivered.shard, *position, now),
            }
        }
        if let Some(progress) = self.progress.get_mut(delivered.shard) {
            progress.taken_in = Some(delivered.token);
        }
    }

    /// Takes in what a task came back with.
    pub(super) fn finish(&mut self, done: Done, now: Now) {
        match done {
            Done::Call(call, outcome) => {
                self.in_flight = self.in_flight.saturating_sub(1);
                self.core.settle(&call, outcome, now);
            }
            Done::Check(Ok(identity)) => {
                self.connected = Some(true);
                self.identity = Some(identity);
                self.check_error = None;
            }
            Done::Check(Err(error)) => {
                tracing::error!(error = %error, "the channel does not accept us");
                self.connected = Some(false);
                self.check_error = Some(error.to_string());
                self.next_check_ms = Some(now.mono_ms + CHECK_INTERVAL_MS);
            }
        }
    }

    /// One round: nights are opened, time is told, claims are committed and called.
    pub(super) async fn turn(&mut self, now: Now) -> Result<(), NotifierError> {
        self.core.open_nights(now);
        let nights = self.core.take_nights_to_read();
        self.reading.extend(nights.into_iter().map(|night| Reading { night, what: ToRead::All { after: None } }));
        let reloads = self.core.take_reloads().into_iter();
        self.reading.extend(reloads.map(|(night, keys)| Reading { night, what: ToRead::These(keys.into()) }));
        self.read_on().await?;
        self.core.tick(now);
        let mut calls = Vec::new();
        while let Some(call) = self.core.next_call(now) {
            calls.push(call);
        }
        self.commit(now, false).await?;
        if self.patience.cancel.is_cancelled() && !calls.is_empty() {
            // The claims may not be committed, so nothing is sent; the next start sorts it out.
            return Ok(());
        }
        for call in calls {
            self.in_flight += 1;
            let (channel, done) = (Arc::clone(&self.channel), self.done.clone());
            tokio::spawn(async move {
                let outcome = carry_out(channel.as_ref(), call.request.clone()).await;
                // Nobody listens any more: the process is ending, and the claim is committed.
                let _ = done.send(Done::Call(Box::new(call), outcome)).await;
            });
        }
        self.check(now);
        Ok(())
    }

    fn check(&mut self, now: Now) {
        if self.next_check_ms.is_some_and(|at| now.mono_ms >= at) {
            self.next_check_ms = None;
            let (channel, done) = (Arc::clone(&self.channel), self.done.clone());
            let channels = self.config.channels();
            tokio::spawn(async move {
                let answer = channel.check(&channels).await;
                let _ = done.send(Done::Check(answer)).await;
            });
        }
    }

    /// Makes everything durable that changed; cursor and clocks alone only now and then, unless `all`.
    pub(super) async fn commit(&mut self, now: Now, all: bool) -> Result<(), NotifierError> {
        let meta_due = all || now.mono_ms >= self.next_meta_ms;
        if meta_due {
            self.next_meta_ms = now.mono_ms + META_INTERVAL_MS;
        }
        for (shard, progress) in self.core.shards.iter_mut().zip(&mut self.progress) {
            if !(shard.has_changes() || (meta_due && shard.has_news())) {
                continue;
            }
            let (id, epoch) = (shard.id, shard.epoch);
            let writes = shard.take_writes()?;
            loop {
                match self.store.commit_surfaces(id, epoch, writes.clone()).await {
                    Ok(()) => break,
                    Err(error) if error.retryable && !self.patience.cancel.is_cancelled() => {
                        tracing::warn!(shard = id, error = %error, "the notifier's rows could not be committed; trying again");
                        self.patience.health.beat();
                        tokio::time::sleep(error.retry_after.unwrap_or(PAUSE)).await;
                    }
                    Err(error) => return Err(NotifierError::store(id, error)),
                }
            }
            if let Some(token) = progress.taken_in.take() {
                progress.committed.send_replace(Some(token));
            }
        }
        Ok(())
    }

    /// Whether there is something to read, so that the next turn need not wait.
    pub(super) fn is_reading(&self) -> bool {
        !self.reading.is_empty()
    }

    /// Reads the next schedulers of the nights.
    async fn read_on(&mut self) -> Result<(), NotifierError> {
        let mut left = SCHEDULERS_A_TURN;
        while left > 0
            && let Some(mut reading) = self.reading.pop_front()
        {
            let Some((rows, is_last)) = self.next_rows(&mut reading, &mut left).await? else { return Ok(()) };
            let (board, window) = (reading.night.board, &reading.night.window);
            for row in rows {
                let Some(history) = self.history(&row, window).await? else { return Ok(()) };
                self.core.read(board, window, &row, history.as_deref());
                self.patience.health.beat();
            }
            if is_last {
                self.core.all_read(&reading.night);
            } else {
                self.reading.push_front(reading);
            }
        }
        Ok(())
    }

    /// The next schedulers of a night, at most so many, and whether these are the last; `None`: cancelled.
    async fn next_rows(
        &self,
        reading: &mut Reading,
        left: &mut usize,
    ) -> Result<Option<(Vec<SchedulerRow>, bool)>, NotifierError> {
        match &mut reading.what {
            ToRead::All { after } => {
                let Some(board) = self.core.board(reading.night.board) else { return Ok(Some((Vec::new(), true))) };
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
    ) -> Result<Option<Option<Vec<HistoryEntry>>>, NotifierError> {
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
                Err(NotifierError::Store(error)) if error.kind == StoreErrorKind::Unreadable && !is_newer(&error) => {
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

fn new_installation() -> Result<Installation, NotifierError> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| NotifierError::Random { message: error.to_string() })?;
    Ok(Installation(bytes.iter().map(|byte| format!("{byte:02x}")).collect()))
}

async fn load_shard(store: &dyn Store, id: u32) -> Result<Result<Shard, NotifierError>, StoreError> {
    let epoch = store.acquire_shard(id).await?;
    let mut shard = Shard::new(id, epoch);
    let mut after: Option<String> = None;
    loop {
        let page = store.surfaces(id, "", after.as_deref(), PAGE).await?;
        let full = page.len() >= PAGE;
        for (key, row) in &page {
            match shard.load_row(key, row) {
                Ok(()) => {}
                Err(error @ DecodeError::NewerVersion { .. }) => return Ok(Err(error.into())),
                Err(error) => {
                    metrics::counter!("ronda_notifier_unreadable_rows_total").increment(1);
                    tracing::error!(shard = id, row = %key, error = %error, "a row can't be read and is passed over");
                    shard.unread_rows += 1;
                }
            }
        }
        after = page.into_iter().next_back().map(|(key, _)| key);
        if !full {
            return Ok(Ok(shard));
        }
    }
}

/// How the store is waited for: until it answers, fails for good, or we are cancelled.
#[derive(Clone)]
pub(super) struct Patience {
    pub(super) cancel: CancellationToken,
    /// Told that we make progress also while the store makes us wait: a restart would not cure that.
    pub(super) health: Component,
}

impl Patience {
    /// `None`: cancelled.
    async fn wait_for<T, F, Fut>(&self, mut attempt: F) -> Result<Option<T>, NotifierError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        loop {
            match attempt().await {
                Ok(value) => return Ok(Some(value)),
                Err(error) if error.retryable => {
                    tracing::warn!(error = %error, "the store can't be asked; trying again");
                    self.health.beat();
                    tokio::select! {
                        () = self.cancel.cancelled() => return Ok(None),
                        () = tokio::time::sleep(error.retry_after.unwrap_or(PAUSE)) => {}
                    }
                }
                Err(error) => return Err(NotifierError::Store(error)),
            }
        }
    }
}

async fn carry_out(channel: &dyn Channel, request: Request) -> Result<Outcome, ChannelError> {
    match request {
        Request::Post(request) => channel.post(request).await.map(Outcome::Posted),
        Request::Update(request) => channel.update(request).await.map(|()| Outcome::Edited),
        Request::Find(request) => channel.find(request).await.map(Outcome::Found),
        Request::Delete { channel: place, ts } => channel.delete(&place, &ts).await.map(|()| Outcome::Deleted),
    }
}
