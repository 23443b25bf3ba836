//! What people do, and what came of it.

use serde::{Deserialize, Serialize};

use super::http::Signed;

/// What a person does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "gesture")]
pub enum Gesture {
    /// Clicks on a button.
    Click {
        /// Where.
        channel: String,
        /// Of which message.
        ts: String,
        /// Which button.
        action_id: String,
        /// Who.
        user: String,
    },
    /// Enters a slash command.
    Command {
        /// Where.
        channel: String,
        /// Such as `/ronda`.
        command: String,
        /// What follows it.
        text: String,
        /// Who.
        user: String,
    },
}

/// Where requests go; both may be the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestUrls {
    /// Clicks, as under "Interactivity & Shortcuts".
    pub interactivity: String,
    /// Commands, as under "Slash Commands".
    pub commands: String,
}

/// What came of it at the app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// Acknowledged within three seconds.
    Acknowledged,
    /// Answered in time, with a status that is no acknowledgement.
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// Acknowledged in time, with a message that Slack doesn't take.
    BadAnswer {
        /// Slack's error code.
        code: String,
    },
    /// Not answered within three seconds.
    TooLate,
    /// Nobody is there to take it.
    Unreachable {
        /// Why.
        why: String,
    },
}

impl Outcome {
    /// What the person is told. <https://docs.slack.dev/interactivity/implementing-slash-commands>, "the error messages"
    pub(super) fn error(&self) -> Option<&'static str> {
        match self {
            Self::Acknowledged => None,
            Self::Refused { status: 400..=499 } => Some("http_client_error"),
            Self::Refused { .. } => Some("http_service_error"),
            Self::TooLate => Some("operation_timeout"),
            Self::BadAnswer { .. } | Self::Unreachable { .. } => Some("dispatch_failed"),
        }
    }
}

/// Something that a person did, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interaction {
    /// What was done.
    pub gesture: Gesture,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long the app took, in milliseconds of real time.
    pub took_ms: u64,
    /// Where the app may answer later.
    pub response_url: String,
    /// What the person was told at once: the command's answer, or Slack's word that it failed.
    pub told: Option<String>,
    #[serde(skip)]
    pub(super) sent: Option<Signed>,
}

/// There is no such button to be seen for this person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NothingThere;
