//! Partitions that come and go while a processor runs, on the embedded queue and store.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "helpers of tests; waits for a condition with a deadline"
)]

mod faults;
mod rig;
mod stage;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use faults::{Fault, Faulty};
use rig::{Rig, Running, queue, wait_for};
use ronda_domain::id::partition_of;
use ronda_lease::{Owner, Ownership, Returned};
use ronda_processor::Config;
use ronda_queue::{
    Capabilities, Delivery, Depth, Partition, Position, Published, Queue, QueueError, ReceiveLimit, Receiver, Token,
};
use stage::{Asked, Gateway, heartbeat, register, spec};

const PARTITIONS: u32 = 4;

/// A queue whose readers are counted.
struct Counted {
    queue: Arc<dyn Queue>,
    open: Arc<AtomicUsize>,
}

struct CountedReceiver {
    receiver: Box<dyn Receiver>,
    open: Arc<AtomicUsize>,
}

#[async_trait]
impl Queue for Counted {
    fn partitions(&self) -> u32 {
        self.queue.partitions()
    }

    fn capabilities(&self) -> Capabilities {
        self.queue.capabilities()
    }

    async fn publish(&self, partition: Partition, message: Bytes) -> Result<Published, QueueError> {
        self.queue.publish(partition, message).await
    }

    async fn open(&self, partition: Partition, after: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
        let receiver = self.queue.open(partition, after).await?;
        self.open.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(CountedReceiver { receiver, open: Arc::clone(&self.open) }))
    }

    async fn depth(&self, partition: Partition) -> Result<Depth, QueueError> {
        self.queue.depth(partition).await
    }
}

#[async_trait]
impl Receiver for CountedReceiver {
    async fn receive(&mut self, limit: ReceiveLimit) -> Result<Vec<Delivery>, QueueError> {
        self.receiver.receive(limit).await
    }

    async fn settle(&mut self, through: Token) -> Result<(), QueueError> {
        self.receiver.settle(through).await
    }

    async fn close(self: Box<Self>) {
        // As where it takes a while.
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.receiver.close().await;
        self.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Partitions with a job each, and the readers that are open.
struct Site {
    rig: Rig,
    store: Arc<Faulty>,
    open: Arc<AtomicUsize>,
    jobs: Vec<String>,
    gateway: Gateway,
}

impl Site {
    async fn new() -> Self {
        let open = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&open);
        let rig = Rig::with(|path| Arc::new(Counted { queue: queue(path, "commands", PARTITIONS), open: counter }));
        let job_of = |partition| {
            let mut names = (0..).map(|n| format!("job-{n}"));
            names.find(|name| partition_of("acme", name, PARTITIONS) == partition).unwrap()
        };
        let store = Faulty::new(&rig.store);
        let jobs = (0..PARTITIONS).map(job_of).collect();
        let mut site = Self { rig, store, open, jobs, gateway: Gateway::new(1) };
        site.publish(|job| register(job, spec(None, None))).await;
        site
    }

    /// On a store that writes its rows one by one.
    async fn scattered() -> Self {
        let site = Self::new().await;
        site.store.is_scattered.store(true, Ordering::SeqCst);
        site
    }

    /// A frame with something for its job to each partition; where they are.
    async fn publish(&mut self, asked: impl Fn(&str) -> Asked) -> Vec<u64> {
        let (before, second) = (self.gateway.clone(), i64::try_from(self.gateway.number).unwrap());
        self.gateway.number += 1;
        let mut positions = Vec::new();
        for (partition, job) in (0..).zip(&self.jobs) {
            let frame = before.clone().frame(second, &[asked(job)]);
            let published = self.rig.commands.publish(partition, frame).await.unwrap();
            positions.push(published.position.unwrap().0);
        }
        positions
    }

    async fn heartbeats(&mut self) -> Vec<u64> {
        self.publish(|job| heartbeat(job, None)).await
    }

    fn start(&self) -> (Owner, Running) {
        self.start_proved_for(Config::default().owner_proof_ms)
    }

    fn start_proved_for(&self, owner_proof_ms: u32) -> (Owner, Running) {
        let (owner, ownership) = Ownership::new();
        let config = Config { commit_interval_ms: 20, owner_proof_ms, ..Config::default() };
        (owner, self.rig.start_with(Arc::clone(&self.store), config, ownership))
    }

    async fn epoch(&self, partition: u32) -> u64 {
        self.rig.store.partition(partition).await.unwrap().map_or(0, |row| row.epoch)
    }

    async fn committed(&self, partitions: impl IntoIterator<Item = u32>, positions: &[u64]) {
        for partition in partitions {
            let is_there = async || {
                let row = self.rig.store.partition(partition).await.unwrap();
                row.is_some_and(|row| row.cursor >= positions[partition as usize])
            };
            wait_for("the commit", is_there).await;
        }
    }

    async fn depth(&self, partition: u32) -> u64 {
        self.rig.commands.depth(partition).await.unwrap().messages
    }
}

async fn told(owner: &mut Owner) -> Returned {
    tokio::time::timeout(Duration::from_secs(60), owner.returned())
        .await
        .expect("it tells in time")
        .expect("it is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_move_from_one_to_another_and_each_message_is_taken_once() {
    let mut site = Site::new().await;
    let (mut first, one) = site.start();
    let (second, other) = site.start();
    wait_for("readiness", async || site.rig.health.readiness().ok).await;
    first.assign([0, 1, 2].into());
    second.assign([3].into());
    let positions = site.heartbeats().await;
    site.committed(0..PARTITIONS, &positions).await;

    first.assign([0].into());
    let gone: BTreeSet<_> =
        [told(&mut first).await, told(&mut first).await].into_iter().map(|told| format!("{told:?}")).collect();
    assert_eq!(gone, ["LetGo(1)", "LetGo(2)"].map(str::to_owned).into());
    assert_eq!(site.open.load(Ordering::SeqCst), 2, "their readers are closed");
    let kept = [site.epoch(0).await, site.epoch(3).await];
    second.assign([1, 2, 3].into());
    let positions = site.heartbeats().await;
    site.committed(0..PARTITIONS, &positions).await;
    assert_eq!(kept, [site.epoch(0).await, site.epoch(3).await], "those that stay are left alone");
    assert_eq!([site.epoch(1).await, site.epoch(2).await], [2, 2], "each was acquired once more");

    for (running, mut owner, own) in [(one, first, vec![0]), (other, second, vec![1, 2, 3])] {
        running.stop().await;
        for _ in own {
            assert!(matches!(told(&mut owner).await, Returned::LetGo(_)), "all are let go at the end");
        }
        assert_eq!(owner.returned().await, None);
    }
    assert_eq!(site.open.load(Ordering::SeqCst), 0);
    for partition in 0..PARTITIONS {
        assert_eq!(site.rig.store.partition(partition).await.unwrap().unwrap().applied, 3);
        assert_eq!(site.depth(partition).await, 0, "settled");
    }
    let ids: BTreeSet<_> = site.rig.event_ids().await.into_iter().collect();
    assert_eq!(ids.len(), site.jobs.len(), "what is told again has the same ids: {ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_under_way_is_finished_before_a_partition_is_let_go() {
    let mut site = Site::new().await;
    let (mut owner, running) = site.start();
    owner.assign([2].into());
    wait_for("the first commit", async || site.depth(2).await == 0).await;
    let store = Arc::clone(&site.store);
    let gate = store.gate.write().await;
    let asked = site.store.asked.load(Ordering::SeqCst);
    let positions = site.heartbeats().await;
    wait_for("a commit", async || site.store.asked.load(Ordering::SeqCst) > asked).await;
    owner.assign(BTreeSet::new());
    let early = tokio::time::timeout(Duration::from_millis(300), owner.returned()).await;
    assert!(early.is_err(), "the commit is not made yet: {early:?}");
    drop(gate);
    assert_eq!(told(&mut owner).await, Returned::LetGo(2));
    assert_eq!(site.rig.store.partition(2).await.unwrap().unwrap().cursor, positions[2]);
    assert_eq!(site.depth(2).await, 0, "settled");
    assert!(site.rig.health.readiness().ok, "it has none, and is ready: {:?}", site.rig.health.readiness());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_assigned_again_while_it_ends_is_taken_up_again() {
    let mut site = Site::new().await;
    let (mut owner, running) = site.start();
    owner.assign([1, 2].into());
    wait_for("the first commits", async || site.depth(1).await + site.depth(2).await == 0).await;
    let store = Arc::clone(&site.store);
    let gate = store.gate.write().await;
    let asked = site.store.asked.load(Ordering::SeqCst);
    let positions = site.heartbeats().await;
    wait_for("both commits", async || site.store.asked.load(Ordering::SeqCst) >= asked + 2).await;
    // Once a third is there that was assigned as the second was taken away, the second is ending.
    owner.assign([1, 3].into());
    wait_for("the third", async || site.epoch(3).await > 0).await;
    owner.assign([1, 2].into());
    drop(gate);
    assert_eq!(told(&mut owner).await, Returned::LetGo(3), "the second was not let go: it is assigned again");
    wait_for("the second", async || site.epoch(2).await == 2).await;
    let more = site.heartbeats().await;
    site.committed([1, 2], &more).await;
    assert_eq!(site.epoch(1).await, 1);
    assert!(positions[2] < more[2]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_somebody_else_acquired_ends_at_once_and_is_left_alone_when_it_is_taken_away() {
    let mut site = Site::new().await;
    let (mut owner, running) = site.start();
    owner.assign([0, 1].into());
    wait_for("the first commits", async || site.depth(0).await + site.depth(1).await == 0).await;
    let told_before = site.rig.event_ids().await.len();
    let acquired = site.rig.store.acquire(1, PARTITIONS).await.unwrap();
    let positions = site.heartbeats().await;
    assert_eq!(told(&mut owner).await, Returned::Fenced(1));
    owner.assign([0].into());
    assert_eq!(told(&mut owner).await, Returned::LetGo(1));
    site.committed([0], &positions).await;
    assert_eq!(site.epoch(1).await, acquired.epoch, "nobody has acquired it again");
    assert_eq!(site.depth(1).await, 1, "nothing was settled");
    assert_eq!(site.rig.event_ids().await.len(), told_before);
    assert!(site.rig.health.readiness().ok, "{:?}", site.rig.health.readiness());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_somebody_else_acquired_is_taken_up_again_while_it_is_assigned() {
    let mut site = Site::new().await;
    let (mut owner, running) = site.start();
    owner.assign([1].into());
    wait_for("the first commit", async || site.depth(1).await == 0).await;
    site.store.then([Fault::Fenced]);
    let positions = site.heartbeats().await;
    assert_eq!(told(&mut owner).await, Returned::Fenced(1));
    site.committed([1], &positions).await;
    assert_eq!(site.epoch(1).await, 3);
    running.stop().await;
    assert_eq!(told(&mut owner).await, Returned::LetGo(1));
}

/// What its successor has settled is gone from the queue: what comes next must not be taken for all that there was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_misses_frames_asks_whether_it_was_replaced_before_it_writes() {
    let mut site = Site::scattered().await;
    // Only that can make it ask.
    let (mut owner, running) = site.start_proved_for(300_000);
    owner.assign([0, 1].into());
    let positions = site.heartbeats().await;
    site.committed([0, 1], &positions).await;
    let asked = site.store.asked.load(Ordering::SeqCst);
    site.rig.store.acquire(1, PARTITIONS).await.unwrap();
    site.gateway.number += 1;
    let positions = site.heartbeats().await;
    assert_eq!(told(&mut owner).await, Returned::Fenced(1));
    site.committed([0], &positions).await;
    assert_eq!(site.store.asked.load(Ordering::SeqCst), asked + 1, "only the one that is still the owner writes");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_long_without_a_word_from_the_store_asks_before_anything_leaves_it() {
    let mut site = Site::scattered().await;
    let (mut owner, running) = site.start_proved_for(50);
    owner.assign([1].into());
    wait_for("the first commit", async || site.depth(1).await == 0).await;
    let (asked, checks) = (site.store.asked.load(Ordering::SeqCst), site.store.checks.load(Ordering::SeqCst));
    tokio::time::sleep(Duration::from_millis(60)).await;
    let next = site.heartbeats().await;
    site.committed([1], &next).await;
    assert_eq!(site.store.checks.load(Ordering::SeqCst), checks + 1, "it asks, and goes on");
    assert_eq!(site.store.asked.load(Ordering::SeqCst), asked + 1);
    tokio::time::sleep(Duration::from_millis(60)).await;
    site.rig.store.acquire(1, PARTITIONS).await.unwrap();
    // A dead letter, which leaves before the commit does.
    site.rig.commands.publish(1, Bytes::from_static(b"no frame")).await.unwrap();
    site.heartbeats().await;
    assert_eq!(told(&mut owner).await, Returned::Fenced(1));
    assert_eq!(site.store.asked.load(Ordering::SeqCst), asked + 1, "nothing was written");
    assert_eq!(site.rig.dead_letters.depth(0).await.unwrap().messages, 0);
    running.stop().await;
}

/// For so long a former owner may still trust that it is the owner: what is gone by then it would miss.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_owner_commits_at_once_and_settles_later() {
    let mut site = Site::scattered().await;
    let (owner, running) = site.start_proved_for(1_000);
    let began = tokio::time::Instant::now();
    owner.assign([1].into());
    let positions = site.heartbeats().await;
    site.committed([1], &positions).await;
    let left = site.depth(1).await;
    let took = began.elapsed();
    assert!(left > 0 || took >= Duration::from_secs(1), "settled after {took:?}");
    wait_for("what is committed is settled, though nothing more comes", async || site.depth(1).await == 0).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "settled after {:?}", began.elapsed());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_processor_ends_when_nobody_assigns_any_more() {
    let site = Site::new().await;
    let (owner, running) = site.start();
    owner.assign([0].into());
    wait_for("the first commit", async || site.depth(0).await == 0).await;
    drop(owner);
    tokio::time::timeout(Duration::from_secs(60), running.task).await.expect("it ends").unwrap();
    assert_eq!(site.open.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_far_away_is_asked_for_fewer_and_larger_pages() {
    const JOBS: usize = 6_000;
    let rig = Rig::new();
    let store = Faulty::new(&rig.store);
    let mut gateway = Gateway::new(1);
    let asked: Vec<_> = (0..JOBS).map(|n| register(&format!("job-{n}"), spec(None, None))).collect();
    let position = rig.publish(gateway.frame(0, &asked)).await;
    let running = rig.start_on(Arc::clone(&store), Config::default());
    rig.committed(position).await;
    running.stop().await;

    *store.way.lock() = Duration::from_millis(20);
    let before = store.loads.load(Ordering::SeqCst);
    let asked: Vec<_> = (0..JOBS).map(|n| heartbeat(&format!("job-{n}"), None)).collect();
    let position = rig.publish(gateway.frame(1, &asked)).await;
    let running = rig.start_on(Arc::clone(&store), Config::default());
    rig.committed(position).await;
    running.stop().await;
    let pages = store.loads.load(Ordering::SeqCst) - before;
    assert!((4..=10).contains(&pages), "{pages} pages of a store that is far away");
    // A scheduler that was not loaded would be nobody.
    assert_eq!(rig.store.partition(0).await.unwrap().unwrap().refused, 0);
}

#[tokio::test]
async fn a_crowd_of_partitions_that_come_at_once_asks_the_store_in_turns() {
    const CROWD: u32 = 128;
    let rig = Rig::with(|path| queue(path, "commands", CROWD));
    let store = Faulty::new(&rig.store);
    *store.way.lock() = Duration::from_millis(20);
    let running = rig.start_on(Arc::clone(&store), Config::default());
    let all = usize::try_from(CROWD).unwrap();
    wait_for("all have been loaded", async || store.loads.load(Ordering::SeqCst) >= all).await;
    let most = store.loading.1.load(Ordering::SeqCst);
    assert!((2..=32).contains(&most), "{most} pages at once");
    running.stop().await;
}
