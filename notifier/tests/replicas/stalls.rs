//! A notifier that stands still with a call in its hands while another one takes over. To the channel that is a call that comes late: held
//! back behind a gate after everything that was looked at before it.

use std::sync::Arc;

use ronda_lease::Returned;
use ronda_notifier::Channel;
use ronda_slack_standin::{Fault, SeenKind};

use crate::rig::{CHANNEL, Gate, Replica, Shared, until};

/// How often messages are looked up where a call has to come before a look, in seconds.
const SELDOM: u64 = 3;

/// Two notifiers, of which the first works on everything, behind a gate.
async fn two(shared: &Shared) -> (Replica, Arc<Gate>, Replica) {
    two_looking(1, shared, shared.slack()).await
}

/// The same with this time between two looks, in seconds, and this channel behind the gate.
async fn two_looking(seconds: u64, shared: &Shared, channel: Arc<dyn Channel>) -> (Replica, Arc<Gate>, Replica) {
    let gate = Gate::new(channel);
    let mut first = Replica::looking(seconds, shared, Arc::clone(&gate) as _, &[0, 1]);
    let second = Replica::looking(seconds, shared, shared.slack(), &[]);
    first.works_on(2).await;
    (first, gate, second)
}

/// The other one takes over, though the first still believes to own it, and brings everything to where it shall be, its later look included.
async fn takes_over(second: &mut Replica) {
    second.assign(&[0]);
    second.works_on(1).await;
}

/// The first learns that it lost the partition, and is told that it is not its own any more.
async fn loses(first: &mut Replica) {
    assert_eq!(first.returns().await, Returned::Fenced(0));
    first.assign(&[1]);
}

async fn is_done(replica: &mut Replica) {
    let done = replica.status.wait_for(|status| status.backlog == 0 && status.shards == 1);
    tokio::time::timeout(std::time::Duration::from_secs(40), done).await.expect("it is done in time").unwrap();
}

fn edits(shared: &Shared, text: &str) -> usize {
    let seen = shared.stand_in.slack().seen();
    seen.iter().filter(|seen| seen.kind == SeenKind::Edited && seen.text.contains(text)).count()
}

#[tokio::test]
async fn a_post_that_comes_after_everything_else_is_removed_by_its_sender() {
    let shared = Shared::new().await;
    let (mut first, gate, mut second) = two(&shared).await;
    gate.shut();
    shared.fails(0, "billing").await;
    gate.holds_one().await;
    takes_over(&mut second).await;
    until("the alert, posted by the new owner", || shared.alerts("billing").len() == 1).await;
    is_done(&mut second).await;
    let kept = shared.alerts("billing")[0].ts.clone();
    gate.open();
    loses(&mut first).await;
    until("the late twin and its removal", || shared.stand_in.slack().calls("chat.delete") == 1).await;
    until("one alert", || shared.alerts("billing").len() == 1).await;
    shared.recovers(0, "billing").await;
    until("the recovery", || shared.alerts("billing")[0].text.contains("recovered")).await;
    assert_eq!(shared.alerts("billing")[0].ts, kept, "the earliest stayed");
    first.stop().await;
    second.stop().await;
    assert_eq!(shared.alerts("billing").len(), 1);
}

#[tokio::test]
async fn a_post_that_comes_after_everything_else_is_removed_by_its_sender_also_without_an_answer() {
    let shared = Shared::new().await;
    let (mut first, gate, mut second) = two_looking(1, &shared, shared.impatient_slack(1_000)).await;
    gate.shut();
    shared.fails(0, "billing").await;
    gate.holds_one().await;
    takes_over(&mut second).await;
    until("the alert, posted by the new owner", || shared.alerts("billing").len() == 1).await;
    is_done(&mut second).await;
    let kept = shared.alerts("billing")[0].ts.clone();
    shared.stand_in.slack().fail_next("chat.postMessage", Fault::Slow { hold_ms: 20_000 });
    gate.open();
    until("the late twin", || shared.alerts("billing").len() == 2).await;
    loses(&mut first).await;
    until("one alert", || shared.alerts("billing").len() == 1).await;
    assert_eq!(shared.alerts("billing")[0].ts, kept, "the earliest stayed");
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_post_that_comes_before_it_is_given_up_is_adopted_and_not_removed() {
    let shared = Shared::new().await;
    let (mut first, gate, mut second) = two_looking(SELDOM, &shared, shared.slack()).await;
    gate.shut();
    shared.fails(0, "billing").await;
    gate.holds_one().await;
    takes_over(&mut second).await;
    gate.open();
    loses(&mut first).await;
    until("the alert", || shared.alerts("billing").len() == 1).await;
    shared.recovers(0, "billing").await;
    until("the recovery", || shared.alerts("billing").iter().any(|alert| alert.text.contains("recovered"))).await;
    is_done(&mut second).await;
    first.stop().await;
    second.stop().await;
    assert_eq!(shared.alerts("billing").len(), 1);
    assert_eq!(shared.stand_in.slack().calls("chat.delete"), 0);
}

#[tokio::test]
async fn a_post_of_a_sender_that_died_is_removed_by_the_new_owner_s_later_look() {
    let shared = Shared::new().await;
    let (first, gate, mut second) = two_looking(SELDOM, &shared, shared.slack()).await;
    gate.shut();
    shared.fails(0, "billing").await;
    gate.holds_one().await;
    first.kill().await;
    takes_over(&mut second).await;
    until("the alert, posted by the new owner", || shared.alerts("billing").len() == 1).await;
    gate.open();
    until("the late twin", || shared.stand_in.slack().calls("chat.postMessage") == 2).await;
    until("its removal", || shared.stand_in.slack().calls("chat.delete") == 1).await;
    until("one alert", || shared.alerts("billing").len() == 1).await;
    second.stop().await;
}

#[tokio::test]
async fn an_edit_that_comes_after_everything_else_is_put_right_by_its_sender() {
    let shared = Shared::new().await;
    let (mut first, gate, mut second) = two(&shared).await;
    shared.fails(0, "billing").await;
    until("the alert", || shared.alerts("billing").len() == 1).await;
    gate.shut();
    shared.fails_again(0, "billing", 2).await;
    gate.holds_one().await;
    takes_over(&mut second).await;
    shared.recovers(0, "billing").await;
    loses(&mut first).await;
    until("the recovery", || shared.alerts("billing")[0].text.contains("recovered")).await;
    is_done(&mut second).await;
    let (old, new) = (edits(&shared, "failed (production)"), edits(&shared, "recovered (production)"));
    gate.open();
    until("the old state", || edits(&shared, "failed (production)") > old).await;
    until("the newest again", || edits(&shared, "recovered (production)") > new).await;
    first.stop().await;
    second.stop().await;
    assert!(shared.alerts("billing")[0].text.contains("recovered"));
}

#[tokio::test]
async fn an_edit_of_a_sender_that_died_is_put_right_by_the_new_owner_s_later_look() {
    let shared = Shared::new().await;
    let (first, gate, mut second) = two_looking(SELDOM, &shared, shared.slack()).await;
    shared.fails(0, "billing").await;
    until("the alert", || shared.alerts("billing").len() == 1).await;
    gate.shut();
    shared.fails_again(0, "billing", 2).await;
    gate.holds_one().await;
    first.kill().await;
    takes_over(&mut second).await;
    shared.recovers(0, "billing").await;
    until("the recovery", || shared.alerts("billing")[0].text.contains("recovered")).await;
    let (old, new) = (edits(&shared, "failed (production)"), edits(&shared, "recovered (production)"));
    gate.open();
    until("the old state", || edits(&shared, "failed (production)") > old).await;
    until("the newest again", || edits(&shared, "recovered (production)") > new).await;
    is_done(&mut second).await;
    assert!(shared.alerts("billing")[0].text.contains("recovered"));
    second.stop().await;
}

#[tokio::test]
async fn a_burst_during_which_the_owner_stands_still_is_told_once_each() {
    let shared = Shared::new().await;
    let (mut first, gate, mut second) = two(&shared).await;
    let jobs: Vec<String> = (0..40).map(|number| format!("job-{number}")).collect();
    for (number, job) in jobs.iter().enumerate() {
        shared.fails(0, job).await;
        if number == 15 {
            until("some of the burst", || shared.stand_in.slack().messages(CHANNEL).len() > 2).await;
            gate.shut();
            gate.holds_one().await;
        }
    }
    takes_over(&mut second).await;
    until("every alert", || jobs.iter().all(|job| !shared.alerts(job).is_empty())).await;
    is_done(&mut second).await;
    // It wakes, and does not know yet that it lost the partition.
    gate.open();
    for job in jobs.iter().step_by(5) {
        shared.recovers(0, job).await;
    }
    loses(&mut first).await;
    let is_over = |job: &String| shared.alerts(job).iter().any(|alert| alert.text.contains("recovered"));
    until("every recovery", || jobs.iter().step_by(5).all(is_over)).await;
    until("each once", || jobs.iter().all(|job| shared.alerts(job).len() == 1)).await;
    is_done(&mut second).await;
    first.stop().await;
    second.stop().await;
    for job in &jobs {
        assert_eq!(shared.alerts(job).len(), 1, "{job}");
    }
}
