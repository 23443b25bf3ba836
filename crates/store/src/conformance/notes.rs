//! API keys, idempotency keys and the notifier's rows.

use std::sync::Arc;

use ronda_schemas::row::IdempotentAnswer;

use super::StoreHarness;
use super::fixture::{api_key, at, claim, recent, refusal, tenant};
use crate::error::StoreErrorKind;
use crate::port::{IdempotencyClaim, Store, SurfaceWrite};

/// A key is found by its hash, listed by age, and changed by putting it again.
pub async fn keys_are_put_found_listed_and_revoked(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let keys = [api_key("acme", 3, 10), api_key("other", 1, 20), api_key("acme", 2, 30)];
    for key in keys.iter().rev() {
        store.put_key(key.clone()).await.expect("put key");
    }
    assert_eq!(store.keys(None).await.expect("keys"), keys);
    let acme = [keys[0].clone(), keys[2].clone()];
    assert_eq!(store.keys(Some(&tenant("acme"))).await.expect("keys"), acme);
    assert_eq!(store.key(&[9; 32]).await.expect("key"), None);

    let mut revoked = keys[0].clone();
    revoked.revoked_at = Some(at(40));
    store.put_key(revoked.clone()).await.expect("put key");
    drop(store);
    let store = harness.open().await;
    assert_eq!(store.key(&[3; 32]).await.expect("key"), Some(revoked));
    assert_eq!(store.keys(None).await.expect("keys").len(), 3);
}

/// However many claim a key at once, one gets it, and the others are shown that one's row.
pub async fn one_of_many_claims_wins(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    for round in 0..8 {
        let claims = (0..32_u8).map(|number| {
            let store = Arc::clone(&store);
            let name = format!("key-{round}");
            tokio::spawn(
                async move { store.claim(&tenant("acme"), &name, claim(number, recent(1))).await.expect("claim") },
            )
        });
        let mut winners = Vec::new();
        let mut shown = Vec::new();
        for (number, waiting) in (0..32_u8).zip(claims.collect::<Vec<_>>()) {
            match waiting.await.expect("a claim") {
                IdempotencyClaim::Claimed => winners.push(claim(number, recent(1))),
                IdempotencyClaim::Existing(row) => shown.push(row),
            }
        }
        assert_eq!(winners.len(), 1);
        assert!(shown.len() == 31 && shown.iter().all(|row| *row == winners[0]));
    }
}

/// The answer to a claimed key is what later claims are shown, after reopening as well.
pub async fn a_claim_is_answered_and_given_again(harness: &dyn StoreHarness) {
    let acme = tenant("acme");
    let store = harness.open().await;
    let answer = IdempotentAnswer { status: 202, body: b"{}".to_vec(), location: Some("/v1/runs/r-1".into()) };
    assert_eq!(refusal(store.answer(&acme, "retry", answer.clone()).await), StoreErrorKind::Conflict);
    let claimed = store.claim(&acme, "retry", claim(1, recent(1))).await.expect("claim");
    assert_eq!(claimed, IdempotencyClaim::Claimed);
    let again = store.claim(&acme, "retry", claim(2, recent(2))).await.expect("claim");
    assert_eq!(again, IdempotencyClaim::Existing(claim(1, recent(1))));
    store.answer(&acme, "retry", answer.clone()).await.expect("answer");
    drop(store);

    let store = harness.open().await;
    let mut expected = claim(1, recent(1));
    expected.answer = Some(answer);
    let found = store.claim(&acme, "retry", claim(3, recent(3))).await.expect("claim");
    assert_eq!(found, IdempotencyClaim::Existing(expected));
    assert_eq!(refusal(store.release(&acme, "retry").await), StoreErrorKind::Conflict);
    // A key is its tenant's own.
    let other = store.claim(&tenant("other"), "retry", claim(4, recent(4))).await.expect("claim");
    assert_eq!(other, IdempotencyClaim::Claimed);
}

/// A key that was given back can be claimed again; giving back what nobody holds is no error.
pub async fn a_claim_is_given_back(harness: &dyn StoreHarness) {
    let acme = tenant("acme");
    let store = harness.open().await;
    store.release(&acme, "retry").await.expect("release");
    for number in 0..3 {
        let claimed = store.claim(&acme, "retry", claim(number, recent(1))).await.expect("claim");
        assert_eq!(claimed, IdempotencyClaim::Claimed);
        store.release(&acme, "retry").await.expect("release");
    }
}

/// However many take over what they found, one gets it, and none that found something older.
pub async fn one_of_many_takes_a_claim_over(harness: &dyn StoreHarness) {
    let acme = tenant("acme");
    let store = harness.open().await;
    let undecided = IdempotentAnswer { status: 503, body: Vec::new(), location: None };
    assert!(!store.take_over(&acme, "retry", &claim(0, recent(1)), claim(0, recent(2))).await.expect("take over"));
    let claimed = store.claim(&acme, "retry", claim(0, recent(1))).await.expect("claim");
    assert_eq!(claimed, IdempotencyClaim::Claimed);
    store.answer(&acme, "retry", undecided.clone()).await.expect("answer");
    let mut found = claim(0, recent(1));
    assert!(!store.take_over(&acme, "retry", &found, claim(0, recent(2))).await.expect("take over"));
    found.answer = Some(undecided);
    let attempts = (2..34).map(|seconds| {
        let (store, found) = (Arc::clone(&store), found.clone());
        tokio::spawn(async move {
            store.take_over(&tenant("acme"), "retry", &found, claim(0, recent(seconds))).await.expect("take over")
        })
    });
    let mut winners = Vec::new();
    for (seconds, waiting) in (2..34).zip(attempts.collect::<Vec<_>>()) {
        if waiting.await.expect("an attempt") {
            winners.push(claim(0, recent(seconds)));
        }
    }
    assert_eq!(winners.len(), 1);
    drop(store);
    let store = harness.open().await;
    let kept = store.claim(&acme, "retry", claim(1, recent(99))).await.expect("claim");
    assert_eq!(kept, IdempotencyClaim::Existing(winners.remove(0)));
}

fn write(key: &str, row: Option<&str>) -> SurfaceWrite {
    SurfaceWrite { key: key.into(), row: row.map(|row| row.as_bytes().to_vec()) }
}

async fn surface_keys(store: &dyn Store, shard: u32, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let rows = store.surfaces(shard, prefix, after, limit).await.expect("surfaces");
    rows.into_iter().map(|(key, _)| key).collect()
}

/// Rows come by key within a prefix, after a place, shard by shard; removed ones are gone.
pub async fn surfaces_are_read_by_prefix_in_pages(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    let epoch = store.acquire_shard(1).await.expect("acquire shard");
    let other = store.acquire_shard(2).await.expect("acquire shard");
    let keys = ["alert/a", "alert/a-b", "alert/ab", "alert/b", "alerts", "night/1", "ü/1"];
    let writes = keys.iter().map(|key| write(key, Some(key))).collect();
    store.commit_surfaces(1, epoch, writes).await.expect("commit");
    store.commit_surfaces(2, other, vec![write("alert/z", Some("other"))]).await.expect("commit");

    assert_eq!(surface_keys(&*store, 1, "", None, 100).await, keys);
    assert_eq!(surface_keys(&*store, 1, "alert/", None, 100).await, keys[..4]);
    assert_eq!(surface_keys(&*store, 1, "alert/", None, 2).await, keys[..2]);
    assert_eq!(surface_keys(&*store, 1, "alert/", Some("alert/a-b"), 100).await, keys[2..4]);
    assert_eq!(surface_keys(&*store, 1, "alert/", Some("alert/aa"), 100).await, keys[2..4]);
    assert_eq!(surface_keys(&*store, 1, "alert/", Some("a"), 100).await, keys[..4]);
    assert!(surface_keys(&*store, 1, "alert/", Some("z"), 100).await.is_empty());
    assert!(surface_keys(&*store, 3, "", None, 100).await.is_empty());

    let changes = vec![write("alert/a", None), write("alert/b", Some("new")), write("never", None)];
    store.commit_surfaces(1, epoch, changes).await.expect("commit");
    drop(store);
    let store = harness.open().await;
    let rows = store.surfaces(1, "alert/", Some("alert/ab"), 9).await.expect("surfaces");
    assert_eq!(rows, [("alert/b".to_owned(), b"new".to_vec())]);
    assert_eq!(surface_keys(&*store, 1, "alert/", None, 9).await, keys[1..4]);
    let long = "k".repeat(513);
    let epoch = store.acquire_shard(1).await.expect("acquire shard");
    let refused = store.commit_surfaces(1, epoch, vec![write("fine", Some("")), write(&long, Some(""))]).await;
    assert_eq!(refusal(refused), StoreErrorKind::Invalid);
    assert!(surface_keys(&*store, 1, "fine", None, 9).await.is_empty());
}

/// Only the last owner of a shard writes; epochs rise over reopening.
pub async fn surfaces_are_fenced_by_epoch(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    assert_eq!(refusal(store.commit_surfaces(0, 0, vec![write("a", Some("a"))]).await), StoreErrorKind::Fenced);
    let first = store.acquire_shard(0).await.expect("acquire shard");
    drop(store);
    let store = harness.open().await;
    let second = store.acquire_shard(0).await.expect("acquire shard");
    let elsewhere = store.acquire_shard(1).await.expect("acquire shard");
    assert!(second > first);
    let writes = vec![write("a", Some("a")), write("b", Some("b"))];
    assert_eq!(refusal(store.commit_surfaces(0, first, writes.clone()).await), StoreErrorKind::Fenced);
    assert!(surface_keys(&*store, 0, "", None, 9).await.is_empty());
    store.commit_surfaces(0, second, writes.clone()).await.expect("commit");
    store.commit_surfaces(1, elsewhere, writes).await.expect("commit");
}

/// A label is put only by who knows what is there; of many at once one is.
pub async fn labels_are_put_by_who_knows_what_is_there(harness: &dyn StoreHarness) {
    let store = harness.open().await;
    assert_eq!(store.label("queues").await.expect("label"), None);
    assert!(!store.put_label("queues", Some("other"), "one").await.expect("put"), "there is nothing yet");
    let puts = (0..8).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.put_label("queues", None, &format!("of {number}")).await.expect("put") })
    });
    let mut winners = Vec::new();
    for (number, put) in (0..8).zip(puts.collect::<Vec<_>>()) {
        if put.await.expect("a put") {
            winners.push(format!("of {number}"));
        }
    }
    assert_eq!(winners.len(), 1);
    drop(store);
    let store = harness.open().await;
    assert_eq!(store.label("queues").await.expect("label").as_ref(), winners.first());
    assert!(!store.put_label("queues", None, "again").await.expect("put"));
    assert!(store.put_label("queues", Some(winners[0].as_str()), "new").await.expect("put"));
    assert_eq!(store.label("queues").await.expect("label").as_deref(), Some("new"));
    assert_eq!(store.label("queue-life").await.expect("label"), None);
    assert_eq!(refusal(store.put_label("Queues", None, "x").await), StoreErrorKind::Invalid);
    assert_eq!(refusal(store.put_label("queues", Some("new"), &"x".repeat(1_025)).await), StoreErrorKind::Invalid);
}
