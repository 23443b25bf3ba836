//! What can be set about a gateway.

use crate::slack::SlackConfig;

/// Settings of one gateway. The defaults suit one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whether this is the only gateway, and nothing that an earlier one sent can still arrive: its first frames say so, and the
    /// partitions' clocks wait for no predecessor. Only whoever owns the queue alone can know.
    pub alone: bool,
    /// How long a partition may send nothing before an empty frame (a pulse) goes out, in milliseconds.
    pub pulse_period_ms: u64,
    /// How long a frame may fill while commands keep coming in, in milliseconds, so that under load fewer and larger ones go out; it
    /// goes at once when nothing comes. 0: as soon as the one before is confirmed.
    pub linger_ms: u64,
    /// Most encoded commands in one frame, in bytes; capped by what the queue takes.
    pub max_frame_bytes: usize,
    /// Most encoded commands that wait in one partition, in bytes; beyond it writes are answered 503.
    pub max_buffered_bytes: usize,
    /// How long one attempt to publish a frame may take, in milliseconds.
    pub publish_attempt_timeout_ms: u64,
    /// How long a frame is tried again before its requests are answered 503, in milliseconds.
    pub publish_retry_ms: u64,
    /// How long a register, delete, pause or resume waits until it is applied before it is answered 202, in milliseconds.
    pub apply_wait_ms: u64,
    /// Most time that a client may ask to wait with `Prefer: wait`, in seconds.
    pub max_prefer_wait_seconds: u64,
    /// Pause between two looks at a partition's progress while somebody waits for it, in milliseconds.
    pub progress_poll_ms: u64,
    /// Largest body of a single write, in bytes.
    pub max_body_bytes: usize,
    /// Largest body of a bulk write, in bytes.
    pub max_bulk_body_bytes: usize,
    /// Most bytes of request bodies in memory at once, over all requests; beyond it a request is answered 503. At least as much as the largest
    /// body.
    pub max_inflight_body_bytes: usize,
    /// Most items in a bulk write.
    pub max_bulk_items: usize,
    /// How long a client may take to send a request's head, in seconds.
    pub header_read_timeout_seconds: u64,
    /// How long a connection may be idle between two requests, in seconds. More than the 60 s of usual load balancers, which else may
    /// send a request onto a connection that is being closed.
    pub idle_timeout_seconds: u64,
    /// How long a client may take to send a body, in seconds.
    pub body_read_timeout_seconds: u64,
    /// How long a client may leave an answer unread, in seconds.
    pub write_timeout_seconds: u64,
    /// Most connections at once; more wait in the listener's backlog.
    pub max_connections: usize,
    /// How long requests in flight may take to end once shutdown is asked for, in seconds.
    pub drain_timeout_seconds: u64,
    /// How long a key is trusted before the store is asked again, in milliseconds: how fast a revocation works.
    pub key_ttl_ms: u64,
    /// How long a known key is trusted while the store can't be asked, in seconds.
    pub key_outage_ttl_seconds: u64,
    /// How long a scheduler is taken to exist before the store is asked again, in seconds. A report for one that was deleted through another
    /// gateway meanwhile is accepted and refused later in the pipeline.
    pub known_scheduler_ttl_seconds: u64,
    /// Most schedulers remembered as existing.
    pub max_known_schedulers: usize,
    /// Age at which an `Idempotency-Key` whose request never ended may be taken over, in seconds.
    pub idempotency_takeover_seconds: u64,
    /// How people in Slack are answered; `None`: they are not.
    pub slack: Option<SlackConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            alone: false,
            pulse_period_ms: 1_000,
            linger_ms: 4,
            max_frame_bytes: 512 * 1024,
            max_buffered_bytes: 16 * 1024 * 1024,
            publish_attempt_timeout_ms: 5_000,
            publish_retry_ms: 5_000,
            apply_wait_ms: 5_000,
            max_prefer_wait_seconds: 30,
            progress_poll_ms: 10,
            max_body_bytes: 64 * 1024,
            max_bulk_body_bytes: 8 * 1024 * 1024,
            max_inflight_body_bytes: 256 * 1024 * 1024,
            max_bulk_items: 10_000,
            header_read_timeout_seconds: 20,
            idle_timeout_seconds: 75,
            body_read_timeout_seconds: 20,
            write_timeout_seconds: 20,
            max_connections: 4_096,
            drain_timeout_seconds: 20,
            key_ttl_ms: 2_000,
            key_outage_ttl_seconds: 300,
            known_scheduler_ttl_seconds: 300,
            max_known_schedulers: 1_000_000,
            idempotency_takeover_seconds: 60,
            slack: None,
        }
    }
}
