//! One connection, from its hello to its end.

use std::sync::Arc;
use std::time::Duration;

use futures::stream::SplitSink;
use futures::{SinkExt, StreamExt};
use ronda_domain::time::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::envelope::{Envelope, Incoming, Kind, acknowledgement};
use super::status::{SocketStatus, Teller};
use super::{END_WITHIN, Stream};
use crate::slack::asked::Asked;
use crate::slack::desk::{Desk, Unheard, deadline};
use crate::slack::metrics::Via;
use crate::state::AppState;

/// How often we ask whether anybody is there.
const PING_EVERY: Duration = Duration::from_secs(10);
/// After how long of silence the connection is held for dead.
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// Acknowledgements that may wait to be written.
const MAX_WAITING: usize = 64;

/// Why the next connection is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Slack will end this one; what still comes over it is answered.
    Announced,
    /// Slack ends it without a hello: there are too many, for one.
    Unwelcome {
        /// Why, in Slack's word.
        reason: String,
    },
    /// Socket Mode was turned off.
    Disabled,
    /// It is gone. Whether it was ever good.
    Lost {
        /// Slack had said hello.
        was_good: bool,
    },
}

pub(super) struct Connection {
    state: AppState,
    desk: Arc<Desk>,
    teller: Arc<Teller>,
    /// Told once.
    leave: Option<oneshot::Sender<Leaving>>,
    stop: CancellationToken,
    work: TaskTracker,
    is_good: bool,
}

impl Connection {
    pub(super) fn new(
        state: AppState,
        desk: Arc<Desk>,
        teller: Arc<Teller>,
        leave: oneshot::Sender<Leaving>,
        stop: CancellationToken,
    ) -> Self {
        Self { state, desk, teller, leave: Some(leave), stop, work: TaskTracker::new(), is_good: false }
    }

    /// Serves until the connection ends or the process does; what was asked by then is still answered.
    pub(super) async fn serve(mut self, stream: Stream) {
        let (mut sink, mut source) = stream.split();
        let (acknowledge, mut acknowledgements) = mpsc::channel(MAX_WAITING);
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                message = source.next() => {
                    heard_at = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => self.take(Incoming::parse(&text), &acknowledge),
                        Some(Ok(Message::Close(_))) | None => break,
                        // Pings are answered below us.
                        Some(Ok(_)) => {}
                        Some(Err(error)) => {
                            debug!(%error, "a connection of Socket Mode broke");
                            break;
                        }
                    }
                }
                Some(message) = acknowledgements.recv() => {
                    if sink.send(message).await.is_err() {
                        break;
                    }
                }
                _ = ping.tick() => {
                    if heard_at.elapsed() > DEAD_AFTER || sink.send(Message::Ping(Bytes::new())).await.is_err() {
                        break;
                    }
                }
            }
        }
        if self.is_good {
            self.desk.metrics.disconnected();
        }
        self.leave(Leaving::Lost { was_good: self.is_good });
        drop(acknowledge);
        self.end(sink, acknowledgements).await;
    }

    /// Writes the last acknowledgements, as far as that can be done.
    async fn end(self, mut sink: SplitSink<Stream, Message>, mut acknowledgements: mpsc::Receiver<Message>) {
        self.work.close();
        let last = async {
            // Until the last of the tasks has dropped its sender.
            while let Some(message) = acknowledgements.recv().await {
                sink.send(message).await?;
            }
            sink.close().await
        };
        if let Ok(Err(error)) = timeout(END_WITHIN, last).await {
            debug!(%error, "the last acknowledgements could not be written; Slack will ask again");
        }
    }

    fn leave(&mut self, why: Leaving) {
        if let Some(leave) = self.leave.take() {
            // At the end nobody waits.
            let _ = leave.send(why);
        }
    }

    fn take(&mut self, incoming: Incoming, acknowledge: &mpsc::Sender<Message>) {
        match incoming {
            Incoming::Hello(connections) => {
                info!(connections, "connected to Slack by Socket Mode");
                if !std::mem::replace(&mut self.is_good, true) {
                    self.desk.metrics.connected();
                    self.teller.tell(SocketStatus::Connected);
                }
            }
            Incoming::Disconnect(reason) if reason == "link_disabled" => self.leave(Leaving::Disabled),
            Incoming::Disconnect(reason) if !self.is_good => self.leave(Leaving::Unwelcome { reason }),
            Incoming::Disconnect(reason) => {
                debug!(reason, "Slack announces the end of a connection");
                self.leave(Leaving::Announced);
            }
            Incoming::Envelope(envelope) => {
                let (state, desk, acknowledge) = (self.state.clone(), Arc::clone(&self.desk), acknowledge.clone());
                self.work.spawn(async move {
                    // Without an acknowledgement Slack shows that it came to nothing, or tells it again.
                    if let Some(message) = answered(&state, &desk, envelope).await {
                        // A connection that is gone takes none: Slack tells it again, over the next one.
                        let _ = acknowledge.send(message).await;
                    }
                });
            }
            Incoming::Other => debug!("Slack sent something that is not known"),
        }
    }
}

/// Carries out what an envelope holds, and makes its acknowledgement; `None`: nothing could be done, or said of it.
async fn answered(state: &AppState, desk: &Arc<Desk>, envelope: Envelope) -> Option<Message> {
    let deadline = deadline();
    if envelope.retry > 0 {
        debug!(attempt = envelope.retry, "Slack tells something again");
    }
    let now = Timestamp::from_millis(state.clock.wall_millis());
    let asked = match envelope.kind {
        Kind::SlashCommand => {
            desk.metrics.came("command", Via::Socket);
            Asked::command(&envelope.payload, now).map(Some)
        }
        Kind::Interaction => {
            desk.metrics.came("click", Via::Socket);
            Asked::interaction(&envelope.payload, now)
        }
        Kind::Other => Ok(None),
    };
    let answer = match asked {
        Ok(Some(asked)) => match desk.take(state, asked, deadline).await {
            Ok(answer) => answer,
            Err(Unheard) => return None,
        },
        Ok(None) => None,
        Err(unreadable) => {
            desk.metrics.unreadable();
            warn!(reason = %unreadable, "an envelope of Socket Mode can't be read");
            None
        }
    };
    let answer = answer.filter(|_| envelope.takes_answer).map(|answer| answer.to_json());
    Some(Message::text(acknowledgement(&envelope.id, answer.as_ref())))
}
