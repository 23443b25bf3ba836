//! Servers that come back with less than they confirmed: their data was put back from a copy, or a crash of the machine took the end of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use bytes::Bytes;
use ronda_queue::{Broker, Delivery, Queue, QueueErrorKind, ReceiveLimit, Receiver, Role, connect};
use ronda_testbed::{Link, Mode, Nats, NatsOptions};

use super::{broker, options, server};

/// A queue whose server had ten messages, of which it has lost the last five; all ten were read.
struct RolledBack {
    server: Nats,
    /// Between the queue and the server. It is cut.
    link: Link,
    broker: Arc<dyn Broker>,
    queue: Arc<dyn Queue>,
    /// Of the partition 0.
    receiver: Box<dyn Receiver>,
    /// Of the others: with them the process reads the stream once for all.
    _others: Vec<Box<dyn Receiver>>,
    last: Delivery,
}

impl RolledBack {
    async fn make(is_read_as_a_whole: bool) -> Self {
        let mut server = server(&NatsOptions { sync_always: true, ..NatsOptions::default() });
        let link = Link::to(server.address()).await.expect("a link");
        let broker = broker(options(format!("nats://{}", link.address()))).await;
        let queue = broker.queue(Role::Commands).await.expect("queue");
        let mut receiver = queue.open(0, None).await.expect("open");
        let mut others = Vec::new();
        for partition in 1..if is_read_as_a_whole { 4 } else { 1 } {
            others.push(queue.open(partition, None).await.expect("open"));
        }
        let copies = tempfile::tempdir().expect("a directory");
        let copy = copies.path().join("data");
        let mut got = Vec::new();
        for number in 0..10 {
            if number == 5 {
                server.server().kill();
                copied(&server.data(), &copy);
                server.server().restart().expect("the server is back");
            }
            until_published(&*queue, &format!("{number}")).await;
            while got.len() <= number {
                got.extend(receive(&mut *receiver).await.expect("receive"));
            }
        }
        link.set(Mode::Cut);
        server.server().kill();
        std::fs::remove_dir_all(server.data()).expect("remove");
        copied(&copy, &server.data());
        server.server().restart().expect("the server is back");
        let last = got.pop().expect("ten");
        Self { server, link, broker, queue, receiver, _others: others, last }
    }

    /// What others publish meanwhile, who know nothing of it.
    async fn grow(&self, count: usize) {
        let client = async_nats::connect(self.server.url()).await.expect("connect");
        let client = jetstream::new(client);
        for number in 0..count {
            let published = client.publish(format!("ronda.p.{}.acme", number % 4), "new".into()).await;
            published.expect("publish").await.expect("confirmation");
        }
    }

    async fn messages(&self) -> u64 {
        let client = jetstream::new(async_nats::connect(self.server.url()).await.expect("connect"));
        client.get_stream("RONDA_COMMANDS").await.expect("stream").cached_info().state.messages
    }
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copied(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copy");
        }
    }
}

async fn receive(receiver: &mut dyn Receiver) -> Result<Vec<Delivery>, ronda_queue::QueueError> {
    let got = tokio::time::timeout(Duration::from_secs(60), receiver.receive(ReceiveLimit::default()));
    got.await.expect("in time")
}

async fn until_published(queue: &dyn Queue, text: &str) {
    let published = async {
        while let Err(error) = queue.publish(0, Bytes::from(text.to_owned())).await {
            assert!(error.retryable, "{error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), published).await.expect("in time");
}

/// What others added before anybody looked has taken the places of what was lost: the end of the stream tells nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_passed_over_or_purged_where_a_stream_was_rolled_back_and_grew_again() {
    for is_read_as_a_whole in [false, true] {
        grown_again(RolledBack::make(is_read_as_a_whole).await).await;
    }
}

async fn grown_again(mut back: RolledBack) {
    // Not purged before the link was cut.
    back.receiver.settle(back.last.token).await.expect("settle");
    back.grow(20).await;
    back.link.set(Mode::Pass);
    let error = receive(&mut *back.receiver).await.expect_err("other messages have these places now");
    assert_eq!((error.kind, error.retryable), (QueueErrorKind::PositionAhead, false), "{error}");
    assert!(error.message.contains("rolled back") && error.message.contains("docs/reliability.md"), "{error}");
    // It stays so, whoever asks.
    let error = back.queue.open(0, back.last.position).await.err().expect("no receiver");
    assert_eq!(error.kind, QueueErrorKind::PositionAhead, "{error}");
    assert_eq!(back.queue.depth(1).await.expect_err("no depth").kind, QueueErrorKind::PositionAhead);
    let error = back.queue.publish(1, Bytes::from_static(b"x")).await.expect_err("nobody would read it");
    assert_eq!(error.kind, QueueErrorKind::PositionAhead, "{error}");
    back.broker.close().await;
    assert_eq!(back.messages().await, 25, "five that were there, and twenty that nobody has read");
}

/// Whoever publishes notices it by the place that a message gets, and confirms nothing that a reader would pass over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_confirmed_to_a_stream_that_gives_places_a_second_time() {
    let mut back = RolledBack::make(false).await;
    back.link.set(Mode::Pass);
    let refused = async {
        loop {
            match back.queue.publish(2, Bytes::from_static(b"x")).await {
                Err(error) if error.retryable => tokio::time::sleep(Duration::from_millis(10)).await,
                other => return other,
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(60), refused).await.expect("in time");
    let error = refused.expect_err("it got a place that was another's");
    assert_eq!((error.kind, error.retryable), (QueueErrorKind::PositionAhead, false), "{error}");
    back.grow(20).await;
    let error = receive(&mut *back.receiver).await.expect_err("still");
    assert_eq!(error.kind, QueueErrorKind::PositionAhead, "{error}");
    back.broker.close().await;
}

/// What docs/reliability.md says to do: emptied by a purge behind the position, it counts on from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_behind_the_position_makes_it_usable() {
    let back = RolledBack::make(false).await;
    back.link.set(Mode::Pass);
    let told = async {
        loop {
            match back.queue.depth(0).await {
                Err(error) if error.retryable => tokio::time::sleep(Duration::from_millis(10)).await,
                other => return other,
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(60), told).await.expect("in time");
    let error = told.expect_err("it ends before what was read");
    assert_eq!(error.kind, QueueErrorKind::PositionAhead, "{error}");
    assert!(error.message.contains("ends at 5, and had come to 10"), "{error}");
    back.broker.close().await;
    let broker = connect(options(back.server.url())).await.expect("connect");
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let position = back.last.position.expect("a log");
    let error = queue.open(0, Some(position)).await.err().expect("behind its end");
    assert_eq!((error.kind, error.retryable), (QueueErrorKind::PositionAhead, false), "{error}");
    let client = jetstream::new(async_nats::connect(back.server.url()).await.expect("connect"));
    let stream = client.get_stream("RONDA_COMMANDS").await.expect("stream");
    stream.purge().sequence(position.0 + 1).await.expect("purge");
    let mut receiver = queue.open(0, Some(position)).await.expect("open");
    let published = queue.publish(0, Bytes::from_static(b"new")).await.expect("publish").position;
    assert_eq!(published.map(|published| published.0), Some(position.0 + 1));
    let got = receive(&mut *receiver).await.expect("receive");
    assert_eq!(got.first().map(|delivery| &delivery.message[..]), Some(&b"new"[..]));
    broker.close().await;
}

/// A server that comes back with all that it had is used on, also when all of it was purged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lost_nothing_is_used_on() {
    let mut server = server(&NatsOptions { sync_always: true, ..NatsOptions::default() });
    let broker = broker(options(server.url())).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let mut receiver = queue.open(0, None).await.expect("open");
    for round in 0..3 {
        until_published(&*queue, "x").await;
        let got = receive(&mut *receiver).await.expect("receive");
        if round > 0 {
            receiver.settle(got.last().expect("some").token).await.expect("settle");
        }
        server.server().kill();
        server.server().restart().expect("the server is back");
    }
    until_published(&*queue, "y").await;
    let got = receive(&mut *receiver).await.expect("receive");
    assert_eq!(got.last().map(|delivery| &delivery.message[..]), Some(&b"y"[..]));
    broker.close().await;
}
