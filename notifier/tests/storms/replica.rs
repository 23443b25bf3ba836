//! A notifier as a process of its own, as far as that goes within one: a thread that runs a runtime of its own, and nothing else does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ronda_lease::{Owner, Ownership};
use ronda_notifier::{Notifier, NotifierStatus, SlackChannel, SlackConfig};
use ronda_runtime::{CancellationToken, Health, Secret, SystemClock};
use ronda_slack_standin::TOKEN;
use tokio::sync::{mpsc, oneshot, watch};

use crate::stage::{CALL_MS, Stage};

/// One notifier.
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) owner: Owner,
    pub(crate) status: watch::Receiver<NotifierStatus>,
    stop: CancellationToken,
    kill: oneshot::Sender<()>,
    stalls: mpsc::UnboundedSender<Duration>,
    ended: oneshot::Receiver<Result<(), String>>,
}

impl Replica {
    /// Starts one that works on these partitions.
    pub(crate) fn start(stage: &Stage, name: String, assigned: &BTreeSet<u32>) -> Self {
        let mut slack = SlackConfig::new(Secret::new(TOKEN));
        slack.api_url = stage.stand_in.api_url();
        slack.timeout_ms = CALL_MS;
        slack.connect_timeout_ms = CALL_MS;
        (slack.post_interval_ms, slack.edit_interval_ms) = (10, 10);
        let (events, store) = (Arc::clone(&stage.queue), Arc::clone(&stage.notifiers_store));
        let channel = Arc::new(SlackChannel::new(slack).unwrap());
        let clock = Arc::new(SystemClock::new());
        let notifier = Notifier::build(stage.config.clone(), events, store, clock, channel, &Health::new()).unwrap();
        let (status, stop) = (notifier.status(), CancellationToken::new());
        let (owner, ownership) = Ownership::new();
        owner.assign(assigned.clone());
        let (kill, killed) = oneshot::channel();
        let (stalls, mut to_stall) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let cancel = stop.clone();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let result = runtime.block_on(async {
                tokio::spawn(async move {
                    while let Some(pause) = to_stall.recv().await {
                        // The only thread that it has: nothing of it moves, as if it were stopped.
                        std::thread::sleep(pause);
                    }
                });
                tokio::select! {
                    biased;
                    _ = killed => None,
                    ended = notifier.run(ownership, cancel) => Some(ended.map_err(|error| error.to_string())),
                }
            });
            // Whatever it had begun ends here, too; what is already with the store's own thread does not.
            runtime.shutdown_background();
            if let Some(result) = result {
                let _ = end.send(result);
            }
        };
        std::thread::Builder::new().name(name.clone()).spawn(run).unwrap();
        Self { name, owner, status, stop, kill, stalls, ended }
    }

    /// What stands in for SIGKILL: at its next await everything of it ends, calls under way and their connections included. What is lost is
    /// what a process loses: all that is not with the store. It can't be ended in the middle of a computation, whose results nobody would see.
    pub(crate) async fn kill(self) {
        let _ = self.kill.send(());
        // Gone once nobody is there to answer any more; or it had ended by itself.
        let _ = self.ended.await;
    }

    /// Nothing of it moves for so long.
    pub(crate) fn stall(&self, pause: Duration) {
        let _ = self.stalls.send(pause);
    }

    /// Ends it in order. Answers what went wrong with it, if anything did.
    pub(crate) async fn stop(self) -> Result<(), String> {
        self.stop.cancel();
        self.ended.await.map_err(|_| format!("{} panicked", self.name))?
    }
}
