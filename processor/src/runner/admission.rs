//! Who may publish onto the command queue directly, and whose messages they are.

use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use ronda_queue::{Delivery, Origin, Token};
use ronda_runtime::CancellationToken;
use ronda_schemas::row::{ApiKeyRow, Scopes};
use ronda_store::port::KeyStore;
use sha2::{Digest, Sha256};

use super::ProcessorError;
use super::pause::{Backoff, Stopwatch};
use crate::config::DirectAccess;
use crate::core::{Access, Denied, Direct, Incoming};
use crate::dead_letter::may_hold_credential;

/// Longest text that is taken for a key, in bytes.
const MAX_KEY_BYTES: usize = 256;
/// How long a key that was found good is trusted before the store is asked again: so long a revoked one works on.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// How long a key is known not to be one.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// Most keys remembered, good ones and others.
const MAX_REMEMBERED: usize = 10_000;
/// First and longest wait before the store is asked again.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// Admits messages. All partitions share it.
pub(super) struct Admission {
    access: DirectAccess,
    keys: Mutex<HashMap<[u8; 32], Remembered>>,
    since: Stopwatch,
}

/// A key, or that it is none, until the store is asked again.
#[derive(Clone)]
struct Remembered {
    key: Option<Key>,
    until: Duration,
}

#[derive(Clone)]
struct Key {
    access: Access,
    expires_at: Option<Timestamp>,
}

/// A partition that waits for the store.
pub(super) struct Waiting<'a, F: Fn(String)> {
    pub(super) cancel: &'a CancellationToken,
    /// Is told what it waits for, each time anew.
    pub(super) told: F,
    /// The partition's clock: keys expire by it, so a backlog is judged as it would have been in time.
    pub(super) clock: Timestamp,
}

impl Admission {
    pub(super) fn new(access: DirectAccess) -> Self {
        Self { access, keys: Mutex::default(), since: Stopwatch::start() }
    }

    /// Takes deliveries in, in their order. While the store can't tell whose a key is, it is asked again: what came first stays first.
    ///
    /// # Errors
    /// What the store refuses for good; [`ProcessorError::Stopped`].
    pub(super) async fn admit<S: KeyStore + ?Sized, F: Fn(String)>(
        &self,
        store: &S,
        deliveries: Vec<Delivery>,
        waiting: &Waiting<'_, F>,
    ) -> Result<Vec<(Incoming, Token)>, ProcessorError> {
        let mut admitted = Vec::with_capacity(deliveries.len());
        for mut delivery in deliveries {
            let token = delivery.token;
            let direct = match delivery.origin.take() {
                None => None,
                Some(origin) => {
                    let access = self.access(store, &origin, waiting).await?;
                    Some(Box::new(Direct { origin: without_secrets(*origin), access }))
                }
            };
            admitted.push((Incoming::new(delivery, direct), token));
        }
        Ok(admitted)
    }

    async fn access<S: KeyStore + ?Sized, F: Fn(String)>(
        &self,
        store: &S,
        origin: &Origin,
        waiting: &Waiting<'_, F>,
    ) -> Result<Result<Access, Denied>, ProcessorError> {
        let named = match origin.tenant.as_deref().map(TenantId::new).transpose() {
            Ok(named) => named,
            Err(error) => return Ok(denied("bad_tenant", format!("the tenant that it was published for {error}"))),
        };
        let DirectAccess::ApiKey = &self.access else { return Ok(self.by_broker(named)) };
        let Some(text) = presented(origin) else {
            return Ok(denied("unauthorized", "it has no API key: send one as x-api-key, or as authorization: Bearer"));
        };
        let key = self.key(store, Sha256::digest(text.as_bytes()).into(), waiting).await?;
        let is_good = |key: &Key| key.expires_at.is_none_or(|expires_at| expires_at > waiting.clock);
        Ok(match key.filter(is_good) {
            None => denied("unauthorized", "its API key is not known, or is no longer good"),
            Some(key) if named.is_some_and(|named| named != key.access.tenant) => {
                denied("unauthorized", "its API key is another tenant's than the one that it was published for")
            }
            Some(key) => Ok(key.access),
        })
    }

    fn by_broker(&self, named: Option<TenantId>) -> Result<Access, Denied> {
        let DirectAccess::Broker { tenant } = &self.access else {
            return denied("unauthorized", "it has no API key");
        };
        match named.or_else(|| tenant.clone()) {
            Some(tenant) => Ok(Access { tenant, scopes: Scopes { ingest: true, read: false, admin: true } }),
            None => denied("unauthorized", "it names no tenant, and none is configured for this queue"),
        }
    }

    async fn key<S: KeyStore + ?Sized, F: Fn(String)>(
        &self,
        store: &S,
        hash: [u8; 32],
        waiting: &Waiting<'_, F>,
    ) -> Result<Option<Key>, ProcessorError> {
        let now = self.since.elapsed();
        if let Some(remembered) = self.keys.lock().get(&hash).filter(|remembered| now < remembered.until) {
            return Ok(remembered.key.clone());
        }
        let mut backoff = Backoff::new(RETRY.0, RETRY.1);
        let row = loop {
            match store.key(&hash).await {
                Ok(row) => break row,
                Err(error) if !error.retryable => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(error = %error, "a key could not be looked up; trying again");
                    (waiting.told)(format!("an API key can't be looked up: {error}"));
                    if !backoff.wait(error.retry_after, waiting.cancel).await {
                        return Err(ProcessorError::Stopped);
                    }
                }
            }
        };
        let key = row.filter(|row| row.revoked_at.is_none()).map(Key::from);
        let until = self.since.elapsed() + if key.is_some() { KNOWN_FOR } else { UNKNOWN_FOR };
        self.remember(hash, Remembered { key: key.clone(), until });
        Ok(key)
    }

    fn remember(&self, hash: [u8; 32], remembered: Remembered) {
        let mut keys = self.keys.lock();
        if keys.len() >= MAX_REMEMBERED {
            let now = self.since.elapsed();
            keys.retain(|_, remembered| now < remembered.until);
        }
        if keys.len() >= MAX_REMEMBERED {
            keys.clear();
        }
        keys.insert(hash, remembered);
    }
}

impl From<ApiKeyRow> for Key {
    fn from(row: ApiKeyRow) -> Self {
        Self { access: Access { tenant: row.tenant, scopes: row.scopes }, expires_at: row.expires_at }
    }
}

fn denied(code: &'static str, detail: impl Into<String>) -> Result<Access, Denied> {
    Err(Denied { code, detail: detail.into() })
}

/// The key that a message presents.
fn presented(origin: &Origin) -> Option<&str> {
    let text = match origin.header("x-api-key") {
        Some(text) => text,
        None => {
            let (scheme, rest) = origin.header("authorization")?.split_at_checked(7)?;
            if !scheme.eq_ignore_ascii_case("bearer ") {
                return None;
            }
            rest
        }
    };
    let text = text.trim();
    (!text.is_empty() && text.len() <= MAX_KEY_BYTES).then_some(text)
}

/// What may be kept and shown of where a message comes from.
fn without_secrets(mut origin: Origin) -> Origin {
    origin.headers.retain(|(name, _)| !may_hold_credential(name));
    origin
}

#[cfg(test)]
mod tests;
