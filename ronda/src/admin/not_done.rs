//! Why an operation was not carried out, and with which exit code a command says so.

use std::time::Duration;

use ronda_queue::{QueueError, QueueErrorKind};
use ronda_store::error::StoreError;

use ronda_host::config::Settings;
use ronda_host::exit::{Code, Failure, chain};
use ronda_host::{parts, store};

/// Why an operation was not carried out.
#[derive(Debug)]
pub enum NotDone {
    /// It can't be, as things are.
    Refused(String),
    /// A queue failed.
    Queue(QueueError),
    /// The store failed.
    Store(StoreError),
    /// It took longer than this.
    Late(Duration),
}

impl NotDone {
    /// For the user, with the code of what failed.
    #[must_use]
    pub fn failure(&self, settings: &Settings) -> Failure {
        match self {
            Self::Refused(what) => Failure::new(Code::Refused, what.clone()),
            Self::Queue(error) if is_of_the_message(error.kind) => Failure::new(Code::Refused, chain(error)),
            Self::Queue(error) => parts::queue_failure(settings, error),
            Self::Store(error) => store::failure(settings, error),
            Self::Late(within) => {
                let (what, queue) = (format!("took longer than {} s", within.as_secs()), &settings.queue.url);
                match queue.is_embedded() {
                    true => Failure::new(Code::Data, format!("the dead letters {what}")),
                    false => Failure::new(Code::Queue, format!("the dead letters on {} {what}", queue.place())),
                }
            }
        }
    }
}

/// Whether a queue has something against one message, and is well itself.
const fn is_of_the_message(kind: QueueErrorKind) -> bool {
    matches!(kind, QueueErrorKind::TooLarge | QueueErrorKind::InvalidOptions | QueueErrorKind::Unsupported)
}

impl std::fmt::Display for NotDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(what) => f.write_str(what),
            Self::Queue(error) => f.write_str(&chain(error)),
            Self::Store(error) => f.write_str(&chain(error)),
            Self::Late(within) => write!(f, "it took longer than {} s", within.as_secs()),
        }
    }
}

impl From<String> for NotDone {
    fn from(what: String) -> Self {
        Self::Refused(what)
    }
}

impl From<&str> for NotDone {
    fn from(what: &str) -> Self {
        Self::Refused(what.to_owned())
    }
}

impl From<QueueError> for NotDone {
    fn from(error: QueueError) -> Self {
        Self::Queue(error)
    }
}

impl From<StoreError> for NotDone {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
