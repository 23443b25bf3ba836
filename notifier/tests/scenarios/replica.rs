//! One notifier of a scenario.

use std::collections::BTreeSet;
use std::sync::Arc;

use ronda_lease::{LeaseConfig, Leases, Owner, Ownership, Returned};
use ronda_notifier::{
    Config, Notifier, NotifierStatus, SlackChannel, SlackConfig, Switchboard, WebhookChannel, WebhookConfig,
};
use ronda_queue::Queue;
use ronda_runtime::{CancellationToken, Health, Secret, SystemClock};
use ronda_schemas::lease::Group;
use ronda_slack_standin::TOKEN;
use ronda_store::port::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Fast;
use crate::gate::{Gate, Held};
use crate::scene::PARTITIONS;

/// In the machine's time: who is killed is missed after so long.
const LEASE_MS: u64 = 2_000;
/// In the machine's time: so long a call waits for its answer. Longer than calls take while the machine has other things to do.
const CALL_MS: u64 = 1_000;

/// What a replica works with.
pub(crate) struct Around {
    pub(crate) config: Config,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Fast,
    pub(crate) api_url: String,
    /// Where the webhook `ops` goes, if there is one.
    pub(crate) ops_url: Option<String>,
}

/// Why it works on what it works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Belief {
    /// It shares with others through leases.
    Leased,
    /// It takes everything for its own, until the store refuses what it writes.
    AllIsMine,
}

pub(crate) struct Replica {
    pub(crate) belief: Belief,
    gate: Arc<Gate>,
    status: watch::Receiver<NotifierStatus>,
    tasks: Vec<JoinHandle<()>>,
}

impl Replica {
    pub(crate) fn start(around: Around, belief: Belief) -> Self {
        let mut slack = SlackConfig::new(Secret::new(TOKEN));
        slack.api_url = around.api_url;
        slack.timeout_ms = CALL_MS;
        let gate = Arc::new(Gate::new(SlackChannel::new(slack).unwrap()));
        let mut channel = Switchboard::new(Arc::clone(&gate) as _);
        if let Some(url) = around.ops_url {
            channel = channel.with_webhook("ops", webhook(url));
        }
        let (store, clock) = (around.store, Arc::new(around.clock));
        let leases_store = Arc::clone(&store);
        let health = Health::new();
        let notifier = Notifier::build(around.config, around.queue, store, clock, Arc::new(channel), &health).unwrap();
        let status = notifier.status();
        let (owner, ownership) = Ownership::new();
        let mut tasks = Vec::new();
        match belief {
            Belief::Leased => {
                let config = LeaseConfig { lease_ms: LEASE_MS, ..LeaseConfig::default() };
                let leases = Leases::new(&config, Group::Notifier, PARTITIONS, "replica", leases_store as _).unwrap();
                let run = leases.run(owner, Arc::new(SystemClock::new()), CancellationToken::new());
                tasks.push(tokio::spawn(run));
            }
            Belief::AllIsMine => tasks.push(tokio::spawn(believe(owner))),
        }
        tasks.push(tokio::spawn(async move { notifier.run(ownership, CancellationToken::new()).await.unwrap() }));
        Self { belief, gate, status, tasks }
    }

    /// How many partitions it works on.
    pub(crate) fn shards(&self) -> usize {
        self.status.borrow().shards
    }

    pub(crate) fn hold(&self, held: Held) {
        self.gate.hold(held);
    }

    pub(crate) fn holds_a_post(&self) -> bool {
        self.gate.holds_one()
    }

    /// Nothing of it goes on, and what is held in its gate goes no further: nothing is let go in order.
    pub(crate) async fn kill(self) {
        for task in self.tasks {
            task.abort();
            assert!(task.await.is_err_and(|error| error.is_cancelled()), "it had ended by itself");
        }
        // What is held in a task of its own stays so.
        std::mem::forget(self.gate);
    }
}

/// As one does that stood still for long and knows nothing of what others did meanwhile.
async fn believe(mut owner: Owner) {
    let mut mine: BTreeSet<u32> = (0..PARTITIONS).collect();
    owner.assign(mine.clone());
    while let Some(returned) = owner.returned().await {
        if let Returned::Fenced(partition) = returned {
            mine.remove(&partition);
            owner.assign(mine.clone());
        }
    }
}

fn webhook(url: String) -> WebhookChannel {
    // Base64, as Standard Webhooks has it.
    let secrets = vec![Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")];
    let config = WebhookConfig::new("ops", Secret::new(url), secrets);
    let config = WebhookConfig { allow_private: true, allow_http: true, ..config };
    WebhookChannel::new(config, Arc::new(SystemClock::new())).unwrap()
}
