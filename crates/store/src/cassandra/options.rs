//! What can be set of a store on Cassandra or ScyllaDB.

use std::fmt;
use std::time::Duration;

/// Where the store is, how long it keeps what, and how long it waits for answers.
#[derive(Clone)]
pub struct CassandraOptions {
    /// Contact points, `host` or `host:port` (9042 when left out). One that answers is enough; the driver finds the other nodes.
    pub nodes: Vec<String>,
    /// Who to log in as; `None`: the cluster asks nobody.
    pub user: Option<String>,
    /// Its password. Never logged.
    pub password: Option<String>,
    /// The keyspace, of its own: lower-case letters, digits and `_`, at most 48, the first a letter.
    pub keyspace: String,
    /// The keyspace's replication, as CQL has it. Only [`migrate`](super::migrate) reads it, and only where there is no keyspace yet.
    pub replication: String,
    /// What else the keyspace is made `WITH`, such as `tablets = {'enabled': false}` on ScyllaDB; empty: nothing.
    pub keyspace_options: String,
    /// The datacenter whose nodes are asked. Everything is read and written with `LOCAL_QUORUM` and fenced with `LOCAL_SERIAL`, so all
    /// processes that use a store must name the same one; `None`: the cluster has only one.
    pub datacenter: Option<String>,
    /// How long history and error feeds are kept, in seconds, counted from an entry's own time. The server takes 20 years at most;
    /// what would live longer goes then.
    pub history_keep_seconds: u64,
    /// How long an idempotency key is kept after it was claimed or taken over, in seconds, counted from the claim's own
    /// time.
    pub idempotency_keep_seconds: u32,
    /// Longest wait for a connection to a node.
    pub connect_timeout: Duration,
    /// Longest wait for the answer to one request, the driver's own further attempts included.
    pub request_timeout: Duration,
    /// Most requests of one commit, or of one list, that are under way at the same time.
    pub requests_in_flight: usize,
    /// Rows that the server sends at a time, as a history or a partition is read.
    pub page_rows: u32,
    /// Whether a read that a node leaves unanswered for so long is asked of another node as well; `None`: not.
    pub speculative_reads_after: Option<Duration>,
    /// How often a conditional write that loses against others is tried again before it is given up as unavailable.
    pub conditional_attempts: u32,
}

impl Default for CassandraOptions {
    /// A server on this machine, one replica, ninety days of history.
    fn default() -> Self {
        Self {
            nodes: vec!["127.0.0.1:9042".to_owned()],
            user: None,
            password: None,
            keyspace: "ronda".to_owned(),
            replication: "{'class': 'SimpleStrategy', 'replication_factor': 1}".to_owned(),
            keyspace_options: String::new(),
            datacenter: None,
            history_keep_seconds: 90 * 24 * 3_600,
            idempotency_keep_seconds: 24 * 3_600,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            requests_in_flight: 64,
            page_rows: 500,
            speculative_reads_after: None,
            conditional_attempts: 20,
        }
    }
}

/// By hand, so that a password gets into no log.
impl fmt::Debug for CassandraOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassandraOptions")
            .field("nodes", &self.nodes)
            .field("user", &self.user)
            .field("keyspace", &self.keyspace)
            .field("datacenter", &self.datacenter)
            .field("history_keep_seconds", &self.history_keep_seconds)
            .finish_non_exhaustive()
    }
}
