//! Batches that are taken in part, throttling, and what it all costs in calls.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ronda_queue::{Queue, QueueError, ReceiveLimit, Receiver};
use serde_json::{Value, json};

use super::{commands, made, options, server};
use ronda_testbed::{AwsProxy, Fate};

fn text(number: usize) -> Bytes {
    Bytes::from(format!("number {number}"))
}

/// Publishes these all at the same time, in this order; answers what became of each.
async fn at_once(queue: &Arc<dyn Queue>, numbers: std::ops::Range<usize>) -> Vec<Result<(), QueueError>> {
    let publishes = numbers.map(|number| {
        let queue = Arc::clone(queue);
        async move { queue.publish(0, text(number)).await.map(|_| ()) }
    });
    futures::future::join_all(publishes).await
}

/// Everything in a partition up to a message, settled.
async fn drain(receiver: &mut dyn Receiver, last: &Bytes) -> Vec<String> {
    let mut all = Vec::new();
    let drained = async {
        while all.last().is_none_or(|seen: &String| seen.as_bytes() != &last[..]) {
            let some = receiver.receive(ReceiveLimit::default()).await.expect("receive");
            all.extend(some.iter().map(|delivery| String::from_utf8_lossy(&delivery.message).into_owned()));
            receiver.settle(some.last().expect("some").token).await.expect("settle");
        }
    };
    tokio::time::timeout(Duration::from_secs(30), drained).await.expect("everything comes");
    all
}

/// The number that an entry of a batch carries.
fn number_of(entry: &Value) -> usize {
    let body = STANDARD.decode(entry["MessageBody"].as_str().expect("a body")).expect("base64");
    String::from_utf8_lossy(&body).strip_prefix("number ").and_then(|number| number.parse().ok()).expect("a number")
}

fn entries(body: &Value) -> Vec<Value> {
    body["Entries"].as_array().cloned().unwrap_or_default()
}

/// Takes some entries out of a batch before the server sees it, and tells the caller that they failed.
fn fail_entries(body: &Value, code: &'static str, sender_fault: bool, which: impl Fn(&Value) -> bool) -> Fate {
    let (failed, kept): (Vec<_>, Vec<_>) = entries(body).into_iter().partition(which);
    if failed.is_empty() {
        return Fate::Pass;
    }
    let told: Vec<_> = failed
        .iter()
        .map(|entry| json!({"Id": entry["Id"], "Code": code, "SenderFault": sender_fault, "Message": "told so"}))
        .collect();
    if kept.is_empty() {
        return Fate::Answer(200, json!({"Successful": [], "Failed": told}));
    }
    let mut request = body.clone();
    request["Entries"] = Value::Array(kept);
    let answer = move |mut answer: Value| {
        answer["Failed"] = Value::Array(told);
        answer
    };
    Fate::Change { request, answer: Box::new(answer) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_that_is_half_accepted_each_publish_ends_by_its_own_result() {
    let server = server();
    // Of the first full batch every second message fails, once; its first message's number is noted.
    let first_of_batch = Arc::new(OnceLock::new());
    let noted = Arc::clone(&first_of_batch);
    let proxy = AwsProxy::to(server.address(), move |action, body| {
        let entries = entries(body);
        if action != "SendMessageBatch" || entries.len() < 10 || noted.set(number_of(&entries[0])).is_err() {
            return Fate::Pass;
        }
        let odd =
            |entry: &Value| entry["Id"].as_str().and_then(|id| id.parse().ok()).is_some_and(|id: u32| id % 2 == 1);
        fail_entries(body, "InternalError", false, odd)
    });
    let proxy = proxy.await.expect("a proxy");
    let broker = made(options(server, proxy.address())).await;
    let queue = commands(&*broker).await;
    let outcomes = at_once(&queue, 0..24).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    queue.publish(0, text(24)).await.expect("publish");
    let mut receiver = queue.open(0, None).await.expect("open");
    let seen = drain(&mut *receiver, &text(24)).await;
    // What failed came right after its batch, in its order, ahead of all that was sent later; and each came once.
    let from = *first_of_batch.get().expect("there was a full batch");
    let (taken, failed) = ((from..from + 10).step_by(2), (from + 1..from + 10).step_by(2));
    let expected = (0..from).chain(taken).chain(failed).chain(from + 10..=24);
    assert_eq!(seen, expected.map(|number| format!("number {number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_that_is_refused_takes_no_other_with_it() {
    let server = server();
    let proxy = AwsProxy::to(server.address(), |action, body| {
        let bad = |entry: &Value| entry["MessageAttributes"]["bad"].is_object();
        match action {
            // Whole batches too: some servers refuse all for one.
            "SendMessageBatch" if entries(body).len() > 3 && entries(body).iter().any(bad) => Fate::Answer(
                400,
                json!({"__type": "com.amazonaws.sqs#InvalidMessageContents", "message": "one is bad"}),
            ),
            "SendMessageBatch" => fail_entries(body, "InvalidMessageContents", true, bad),
            _ => Fate::Pass,
        }
    });
    let proxy = proxy.await.expect("a proxy");
    let broker = made(options(server, proxy.address())).await;
    let queue = commands(&*broker).await;
    let origin = ronda_queue::Origin { headers: vec![(String::from("bad"), String::from("1"))], ..Default::default() };
    let (good, bad, more) = tokio::join!(
        at_once(&queue, 0..6),
        queue.publish_direct(0, Bytes::from_static(b"bad"), &origin),
        at_once(&queue, 6..12),
    );
    assert!(good.iter().chain(&more).all(Result::is_ok), "{good:?} {more:?}");
    let refused = bad.expect_err("it is bad");
    assert!(!refused.retryable && refused.message.contains("InvalidMessageContents"), "{refused}");
    let mut receiver = queue.open(0, None).await.expect("open");
    let seen = drain(&mut *receiver, &text(11)).await;
    assert_eq!(seen, (0..12).map(|number| format!("number {number}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_is_waited_out_and_told_when_it_lasts() {
    let server = server();
    let left = Arc::new(AtomicUsize::new(2));
    let throttled = Arc::clone(&left);
    let proxy = AwsProxy::to(server.address(), move |action, _| {
        let throttle = throttled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if action == "SendMessageBatch" && throttle {
            return Fate::Answer(400, json!({"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"}));
        }
        Fate::Pass
    });
    let proxy = proxy.await.expect("a proxy");
    left.store(0, Ordering::Relaxed);
    let broker = made(options(server, proxy.address())).await;
    let queue = commands(&*broker).await;
    left.store(2, Ordering::Relaxed);
    queue.publish(0, text(0)).await.expect("it waits");
    left.store(usize::MAX, Ordering::Relaxed);
    let error = queue.publish(0, text(1)).await.expect_err("it lasts");
    assert!(error.retryable && error.retry_after >= Some(Duration::from_secs(1)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_settle_that_is_half_done_is_finished() {
    let server = server();
    let failed = AtomicUsize::new(0);
    let proxy = AwsProxy::to(server.address(), move |action, body| {
        if action == "DeleteMessageBatch" && failed.fetch_add(1, Ordering::Relaxed) < 2 {
            return fail_entries(body, "InternalError", false, |entry| entry["Id"] != "1");
        }
        Fate::Pass
    });
    let proxy = proxy.await.expect("a proxy");
    let broker = made(options(server, proxy.address())).await;
    let queue = commands(&*broker).await;
    for number in 0..5 {
        queue.publish(0, text(number)).await.expect("publish");
    }
    let mut receiver = queue.open(0, None).await.expect("open");
    let got = receiver.receive(ReceiveLimit::default()).await.expect("receive");
    receiver.settle(got.last().expect("some").token).await.expect("settle");
    assert_eq!(queue.depth(0).await.expect("depth").messages, 0);
    assert_eq!(proxy.calls().get("DeleteMessageBatch"), Some(&3));
}

/// The formula of docs/queues-sqs.md: a message is sent, received and deleted; up to ten are received and deleted together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_as_few_as_the_documentation_says() {
    const FRAMES: usize = 200;
    let server = server();
    let proxy = AwsProxy::to(server.address(), |_, _| Fate::Pass).await.expect("a proxy");
    let broker = made(options(server, proxy.address())).await;
    let queue = commands(&*broker).await;
    let actions = ["SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch"];
    let count = || actions.map(|action| proxy.calls().get(action).copied().unwrap_or_default());
    for number in 0..FRAMES {
        queue.publish(0, text(number)).await.expect("publish");
    }
    let mut receiver = queue.open(0, None).await.expect("open");
    drain(&mut *receiver, &text(FRAMES - 1)).await;
    let backlog = count();
    eprintln!("calls for {FRAMES} frames from a backlog: {actions:?} {backlog:?}");
    assert_eq!(backlog, [200, 20, 20]);
    for number in 0..FRAMES {
        queue.publish(0, text(number)).await.expect("publish");
        drain(&mut *receiver, &text(number)).await;
    }
    let all = count();
    eprintln!(
        "calls for {FRAMES} frames received as they come: {actions:?} {:?}",
        [0, 1, 2].map(|n| all[n] - backlog[n])
    );
    assert_eq!(all, [400, 220, 220]);
}
