//! Times in which somebody heard and not everybody: what would be given up in them is put off, and judged as ever then.
//!
//! A job may reach us through one gateway only (a load balancer that sticks, a connection that is kept). What others heard meanwhile
//! says nothing of it.

use ronda_domain::input::Gap;
use ronda_domain::time::Timestamp;

/// Most of them. Beyond it the two oldest are taken for the one that spans them.
const MAX_TIMES: usize = 8;

/// The times of which the clock has not passed the end, in order and apart.
#[derive(Debug)]
pub(crate) struct Lateness {
    times: Vec<Gap>,
}

impl Lateness {
    /// As stored.
    pub(crate) const fn new(times: Vec<Gap>) -> Self {
        Self { times }
    }

    /// To be stored.
    pub(crate) fn to_row(&self) -> Vec<Gap> {
        self.times.clone()
    }

    /// Takes new ones in, and forgets those that the clock has passed.
    pub(crate) fn note(&mut self, clock: Timestamp, new: Vec<Gap>) {
        self.times.retain(|time| time.until >= clock);
        for gap in new.into_iter().filter(|gap| gap.until > gap.from && gap.until >= clock) {
            let touches = |time: &Gap| time.from <= gap.until && gap.from <= time.until;
            let joined = self.times.extract_if(.., |time| touches(time)).fold(gap, span);
            let index = self.times.partition_point(|time| time.from < joined.from);
            self.times.insert(index, joined);
        }
        while self.times.len() > MAX_TIMES {
            let oldest = self.times.remove(0);
            if let Some(next) = self.times.first_mut() {
                *next = span(*next, oldest);
            }
        }
    }

    /// Those that have begun.
    pub(crate) fn begun(&self, clock: Timestamp) -> impl Iterator<Item = Gap> + use<> {
        let begun = self.times.partition_point(|time| time.from <= clock);
        self.times.iter().take(begun).copied().collect::<Vec<_>>().into_iter()
    }
}

fn span(one: Gap, other: Gap) -> Gap {
    Gap { from: one.from.min(other.from), until: one.until.max(other.until) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(from: i64, until: i64) -> Gap {
        Gap { from: Timestamp::from_seconds(from), until: Timestamp::from_seconds(until) }
    }

    #[test]
    fn times_that_touch_are_one_and_those_passed_are_forgotten() {
        let mut late = Lateness::new(vec![gap(10, 20)]);
        late.note(Timestamp::from_seconds(15), vec![gap(18, 25), gap(90, 99), gap(1, 5), gap(30, 30)]);
        assert_eq!(late.to_row(), [gap(10, 25), gap(90, 99)]);
        let begun: Vec<_> = late.begun(Timestamp::from_seconds(15)).collect();
        assert_eq!(begun, [gap(10, 25)]);
        late.note(Timestamp::from_seconds(26), vec![gap(85, 95)]);
        assert_eq!(late.to_row(), [gap(85, 99)]);
    }

    #[test]
    fn they_stay_few() {
        let mut late = Lateness::new(Vec::new());
        late.note(Timestamp::from_seconds(0), (0..100).map(|n| gap(10 * n, 10 * n + 5)).collect());
        assert_eq!(late.to_row().len(), MAX_TIMES);
        assert_eq!(late.to_row()[0], gap(0, 925));
    }
}
