//! What goes wrong: at Slack, with the notifiers, and through people.

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use ronda_lease::Returned;
use ronda_slack_standin::{Fault, FaultRule, Place, SeenKind, message_as_text};

use crate::chance::Chance;
use crate::model::Model;
use crate::replica::Replica;
use crate::stage::{CALL_MS, CHANNEL, FURTHER, PARTITIONS, Stage, key_of};

/// The longest time for which nothing of a notifier moves: half of the time after which who took over posts again and looks no more.
const LONGEST_STALL_MS: u64 = 1_000;

/// What happened, counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) faults: u64,
    pub(crate) kills: u64,
    pub(crate) stalls: u64,
    pub(crate) handovers: u64,
    pub(crate) deleted_by_hand: u64,
}

/// The notifiers, at most two at a time, and which of them works on which partition.
pub(crate) struct Crew<'a> {
    stage: &'a Stage,
    replicas: [Replica; 2],
    /// By partition.
    owners: [usize; PARTITIONS as usize],
    started: u32,
}

impl<'a> Crew<'a> {
    /// Two notifiers, of which one works on everything.
    pub(crate) fn new(stage: &'a Stage) -> Self {
        let start = |number: u32, assigned: &BTreeSet<u32>| Replica::start(stage, name(stage, number), assigned);
        let replicas = [start(0, &(0..PARTITIONS).collect()), start(1, &BTreeSet::new())];
        Self { stage, replicas, owners: [0; PARTITIONS as usize], started: 2 }
    }

    fn owned_by(&self, replica: usize) -> BTreeSet<u32> {
        (0..PARTITIONS).filter(|partition| self.owners[*partition as usize] == replica).collect()
    }

    fn assign(&self) {
        for index in 0..2 {
            self.replicas[index].owner.assign(self.owned_by(index));
        }
    }

    /// Kills one, and puts a new one in its place, which works on what it is given.
    async fn kill(&mut self, index: usize, pause: Duration) {
        let next = Replica::start(self.stage, name(self.stage, self.started), &BTreeSet::new());
        self.started += 1;
        let killed = std::mem::replace(&mut self.replicas[index], next);
        self.stage.note(format!("{} is killed", killed.name));
        killed.kill().await;
        tokio::time::sleep(pause).await;
    }

    /// What belonged to one belongs to the other.
    fn take_over(&mut self, from: usize) {
        for owner in self.owners.iter_mut().filter(|owner| **owner == from) {
            *owner = 1 - from;
        }
        self.stage.note(format!("{} takes over", self.replicas[1 - from].name));
        self.assign();
    }

    /// One partition goes from one to the other in order, as far as that goes in time.
    async fn hand_over(&mut self, partition: u32) {
        let from = self.owners[partition as usize];
        let left: BTreeSet<u32> = self.owned_by(from).into_iter().filter(|owned| *owned != partition).collect();
        self.stage.note(format!("{} hands partition {partition} over", self.replicas[from].name));
        let owner = &mut self.replicas[from].owner;
        while owner.returned_already().is_some() {}
        if owner.assign(left).contains(&partition) {
            let let_go = async {
                while let Some(returned) = owner.returned().await {
                    if returned == Returned::LetGo(partition) {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(Duration::from_secs(3), let_go).await;
        }
        self.owners[partition as usize] = 1 - from;
        self.assign();
    }

    /// Whether all partitions are worked on and everything that is to be shown is shown.
    pub(crate) fn is_done(&self) -> bool {
        let all = self.replicas.iter().map(|replica| replica.status.borrow().shards).sum::<usize>();
        all == PARTITIONS as usize && self.replicas.iter().all(|replica| replica.status.borrow().backlog == 0)
    }

    /// Ends both in order; they put right what they still have to. Answers what went wrong with them.
    pub(crate) async fn stop(self) -> Vec<String> {
        let mut wrong = Vec::new();
        for replica in self.replicas {
            wrong.extend(replica.stop().await.err());
        }
        wrong
    }

    /// Something happens to the notifiers.
    async fn strike(&mut self, chance: &mut Chance, tally: &mut Tally) {
        let busy = self.owners[chance.index(PARTITIONS as usize)];
        match chance.below(8) {
            0..=1 => {
                tally.kills += 1;
                self.kill(busy, chance.millis(0, 100)).await;
                self.assign();
            }
            2..=4 => {
                tally.kills += 1;
                self.kill(busy, Duration::ZERO).await;
                self.take_over(busy);
            }
            5 => {
                tally.stalls += 1;
                self.replicas[busy].stall(chance.millis(50, LONGEST_STALL_MS));
                self.stage.note(format!("{} stands still", self.replicas[busy].name));
            }
            6 => {
                tally.stalls += 1;
                self.replicas[busy].stall(chance.millis(300, LONGEST_STALL_MS));
                self.stage.note(format!("{} stands still", self.replicas[busy].name));
                tokio::time::sleep(chance.millis(0, 200)).await;
                self.take_over(busy);
            }
            _ => {
                tally.handovers += 1;
                self.hand_over(u32::try_from(chance.index(PARTITIONS as usize)).unwrap()).await;
            }
        }
    }
}

fn name(stage: &Stage, number: u32) -> String {
    format!("seed-{}-{number}", stage.seed)
}

/// Things go wrong until `is_over`.
pub(crate) async fn rage(
    stage: &Stage,
    crew: &mut Crew<'_>,
    model: &Mutex<Model>,
    chance: &mut Chance,
    is_over: impl Fn() -> bool,
) -> Tally {
    let mut tally = Tally::default();
    // A seed's own temper: how often what goes wrong.
    let (strikes, deletions) = (chance.between(2, 5), chance.between(10, 40));
    while !is_over() {
        tokio::time::sleep(chance.millis(10, 120)).await;
        if chance.one_in(strikes) {
            crew.strike(chance, &mut tally).await;
        } else if chance.one_in(deletions) {
            tally.deleted_by_hand += u64::from(delete_by_hand(stage, model, chance));
        } else {
            tally.faults += 1;
            fail(stage, chance).await;
        }
    }
    tally
}

/// Slack is well again.
pub(crate) fn calm(stage: &Stage) {
    let slack = stage.stand_in.slack();
    slack.fail_no_more();
    slack.set_token_refused(None);
    [CHANNEL, FURTHER].into_iter().for_each(|channel| slack.set_place(channel, Place::default()));
    slack.set_history_lag(Duration::ZERO);
    stage.note("calm");
}

/// Something fails at Slack.
async fn fail(stage: &Stage, chance: &mut Chance) {
    let slack = stage.stand_in.slack();
    match chance.below(20) {
        0 => {
            stage.note("the token is revoked for a while");
            slack.set_token_refused(Some("token_revoked"));
            tokio::time::sleep(chance.millis(50, 800)).await;
            slack.set_token_refused(None);
        }
        1 => {
            stage.note("the channel is archived for a while");
            let channel = chance.of(&[CHANNEL, CHANNEL, FURTHER]);
            slack.set_place(channel, Place { archived: true, ..Place::default() });
            tokio::time::sleep(chance.millis(50, 800)).await;
            slack.set_place(channel, Place::default());
        }
        2..=4 => {
            let lag = chance.millis(0, 600);
            stage.note(format!("the history lags {} ms", lag.as_millis()));
            slack.set_history_lag(lag);
        }
        _ => {
            let method = chance.of(&[
                "chat.postMessage",
                "chat.postMessage",
                "chat.postMessage",
                "chat.postMessage",
                "chat.update",
                "chat.update",
                "conversations.history",
                "conversations.replies",
                "chat.delete",
                "auth.test",
            ]);
            let fault = one_fault(chance);
            stage.note(format!("{method} will meet {fault:?}"));
            slack.fail(FaultRule { skip: chance.below(3), ..FaultRule::next(method, fault) });
        }
    }
}

fn one_fault(chance: &mut Chance) -> Fault {
    // Beyond the time that a caller waits, or almost.
    let hold_ms = chance.between(CALL_MS / 2, CALL_MS * 3 / 2);
    match chance.below(13) {
        0..=2 => Fault::Silence { effective: true, hold_ms },
        3 => Fault::Silence { effective: false, hold_ms },
        4 => Fault::Reset { effective: true },
        5 => Fault::Reset { effective: false },
        6 => Fault::ServerError { effective: true },
        7 => Fault::ServerError { effective: false },
        8 => Fault::Garbled,
        9 => Fault::Truncated,
        10 => Fault::RateLimited { retry_after_seconds: 1 },
        _ => Fault::Slow { hold_ms: hold_ms / 2 },
    }
}

/// A person deletes a message, if there is one.
fn delete_by_hand(stage: &Stage, model: &Mutex<Model>, chance: &mut Chance) -> bool {
    let messages = stage.everywhere();
    if messages.is_empty() {
        return false;
    }
    // A digest is what most hangs on, and is one of many messages.
    let digests: Vec<usize> =
        (0..messages.len()).filter(|index| key_of(&messages[*index].1).starts_with("d/")).collect();
    let index = if digests.is_empty() || chance.one_in(2) { chance.index(messages.len()) } else { chance.of(&digests) };
    let (channel, message) = &messages[index];
    let key = key_of(message).to_owned();
    stage.note(format!("a person deletes {key} ({})", message.ts));
    let mut model = model.lock();
    let slack = stage.stand_in.slack();
    let is_deleted = slack.delete_by_hand(channel, &message.ts);
    // Whatever stands below it is out of sight.
    let below = slack.messages(channel).into_iter().filter(|reply| reply.thread_ts.as_ref() == Some(&message.ts));
    if is_deleted && (key.starts_with("d/") || key.contains("/names-")) {
        // As it was in that moment: it may have been edited since it was looked at.
        let last = slack
            .seen()
            .into_iter()
            .rfind(|seen| seen.kind == SeenKind::Deleted && (&*seen.channel, &seen.ts) == (*channel, &message.ts));
        model.deleted_digests.extend(last.map(|seen| (*channel, seen.text)));
        let names = below.filter(|reply| key_of(reply).contains("/names-"));
        model.deleted_digests.extend(names.map(|reply| (*channel, message_as_text(&reply))));
    }
    model.deleted.insert(key);
    is_deleted
}
