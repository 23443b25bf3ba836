//! What is asked of a database, counted as metrics: it is what the database costs.

use metrics::{Unit, counter, describe_counter};

const REQUESTS: &str = "ronda_store_requests_total";

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    /// Something is read.
    Read,
    /// Something is written, whatever is there.
    Write,
    /// Something is written on condition of what is there; several on one condition are as many. On Cassandra these go through Paxos.
    ConditionalWrite,
}

impl Request {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::ConditionalWrite => "conditional_write",
        }
    }

    /// It is about to be asked, so many times. Further attempts by the client's own are not seen.
    pub(crate) fn count(self, times: usize) {
        counter!(REQUESTS, "kind" => self.as_str()).increment(u64::try_from(times).unwrap_or(u64::MAX));
    }
}

/// Says what is counted.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "Requests to the database, by kind: read, write, conditional_write");
}
