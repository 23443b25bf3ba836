//! What the notifiers of one seed share.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use ronda_notifier::route::{Matcher, Route};
use ronda_notifier::{Board, Config};
use ronda_queue::{EmbeddedOptions, EmbeddedQueue, Queue};
use ronda_slack_standin::{Message, Reader, StandIn};
use ronda_store::embedded::EmbeddedStore;
use ronda_store::port::Store;

use crate::forgetful::Forgetful;
use crate::storm::Claims;
use crate::world::{CALLING_TEAM, World};

pub(crate) const PARTITIONS: u32 = 2;
/// Where alerts and tables are.
pub(crate) const CHANNEL: &str = "C1";
/// Where alerts of the team are, too, whose jobs somebody is called for.
pub(crate) const FURTHER: &str = "C3";
/// Where the operator is told of broken destinations.
pub(crate) const ADMIN: &str = "C2";
/// Who is called for the jobs of one team.
pub(crate) const CALLED: &str = "S0123ABCD";
/// How long a call may take, in milliseconds. With `CLAIM_FRESH_MS` well below two reconcile intervals, as `Config::claim_fresh_ms` asks for.
pub(crate) const CALL_MS: u64 = 1_000;
const CLAIM_FRESH_MS: u64 = 500;

pub(crate) struct Stage {
    pub(crate) seed: u64,
    /// As the world sees it.
    pub(crate) store: Arc<dyn Store>,
    /// As the notifiers see it.
    pub(crate) notifiers_store: Arc<dyn Store>,
    pub(crate) forgetful: Option<Arc<Forgetful>>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) stand_in: StandIn,
    pub(crate) config: Config,
    begun: Instant,
    log: Mutex<Vec<String>>,
    _dir: tempfile::TempDir,
}

impl Stage {
    pub(crate) async fn new(seed: u64, claims: Claims, world: &World, storm_threshold: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { partitions: PARTITIONS, ..EmbeddedOptions::default() };
        let queue: Arc<dyn Queue> = Arc::new(EmbeddedQueue::open(dir.path().join("events"), options).unwrap());
        let options = ronda_store::embedded::EmbeddedOptions::default();
        let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(dir.path().join("store"), options).unwrap());
        let forgetful = (claims == Claims::Forgotten).then(|| Arc::new(Forgetful::new(Arc::clone(&store))));
        let notifiers_store = forgetful.clone().map_or_else(|| Arc::clone(&store), |store| store as Arc<dyn Store>);
        let stand_in = StandIn::start().await.unwrap();
        let config = config(world, storm_threshold);
        let (begun, log) = (Instant::now(), Mutex::default());
        Self { seed, store, notifiers_store, forgetful, queue, stand_in, config, begun, log, _dir: dir }
    }

    /// Remembers what happened, for whoever has to understand a seed that went wrong.
    pub(crate) fn note(&self, what: impl std::fmt::Display) {
        self.log.lock().push(format!("{:>6} ms  {what}", self.begun.elapsed().as_millis()));
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.stand_in.slack().messages(CHANNEL)
    }

    /// Messages of both channels, each with its channel.
    pub(crate) fn everywhere(&self) -> Vec<(&'static str, Message)> {
        let slack = self.stand_in.slack();
        let of = |channel| slack.messages(channel).into_iter().map(move |message| (channel, message));
        of(CHANNEL).chain(of(FURTHER)).collect()
    }

    /// What a person sees, scrolling through the channel.
    pub(crate) fn seen(&self) -> String {
        let slack = self.stand_in.slack();
        let reader = Reader::new("UTC", slack.now_ms()).unwrap();
        [CHANNEL, FURTHER].map(|channel| slack.timeline(channel, &reader)).join("\n── and in the other channel\n")
    }
}

/// The key that rides along with one of our messages.
pub(crate) fn key_of(message: &Message) -> &str {
    let metadata = message.metadata.as_ref();
    metadata.and_then(|metadata| metadata["event_payload"]["k"].as_str()).unwrap_or_default()
}

/// The key of an alert's message in one of the channels.
pub(crate) fn key_in(channel: &str, alert: &str) -> String {
    let hash = |text: &str| {
        text.bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    };
    if channel == CHANNEL { alert.to_owned() } else { format!("x/{:016x}/{:016x}", hash(alert), hash(channel)) }
}

fn config(world: &World, storm_threshold: usize) -> Config {
    let hour = world.hour.as_millis() / 3_600_000 % 24;
    let mut board = Board::nightly(world.tenants[0].clone());
    (board.start, board.end) = (format!("{hour:02}:00"), format!("{hour:02}:00"));
    board.timezone = "UTC".to_owned();
    Config {
        channel: CHANNEL.to_owned(),
        admin_channel: Some(ADMIN.to_owned()),
        timezone: "UTC".to_owned(),
        grouping_wait_ms: 30,
        storm_threshold,
        storm_window_seconds: 2,
        reconcile_interval_seconds: 1,
        broken_backoff_seconds: 1,
        drain_ms: 2_000,
        claim_fresh_ms: CLAIM_FRESH_MS,
        boards: vec![board],
        routes: routes(),
        ..Config::default()
    }
}

/// One team's alerts call somebody, and are shown in a further channel.
fn routes() -> Vec<Route> {
    let of_team = || Matcher { teams: vec![CALLING_TEAM.into()], ..Matcher::default() };
    let mentions = vec![CALLED.parse().unwrap()];
    let further = Route { matcher: of_team(), channel: Some(FURTHER.to_owned()), ..Route::default() };
    vec![Route { matcher: of_team(), mentions, goes_on: true, ..Route::default() }, further]
}
