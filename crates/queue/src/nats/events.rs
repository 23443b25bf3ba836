//! What happens to a connection: that it was lost, and what the server does not permit on it.
//!
//! The server answers a request that it does not permit by an error of the connection, and the request by nothing.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use async_nats::Event;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Refusals that are kept for those that they concern.
const MAX_DENIALS: usize = 256;

/// What has happened to a connection.
#[derive(Clone, Default)]
pub(super) struct Seen {
    pub(super) connected: bool,
    /// How many times it was lost.
    pub(super) lost: u64,
    /// The last things that the server did not permit, and how many there were. Several may come before anybody looks.
    denied: VecDeque<Arc<str>>,
    denials: u64,
    /// That the server sends no answers, in its words: it does not let this client listen to its inbox.
    deaf: Option<Arc<str>>,
}

impl Seen {
    /// Of one that was just made.
    pub(super) fn connected() -> Self {
        Self { connected: true, ..Self::default() }
    }

    /// What the server said about a subject among the things that it did not permit after so many.
    fn denied_since(&self, denials: u64, subject: &str) -> Option<Arc<str>> {
        let new = usize::try_from(self.denials.saturating_sub(denials)).unwrap_or(usize::MAX);
        let mut said = self.denied.iter().rev().take(new);
        // Who may not listen gets no answer to anything.
        self.deaf.clone().or_else(|| said.find(|said| subject_of(said) == Some(subject)).map(Arc::clone))
    }

    fn add_denial(&mut self, said: Arc<str>) {
        if said.contains("Subscription") {
            self.deaf = Some(Arc::clone(&said));
        }
        if self.denied.len() == MAX_DENIALS {
            self.denied.pop_front();
        }
        self.denied.push_back(said);
        self.denials += 1;
    }
}

/// The subject that the server's words are about.
fn subject_of(said: &str) -> Option<&str> {
    said.split('"').nth(1)
}

/// A subject without what is different each time: names of consumers and inboxes.
fn kind_of(subject: &str) -> String {
    let tokens = match subject.split('.').collect::<Vec<_>>()[..] {
        ["$JS", "API", "CONSUMER", "MSG", ..] => 6,
        ["$JS", "API", "CONSUMER", ..] => 5,
        [inbox, ..] if inbox.starts_with("_INBOX") => 1,
        _ => usize::MAX,
    };
    subject.split('.').take(tokens).collect::<Vec<_>>().join(".")
}

/// Waits for what goes wrong with a connection.
pub(super) struct Watch {
    seen: watch::Receiver<Seen>,
    lost: u64,
    denials: u64,
}

/// What went wrong.
pub(super) enum Trouble {
    /// The connection was lost; it may be back.
    Lost,
    /// The server does not permit it; what it said.
    Denied(Arc<str>),
}

impl Watch {
    /// For what happens from now on.
    pub(super) fn new(mut seen: watch::Receiver<Seen>) -> Self {
        let (lost, denials) = {
            let now = seen.borrow_and_update();
            (now.lost, now.denials)
        };
        Self { seen, lost, denials }
    }

    /// Waits until the connection is lost, or something on a subject is not permitted.
    pub(super) async fn trouble(&mut self, subject: &str) -> Trouble {
        loop {
            {
                let seen = self.seen.borrow_and_update();
                if seen.lost != self.lost {
                    return Trouble::Lost;
                }
                if let Some(said) = seen.denied_since(self.denials, subject) {
                    return Trouble::Denied(said);
                }
                self.denials = seen.denials;
            }
            if self.seen.changed().await.is_err() {
                return Trouble::Lost;
            }
        }
    }
}

/// Keeps book of a connection's events.
pub(super) fn watcher(
    tell: watch::Sender<Seen>,
    place: String,
) -> impl Fn(Event) -> std::future::Ready<()> + Send + Sync + 'static {
    let told = Mutex::new(HashSet::new());
    move |event| {
        match event {
            Event::Connected => {
                tell.send_modify(|seen| seen.connected = true);
                tracing::debug!(place, "connected to NATS");
            }
            Event::Disconnected => {
                tell.send_modify(|seen| {
                    seen.connected = false;
                    seen.lost += 1;
                    seen.deaf = None;
                });
                tracing::warn!(place, "lost the connection to NATS; connecting again");
            }
            Event::ServerError(error) => {
                let said = error.to_string();
                let kind = subject_of(&said).map(kind_of);
                // What is refused again and again is told once; `Denied` tells it to whoever tries.
                if kind.is_none_or(|kind| is_new(&mut told.lock(), kind)) {
                    tracing::warn!(place, said, "the NATS server refused something");
                }
                if said.contains("ermissions") {
                    tell.send_modify(|seen| seen.add_denial(said.into()));
                }
            }
            Event::SlowConsumer(_) => tracing::warn!(place, "a NATS consumer sent more than was asked for"),
            _ => {}
        }
        std::future::ready(())
    }
}

/// Whether nothing of this kind was told yet. What is told is bounded: beyond it everything is new again.
fn is_new(told: &mut HashSet<String>, kind: String) -> bool {
    if told.len() == MAX_DENIALS {
        told.clear();
    }
    told.insert(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_reaches_whom_it_concerns_and_is_told_once() {
        let said = |subject: &str| format!("nats: Permissions Violation for Publish to \"{subject}\"");
        let next = |number| format!("$JS.API.CONSUMER.MSG.NEXT.S.events-{number}-0123");
        let mut seen = Seen::default();
        for number in 0..4 {
            seen.add_denial(said(&next(number)).into());
        }
        for number in 0..4 {
            assert_eq!(seen.denied_since(0, &next(number)).as_deref(), Some(said(&next(number)).as_str()));
        }
        assert_eq!(seen.denied_since(4, &next(0)), None, "that was before");
        assert_eq!(seen.denied_since(0, "$JS.API.STREAM.INFO.S"), None);
        let mut told = HashSet::new();
        let new = |told: &mut HashSet<String>, subject: &str| is_new(told, kind_of(subject));
        assert!(new(&mut told, &next(0)) && !new(&mut told, &next(1)));
        assert!(new(&mut told, "$JS.API.CONSUMER.CREATE.S.a") && !new(&mut told, "$JS.API.CONSUMER.CREATE.S.b.c"));
        seen.add_denial(String::from("nats: Permissions Violation for Subscription to \"_INBOX.x.*\"").into());
        assert!(seen.denied_since(seen.denials, "anything").is_some(), "there are no answers at all");
    }
}
