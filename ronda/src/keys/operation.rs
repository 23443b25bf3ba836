//! What can be done with keys, the same on the socket and on the store.

use ronda_domain::id::TenantId;
use ronda_domain::time::Timestamp;
use ronda_ingest_gateway::keys::{self, NewKey};
use ronda_schemas::api::resource::KeyResource;
use ronda_schemas::row::Scopes;
use ronda_store::port::KeyStore;
use serde::{Deserialize, Serialize};

/// One operation.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Makes a key.
    Create {
        /// Whose it is.
        tenant: String,
        /// What to call it.
        name: String,
        /// May it report?
        ingest: bool,
        /// May it read?
        read: bool,
        /// May it manage?
        admin: bool,
        /// Requests a minute; 0: no limit.
        rate_limit_per_minute: u32,
        /// When it stops working, in milliseconds since 1970.
        expires_at_millis: Option<i64>,
    },
    /// Lists keys.
    List {
        /// Whose; none: everybody's.
        tenant: Option<String>,
    },
    /// Revokes a key.
    Revoke {
        /// Its public id.
        id: String,
    },
}

/// What an operation gives.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// The key, told once.
    Created(Created),
    /// Keys, without their texts.
    Listed {
        /// By their time of making.
        items: Vec<KeyResource>,
    },
    /// The key that works no more.
    Revoked {
        /// Which.
        key: KeyResource,
    },
}

/// A new key. Not to be logged.
#[derive(Serialize, Deserialize)]
pub struct Created {
    /// Its text.
    pub key: String,
    /// What is known of it.
    #[serde(flatten)]
    pub resource: KeyResource,
}

impl std::fmt::Debug for Created {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Created").field("key", &"***").field("resource", &self.resource).finish()
    }
}

/// Carries an operation out on a store.
///
/// # Errors
/// What is wrong with it, or what the store said.
pub async fn perform<S: KeyStore + ?Sized>(store: &S, operation: Operation, now: Timestamp) -> Result<Answer, String> {
    let tenant_of = |text: &str| TenantId::new(text).map_err(|error| format!("tenant {text:?}: {error}"));
    match operation {
        Operation::Create { tenant, name, ingest, read, admin, rate_limit_per_minute, expires_at_millis } => {
            let expires_at = expires_at_millis.map(Timestamp::from_millis);
            if expires_at.is_some_and(|expires_at| expires_at <= now) {
                return Err(String::from("the key would have expired already; give a time in the future"));
            }
            let scopes = Scopes { ingest, read, admin };
            let new = NewKey { tenant: tenant_of(&tenant)?, name, scopes, rate_limit_per_minute, expires_at };
            let (secret, row) = keys::create(store, new, now).await.map_err(|error| error.to_string())?;
            Ok(Answer::Created(Created { key: secret.expose().to_owned(), resource: KeyResource::from(&row) }))
        }
        Operation::List { tenant } => {
            let tenant = tenant.as_deref().map(tenant_of).transpose()?;
            let rows = keys::list(store, tenant.as_ref()).await.map_err(|error| error.to_string())?;
            Ok(Answer::Listed { items: rows.iter().map(KeyResource::from).collect() })
        }
        Operation::Revoke { id } => {
            let row = keys::revoke(store, None, &id, now).await.map_err(|error| error.to_string())?;
            Ok(Answer::Revoked { key: KeyResource::from(&row) })
        }
    }
}
