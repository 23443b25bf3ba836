//! A load generator for Ronda's HTTP interface, lean enough to share two cores with what it measures.
//!
//! Requests are formatted into reused buffers and answers are read by hand, so that the figures speak of the server. Every
//! acknowledged heartbeat is counted by scheduler: the ledger that a checker compares with what Ronda says afterwards.
//!
//! [`chaos`] breaks the parts of a pipeline one after another while load comes over HTTP and straight onto the queue; there every
//! report has a run of its own, so that each can be looked up ([`runs`]). [`fleet`] does the same to many replicas at random.
//! [`notify`] measures how soon people hear of a failure.

pub mod account;
pub mod bare;
mod broker;
pub mod chaos;
pub mod compare;
pub mod connection;
pub mod fleet;
pub mod ledger;
pub mod load;
mod nats;
pub mod notify;
pub mod pipeline;
pub mod queues;
pub mod request;
pub mod runs;
