//! One notifier whose partitions come and go, or fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ronda_lease::{Ownership, Returned};
use ronda_queue::{Capabilities, Depth, Position, Published, Queue, QueueError, QueueErrorKind, Receiver};

use crate::rig::{Gate, Replica, Shared, until};

#[tokio::test]
async fn without_partitions_it_is_ready_and_says_of_each_that_it_is_let_go() {
    let shared = Shared::new().await;
    let mut replica = Replica::start(&shared, shared.slack(), &[]);
    until("it is ready", || replica.health.readiness().ok).await;
    replica.assign(&[0, 1]);
    replica.works_on(2).await;
    replica.assign(&[1]);
    assert_eq!(replica.returns().await, Returned::LetGo(0));
    replica.works_on(1).await;
    replica.assign(&[]);
    assert_eq!(replica.returns().await, Returned::LetGo(1));
    replica.works_on(0).await;
    assert!(replica.health.readiness().ok);
    assert_eq!(replica.status.borrow().backlog, 0);
    replica.assign(&[0]);
    replica.works_on(1).await;
    replica.owner = Ownership::new().0;
    replica.works_on(0).await;
    assert!(replica.health.readiness().ok, "nobody decides any more, so nothing is its own");
    replica.stop().await;
}

#[tokio::test]
async fn what_goes_and_is_assigned_again_meanwhile_is_let_go_and_taken_up_anew() {
    let shared = Shared::new().await;
    let gate = Gate::new(shared.slack());
    let mut replica = Replica::start(&shared, Arc::clone(&gate) as _, &[0]);
    replica.works_on(1).await;
    gate.shut();
    shared.fails(0, "billing").await;
    gate.holds_one().await;
    replica.assign(&[]);
    replica.works_on(0).await;
    replica.assign(&[0]);
    gate.open();
    assert_eq!(replica.returns().await, Returned::LetGo(0));
    replica.works_on(1).await;
    shared.fails(0, "other").await;
    until("both alerts", || shared.alerts("billing").len() == 1 && shared.alerts("other").len() == 1).await;
    assert_eq!(shared.stand_in.slack().calls("chat.postMessage"), 2, "the first one's outcome was committed");
    replica.stop().await;
}

#[tokio::test]
async fn a_call_that_hangs_keeps_a_partition_only_for_so_long() {
    let shared = Shared::new().await;
    let gate = Gate::new(shared.slack());
    let mut replica = Replica::start(&shared, Arc::clone(&gate) as _, &[0]);
    replica.works_on(1).await;
    gate.shut();
    shared.fails(0, "billing").await;
    gate.holds_one().await;
    replica.assign(&[]);
    assert_eq!(replica.returns().await, Returned::LetGo(0), "though it hangs still");
    replica.stop().await;
}

#[tokio::test]
async fn a_fence_ends_one_partition_and_it_is_taken_up_again_while_it_is_assigned() {
    let shared = Shared::new().await;
    let mut replica = Replica::start(&shared, shared.slack(), &[0, 1]);
    replica.works_on(2).await;
    shared.store.acquire_shard(0).await.unwrap();
    shared.fails(0, "billing").await;
    assert_eq!(replica.returns().await, Returned::Fenced(0));
    assert_eq!(shared.alerts("billing").len(), 0, "its claim could not be committed");
    shared.fails(1, "other").await;
    until("the other partition's alert", || shared.alerts("other").len() == 1).await;
    until("the alert, once it was taken up again", || shared.alerts("billing").len() == 1).await;
    replica.works_on(2).await;
    shared.store.acquire_shard(0).await.unwrap();
    shared.recovers(0, "billing").await;
    assert_eq!(replica.returns().await, Returned::Fenced(0));
    replica.assign(&[1]);
    assert_eq!(replica.returns().await, Returned::LetGo(0), "while it rests");
    replica.stop().await;
}

/// A queue whose partition 1 can't be read while it is broken.
struct Broken {
    inner: Arc<dyn Queue>,
    is_broken: Arc<AtomicBool>,
}

#[async_trait]
impl Queue for Broken {
    fn partitions(&self) -> u32 {
        self.inner.partitions()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn publish(&self, partition: u32, message: Bytes) -> Result<Published, QueueError> {
        self.inner.publish(partition, message).await
    }

    async fn open(&self, partition: u32, after: Option<Position>) -> Result<Box<dyn Receiver>, QueueError> {
        if partition == 1 && self.is_broken.load(Ordering::SeqCst) {
            return Err(QueueError::permanent(QueueErrorKind::Denied, "nobody may read it"));
        }
        self.inner.open(partition, after).await
    }

    async fn depth(&self, partition: u32) -> Result<Depth, QueueError> {
        self.inner.depth(partition).await
    }
}

#[tokio::test]
async fn a_partition_that_can_not_be_read_ends_no_other_is_told_and_tried_again() {
    let is_broken = Arc::new(AtomicBool::new(true));
    let broken = |inner| Arc::new(Broken { inner, is_broken: Arc::clone(&is_broken) }) as Arc<dyn Queue>;
    let shared = Shared::with_queue(broken).await;
    let mut replica = Replica::start(&shared, shared.slack(), &[0, 1]);
    until("health says why", || replica.reason().contains("partition 1 of the event queue")).await;
    assert!(replica.reason().contains("nobody may read it"), "{}", replica.reason());
    assert!(replica.health.readiness().ok, "no reason to send traffic elsewhere");
    shared.fails(0, "billing").await;
    shared.fails(1, "other").await;
    until("the alert of the partition that can be read", || shared.alerts("billing").len() == 1).await;
    is_broken.store(false, Ordering::SeqCst);
    until("the other one", || shared.alerts("other").len() == 1).await;
    replica.works_on(2).await;
    replica.stop().await;
}

#[tokio::test]
async fn a_partition_whose_rows_the_store_refuses_ends_no_other_and_is_told() {
    let shared = Shared::new().await;
    let mut replica = Replica::start(&shared, shared.slack(), &[0, 1]);
    replica.works_on(2).await;
    shared.fails_with_too_much(1).await;
    until("health says why", || replica.reason().contains("partition 1 of the event queue")).await;
    assert!(replica.reason().contains("a row of "), "{}", replica.reason());
    shared.fails(0, "billing").await;
    until("the other partition's alert", || shared.alerts("billing").len() == 1).await;
    replica.assign(&[0]);
    assert_eq!(replica.returns().await, Returned::LetGo(1));
    until("nothing is in the way of what is left", || replica.reason().is_empty()).await;
    replica.stop().await;
}
