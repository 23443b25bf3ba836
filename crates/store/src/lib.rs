//! The store port, its conformance suite and its adapters.

#[cfg(feature = "cassandra")]
pub mod cassandra;
pub mod conformance;
pub mod embedded;
pub mod error;
pub mod port;
