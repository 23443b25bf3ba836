//! A replica as a process: a member and a service in one task, which can stand still and be killed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use ronda_lease::{Group, LeaseConfig, Leases, MemberId, Ownership, Returned};
use ronda_runtime::{CancellationToken, Clock};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::store::{Disk, Line, Random, Way};
use crate::world::World;

/// Monotonic time as the simulation has it; a wall clock that nobody should ask.
pub(crate) struct VirtualClock(pub(crate) Instant);

impl Clock for VirtualClock {
    fn wall_millis(&self) -> i64 {
        panic!("leases have nothing to do with the wall clock")
    }

    fn mono_millis(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).expect("a time")
    }
}

/// Whether a process stands still.
#[derive(Default)]
struct Still {
    is_still: bool,
    waker: Option<Waker>,
}

/// What is not polled while it stands still.
struct Stallable<F> {
    inner: Pin<Box<F>>,
    still: Arc<Mutex<Still>>,
}

impl<F: Future> Future for Stallable<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut still = self.still.lock();
            if still.is_still {
                still.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
        }
        self.inner.as_mut().poll(context)
    }
}

/// How a service behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Longest time in which it lets go of a partition, in milliseconds.
    pub(crate) let_go_ms: u64,
    /// It says that it has let go before it has.
    pub(crate) lies: bool,
}

pub(crate) struct Process {
    pub(crate) id: MemberId,
    pub(crate) way: Arc<Mutex<Way>>,
    still: Arc<Mutex<Still>>,
    leave: CancellationToken,
    task: JoinHandle<()>,
}

/// What all processes of a run have in common.
pub(crate) struct Common {
    pub(crate) disk: Arc<Disk>,
    pub(crate) world: Arc<World>,
    pub(crate) config: LeaseConfig,
    pub(crate) partitions: u32,
    pub(crate) habits: Habits,
    pub(crate) started: Instant,
}

impl Process {
    pub(crate) fn start(common: &Common, random: &mut Random) -> Self {
        let id = MemberId(random.next());
        let way = Arc::new(Mutex::new(Way::Open));
        let line = Line {
            disk: Arc::clone(&common.disk),
            way: Arc::clone(&way),
            random: Mutex::new(Random::new(random.next())),
        };
        let leases = Leases::new(&common.config, Group::Processor, common.partitions, "replica", Arc::new(line));
        let leases = leases.expect("a member").with_id(id);
        let (owner, ownership) = Ownership::new();
        let leave = CancellationToken::new();
        // Each process counts from a point of its own.
        let clock = Arc::new(VirtualClock(common.started - Duration::from_millis(random.below(1_000_000))));
        let service = Service {
            id,
            world: Arc::clone(&common.world),
            habits: common.habits,
            random: Random::new(random.next()),
            ownership,
            working: BTreeSet::new(),
            ending: BTreeMap::new(),
        };
        let member = leases.run(owner, clock, leave.clone());
        let whole = async move {
            tokio::join!(member, service.run());
        };
        let still = Arc::new(Mutex::new(Still::default()));
        common.world.comes(id);
        let task = tokio::spawn(Stallable { inner: Box::pin(whole), still: Arc::clone(&still) });
        Self { id, way, still, leave, task }
    }

    pub(crate) fn stall(&self) {
        self.still.lock().is_still = true;
    }

    pub(crate) fn wake(&self) {
        let mut still = self.still.lock();
        still.is_still = false;
        if let Some(waker) = still.waker.take() {
            waker.wake();
        }
    }

    /// Ends at once, without a word.
    pub(crate) async fn kill(self, world: &World) {
        self.task.abort();
        let _ = self.task.await;
        world.goes(self.id);
    }

    /// Ends in order.
    pub(crate) async fn leave(self, world: &World) {
        self.leave.cancel();
        self.task.await.expect("it leaves");
        world.goes(self.id);
    }
}

struct Service {
    id: MemberId,
    world: Arc<World>,
    habits: Habits,
    random: Random,
    ownership: Ownership,
    working: BTreeSet<u32>,
    ending: BTreeMap<u32, Instant>,
}

impl Service {
    async fn run(mut self) {
        loop {
            let assigned = self.ownership.assigned();
            self.world.is_told(self.id, &assigned);
            for partition in
                assigned.iter().filter(|partition| !self.working.contains(partition)).copied().collect::<Vec<_>>()
            {
                self.world.begins(partition, self.id);
                self.working.insert(partition);
            }
            for partition in self.working.difference(&assigned).copied().collect::<Vec<_>>() {
                let takes = Duration::from_millis(self.random.below(self.habits.let_go_ms + 1));
                if self.habits.lies && !self.ending.contains_key(&partition) {
                    self.ownership.tell(Returned::LetGo(partition));
                }
                self.ending.entry(partition).or_insert_with(|| Instant::now() + takes);
            }
            let next = self.ending.values().min().copied();
            let until = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
            tokio::select! {
                biased;
                changed = self.ownership.changed() => if changed.is_err() { break },
                () = sleep_until(until) => {}
            }
            self.let_go();
        }
        for partition in std::mem::take(&mut self.working) {
            self.world.ends(partition, self.id);
        }
    }

    fn let_go(&mut self) {
        let now = Instant::now();
        let over: Vec<u32> =
            self.ending.iter().filter(|(_, at)| **at <= now).map(|(partition, _)| *partition).collect();
        for partition in over {
            self.ending.remove(&partition);
            self.working.remove(&partition);
            self.world.ends(partition, self.id);
            if !self.habits.lies {
                self.ownership.tell(Returned::LetGo(partition));
            }
        }
    }
}
