//! Who asks, and what they may do: extractors for handlers.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use ronda_domain::id::TenantId;
use ronda_schemas::row::Scopes;

use crate::problem::Problem;

/// Who a request comes from. The access layer puts it into the request's extensions once the key has been checked.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Whose data the request may touch.
    pub tenant: TenantId,
    /// What it may do.
    pub scopes: Scopes,
    /// Which key it is.
    pub key: Arc<KeyName>,
}

/// What a key is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName {
    /// Its public id.
    pub id: Box<str>,
    /// What its maker called it.
    pub name: Box<str>,
}

fn principal(parts: &Parts) -> Result<&Principal, Problem> {
    parts.extensions.get::<Principal>().ok_or_else(Problem::unauthorized)
}

macro_rules! access {
    ($(#[$doc:meta])* $name:ident, $scope:ident, $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Principal);

        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
                let principal = principal(parts)?;
                if principal.scopes.$scope { Ok(Self(principal.clone())) } else { Err(Problem::forbidden($text)) }
            }
        }
    };
}

access!(
    /// A caller that may read.
    ReadAccess,
    read,
    "read"
);
access!(
    /// A caller that may report and register.
    IngestAccess,
    ingest,
    "ingest"
);
access!(
    /// A caller that may do everything else.
    AdminAccess,
    admin,
    "admin"
);
