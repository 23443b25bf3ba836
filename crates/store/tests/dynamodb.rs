//! The DynamoDB adapter on DynamoDB Local: the port's suite, and what DynamoDB alone can do wrong.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use ronda_store::conformance::StoreHarness;
use ronda_store::dynamodb::{DynamoOptions, DynamoStore, migrate};
use ronda_store::port::Store;
use ronda_testbed::DynamoDb;

#[path = "dynamodb/cost.rs"]
mod cost;
#[path = "dynamodb/crowds.rs"]
mod crowds;
#[path = "dynamodb/faults.rs"]
mod faults;
#[path = "dynamodb/steps.rs"]
mod steps;
#[path = "dynamodb/tables.rs"]
mod tables;

/// A hundred years: the cases' own times lie in 1970.
const KEEP_SECONDS: u64 = 100 * 365 * 86_400;

/// A server that all cases share, each with tables of its own. Panics when there is none: the tests are about nothing else.
fn server() -> &'static DynamoDb {
    static SERVER: OnceLock<DynamoDb> = OnceLock::new();
    SERVER.get_or_init(|| DynamoDb::start(false).expect("DynamoDB Local"))
}

/// Settings for a case of its own on a server, reached through some address.
fn options(server: &DynamoDb, via: SocketAddr) -> DynamoOptions {
    static CASES: AtomicU32 = AtomicU32::new(0);
    DynamoOptions {
        prefix: format!("case-{}", CASES.fetch_add(1, Ordering::Relaxed)),
        region: Some(String::from("eu-central-1")),
        endpoint: Some(format!("http://{via}")),
        credentials_file: Some(server.credentials_file()),
        history_keep_seconds: KEEP_SECONDS,
        // The server shares two cores with all that runs beside it.
        attempt_timeout_ms: 20_000,
        call_timeout_ms: 60_000,
        ..DynamoOptions::default()
    }
}

/// Settings for a case of its own, whose tables are there.
async fn made() -> DynamoOptions {
    let options = options(server(), server().address());
    migrate(&options).await.expect("migrate");
    options
}

/// The same tables as another process reaches them.
fn by(options: &DynamoOptions, via: SocketAddr) -> DynamoOptions {
    DynamoOptions { endpoint: Some(format!("http://{via}")), ..options.clone() }
}

async fn open(options: DynamoOptions) -> DynamoStore {
    DynamoStore::connect(options).await.expect("connect")
}

struct OnDynamoDb {
    options: DynamoOptions,
}

impl OnDynamoDb {
    async fn new() -> Self {
        Self { options: made().await }
    }
}

#[async_trait]
impl StoreHarness for OnDynamoDb {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(open(self.options.clone()).await)
    }

    async fn open_keeping(&self, keep_seconds: u32) -> Arc<dyn Store> {
        let options = DynamoOptions { history_keep_seconds: keep_seconds.into(), ..self.options.clone() };
        Arc::new(open(options).await)
    }

    fn expires_by_itself(&self) -> bool {
        true
    }
}

ronda_store::store_conformance_tests!(OnDynamoDb::new().await);
