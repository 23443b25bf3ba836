//! Copies of a database, and how they are put into a fresh one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ronda_testbed::{Cassandra, DynamoDb, call_dynamodb};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::Settings;

/// A database that can be copied while it is used, and another one that a copy is put into.
pub trait Database {
    /// How Ronda comes to it.
    fn settings(&self) -> Settings;
    /// Copies what these tables hold now.
    fn copy(&mut self, tables: &[&str]);
    /// Goes on as an empty one, elsewhere.
    fn begin_anew(&mut self);
    /// Puts what was copied into the tables that were made there.
    fn put_back(&mut self);
}

const KEYSPACE: &str = "ronda";
/// All but leases: whoever starts makes those anew.
pub const CASSANDRA_ALL: &[&str] = &[
    "meta",
    "labels",
    "partitions",
    "schedulers",
    "schedulers_by_tenant",
    "tenants",
    "history",
    "history_buckets",
    "errors",
    "error_days",
    "api_keys",
    "api_keys_by_tenant",
    "idempotency",
    "surfaces",
    "surface_journal",
];

/// A node, whose tables are copied by `nodetool snapshot`.
pub struct OnCassandra {
    node: Cassandra,
    copied: Vec<(String, PathBuf)>,
    folder: tempfile::TempDir,
}

impl OnCassandra {
    /// # Errors
    /// When there is none to be had.
    pub fn start() -> Result<Self, String> {
        let node = Cassandra::start(true).map_err(|error| format!("{error:#}"))?;
        Ok(Self { node, copied: Vec::new(), folder: tempfile::tempdir().unwrap() })
    }
}

impl Database for OnCassandra {
    fn settings(&self) -> Settings {
        vec![("RONDA_STORE_URL", format!("cassandra://{}/{KEYSPACE}", self.node.address()))]
    }

    fn copy(&mut self, tables: &[&str]) {
        let names: Vec<String> = tables.iter().map(|table| format!("{KEYSPACE}.{table}")).collect();
        self.node.node_tool(&["snapshot", "--tag", "backup", "-kt", &names.join(",")]).unwrap();
        for table in tables {
            let snapshot = self.node.table_folder(KEYSPACE, table).unwrap().join("snapshots/backup");
            let place = self.folder.path().join(table);
            super::copy_folder(&snapshot, &place);
            self.copied.push(((*table).to_owned(), place));
        }
    }

    fn begin_anew(&mut self) {
        self.node = Cassandra::start(true).unwrap();
    }

    fn put_back(&mut self) {
        self.node.kill();
        for (table, files) in &self.copied {
            super::copy_folder(files, &self.node.table_folder(KEYSPACE, table).unwrap());
        }
        self.node.restart().unwrap();
    }
}

pub const DYNAMODB_ALL: &[&str] =
    &["partitions", "schedulers", "tenants", "history", "errors", "keys", "idempotency", "surfaces", "overflow"];
/// Most items of one `BatchWriteItem`.
const BATCH: usize = 25;

/// DynamoDB Local, which has neither backups nor point-in-time recovery: items are copied one by one instead.
pub struct OnDynamoDb {
    server: DynamoDb,
    runtime: Runtime,
    prefix: &'static str,
    copied: BTreeMap<String, Vec<Value>>,
}

impl OnDynamoDb {
    /// # Errors
    /// When there is none to be had.
    pub fn start() -> Result<Self, String> {
        let server = DynamoDb::start(false).map_err(|error| format!("{error:#}"))?;
        Ok(Self { server, runtime: Runtime::new().unwrap(), prefix: "ronda", copied: BTreeMap::new() })
    }

    fn call(&self, action: &str, body: &Value) -> Value {
        let answer = self.runtime.block_on(call_dynamodb(self.server.address(), action, body)).unwrap();
        assert!(answer["__type"].is_null(), "{action} {body}: {answer}");
        answer
    }

    fn items(&self, table: &str) -> Vec<Value> {
        let (mut items, mut start) = (Vec::new(), Value::Null);
        loop {
            let mut body = json!({ "TableName": format!("{}-{table}", self.prefix), "ConsistentRead": true });
            if !start.is_null() {
                body["ExclusiveStartKey"] = start;
            }
            let mut page = self.call("Scan", &body);
            items.append(page["Items"].as_array_mut().unwrap());
            start = page["LastEvaluatedKey"].take();
            if start.is_null() {
                return items;
            }
        }
    }
}

impl Database for OnDynamoDb {
    fn settings(&self) -> Settings {
        let address =
            format!("dynamodb://eu-central-1?endpoint=http://{}&prefix={}", self.server.address(), self.prefix);
        let credentials = self.server.credentials_file().display().to_string();
        vec![("RONDA_STORE_URL", address), ("RONDA_STORE_CREDENTIALS_FILE", credentials)]
    }

    fn copy(&mut self, tables: &[&str]) {
        for table in tables {
            let items = self.items(table);
            self.copied.insert((*table).to_owned(), items);
        }
    }

    fn begin_anew(&mut self) {
        self.prefix = "again";
    }

    fn put_back(&mut self) {
        for (table, items) in &self.copied {
            for some in items.chunks(BATCH) {
                let puts: Vec<Value> = some.iter().map(|item| json!({ "PutRequest": { "Item": item } })).collect();
                let body = json!({ "RequestItems": { format!("{}-{table}", self.prefix): puts } });
                let answer = self.call("BatchWriteItem", &body);
                assert!(answer["UnprocessedItems"].as_object().is_none_or(serde_json::Map::is_empty), "{answer}");
            }
        }
    }
}
