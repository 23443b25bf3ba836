//! One seed from beginning to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::chance::Chance;
use crate::model::{Model, Night};
use crate::stage::{PARTITIONS, Stage};
use crate::trouble::{self, Crew, Tally};
use crate::verdict;
use crate::world::{Told, World};

/// How long everything may take to come right once nothing fails any more: back-offs are doubled up to minutes.
const PATIENCE: Duration = Duration::from_secs(90);
/// The same where claims were forgotten: what is there twice then does not go away.
const PATIENCE_WITHOUT_CLAIMS: Duration = Duration::from_secs(15);
/// How long the notifiers get to close the night, while things go wrong, before what comes after its end.
const CLOSING: Duration = Duration::from_secs(4);

/// Whether the store keeps what is claimed before calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claims {
    Kept,
    Forgotten,
}

/// How a seed ended.
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    /// What was not as it should be.
    pub(crate) complaints: Vec<String>,
    pub(crate) alerts: u64,
    pub(crate) replies: u64,
    pub(crate) mutes: u64,
    pub(crate) acknowledgments: u64,
    pub(crate) faults: u64,
    pub(crate) kills: u64,
    pub(crate) stalls: u64,
    pub(crate) handovers: u64,
    pub(crate) deleted_by_hand: u64,
    pub(crate) posts: u64,
    pub(crate) edits: u64,
    pub(crate) lookups: u64,
    pub(crate) deletions: u64,
    pub(crate) claims_forgotten: u64,
    notes: Vec<String>,
    seen: String,
}

impl Outcome {
    pub(crate) fn shows_something_twice(&self) -> bool {
        self.complaints.iter().any(|complaint| complaint.contains(verdict::TWICE))
    }

    #[allow(clippy::print_stdout, reason = "whoever has to understand a seed needs all of it")]
    pub(crate) fn print(&self) {
        println!("══ seed {}\n{}", self.seed, self.notes.join("\n"));
        println!("── what a person sees\n{}", self.seen);
        println!("── what is wrong with it: {}\n{}\n", self.complaints.len(), self.complaints.join("\n"));
    }
}

/// What is told, and told again.
struct Teller<'a> {
    stage: &'a Stage,
    model: &'a Mutex<Model>,
    told: Vec<(u32, Bytes)>,
}

impl Teller<'_> {
    async fn tell(&mut self, told: Vec<Told>) {
        for told in told {
            let messages = self.stage.everywhere();
            for event in &told.events {
                self.model.lock().take_in(event, &messages);
                self.stage.note(format!("told: {} {:?}", event.key.scheduler.as_str(), event.event.kind));
            }
            self.publish(told.partition, told.bytes.clone()).await;
            self.told.push((told.partition, told.bytes));
        }
    }

    /// What was told before comes once more, as it does after a crash of who told it.
    async fn repeat(&self, chance: &mut Chance) {
        if !self.told.is_empty() {
            let (partition, bytes) = self.told[chance.index(self.told.len())].clone();
            self.publish(partition, bytes).await;
        }
    }

    async fn publish(&self, partition: u32, bytes: Bytes) {
        self.stage.queue.publish(partition, bytes).await.unwrap();
    }
}

/// Lets one seed's storm rage.
pub(crate) async fn run(seed: u64, claims: Claims) -> Outcome {
    let mut chance = Chance::new(seed, 1);
    let mut world = World::new(&mut chance, &mut Chance::new(seed, 3), PARTITIONS);
    let threshold = usize::try_from(chance.between(6, 20)).unwrap();
    let stage = Stage::new(seed, claims, &world, threshold).await;
    world.settle_in(&stage.store).await;
    let model = Mutex::new(Model::default());
    let mut crew = Crew::new(&stage);
    let is_over = AtomicBool::new(false);
    let mut trouble = Chance::new(seed, 2);
    let ((), tally) = tokio::join!(
        async {
            happen(&stage, &mut world, &model, &mut chance).await;
            is_over.store(true, Ordering::Relaxed);
        },
        trouble::rage(&stage, &mut crew, &model, &mut trouble, || is_over.load(Ordering::Relaxed)),
    );
    trouble::calm(&stage);
    let last = Night::of(&world);
    let patience = if claims == Claims::Kept { PATIENCE } else { PATIENCE_WITHOUT_CLAIMS };
    converge(&stage, &crew, &model, &last, patience).await;
    let mut complaints = Vec::new();
    if !crew.is_done() {
        complaints.push("the notifiers did not come to an end in time".to_owned());
    }
    complaints.extend(crew.stop().await);
    complaints.extend(verdict::complaints(&stage, &model.lock(), &last));
    outcome(&stage, &model.lock(), &tally, complaints)
}

/// The night happens, and is told, while things go wrong.
async fn happen(stage: &Stage, world: &mut World, model: &Mutex<Model>, chance: &mut Chance) {
    let mut teller = Teller { stage, model, told: Vec::new() };
    for at in world.steps() {
        let told = world.step(&stage.store, at).await;
        teller.tell(told).await;
        if chance.one_in(4) {
            teller.repeat(chance).await;
        }
        tokio::time::sleep(chance.millis(0, 250)).await;
    }
    model.lock().closed = Some(Night::of(world));
    teller.tell(world.passes(world.end().plus_seconds(301))).await;
    if chance.one_in(2) {
        // What comes after the end is that only once the end was told.
        let is_told = || stage.messages().iter().any(|message| crate::stage::key_of(message).starts_with("n/"));
        if until(CLOSING, is_told).await
            && let Some((job, told)) = world.awake_after_the_end(&stage.store, world.end().plus_seconds(330)).await
        {
            model.lock().after_the_end.push(world.jobs[job].name().to_owned());
            teller.tell(told).await;
            tokio::time::sleep(chance.millis(0, 500)).await;
        }
    }
}

/// Waits until everything is as it shall be, or for as long as that may take.
async fn converge(stage: &Stage, crew: &Crew<'_>, model: &Mutex<Model>, night: &Night, patience: Duration) {
    let begun = Instant::now();
    let is_right = || crew.is_done() && verdict::complaints(stage, &model.lock(), night).is_empty();
    until(patience, is_right).await;
    stage.note(format!("waited {} ms for the end", begun.elapsed().as_millis()));
}

async fn until(patience: Duration, is_so: impl Fn() -> bool) -> bool {
    let waited = tokio::time::timeout(patience, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    waited.await.is_ok()
}

fn outcome(stage: &Stage, model: &Model, tally: &Tally, complaints: Vec<String>) -> Outcome {
    let calls = |method| stage.stand_in.slack().calls(method);
    let count = |length: usize| u64::try_from(length).unwrap();
    Outcome {
        seed: stage.seed,
        complaints,
        alerts: count(model.alerts.len()),
        mutes: model.mutes.values().map(|mutes| count(mutes.len())).sum(),
        acknowledgments: count(model.alerts.values().filter(|alert| alert.is_acknowledged()).count()),
        replies: count(stage.messages().iter().filter(|message| message.thread_ts.is_some()).count()),
        faults: tally.faults,
        kills: tally.kills,
        stalls: tally.stalls,
        handovers: tally.handovers,
        deleted_by_hand: tally.deleted_by_hand,
        posts: calls("chat.postMessage"),
        edits: calls("chat.update"),
        lookups: calls("conversations.history") + calls("conversations.replies"),
        deletions: calls("chat.delete"),
        claims_forgotten: stage.forgetful.as_ref().map_or(0, |store| store.forgotten()),
        notes: stage.notes(),
        seen: stage.seen(),
    }
}
