//! HTTP in, frames and pulses out, and the reads.
//!
//! A write is answered 2xx only once the frame that carries it is confirmed by the queue ([`publisher`]); reads come straight from the
//! store ([`reads`]). The service is built with [`Gateway::build`] and run with [`Gateway::run`].

mod access;
mod config;
pub mod keys;
pub mod openapi;
pub mod problem;
pub mod reads;
mod state;

pub use access::{AdminAccess, IngestAccess, Principal, ReadAccess};
pub use config::Config;
pub use state::AppState;
