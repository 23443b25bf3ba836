//! What is otherwise than in the night before.

use jiff::civil::Date;

use super::window::Window;
use crate::surface::{BoardFacts, NightChange};

/// Most schedulers with a problem that a night remembers for the next one.
const MAX_BAD: usize = 5_000;

/// How a scheduler stands in a night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has a problem.
    Bad,
    /// Everything of it ended, and nothing badly.
    Well,
    /// It has no problem yet, and something is still to come.
    Open,
}

/// The hashes of those with a problem, in order; `None`: they are too many to be remembered.
pub(crate) fn bad(standings: impl Iterator<Item = (u64, Standing)>) -> Option<Vec<u64>> {
    let mut bad: Vec<u64> = standings.filter(|(_, standing)| *standing == Standing::Bad).map(|(id, _)| id).collect();
    bad.sort_unstable();
    (bad.len() <= MAX_BAD).then_some(bad)
}

/// An earlier night, as its table told it.
#[derive(Clone, Debug)]
pub(crate) struct Former {
    date: Box<str>,
    /// Hashes, in order.
    bad: Vec<u64>,
}

impl Former {
    /// Of a night that was closed and tells who had a problem.
    pub(crate) fn of(facts: &BoardFacts) -> Option<Self> {
        facts.closed?;
        Some(Self { date: facts.date.as_str().into(), bad: facts.bad.clone()? })
    }

    pub(crate) fn was_bad(&self, id: u64) -> bool {
        self.bad.binary_search(&id).is_ok()
    }

    /// What is otherwise in this night. One that was not due in it, or is still to come, is not fixed.
    pub(crate) fn against(&self, night: &Window, standings: impl Iterator<Item = (u64, Standing)>) -> NightChange {
        let is_yesterday = night.date.parse::<Date>().and_then(|date| date.yesterday());
        let is_yesterday = is_yesterday.is_ok_and(|yesterday| yesterday.to_string() == *self.date);
        let mut change = NightChange { date: self.date.clone(), is_yesterday, new: 0, again: 0, fixed: 0 };
        for (id, standing) in standings {
            match (standing, self.was_bad(id)) {
                (Standing::Bad, false) => change.new += 1,
                (Standing::Bad, true) => change.again += 1,
                (Standing::Well, true) => change.fixed += 1,
                (Standing::Well | Standing::Open, _) => {}
            }
        }
        change
    }
}

#[cfg(test)]
mod tests {
    use ronda_domain::time::Timestamp;

    use super::*;

    #[test]
    fn new_again_and_fixed_are_told_apart_and_what_is_to_come_is_none_of_them() {
        let former = Former { date: "2026-11-23".into(), bad: vec![1, 2, 3, 9] };
        let at = Timestamp::from_seconds;
        let night = Window { date: "2026-11-24".into(), start: at(0), end: at(100) };
        let tonight =
            [(1, Standing::Bad), (2, Standing::Well), (3, Standing::Open), (4, Standing::Bad), (5, Standing::Well)];
        let change = former.against(&night, tonight.into_iter());
        let expected = NightChange { date: "2026-11-23".into(), is_yesterday: true, new: 1, again: 1, fixed: 1 };
        assert_eq!(change, expected, "9 was not due");
        assert_eq!(bad(tonight.into_iter()), Some(vec![1, 4]));
    }
}
