//! Which schedulers are known to exist, so that a report costs no read.
//!
//! Only existing ones are remembered, for a bounded time and in bounded number: one that was registered through another gateway a moment ago must
//! be found at once, and one that was deleted elsewhere is refused later in the pipeline.
//!
//! A look into the store that crosses a deletion here must not bring the deleted one back: deletions are counted, and what was looked up is
//! remembered only when none was noted meanwhile.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;
use ronda_runtime::Clock;
use ronda_store::port::Store;
use tokio::time::timeout;
use tracing::warn;

use crate::config::Config;

/// How long a report waits to hear whether its scheduler exists. Without, it is accepted and judged later; whoever reports does not wait for long
/// either, and a report that was given up before it is in a frame would be missing where silence is judged.
const LOOKED_UP_WITHIN: Duration = Duration::from_millis(500);

/// A scheduler's name as one text: tenant, a slash (which no id has), id.
#[derive(PartialEq, Eq)]
struct Name(Box<str>);

#[derive(Clone, Copy)]
struct NameRef<'a> {
    tenant: &'a str,
    scheduler: &'a str,
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (tenant, scheduler) = self.0.split_once('/').unwrap_or((&self.0, ""));
        NameRef { tenant, scheduler }.hash(state);
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
        let rest = name.0.strip_prefix(self.tenant).and_then(|rest| rest.strip_prefix('/'));
        rest == Some(self.scheduler)
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
    remembered: RwLock<Remembered>,
}

#[derive(Default)]
struct Remembered {
    /// Until when each is taken to exist, in milliseconds of the monotonic clock.
    until: HashMap<Name, u64>,
    /// How many deletions were noted.
    deletions: u64,
}

impl KnownSchedulers {
    pub(crate) fn new(config: &Config, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            ttl_ms: config.known_scheduler_ttl_seconds.saturating_mul(1_000),
            max: config.max_known_schedulers,
            remembered: RwLock::default(),
        }
    }

    /// Whether a scheduler was registered.
    pub(crate) async fn check(&self, tenant: &str, scheduler: &str) -> Existence {
        if self.is_known(tenant, scheduler) {
            return Existence::Known;
        }
        let deletions = self.remembered.read().deletions;
        match timeout(LOOKED_UP_WITHIN, self.store.is_registered(tenant, scheduler)).await {
            Ok(Ok(true)) => {
                self.keep(tenant, scheduler, Some(deletions));
                Existence::Known
            }
            Ok(Ok(false)) => Existence::Unknown,
            Ok(Err(error)) => {
                warn!(%error, "could not look a scheduler up; its report is accepted and judged later");
                Existence::CantTell
            }
            Err(_) => {
                warn!(
                    after_ms = LOOKED_UP_WITHIN.as_millis(),
                    "the store does not say whether a scheduler exists; its report is accepted and judged later"
                );
                Existence::CantTell
            }
        }
    }

    /// Whether it is remembered as existing: no read.
    pub(crate) fn is_known(&self, tenant: &str, scheduler: &str) -> bool {
        self.is_known_at(self.now_ms(), tenant, scheduler)
    }

    /// The same for who asks for many at one moment of [`now_ms`](Self::now_ms).
    pub(crate) fn is_known_at(&self, now_ms: u64, tenant: &str, scheduler: &str) -> bool {
        let remembered = self.remembered.read();
        remembered.until.get(&NameRef { tenant, scheduler }).is_some_and(|until| now_ms < *until)
    }

    /// The moment, in milliseconds of the monotonic clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.mono_millis()
    }

    /// It exists.
    pub(crate) fn remember(&self, tenant: &str, scheduler: &str) {
        self.keep(tenant, scheduler, None);
    }

    /// Remembers it, unless a deletion was noted since `deletions` were.
    fn keep(&self, tenant: &str, scheduler: &str, deletions: Option<u64>) {
        let now_ms = self.now_ms();
        let mut remembered = self.remembered.write();
        if deletions.is_some_and(|deletions| deletions != remembered.deletions) {
            return;
        }
        let until = &mut remembered.until;
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
        let mut remembered = self.remembered.write();
        remembered.deletions += 1;
        remembered.until.remove(&NameRef { tenant, scheduler });
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

    #[tokio::test]
    async fn a_look_that_crosses_a_deletion_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let store = ronda_store::embedded::EmbeddedStore::open(dir.path(), Default::default()).unwrap();
        let known =
            KnownSchedulers::new(&Config::default(), Arc::new(store), Arc::new(ronda_runtime::SystemClock::new()));
        known.keep("acme", "other", Some(0));
        known.forget("acme", "nightly");
        // It was looked up when it was still there.
        known.keep("acme", "nightly", Some(0));
        assert!(!known.is_known("acme", "nightly") && known.is_known("acme", "other"));
        known.remember("acme", "nightly");
        assert!(known.is_known("acme", "nightly"));
    }
}
