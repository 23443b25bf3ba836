//! A store on Amazon DynamoDB: nine tables with a prefix, and no server of ours.
//!
//! Why it is laid out so is in `docs/adr/0012-dynamodb.md`; what it costs and needs in `docs/stores-dynamodb.md`.
//!
//! - A commit writes its rows one by one, each on condition that no later write is there, and then moves the partition's row on
//!   condition of its epoch. A scheduler that is removed leaves its stamp for 30 days, so that no older owner's late write brings it back.
//! - History, error feeds and idempotency keys have a time to live. DynamoDB takes days to remove what is over; reads hide it at once.
//! - Lists of a tenant's schedulers come from an index that lags behind the rows, mostly by less than a second.

mod address;
mod batch;
mod client;
mod commit;
mod db;
mod errors;
mod feed;
mod history;
mod item;
mod journal;
mod key;
mod labels;
mod leases;
mod migrate;
mod notes;
mod options;
mod overflow;
mod partitions;
mod reads;
mod repartition;
mod stamp;
mod surfaces;
mod tables;
mod usage;

use std::collections::HashSet;

use async_trait::async_trait;
use parking_lot::Mutex;
use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use address::options_of;
pub use migrate::{check, migrate};
pub use options::{Billing, DynamoOptions};
pub use usage::Usage;

use crate::error::{StoreError, StoreErrorKind};
use crate::port::{PurgeCursor, Purged, Retention};
use db::Db;
use partitions::Meta;
use stamp::Stamps;

/// A store on DynamoDB. See the [module](self).
pub struct DynamoStore {
    db: Db,
    keep_seconds: u64,
    writes_in_flight: usize,
    /// What all commits and loads share.
    turns: Semaphore,
    stamps: Stamps,
    /// As last read.
    meta: Mutex<Option<Meta>>,
    /// What was written by this process, and need not be written again.
    known_tenants: Known<TenantId>,
    known_days: Known<(TenantId, Timestamp)>,
}

impl DynamoStore {
    /// Connects, and checks that all tables are there and of the right shape.
    ///
    /// # Errors
    /// `Invalid` when the options can't be used, `Conflict` when a table is missing or another one (make them by [`migrate()`]), `Unreadable` when a newer release
    /// laid them out, `Unavailable` when DynamoDB can't be asked.
    pub async fn connect(options: DynamoOptions) -> Result<Self, StoreError> {
        let db = Db::connect(&options).await?;
        let differences = migrate::check_tables(&db).await?;
        if !differences.is_empty() {
            let message = format!(
                "the tables {}-* can't be used: {}; make what is missing by a migration of the store",
                options.prefix,
                differences.join("; ")
            );
            return Err(StoreError::new(StoreErrorKind::Conflict, message));
        }
        let store = Self {
            db,
            keep_seconds: options.history_keep_seconds,
            writes_in_flight: options.writes_in_flight.max(1),
            turns: Semaphore::new(options.calls_in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            stamps: Stamps::default(),
            meta: Mutex::new(None),
            known_tenants: Known::new(),
            known_days: Known::new(),
        };
        crate::requests::describe();
        usage::describe();
        store.read_meta().await?;
        Ok(store)
    }

    /// What was asked of DynamoDB since the store was opened, and what it cost.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.db.meter.usage()
    }

    /// Waits until one more of the calls that come by the thousand may be made. It ends with the value.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
    }

    /// From when on history and errors are still kept.
    fn kept_from(&self) -> Timestamp {
        let keep = i64::try_from(self.keep_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        stamp::now().plus_millis(keep.saturating_neg())
    }
}

impl std::fmt::Debug for DynamoStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoStore").field("prefix", &self.db.prefix).finish_non_exhaustive()
    }
}

#[async_trait]
impl Retention for DynamoStore {
    /// DynamoDB removes what is over by itself: there is nothing to do.
    async fn purge(&self, _: Timestamp, _: Option<PurgeCursor>, _: usize) -> Result<Purged, StoreError> {
        Ok(Purged { removed: 0, next: None })
    }
}

/// What this process has seen to already, as far as it remembers.
struct Known<T>(Mutex<HashSet<T>>);

impl<T: std::hash::Hash + Eq> Known<T> {
    /// Most entries; then it begins anew.
    const MAX: usize = 1 << 16;

    fn new() -> Self {
        Self(Mutex::new(HashSet::new()))
    }

    fn contains(&self, value: &T) -> bool {
        self.0.lock().contains(value)
    }

    fn add(&self, value: T) {
        let mut known = self.0.lock();
        if known.len() >= Self::MAX {
            known.clear();
        }
        known.insert(value);
    }
}

fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err gives")]
fn no_random(error: getrandom::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("the system gives no random numbers: {error}"))
}

fn fenced(what: &str, stored: u64, epoch: u64) -> StoreError {
    let message =
        format!("{what} belongs to the owner of epoch {stored}, not to that of epoch {epoch}: stop writing to it");
    StoreError::new(StoreErrorKind::Fenced, message)
}
