//! The embedded store passes the conformance suite.

use std::sync::Arc;

use async_trait::async_trait;
use ronda_store::conformance::StoreHarness;
use ronda_store::embedded::{EmbeddedOptions, EmbeddedStore};
use ronda_store::port::Store;
use tempfile::TempDir;

struct Embedded {
    dir: TempDir,
}

impl Embedded {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder") }
    }
}

#[async_trait]
impl StoreHarness for Embedded {
    async fn open(&self) -> Arc<dyn Store> {
        // A machine that tests run on may have little room left.
        let options = EmbeddedOptions { min_free_bytes: 16 * 1024 * 1024, ..EmbeddedOptions::default() };
        Arc::new(EmbeddedStore::open(self.dir.path(), options).expect("open"))
    }
}

ronda_store::store_conformance_tests!(Embedded::new());
