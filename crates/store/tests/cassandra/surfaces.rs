//! Commits of surfaces that are too large for one batch, and those that were broken off between any two of their steps.

use ronda_store::conformance::fixture::refusal;
use ronda_store::error::StoreErrorKind;
use ronda_store::port::{SurfaceStore as _, SurfaceWrite};

use crate::bed::Keyspace;
use crate::keyspace;

fn put(key: impl Into<String>, row: impl Into<Vec<u8>>) -> SurfaceWrite {
    SurfaceWrite { key: key.into(), row: Some(row.into()) }
}

async fn count(keyspace: &Keyspace, table: &str) -> i64 {
    let query = format!("SELECT COUNT(*) FROM {}.{table}", keyspace.name);
    let rows = keyspace.session().await.query_unpaged(query, ()).await.expect("a query");
    rows.into_rows_result().expect("rows").single_row::<(i64,)>().expect("a number").0
}

/// Thousands of rows and a large one in one commit, with removals among them; nothing is left of the way there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_larger_than_a_batch_is_whole() {
    let keyspace = keyspace().await;
    let (store, other) = (keyspace.store().await, keyspace.store().await);
    let epoch = store.acquire_shard(5).await.expect("acquire shard");
    store.commit_surfaces(5, epoch, vec![put("gone", "old"), put("stays", "old")]).await.expect("commit");
    let mut writes: Vec<_> = (0..600).map(|number| put(format!("row-{number:04}"), vec![7; 100])).collect();
    writes.push(put("large", vec![1; 1 << 20]));
    writes.push(SurfaceWrite { key: "gone".to_owned(), row: None });
    store.commit_surfaces(5, epoch, writes.clone()).await.expect("commit");
    store.commit_surfaces(5, epoch, writes).await.expect("the same once more");
    let found = other.surfaces(5, "", None, 10_000).await.expect("surfaces");
    assert_eq!(found.len(), 602);
    assert_eq!(found.first().map(|(key, row)| (key.as_str(), row.len())), Some(("large", 1 << 20)));
    assert_eq!(found.last().map(|(key, row)| (key.as_str(), row.as_slice())), Some(("stays", b"old".as_slice())));
    assert_eq!(count(&keyspace, "surface_journal").await, 0);

    let next = other.acquire_shard(5).await.expect("acquire shard");
    let late = (0..600).map(|number| put(format!("late-{number:04}"), vec![7; 100])).collect();
    assert_eq!(refusal(store.commit_surfaces(5, epoch, late).await), StoreErrorKind::Fenced);
    assert!(other.surfaces(5, "late", None, 9).await.expect("surfaces").is_empty());
    assert_eq!(count(&keyspace, "surface_journal").await, 0);
    other.commit_surfaces(5, next, vec![put("new", "new")]).await.expect("commit");
}

/// A shard whose owner was killed after it wrote a journal of two items: `a` is new, `b` goes.
async fn broken_off(is_named: bool, is_applied: bool) -> (Keyspace, u64) {
    let keyspace = keyspace().await;
    let store = keyspace.store().await;
    let epoch = store.acquire_shard(3).await.expect("acquire shard");
    store.commit_surfaces(3, epoch, vec![put("b", "old"), put("c", "old")]).await.expect("commit");
    for (item, key, row) in [(0, "a", "0x6e6577"), (1, "b", "null")] {
        let values = format!("(3, {epoch}, 77, {item}, '{key}', {row})");
        keyspace
            .cql(&format!("INSERT INTO ks.surface_journal (shard, epoch, journal, item, key, row) VALUES {values}"))
            .await;
    }
    if is_named {
        let name = format!("SET journal_epoch = {epoch}, journal = 77, journal_items = 2");
        keyspace.cql(&format!("UPDATE ks.surfaces {name} WHERE shard = 3 IF epoch = {epoch}")).await;
    }
    if is_applied {
        keyspace.cql("UPDATE ks.surfaces SET row = 0x6e6577 WHERE shard = 3 AND key = 'a' IF journal = 77").await;
    }
    (keyspace, epoch)
}

async fn check(keyspace: &Keyspace, expected: &[(&str, &str)]) {
    let found = keyspace.store().await.surfaces(3, "", None, 9).await.expect("surfaces");
    let found: Vec<_> =
        found.iter().map(|(key, row)| (key.as_str(), std::str::from_utf8(row).expect("text"))).collect();
    assert_eq!(found, expected);
}

const BEFORE: [(&str, &str); 2] = [("b", "old"), ("c", "old")];
const AFTER: [(&str, &str); 2] = [("a", "new"), ("c", "old")];

/// Before the head names the journal nothing was committed; the next owner removes what is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_no_head_names_counts_for_nothing() {
    let (keyspace, epoch) = broken_off(false, false).await;
    check(&keyspace, &BEFORE).await;
    let store = keyspace.store().await;
    store.commit_surfaces(3, epoch, vec![put("d", "new")]).await.expect("commit");
    store.acquire_shard(3).await.expect("acquire shard");
    check(&keyspace, &[("b", "old"), ("c", "old"), ("d", "new")]).await;
    assert_eq!(count(&keyspace, "surface_journal").await, 0);
}

/// From then on it is committed: who reads, acquires or commits next applies it first, however far it had come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_a_head_names_is_applied_by_whoever_comes() {
    for is_applied in [false, true] {
        let (keyspace, _) = broken_off(true, is_applied).await;
        check(&keyspace, &AFTER).await;
        assert_eq!(count(&keyspace, "surface_journal").await, 0);

        let (keyspace, epoch) = broken_off(true, is_applied).await;
        let next = keyspace.store().await.acquire_shard(3).await.expect("acquire shard");
        assert!(next > epoch);
        check(&keyspace, &AFTER).await;

        // The owner itself, which had no answer, tries again, with something small this time.
        let (keyspace, epoch) = broken_off(true, is_applied).await;
        keyspace.store().await.commit_surfaces(3, epoch, vec![put("a", "newer")]).await.expect("commit");
        check(&keyspace, &[("a", "newer"), ("c", "old")]).await;
    }
}

/// A journal whose items are not all there is no reason to guess.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_lacks_an_item_is_told() {
    let (keyspace, epoch) = broken_off(true, false).await;
    keyspace
        .cql(&format!(
            "DELETE FROM ks.surface_journal WHERE shard = 3 AND epoch = {epoch} AND journal = 77 AND item = 0"
        ))
        .await;
    let store = keyspace.store().await;
    assert_eq!(refusal(store.surfaces(3, "", None, 9).await), StoreErrorKind::Unreadable);
    assert_eq!(refusal(store.acquire_shard(3).await), StoreErrorKind::Unreadable);
}
