//! What every service needs around itself, and nothing of Ronda's own subject: clocks, health, the admin listener,
//! telemetry, retries and secrets.
//!
//! Shutdown needs no module: a [`tokio_util::sync::CancellationToken`] is passed in, and how long a drain may take is
//! the caller's decision.

pub mod admin;
pub mod clock;
pub mod health;
pub mod retry;
pub mod secret;
pub mod telemetry;

pub use clock::{Clock, ManualClock, SystemClock};
pub use health::{Component, Health};
pub use secret::Secret;
pub use tokio_util::sync::CancellationToken;
