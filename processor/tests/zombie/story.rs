//! What comes out of the command queue: frames whose commands count differently when they are applied twice, or not at all.

use ronda_domain::input::{Input, ReportedStatus};
use ronda_domain::spec::SchedulerSpec;
use ronda_processor::Incoming;

use super::chance::Chance;
use crate::stage::{Asked, Gateway, at, heartbeat, register, spec, status};

const JOBS: [&str; 3] = ["a", "b", "c"];
const RUNS: [&str; 2] = ["r1", "r2"];

fn asked(chance: &mut Chance) -> Asked {
    use ReportedStatus::{Failed, Running, Success};
    let job = *chance.of(&JOBS);
    let run = (!chance.once_in(3)).then(|| *chance.of(&RUNS));
    match chance.below(12) {
        0 => ("acme", job.to_owned(), Input::Delete),
        1 => ("acme", job.to_owned(), Input::Pause),
        2 => ("acme", job.to_owned(), Input::Resume),
        3 | 4 => {
            let plain = spec(*chance.of(&[None, Some(20), Some(30)]), *chance.of(&[None, Some(15)]));
            let alert_after = *chance.of(&[1, 2, 3]);
            register(job, SchedulerSpec { alert_after, ..plain })
        }
        5 | 6 => heartbeat(job, run),
        7 => status(job, Running, run),
        8 => status(job, Success, run),
        _ => status(job, Failed, run),
    }
}

/// Some frames of one or two gateways, with a pulse now and then that comes late, and the time that all needs to settle.
pub fn story(chance: &mut Chance) -> Vec<Incoming> {
    let mut gateways = vec![Gateway::new(1)];
    if chance.once_in(3) {
        gateways.push(Gateway::new(2));
    }
    let (mut frames, mut second) = (Vec::new(), 0);
    let first: Vec<_> = JOBS.iter().take(1 + chance.below(3)).map(|job| register(job, spec(Some(30), None))).collect();
    frames.push(gateways[0].frame(second, &first));
    for _ in 0..8 + chance.below(12) {
        second += if chance.once_in(12) { 40 } else { *chance.of(&[0, 1, 1, 2, 3]) };
        let asked: Vec<_> = (0..chance.below(4)).map(|_| asked(chance)).collect();
        let gateway = chance.below(gateways.len());
        if chance.once_in(25) {
            gateways[gateway].number += 1;
        }
        frames.push(gateways[gateway].frame(second, &asked));
    }
    for more in [1, 2, 30, 31] {
        for gateway in &mut gateways {
            frames.push(gateway.frame(second + more, &[]));
        }
    }
    at(1, frames).collect()
}
