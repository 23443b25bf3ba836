//! Which replica of a service works on which partition.
//!
//! A service gets an [`Ownership`]: what it shall work on now, as that changes. It says when it has let go of a partition, and when it found
//! that somebody else has written to one of its own. Nothing here keeps two from working on the same partition: that is the fence of each
//! commit in the store.
//!
//! [`Leases`] decides, together with those of all other replicas, through the store: why so is in `docs/adr/0014-leases.md`.
//!
//! - `plan` says who shall have what; `vigil` who lives; `member` what follows for one member. They are pure: time comes with the inputs.
//! - `picture` and `living` are for people and commands, who are no members.
//! - `follow` and `beat` are the loops around them, and `ownership` is what lies between them and the service.

mod beat;
mod config;
mod follow;
mod leases;
mod living;
mod member;
mod ownership;
mod picture;
mod plan;
mod telemetry;
mod vigil;

use std::future::Future;

pub use config::{LeaseConfig, LeaseConfigError};
pub use leases::{LeaseError, Leases};
pub use living::living;
pub use ownership::{Ended, Owner, Ownership, Partitions, Returned};
pub use picture::{Picture, Share, Who};
pub use ronda_schemas::lease::{Group, MemberId};

use ronda_store::error::{StoreError, StoreErrorKind};

/// A store's answer, or that there was none in time.
async fn within<T>(call_ms: u64, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let answer = tokio::time::timeout(leases::millis(call_ms), call).await;
    answer.unwrap_or_else(|_| {
        Err(StoreError::new(StoreErrorKind::Unavailable, format!("the store did not answer within {call_ms} ms")))
    })
}
