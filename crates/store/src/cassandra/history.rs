//! Histories: written by storage partitions of a week, read newest first across them.
//!
//! Entries have write timestamps of the clock, so that files of one time hold what expires at one time. What guards them is the epoch in
//! their key: of several owners' rows of one entry the greatest epoch's is read.

use futures::TryStreamExt as _;
use ronda_domain::id::SchedulerKey;
use ronda_domain::record::Subject;

use super::history_walk::{Go, Place, Walk};
use super::ownership::Stamp;
use super::schema::BUCKET_MS;
use super::{CassandraStore, age_of};
use crate::error::StoreError;
use crate::port::{HistoryPage, HistoryQuery};

const READING: &str = "reading a history";

/// Which storage partition an age is in. Rounds towards the past, before 1970 as well.
const fn bucket_of(age: i64) -> i64 {
    (!age).div_euclid(BUCKET_MS)
}

/// Kind and run of a subject, as they sort among those of one moment.
fn kind_of(subject: &Subject) -> (i8, &str) {
    match subject {
        Subject::Occurrence { .. } => (0, ""),
        Subject::Run { run_id, .. } => (1, run_id.as_str()),
        Subject::Silence { .. } => (2, ""),
    }
}

/// Where a page begins: after this place.
fn start_of(query: &HistoryQuery) -> Place {
    // The first that is wanted is a millisecond older than `until`; no kind is less than 0.
    let begin = Place { age: age_of(query.until).saturating_add(1), kind: -1, subject_run: String::new() };
    let Some(after) = &query.after else { return begin };
    let (kind, run) = kind_of(after);
    begin.max(Place { age: age_of(after.time()), kind, subject_run: run.to_owned() })
}

impl CassandraStore {
    /// Writes an entry (without a run's id) or one of its runs, unless its time is over.
    pub(super) async fn put_history(
        &self,
        partition: u32,
        stamp: Stamp,
        key: &SchedulerKey,
        subject: &Subject,
        run: &str,
        row: Vec<u8>,
    ) -> Result<Vec<u64>, StoreError> {
        let age = age_of(subject.time());
        let Some(ttl) = self.ttl_of(subject.time().as_millis()) else { return Ok(Vec::new()) };
        let (tenant, scheduler) = (key.tenant.as_str(), key.scheduler.as_str());
        let (kind, subject_run) = kind_of(subject);
        let bucket = bucket_of(age);
        let (epoch, now) = (stamp.epoch, self.now_micros());
        let values = (tenant, scheduler, bucket, age, kind, subject_run, run, epoch, row, now, ttl);
        let put = self.client.write("writing history", &self.client.statements.put_history, values);
        let ((), seen) = futures::try_join!(put, self.put_history_bucket(partition, key, bucket))?;
        Ok(seen)
    }

    /// Notes that a storage partition exists, unless this owner has done so. The note outlives all that may be in it.
    async fn put_history_bucket(
        &self,
        partition: u32,
        key: &SchedulerKey,
        bucket: i64,
    ) -> Result<Vec<u64>, StoreError> {
        let name = self.ownership.name(("history", key, bucket));
        let end_ms = bucket.saturating_add(1).saturating_mul(BUCKET_MS);
        let Some(ttl) = self.ttl_of(end_ms).filter(|_| !self.ownership.has_seen(partition, name)) else {
            return Ok(Vec::new());
        };
        let values = (key.tenant.as_str(), key.scheduler.as_str(), !bucket, ttl);
        self.client.write("writing history", &self.client.statements.put_history_bucket, values).await?;
        Ok(vec![name])
    }

    pub(super) async fn history_page(
        &self,
        key: &SchedulerKey,
        query: &HistoryQuery,
    ) -> Result<HistoryPage, StoreError> {
        let oldest = age_of(query.from.max(self.kept_from()));
        let mut walk = Walk::new(query, start_of(query));
        for bucket in self.buckets(key, walk.after.age, oldest).await? {
            if self.walk_bucket(key, bucket, oldest, &mut walk).await? {
                return Ok(walk.page(true));
            }
        }
        Ok(walk.page(false))
    }

    /// Which storage partitions there are between two ages, newest first.
    async fn buckets(&self, key: &SchedulerKey, newest: i64, oldest: i64) -> Result<Vec<i64>, StoreError> {
        if newest > oldest {
            return Ok(Vec::new());
        }
        let values = (key.tenant.as_str(), key.scheduler.as_str(), !bucket_of(newest), !bucket_of(oldest));
        let ages = self.client.rows(READING, &self.client.statements.history_buckets, values).await?;
        ages.map_ok(|(age,): (i64,)| !age).try_collect().await
    }

    /// Walks through a storage partition; `true`: the page is full.
    async fn walk_bucket(
        &self,
        key: &SchedulerKey,
        bucket: i64,
        oldest: i64,
        walk: &mut Walk<'_>,
    ) -> Result<bool, StoreError> {
        type Row = (i64, i8, String, String, Option<Vec<u8>>);
        'leap: loop {
            let Place { age, kind, subject_run } = walk.after.clone();
            let values = (key.tenant.as_str(), key.scheduler.as_str(), bucket, age, kind, subject_run.as_str(), oldest);
            let mut rows = self.client.rows::<Row>(READING, &self.client.statements.history, values).await?;
            while let Some((age, kind, subject_run, run, row)) = rows.try_next().await? {
                let Some(row) = row else { continue };
                match walk.step(Place { age, kind, subject_run }, &run, &row)? {
                    Go::On => {}
                    Go::BehindEntry => continue 'leap,
                    Go::PageIsFull => return Ok(true),
                }
            }
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use ronda_domain::id::RunId;
    use ronda_domain::time::Timestamp;

    use super::*;

    fn query(until: Timestamp, after: Option<Subject>) -> HistoryQuery {
        HistoryQuery { from: Timestamp::MIN, until, after, limit: 9, runs_each: 9, max_rows: 9 }
    }

    #[test]
    fn ages_turn_the_order_round_and_buckets_round_to_the_past() {
        for (ms, bucket) in
            [(0, 0), (BUCKET_MS - 1, 0), (BUCKET_MS, 1), (-1, -1), (-BUCKET_MS, -1), (-BUCKET_MS - 1, -2)]
        {
            let age = age_of(Timestamp::from_millis(ms));
            assert_eq!(bucket_of(age), bucket, "of {ms} ms");
        }
        assert!(age_of(Timestamp::from_millis(5)) < age_of(Timestamp::from_millis(-5)));
    }

    #[test]
    fn a_page_begins_after_the_entry_or_at_the_time_whichever_is_older() {
        let until = Timestamp::from_millis(100);
        let begin = start_of(&query(until, None));
        assert!(begin < Place { age: age_of(Timestamp::from_millis(99)), kind: 0, subject_run: String::new() });
        assert!(begin > Place { age: age_of(until), kind: 2, subject_run: String::new() });
        let newer = Subject::Silence { since: Timestamp::from_millis(200) };
        assert_eq!(start_of(&query(until, Some(newer))), begin);
        let run_id = RunId::new("r").expect("a run id");
        let older = Subject::Run { started: Timestamp::from_millis(50), run_id };
        let expected = Place { age: age_of(Timestamp::from_millis(50)), kind: 1, subject_run: "r".into() };
        assert_eq!(start_of(&query(until, Some(older))), expected);
        assert!(start_of(&query(Timestamp::MAX, None)).age > i64::MIN);
    }
}
