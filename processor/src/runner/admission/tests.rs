use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ronda_store::error::{StoreError, StoreErrorKind};

use super::*;

type Headers = &'static [(&'static str, &'static str)];

/// One key, `rk_good` of the tenant acme, in a store that fails so often first.
struct Keys {
    failures: AtomicU32,
    asked: AtomicU32,
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

#[async_trait]
impl KeyStore for Keys {
    async fn put_key(&self, _: ApiKeyRow) -> Result<(), StoreError> {
        Ok(())
    }

    async fn key(&self, hash: &[u8; 32]) -> Result<Option<ApiKeyRow>, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(StoreError { retryable: true, ..StoreError::new(StoreErrorKind::Unavailable, "away") });
        }
        let good: [u8; 32] = Sha256::digest(b"rk_good").into();
        Ok((*hash == good).then(|| ApiKeyRow {
            hash: good,
            id: "1".into(),
            tenant: tenant("acme"),
            name: "".into(),
            scopes: Scopes { ingest: true, read: false, admin: false },
            rate_limit_per_minute: 0,
            created_at: Timestamp::from_seconds(0),
            expires_at: Some(Timestamp::from_seconds(100)),
            revoked_at: None,
        }))
    }

    async fn keys(&self, _: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, StoreError> {
        Ok(Vec::new())
    }
}

fn delivery(headers: &[(&str, &str)], named: Option<&str>) -> Delivery {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let origin = Origin {
        tenant: named.map(str::to_owned),
        message_id: None,
        headers,
        source: "in".to_owned(),
        published_ms: None,
    };
    let origin = Some(Box::new(origin));
    Delivery { position: None, message: Bytes::from_static(b"{}"), token: Token(7), redelivered: true, origin }
}

async fn admitted(admission: &Admission, keys: &Keys, delivery: Delivery, second: i64) -> Direct {
    let cancel = CancellationToken::new();
    let waiting = Waiting { cancel: &cancel, told: |_| {}, clock: Timestamp::from_seconds(second) };
    let mut admitted = admission.admit(keys, vec![delivery], &waiting).await.unwrap();
    let (incoming, token) = admitted.remove(0);
    assert_eq!((token, incoming.position), (Token(7), None));
    *incoming.direct.unwrap()
}

const fn keys(failures: u32) -> Keys {
    Keys { failures: AtomicU32::new(failures), asked: AtomicU32::new(0) }
}

fn why(direct: &Direct) -> &'static str {
    direct.access.as_ref().map_or_else(|denied| denied.code, |_| "admitted")
}

#[tokio::test]
async fn a_key_says_whose_a_message_is_and_is_not_kept() {
    let (admission, keys) = (Admission::new(DirectAccess::ApiKey), keys(0));
    let cases: [(Headers, Option<&str>, i64, &str); 8] = [
        (&[("x-api-key", "rk_good")], None, 99, "admitted"),
        (&[("authorization", "bearer  rk_good ")], Some("acme"), 99, "admitted"),
        (&[("x-api-key", "rk_good")], Some("other"), 99, "unauthorized"),
        (&[("x-api-key", "rk_good")], Some("a b"), 99, "bad_tenant"),
        (&[("x-api-key", "rk_good")], None, 100, "unauthorized"),
        (&[("x-api-key", "rk_bad")], Some("acme"), 99, "unauthorized"),
        (&[("authorization", "Basic cms6")], Some("acme"), 99, "unauthorized"),
        (&[], Some("acme"), 99, "unauthorized"),
    ];
    for (headers, named, second, expected) in cases {
        let direct = admitted(&admission, &keys, delivery(headers, named), second).await;
        assert_eq!(why(&direct), expected, "{headers:?} {named:?}");
        assert!(!format!("{direct:?}").contains("rk_"), "{direct:?}");
    }
    assert_eq!(keys.asked.load(Ordering::Relaxed), 2, "both keys are remembered, the bad one too");
}

#[tokio::test]
async fn while_the_store_is_away_a_message_waits_and_is_not_refused() {
    let (admission, keys) = (Admission::new(DirectAccess::ApiKey), keys(3));
    let direct = admitted(&admission, &keys, delivery(&[("x-api-key", "rk_good")], None), 1).await;
    assert_eq!(why(&direct), "admitted");
    assert_eq!(keys.asked.load(Ordering::Relaxed), 4);
    let unreachable = Keys { failures: AtomicU32::new(u32::MAX), asked: AtomicU32::new(0) };
    let cancel = CancellationToken::new();
    cancel.cancel();
    let waiting = Waiting { cancel: &cancel, told: |_| {}, clock: Timestamp::MIN };
    let deliveries = vec![delivery(&[("x-api-key", "rk_other")], None)];
    let stopped = admission.admit(&unreachable, deliveries, &waiting).await;
    assert!(matches!(stopped, Err(ProcessorError::Stopped)));
}

#[tokio::test]
async fn where_the_broker_decides_the_subject_or_the_setting_says_whose_it_is() {
    let keys = keys(0);
    let by_subject = Admission::new(DirectAccess::Broker { tenant: None });
    let direct =
        admitted(&by_subject, &keys, delivery(&[("x_api_key", "1"), ("cookie", "1"), ("trace", "2")], Some("acme")), 1)
            .await;
    assert_eq!(direct.access.unwrap().tenant, tenant("acme"));
    assert_eq!(direct.origin.headers, [("trace".to_owned(), "2".to_owned())]);
    assert_eq!(why(&admitted(&by_subject, &keys, delivery(&[], None), 1).await), "unauthorized");
    let configured = Admission::new(DirectAccess::Broker { tenant: Some(tenant("fleet")) });
    let direct = admitted(&configured, &keys, delivery(&[], None), 1).await;
    assert_eq!(
        direct.access.unwrap(),
        Access { tenant: tenant("fleet"), scopes: Scopes { ingest: true, read: false, admin: true } }
    );
    assert_eq!(keys.asked.load(Ordering::Relaxed), 0);
}
