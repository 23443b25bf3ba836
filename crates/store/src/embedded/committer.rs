//! The one thread that writes: everybody who waits is written in one atomic batch with one wait for the disk.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::engine::Engine;
use super::fault::Failure;
use super::tables::Tables;
use super::transaction::{Changes, Seen, Transaction, WriteFailure};
use crate::error::{StoreError, StoreErrorKind};

/// Calls that may wait for the committer; more wait before it.
const QUEUE: usize = 1024;
/// Most calls in one group.
const GROUP_CALLS: usize = 512;
/// About how much one group may write, in bytes; a single larger call is written alone.
const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// How often a broken engine is opened anew at most.
const REOPEN_EVERY: Duration = Duration::from_secs(1);

/// What a call does within the group's batch; an error leaves nothing of it.
type Work<T> = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send>;

/// A call as the committer sees it.
trait Job: Send {
    fn size(&self) -> usize;
    fn frees_space(&self) -> bool;
    /// Does the work; whether its changes count.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> bool;
    /// Tells the caller, once the group is durable or has failed.
    fn finish(self: Box<Self>, outcome: Result<(), &Failure>);
}

struct Call<T> {
    size: usize,
    frees_space: bool,
    work: Option<Work<T>>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send> Job for Call<T> {
    fn size(&self) -> usize {
        self.size
    }

    fn frees_space(&self) -> bool {
        self.frees_space
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) -> bool {
        self.result = self.work.take().map(|work| work(transaction));
        matches!(self.result, Some(Ok(_)))
    }

    fn finish(self: Box<Self>, outcome: Result<(), &Failure>) {
        let answer = match (outcome, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(ended()),
            (Err(failure), _) => Err(failure.into()),
        };
        // A caller that no longer waits has made up its mind; the commit stands.
        let _ = self.reply.send(answer);
    }
}

/// The committer's handle; dropping it ends the thread after what waits has been written.
pub(super) struct Committer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(engine: Arc<Engine>) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("store-committer".into()).spawn(move || run(&engine, waiting))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does the work in the next group and answers when it is durable. `size`: about how many bytes it writes.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        size: usize,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.enqueue(size, false, Box::new(work)).await
    }

    /// The same for work that only removes, and so is let through on a nearly full disk.
    pub(super) async fn submit_removal<T: Send + 'static>(
        &self,
        size: usize,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.enqueue(size, true, Box::new(work)).await
    }

    /// Whether the thread is still there.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) { Err(ended()) } else { Ok(()) }
    }

    async fn enqueue<T: Send + 'static>(&self, size: usize, frees_space: bool, work: Work<T>) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let call = Call { size, frees_space, work: Some(work), result: None, reply };
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(Box::new(call)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's committer panicked");
        }
    }
}

fn ended() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the store's committer has ended: restart the process")
}

fn run(engine: &Engine, mut waiting: mpsc::Receiver<Box<dyn Job>>) {
    let mut broken: Option<Breakage> = None;
    let mut indexed = Seen::default();
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        fill(&mut group, &mut waiting);
        let tables = match ready(engine, &mut broken) {
            Ok(tables) => tables,
            Err(failure) => {
                group.into_iter().for_each(|job| job.finish(Err(&failure)));
                continue;
            }
        };
        if let Err(breakage) = write(engine, &tables, group, &mut indexed) {
            broken = Some(breakage);
        }
    }
}

fn fill(group: &mut Vec<Box<dyn Job>>, waiting: &mut mpsc::Receiver<Box<dyn Job>>) {
    let mut bytes: usize = group.iter().map(|job| job.size()).sum();
    while group.len() < GROUP_CALLS && bytes < GROUP_BYTES {
        let Ok(job) = waiting.try_recv() else { break };
        bytes = bytes.saturating_add(job.size());
        group.push(job);
    }
}

/// A write failed: the engine is not used until it has been opened anew.
struct Breakage {
    failure: Failure,
    /// Whether it may be opened anew in this process.
    for_good: bool,
    tried_at: Option<Instant>,
}

/// The tables to write to, opened anew if they were broken.
fn ready(engine: &Engine, broken: &mut Option<Breakage>) -> Result<Arc<Tables>, Failure> {
    let Some(breakage) = broken else {
        return engine.tables().map_err(|error| Failure::from(&error));
    };
    if breakage.for_good {
        return Err(breakage.failure.clone());
    }
    engine.check_room(false)?;
    if breakage.tried_at.is_some_and(|at| at.elapsed() < REOPEN_EVERY) {
        return Err(breakage.failure.clone());
    }
    breakage.tried_at = Some(Instant::now());
    match engine.reopen() {
        Ok(tables) => {
            *broken = None;
            Ok(tables)
        }
        Err(error) => {
            tracing::error!(%error, "the store could not be opened anew after a failed write");
            breakage.failure = Failure::from(&error);
            Err(breakage.failure.clone())
        }
    }
}

/// Runs the group's work and makes it durable in one batch. Everybody is told; an error is the engine's.
fn write(engine: &Engine, tables: &Tables, group: Vec<Box<dyn Job>>, indexed: &mut Seen) -> Result<(), Breakage> {
    let mut changes = Changes::new();
    let (mut room, mut reserve) = (None, None);
    let mut done = Vec::with_capacity(group.len());
    for mut job in group {
        let mut transaction = Transaction::new(tables, &changes, indexed);
        if job.run(&mut transaction) {
            let own = transaction.into_changes();
            if !own.is_empty() {
                let frees = job.frees_space();
                let known = if frees { &mut reserve } else { &mut room };
                // Each for itself: what takes room must not hold up what gives some back.
                if let Err(failure) = known.get_or_insert_with(|| engine.check_room(frees)) {
                    engine.set_refusing(true);
                    job.finish(Err(failure));
                    continue;
                }
                changes.absorb(own);
            }
        }
        done.push(job);
    }
    if matches!(room, Some(Ok(()))) {
        engine.set_refusing(false);
    }
    let outcome = settle(engine, tables, changes);
    let told = outcome.as_ref().map_err(|breakage| &breakage.failure).copied();
    done.into_iter().for_each(|job| job.finish(told));
    outcome
}

fn settle(engine: &Engine, tables: &Tables, changes: Changes) -> Result<(), Breakage> {
    if changes.is_empty() {
        return Ok(());
    }
    let WriteFailure { error, spoils_cache } = match changes.write(tables) {
        Ok(sequence) => {
            engine.note(sequence);
            return Ok(());
        }
        Err(failure) => failure,
    };
    engine.set_refusing(true);
    if spoils_cache {
        tracing::error!(%error, "the store's disk failed; nothing more is written until a restart");
        let message = format!(
            "the store's disk failed to make a commit durable, so it may or may not be there and nothing more is written; check the disk and \
             restart ronda, which reads back what is there: {}",
            error.message
        );
        engine.give_up(&message);
        return Err(Breakage { failure: Failure::for_good(message), for_good: true, tried_at: None });
    }
    tracing::error!(%error, "a commit failed; the store will be opened anew");
    // Whether it became durable is not known before the journal has been read again, so it is not `Full`, which says that nothing was
    // written.
    let message = format!("the commit may or may not have been written: {}", error.message);
    Err(Breakage { failure: Failure::new(StoreErrorKind::Unavailable, message), for_good: false, tried_at: None })
}
