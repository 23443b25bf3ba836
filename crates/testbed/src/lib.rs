//! Real brokers for the tests.
//!
//! Each is installed once below `.tools/` in the repository's root (or taken from the system, where it has to be), started on free
//! loopback ports with a directory of its own, and stopped with its value. What can't be had is an error that says why: a test then
//! prints `!! SKIPPED <what>: <why>` to standard error, which `cargo xtask test` counts.
#![allow(clippy::print_stderr, reason = "what is skipped is told past the test harness")]

mod aws;
mod cassandra;
mod dynamodb;
mod elasticmq;
mod guard;
mod link;
mod nats;
mod process;
mod rabbitmq;

pub use aws::{AwsProxy, Fate, Rewrite, call_dynamodb};
pub use cassandra::Cassandra;
pub use dynamodb::DynamoDb;
pub use elasticmq::ElasticMq;
pub use link::{Link, Mode};
pub use nats::{Nats, NatsOptions};
pub use process::{Server, free_port};
pub use rabbitmq::RabbitMq;
