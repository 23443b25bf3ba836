//! What is kept for a time only.

use std::sync::Arc;

use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::time::Timestamp;

use super::StoreHarness;
use super::fixture::{Owner, at, claim, due, error, everything, key, now, occurrence, row, run, tenant};
use crate::port::{Commit, IdempotencyClaim, PurgeCursor, Store};

const SCHEDULERS: [(&str, &str); 4] = [("a", "bc"), ("ab", "c"), ("a-b", "job"), ("a", "b")];
const ENTRIES: i64 = 10;

/// Histories and errors at 1 to 10 seconds.
async fn fill(store: &dyn Store) {
    let mut owner = Owner::acquire(store, 0, 1).await;
    for (tenant_id, scheduler) in SCHEDULERS {
        let scheduler = key(tenant_id, scheduler);
        let mut commit = owner.next_commit();
        commit.rows.push(row(&scheduler, 1));
        for second in 1..=ENTRIES {
            let subject = due(second);
            commit.occurrences.push((scheduler.clone(), occurrence(&subject, OccurrenceStatus::Succeeded)));
            commit.runs.push((scheduler.clone(), run(&subject, "run-1", second)));
            commit.errors.push(error(tenant_id, second, second.unsigned_abs()));
        }
        store.commit(Arc::new(commit)).await.expect("commit");
    }
}

async fn purge_all(store: &dyn Store, before: Timestamp, limit: usize) -> (usize, usize) {
    let (mut removed, mut calls, mut resume) = (0, 0, None::<PurgeCursor>);
    loop {
        let purged = store.purge(before, resume, limit).await.expect("purge");
        assert!(purged.removed <= limit, "{} removed in a call for {limit}", purged.removed);
        removed += purged.removed;
        calls += 1;
        assert!(calls < 10_000, "a purge must come to an end");
        resume = purged.next;
        if resume.is_none() {
            return (removed, calls);
        }
    }
}

async fn check_kept(store: &dyn Store, from: i64) {
    for (tenant_id, scheduler) in SCHEDULERS {
        let scheduler = key(tenant_id, scheduler);
        let history = store.history(&scheduler, &everything()).await.expect("history").entries;
        let times: Vec<_> = history.iter().map(|entry| entry.occurrence.subject.time()).collect();
        assert_eq!(times, (from..=ENTRIES).rev().map(at).collect::<Vec<_>>());
        assert!(history.iter().all(|entry| entry.runs.len() == 1), "runs go with their entries");
        let errors = store.errors(&tenant(tenant_id), None, 100).await.expect("errors");
        assert!(!errors.is_empty() && errors.iter().all(|error| error.at >= at(from)));
    }
    assert_eq!(store.load(0, 1, None, 100).await.expect("load").len(), SCHEDULERS.len());
}

/// Everything from before the time goes, in calls of any size; nothing of it or after it does.
pub async fn a_purge_removes_the_old_and_spares_the_new(harness: &dyn StoreHarness) {
    if harness.expires_by_itself() {
        return what_is_over_is_hidden(harness).await;
    }
    let store = harness.open().await;
    fill(&*store).await;
    assert_eq!(purge_all(&*store, at(1), 1_000).await, (0, 1));
    check_kept(&*store, 1).await;
    let mut from = 1;
    for limit in [1_000, 7, 1] {
        from += 2;
        // Entries, runs and the errors of three tenants, two seconds each.
        let (removed, _) = purge_all(&*store, at(from), limit).await;
        assert_eq!(removed, 2 * (2 * SCHEDULERS.len() + 3), "in calls for {limit}");
        check_kept(&*store, from).await;
    }
    let (removed, _) = purge_all(&*store, Timestamp::MAX, 1_000).await;
    assert!(removed > 0);
    drop(store);
    let store = harness.open().await;
    assert!(store.history(&key("a", "b"), &everything()).await.expect("history").entries.is_empty());
    assert!(store.errors(&tenant("ab"), None, 9).await.expect("errors").is_empty());
}

/// Where things expire by themselves a purge finds nothing to do, and what is over can't be read, whether it is still there or not.
async fn what_is_over_is_hidden(harness: &dyn StoreHarness) {
    const KEEP_SECONDS: u32 = 3_600;
    let (old, new) = (now().minus_seconds(KEEP_SECONDS + 60), now().minus_seconds(KEEP_SECONDS - 600));
    let job = key("acme", "job");
    let mut store = harness.open_keeping(KEEP_SECONDS).await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let mut commit = Commit { rows: vec![row(&job, 1)], ..owner.next_commit() };
    for at in [old, new] {
        let (subject, seconds) = (Subject::Occurrence { due: at }, at.as_millis().div_euclid(1_000));
        commit.occurrences.push((job.clone(), occurrence(&subject, OccurrenceStatus::Succeeded)));
        commit.runs.push((job.clone(), run(&subject, "run-1", seconds)));
        commit.errors.push(error("acme", seconds, 1));
    }
    let kept = commit.errors.last().cloned();
    store.commit(Arc::new(commit)).await.expect("commit");
    for _ in 0..2 {
        let history = store.history(&job, &everything()).await.expect("history");
        let found: Vec<_> =
            history.entries.iter().map(|entry| (entry.occurrence.subject.time(), entry.runs.len())).collect();
        assert_eq!((found, history.next), (vec![(new, 1)], None));
        let errors = store.errors(&tenant("acme"), None, 9).await.expect("errors");
        assert_eq!(errors.first().cloned(), kept);
        assert_eq!(errors.len(), 1);
        assert_eq!(purge_all(&*store, Timestamp::MAX, 1).await, (0, 1));
        drop(store);
        store = harness.open_keeping(KEEP_SECONDS).await;
    }
    assert_eq!(store.load(0, 1, None, 9).await.expect("load").len(), 1, "a scheduler does not expire");
}

/// Commits between two calls disturb nothing, and a purge can begin anew at any time.
pub async fn a_purge_goes_on_where_it_stopped(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    fill(&*store).await;
    if harness.expires_by_itself() {
        assert_eq!(purge_all(&*store, at(6), 3).await, (0, 1));
        return check_kept(&*store, 1).await;
    }
    let first = store.purge(at(6), None, 3).await.expect("purge");
    assert!(first.next.is_some() && first.removed <= 3);
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let late = (key("a", "b"), occurrence(&due(9), OccurrenceStatus::Failed));
    let commit = Commit { occurrences: vec![late], ..owner.next_commit() };
    store.commit(Arc::new(commit)).await.expect("commit");
    let (removed, calls) = purge_all(&*store, at(6), 3).await;
    assert!(calls > 1);
    assert_eq!(first.removed + removed, 5 * (2 * SCHEDULERS.len() + 3));
    check_kept(&*store, 6).await;
}

/// An idempotency key is kept for 24 hours by the wall clock, whatever the retention of histories.
pub async fn idempotency_keys_are_kept_for_a_day(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let acme = tenant("acme");
    let now = now();
    let (old, new) = (now.minus_seconds(25 * 3_600), now.minus_seconds(23 * 3_600));
    for number in 0..5 {
        for (name, created_at) in [("old", old), ("new", new)] {
            let claimed =
                store.claim(&acme, &format!("{name}-{number}"), claim(number, created_at)).await.expect("claim");
            assert_eq!(claimed, IdempotencyClaim::Claimed);
        }
    }
    let expired = if harness.expires_by_itself() { 0 } else { 5 };
    assert_eq!(purge_all(&*store, Timestamp::MIN, 2).await.0, expired);
    assert_eq!(purge_all(&*store, now, 100).await.0, 0);
    let kept = store.claim(&acme, "new-1", claim(9, now)).await.expect("claim");
    assert_eq!(kept, IdempotencyClaim::Existing(claim(1, new)));
    assert_eq!(store.claim(&acme, "old-1", claim(9, now)).await.expect("claim"), IdempotencyClaim::Claimed);
}
