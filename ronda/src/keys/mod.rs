//! `keys create|list|revoke`: see [`admin`](crate::admin) for who carries them out.

mod command;
mod operation;

pub use command::run;
pub use operation::{Answer, Created, Operation, perform};

/// Tenant of the key that is made on the first start, and of keys that name none.
pub const DEFAULT_TENANT: &str = "default";
