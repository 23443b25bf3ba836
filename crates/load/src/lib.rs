//! A load generator for Ronda's HTTP interface, lean enough to share two cores with what it measures.
//!
//! Requests are formatted into reused buffers and answers are read by hand, so that the figures speak of the server. Every
//! acknowledged heartbeat is counted by scheduler: the ledger that a checker compares with what Ronda says afterwards.

pub mod account;
pub mod bare;
pub mod compare;
pub mod connection;
pub mod ledger;
pub mod load;
pub mod pipeline;
pub mod request;
