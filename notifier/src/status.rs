//! What the notifier says of itself, for the screen of `up`.

/// How the notifier is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotifierStatus {
    /// Which kind of channel messages go to: `slack` or `terminal`.
    pub channel: &'static str,
    /// Whether the channel accepted our credentials; `None`: not yet asked.
    pub connected: Option<bool>,
    /// As whom and where we post, when the channel said so.
    pub identity: Option<String>,
    /// The last failure that a person should know of; `None` when the last call went well.
    pub last_error: Option<String>,
    /// Messages posted since the start.
    pub posts: u64,
    /// Messages edited since the start.
    pub edits: u64,
    /// Surfaces that are not yet as they should be.
    pub backlog: usize,
    /// Partitions of the event queue that are worked on.
    pub shards: usize,
    /// What keeps us from working on some that are ours; `None`: nothing.
    pub trouble: Option<String>,
}
