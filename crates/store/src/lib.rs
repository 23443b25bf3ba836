//! The store port, its conformance suite and its adapters.

pub mod error;
pub mod port;
