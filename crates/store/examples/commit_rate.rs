//! Commits of heartbeats through the adapters to databases, beside the bare clients writing as many equal rows, in turns on the same server.
//!
//! `cargo run --release -p ronda-store --features cassandra,dynamodb --example commit_rate`: starts Apache Cassandra and DynamoDB Local itself. Ends with 1
//! when an adapter makes less than half of what its client does.
#![allow(clippy::print_stdout, reason = "a measuring tool prints what it measured")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use ronda_schemas::codec::Versioned as _;
use ronda_schemas::row::{PartitionRow, SchedulerRow};
use ronda_store::backend::{self, StoreOptions};
use ronda_store::conformance::fixture::{key, row};
use ronda_store::port::{Commit, Store};
use ronda_testbed::{Cassandra, DynamoDb};

/// Rows of a commit: a frame of a thousand heartbeats.
const ROWS: usize = 1_000;
/// Writes under way at once: the adapters' own default.
const IN_FLIGHT: usize = 64;
/// Turns of each, and how long one lasts.
const TURNS: usize = 5;
const TURN: Duration = Duration::from_secs(3);
/// The first turns warm a Java server up.
const WARM: Duration = Duration::from_secs(5);
const LIMIT: f64 = 0.5;

/// Writes a row with a database's own client.
trait Bare {
    async fn write(&self, number: usize, bytes: &[u8]) -> Result<()>;
}

/// Commits of one owner.
struct Owner {
    store: Arc<dyn Store>,
    partition: PartitionRow,
    rows: Vec<SchedulerRow>,
}

impl Owner {
    async fn acquire(store: Arc<dyn Store>) -> Result<Self> {
        let partition = store.acquire(0, 1).await?;
        let rows = (0..ROWS).map(|number| row(&key("acme", &format!("nightly-job-{number:06}")), 1)).collect();
        Ok(Self { store, partition, rows })
    }

    async fn commit(&mut self) -> Result<()> {
        self.partition.cursor += 1;
        let rows = self.rows.iter().cloned().map(|row| SchedulerRow { position: self.partition.cursor, ..row });
        let commit = Commit { partition: self.partition.clone(), rows: rows.collect(), ..Commit::default() };
        Ok(self.store.commit(Arc::new(commit)).await?)
    }

    /// Rows a second.
    async fn rate(&mut self, during: Duration) -> Result<f64> {
        let (began, mut rows) = (Instant::now(), 0);
        while began.elapsed() < during {
            self.commit().await?;
            rows += ROWS;
        }
        Ok(per_second(rows, began))
    }
}

/// Rows a second.
async fn bare_rate(bare: &impl Bare, bytes: &[u8], during: Duration) -> Result<f64> {
    let (began, mut rows) = (Instant::now(), 0);
    while began.elapsed() < during {
        let writes = futures::stream::iter((0..ROWS).map(|number| bare.write(number, bytes)));
        writes.buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        rows += ROWS;
    }
    Ok(per_second(rows, began))
}

#[allow(clippy::cast_precision_loss, reason = "a rate")]
fn per_second(rows: usize, began: Instant) -> f64 {
    rows as f64 / began.elapsed().as_secs_f64()
}

/// In turns, so that what else the machine does hits both. True when the limit is kept.
async fn compare(name: &str, options: StoreOptions, bare: &impl Bare) -> Result<bool> {
    backend::migrate(&options).await?;
    let mut owner = Owner::acquire(backend::connect(&options).await?).await?;
    let bytes = owner.rows.first().context("there are rows")?.encode()?;
    owner.rate(WARM).await?;
    bare_rate(bare, &bytes, WARM).await?;
    let (mut adapter, mut client) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        adapter.push(owner.rate(TURN).await?);
        client.push(bare_rate(bare, &bytes, TURN).await?);
    }
    let (adapter, client) = (median(adapter), median(client));
    let ratio = adapter / client;
    let verdict = if ratio >= LIMIT { "ok  " } else { "FAIL" };
    println!(
        "{verdict}  commits of {ROWS} heartbeats on {name}: {adapter:.0} rows/s, {ratio:.2} of the bare client's {client:.0} rows/s of {} \
         bytes  (limit: at least {LIMIT})",
        bytes.len()
    );
    Ok(ratio >= LIMIT)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

/// The driver of Cassandra, with a table like the adapter's.
struct Driver {
    session: scylla::client::session::Session,
    insert: scylla::statement::prepared::PreparedStatement,
}

impl Driver {
    async fn connect(node: &str) -> Result<Self> {
        let builder = scylla::client::session_builder::SessionBuilder::new().known_node(node);
        let session = builder.compression(Some(scylla::client::Compression::Lz4)).build().await?;
        let replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
        session.query_unpaged(format!("CREATE KEYSPACE bare WITH replication = {replication}"), ()).await?;
        let table = "CREATE TABLE bare.schedulers (slot int, tenant text, scheduler text, shown boolean, row blob, \
                     PRIMARY KEY ((slot), tenant, scheduler))";
        session.query_unpaged(table, ()).await?;
        let insert = "INSERT INTO bare.schedulers (slot, tenant, scheduler, shown, row) VALUES (?, 'acme', ?, true, ?)";
        let insert = session.prepare(insert).await?;
        Ok(Self { session, insert })
    }
}

impl Bare for Driver {
    async fn write(&self, number: usize, bytes: &[u8]) -> Result<()> {
        let slot = i32::try_from(number % 1_024)?;
        let values = (slot, format!("nightly-job-{number:06}"), bytes);
        self.session.execute_unpaged(&self.insert, values).await?;
        Ok(())
    }
}

/// The SDK of DynamoDB, with a table like the adapter's.
struct Sdk(aws_sdk_dynamodb::Client);

impl Sdk {
    async fn connect(endpoint: &str) -> Result<Self> {
        use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
        use aws_sdk_dynamodb::types::{
            AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
        };
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
                aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
            ))
            .build_https();
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "bench"))
            .endpoint_url(endpoint)
            .http_client(http)
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        let attribute =
            |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
        let part = |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        client
            .create_table()
            .table_name("bare")
            .billing_mode(BillingMode::PayPerRequest)
            .attribute_definitions(attribute("slot", ScalarAttributeType::N)?)
            .attribute_definitions(attribute("key", ScalarAttributeType::S)?)
            .key_schema(part("slot", KeyType::Hash)?)
            .key_schema(part("key", KeyType::Range)?)
            .send()
            .await?;
        Ok(Self(client))
    }
}

impl Bare for Sdk {
    async fn write(&self, number: usize, bytes: &[u8]) -> Result<()> {
        use aws_sdk_dynamodb::primitives::Blob;
        use aws_sdk_dynamodb::types::AttributeValue;
        let put = self.0.put_item().table_name("bare");
        let put = put.item("slot", AttributeValue::N((number % 1_024).to_string()));
        let put = put.item("key", AttributeValue::S(format!("acme/nightly-job-{number:06}")));
        put.item("row", AttributeValue::B(Blob::new(bytes))).send().await?;
        Ok(())
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let server = Cassandra::start(true)?;
    let node = server.address().to_string();
    let options = StoreOptions::new(format!("cassandra://{node}/ronda"));
    let cassandra = compare("Cassandra", options, &Driver::connect(&node).await?).await?;
    drop(server);
    let server = DynamoDb::start(false)?;
    let endpoint = format!("http://{}", server.address());
    let options = StoreOptions {
        credentials_file: Some(server.credentials_file()),
        ..StoreOptions::new(format!("dynamodb://eu-central-1?endpoint={endpoint}"))
    };
    let dynamodb = compare("DynamoDB Local", options, &Sdk::connect(&endpoint).await?).await?;
    anyhow::ensure!(cassandra && dynamodb, "a limit is not kept");
    Ok(())
}
