//! Messages that others put onto a partition's queue, as any client of SQS does.

use std::time::Duration;

use bytes::Bytes;
use ronda_queue::{Delivery, ReceiveLimit, Receiver};
use serde_json::{Value, json};

use super::topology::{call, url};
use super::{VISIBILITY_SECONDS, commands, made, options, server};

async fn receive(receiver: &mut dyn Receiver) -> Vec<Delivery> {
    tokio::time::timeout(Duration::from_secs(30), receiver.receive(ReceiveLimit::default()))
        .await
        .expect("in time")
        .expect("receive")
}

fn text(value: &str) -> Value {
    json!({"DataType": "String", "StringValue": value})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_and_base64_come_as_they_were_meant_with_their_attributes() {
    let server = server();
    let options = options(server, server.address());
    let broker = made(options.clone()).await;
    let queue = commands(&*broker).await;
    let name = format!("{}-commands-1.fifo", options.prefix);
    let report = r#"{"type":"heartbeat","scheduler_id":"nightly","note":"é"}"#;
    let messages = [
        (
            report,
            json!({"X-Api-Key": text("k"), "Content-Type": text("application/json"), "raw": {"DataType": "Binary", "BinaryValue": "AAE="}}),
        ),
        ("gaJ4AQ==", json!({"Content-Transfer-Encoding": text("BASE64")})),
        ("gaJ4AQ==", json!({"content-transfer-encoding": text("base64")})),
        ("not base64!", json!({"content-transfer-encoding": text("base64")})),
        ("not a frame!", json!({"ronda-frame": text("1")})),
    ];
    for (number, (body, attributes)) in messages.iter().enumerate() {
        let message = json!({
            "QueueUrl": url(server.address(), &name), "MessageBody": body, "MessageAttributes": attributes,
            "MessageGroupId": "ronda", "MessageDeduplicationId": format!("{number}"),
        });
        call(server.address(), "SendMessage", message).await;
    }
    let mut receiver = queue.open(1, None).await.expect("open");
    let got = receive(&mut *receiver).await;
    let bodies: Vec<_> = got.iter().map(|delivery| delivery.message.clone()).collect();
    let packed = Bytes::from_static(b"\x81\xa2x\x01");
    assert_eq!(
        bodies,
        [Bytes::from(report), packed.clone(), packed, Bytes::from("not base64!"), Bytes::from("not a frame!")]
    );
    let origins: Vec<_> = got.iter().map(|delivery| delivery.origin.as_deref().expect("direct")).collect();
    assert!(origins.iter().all(|origin| origin.source == name && origin.tenant.is_none()));
    let headers = [("content-type", "application/json"), ("x-api-key", "k")];
    assert_eq!(origins[0].headers, headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let mut ids: Vec<_> = origins.iter().map(|origin| origin.message_id.clone().expect("an id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5, "each has an id of its own");
}

/// A receiver whose own hold ran out does not give out what may be somebody else's by now: it asks again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_kept_comes_again_in_order() {
    let server = server();
    let link = ronda_testbed::Link::to(server.address()).await.expect("a link");
    let broker = made(options(server, link.address())).await;
    let queue = commands(&*broker).await;
    for number in 0..6_u8 {
        queue.publish(0, Bytes::from(vec![number])).await.expect("publish");
    }
    let mut receiver = queue.open(0, None).await.expect("open");
    let limit = ReceiveLimit { messages: 2, ..ReceiveLimit::default() };
    let first = receiver.receive(limit).await.expect("receive");
    assert_eq!(first.len(), 2);
    link.set(ronda_testbed::Mode::Cut);
    // The thing itself: so long nobody can extend them.
    tokio::time::sleep(Duration::from_secs(u64::from(VISIBILITY_SECONDS) + 1)).await;
    link.set(ronda_testbed::Mode::Pass);
    let again = receive(&mut *receiver).await;
    let numbers: Vec<_> = again.iter().map(|delivery| delivery.message[0]).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
    assert!(again.iter().all(|delivery| delivery.redelivered));
    // The old delivery's token is an old one: it settles nothing of the new.
    receiver.settle(first[1].token).await.expect("an old token");
    assert_eq!(queue.depth(0).await.expect("depth").messages, 6);
    receiver.settle(again[5].token).await.expect("settle");
    assert_eq!(queue.depth(0).await.expect("depth").messages, 0);
}

/// Who reads waits an outage out, however long it is: to be taken up again costs its owner the whole of its state, and longer and longer waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receive_waits_an_outage_out() {
    let server = server();
    let link = ronda_testbed::Link::to(server.address()).await.expect("a link");
    let broker = made(options(server, link.address())).await;
    let queue = commands(&*broker).await;
    let mut receiver = queue.open(0, None).await.expect("open");
    link.set(ronda_testbed::Mode::Cut);
    // The thing itself: longer than any other call tries.
    let limit = ReceiveLimit::default();
    let outage = tokio::time::timeout(Duration::from_secs(9), receiver.receive(limit)).await;
    assert!(outage.is_err(), "it gave up: {outage:?}");
    link.set(ronda_testbed::Mode::Pass);
    queue.publish(0, Bytes::from_static(b"after it")).await.expect("publish");
    assert_eq!(receive(&mut *receiver).await[0].message, Bytes::from_static(b"after it"));
}
