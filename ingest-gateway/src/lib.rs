//! HTTP in, frames and pulses out, and the reads.
//!
//! A write is answered 2xx only once the frame that carries it is confirmed by the queue (`publisher`); reads come straight from the
//! store ([`reads`]). The service is built with [`Gateway::build`] and run with [`Gateway::run`].

mod access;
mod auth;
mod config;
mod entrance;
mod front;
mod gateway;
mod http_metrics;
pub mod keys;
mod keys_api;
mod known;
pub mod openapi;
mod outage;
pub mod problem;
mod progress;
mod publisher;
mod rate_limit;
pub mod reads;
mod refusals;
mod serve;
mod slack;
mod state;
mod stream;
mod writes;

pub use access::{AdminAccess, IngestAccess, Principal, ReadAccess};
pub use config::Config;
pub use gateway::{Gateway, GatewayError};
pub use slack::{SlackConfig, SlackError, SocketStatus};
pub use state::AppState;
