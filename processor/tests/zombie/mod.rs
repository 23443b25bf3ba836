//! A world in which a partition has several owners at a time, some of which don't know yet that they are replaced.
//!
//! All of it is the seed's: the messages, what an owner does next, which of its writes is carried out when, who is killed, and who
//! stands still for how long. The core is the real one.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "helpers of a test")]

mod chance;
mod owner;
mod store;
mod story;

use std::collections::BTreeSet;

use ronda_processor::{Config, Incoming};
use ronda_schemas::event::{EventBatch, EventEnvelope};

use crate::stage::Stage;
use chance::Chance;
use owner::Owner;
use store::{Kind, Stamp, Store, Write};

/// A rule that is left out, to show that it is needed and that this world finds it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slip {
    /// The partition's row is moved whoever has acquired it since.
    NoFence,
    /// A write covers whatever is there.
    NoEpochsOnRows,
    /// What a row that is ahead of the cursor holds already is applied again.
    NoSkip,
    /// A row that is ahead of the cursor is not written again before the cursor passes it.
    NoRewrite,
    /// A new owner takes messages in without knowing that it was still the owner when it had loaded the rows.
    NoOpeningCommit,
    /// An owner that was long without a word from the store takes in what it is given without asking whether it still is the owner.
    NoProof,
    /// A new owner settles at once, while a former one may still trust the store's last word that it is the owner.
    SettlesAtOnce,
    /// An owner's own earlier attempt at moving the partition's row moves it back when it is carried out late.
    LateMoves,
    /// History and errors are written together with the rows that they follow from, and not before them.
    RecordsAmongRows,
}

pub struct World {
    chance: Chance,
    slip: Option<Slip>,
    store: Store,
    log: Vec<Incoming>,
    /// How often anybody has done anything.
    turn: u64,
    /// For so many turns an owner is taken for the owner after the store has said so, and settles nothing after it acquired.
    proved_turns: u64,
    /// Messages up to here are settled, and gone.
    trimmed: u64,
    /// Writes that are under way though nobody waits for them any more.
    floating: Vec<(Write, Stamp)>,
    published: BTreeSet<String>,
    faults: Vec<String>,
}

impl World {
    fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    fn told(&mut self, batches: &[(u32, EventBatch)]) {
        let events = batches.iter().flat_map(|(_, batch)| &batch.events);
        self.published.extend(events.map(EventEnvelope::id));
    }

    /// A write is carried out that nobody waits for, or gets lost for good.
    fn drift(&mut self) {
        if self.floating.is_empty() {
            return;
        }
        let (write, stamp) = self.floating.swap_remove(self.chance.below(self.floating.len()));
        if !self.chance.once_in(4) {
            let _ = self.store.write(write, stamp);
        }
    }
}

/// More than an owner ever needs for all that there is.
const LAST_TURNS: usize = 100_000;

/// An owner, and for how many turns it stands still.
struct Player {
    owner: Owner,
    stalled: usize,
}

/// Plays a seed out; what is wrong at the end.
pub fn play(seed: u64, slip: Option<Slip>) -> Vec<String> {
    let mut chance = Chance::new(seed);
    let log = story::story(&mut chance);
    let kind = *chance.of(&[Kind::Refuses, Kind::Loses]);
    let config = Config { commit_records: *chance.of(&[1, 2, 4, 20_000]), ..Config::default() };
    let proved_turns = *Chance::new(!seed).of(&[15, 60, 150]);
    let (store, published) = (Store::new(kind, slip), BTreeSet::new());
    let mut world = World {
        chance,
        slip,
        store,
        log,
        turn: 0,
        proved_turns,
        trimmed: 0,
        floating: Vec::new(),
        published,
        faults: Vec::new(),
    };
    let mut players: Vec<Player> = Vec::new();
    for _ in 0..60 + world.chance.below(200) {
        turn(&mut world, &mut players, &config);
    }
    for player in &mut players {
        if world.chance.once_in(2) {
            player.owner.end(&mut world);
        }
    }
    let mut last = Owner::new(config);
    let mut left = LAST_TURNS;
    while !last.is_through(&world) && !last.has_ended() {
        left -= 1;
        if left == 0 {
            world.fault("the last owner comes to no end".to_owned());
            break;
        }
        world.turn += 1;
        last.advance(&mut world);
        if world.chance.once_in(12) {
            world.drift();
        }
    }
    // Those who stood still all the while go on, and whatever is under way comes.
    for player in &mut players {
        for _ in 0..200 {
            world.turn += 1;
            player.owner.advance_as_zombie(&mut world);
        }
        player.owner.end(&mut world);
    }
    while !world.floating.is_empty() {
        world.drift();
    }
    if last.has_ended() {
        world.fault("the last owner was fenced".to_owned());
    }
    compare(&world)
}

fn turn(world: &mut World, players: &mut Vec<Player>, config: &Config) {
    world.turn += 1;
    players.retain(|player| !player.owner.has_ended());
    if players.is_empty() || (players.len() < 4 && world.chance.once_in(25)) {
        players.push(Player { owner: Owner::new(config.clone()), stalled: 0 });
    }
    let index = world.chance.below(players.len());
    let player = &mut players[index];
    match world.chance.below(30) {
        0 => player.owner.end(world),
        1 | 2 => player.stalled = world.chance.below(40),
        3..=5 => world.drift(),
        _ if player.stalled > 0 => player.stalled -= 1,
        _ => player.owner.advance(world),
    }
}

/// What differs from a run without trouble.
fn compare(world: &World) -> Vec<String> {
    let mut calm = Stage::new();
    for (position, incoming) in (1..).zip(&world.log) {
        calm.take_all(vec![Incoming { position: Some(position), ..incoming.clone() }]);
    }
    let mut faults = world.faults.clone();
    let mut check = |what: &str, is_same: bool| {
        if !is_same {
            faults.push(format!("{what} differ"));
        }
    };
    let states = |rows: &mut dyn Iterator<Item = ronda_schemas::row::SchedulerRow>| -> Vec<_> {
        rows.filter(|row| row.state.is_some()).map(|row| (row.key, row.state, row.position)).collect()
    };
    let (now, then) = (world.store.partition(), calm.shadow.partition.clone());
    check("states", {
        let mut rows = world.store.schedulers().into_iter().map(|(_, row)| row);
        states(&mut rows) == states(&mut calm.shadow.rows.values().cloned())
    });
    check("occurrences", world.store.occurrences() == calm.shadow.occurrences);
    check("runs", world.store.runs() == calm.shadow.runs);
    check("errors", world.store.errors == calm.shadow.errors);
    check("events", world.published == calm.ids());
    check("clocks", (now.cursor, now.watermark, &now.gateways) == (then.cursor, then.watermark, &then.gateways));
    check("counts", now.applied + now.refused == then.applied + then.refused);
    faults
}
