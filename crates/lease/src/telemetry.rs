//! What is counted and logged.

use metrics::{counter, describe_counter, describe_gauge, gauge};
use ronda_schemas::lease::Group;
use ronda_store::error::StoreError;

use crate::member::{News, Swap};

/// Metrics of one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telemetry(pub(crate) Group);

impl Telemetry {
    pub(crate) fn describe() {
        describe_gauge!("ronda_lease_members", "Replicas that live, as this one sees it, itself included");
        describe_gauge!("ronda_lease_partitions", "Partitions that this replica works on");
        describe_counter!(
            "ronda_lease_takeovers_total",
            "Partitions that this replica took from dead ones and handed out"
        );
        describe_counter!(
            "ronda_lease_lost_total",
            "Partitions that were taken from this replica while it worked on them"
        );
    }

    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub(crate) fn set(self, members: usize, partitions: usize) {
        gauge!("ronda_lease_members", "group" => self.0.as_str()).set(members as f64);
        gauge!("ronda_lease_partitions", "group" => self.0.as_str()).set(partitions as f64);
    }

    pub(crate) fn lost(self, partitions: usize) {
        if partitions > 0 {
            tracing::warn!(
                group = %self.0, partitions,
                "partitions were given to others while this replica worked on them: it was still, or cut off from the store, for too long"
            );
            counter!("ronda_lease_lost_total", "group" => self.0.as_str()).increment(count(partitions));
        }
    }

    pub(crate) fn news(self, news: &News, members: usize) {
        let News { joined, left, died } = news;
        if joined.is_empty() && left.is_empty() && died.is_empty() {
            return;
        }
        tracing::info!(group = %self.0, members, ?joined, ?left, ?died, "replicas came or went");
    }

    /// One line a plan; what is merely given on was told when it was planned.
    pub(crate) fn swapped(self, swap: &Swap, members: usize) {
        let Swap { row, given, moves, taken, handed_out } = swap;
        if *taken > 0 {
            counter!("ronda_lease_takeovers_total", "group" => self.0.as_str()).increment(count(*taken));
        }
        if moves + taken + handed_out == 0 {
            tracing::debug!(group = %self.0, version = row.version, given, "partitions were given on");
            return;
        }
        tracing::info!(
            group = %self.0, version = row.version, members, moves, taken, handed_out, given,
            "partitions were shared out anew"
        );
    }
}

fn count(partitions: usize) -> u64 {
    u64::try_from(partitions).unwrap_or(u64::MAX)
}

/// Tells of an outage once, and when it is over.
#[derive(Debug)]
pub(crate) struct Trouble {
    group: Group,
    what: &'static str,
    failures: u64,
}

impl Trouble {
    pub(crate) fn new(group: Group, what: &'static str) -> Self {
        Self { group, what, failures: 0 }
    }

    /// What came of a call; `None`: an error, which is told if it is the first one.
    pub(crate) fn note<T>(&mut self, outcome: Result<T, StoreError>) -> Option<T> {
        match outcome {
            Ok(value) => {
                if self.failures > 0 {
                    tracing::info!(group = %self.group, failures = self.failures, "the store of the leases answers again");
                }
                self.failures = 0;
                Some(value)
            }
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!(group = %self.group, %error, "{}; this replica keeps what it has", self.what);
                }
                self.failures += 1;
                None
            }
        }
    }
}
