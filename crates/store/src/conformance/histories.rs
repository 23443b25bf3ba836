//! Histories and error feeds.

use ronda_domain::record::{OccurrenceStatus, Subject};
use ronda_domain::time::Timestamp;

use super::StoreHarness;
use super::fixture::{Owner, at, deleted, due, error, everything, key, occurrence, row, run, tenant, unscheduled};
use crate::port::{Commit, ErrorCursor, HistoryEntry, HistoryQuery, Store};

const SEEN: OccurrenceStatus = OccurrenceStatus::Succeeded;

async fn put(store: &dyn Store, owner: &mut Owner, subjects: &[Subject]) {
    let scheduler = key("acme", "job");
    let entries = subjects.iter().map(|subject| (scheduler.clone(), occurrence(subject, SEEN)));
    let commit = Commit { occurrences: entries.collect(), ..owner.next_commit() };
    store.commit(commit).await.expect("commit");
}

fn subjects(entries: &[HistoryEntry]) -> Vec<Subject> {
    entries.iter().map(|entry| entry.occurrence.subject.clone()).collect()
}

/// Newest first, by the subject's time, whatever its kind; each with its own runs, oldest first.
pub async fn a_history_comes_newest_first_with_its_runs(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let newest_first =
        [due(9_000), Subject::Silence { since: at(8_000) }, unscheduled(7_000, "adhoc"), due(6_000), due(-5)];
    let mut mixed = newest_first.to_vec();
    mixed.rotate_left(2);
    put(&*store, &mut owner, &mixed).await;
    let job = key("acme", "job");
    let (retried, adhoc) = (due(6_000), unscheduled(7_000, "adhoc"));
    let runs = [run(&retried, "a-retry", 6_500), run(&retried, "z-first", 6_010), run(&adhoc, "adhoc", 7_000)];
    let commit = Commit { runs: runs.iter().cloned().map(|run| (job.clone(), run)).collect(), ..owner.next_commit() };
    store.commit(commit).await.expect("commit");

    let history = store.history(&job, &everything()).await.expect("history");
    assert_eq!(subjects(&history), newest_first);
    let run_ids: Vec<Vec<&str>> =
        history.iter().map(|entry| entry.runs.iter().map(|run| run.run_id.as_str()).collect()).collect();
    let expected: [&[&str]; 5] = [&[], &[], &["adhoc"], &["z-first", "a-retry"], &[]];
    assert_eq!(run_ids, expected);
    assert!(store.history(&key("acme", "jo"), &everything()).await.expect("history").is_empty());
}

/// `from` is included, `until` is not.
pub async fn a_history_is_cut_by_time(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let all: Vec<_> = (-2..3).rev().map(due).collect();
    put(&*store, &mut owner, &all).await;
    for (from, until, expected) in [
        (Timestamp::MIN, Timestamp::MAX, &all[..]),
        (at(0), at(2), &all[1..3]),
        (at(2), at(9), &all[..1]),
        (at(-2), at(-1), &all[4..]),
        (at(0).plus_millis(1), at(1), &[]),
        (at(1), at(1), &[]),
        (at(2), at(-2), &[]),
    ] {
        let query = HistoryQuery { from, until, ..everything() };
        let found = store.history(&key("acme", "job"), &query).await.expect("history");
        assert_eq!(subjects(&found), expected, "from {from:?} until {until:?}");
    }
}

/// Pages join without loss or repeats, though newer entries come and runs are added between them.
pub async fn pages_of_a_history_lose_and_repeat_nothing(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let job = key("acme", "job");
    let mut all: Vec<_> = (1..=20).rev().map(due).collect();
    // Several things at one moment.
    all.splice(3..3, [unscheduled(17, "a"), unscheduled(17, "b"), Subject::Silence { since: at(17) }]);
    put(&*store, &mut owner, &all).await;
    for limit in [1, 4, 100] {
        let mut seen: Vec<HistoryEntry> = Vec::new();
        for round in 0..100 {
            let after = seen.last().map(|entry| entry.occurrence.subject.clone());
            let query = HistoryQuery { after: after.clone(), limit, until: at(21), ..everything() };
            let page = store.history(&job, &query).await.expect("history");
            if page.is_empty() {
                break;
            }
            seen.extend(page);
            put(&*store, &mut owner, &[due(100 + round)]).await;
            if let Some(subject) = after {
                let commit = Commit { runs: vec![(job.clone(), run(&subject, "late", 1))], ..owner.next_commit() };
                store.commit(commit).await.expect("commit");
            }
        }
        let mut found = subjects(&seen);
        assert!(found.is_sorted_by_key(|subject| std::cmp::Reverse(subject.time())), "{found:?}");
        found.sort();
        let mut expected = all.clone();
        expected.sort();
        assert_eq!(found, expected, "in pages of {limit}");
    }
}

/// An entry, or a run, that is written again is there once, as written last.
pub async fn an_entry_written_again_replaces_the_first(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let (job, subject) = (key("acme", "job"), due(60));
    for status in [OccurrenceStatus::Running, OccurrenceStatus::Stale, OccurrenceStatus::Succeeded] {
        let mut written = run(&subject, "run-1", 61);
        written.status = status;
        let commit = Commit {
            occurrences: vec![(job.clone(), occurrence(&subject, status))],
            runs: vec![(job.clone(), written.clone())],
            ..owner.next_commit()
        };
        store.commit(commit).await.expect("commit");
        let history = store.history(&job, &everything()).await.expect("history");
        assert_eq!(history, [HistoryEntry { occurrence: occurrence(&subject, status), runs: vec![written] }]);
    }
}

/// What ran stays known until retention takes it, though the scheduler was deleted and perhaps registered again.
pub async fn a_history_outlives_its_scheduler(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let job = key("acme", "job");
    owner.put(&*store, vec![row(&job, 1)]).await;
    put(&*store, &mut owner, &[due(1)]).await;
    owner.put(&*store, vec![deleted(&job, 2)]).await;
    let commit = Commit { removed: vec![job.clone()], ..owner.next_commit() };
    store.commit(commit).await.expect("commit");
    assert_eq!(subjects(&store.history(&job, &everything()).await.expect("history")), [due(1)]);
    owner.put(&*store, vec![row(&job, 3)]).await;
    put(&*store, &mut owner, &[due(2)]).await;
    assert_eq!(subjects(&store.history(&job, &everything()).await.expect("history")), [due(2), due(1)]);
}

/// A tenant's errors come newest first, and pages join without loss or repeats while new ones come.
pub async fn errors_come_newest_first_in_pages(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    // Two of one moment are told apart by their message.
    let mut newest_first: Vec<_> =
        (1..=9_u64).map(|number| error("acme", i64::try_from(number / 2).unwrap_or(0), number)).collect();
    newest_first.reverse();
    let commit = Commit { errors: newest_first.clone(), ..owner.next_commit() };
    store.commit(commit).await.expect("commit");
    for limit in [1, 2, 100] {
        let mut seen = Vec::new();
        let mut after = Some(ErrorCursor { at: at(5), message: error("acme", 0, 0).message });
        loop {
            let page = store.errors(&tenant("acme"), after, limit).await.expect("errors");
            let Some(last) = page.last() else { break };
            after = Some(ErrorCursor { at: last.at, message: last.message });
            seen.extend(page);
            let commit = Commit { errors: vec![error("acme", 100, 100), error("other", 0, 1)], ..owner.next_commit() };
            store.commit(commit).await.expect("commit");
        }
        assert_eq!(seen, newest_first, "in pages of {limit}");
    }
    let newest = store.errors(&tenant("acme"), None, 1).await.expect("errors");
    assert_eq!(newest, [error("acme", 100, 100)]);
}
