//! What people say while the night goes on: that they look after something, and that they want to hear nothing of a job for a while.

use std::time::{Duration, UNIX_EPOCH};

use ronda_domain::attention::By;
use ronda_domain::input::Input;
use ronda_domain::time::Timestamp;

use crate::chance::Chance;
use crate::world::Job;

/// Who says it.
const RATNA: By<'static> = By { source: "slack", id: "U0123456789", name: "Ratna" };

/// Something that a person says of a job.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Saying {
    Acknowledge,
    /// For so long on the night's clock: over by the notifier's clock when it hears of it, as after an outage.
    MuteByTheNight(Duration),
    /// For so long from when it is said on: the notifier waits for the end.
    MuteByTheWall(Duration),
    Unmute,
}

impl Saying {
    /// As the domain takes it, said at this time of the night.
    pub(crate) fn input(self, at: Timestamp) -> Input<'static> {
        let millis = |pause: Duration| i64::try_from(pause.as_millis()).unwrap();
        match self {
            Self::Acknowledge => Input::Acknowledge { by: RATNA, alert: None },
            Self::MuteByTheNight(pause) => Input::Mute { until: at.plus_millis(millis(pause)), by: RATNA },
            Self::MuteByTheWall(pause) => Input::Mute { until: wall_clock().plus_millis(millis(pause)), by: RATNA },
            Self::Unmute => Input::Unmute { by: RATNA },
        }
    }
}

/// Now, as the notifiers' clock says.
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp::from_millis(i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap())
}

/// What is said in a night: how many seconds after the hour, of which job.
pub(crate) fn sayings(jobs: &[Job], chance: &mut Chance) -> Vec<(u32, usize, Saying)> {
    // A seed's own temper.
    let (cared, muted) = (chance.between(2, 6), chance.between(2, 8));
    let mut sayings = Vec::new();
    let second = |chance: &mut Chance, least: u64| u32::try_from(chance.between(least, 1_860)).unwrap();
    for index in 0..jobs.len() {
        if chance.one_in(cared) {
            for _ in 0..chance.between(1, 2) {
                sayings.push((second(chance, 600), index, Saying::Acknowledge));
            }
        }
        if chance.one_in(muted) {
            let from = second(chance, 540);
            let saying = if chance.one_in(2) {
                Saying::MuteByTheNight(chance.millis(30_000, 600_000))
            } else {
                Saying::MuteByTheWall(chance.millis(100, 6_000))
            };
            sayings.push((from, index, saying));
            if chance.one_in(3) {
                sayings.push((second(chance, u64::from(from)), index, Saying::Unmute));
            }
        }
    }
    sayings
}
