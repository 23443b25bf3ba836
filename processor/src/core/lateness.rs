//! Times in which somebody heard and not everybody: what would be given up in them is put off, and judged as ever then.
//!
//! A job may reach us through one gateway only (a load balancer that sticks, a connection that is kept). What others heard meanwhile
//! says nothing of it.

use std::collections::BTreeMap;

use ronda_domain::input::Gap;
use ronda_domain::time::Timestamp;
use ronda_schemas::row::LateRow;

/// Most of them. Beyond it the two oldest are taken for the one that spans them.
const MAX_TIMES: usize = 8;
/// Most tenants that are told apart. Beyond it such a time is everybody's.
const MAX_TENANTS: usize = 64;

/// The times of which the clock has not passed the end.
#[derive(Debug)]
pub(crate) struct Lateness {
    everybodys: Times,
    tenants: BTreeMap<Box<str>, Times>,
}

/// Some of them, in order and apart.
#[derive(Debug, Default)]
struct Times(Vec<Gap>);

impl Lateness {
    /// As stored.
    pub(crate) fn new(times: Vec<Gap>, of_tenants: &[LateRow]) -> Self {
        let mut tenants: BTreeMap<Box<str>, Times> = BTreeMap::new();
        for LateRow { tenant, gap } in of_tenants {
            tenants.entry(tenant.clone()).or_default().0.push(*gap);
        }
        Self { everybodys: Times(times), tenants }
    }

    /// To be stored: everybody's.
    pub(crate) fn to_row(&self) -> Vec<Gap> {
        self.everybodys.0.clone()
    }

    /// To be stored: single tenants'.
    pub(crate) fn to_rows(&self) -> Vec<LateRow> {
        let mut rows = Vec::new();
        for (tenant, times) in &self.tenants {
            rows.extend(times.0.iter().map(|gap| LateRow { tenant: tenant.clone(), gap: *gap }));
        }
        rows
    }

    /// Takes new ones in, and forgets those that the clock has passed.
    pub(crate) fn note(&mut self, clock: Timestamp, new: Vec<Gap>, of_tenants: Vec<(Box<str>, Gap)>) {
        self.everybodys.forget(clock);
        self.tenants.retain(|_, times| {
            times.forget(clock);
            !times.0.is_empty()
        });
        for gap in new {
            self.everybodys.note(clock, gap);
        }
        for (tenant, gap) in of_tenants {
            let is_room = self.tenants.len() < MAX_TENANTS || self.tenants.contains_key(&tenant);
            let times = if is_room { self.tenants.entry(tenant).or_default() } else { &mut self.everybodys };
            times.note(clock, gap);
        }
    }

    /// Those of a tenant that have begun.
    pub(crate) fn begun(&self, tenant: &str, clock: Timestamp) -> Vec<Gap> {
        let own = self.tenants.get(tenant).into_iter().flat_map(|times| times.begun(clock));
        self.everybodys.begun(clock).chain(own).copied().collect()
    }
}

impl Times {
    fn forget(&mut self, clock: Timestamp) {
        self.0.retain(|time| time.until >= clock);
    }

    fn note(&mut self, clock: Timestamp, gap: Gap) {
        if gap.until <= gap.from || gap.until < clock {
            return;
        }
        let touches = |time: &Gap| time.from <= gap.until && gap.from <= time.until;
        let joined = self.0.extract_if(.., |time| touches(time)).fold(gap, span);
        let index = self.0.partition_point(|time| time.from < joined.from);
        self.0.insert(index, joined);
        while self.0.len() > MAX_TIMES {
            let oldest = self.0.remove(0);
            if let Some(next) = self.0.first_mut() {
                *next = span(*next, oldest);
            }
        }
    }

    fn begun(&self, clock: Timestamp) -> impl Iterator<Item = &Gap> {
        self.0.iter().take_while(move |time| time.from <= clock)
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
        let mut late = Lateness::new(vec![gap(10, 20)], &[]);
        late.note(Timestamp::from_seconds(15), vec![gap(18, 25), gap(90, 99), gap(1, 5), gap(30, 30)], Vec::new());
        assert_eq!(late.to_row(), [gap(10, 25), gap(90, 99)]);
        assert_eq!(late.begun("acme", Timestamp::from_seconds(15)), [gap(10, 25)]);
        late.note(Timestamp::from_seconds(26), vec![gap(85, 95)], Vec::new());
        assert_eq!(late.to_row(), [gap(85, 99)]);
    }

    #[test]
    fn they_stay_few() {
        let mut late = Lateness::new(Vec::new(), &[]);
        late.note(Timestamp::from_seconds(0), (0..100).map(|n| gap(10 * n, 10 * n + 5)).collect(), Vec::new());
        assert_eq!(late.to_row().len(), MAX_TIMES);
        assert_eq!(late.to_row()[0], gap(0, 925));
    }

    #[test]
    fn a_tenants_times_are_its_own_and_those_of_very_many_everybodys() {
        let (mut late, clock) = (Lateness::new(Vec::new(), &[]), Timestamp::from_seconds(10));
        late.note(clock, Vec::new(), vec![("acme".into(), gap(5, 20)), ("other".into(), gap(30, 40))]);
        let mut late = Lateness::new(late.to_row(), &late.to_rows());
        assert_eq!((late.begun("acme", clock), late.begun("third", clock)), (vec![gap(5, 20)], vec![]));
        assert_eq!(late.begun("other", clock), []);
        late.note(Timestamp::from_seconds(21), Vec::new(), Vec::new());
        assert_eq!(late.to_rows().len(), 1, "acme's is over");
        let many = (0..MAX_TENANTS).map(|n| (format!("tenant-{n}").into(), gap(22, 30))).collect();
        late.note(Timestamp::from_seconds(22), Vec::new(), many);
        assert_eq!((late.to_rows().len(), late.to_row()), (MAX_TENANTS, vec![gap(22, 30)]));
    }
}
