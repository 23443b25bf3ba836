//! Members on a real store, in real time: what the simulation proves of the loops holds with a disk under them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use ronda_lease::{Group, LeaseConfig, Leases, Ownership, Picture, Returned, living};
use ronda_runtime::{CancellationToken, Health, SystemClock};
use ronda_schemas::lease::{AssignmentRow, MemberRow};
use ronda_store::embedded::{EmbeddedOptions, EmbeddedStore};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::lease::{LeaseStore, LeaseTable};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PARTITIONS: u32 = 8;
const LEASE_MS: u64 = 1_000;
/// The machine may have other things to do.
const WITHIN: Duration = Duration::from_secs(60);

struct Replica {
    name: &'static str,
    stop: CancellationToken,
    leases: JoinHandle<()>,
    service: JoinHandle<()>,
    works_on: watch::Receiver<BTreeSet<u32>>,
}

impl Replica {
    fn start(store: &Arc<EmbeddedStore>, name: &'static str) -> Self {
        let config = LeaseConfig { lease_ms: LEASE_MS, ..LeaseConfig::default() };
        let leases =
            Leases::new(&config, Group::Processor, PARTITIONS, name, Arc::clone(store) as _).expect("a member");
        let (owner, mut ownership) = Ownership::new();
        let (stop, clock) = (CancellationToken::new(), Arc::new(SystemClock::new()));
        let leases = tokio::spawn(leases.run(owner, clock, stop.clone()));
        let (shown, works_on) = watch::channel(BTreeSet::new());
        let service = tokio::spawn(async move {
            let mut working = BTreeSet::new();
            loop {
                let assigned = ownership.assigned();
                let over: Vec<u32> = working.difference(&assigned).copied().collect();
                working.clone_from(&assigned);
                shown.send_replace(working.clone());
                over.into_iter().for_each(|partition| ownership.tell(Returned::LetGo(partition)));
                if ownership.changed().await.is_err() {
                    break;
                }
            }
        });
        Self { name, stop, leases, service, works_on }
    }

    /// Waits until it works on so many.
    async fn has(&mut self, partitions: usize) {
        let name = self.name;
        let has = tokio::time::timeout(WITHIN, self.works_on.wait_for(|works_on| works_on.len() == partitions)).await;
        has.unwrap_or_else(|_| panic!("{name} does not get {partitions} partitions")).expect("it is there");
    }

    async fn leave(self) {
        self.stop.cancel();
        self.leases.await.expect("it leaves");
        self.service.await.expect("it ends");
    }

    fn kill(self) {
        self.leases.abort();
        self.service.abort();
    }
}

async fn alive(store: &Arc<EmbeddedStore>) -> Vec<MemberRow> {
    living(&**store, Group::Processor, LEASE_MS).await.expect("a look")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_join_leave_and_die() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = EmbeddedOptions { min_free_bytes: 16 * 1024 * 1024, ..EmbeddedOptions::default() };
    let store = Arc::new(EmbeddedStore::open(dir.path(), options).expect("open"));
    let mut one = Replica::start(&store, "one");
    one.has(8).await;
    let mut other = Replica::start(&store, "other");
    other.has(4).await;
    one.has(4).await;
    let mut third = Replica::start(&store, "third");
    third.has(2).await;

    let picture = Picture::read(&*store, Group::Processor).await.expect("a picture");
    let names: BTreeSet<String> = picture.shares().filter_map(|share| Some(share.holder?.name())).collect();
    assert_eq!(names, ["one", "other", "third"].map(String::from).into());
    assert_eq!(picture.members().count(), 3);

    assert!(!alive(&store).await.is_empty(), "three live");

    third.leave().await;
    one.has(4).await;
    other.has(4).await;
    let killed = Instant::now();
    one.kill();
    other.has(8).await;
    assert!(killed.elapsed() >= Duration::from_millis(LEASE_MS / 2), "it might have been alive");
    other.leave().await;
    assert_eq!(alive(&store).await, [], "who ends in order leaves no row behind");
    let picture = Picture::read(&*store, Group::Processor).await.expect("a picture");
    let held = picture.shares().filter(|share| share.holder.is_some()).count();
    let left: Vec<&str> = picture.members().map(|row| &*row.name).collect();
    assert_eq!((picture.shares().count(), held, left), (8, 0, vec![]));
    assert_eq!(Picture::read(&*store, Group::Notifier).await.expect("a picture"), Picture::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_left_behind_is_nobody_who_lives() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = EmbeddedOptions { min_free_bytes: 16 * 1024 * 1024, ..EmbeddedOptions::default() };
    let store = Arc::new(EmbeddedStore::open(dir.path(), options).expect("open"));
    let began = Instant::now();
    assert_eq!(alive(&store).await, []);
    assert!(began.elapsed() < Duration::from_millis(LEASE_MS), "where nobody ever was there is nothing to wait for");
    let mut one = Replica::start(&store, "one");
    one.has(8).await;
    assert_eq!(alive(&store).await.len(), 1);
    one.kill();
    // A sign of life that was on its way may still come.
    let late = alive(&store).await;
    assert!(late.is_empty() || alive(&store).await.is_empty(), "{late:?}");
    assert_eq!(Picture::read(&*store, Group::Processor).await.expect("a picture").members().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_leases_that_can_not_be_read_from_a_store_that_is_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = EmbeddedOptions { min_free_bytes: 16 * 1024 * 1024, ..EmbeddedOptions::default() };
    let inner = Arc::new(EmbeddedStore::open(dir.path(), options).expect("open"));
    let store = Arc::new(Refusing { inner, refusal: Mutex::new(Some(StoreErrorKind::Unreadable)) });
    let (config, health) = (LeaseConfig { lease_ms: LEASE_MS, ..LeaseConfig::default() }, Health::new());
    let leases = Leases::new(&config, Group::Processor, PARTITIONS, "one", Arc::clone(&store) as _).expect("a member");
    let leases = leases.telling(health.component("leases"));
    let (owner, _ownership) = Ownership::new();
    let task = tokio::spawn(leases.run(owner, Arc::new(SystemClock::new()), CancellationToken::new()));
    let told = async |ok: bool, reason: &str| {
        let is_told = || {
            let report = health.readiness();
            report.ok == ok
                && report
                    .components
                    .iter()
                    .all(|one| one.reason.contains(reason) && reason.is_empty() == one.reason.is_empty())
        };
        let wait = async {
            while !is_told() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WITHIN, wait).await.unwrap_or_else(|_| panic!("{reason:?}: {:?}", health.readiness()));
    };
    told(false, "the leases can't be read").await;
    *store.refusal.lock() = Some(StoreErrorKind::Unavailable);
    told(true, "the leases can't be read").await;
    *store.refusal.lock() = None;
    told(true, "").await;
    task.abort();
}

/// A store whose leases can't be read.
struct Refusing {
    inner: Arc<EmbeddedStore>,
    refusal: Mutex<Option<StoreErrorKind>>,
}

#[async_trait]
impl LeaseStore for Refusing {
    async fn leases(&self, group: Group) -> Result<LeaseTable, StoreError> {
        let refusal = *self.refusal.lock();
        match refusal {
            Some(kind) => Err(StoreError::new(kind, "told so")),
            None => self.inner.leases(group).await,
        }
    }

    async fn put_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        self.inner.put_member(group, member).await
    }

    async fn remove_member(&self, group: Group, member: &MemberRow) -> Result<(), StoreError> {
        self.inner.remove_member(group, member).await
    }

    async fn swap_assignment(&self, group: Group, assignment: &AssignmentRow) -> Result<bool, StoreError> {
        self.inner.swap_assignment(group, assignment).await
    }
}
