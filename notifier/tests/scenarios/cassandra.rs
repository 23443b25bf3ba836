//! A server that all scenarios share, and keyspaces on it that go from one to the next: tables take long to make, and memory.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use ronda_schemas::lease::Group;
use ronda_store::cassandra::{CassandraOptions, CassandraStore, migrate};
use ronda_store::port::{Store, SurfaceWrite};
use ronda_testbed::Cassandra;

use crate::scene::PARTITIONS;

/// What happens in scenarios lies in 2026, whenever they are played.
const CENTURY_SECONDS: u64 = 100 * 366 * 24 * 3_600;

/// Those in which nothing goes on any more.
static FREE: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// A schema is changed by one at a time.
static MAKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
static MADE: AtomicU32 = AtomicU32::new(0);
static TENANTS: AtomicU32 = AtomicU32::new(0);

/// A keyspace with tables, and no notifier's rows in them.
pub(crate) struct Keyspace {
    name: String,
    address: SocketAddr,
}

/// The server; `None`: it can't be had.
pub(crate) fn server() -> Option<SocketAddr> {
    static SERVER: OnceLock<Option<Cassandra>> = OnceLock::new();
    let started = || match Cassandra::start(false) {
        Ok(server) => Some(server),
        Err(error) => {
            // Past what the harness keeps back.
            let _ = writeln!(std::io::stderr(), "!! SKIPPED the scenarios on Cassandra: {error:#}");
            None
        }
    };
    SERVER.get_or_init(started).as_ref().map(Cassandra::address)
}

impl Keyspace {
    pub(crate) async fn empty() -> Option<Self> {
        let address = server()?;
        if let Some(name) = FREE.lock().pop() {
            return Some(Self { name, address });
        }
        let keyspace = Self { name: format!("scene_{}", MADE.fetch_add(1, Ordering::Relaxed)), address };
        let _alone = MAKING.lock().await;
        migrate(&keyspace.options()).await.unwrap();
        Some(keyspace)
    }

    fn options(&self) -> CassandraOptions {
        CassandraOptions {
            nodes: vec![self.address.to_string()],
            keyspace: self.name.clone(),
            history_keep_seconds: CENTURY_SECONDS,
            // The machine may have other things to do.
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            ..CassandraOptions::default()
        }
    }

    pub(crate) async fn open(&self) -> Arc<dyn Store> {
        Arc::new(CassandraStore::connect(self.options()).await.unwrap())
    }

    /// Another one each time: what schedulers and their history leave behind is nobody's any more.
    pub(crate) fn tenant(&self) -> String {
        format!("acme-{}", TENANTS.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes away what notifiers leave behind, from them, too, if they still live, and makes room for the next scenario.
    pub(crate) async fn leave(self) {
        let store = self.open().await;
        for shard in 0..PARTITIONS {
            let epoch = store.acquire_shard(shard).await.unwrap();
            loop {
                let rows = store.surfaces(shard, "", None, 500).await.unwrap();
                if rows.is_empty() {
                    break;
                }
                let writes = rows.into_iter().map(|(key, _)| SurfaceWrite { key, row: None }).collect();
                store.commit_surfaces(shard, epoch, writes).await.unwrap();
            }
        }
        for member in store.leases(Group::Notifier).await.unwrap().members {
            store.remove_member(Group::Notifier, &member).await.unwrap();
        }
        FREE.lock().push(self.name);
    }
}
