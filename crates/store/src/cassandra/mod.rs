//! The store on Apache Cassandra or ScyllaDB: one keyspace, shared by all processes. Why it is laid out so is in
//! `docs/adr/0013-cassandra.md`; how it is run in `docs/stores-cassandra.md`.
//!
//! - Everything is read and written with `LOCAL_QUORUM`. Conditional writes (lightweight transactions, `LOCAL_SERIAL`) fence and hand out
//!   what one of many may have; a commit of a partition has one of them, at its end.
//! - Rows of schedulers have write timestamps made of the owner's epoch and the number of its commit (`ownership`), so an owner that was
//!   replaced covers and brings back nothing. A removal is covered for as long as the server keeps its tombstone (`gc_grace_seconds`).
//! - A write without an answer may still take place. It is told as `Unavailable`; the same commit may be tried again.

mod address;
mod client;
mod commit;
mod errors;
mod feed;
mod history;
mod history_walk;
mod idempotency;
mod keys;
mod labels;
mod leases;
mod listing;
mod migrate;
mod options;
mod ownership;
mod partitions;
mod repartition;
mod rows;
mod schema;
mod statements;
mod surface_journal;
mod surfaces;

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher, Hash};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use ronda_domain::time::Timestamp;
use ronda_schemas::codec::{DecodeError, Versioned};

pub use address::options_of;
pub use migrate::{check, migrate};
pub use options::CassandraOptions;

use crate::error::{StoreError, StoreErrorKind};
use crate::port::{PurgeCursor, Purged, Retention};
use client::Client;
use ownership::Ownership;

/// Largest single row, in bytes: half of what Cassandra takes as one write with its settings as they come.
const MAX_ROW_BYTES: usize = 8 * 1024 * 1024;
/// Longest time to live that is written, in seconds: ten years.
const MAX_TTL_SECONDS: i64 = 315_360_000;
/// When the last of it ends, in seconds since 1970: Cassandra, with its settings as they come, refuses what would expire after January 2038. A day
/// earlier, since its clock may be ahead of ours.
const LAST_END_SECONDS: i64 = i32::MAX as i64 - 86_400;
/// Calls about one idempotency key or shard wait for each other within this process; so many of them are told apart.
const STRIPES: usize = 64;

/// A store in a keyspace. See the [module](self).
pub struct CassandraStore {
    client: Client,
    options: CassandraOptions,
    ownership: Ownership,
    /// The generation of partitions' rows that was seen last.
    generation: AtomicI64,
    /// The last write timestamp that was made of this process's clock, in microseconds.
    last_micros: AtomicI64,
    /// Conditional writes that meet at the server cost both several round trips; these wait here instead.
    stripes: Vec<tokio::sync::Mutex<()>>,
}

impl CassandraStore {
    /// Connects, and checks that the tables are there as this release wants them.
    ///
    /// # Errors
    /// `Unavailable` when no node can be reached, `Conflict` when tables are missing or of another shape (the message says which),
    /// `Unreadable` when they are a newer release's, `Invalid` when the options are wrong.
    pub async fn connect(options: CassandraOptions) -> Result<Self, StoreError> {
        migrate::check_names(&options)?;
        let session = client::connect(&options).await?;
        let findings = migrate::differences(&session, &options).await?;
        if !findings.is_empty() {
            let message = format!("{}: make the tables first (migrate)", findings.join("; "));
            return Err(StoreError::new(StoreErrorKind::Conflict, message));
        }
        crate::requests::describe();
        Ok(Self {
            client: Box::pin(Client::new(session, &options)).await?,
            options,
            ownership: Ownership::default(),
            generation: AtomicI64::new(-1),
            last_micros: AtomicI64::new(0),
            stripes: std::iter::repeat_with(Default::default).take(STRIPES).collect(),
        })
    }

    /// A write timestamp of now, greater than all that were given out before.
    fn now_micros(&self) -> i64 {
        let now = i64::try_from(since_1970().as_micros()).unwrap_or(i64::MAX);
        let step = |last: i64| Some(now.max(last.saturating_add(1)));
        let before = self.last_micros.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        before.map_or(now, |before| now.max(before.saturating_add(1)))
    }

    /// How long an entry of a time has still to live, in seconds; `None`: its time is over.
    fn ttl_of(&self, at_ms: i64) -> Option<i32> {
        ttl_from(at_ms, self.options.history_keep_seconds)
    }

    /// The earliest time of which entries are still shown.
    fn kept_from(&self) -> Timestamp {
        let keep_ms = i64::try_from(self.options.history_keep_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
        Timestamp::from_millis(now_ms().saturating_sub(keep_ms))
    }

    /// Waits until nobody else in this process does something conditional to the same thing.
    async fn alone(&self, what: impl Hash) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(what);
        let stripe = usize::try_from(hash % u64::try_from(STRIPES).unwrap_or(1)).unwrap_or(0);
        match self.stripes.get(stripe) {
            Some(stripe) => Some(stripe.lock().await),
            None => None,
        }
    }
}

impl std::fmt::Debug for CassandraStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CassandraStore").field("options", &self.options).finish_non_exhaustive()
    }
}

/// All of it goes by itself: every entry has a time to live.
#[async_trait]
impl Retention for CassandraStore {
    async fn purge(&self, _: Timestamp, _: Option<PurgeCursor>, _: usize) -> Result<Purged, StoreError> {
        Ok(Purged { removed: 0, next: None })
    }
}

fn since_1970() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn now_ms() -> i64 {
    i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX)
}

/// How long something of a time has still to live, in seconds, when it is kept for so long; `None`: its time is over.
fn ttl_from(at_ms: i64, keep_seconds: u64) -> Option<i32> {
    ttl_at(now_ms(), at_ms, keep_seconds)
}

/// The same at a moment.
fn ttl_at(now_ms: i64, at_ms: i64, keep_seconds: u64) -> Option<i32> {
    let keep_ms = i64::try_from(keep_seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    let left_ms = at_ms.saturating_add(keep_ms).saturating_sub(now_ms);
    let seconds = (left_ms.saturating_add(999) / 1_000).min(MAX_TTL_SECONDS);
    // Behind that end the server must be one that knows later times.
    let room = Some(LAST_END_SECONDS - now_ms / 1_000).filter(|room| *room > 0);
    let seconds = room.map_or(seconds, |room| seconds.min(room));
    (left_ms > 0).then(|| i32::try_from(seconds).unwrap_or(i32::MAX))
}

/// A time as it is stored: the newest has the least age.
fn age_of(at: Timestamp) -> i64 {
    !at.as_millis()
}

fn invalid(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Invalid, message)
}

fn fenced(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Fenced, format!("{}: stop writing to it", message.into()))
}

fn conflict(message: impl Into<String>) -> StoreError {
    StoreError::new(StoreErrorKind::Conflict, message)
}

/// A number as the server has it, which knows signed ones only.
fn int(number: u32) -> i32 {
    number.cast_signed()
}

/// A limit of a query.
fn limit_of(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

fn encode<T: Versioned>(value: &T) -> Result<Vec<u8>, StoreError> {
    let bytes = value.encode().map_err(|error| invalid(error.to_string()))?;
    check_row_size(bytes.len())?;
    Ok(bytes)
}

fn check_row_size(bytes: usize) -> Result<(), StoreError> {
    if bytes > MAX_ROW_BYTES {
        return Err(invalid(format!("a row of {bytes} bytes; the largest may have {MAX_ROW_BYTES}")));
    }
    Ok(())
}

fn decode<T: Versioned>(bytes: &[u8]) -> Result<T, StoreError> {
    T::decode(bytes).map_err(|error| match error {
        DecodeError::NewerVersion { .. } => StoreError::new(StoreErrorKind::Unreadable, error.to_string()),
        DecodeError::Malformed { .. } => {
            StoreError::new(StoreErrorKind::Unreadable, format!("{error}; restore the table from a backup"))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_ends_with_the_keeping_or_before_the_servers_last_second() {
        let (now_ms, day) = (1_795_000_000_000, 86_400);
        assert_eq!(ttl_at(now_ms, now_ms - 1_500, 2), Some(1), "rounded up");
        assert_eq!(ttl_at(now_ms, now_ms - 2_000, 2), None);
        assert_eq!(ttl_at(now_ms, now_ms, 90 * day), Some(90 * 86_400));
        assert_eq!(ttl_at(now_ms, now_ms, u64::MAX), Some(315_360_000), "ten years");
        for now_ms in [1_835_000_000_000, 2_140_000_000_000] {
            let ttl = ttl_at(now_ms, now_ms, u64::MAX).expect("a time to live");
            let end = now_ms / 1_000 + i64::from(ttl);
            assert!((i64::from(i32::MAX) - 2 * 86_400..i64::from(i32::MAX)).contains(&end), "{end}");
        }
        assert_eq!(ttl_at(2_150_000_000_000, 2_150_000_000_000, day), Some(86_400), "a server of that time");
    }
}
