//! Clients that are slow, hang up or stay, and a gateway that goes.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use std::time::{Duration, Instant};

use common::{DEADLINE, Setup, TestGateway, eventually, parse};
use ronda_ingest_gateway::Config;
use ronda_queue::{Queue, ReceiveLimit};
use ronda_schemas::frame::{Frame, FrameKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn impatient() -> Setup {
    let config = Config {
        header_read_timeout_seconds: 1,
        body_read_timeout_seconds: 1,
        max_connections: 4,
        ..Config::default()
    };
    Setup { config, ..Setup::default() }
}

async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // A reset is as good an end as a close.
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("closed in time");
    answer
}

#[tokio::test]
async fn a_client_that_never_finishes_its_head_is_cut_off_and_others_get_their_turn() {
    let gateway = TestGateway::with(impatient()).await.ready().await;
    let mut slow = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(b"PUT /api/v1/schedulers/nightly/status HTTP/1.1\r\nHost: t\r\nX-Slow: ").await.unwrap();
        slow.push(stream);
    }
    let reply = gateway.send("GET", "/nowhere", &[], b"").await;
    assert_eq!(reply.status, 404, "served once the slow ones are gone");
    for stream in &mut slow {
        closed(stream).await;
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408() {
    let gateway = TestGateway::with(impatient()).await.ready().await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "PUT /api/v1/schedulers/nightly/status HTTP/1.1\r\nHost: t\r\nX-API-Key: {}\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{{",
        gateway.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    parse(&closed(&mut stream).await).is_problem(408, "request_timeout");
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let request = format!(
        "POST /api/v1/schedulers/nightly/heartbeat HTTP/1.1\r\nHost: t\r\nX-API-Key: {}\r\nContent-Length: 0\r\n\r\n",
        gateway.key
    );
    for _ in 0..3 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4_096];
        let read = tokio::time::timeout(DEADLINE, stream.read(&mut answer)).await.unwrap().unwrap();
        assert_eq!(parse(&answer[..read]).status, 202);
    }
}

#[tokio::test]
async fn going_ends_what_is_under_way_says_goodbye_and_takes_nothing_more() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    // One request whose body is still coming, and one connection that idles.
    let mut busy = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "PUT /api/v1/schedulers/nightly/status HTTP/1.1\r\nHost: t\r\nX-API-Key: {}\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n",
        gateway.key
    );
    busy.write_all(head.as_bytes()).await.unwrap();
    let mut idle = TcpStream::connect(gateway.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    gateway.stop.cancel();
    eventually(|| !gateway.health.readiness().ok).await;
    closed(&mut idle).await;
    busy.write_all(br#"{"status":"running"}"#).await.unwrap();
    assert_eq!(parse(&closed(&mut busy).await).status, 202, "a request under way is finished");
    tokio::time::timeout(DEADLINE, gateway.running).await.unwrap().unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(TcpStream::connect(gateway.address).await.is_err());
    for partition in 0..common::PARTITIONS {
        let mut receiver = gateway.queue.open(partition, None).await.unwrap();
        let frames = receiver.receive(ReceiveLimit::default()).await.unwrap();
        let kinds: Vec<_> = frames.iter().map(|delivery| Frame::decode(&delivery.message).unwrap().header).collect();
        assert_eq!(kinds.first().map(|header| header.kind), Some(FrameKind::Join));
        assert_eq!(kinds.last().map(|header| header.kind), Some(FrameKind::Leave));
        assert!(kinds.iter().zip(1..).all(|(header, number)| header.number == number), "numbered without a hole");
    }
}
