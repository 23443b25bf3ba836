//! The core with store and channel: commits what it claims before it calls, and what it learns after.

use std::sync::Arc;
use std::time::Duration;

use ronda_domain::id::{SchedulerId, SchedulerKey};
use ronda_queue::Token;
use ronda_runtime::CancellationToken;
use ronda_schemas::row::SchedulerRow;
use ronda_store::error::StoreError;
use ronda_store::port::{HistoryEntry, HistoryQuery, Store};
use tokio::sync::{mpsc, watch};

use super::NotifierError;
use super::source::Batches;
use crate::board::Window;
use crate::channel::{Channel, ChannelError};
use crate::config::Config;
use crate::core::{Call, Core, LoadingNight, NightToLoad, Request};
use crate::intake::Now;
use crate::shard::Shard;
use crate::status::NotifierStatus;
use crate::surface::Outcome;

/// Rows read at once.
const PAGE: usize = 500;
/// Most history entries of one scheduler read for one night.
const MAX_HISTORY: usize = 10_000;
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

struct Progress {
    /// Settles what was taken in since the last commit.
    taken_in: Option<Token>,
    committed: watch::Sender<Option<Token>>,
}

/// See the module.
pub(super) struct Engine {
    core: Core,
    store: Arc<dyn Store>,
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
        cancel: &CancellationToken,
    ) -> Result<Option<Self>, NotifierError> {
        let mut loaded = Vec::new();
        for id in 0..shards {
            let Some(shard) = patiently(cancel, || load_shard(store.as_ref(), id)).await? else { return Ok(None) };
            loaded.push(shard?);
        }
        let progress = (0..shards).map(|_| Progress { taken_in: None, committed: watch::Sender::new(None) }).collect();
        let mut core = Core::new(config, channel.kind(), channel.pacing(), loaded);
        core.recover(now);
        let mut engine = Self {
            core,
            store,
            channel,
            progress,
            done,
            in_flight: 0,
            next_meta_ms: 0,
            next_check_ms: Some(0),
            connected: None,
            identity: None,
            check_error: None,
        };
        for night in engine.core.nights_left(now) {
            if engine.load_night(night, cancel).await?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(engine))
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
                None => self.core.skip(delivered.shard, *position),
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
    pub(super) async fn turn(&mut self, now: Now, cancel: &CancellationToken) -> Result<(), NotifierError> {
        for night in self.core.nights_to_open(now) {
            self.load_night(night, cancel).await?;
        }
        for (board, key, window) in self.core.take_reloads() {
            self.reload(board, &key, &window, cancel).await?;
        }
        self.core.tick(now);
        let mut calls = Vec::new();
        while let Some(call) = self.core.next_call(now) {
            calls.push(call);
        }
        self.commit(now, false, cancel).await?;
        if cancel.is_cancelled() && !calls.is_empty() {
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
            tokio::spawn(async move {
                let answer = channel.check().await;
                let _ = done.send(Done::Check(answer)).await;
            });
        }
    }

    /// Makes everything durable that changed; cursor and clocks alone only now and then, unless `all`.
    pub(super) async fn commit(
        &mut self,
        now: Now,
        all: bool,
        cancel: &CancellationToken,
    ) -> Result<(), NotifierError> {
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
                    Err(error) if error.retryable && !cancel.is_cancelled() => {
                        tracing::warn!(shard = id, error = %error, "the notifier's rows could not be committed; trying again");
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

    async fn load_night(
        &mut self,
        night: NightToLoad,
        cancel: &CancellationToken,
    ) -> Result<Option<()>, NotifierError> {
        let Some(board) = self.core.board(night.board).cloned() else { return Ok(Some(())) };
        let query = query(&night.window);
        let mut loading = LoadingNight::new(night);
        let mut after: Option<SchedulerId> = None;
        loop {
            let store = self.store.as_ref();
            let Some(page) = patiently(cancel, || store.schedulers(&board.tenant, after.as_ref(), PAGE)).await? else {
                return Ok(None);
            };
            let full = page.len() >= PAGE;
            after = page.last().map(|row| row.key.scheduler.clone());
            for row in page {
                let Some(history) = patiently(cancel, || store.history(&row.key, &query)).await? else {
                    return Ok(None);
                };
                loading.take_in(&board, &row, &history);
            }
            if !full {
                break;
            }
        }
        self.core.begin_night(loading);
        Ok(Some(()))
    }

    async fn reload(
        &mut self,
        board: usize,
        key: &SchedulerKey,
        window: &Window,
        cancel: &CancellationToken,
    ) -> Result<(), NotifierError> {
        let store = self.store.as_ref();
        let read = || async {
            let row = store.scheduler(key.tenant.as_str(), key.scheduler.as_str()).await?;
            let history = store.history(key, &query(window)).await?;
            Ok(row.map(|row| (row, history)))
        };
        let found: Option<Option<(SchedulerRow, Vec<HistoryEntry>)>> = patiently(cancel, read).await?;
        if let Some(Some((row, history))) = found {
            self.core.reload(board, window, &row, &history);
        }
        Ok(())
    }
}

fn query(window: &Window) -> HistoryQuery {
    HistoryQuery { from: window.start, until: window.end, after: None, limit: MAX_HISTORY }
}

async fn load_shard(store: &dyn Store, id: u32) -> Result<Result<Shard, NotifierError>, StoreError> {
    let epoch = store.acquire_shard(id).await?;
    let mut shard = Shard::new(id, epoch);
    let mut after: Option<String> = None;
    loop {
        let page = store.surfaces(id, "", after.as_deref(), PAGE).await?;
        let full = page.len() >= PAGE;
        for (key, row) in &page {
            if let Err(error) = shard.load_row(key, row) {
                return Ok(Err(error.into()));
            }
        }
        after = page.into_iter().next_back().map(|(key, _)| key);
        if !full {
            return Ok(Ok(shard));
        }
    }
}

/// Tries until it succeeds, fails for good, or is cancelled (`None`).
async fn patiently<T, F, Fut>(cancel: &CancellationToken, mut attempt: F) -> Result<Option<T>, NotifierError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    loop {
        match attempt().await {
            Ok(value) => return Ok(Some(value)),
            Err(error) if error.retryable => {
                tracing::warn!(error = %error, "the store can't be asked; trying again");
                tokio::select! {
                    () = cancel.cancelled() => return Ok(None),
                    () = tokio::time::sleep(error.retry_after.unwrap_or(PAUSE)) => {}
                }
            }
            Err(error) => return Err(NotifierError::Store(error)),
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
