//! Which key a request carries, and whether it is still good.
//!
//! Keys are looked up by their SHA-256. A key that was found good is trusted for a short time before the store is asked again, which bounds how
//! long a revoked key works; while the store can't be asked it is trusted longer, so that reports are not lost for that. Only keys that
//! exist are kept, and a bounded number of hashes that don't.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hashbrown::HashMap;
use http::{HeaderMap, HeaderName, header};
use parking_lot::{Mutex, RwLock};
use ronda_domain::time::Timestamp;
use ronda_runtime::Clock;
use ronda_schemas::row::ApiKeyRow;
use ronda_store::port::Store;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tracing::warn;

use crate::access::{KeyName, Principal};
use crate::config::Config;
use crate::rate_limit::Bucket;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Longest text that is taken for a key, in bytes.
const MAX_KEY_BYTES: usize = 256;
/// How long a request with a key that was good of late waits for the store to say that it still is.
const ANSWERED_WITHIN: Duration = Duration::from_millis(250);
/// How long a hash is known not to be a key, in milliseconds.
const UNKNOWN_TTL_MS: u64 = 1_000;
/// Most hashes known not to be a key.
const MAX_UNKNOWN: usize = 10_000;

/// Why a request is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthError {
    /// No key, or not a good one.
    Unauthorized,
    /// The key is not known here and the store can't be asked.
    Unavailable,
}

/// A key that was found good.
#[derive(Debug)]
pub(crate) struct ActiveKey {
    pub(crate) principal: Principal,
    pub(crate) bucket: Arc<Bucket>,
    expires_at: Option<Timestamp>,
    /// When the store last said that it is good, in milliseconds of the monotonic clock.
    confirmed_ms: u64,
    /// When to ask the store again, in milliseconds of the monotonic clock.
    ask_again_ms: AtomicU64,
    asking: AtomicBool,
}

/// A question to the store about a key, under way: there is one at a time, however it ends.
struct Asking(Arc<ActiveKey>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.asking.store(false, Ordering::Relaxed);
    }
}

/// The keys seen of late.
pub(crate) struct Keys(Arc<Seen>);

struct Seen {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ttl_ms: u64,
    outage_ttl_ms: u64,
    good: RwLock<HashMap<[u8; 32], Arc<ActiveKey>>>,
    unknown: Mutex<HashMap<[u8; 32], u64>>,
}

/// SHA-256 of a key's text.
pub(crate) fn hash_of_key(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// The key that a request presents: `X-API-Key`, or else `Authorization: Bearer`.
pub(crate) fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let text = match headers.get(API_KEY) {
        Some(value) => value.as_bytes(),
        None => {
            let (scheme, rest) = headers.get(header::AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
            if !scheme.eq_ignore_ascii_case(b"bearer ") {
                return None;
            }
            rest
        }
    };
    let text = text.trim_ascii();
    (!text.is_empty() && text.len() <= MAX_KEY_BYTES).then_some(text)
}

impl Keys {
    pub(crate) fn new(config: &Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Seen {
            store,
            clock,
            ttl_ms: config.key_ttl_ms,
            outage_ttl_ms: config.key_outage_ttl_seconds.saturating_mul(1_000),
            good: RwLock::default(),
            unknown: Mutex::default(),
        }))
    }

    /// Whose key the request carries. Who carries one that was good of late waits for the store for a moment at most.
    pub(crate) async fn check(&self, headers: &HeaderMap) -> Result<Arc<ActiveKey>, AuthError> {
        let hash = hash_of_key(presented(headers).ok_or(AuthError::Unauthorized)?);
        let now_ms = self.0.clock.mono_millis();
        let known = self.0.good.read().get(&hash).map(Arc::clone);
        let Some(key) = known else {
            return self.0.ask(hash, now_ms, None).await;
        };
        if self.0.is_expired(key.expires_at) {
            return Err(AuthError::Unauthorized);
        }
        if now_ms < key.ask_again_ms.load(Ordering::Relaxed) {
            return Ok(key);
        }
        // One request asks; the others go on with what is known.
        if key.asking.swap(true, Ordering::Relaxed) {
            return if self.0.is_trusted(&key, now_ms) { Ok(key) } else { Err(AuthError::Unavailable) };
        }
        self.ask_again(hash, now_ms, key).await
    }

    /// Asks the store about a key that it once said is good. Whoever asks may hang up, and the store may not answer: neither holds up the
    /// question or the requests.
    async fn ask_again(&self, hash: [u8; 32], now_ms: u64, key: Arc<ActiveKey>) -> Result<Arc<ActiveKey>, AuthError> {
        let (seen, asking) = (Arc::clone(&self.0), Asking(Arc::clone(&key)));
        let asked = tokio::spawn(async move { seen.ask(hash, now_ms, Some(&asking.0)).await });
        match timeout(ANSWERED_WITHIN, asked).await {
            Ok(Ok(answer)) => answer,
            _ if self.0.is_trusted(&key, now_ms) => Ok(key),
            _ => Err(AuthError::Unavailable),
        }
    }
}

impl Seen {
    /// Whether a key may still be taken for good while the store does not say.
    const fn is_trusted(&self, key: &ActiveKey, now_ms: u64) -> bool {
        now_ms < key.confirmed_ms.saturating_add(self.outage_ttl_ms)
    }

    fn is_expired(&self, expires_at: Option<Timestamp>) -> bool {
        expires_at.is_some_and(|at| at.as_millis() <= self.clock.wall_millis())
    }

    async fn ask(
        &self,
        hash: [u8; 32],
        now_ms: u64,
        before: Option<&Arc<ActiveKey>>,
    ) -> Result<Arc<ActiveKey>, AuthError> {
        if before.is_none() && self.unknown.lock().get(&hash).is_some_and(|until| now_ms < *until) {
            return Err(AuthError::Unauthorized);
        }
        match self.store.key(&hash).await {
            Ok(Some(row)) if row.revoked_at.is_none() && !self.is_expired(row.expires_at) => {
                let key = Arc::new(self.activate(row, now_ms, before.map(Arc::as_ref)));
                self.good.write().insert(hash, Arc::clone(&key));
                Ok(key)
            }
            Ok(_) => {
                self.good.write().remove(&hash);
                self.remember_unknown(hash, now_ms);
                Err(AuthError::Unauthorized)
            }
            Err(error) => match before {
                Some(key) if self.is_trusted(key, now_ms) => {
                    warn!(%error, "a key could not be checked again; it is trusted meanwhile");
                    key.ask_again_ms.store(now_ms.saturating_add(self.ttl_ms), Ordering::Relaxed);
                    Ok(Arc::clone(key))
                }
                _ => {
                    warn!(%error, "a key could not be looked up");
                    Err(AuthError::Unavailable)
                }
            },
        }
    }

    fn activate(&self, row: ApiKeyRow, now_ms: u64, before: Option<&ActiveKey>) -> ActiveKey {
        let kept = before.filter(|key| key.bucket.quota() == row.rate_limit_per_minute);
        let bucket = kept.map(|key| Arc::clone(&key.bucket));
        ActiveKey {
            principal: Principal {
                tenant: row.tenant,
                scopes: row.scopes,
                key: Arc::new(KeyName { id: row.id, name: row.name }),
            },
            bucket: bucket.unwrap_or_else(|| Arc::new(Bucket::new(row.rate_limit_per_minute))),
            expires_at: row.expires_at,
            confirmed_ms: now_ms,
            ask_again_ms: AtomicU64::new(now_ms.saturating_add(self.ttl_ms)),
            asking: AtomicBool::new(false),
        }
    }

    fn remember_unknown(&self, hash: [u8; 32], now_ms: u64) {
        let mut unknown = self.unknown.lock();
        if unknown.len() >= MAX_UNKNOWN {
            unknown.retain(|_, until| now_ms < *until);
        }
        if unknown.len() < MAX_UNKNOWN {
            unknown.insert(hash, now_ms.saturating_add(UNKNOWN_TTL_MS));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn a_key_may_come_in_either_header() {
        assert_eq!(presented(&headers("x-api-key", "rk_1")), Some(&b"rk_1"[..]));
        assert_eq!(presented(&headers("authorization", "Bearer rk_1")), Some(&b"rk_1"[..]));
        assert_eq!(presented(&headers("authorization", "bearer  rk_1 ")), Some(&b"rk_1"[..]));
    }

    #[test]
    fn anything_else_is_no_key() {
        assert_eq!(presented(&HeaderMap::new()), None);
        assert_eq!(presented(&headers("authorization", "Basic cms6")), None);
        assert_eq!(presented(&headers("authorization", "Bearer")), None);
        assert_eq!(presented(&headers("x-api-key", " ")), None);
        assert_eq!(presented(&headers("x-api-key", &"k".repeat(257))), None);
    }
}
