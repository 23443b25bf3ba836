//! Histories and error feeds.

use std::sync::Arc;

use ronda_domain::record::{OccurrenceRecord, OccurrenceStatus, Subject};
use ronda_domain::time::Timestamp;

use super::StoreHarness;
use super::fixture::{Owner, at, deleted, due, error, everything, key, occurrence, row, run, tenant, unscheduled};
use crate::port::{Commit, ErrorCursor, HistoryEntry, HistoryQuery, Store};

const SEEN: OccurrenceStatus = OccurrenceStatus::Succeeded;

async fn put(store: &dyn Store, owner: &mut Owner, subjects: &[Subject]) {
    let scheduler = key("acme", "job");
    let entries = subjects.iter().map(|subject| (scheduler.clone(), occurrence(subject, SEEN)));
    let commit = Commit { occurrences: entries.collect(), ..owner.next_commit() };
    store.commit(Arc::new(commit)).await.expect("commit");
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
    store.commit(Arc::new(commit)).await.expect("commit");

    let history = store.history(&job, &everything()).await.expect("history").entries;
    assert_eq!(subjects(&history), newest_first);
    let run_ids: Vec<Vec<&str>> =
        history.iter().map(|entry| entry.runs.iter().map(|run| run.run_id.as_str()).collect()).collect();
    let expected: [&[&str]; 5] = [&[], &[], &["adhoc"], &["z-first", "a-retry"], &[]];
    assert_eq!(run_ids, expected);
    assert!(store.history(&key("acme", "jo"), &everything()).await.expect("history").entries.is_empty());
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
        assert_eq!(subjects(&found.entries), expected, "from {from:?} until {until:?}");
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
            seen.extend(page.entries);
            assert!(page.next.is_none() || page.next == seen.last().map(|entry| entry.occurrence.subject.clone()));
            if page.next.is_none() {
                break;
            }
            put(&*store, &mut owner, &[due(100 + round)]).await;
            if let Some(subject) = after {
                let commit = Commit { runs: vec![(job.clone(), run(&subject, "late", 1))], ..owner.next_commit() };
                store.commit(Arc::new(commit)).await.expect("commit");
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

/// However many runs an entry has, it comes with the newest of them, oldest first, and says how many there are.
pub async fn an_entry_comes_with_its_newest_runs(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let (job, crowded) = (key("acme", "job"), unscheduled(60, "a"));
    put(&*store, &mut owner, &[due(70), crowded.clone(), due(50)]).await;
    // Ids say nothing about the order of starts.
    let runs = (0..250_i64).map(|number| run(&crowded, &format!("run-{:03}", number * 77 % 250), 60 + number));
    let others = [run(&due(70), "before", 71), run(&due(50), "after", 51)];
    let runs = runs.chain(others).map(|run| (job.clone(), run)).collect();
    let commit = Commit { runs, ..owner.next_commit() };
    store.commit(Arc::new(commit)).await.expect("commit");
    for runs_each in [0, 1, 100, 1_000] {
        let query = HistoryQuery { runs_each, ..everything() };
        let page = store.history(&job, &query).await.expect("history");
        assert_eq!(subjects(&page.entries), [due(70), crowded.clone(), due(50)]);
        let totals: Vec<u64> = page.entries.iter().map(|entry| entry.runs_total).collect();
        assert_eq!((totals, page.next), (vec![1, 250, 1], None), "{runs_each} runs each");
        let entry = page.entries.get(1).expect("the crowded entry");
        let started: Vec<Timestamp> = entry.runs.iter().map(|run| run.started_at).collect();
        let first = 250 - i64::try_from(runs_each).unwrap_or(i64::MAX).min(250);
        assert_eq!(started, (first..250).map(|number| at(60 + number)).collect::<Vec<_>>(), "{runs_each} runs each");
    }
}

/// A page ends early rather than look at more rows than it may, and pages join all the same. An entry that alone has more comes without all
/// of its runs, and still says how many there are.
pub async fn a_page_of_a_history_looks_at_no_more_than_it_may(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let job = key("acme", "job");
    let counts = [0_u32, 3, 1, 40, 0, 0, 5, 9];
    let all: Vec<(Subject, u32)> = (1_i64..).map(|number| due(-100 * number)).zip(counts).collect();
    let entry =
        |(subject, runs): &(Subject, u32)| (job.clone(), OccurrenceRecord { runs: *runs, ..occurrence(subject, SEEN) });
    let runs = all.iter().flat_map(|(subject, runs)| {
        (0..*runs).map(|number| (job.clone(), run(subject, &format!("run-{number}"), i64::from(number))))
    });
    let commit = Commit { occurrences: all.iter().map(entry).collect(), runs: runs.collect(), ..owner.next_commit() };
    store.commit(Arc::new(commit)).await.expect("commit");
    for max_rows in [1, 2, 4, 10, 41, 60, 1_000] {
        let mut seen: Vec<HistoryEntry> = Vec::new();
        let mut after = None;
        loop {
            let query = HistoryQuery { after, max_rows, ..everything() };
            let page = store.history(&job, &query).await.expect("history");
            let rows: usize = page.entries.iter().map(|entry| 1 + entry.runs.len()).sum();
            assert!(rows <= max_rows, "{rows} rows on a page of {max_rows}");
            assert!(!page.entries.is_empty(), "a page that says that there is more has something");
            for entry in &page.entries {
                let is_whole = entry.runs.len() as u64 == entry.runs_total;
                assert!(is_whole || page.entries.len() == 1, "{entry:?} on a page of {max_rows}");
            }
            seen.extend(page.entries);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let found: Vec<(Subject, u32)> = seen
            .iter()
            .map(|entry| (entry.occurrence.subject.clone(), u32::try_from(entry.runs_total).unwrap_or(u32::MAX)))
            .collect();
        assert_eq!(found, all, "in pages of {max_rows} rows");
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
        store.commit(Arc::new(commit)).await.expect("commit");
        let history = store.history(&job, &everything()).await.expect("history").entries;
        let expected = HistoryEntry { occurrence: occurrence(&subject, status), runs: vec![written], runs_total: 1 };
        assert_eq!(history, [expected]);
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
    store.commit(Arc::new(commit)).await.expect("commit");
    assert_eq!(subjects(&store.history(&job, &everything()).await.expect("history").entries), [due(1)]);
    owner.put(&*store, vec![row(&job, 3)]).await;
    put(&*store, &mut owner, &[due(2)]).await;
    assert_eq!(subjects(&store.history(&job, &everything()).await.expect("history").entries), [due(2), due(1)]);
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
    store.commit(Arc::new(commit)).await.expect("commit");
    for limit in [1, 2, 100] {
        let mut seen = Vec::new();
        let mut after = Some(ErrorCursor { at: at(5), message: error("acme", 0, 0).message });
        loop {
            let page = store.errors(&tenant("acme"), after, limit).await.expect("errors");
            let Some(last) = page.last() else { break };
            after = Some(ErrorCursor { at: last.at, message: last.message });
            seen.extend(page);
            let commit = Commit { errors: vec![error("acme", 100, 100), error("other", 0, 1)], ..owner.next_commit() };
            store.commit(Arc::new(commit)).await.expect("commit");
        }
        assert_eq!(seen, newest_first, "in pages of {limit}");
    }
    let newest = store.errors(&tenant("acme"), None, 1).await.expect("errors");
    assert_eq!(newest, [error("acme", 100, 100)]);
}
