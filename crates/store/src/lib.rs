//! The store port, its conformance suite and its adapters.

pub mod conformance;
pub mod embedded;
pub mod error;
pub mod port;
