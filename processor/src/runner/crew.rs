//! Who works on which partition: starts and ends their tasks as partitions come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ronda_lease::{Ownership, Partitions, Returned};
use ronda_runtime::CancellationToken;
use ronda_store::port::{KeyStore, PartitionStore, Retention};
use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

use super::partition::Owner;
use super::pause::Backoff;
use super::vitals::Trouble;
use super::{AbortOnDrop, ProcessorError, Shared, telemetry};

/// First and longest wait before a partition is taken up again.
const RESTART: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// The same after somebody else has acquired it: time for whoever assigns partitions to look whose it is. Two that take it from each
/// other by turns would both come to nothing.
const FENCED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The partitions' supervisors.
pub(super) struct Crew<S: ?Sized> {
    shared: Arc<Shared<S>>,
    /// Each is here until its task has ended, so no partition ever has two.
    working: BTreeMap<u32, Working>,
    tasks: JoinSet<()>,
    told: (mpsc::Sender<News>, mpsc::Receiver<News>),
}

/// A partition that is worked on.
struct Working {
    task: Id,
    stop: CancellationToken,
}

/// What a supervisor tells.
pub(super) enum News {
    /// Somebody else has acquired the partition.
    Fenced(u32),
    /// The store is made for another number of partitions by now.
    Repartitioned(ProcessorError),
    /// It has ended.
    Ended(Id),
}

impl<S: PartitionStore + Retention + KeyStore + ?Sized + 'static> Crew<S> {
    pub(super) fn new(shared: Arc<Shared<S>>) -> Self {
        Self { shared, working: BTreeMap::new(), tasks: JoinSet::new(), told: mpsc::channel(1) }
    }

    /// Ends the tasks of partitions that are not assigned, and starts those that are missing. One that is still ending is not started anew
    /// before it has ended: call this again then.
    pub(super) fn keep_to(&mut self, assigned: &Partitions) {
        for (_, working) in self.working.iter().filter(|(partition, _)| !assigned.contains(partition)) {
            working.stop.cancel();
        }
        let partitions = self.shared.commands.partitions();
        let missing = assigned.range(..partitions).filter(|partition| !self.working.contains_key(partition));
        let missing: Vec<u32> = missing.copied().collect();
        self.shared.vitals.own(&missing);
        for partition in missing {
            let stop = CancellationToken::new();
            let supervisor = supervise(Arc::clone(&self.shared), partition, self.told.0.clone(), stop.clone());
            let task = self.tasks.spawn(supervisor).id();
            self.working.insert(partition, Working { task, stop });
        }
    }

    /// Whether something of a partition is under way, or has yet to end.
    pub(super) fn works_on(&self, partition: u32) -> bool {
        self.working.contains_key(&partition)
    }

    /// What a supervisor tells next; for ever, while there is nothing. Cancel safe.
    pub(super) async fn news(&mut self) -> News {
        tokio::select! {
            biased;
            Some(news) = self.told.1.recv() => news,
            Some(ended) = self.tasks.join_next_with_id() => News::Ended(id_of(&ended)),
            else => std::future::pending().await,
        }
    }

    /// Takes note of it, and passes on what whoever assigns the partitions has to know. What is returned ends the whole crew.
    pub(super) fn hear(&mut self, news: News, ownership: &mut Ownership) -> Option<ProcessorError> {
        match news {
            News::Fenced(partition) => ownership.tell(Returned::Fenced(partition)),
            News::Repartitioned(error) => return Some(error),
            News::Ended(task) => {
                // One that is assigned again by now is not given to anybody: it is started anew.
                let ended = self.ended(task);
                if let Some(partition) = ended.filter(|partition| !ownership.assigned().contains(partition)) {
                    ownership.tell(Returned::LetGo(partition));
                }
            }
        }
        None
    }

    /// Takes a partition out whose task has ended.
    fn ended(&mut self, task: Id) -> Option<u32> {
        let (partition, _) = self.working.iter().find(|(_, working)| working.task == task)?;
        let partition = *partition;
        self.working.remove(&partition);
        self.shared.vitals.give_up(partition);
        Some(partition)
    }

    /// Ends all in order.
    pub(super) async fn let_all_go(mut self, ownership: &Ownership) {
        for working in self.working.values() {
            working.stop.cancel();
        }
        // Nobody waits to tell anything any more.
        self.told.1.close();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            if let Some(partition) = self.ended(id_of(&ended)) {
                ownership.tell(Returned::LetGo(partition));
            }
        }
    }
}

fn id_of(ended: &Result<(Id, ()), JoinError>) -> Id {
    match ended {
        Ok((id, ())) => *id,
        Err(error) => error.id(),
    }
}

/// Keeps a partition's owner at work until it is told to stop, and the owner has ended in order.
async fn supervise<S>(shared: Arc<Shared<S>>, partition: u32, told: mpsc::Sender<News>, stop: CancellationToken)
where
    S: PartitionStore + Retention + KeyStore + ?Sized + 'static,
{
    let mut restart = Backoff::new(RESTART.0, RESTART.1);
    let mut after_fence = Backoff::new(FENCED.0, FENCED.1);
    while !stop.is_cancelled() {
        let owner = Owner::new(Arc::clone(&shared), partition, stop.clone());
        let commits = shared.vitals.commits(partition);
        // A task of its own: a panic ends only it, and comes out here.
        let mut task = AbortOnDrop(tokio::spawn(Box::pin(owner.run())));
        let error = match (&mut task.0).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => ProcessorError::Panicked,
        };
        shared.vitals.set_ready(partition, false);
        // A restart of the process would do no better, and would stop the other partitions, too: readiness tells it.
        shared.vitals.beat_of(partition);
        if stop.is_cancelled() {
            tracing::warn!(partition, error = %error, "a partition was let go in the middle of a step: its next owner does it again");
            return;
        }
        if shared.vitals.commits(partition) != commits {
            restart.reset();
            after_fence.reset();
        }
        if error.is_repartitioned() {
            tracing::error!(partition, error = %error, "the store was repartitioned: this process ends");
            let _ = told.send(News::Repartitioned(error)).await;
            return;
        }
        let trouble = Trouble { text: error.to_string(), is_lasting: error.is_defect() };
        shared.vitals.set_trouble(partition, trouble);
        let is_still_ours = if error.is_fence() {
            tracing::warn!(partition, error = %error, "somebody else has acquired a partition; nothing more of it is settled or published here");
            // Whoever hears it is there as long as this is.
            let _ = told.send(News::Fenced(partition)).await;
            after_fence.wait(None, &stop).await
        } else {
            telemetry::restarted(partition);
            tracing::error!(partition, error = %error, "a partition stopped; it will be taken up again");
            restart.wait(None, &stop).await
        };
        if !is_still_ours {
            return;
        }
    }
}
