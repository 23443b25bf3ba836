//! Schedulers and tenants.

use std::sync::Arc;

use ronda_domain::id::SchedulerId;
use ronda_schemas::row::SchedulerRow;

use super::StoreHarness;
use super::fixture::{Owner, api_key, deleted, error, id, key, occurrence, row, tenant};
use crate::conformance::fixture::{claim, due, everything, recent};
use crate::port::{Commit, IdempotencyClaim};

fn ids(rows: &[SchedulerRow]) -> Vec<&str> {
    rows.iter().map(|row| row.key.scheduler.as_str()).collect()
}

/// A tenant's schedulers come in the order of their ids, and pages join without loss or repeats.
pub async fn schedulers_come_by_id_in_pages(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let names = ["b", "a", "a-b", "ab", "A", "_", "10", "9", "a_b", "b-"];
    owner.put(&*store, names.iter().map(|name| row(&key("acme", name), 1)).collect()).await;
    let mut expected = names.to_vec();
    expected.sort_unstable();
    let acme = tenant("acme");
    assert_eq!(ids(&store.schedulers(&acme, None, 100).await.expect("schedulers")), expected);
    for limit in [1, 3, 10] {
        let mut seen: Vec<SchedulerRow> = Vec::new();
        loop {
            let after = seen.last().map(|row| row.key.scheduler.clone());
            let page = store.schedulers(&acme, after.as_ref(), limit).await.expect("schedulers");
            let is_last = page.len() < limit;
            seen.extend(page);
            if is_last {
                break;
            }
        }
        assert_eq!(ids(&seen), expected, "in pages of {limit}");
    }
    // The place to go on from need not be there any more.
    let rest = store.schedulers(&acme, Some(&id("a0")), 100).await.expect("schedulers");
    assert_eq!(ids(&rest), ["a_b", "ab", "b", "b-"]);
}

/// A deleted scheduler can't be found or listed; its owner still loads it until it removes it.
pub async fn deleted_schedulers_are_hidden_and_still_loaded(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let gone = key("acme", "gone");
    owner.put(&*store, vec![row(&gone, 1), row(&key("acme", "stays"), 1)]).await;
    owner.put(&*store, vec![deleted(&gone, 2)]).await;
    assert_eq!(store.scheduler("acme", "gone").await.expect("scheduler"), None);
    for (tenant, scheduler, expected) in [("acme", "stays", true), ("acme", "gone", false), ("acme", "never", false)] {
        assert_eq!(store.is_registered(tenant, scheduler).await.expect("is_registered"), expected, "{scheduler}");
    }
    assert!(!store.is_registered("no/tenant", "stays").await.expect("is_registered"), "what is no id is nobody's");
    assert_eq!(ids(&store.schedulers(&tenant("acme"), None, 1).await.expect("schedulers")), ["stays"]);
    assert_eq!(store.load(0, 1, None, 10).await.expect("load").len(), 2);

    let commit = Commit { removed: vec![gone], ..owner.next_commit() };
    store.commit(Arc::new(commit)).await.expect("commit");
    assert_eq!(ids(&store.load(0, 1, None, 10).await.expect("load")), ["stays"]);
}

/// An id can be registered again, whether its deleted row has been removed or not.
pub async fn a_scheduler_comes_back_after_deletion(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let scheduler = key("acme", "phoenix");
    for is_removed in [false, true] {
        owner.put(&*store, vec![row(&scheduler, 1)]).await;
        owner.put(&*store, vec![deleted(&scheduler, 2)]).await;
        assert!(store.schedulers(&tenant("acme"), None, 9).await.expect("schedulers").is_empty());
        if is_removed {
            let commit = Commit { removed: vec![scheduler.clone()], ..owner.next_commit() };
            store.commit(Arc::new(commit)).await.expect("commit");
        }
        owner.put(&*store, vec![row(&scheduler, 3)]).await;
        let found = store.scheduler("acme", "phoenix").await.expect("scheduler");
        assert_eq!(found.map(|row| row.position), Some(3));
        assert_eq!(ids(&store.schedulers(&tenant("acme"), None, 9).await.expect("schedulers")), ["phoenix"]);
    }
}

/// Tenants whose names begin alike, or whose names joined with their schedulers' read alike, see nothing of each other.
pub async fn tenants_never_mix(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    // "a" + "bc" and "ab" + "c" hash alike and read alike when joined.
    let pairs = [("a", "bc"), ("ab", "c"), ("a-b", "c"), ("a", "b-c"), ("a_", "c"), ("A", "bc")];
    let mut commit = owner.next_commit();
    for (index, (tenant_id, scheduler)) in pairs.iter().enumerate() {
        let scheduler = key(tenant_id, scheduler);
        let position = index as u64 + 1;
        commit.rows.push(row(&scheduler, position));
        let entry =
            occurrence(&due(i64::try_from(position).unwrap_or(0)), ronda_domain::record::OccurrenceStatus::Missed);
        commit.occurrences.push((scheduler, entry));
        commit.errors.push(error(tenant_id, 1, position));
        let claimed =
            store.claim(&tenant(tenant_id), "retry", claim(u8::try_from(index).unwrap_or(0), recent(0))).await;
        // "a" comes twice: its second claim finds the first.
        assert_eq!(claimed.expect("claim") == IdempotencyClaim::Claimed, index != 3);
    }
    store.commit(Arc::new(commit)).await.expect("commit");
    for (index, (tenant_id, scheduler)) in pairs.iter().enumerate() {
        let found = store.scheduler(tenant_id, scheduler).await.expect("scheduler").expect("a row");
        assert_eq!(found.position, index as u64 + 1);
        let listed = store.schedulers(&tenant(tenant_id), None, 100).await.expect("schedulers");
        let expected: Vec<_> = pairs.iter().filter(|pair| pair.0 == *tenant_id).map(|pair| pair.1).collect();
        assert_eq!(listed.len(), expected.len());
        assert!(ids(&listed).iter().all(|listed| expected.contains(listed)));
        let history = store.history(&key(tenant_id, scheduler), &everything()).await.expect("history").entries;
        assert_eq!(history.len(), 1);
        let errors = store.errors(&tenant(tenant_id), None, 100).await.expect("errors");
        assert_eq!(errors.len(), expected.len());
    }
}

/// Every tenant that has schedulers or keys, once, in order.
pub async fn tenants_are_those_with_schedulers_or_keys(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    assert!(store.tenants().await.expect("tenants").is_empty());
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    let rows = [("b", "1"), ("b", "2"), ("a-b", "1"), ("a", "1"), ("gone", "1")];
    owner.put(&*store, rows.iter().map(|(tenant, scheduler)| row(&key(tenant, scheduler), 1)).collect()).await;
    owner.put(&*store, vec![deleted(&key("gone", "1"), 2)]).await;
    store.put_key(api_key("keys-only", 1, 1)).await.expect("put key");
    store.put_key(api_key("b", 2, 1)).await.expect("put key");
    let expected = ["a", "a-b", "b", "keys-only"].map(tenant);
    assert_eq!(store.tenants().await.expect("tenants"), expected);
}

/// A text that no id can be is simply not found: it may come straight from a URL.
pub async fn texts_that_are_no_ids_are_not_found(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let mut owner = Owner::acquire(&*store, 0, 1).await;
    owner.put(&*store, vec![row(&key("acme", "job"), 1)]).await;
    let long = "a".repeat(100_000);
    for (tenant_id, scheduler) in
        [("", ""), ("acme", ""), ("acme\0job", ""), ("", "acme\0job"), ("acme", "../job"), (&long, "job")]
    {
        assert_eq!(store.scheduler(tenant_id, scheduler).await.expect("scheduler"), None);
    }
    assert!(SchedulerId::new("../job").is_err());
}
