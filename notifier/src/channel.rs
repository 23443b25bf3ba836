//! The channel port: what a place that shows messages to people must be able to do.
//!
//! Failures are classified inside the adapter, which alone knows what its service's answer meant for the one question
//! that matters: may the message be visible?

#[cfg(feature = "conformance")]
pub mod conformance;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

/// What a message shows, in every form that a channel may want.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// Fallback and notification text, escaped for the channel's markup; at most 3000 bytes of UTF-8.
    pub text: String,
    /// Block Kit blocks; empty: the text alone.
    pub blocks: Vec<serde_json::Value>,
    /// Colour of the bar at the side, as `#rrggbb`; `None`: no bar.
    pub colour: Option<&'static str>,
    /// The whole message as plain text, for channels without markup.
    pub plain: String,
}

/// A link of a message, for channels without markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What it leads to: `Runbook`.
    pub label: &'static str,
    /// An http or https address without spaces.
    pub url: String,
}

/// What a message is, for machines and for channels without blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// `alert`, `reply`, `board`, `summary`, `digest`, `was_blind` or `operator_notice`.
    pub what: &'static str,
    /// Since when it is so, in milliseconds since the Unix epoch; `None`: it says so in its text, if at all.
    pub since_ms: Option<i64>,
    /// Nothing is expected to change it any more.
    pub is_over: bool,
    /// Where to read on.
    pub links: Vec<Link>,
}

/// How a message is recognised later: rides along invisibly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Which installation of Ronda posted it: several may share an app and a channel.
    pub installation: String,
    /// The surface's key.
    pub k: String,
    /// Which attempt at posting the surface this is; goes up only after a lookup found nothing.
    pub generation: u32,
    /// Which revision of the surface the content shows.
    pub revision: u64,
}

/// A message to post.
#[derive(Clone, Debug, PartialEq)]
pub struct PostRequest {
    /// Where.
    pub channel: String,
    /// The parent's `ts` when it is a reply.
    pub thread_ts: Option<String>,
    /// What it shows.
    pub content: Content,
    /// How it is recognised.
    pub metadata: Metadata,
    /// What it is.
    pub about: About,
}

/// A message to change.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateRequest {
    /// Where it is, as answered to the post.
    pub channel: String,
    /// Which message.
    pub ts: String,
    /// What it shall show.
    pub content: Content,
    /// How it is recognised.
    pub metadata: Metadata,
    /// What it is.
    pub about: About,
}

/// A message to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindRequest {
    /// Where.
    pub channel: String,
    /// Among this message's replies; `None`: in the channel itself.
    pub thread_ts: Option<String>,
    /// Posted by this installation.
    pub installation: String,
    /// The surface's key: every generation of it is wanted.
    pub k: String,
    /// Not posted before this wall time, in milliseconds since the Unix epoch.
    pub oldest_ms: i64,
    /// First and last wall time at which it was about to be posted: most likely it is near these.
    pub claimed_ms: (i64, i64),
}

/// Where a posted message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The channel's id, which may differ from the name that was given.
    pub channel: String,
    /// The message's id within the channel; sorts by time.
    pub ts: String,
}

/// A message that was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The message's id within the channel; sorts by time.
    pub ts: String,
    /// The generation in its metadata.
    pub generation: u32,
    /// The revision in its metadata.
    pub revision: u64,
}

/// How fast a channel may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pacing {
    /// Least time between two posts to one channel.
    pub post_interval: Duration,
    /// Least time between two edits or lookups, over all channels.
    pub edit_interval: Duration,
}

/// What a channel can do: where channels differ, this value says so, and the surfaces cope with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// An update changes the message where it is. `false`: it is news of its own at best, and what was read stays read.
    pub can_edit: bool,
    /// A message can be removed again.
    pub can_delete: bool,
    /// Messages can be looked up. `false`: a call whose fate is unknown is made again at once, under the same id, and it is the receiver that
    /// drops the repeat.
    pub can_find: bool,
}

impl Capabilities {
    /// Everything, as on Slack.
    pub const ALL: Self = Self { can_edit: true, can_delete: true, can_find: true };
}

/// What a channel is like at one of its destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// See [`Channel::kind`].
    pub kind: &'static str,
    /// How fast it may be called.
    pub pacing: Pacing,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Whether rates and requests for silence hold for all destinations of its kind together, as Slack's do.
    pub shares_limits: bool,
}

/// Why a call failed, as the caller needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelErrorKind {
    /// Certainly not carried out; may be tried again after this time.
    NotSent {
        /// How long nothing must be sent.
        retry_after: Duration,
        /// Whether the channel asked for silence (rate limit): then no call at all is made until it is over.
        rate_limited: bool,
    },
    /// It may or may not have been carried out.
    Ambiguous,
    /// Nothing can be sent there until a person changes something.
    DestinationBroken {
        /// The service's own code.
        code: String,
    },
    /// The content was refused; another form may pass.
    Payload {
        /// The service's own code.
        code: String,
    },
    /// The message to edit, delete or reply to is not there.
    Missing {
        /// The service's own code.
        code: String,
    },
    /// The message to edit, delete or reply to is there, but can't be changed or replied to (any more).
    Fixed {
        /// The service's own code.
        code: String,
    },
    /// The message to reply to is not there, and the reply became a message of its own, which should be removed.
    Orphaned {
        /// Where the reply is instead.
        stray: Posted,
    },
}

impl ChannelErrorKind {
    /// A constant name of the class, for metrics.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::NotSent { rate_limited: true, .. } => "rate_limited",
            Self::NotSent { .. } => "not_sent",
            Self::Ambiguous => "ambiguous",
            Self::DestinationBroken { .. } => "destination_broken",
            Self::Payload { .. } => "payload",
            Self::Missing { .. } => "missing",
            Self::Fixed { .. } => "fixed",
            Self::Orphaned { .. } => "orphaned",
        }
    }
}

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelError {
    /// Which kind of failure.
    pub kind: ChannelErrorKind,
    /// What happened, for a log: never a token, never a message's content.
    pub message: String,
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.class(), self.message)
    }
}

impl std::error::Error for ChannelError {}

/// A place that shows messages to people.
///
/// An implementation never retries by itself: every call is one attempt, and its outcome is answered as it is.
#[async_trait]
pub trait Channel: Send + Sync + 'static {
    /// What kind of channel it is: `slack`, `webhook`, `mail`, `terminal`. What was applied to one kind is not there on another.
    fn kind(&self) -> &'static str;

    /// How fast it may be called.
    fn pacing(&self) -> Pacing;

    /// What it is like at this destination.
    fn manner(&self, _channel: &str) -> Manner {
        let (kind, pacing) = (self.kind(), self.pacing());
        Manner { kind, pacing, capabilities: Capabilities::ALL, shares_limits: true }
    }

    /// Asks whether our credentials are good and each of these channels can be read; answers as whom and where we post.
    ///
    /// # Errors
    /// [`ChannelError`]; `DestinationBroken` when the credentials, or we in one of the channels, are refused.
    async fn check(&self, channels: &[String]) -> Result<String, ChannelError>;

    /// Posts a message.
    ///
    /// # Errors
    /// [`ChannelError`]; only `Ambiguous` leaves open whether it is visible, and after `Orphaned` it is, elsewhere.
    async fn post(&self, request: PostRequest) -> Result<Posted, ChannelError>;

    /// Changes a message as a whole.
    ///
    /// # Errors
    /// [`ChannelError`]; `Missing` when there is nothing to change, `Fixed` when it can't be changed any more.
    async fn update(&self, request: UpdateRequest) -> Result<(), ChannelError>;

    /// Removes a message of ours. One that is gone already counts as removed.
    ///
    /// # Errors
    /// [`ChannelError`].
    async fn delete(&self, channel: &str, ts: &str) -> Result<(), ChannelError>;

    /// Our own messages that carry this key, oldest first.
    ///
    /// # Errors
    /// [`ChannelError`]; an error says nothing about what is there, but for `Orphaned`: a reply that is there, beside its deleted parent.
    async fn find(&self, request: FindRequest) -> Result<Vec<Found>, ChannelError>;
}
