//! The store port: what processor, gateway and notifier ask of a store, each through the part that it needs.
//!
//! Every adapter passes the cases of [`conformance`]. Rows are typed here; how they are laid out is the adapter's.

use std::sync::Arc;

use async_trait::async_trait;
use ronda_domain::id::{SchedulerId, SchedulerKey, TenantId};
use ronda_domain::record::{OccurrenceRecord, RunRecord, Subject};
use ronda_domain::time::Timestamp;
use ronda_schemas::row::{ApiKeyRow, ErrorRow, IdempotencyRow, IdempotentAnswer, PartitionRow, SchedulerRow};

use crate::error::StoreError;
pub use crate::lease::{LeaseStore, LeaseTable};

/// Everything at once: what an adapter implements.
pub trait Store:
    PartitionStore
    + SchedulerReads
    + KeyStore
    + IdempotencyStore
    + SurfaceStore
    + LabelStore
    + LeaseStore
    + Retention
    + Send
    + Sync
    + 'static
{
}

impl<T> Store for T where
    T: PartitionStore
        + SchedulerReads
        + KeyStore
        + IdempotencyStore
        + SurfaceStore
        + LabelStore
        + LeaseStore
        + Retention
        + Send
        + Sync
        + 'static
{
}

/// One commit of a partition: all of it becomes durable, or none of it can be seen after a crash.
///
/// A store without transactions over rows writes `occurrences`, `runs` and `errors` first; once all of them are there, `rows` and what is
/// `removed`; and then it moves `partition` on condition of its epoch. Rows ahead of the cursor are harmless: the next owner passes over what
/// they hold, and so never writes again what followed from it, which has to be there before them.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The partition's row as it shall be; its `epoch` must still be the stored one.
    pub partition: PartitionRow,
    /// Scheduler rows to put.
    pub rows: Vec<SchedulerRow>,
    /// Schedulers whose rows shall go: deleted, and all their events published. History is left to retention.
    pub removed: Vec<SchedulerKey>,
    /// History entries to put, by scheduler and subject.
    pub occurrences: Vec<(SchedulerKey, OccurrenceRecord)>,
    /// Runs to put, by scheduler, subject and run id.
    pub runs: Vec<(SchedulerKey, RunRecord)>,
    /// Entries for the tenants' error feeds.
    pub errors: Vec<ErrorRow>,
}

/// What the owner of a partition needs.
#[async_trait]
pub trait PartitionStore: Send + Sync {
    /// Whether a commit is there as a whole or not at all, so that an owner that was replaced leaves nothing behind.
    fn is_atomic(&self) -> bool {
        false
    }

    /// Makes the caller the partition's owner: raises its epoch, durably, and answers its row (a fresh one for a new partition).
    ///
    /// # Errors
    /// [`OtherPartitions`](crate::error::StoreErrorKind::OtherPartitions) when the store was made for another number of partitions;
    /// [`Conflict`](crate::error::StoreErrorKind::Conflict) while that number is being changed.
    async fn acquire(&self, partition: u32, partitions: u32) -> Result<PartitionRow, StoreError>;

    /// The partition's scheduler rows, a page at a time: those whose `hash mod partitions` is the partition, after the given key in
    /// whatever order the adapter has. An empty page is the end.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn load(
        &self,
        partition: u32,
        partitions: u32,
        after: Option<&SchedulerKey>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError>;

    /// Makes a commit durable. It is shared, because who tries it again needs it again, and a copy of thousands of rows is dear.
    ///
    /// # Errors
    /// [`Fenced`](crate::error::StoreErrorKind::Fenced) when the epoch is no longer the stored one: the caller owns the partition no more.
    /// Then, and after `Invalid` or `Full`, nothing was written; by a store without transactions over rows at most some that no newer
    /// owner has written or removed, ahead of the cursor. After `Unavailable` the commit may or may not be there; the same one may be
    /// tried again, or the partition acquired and loaded anew.
    async fn commit(&self, commit: Arc<Commit>) -> Result<(), StoreError>;

    /// Asks whether the partition is still its whose epoch this is, after everything that happened before the call. Who is still the owner has
    /// missed nothing of the command queue: nobody else has settled any of it.
    ///
    /// # Errors
    /// [`Fenced`](crate::error::StoreErrorKind::Fenced) when the epoch is no longer the stored one.
    async fn check_owner(&self, partition: u32, epoch: u64) -> Result<(), StoreError>;

    /// Changes the number of partitions that the store is for, all at once. To be called when everything in the command queue is committed
    /// and settled, and every derived event published; it can't tell.
    ///
    /// Each new partition has an epoch above all of before, so that no former owner writes any more; the greatest cursor, so that no row
    /// looks as if it were ahead; the least watermark of those that had begun; and no gateways. What was counted is counted on in
    /// partition 0. A store that is for this number already, or for none yet, stays as it is.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn repartition(&self, partitions: u32) -> Result<(), StoreError>;
}

/// Which part of a history to read: newest first; entries of one moment by kind (occurrence, run, silence) and then by run id.
#[derive(Clone, Debug)]
pub struct HistoryQuery {
    /// Only entries whose subject's time is at or after this.
    pub from: Timestamp,
    /// Only entries whose subject's time is before this.
    pub until: Timestamp,
    /// Only entries after this one, in the answer's order.
    pub after: Option<Subject>,
    /// At most so many entries.
    pub limit: usize,
    /// At most so many runs with each entry: the newest.
    pub runs_each: usize,
    /// At most so many entries and runs are looked at; a page that would need more ends early. One entry that has more alone than that
    /// comes with the newest of the runs that were looked at.
    pub max_rows: usize,
}

/// A page of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistoryPage {
    /// Newest first.
    pub entries: Vec<HistoryEntry>,
    /// After which entry to go on; `None`: this is the end.
    pub next: Option<Subject>,
}

/// One entry of a history with its runs, oldest run first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The occurrence, unscheduled run or silence.
    pub occurrence: OccurrenceRecord,
    /// Its newest runs, as many as were asked for.
    pub runs: Vec<RunRecord>,
    /// How many runs it has in all.
    pub runs_total: u64,
}

/// A place in a tenant's error feed: receive time, then message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ErrorCursor {
    /// Receive time of the entry.
    pub at: Timestamp,
    /// Its message.
    pub message: ronda_domain::id::MessageId,
}

/// What can be read by anybody.
#[async_trait]
pub trait SchedulerReads: Send + Sync {
    /// A partition's row, as of its last commit.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn partition(&self, partition: u32) -> Result<Option<PartitionRow>, StoreError>;

    /// One scheduler's row; deleted ones are not found.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn scheduler(&self, tenant: &str, scheduler: &str) -> Result<Option<SchedulerRow>, StoreError>;

    /// Whether a scheduler has a row and is not deleted: what [`scheduler`](Self::scheduler) would find, without reading the row.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn is_registered(&self, tenant: &str, scheduler: &str) -> Result<bool, StoreError> {
        Ok(self.scheduler(tenant, scheduler).await?.is_some())
    }

    /// A tenant's schedulers by id, ascending, after the given one; deleted ones are left out. Fewer than `limit`: the end.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn schedulers(
        &self,
        tenant: &TenantId,
        after: Option<&SchedulerId>,
        limit: usize,
    ) -> Result<Vec<SchedulerRow>, StoreError>;

    /// A page of one scheduler's history.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn history(&self, key: &SchedulerKey, query: &HistoryQuery) -> Result<HistoryPage, StoreError>;

    /// A tenant's error feed, newest first, after the given entry.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn errors(
        &self,
        tenant: &TenantId,
        after: Option<ErrorCursor>,
        limit: usize,
    ) -> Result<Vec<ErrorRow>, StoreError>;

    /// Every tenant that has schedulers or keys, ascending.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError>;
}

/// API keys.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Puts a key, new or changed (revoked), by its hash.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn put_key(&self, key: ApiKeyRow) -> Result<(), StoreError>;

    /// The key with this SHA-256.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError>;

    /// All keys, of one tenant or of all, by their time of making.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn keys(&self, tenant: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError>;
}

/// What a claim of an idempotency key found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdempotencyClaim {
    /// It was free, and is now the caller's.
    Claimed,
    /// Somebody claimed it before: this is what is there.
    Existing(IdempotencyRow),
}

/// Answers given to an `Idempotency-Key`.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Claims a key, atomically, unless it is there already.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn claim(&self, tenant: &TenantId, key: &str, row: IdempotencyRow) -> Result<IdempotencyClaim, StoreError>;

    /// Replaces what a claim found, atomically, if it is still there unchanged; `false`: somebody else was faster.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn take_over(
        &self,
        tenant: &TenantId,
        key: &str,
        found: &IdempotencyRow,
        row: IdempotencyRow,
    ) -> Result<bool, StoreError>;

    /// Writes the answer to a claimed key.
    ///
    /// # Errors
    /// [`Conflict`](crate::error::StoreErrorKind::Conflict) when nobody holds the key.
    async fn answer(&self, tenant: &TenantId, key: &str, answer: IdempotentAnswer) -> Result<(), StoreError>;

    /// Gives a claimed key back: the request was refused before it had any effect. A key that nobody holds is no error.
    ///
    /// # Errors
    /// [`Conflict`](crate::error::StoreErrorKind::Conflict) when it has been answered.
    async fn release(&self, tenant: &TenantId, key: &str) -> Result<(), StoreError>;
}

/// One change of the notifier's own rows: surfaces and the like, opaque to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurfaceWrite {
    /// The row's key within its shard; at most 512 bytes.
    pub key: String,
    /// The row, encoded by its owner; `None`: remove it.
    pub row: Option<Vec<u8>>,
}

/// What the notifier keeps. A shard is one partition of the event queue.
#[async_trait]
pub trait SurfaceStore: Send + Sync {
    /// Makes the caller the shard's owner: raises its epoch, durably, and answers it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn acquire_shard(&self, shard: u32) -> Result<u64, StoreError>;

    /// Makes changes durable, all together.
    ///
    /// # Errors
    /// [`Fenced`](crate::error::StoreErrorKind::Fenced) when the epoch is no longer the stored one.
    async fn commit_surfaces(&self, shard: u32, epoch: u64, writes: Vec<SurfaceWrite>) -> Result<(), StoreError>;

    /// A shard's rows whose key begins so, ascending by key, after the given key.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn surfaces(
        &self,
        shard: u32,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError>;
}

/// Short texts that a store keeps of what it belongs to, such as the queues that its cursors are of.
#[async_trait]
pub trait LabelStore: Send + Sync {
    /// The text of this name; at most 64 small letters and `-`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn label(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// Puts a text, atomically, if what is there is what was expected (`None`: nothing); `false`: it is not. A text has at most 1,024 bytes.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn put_label(&self, name: &str, expected: Option<&str>, text: &str) -> Result<bool, StoreError>;
}

/// Whether a label can be kept.
pub(crate) fn check_label(name: &str, text: &str) -> Result<(), StoreError> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
    if (1..=64).contains(&name.len()) && name.bytes().all(is_plain) && text.len() <= 1_024 {
        return Ok(());
    }
    let what = format!(
        "a label {name:?} of {} bytes: names have 1 to 64 of a to z and -, texts at most 1024 bytes",
        text.len()
    );
    Err(StoreError::new(crate::error::StoreErrorKind::Invalid, what))
}

/// Where a purge stopped, opaque.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeCursor(pub Vec<u8>);

/// How far a purge came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// How many entries it removed.
    pub removed: usize,
    /// Where to go on; `None`: it is through.
    pub next: Option<PurgeCursor>,
}

/// What is kept for a configured time only.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Looks at no more than `limit` entries of history, error feeds and idempotency keys and removes, of the first two, those from before the
    /// given time; an idempotency key goes 24 hours, by the wall clock, after it was first seen or last taken over. To be called again with `next` until it is
    /// through; each call is short, so nothing else waits for it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    async fn purge(&self, before: Timestamp, resume: Option<PurgeCursor>, limit: usize) -> Result<Purged, StoreError>;
}
