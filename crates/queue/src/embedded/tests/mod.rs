//! The embedded queue against the port's suite and against its own promises.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;

use super::{EmbeddedOptions, EmbeddedQueue};
use crate::conformance::{QueueHarness, Setup};
use crate::port::Queue;

struct Embedded {
    dir: TempDir,
    options: EmbeddedOptions,
    queue: Arc<EmbeddedQueue>,
}

#[async_trait]
impl QueueHarness for Embedded {
    async fn start(setup: Setup) -> Self {
        let mut options = EmbeddedOptions { partitions: setup.partitions, ..EmbeddedOptions::default() };
        if setup.small {
            // Segments so small that a case goes through many of them, and a tail too small to hide the files.
            options.max_bytes = 4 << 20;
            options.segment_bytes = 1;
            options.max_message_bytes = 60_000;
            options.tail_bytes = 10_000;
        }
        let dir = tempfile::tempdir().expect("temporary directory");
        let queue = Arc::new(EmbeddedQueue::open(dir.path(), options.clone()).expect("open"));
        Self { dir, options, queue }
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.queue) as _
    }

    async fn reopen(&mut self) {
        self.queue.close().await;
        self.queue = Arc::new(EmbeddedQueue::open(self.dir.path(), self.options.clone()).expect("open again"));
    }
}

crate::queue_conformance_tests!(Embedded);
