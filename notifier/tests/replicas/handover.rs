//! Partitions that go from one notifier to another.

use std::sync::Arc;

use ronda_lease::Returned;
use ronda_queue::Queue;
use ronda_queue::conformance::CountedQueue;

use crate::rig::{CHANNEL, PARTITIONS, Replica, Shared, until};

#[tokio::test]
async fn nothing_is_posted_before_the_owner_of_the_first_partition_has_named_the_installation() {
    let shared = Shared::new().await;
    let mut second = Replica::start(&shared, shared.slack(), &[1]);
    second.works_on(1).await;
    shared.fails(1, "early").await;
    second.status.wait_for(|status| status.backlog == 1).await.unwrap();
    let mut first = Replica::start(&shared, shared.slack(), &[]);
    assert_eq!(shared.stand_in.slack().calls("chat.postMessage"), 0);
    first.assign(&[0]);
    first.works_on(1).await;
    shared.fails(0, "billing").await;
    until("both alerts", || shared.alerts("early").len() == 1 && shared.alerts("billing").len() == 1).await;
    assert_eq!(shared.installations().len(), 1, "both say the same name: {:?}", shared.installations());
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_partition_handed_over_in_the_middle_of_a_burst_loses_and_repeats_nothing() {
    hand_over_in_a_burst(Shared::new().await).await;
}

#[tokio::test]
async fn so_does_one_of_a_queue_without_positions_and_all_of_it_is_settled() {
    let queue: Arc<dyn Queue> = Arc::new(CountedQueue::new(PARTITIONS, 8));
    hand_over_in_a_burst(Shared::with_queue(|_| Arc::clone(&queue)).await).await;
    assert_eq!(queue.depth(1).await.unwrap().messages, 0);
}

async fn hand_over_in_a_burst(shared: Shared) {
    let mut first = Replica::start(&shared, shared.slack(), &[0, 1]);
    let mut second = Replica::start(&shared, shared.slack(), &[]);
    first.works_on(2).await;
    for number in 0..60 {
        shared.fails(1, &format!("job-{number}")).await;
        if number == 20 {
            until("some of the burst", || shared.stand_in.slack().messages(CHANNEL).len() > 2).await;
            first.assign(&[0]);
            assert_eq!(first.returns().await, Returned::LetGo(1));
            second.assign(&[1]);
        }
    }
    second.works_on(1).await;
    let jobs = || (0..60).map(|number| format!("job-{number}"));
    until("every alert", || jobs().all(|job| !shared.alerts(&job).is_empty())).await;
    for job in jobs().step_by(7) {
        shared.recovers(1, &job).await;
    }
    let is_over = |job: &String| shared.alerts(job).iter().any(|message| message.text.contains("recovered"));
    until("every recovery", || jobs().step_by(7).all(|job| is_over(&job))).await;
    second.status.wait_for(|status| status.backlog == 0).await.unwrap();
    for job in jobs() {
        assert_eq!(shared.alerts(&job).len(), 1, "{job}");
    }
    let posted = shared.stand_in.slack().calls("chat.postMessage");
    assert_eq!(posted, 60 + 9, "each alert and each reply was posted once");
    assert_eq!(shared.stand_in.slack().calls("chat.delete"), 0);
    first.stop().await;
    second.stop().await;
}
