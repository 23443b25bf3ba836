//! Types for the document only: filters, and the bodies of the key routes.
#![allow(dead_code, reason = "the types only describe bodies")]

use ronda_schemas::api::resource::KeyResource;
use ronda_schemas::api::time::Time;
use serde::Deserialize;
use utoipa::ToSchema;

/// Text of a filter: without control characters.
#[derive(Deserialize, ToSchema)]
#[schema(max_length = 256, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\ufffd]*$")]
pub(super) struct FilterText(String);

/// A key to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateKeyRequest {
    /// What to call it.
    #[schema(max_length = 100, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$")]
    name: String,
    /// What it may do; at least one of them.
    #[schema(min_items = 1)]
    scopes: Vec<ScopeWord>,
    /// Requests a minute; 100 when absent.
    #[schema(value_type = Option<u64>, maximum = 4_294_967_295_u64)]
    rate_limit_per_minute: Option<u32>,
    /// When it stops working, which lies ahead; absent: never.
    #[schema(value_type = Option<String>, format = DateTime, examples("2099-12-31T17:00:00.000Z"))]
    expires_at: Option<Time>,
}

/// What a key may do.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Scope)]
pub(super) enum ScopeWord {
    /// Report and register.
    Ingest,
    /// Read.
    Read,
    /// Delete, pause, resume, acknowledge, mute, unmute and manage keys.
    Admin,
}

/// A key that was just made.
#[derive(Deserialize, ToSchema)]
pub(super) struct CreatedKey {
    /// The key itself, shown this once.
    key: String,
    /// What is kept of it.
    #[serde(flatten)]
    resource: KeyResource,
}
