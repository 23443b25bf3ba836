//! The store port, its conformance suite and its adapters.

pub mod backend;
#[cfg(feature = "cassandra")]
pub mod cassandra;
pub mod conformance;
#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod embedded;
pub mod error;
pub mod lease;
pub mod port;
#[cfg(any(feature = "cassandra", feature = "dynamodb"))]
mod requests;
