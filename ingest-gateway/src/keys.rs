//! API keys: made, listed and revoked, by the command line and by the admin routes.

use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use ronda_runtime::Secret;
use ronda_schemas::row::{ApiKeyRow, Scopes};
use ronda_store::error::StoreError;
use ronda_store::port::KeyStore;
use thiserror::Error;

use crate::auth::hash_of_key;

/// Requests a minute of a key whose maker named no other number.
pub const DEFAULT_RATE_LIMIT_PER_MINUTE: u32 = 100;
/// Longest name of a key, in bytes of UTF-8.
pub const MAX_KEY_NAME_BYTES: usize = 100;
const PREFIX: &str = "rk_";
const KEY_CHARACTERS: usize = 32;
const ID_CHARACTERS: usize = 12;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a key shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// What its maker calls it; at most [`MAX_KEY_NAME_BYTES`].
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Requests a minute; 0: no limit.
    pub rate_limit_per_minute: u32,
    /// When it stops working; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Why a key was not made, listed or revoked.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The name is too long, or has control characters.
    #[error("a key's name must be at most {MAX_KEY_NAME_BYTES} bytes of text without control characters")]
    Name,
    /// It may do nothing.
    #[error("a key needs at least one of the scopes ingest, read and admin")]
    Scopes,
    /// It would have expired before it is made.
    #[error("a key's expires_at must be in the future")]
    Expired,
    /// No key of this id.
    #[error("no key has the id '{0}'; list the keys to see their ids")]
    Unknown(String),
    /// The machine gives no random numbers.
    #[error("the machine gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a key: `rk_` and 32 random letters and digits. The text is told once; only its hash is stored.
///
/// # Errors
/// [`KeyError::Name`], [`KeyError::Scopes`], [`KeyError::Expired`], [`KeyError::Random`], [`KeyError::Store`].
pub async fn create<S: KeyStore + ?Sized>(
    store: &S,
    new: NewKey,
    now: Timestamp,
) -> Result<(Secret, ApiKeyRow), KeyError> {
    if new.name.len() > MAX_KEY_NAME_BYTES || new.name.chars().any(char::is_control) {
        return Err(KeyError::Name);
    }
    if new.scopes == Scopes::default() {
        return Err(KeyError::Scopes);
    }
    if new.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return Err(KeyError::Expired);
    }
    let text = format!("{PREFIX}{}", random_text(KEY_CHARACTERS)?);
    let row = ApiKeyRow {
        hash: hash_of_key(text.as_bytes()),
        id: random_text(ID_CHARACTERS)?.into(),
        tenant: new.tenant,
        name: new.name.into(),
        scopes: new.scopes,
        rate_limit_per_minute: new.rate_limit_per_minute,
        created_at: now,
        expires_at: new.expires_at,
        revoked_at: None,
    };
    store.put_key(row.clone()).await?;
    Ok((Secret::new(text), row))
}

/// All keys, of one tenant or of all, revoked ones too.
///
/// # Errors
/// [`KeyError::Store`].
pub async fn list<S: KeyStore + ?Sized>(store: &S, tenant: Option<&TenantId>) -> Result<Vec<ApiKeyRow>, KeyError> {
    Ok(store.keys(tenant).await?)
}

/// Revokes a key by its id; of one tenant, or of whichever has it. Gateways notice within seconds. Revoking again changes nothing.
///
/// # Errors
/// [`KeyError::Unknown`], [`KeyError::Store`].
pub async fn revoke<S: KeyStore + ?Sized>(
    store: &S,
    tenant: Option<&TenantId>,
    id: &str,
    now: Timestamp,
) -> Result<ApiKeyRow, KeyError> {
    let found = store.keys(tenant).await?.into_iter().find(|key| &*key.id == id);
    let mut key = found.ok_or_else(|| KeyError::Unknown(id.to_owned()))?;
    if key.revoked_at.is_none() {
        key.revoked_at = Some(now);
        store.put_key(key.clone()).await?;
    }
    Ok(key)
}

/// Random letters and digits, each equally likely.
fn random_text(characters: usize) -> Result<String, KeyError> {
    let mut text = String::with_capacity(characters);
    let mut bytes = [0u8; 64];
    while text.len() < characters {
        getrandom::fill(&mut bytes).map_err(KeyError::Random)?;
        // 248 is the greatest multiple of 62 below 256: beyond it the first letters would be more likely.
        let fair = bytes.iter().filter(|byte| **byte < 248);
        let letters = fair.filter_map(|byte| ALPHABET.get(usize::from(*byte) % ALPHABET.len()));
        text.extend(letters.take(characters - text.len()).map(|letter| char::from(*letter)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_texts_have_their_length_and_differ() {
        let (first, second) = (random_text(32).unwrap(), random_text(32).unwrap());
        assert_eq!((first.len(), second.len()), (32, 32));
        assert!(first.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_ne!(first, second);
    }
}
