//! One scenario's store, queue, workspace, jobs and replicas.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ronda_domain::id::{TenantId, partition_of};
use ronda_domain::time::Timestamp;
use ronda_notifier::{Board, Config};
use ronda_queue::{EmbeddedOptions, EmbeddedQueue, Queue};
use ronda_runtime::Clock;
use ronda_schemas::codec::Versioned;
use ronda_schemas::event::{EventBatch, EventEnvelope};
use ronda_slack_standin::{Message, Reader, Slack, StandIn, message_as_text};

use crate::bed::{Bed, On};
use crate::clock::{Fast, MIDNIGHT_MS};
use crate::gate::Held;
use crate::jobs::Jobs;
use crate::ops::Ops;
use crate::replica::{Around, Belief, Replica};
use crate::road::Road;
use crate::table;

pub(crate) const CHANNEL: &str = "C1";
/// Where the operator is told, unless that is outside of Slack.
pub(crate) const ADMIN: &str = "C9";
pub(crate) const PARTITIONS: u32 = 2;
pub(crate) const MINUTE_MS: u64 = 60_000;
/// In the scenario's time: no window opens in it.
const COMING_MS: u64 = 120 * MINUTE_MS;
/// How often the stand-in's clock is brought up to the scenario's, in the machine's time.
const STEP: Duration = Duration::from_millis(5);
/// How long something may take to come about, in the machine's time: it may have other things to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// All that a message says, on a lock screen and in the channel, without marks of emphasis.
pub(crate) fn text_of(message: &Message) -> String {
    let text = format!("{}\n{}", message.notification(), message_as_text(message));
    text.replace('*', "").replace("  ·  ", " · ")
}

/// What a scenario begins with.
pub(crate) struct Scenario {
    number: u32,
    what: &'static str,
    speed: u64,
    begin_ms: u64,
    board: bool,
    change: fn(&mut Config),
}

impl Scenario {
    /// Twenty times as fast as life, at 01:04.
    pub(crate) const fn new(number: u32, what: &'static str) -> Self {
        let begin_ms = MIDNIGHT_MS + 64 * MINUTE_MS;
        Self { number, what, speed: 20, begin_ms, board: false, change: |_| {} }
    }

    /// So many times as fast as life.
    pub(crate) const fn at_speed(self, speed: u64) -> Self {
        Self { speed, ..self }
    }

    /// With the table of a night from midnight to six, beginning so many seconds after midnight, or before it.
    pub(crate) const fn at_night(self, seconds: i64) -> Self {
        let begin_ms = MIDNIGHT_MS.saturating_add_signed(seconds * 1_000);
        Self { begin_ms, board: true, ..self }
    }

    /// With other settings.
    pub(crate) const fn with(self, change: fn(&mut Config)) -> Self {
        Self { change, ..self }
    }

    /// Plays it with one replica and with two at the same time.
    pub(crate) async fn play(self, on: On, play: impl AsyncFn(&mut Scene)) {
        let (scenario, play) = (&self, &play);
        let with = async |replicas| {
            let Some(mut scene) = Scene::new(scenario, on, replicas).await else { return };
            play(&mut scene).await;
            table::note((scenario.number, scenario.what), (replicas, on), &scene.seen());
            scene.end().await;
        };
        tokio::join!(with(1), with(2));
    }

    fn config(&self, tenant: &TenantId) -> Config {
        let mut config = Config {
            channel: CHANNEL.to_owned(),
            admin_channel: Some(ADMIN.to_owned()),
            // Half a second of the machine's time.
            claim_fresh_ms: 500 * self.speed,
            ..Config::default()
        };
        if self.board {
            config.boards.push(Board::nightly(tenant.clone()));
        }
        (self.change)(&mut config);
        config
    }
}

/// See the module.
pub(crate) struct Scene {
    pub(crate) clock: Fast,
    pub(crate) tenant: TenantId,
    /// Judged by the domain; most scenarios make up what is said of theirs.
    pub(crate) jobs: Jobs,
    pub(crate) ops: Ops,
    /// To Slack.
    pub(crate) road: Road,
    bed: Bed,
    queue: Arc<dyn Queue>,
    stand_in: StandIn,
    config: Config,
    ops_url: Option<String>,
    /// How many share the partitions.
    wanted: usize,
    replicas: Vec<Replica>,
    _dir: tempfile::TempDir,
}

impl Scene {
    /// With replicas that have shared out the partitions. `None`: on a store that can't be had.
    async fn new(scenario: &Scenario, on: On, replicas: usize) -> Option<Self> {
        let bed = Bed::made(on).await?;
        let dir = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { partitions: PARTITIONS, ..EmbeddedOptions::default() };
        let queue = Arc::new(EmbeddedQueue::open(dir.path().join("events"), options).unwrap());
        let tenant = TenantId::new(&bed.tenant()).unwrap();
        let jobs = Jobs::new(bed.open().await, tenant.clone()).await;
        let (config, ops) = (scenario.config(&tenant), Ops::default());
        let is_outside = config.admin_channel.as_ref().is_some_and(|channel| channel.starts_with("webhook:"));
        let ops_url = if is_outside { Some(ops.listen().await) } else { None };
        // Before it begins, replicas come together for as long as that takes.
        let clock = Fast::new(scenario.begin_ms - COMING_MS, scenario.speed);
        let slack = Slack::default().enforcing_rate().with_frozen_clock(clock.now_ms());
        let stand_in = StandIn::start_on(([127, 0, 0, 1], 0).into(), slack).await.unwrap();
        let address = stand_in.api_url().trim_start_matches("http://").trim_end_matches("/api/").parse().unwrap();
        let mut scene = Self {
            road: Road::to(address).await,
            clock,
            tenant,
            jobs,
            ops,
            bed,
            queue,
            stand_in,
            config,
            ops_url,
            wanted: replicas,
            replicas: Vec::new(),
            _dir: dir,
        };
        scene.start().await;
        scene.clock.skip_to(scenario.begin_ms);
        Some(scene)
    }

    /// Starts as many replicas as there should be, and waits until they have shared out the partitions.
    pub(crate) async fn start(&mut self) {
        while self.leased().count() < self.wanted {
            self.join(Belief::Leased).await;
        }
        self.until("the partitions are shared out", Self::is_shared_out).await;
    }

    fn leased(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| replica.belief == Belief::Leased)
    }

    pub(crate) fn is_shared_out(&self) -> bool {
        let each = PARTITIONS as usize / self.wanted;
        self.leased().all(|replica| replica.shards() == each)
    }

    async fn join(&mut self, belief: Belief) {
        let around = Around {
            config: self.config.clone(),
            queue: Arc::clone(&self.queue),
            store: self.bed.open().await,
            clock: self.clock.clone(),
            api_url: format!("http://{}/api/", self.road.address()),
            ops_url: self.ops_url.clone(),
        };
        self.replicas.push(Replica::start(around, belief));
    }

    /// One more replica comes that takes everything for its own, while the others do the same of what they have.
    pub(crate) async fn usurp(&mut self) {
        self.join(Belief::AllIsMine).await;
        let has_all = |replica: &Replica| replica.shards() == PARTITIONS as usize;
        let usurps = |replica: &Replica| replica.belief == Belief::AllIsMine && has_all(replica);
        self.until("two have the same", |scene| scene.is_shared_out() && scene.replicas.iter().any(usurps)).await;
    }

    /// Holds back what all replicas post, or its answers.
    pub(crate) fn hold(&self, held: Held) {
        self.replicas.iter().for_each(|replica| replica.hold(held));
    }

    /// Waits for a post that is held back, and kills who made it. Another takes its place; what it worked on goes to whoever is left, as its
    /// lease ends.
    pub(crate) async fn kill_the_holder(&mut self) {
        self.until("a post is held", |scene| scene.replicas.iter().any(Replica::holds_a_post)).await;
        let at = self.replicas.iter().position(Replica::holds_a_post).unwrap();
        self.replicas.remove(at).kill().await;
        self.hold(Held::Nowhere);
        self.start().await;
    }

    /// Kills all replicas.
    pub(crate) async fn kill_all(&mut self) {
        for replica in std::mem::take(&mut self.replicas) {
            replica.kill().await;
        }
    }

    /// The workspace, at the scenario's time.
    pub(crate) fn slack(&self) -> &Slack {
        let behind = self.clock.now_ms().saturating_sub(self.stand_in.slack().now_ms());
        self.stand_in.slack().advance(Duration::from_millis(behind));
        self.stand_in.slack()
    }

    /// Waits until that is so; meanwhile the stand-in's clock goes on.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = std::time::Instant::now();
        while !is_so(self) {
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}\n{}", self.timeline(CHANNEL));
            self.slack();
            tokio::time::sleep(STEP).await;
        }
    }

    /// Lets so much of the scenario's time pass, in milliseconds.
    pub(crate) async fn pass(&self, millis: u64) {
        self.pass_until(self.clock.now_ms() + millis).await;
    }

    /// Lets time pass until it is so late.
    pub(crate) async fn pass_until(&self, at_ms: u64) {
        while self.clock.now_ms() < at_ms {
            self.slack();
            tokio::time::sleep(STEP).await;
        }
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.wall_millis())
    }

    /// What was concluded is told to the notifiers, and that everything before now is judged.
    pub(crate) async fn tell(&self, events: Vec<EventEnvelope>) {
        let batch = EventBatch { source_partition: 0, source_partitions: 1, watermark: self.at(), events };
        let partition = partition_of(self.tenant.as_str(), "", PARTITIONS);
        self.queue.publish(partition, Bytes::from(batch.encode().unwrap())).await.unwrap();
    }

    /// Parents and replies of the channel.
    pub(crate) fn messages(&self) -> (Vec<Message>, Vec<Message>) {
        self.slack().messages(CHANNEL).into_iter().partition(|message| message.thread_ts.is_none())
    }

    /// Parents that say this, anywhere.
    pub(crate) fn parents(&self, text: &str) -> Vec<Message> {
        self.messages().0.into_iter().filter(|message| text_of(message).contains(text)).collect()
    }

    /// What stands in a channel.
    pub(crate) fn timeline(&self, channel: &str) -> String {
        let reader = Reader::new("Asia/Jakarta", self.clock.now_ms()).unwrap();
        self.slack().timeline(channel, &reader)
    }

    /// How often a text stands in the channel.
    pub(crate) fn shows(&self, text: &str) -> usize {
        self.timeline(CHANNEL).replace('*', "").matches(text).count()
    }

    /// What a person saw, wherever, message by message.
    fn seen(&self) -> Vec<String> {
        let mut seen = table::channel(self.slack(), CHANNEL);
        seen.extend(table::channel(self.slack(), ADMIN).into_iter().map(|line| format!("operator: {line}")));
        seen.extend(self.ops.told().into_iter().map(|text| format!("operator, by webhook: {}", table::short(&text))));
        seen
    }

    async fn end(mut self) {
        self.kill_all().await;
        self.bed.leave().await;
    }
}
