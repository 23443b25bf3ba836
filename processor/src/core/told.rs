//! How much is said of direct messages that are wrong: a storm of them must fill neither the store nor the dead letters.
//!
//! So many a tenant and minute of the partition's clock are told; the others are counted, and one entry says how many there were.

use std::collections::BTreeMap;

use ronda_domain::time::Timestamp;
use ronda_schemas::row::ToldRow;

/// Most tenants that are told apart in a minute. The others, and those that can't be told, share one allowance.
const MAX_TENANTS: usize = 100;
const MINUTE_MS: i64 = 60_000;

/// What was wrong in the minute so far.
#[derive(Debug)]
pub(super) struct Told {
    most: u32,
    minute: i64,
    tenants: BTreeMap<Box<str>, Counts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    errors: u32,
    letters: u32,
}

/// What one tenant was not told in a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) tenant: Box<str>,
    pub(super) minute: i64,
    pub(super) errors: u32,
    pub(super) letters: u32,
}

impl Told {
    pub(super) fn from_rows(most: u32, minute: i64, rows: &[ToldRow]) -> Self {
        let counts = |row: &ToldRow| (row.tenant.clone(), Counts { errors: row.errors, letters: row.letters });
        Self { most, minute, tenants: rows.iter().map(counts).collect() }
    }

    pub(super) const fn minute_of(clock: Timestamp) -> i64 {
        clock.as_millis().div_euclid(MINUTE_MS)
    }

    pub(super) const fn minute(&self) -> i64 {
        self.minute
    }

    pub(super) fn to_rows(&self) -> Vec<ToldRow> {
        let tenants = self.tenants.iter();
        let rows = tenants.map(|(tenant, counts)| ToldRow {
            tenant: tenant.clone(),
            errors: counts.errors,
            letters: counts.letters,
        });
        rows.collect()
    }

    fn of(&mut self, tenant: &str) -> &mut Counts {
        let is_room = self.tenants.contains_key(tenant) || self.tenants.len() < MAX_TENANTS;
        self.tenants.entry(if is_room { tenant.into() } else { Box::default() }).or_default()
    }

    /// Counts an entry for the tenant's error feed; whether it is to be told.
    pub(super) fn error(&mut self, tenant: &str) -> bool {
        let most = self.most;
        let errors = &mut self.of(tenant).errors;
        *errors = errors.saturating_add(1);
        *errors <= most
    }

    /// Counts a dead letter; whether it is to be kept.
    pub(super) fn letter(&mut self, tenant: &str) -> bool {
        let most = self.most;
        let letters = &mut self.of(tenant).letters;
        *letters = letters.saturating_add(1);
        *letters <= most
    }

    /// Begins the minute that the clock has come to; what was left out in the one before.
    pub(super) fn come_to(&mut self, clock: Timestamp) -> Vec<LeftOut> {
        let (before, most) = (self.minute, self.most);
        self.minute = Self::minute_of(clock);
        if self.minute == before {
            return Vec::new();
        }
        let tenants = std::mem::take(&mut self.tenants).into_iter();
        let left_out = tenants.map(|(tenant, counts)| LeftOut {
            tenant,
            minute: before,
            errors: counts.errors.saturating_sub(most),
            letters: counts.letters.saturating_sub(most),
        });
        left_out.filter(|left_out| left_out.errors > 0 || left_out.letters > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_minute_are_told_and_the_others_counted() {
        let mut told = Told::from_rows(2, 0, &[]);
        let errors: Vec<_> = (0..5).map(|_| told.error("acme")).collect();
        assert_eq!(errors, [true, true, false, false, false]);
        assert!(told.letter("acme") && told.error("other"));
        assert!(told.come_to(Timestamp::from_seconds(59)).is_empty());
        let again = Told::from_rows(2, told.minute(), &told.to_rows());
        for mut told in [told, again] {
            let left_out = told.come_to(Timestamp::from_seconds(60));
            assert_eq!(left_out, [LeftOut { tenant: "acme".into(), minute: 0, errors: 3, letters: 0 }]);
            assert!(told.error("acme") && told.come_to(Timestamp::from_seconds(200)).is_empty());
        }
    }

    #[test]
    fn ever_so_many_tenants_take_a_bounded_place() {
        let mut told = Told::from_rows(1, 0, &[]);
        let told_of = (0..1_000).filter(|n| told.letter(&format!("tenant-{n}"))).count();
        assert_eq!((told_of, told.to_rows().len()), (MAX_TENANTS + 1, MAX_TENANTS + 1));
    }
}
