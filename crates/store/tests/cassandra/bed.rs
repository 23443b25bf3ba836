//! A server that all cases of a binary share, each with a keyspace of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use ronda_store::cassandra::{CassandraOptions, CassandraStore, migrate};
use ronda_store::conformance::StoreHarness;
use ronda_store::port::Store;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

/// What the suite writes lies in 1970.
const CENTURY_SECONDS: u64 = 100 * 366 * 24 * 3_600;

/// A keyspace with tables on a server. The next one that is made removes it: tables take memory.
pub(crate) struct Keyspace {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
}

static OVER: Mutex<Vec<String>> = Mutex::new(Vec::new());
static MAKING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

impl Keyspace {
    /// A name of its own, and nothing there yet.
    pub(crate) fn named(address: SocketAddr) -> Self {
        static CASES: AtomicU32 = AtomicU32::new(0);
        Self { name: format!("case_{}", CASES.fetch_add(1, Ordering::Relaxed)), address }
    }

    /// One with tables.
    pub(crate) async fn made(address: SocketAddr) -> Self {
        let keyspace = Self::named(address);
        let _alone = MAKING.lock().await;
        let over = std::mem::take(&mut *OVER.lock());
        if !over.is_empty() {
            let session = keyspace.session().await;
            for name in over {
                let statement = format!("DROP KEYSPACE IF EXISTS {name}");
                session.query_unpaged(statement, ()).await.expect("a keyspace is dropped");
            }
        }
        migrate(&keyspace.options()).await.expect("migrate");
        keyspace
    }

    pub(crate) fn options(&self) -> CassandraOptions {
        CassandraOptions {
            nodes: vec![self.address.to_string()],
            keyspace: self.name.clone(),
            history_keep_seconds: CENTURY_SECONDS,
            // The machine may have other things to do.
            request_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            // So that pages end in the middle of everything.
            page_rows: 7,
            ..CassandraOptions::default()
        }
    }

    /// The store, as one process has it.
    pub(crate) async fn store(&self) -> CassandraStore {
        CassandraStore::connect(self.options()).await.expect("connect")
    }

    /// A session past the adapter.
    pub(crate) async fn session(&self) -> Session {
        SessionBuilder::new().known_node(self.address.to_string()).build().await.expect("a session")
    }

    /// Has the server do something past the adapter; `ks.` stands for the keyspace.
    pub(crate) async fn cql(&self, statement: &str) {
        let statement = statement.replace("ks.", &format!("{}.", self.name));
        self.session().await.query_unpaged(statement.as_str(), ()).await.expect(&statement);
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        OVER.lock().push(self.name.clone());
    }
}

#[async_trait]
impl StoreHarness for Keyspace {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store().await)
    }

    async fn open_keeping(&self, keep_seconds: u32) -> Arc<dyn Store> {
        let options = CassandraOptions { history_keep_seconds: keep_seconds.into(), ..self.options() };
        Arc::new(CassandraStore::connect(options).await.expect("connect"))
    }

    fn expires_by_itself(&self) -> bool {
        true
    }
}
