//! What is made on the server, and what is refused.

use async_nats::jetstream;
use bytes::Bytes;
use ronda_queue::{BrokerOptions, Origin, QueueErrorKind, ReceiveLimit, Role, connect};
use ronda_testbed::NatsOptions;

use super::{broker, options, server};

#[tokio::test]
async fn init_makes_everything_once_and_check_finds_nothing_then() {
    let server = server(&NatsOptions::default());
    let broker = connect(options(server.url())).await.expect("connect");
    let missing = broker.check().await.expect("check").findings;
    assert_eq!(missing.len(), 3);
    assert!(missing.iter().all(|finding| finding.mendable && finding.detail.contains("ronda queue init")));
    let error = broker.queue(Role::Events).await.err().expect("no queue yet");
    assert_eq!(error.kind, QueueErrorKind::Mismatch);
    let made = broker.init().await.expect("init");
    let places: Vec<_> = made.iter().map(|finding| finding.place.as_str()).collect();
    assert_eq!(places, ["stream RONDA_COMMANDS", "stream RONDA_EVENTS", "stream RONDA_DEAD_LETTERS"]);
    assert_eq!(broker.init().await.expect("init again"), []);
    assert_eq!(broker.check().await.expect("check").findings, []);
    for role in Role::ALL {
        let queue = broker.queue(role).await.expect("queue");
        assert_eq!(queue.capabilities().direct, role == Role::Commands);
        assert_eq!(queue.capabilities().refuses_when_full, role != Role::DeadLetters);
        for partition in 0..queue.partitions() {
            queue.publish(partition, Bytes::from_static(b"x")).await.expect("publish");
        }
    }
    broker.close().await;
    let error = connect(options(String::from("nats://127.0.0.1:1"))).await.err().expect("nobody there");
    assert_eq!((error.kind, error.retryable), (QueueErrorKind::Unavailable, true));
}

#[tokio::test]
async fn another_number_of_partitions_is_refused_until_the_queue_is_repartitioned() {
    let server = server(&NatsOptions::default());
    let broker = broker(options(server.url())).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let first = queue.publish(3, Bytes::from_static(b"x")).await.expect("publish").position;

    let other = connect(BrokerOptions { partitions: 8, ..options(server.url()) }).await.expect("connect");
    for error in [other.init().await.err(), other.queue(Role::Commands).await.err()] {
        let error = error.expect("made for 4 partitions");
        assert_eq!(error.kind, QueueErrorKind::Mismatch);
        assert!(error.message.contains("for 4 partitions") && error.message.contains("repartition"), "{error}");
    }
    let error = other.repartition(8).await.expect_err("not empty");
    assert!(error.message.contains("1 messages"), "{error}");

    let mut receiver = queue.open(3, None).await.expect("open");
    let got = receiver.receive(ReceiveLimit::default()).await.expect("receive");
    receiver.settle(got[0].token).await.expect("settle");
    drop((receiver, queue));
    broker.repartition(8).await.expect("drained");
    broker.close().await;
    assert_eq!(other.check().await.expect("check").findings, []);
    let queue = other.queue(Role::Commands).await.expect("queue");
    let next = queue.publish(7, Bytes::from_static(b"y")).await.expect("publish").position;
    assert!(next > first, "positions go on: {next:?} after {first:?}");
    other.close().await;
}

#[tokio::test]
async fn a_stream_of_somebody_else_is_not_taken() {
    let server = server(&NatsOptions::default());
    let client = async_nats::connect(server.url()).await.expect("connect");
    let theirs = jetstream::stream::Config {
        name: String::from("RONDA_EVENTS"),
        subjects: vec![String::from("theirs")],
        ..jetstream::stream::Config::default()
    };
    jetstream::new(client).create_stream(theirs).await.expect("their stream");
    let broker = connect(options(server.url())).await.expect("connect");
    let error = broker.init().await.expect_err("not ours");
    assert_eq!(error.kind, QueueErrorKind::Mismatch);
    assert!(error.message.contains("RONDA_EVENTS") && error.message.contains("prefix"), "{error}");
    let findings = broker.check().await.expect("check").findings;
    assert!(findings.iter().any(|finding| finding.place == "stream RONDA_EVENTS" && !finding.mendable));
    broker.close().await;
}

/// FNV-1a 32 of tenant and scheduler without anything between them, as the docs give it to publishers in other languages.
fn partition_of(tenant: &str, scheduler: &str, partitions: u32) -> u32 {
    let hash = tenant
        .bytes()
        .chain(scheduler.bytes())
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % partitions
}

#[tokio::test]
async fn direct_messages_come_out_of_the_partition_that_everybody_computes() {
    const COUNT: usize = 200;
    let server = server(&NatsOptions::default());
    let broker = broker(options(server.url())).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let client = jetstream::new(async_nats::connect(server.url()).await.expect("connect"));
    let mut expected = vec![Vec::new(); 4];
    for number in 0..COUNT {
        let (tenant, scheduler) = (format!("tenant-{}", number % 7), format!("job_{number}"));
        let subject = format!("ronda.in.{tenant}.{scheduler}");
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("id-{number}"));
        headers.insert("X-Trace", "abc");
        let published = client.publish_with_headers(subject, headers, scheduler.clone().into()).await.expect("publish");
        published.await.expect("confirmation");
        let partition = partition_of(&tenant, &scheduler, 4) as usize;
        expected[partition].push((tenant, scheduler, format!("id-{number}")));
    }
    queue.publish(0, Bytes::from_static(b"a frame")).await.expect("publish");
    for (partition, expected) in (0_u32..).zip(expected) {
        let mut receiver = queue.open(partition, None).await.expect("open");
        let mut got = Vec::new();
        while got.len() < expected.len() {
            got.extend(receiver.receive(ReceiveLimit::default()).await.expect("receive"));
        }
        if partition == 0 {
            assert!(got.pop().expect("the frame").origin.is_none(), "a frame has no origin");
        }
        for (delivery, (tenant, scheduler, id)) in got.into_iter().zip(expected) {
            assert_eq!(delivery.message, scheduler);
            let origin = *delivery.origin.expect("a direct message");
            assert_eq!(
                origin,
                Origin {
                    source: format!("ronda.p.{partition}.{tenant}"),
                    published_ms: None,
                    tenant: Some(tenant),
                    message_id: Some(id),
                    headers: vec![(String::from("x-trace"), String::from("abc"))],
                }
            );
        }
    }
    broker.close().await;
}

#[tokio::test]
async fn a_dead_letter_can_be_put_back_as_it_came() {
    let server = server(&NatsOptions::default());
    let broker = broker(options(server.url())).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let mut receiver = queue.open(2, None).await.expect("open");
    for (tenant, id) in [(Some("acme"), Some("id-1")), (Some("acme"), Some("id-1")), (None, None)] {
        let origin = Origin {
            tenant: tenant.map(str::to_owned),
            message_id: id.map(str::to_owned),
            headers: vec![
                (String::from("ce-id"), String::from("7")),
                (String::from("content-type"), String::from("a/b")),
            ],
            source: format!("ronda.p.2.{}", tenant.unwrap_or("~")),
            published_ms: None,
        };
        queue.publish_direct(2, Bytes::from_static(b"{}"), &origin).await.expect("publish");
        let got = receiver.receive(ReceiveLimit::default()).await.expect("receive");
        assert_eq!(got[0].origin.as_deref(), Some(&origin));
    }
    let orders = Origin { headers: vec![(String::from("nats-rollup"), String::from("all"))], ..Origin::default() };
    queue.publish_direct(2, Bytes::from_static(b"{}"), &orders).await.expect("publish");
    assert_eq!(queue.depth(2).await.expect("depth").messages, 4, "the server took a header as an order");
    let events = broker.queue(Role::Events).await.expect("queue");
    let error = events.publish_direct(0, Bytes::new(), &Origin::default()).await.expect_err("not direct");
    assert_eq!(error.kind, QueueErrorKind::Unsupported);
    broker.close().await;
}

/// A stream that somebody changed so that it can lose what nobody has processed is refused, by a check as well as by a start.
#[tokio::test]
async fn a_stream_that_can_lose_what_is_not_processed_is_refused() {
    let server = server(&NatsOptions::default());
    let broker = broker(options(server.url())).await;
    let client = jetstream::new(async_nats::connect(server.url()).await.expect("connect"));
    let made = client.get_stream("RONDA_COMMANDS").await.expect("stream").cached_info().config.clone();
    let aged = jetstream::stream::Config { max_age: std::time::Duration::from_secs(3_600), ..made.clone() };
    let dropping = jetstream::stream::Config { discard: jetstream::stream::DiscardPolicy::Old, ..made.clone() };
    for (lossy, word) in [(aged, "max_age"), (dropping, "discard")] {
        client.update_stream(lossy).await.expect("update");
        let findings = broker.check().await.expect("check").findings;
        assert!(
            matches!(&findings[..], [found] if !found.mendable && found.stops && found.detail.contains(word)),
            "{findings:?}"
        );
        for error in [broker.init().await.err(), broker.queue(Role::Commands).await.err()] {
            let error = error.expect("it can lose messages");
            assert_eq!((error.kind, error.retryable), (QueueErrorKind::Mismatch, false));
            assert!(error.message.contains("RONDA_COMMANDS") && error.message.contains(word), "{error}");
        }
    }
    client.update_stream(made).await.expect("update");
    broker.queue(Role::Commands).await.expect("as it was");
    broker.close().await;
}

/// Where the server takes no more consumers, a receiver says so at once rather than wait for one.
#[tokio::test]
async fn a_stream_that_takes_no_more_consumers_is_told() {
    let server = server(&NatsOptions::default());
    let broker = broker(options(server.url())).await;
    let client = jetstream::new(async_nats::connect(server.url()).await.expect("connect"));
    let made = client.get_stream("RONDA_EVENTS").await.expect("stream").cached_info().config.clone();
    client.delete_stream("RONDA_EVENTS").await.expect("delete");
    client.create_stream(jetstream::stream::Config { max_consumers: 1, ..made }).await.expect("make");
    let findings = broker.check().await.expect("check").findings;
    assert!(matches!(&findings[..], [found] if found.detail.contains("max_consumers") && !found.stops), "{findings:?}");
    let queue = broker.queue(Role::Events).await.expect("queue");
    let _first = queue.open(0, None).await.expect("open");
    let error = queue.open(1, None).await.err().expect("one too many");
    assert_eq!((error.kind, error.retryable), (QueueErrorKind::Mismatch, false), "{error}");
    assert!(error.message.contains("consumers"), "{error}");
    broker.close().await;
}
