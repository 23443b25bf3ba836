//! Making, checking and repartitioning the queues.

use std::net::SocketAddr;

use bytes::Bytes;
use ronda_queue::{BrokerOptions, QueueErrorKind, ReceiveLimit, Role, connect};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{commands, made, options, server};

/// One call as any client makes it.
pub(crate) async fn call(server: SocketAddr, action: &str, body: Value) -> Value {
    let body = body.to_string();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {server}\r\nx-amz-target: AmazonSQS.{action}\r\ncontent-type: application/x-amz-json-1.0\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(server).await.expect("connect");
    stream.write_all(request.as_bytes()).await.expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{action}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).unwrap_or_default()
}

pub(crate) fn url(server: SocketAddr, queue: &str) -> String {
    format!("http://{server}/000000000000/{queue}")
}

pub(crate) async fn delete_queue(server: SocketAddr, queue: &str) {
    call(server, "DeleteQueue", json!({"QueueUrl": url(server, queue)})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn init_makes_what_is_missing_and_nothing_else() {
    let server = server();
    let options = options(server, server.address());
    let broker = connect(options.clone()).await.expect("connect");
    let error = broker.queue(Role::Commands).await.map(|_| ()).expect_err("nothing is there");
    assert!(error.kind == QueueErrorKind::Mismatch && error.message.contains("ronda queue init"), "{error}");
    let missing = broker.check().await.expect("check").findings;
    assert_eq!(missing.len(), 6, "four of commands, one of events, one of dead letters: {missing:?}");
    assert!(missing.iter().all(|finding| finding.mendable));
    assert_eq!(broker.init().await.expect("init").len(), 6);
    assert_eq!(broker.check().await.expect("check").findings, []);
    let queue = commands(&*broker).await;
    queue.publish(0, Bytes::from_static(b"kept")).await.expect("publish");
    assert_eq!(broker.init().await.expect("init again"), []);
    assert_eq!(queue.depth(0).await.expect("depth").messages, 1);
    // One that somebody deleted is made again.
    delete_queue(server.address(), &format!("{}-commands-2.fifo", options.prefix)).await;
    let missing = broker.check().await.expect("check").findings;
    assert_eq!(missing.len(), 1, "{missing:?}");
    assert_eq!(missing[0].place, format!("{}-commands-2.fifo", options.prefix));
    assert_eq!(broker.init().await.expect("init").len(), 1);
    assert_eq!(broker.check().await.expect("check").findings, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_partitions_is_refused_with_the_way_out() {
    let server = server();
    let four = options(server, server.address());
    made(four.clone()).await;
    let eight = connect(BrokerOptions { partitions: 8, ..four.clone() }).await.expect("connect");
    for error in [eight.init().await.map(|_| ()), eight.queue(Role::Commands).await.map(|_| ())] {
        let error = error.expect_err("it was made with four");
        assert_eq!(error.kind, QueueErrorKind::Mismatch);
        assert!(error.message.contains("4 partitions") && error.message.contains("ronda queue repartition"), "{error}");
    }
    let findings = eight.check().await.expect("check").findings;
    assert!(
        findings.iter().any(|finding| !finding.mendable && finding.detail.contains("4 partitions")),
        "{findings:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_way_of_the_promises_is_found() {
    let server = server();
    let options = options(server, server.address());
    let broker = made(options.clone()).await;
    let name = format!("{}-commands-1.fifo", options.prefix);
    let attributes = json!({"DelaySeconds": "3"});
    let body = json!({"QueueUrl": url(server.address(), &name), "Attributes": attributes});
    call(server.address(), "SetQueueAttributes", body).await;
    let findings = broker.check().await.expect("check").findings;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].place == name && findings[0].detail.contains("DelaySeconds") && !findings[0].mendable);
    assert!(!findings[0].stops, "{findings:?}");
    // Late, and nothing is lost.
    broker.queue(Role::Commands).await.expect("usable");
}

/// What SQS puts elsewhere after some receives is lost to whoever reads, so nothing is started on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_takes_messages_away_is_refused() {
    let server = server();
    let options = options(server, server.address());
    let broker = made(options.clone()).await;
    let elsewhere = format!("{}-elsewhere.fifo", options.prefix);
    let body = json!({"QueueName": elsewhere, "Attributes": {"FifoQueue": "true"}});
    call(server.address(), "CreateQueue", body).await;
    let name = format!("{}-commands-1.fifo", options.prefix);
    let asked = json!({"QueueUrl": url(server.address(), &elsewhere), "AttributeNames": ["QueueArn"]});
    let target = call(server.address(), "GetQueueAttributes", asked).await["Attributes"]["QueueArn"].clone();
    let policy = json!({"deadLetterTargetArn": target, "maxReceiveCount": 5}).to_string();
    let body = json!({"QueueUrl": url(server.address(), &name), "Attributes": {"RedrivePolicy": policy}});
    call(server.address(), "SetQueueAttributes", body).await;
    let findings = broker.check().await.expect("check").findings;
    assert!(
        matches!(&findings[..], [found] if found.place == name && found.stops && found.detail.contains("redrive")),
        "{findings:?}"
    );
    for refused in [broker.queue(Role::Commands).await.map(|_| ()), broker.init().await.map(|_| ())] {
        let error = refused.expect_err("it takes messages away");
        assert_eq!((error.kind, error.retryable), (QueueErrorKind::Mismatch, false));
        assert!(error.message.contains(&name) && error.message.contains("redrive"), "{error}");
    }
    broker.queue(Role::Events).await.expect("the events are as they shall be");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repartitioning_waits_until_everything_is_settled() {
    let server = server();
    let four = options(server, server.address());
    let broker = made(four.clone()).await;
    let queue = commands(&*broker).await;
    queue.publish(3, Bytes::from_static(b"unsettled")).await.expect("publish");
    let error = broker.repartition(8).await.expect_err("it is not drained");
    assert!(error.kind == QueueErrorKind::Mismatch && error.message.contains("-commands-3.fifo"), "{error}");
    let mut receiver = queue.open(3, None).await.expect("open");
    let got = receiver.receive(ReceiveLimit::default()).await.expect("receive");
    receiver.settle(got[0].token).await.expect("settle");
    for partitions in [8, 2, 4] {
        broker.repartition(partitions).await.expect("repartition");
        assert_eq!(commands(&*broker).await.partitions(), partitions);
        let fresh = connect(BrokerOptions { partitions, ..four.clone() }).await.expect("connect");
        assert_eq!(fresh.check().await.expect("check").findings, []);
        let queue = commands(&*fresh).await;
        queue.publish(partitions - 1, Bytes::from_static(b"x")).await.expect("publish");
        let mut receiver = queue.open(partitions - 1, None).await.expect("open");
        let got = receiver.receive(ReceiveLimit::default()).await.expect("receive");
        receiver.settle(got[0].token).await.expect("settle");
    }
}
