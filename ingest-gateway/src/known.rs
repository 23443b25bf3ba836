//! Which schedulers are known to exist, so that a report costs no read.
//!
//! Only existing ones are remembered, for a bounded time and in bounded number: one that was registered through another gateway a moment ago must
//! be found at once, and one that was deleted elsewhere is refused later in the pipeline.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use ronda_runtime::Clock;
use ronda_store::port::Store;
use tracing::warn;

use crate::config::Config;

/// A scheduler's name as one text: tenant, a slash (which no id has), id.
#[derive(PartialEq, Eq)]
struct Name(Box<str>);

#[derive(Clone, Copy)]
struct NameRef<'a> {
    tenant: &'a str,
    scheduler: &'a str,
}

impl Name {
    fn parts(&self) -> NameRef<'_> {
        let (tenant, scheduler) = self.0.split_once('/').unwrap_or((&self.0, ""));
        NameRef { tenant, scheduler }
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl Hash for NameRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.tenant.as_bytes());
        state.write_u8(b'/');
        state.write(self.scheduler.as_bytes());
    }
}

impl Equivalent<Name> for NameRef<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        let other = name.parts();
        self.tenant == other.tenant && self.scheduler == other.scheduler
    }
}

/// What is known of a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existence {
    /// It is registered, or was a moment ago.
    Known,
    /// Nobody registered it.
    Unknown,
    /// The store can't be asked: it is judged later.
    CantTell,
}

/// The schedulers known to exist.
pub(crate) struct KnownSchedulers {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ttl_ms: u64,
    max: usize,
    /// Until when each is taken to exist, in milliseconds of the monotonic clock.
    until: RwLock<HashMap<Name, u64>>,
}

impl KnownSchedulers {
    pub(crate) fn new(config: &Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            ttl_ms: config.known_scheduler_ttl_seconds.saturating_mul(1_000),
            max: config.max_known_schedulers,
            until: RwLock::default(),
        }
    }

    /// Whether a scheduler was registered.
    pub(crate) async fn check(&self, tenant: &str, scheduler: &str) -> Existence {
        if self.is_known(tenant, scheduler) {
            return Existence::Known;
        }
        match self.store.scheduler(tenant, scheduler).await {
            Ok(Some(_)) => {
                self.remember(tenant, scheduler);
                Existence::Known
            }
            Ok(None) => Existence::Unknown,
            Err(error) => {
                warn!(%error, "could not look a scheduler up; its report is accepted and judged later");
                Existence::CantTell
            }
        }
    }

    /// Whether it is remembered as existing: no read.
    pub(crate) fn is_known(&self, tenant: &str, scheduler: &str) -> bool {
        let now_ms = self.clock.mono_millis();
        self.until.read().get(&NameRef { tenant, scheduler }).is_some_and(|until| now_ms < *until)
    }

    /// It exists.
    pub(crate) fn remember(&self, tenant: &str, scheduler: &str) {
        let now_ms = self.clock.mono_millis();
        let mut until = self.until.write();
        if until.len() >= self.max {
            until.retain(|_, until| now_ms < *until);
            if until.len() >= self.max {
                return;
            }
        }
        until.insert(Name(format!("{tenant}/{scheduler}").into()), now_ms.saturating_add(self.ttl_ms));
    }

    /// It was deleted.
    pub(crate) fn forget(&self, tenant: &str, scheduler: &str) {
        self.until.write().remove(&NameRef { tenant, scheduler });
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    #[test]
    fn a_borrowed_name_finds_the_owned_one() {
        let mut map: HashMap<Name, u64> = HashMap::default();
        map.insert(Name("acme/nightly".into()), 1);
        let name = NameRef { tenant: "acme", scheduler: "nightly" };
        assert_eq!(map.hasher().hash_one(name), map.hasher().hash_one(Name("acme/nightly".into())));
        assert_eq!(map.get(&name), Some(&1));
        assert_eq!(map.get(&NameRef { tenant: "acm", scheduler: "enightly" }), None);
    }
}
