//! A store in memory, as members reach it over a network that is slow, loses answers, and at times is not there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use ronda_lease::{Group, MemberId};
use ronda_schemas::lease::{AssignmentRow, MemberRow};
use ronda_store::error::{StoreError, StoreErrorKind};
use ronda_store::lease::{LeaseStore, LeaseTable};
use tokio::sync::oneshot;
use tokio::time::sleep;

/// Numbers that are the same each time.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below another.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }
}

/// How the way to the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// Nothing is answered, nor carried out.
    Cut,
    /// Reads alone are answered.
    ReadOnly,
}

/// What a store does wrong on purpose, so that a check can be seen to fail.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// One in so many calls fails, applied or not; 0: none.
    pub(crate) one_in: u64,
    /// Longest way of a call, in milliseconds.
    pub(crate) delay_ms: u64,
    /// Swaps look at no version.
    pub(crate) swaps_blindly: bool,
}

#[derive(Default)]
struct Rows {
    assignment: AssignmentRow,
    members: BTreeMap<MemberId, MemberRow>,
    swaps: u64,
    lost_swaps: u64,
}

/// What is stored.
pub(crate) struct Disk {
    rows: Mutex<Rows>,
    faults: Mutex<Faults>,
    /// For all members alike.
    pub(crate) way: Mutex<Way>,
}

impl Disk {
    pub(crate) fn new(faults: Faults) -> Arc<Self> {
        Arc::new(Self { rows: Mutex::default(), faults: Mutex::new(faults), way: Mutex::new(Way::Open) })
    }

    /// From now on nothing fails or is slow.
    pub(crate) fn heal(&self) {
        *self.way.lock() = Way::Open;
        let mut faults = self.faults.lock();
        *faults = Faults { one_in: 0, delay_ms: 4.min(faults.delay_ms), ..*faults };
    }

    pub(crate) fn table(&self) -> LeaseTable {
        let rows = self.rows.lock();
        LeaseTable { assignment: rows.assignment.clone(), members: rows.members.values().cloned().collect() }
    }

    /// How many swaps took place, and how many came too late.
    pub(crate) fn swaps(&self) -> (u64, u64) {
        let rows = self.rows.lock();
        (rows.swaps, rows.lost_swaps)
    }
}

/// The store as one member reaches it.
pub(crate) struct Line {
    pub(crate) disk: Arc<Disk>,
    pub(crate) way: Arc<Mutex<Way>>,
    pub(crate) random: Mutex<Random>,
}

fn failed(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, why)
}

impl Line {
    /// Carries a call out after a while: also when the caller is gone, or stands still, by then.
    async fn call<T: Send + 'static>(
        &self,
        writes: bool,
        work: impl FnOnce(&mut Rows, Faults) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let is_closed = |way: Way| way == Way::Cut || (way == Way::ReadOnly && writes);
        if is_closed(*self.way.lock()) || is_closed(*self.disk.way.lock()) {
            sleep(Duration::from_millis(50)).await;
            return Err(failed("nobody can be reached"));
        }
        let faults = *self.disk.faults.lock();
        let (there_ms, back_ms, fails, is_applied) = {
            let mut random = self.random.lock();
            let fails = faults.one_in > 0 && random.one_in(faults.one_in);
            // A few are late by far.
            let late_ms = if faults.one_in > 0 && random.one_in(50) { random.below(3_000) } else { 0 };
            let there_ms = 1 + random.below(faults.delay_ms) + late_ms;
            (there_ms, 1 + random.below(faults.delay_ms), fails, random.one_in(2))
        };
        let (answer, heard) = oneshot::channel();
        if !fails || is_applied {
            let disk = Arc::clone(&self.disk);
            tokio::spawn(async move {
                sleep(Duration::from_millis(there_ms)).await;
                let done = work(&mut disk.rows.lock(), faults);
                sleep(Duration::from_millis(back_ms)).await;
                let _ = answer.send(done);
            });
        }
        if fails {
            sleep(Duration::from_millis(there_ms)).await;
            return Err(failed("the answer was lost"));
        }
        heard.await.map_err(|_| failed("the answer was lost"))
    }
}

#[async_trait]
impl LeaseStore for Line {
    async fn leases(&self, _: Group) -> Result<LeaseTable, StoreError> {
        let read = |rows: &mut Rows, _| LeaseTable {
            assignment: rows.assignment.clone(),
            members: rows.members.values().cloned().collect(),
        };
        self.call(false, read).await
    }

    async fn put_member(&self, _: Group, member: &MemberRow) -> Result<(), StoreError> {
        let member = member.clone();
        let put = move |rows: &mut Rows, _| {
            rows.members.insert(member.id, member);
        };
        self.call(true, put).await
    }

    async fn remove_member(&self, _: Group, member: &MemberRow) -> Result<(), StoreError> {
        let (id, renewals) = (member.id, member.renewals);
        let remove = move |rows: &mut Rows, _| {
            if rows.members.get(&id).is_some_and(|row| row.renewals <= renewals) {
                rows.members.remove(&id);
            }
        };
        self.call(true, remove).await
    }

    async fn swap_assignment(&self, _: Group, assignment: &AssignmentRow) -> Result<bool, StoreError> {
        let assignment = assignment.clone();
        let swap = move |rows: &mut Rows, faults: Faults| {
            let is_next = rows.assignment.version + 1 == assignment.version || faults.swaps_blindly;
            if is_next {
                rows.assignment = assignment;
                rows.swaps += 1;
            } else {
                rows.lost_swaps += 1;
            }
            is_next
        };
        self.call(true, swap).await
    }
}
