//! `keys create|list|revoke`: through the process that owns the data directory, or on the store itself when nothing runs.
//!
//! While `up` runs, the embedded store is its own, so it serves these operations on a Unix socket in the data directory
//! ([`socket`]). Who may open that socket may make keys: the file's permission (0600) is the authorisation.

mod command;
mod operation;
pub mod socket;

pub use command::run;
pub use operation::{Answer, Created, Operation, perform};

/// Tenant of the key that is made on the first start, and of keys that name none.
pub const DEFAULT_TENANT: &str = "default";
