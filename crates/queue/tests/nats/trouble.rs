//! Servers that die, stand still, or lose what they were to keep.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use bytes::Bytes;
use ronda_queue::{Queue, QueueErrorKind, ReceiveLimit, Receiver, Role, connect};
use ronda_testbed::{Link, Mode, NatsOptions};

use super::{broker, options, server};

/// Receives so many messages, and answers them as text.
async fn texts(receiver: &mut dyn Receiver, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let got = receiver.receive(ReceiveLimit::default());
        let got = tokio::time::timeout(Duration::from_secs(60), got).await.expect("in time").expect("receive");
        all.extend(got.iter().map(|delivery| String::from_utf8_lossy(&delivery.message).into_owned()));
    }
    all
}

async fn publish(queue: &dyn Queue, partition: u32, text: &str) {
    queue.publish(partition, Bytes::from(text.to_owned())).await.expect("publish");
}

/// Publishes until it works; answers how long that took.
async fn until_published(queue: &Arc<dyn Queue>, text: &str) -> Duration {
    let begin = Instant::now();
    while let Err(error) = queue.publish(0, Bytes::from(text.to_owned())).await {
        assert_eq!((error.kind, error.retryable), (QueueErrorKind::Unavailable, true), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(60), "never again: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    begin.elapsed()
}

#[tokio::test]
async fn a_killed_server_is_missed_at_once_and_found_again_when_it_is_back() {
    let mut server = server(&NatsOptions { sync_always: true, ..NatsOptions::default() });
    let broker = broker(options(server.url())).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let mut receiver = queue.open(0, None).await.expect("open");
    publish(&*queue, 0, "0").await;
    assert_eq!(texts(&mut *receiver, 1).await, ["0"]);
    for round in 1..=3 {
        publish(&*queue, 0, &format!("before {round}")).await;
        server.server().kill();
        let begin = Instant::now();
        let error = queue.publish(0, Bytes::from_static(b"lost")).await.expect_err("nobody there");
        assert_eq!((error.kind, error.retryable), (QueueErrorKind::Unavailable, true));
        assert!(error.retry_after.is_some() && begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
        server.server().restart().expect("the server is back");
        let back = until_published(&queue, &format!("after {round}")).await;
        assert!(back < Duration::from_secs(2), "round {round}: published again after {back:?}");
        let begin = Instant::now();
        let got: Vec<_> = texts(&mut *receiver, 2).await.into_iter().filter(|text| text != "lost").collect();
        assert_eq!(got, [format!("before {round}"), format!("after {round}")]);
        assert!(begin.elapsed() < Duration::from_secs(2), "round {round}: received again after {:?}", begin.elapsed());
    }
    broker.close().await;
}

#[tokio::test]
async fn a_lost_confirmation_ends_in_time_and_the_message_is_there() {
    let server = server(&NatsOptions::default());
    let link = Link::to(server.address()).await.expect("a link");
    let broker = broker(options(format!("nats://{}", link.address()))).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    publish(&*queue, 0, "0").await;
    link.set(Mode::LoseAnswers);
    let begin = Instant::now();
    let error = queue.publish(0, Bytes::from_static(b"1")).await.expect_err("no answer");
    assert_eq!((error.kind, error.retryable), (QueueErrorKind::Unavailable, true));
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    link.set(Mode::Cut);
    let waiting = until_published(&queue, "2");
    let back = async {
        // Nothing to wait for: the client tries to connect and fails until then.
        tokio::time::sleep(Duration::from_millis(300)).await;
        link.set(Mode::Pass);
    };
    tokio::join!(waiting, back);
    let mut receiver = queue.open(0, None).await.expect("open");
    assert_eq!(texts(&mut *receiver, 3).await, ["0", "1", "2"]);
    broker.close().await;
}

#[tokio::test]
async fn a_reader_goes_on_behind_a_link_that_stood_still() {
    let server = server(&NatsOptions::default());
    let link = Link::to(server.address()).await.expect("a link");
    let direct = broker(options(server.url())).await;
    let broker = connect(options(format!("nats://{}", link.address()))).await.expect("connect");
    let publishing = direct.queue(Role::Commands).await.expect("queue");
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let mut receiver = queue.open(0, None).await.expect("open");
    publish(&*publishing, 0, "0").await;
    assert_eq!(texts(&mut *receiver, 1).await, ["0"]);
    link.set(Mode::Freeze);
    let expected: Vec<_> = (1..=20).map(|n| n.to_string()).collect();
    for text in &expected {
        publish(&*publishing, 0, text).await;
    }
    // Long enough to lose the consumer and the connection: this is how long the client takes to notice.
    let none = tokio::time::timeout(Duration::from_secs(8), receiver.receive(ReceiveLimit::default())).await;
    assert!(none.is_err(), "nothing comes through");
    link.set(Mode::Pass);
    assert_eq!(texts(&mut *receiver, 20).await, expected);
    broker.close().await;
    direct.close().await;
}

#[tokio::test]
async fn a_consumer_that_was_deleted_is_made_again() {
    let server = server(&NatsOptions::default());
    let broker = broker(options(server.url())).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let mut receiver = queue.open(0, None).await.expect("open");
    let client = jetstream::new(async_nats::connect(server.url()).await.expect("connect"));
    let stream = client.get_stream("RONDA_COMMANDS").await.expect("stream");
    for round in 0..3 {
        publish(&*queue, 0, &format!("{round}")).await;
        assert_eq!(texts(&mut *receiver, 1).await, [format!("{round}")]);
        let mut names = stream.consumer_names();
        while let Some(name) = futures::StreamExt::next(&mut names).await {
            stream.delete_consumer(&name.expect("name")).await.expect("delete");
        }
    }
    broker.close().await;
}

#[tokio::test]
async fn a_stream_that_was_made_anew_is_noticed() {
    let server = server(&NatsOptions::default());
    let broker = broker(options(server.url())).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let mut receiver = queue.open(0, None).await.expect("open");
    for number in 0..10 {
        publish(&*queue, 0, &format!("{number}")).await;
    }
    let mut got = Vec::new();
    while got.len() < 10 {
        got.extend(receiver.receive(ReceiveLimit::default()).await.expect("receive"));
    }
    let client = jetstream::new(async_nats::connect(server.url()).await.expect("connect"));
    client.delete_stream("RONDA_COMMANDS").await.expect("delete");
    let error = queue.publish(0, Bytes::from_static(b"x")).await.expect_err("no stream");
    assert_eq!((error.kind, error.retryable), (QueueErrorKind::Unavailable, true), "{error}");
    // Not purged before the stream was gone, and not to be purged in the new one.
    receiver.settle(got.last().expect("some").token).await.expect("settle");
    broker.init().await.expect("init");
    let error = queue.publish(0, Bytes::from_static(b"new")).await.expect_err("nobody would read it");
    assert_eq!((error.kind, error.retryable), (QueueErrorKind::PositionAhead, false), "{error}");
    let next = tokio::time::timeout(Duration::from_secs(30), receiver.receive(ReceiveLimit::default())).await;
    // The stream may have been looked for while it was not there.
    let error = match next.expect("an answer").expect_err("another stream") {
        error if error.kind == QueueErrorKind::Mismatch => {
            receiver.receive(ReceiveLimit::default()).await.expect_err("another stream")
        }
        error => error,
    };
    assert_eq!((error.kind, error.retryable), (QueueErrorKind::PositionAhead, false), "{error}");
    broker.close().await;
    let broker = connect(options(server.url())).await.expect("connect");
    let queue = broker.queue(Role::Commands).await.expect("queue");
    assert_eq!(texts(&mut *queue.open(0, None).await.expect("open"), 1).await, ["new"]);
    broker.close().await;
}

#[tokio::test]
async fn what_is_settled_is_purged_and_nothing_else() {
    let server = server(&NatsOptions::default());
    let broker = broker(options(server.url())).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let client = jetstream::new(async_nats::connect(server.url()).await.expect("connect"));
    let stream = client.get_stream("RONDA_COMMANDS").await.expect("stream");
    let mut receivers = Vec::new();
    for partition in 0..4 {
        receivers.push(queue.open(partition, None).await.expect("open"));
    }
    for number in 0..100 {
        for partition in 0..4 {
            publish(&*queue, partition, &format!("{number}")).await;
        }
    }
    // The last partition is slow, and holds up the cutting of the whole stream.
    for (receiver, settled) in receivers.iter_mut().zip([100, 100, 90, 10]) {
        let mut all = Vec::new();
        while all.len() < 100 {
            all.extend(receiver.receive(ReceiveLimit::default()).await.expect("receive"));
        }
        receiver.settle(all[settled - 1].token).await.expect("settle");
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let left = stream.get_info().await.expect("info").state.messages;
        assert!(left >= 100, "{left} messages are left, and 100 are not settled");
        if left == 100 {
            break;
        }
        assert!(Instant::now() < deadline, "{left} messages are left");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for (partition, left) in (0_u32..).zip([0, 0, 10, 90]) {
        let depth = queue.depth(partition).await.expect("depth");
        assert_eq!(depth.messages, left, "of partition {partition}");
        assert_eq!(depth.oldest_age_ms.is_some(), left > 0);
        assert_eq!(depth.bytes.is_some_and(|bytes| bytes > 0), left > 0);
    }
    broker.close().await;
}

#[tokio::test]
async fn publishes_go_in_the_order_in_which_they_were_first_polled() {
    const COUNT: usize = 3_000;
    let server = server(&NatsOptions::default());
    let broker = broker(options(server.url())).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    // More than may be in flight at once, so that some wait for room: no small one goes by a large one.
    let size = |number: usize| if number.is_multiple_of(10) { 200_000 } else { 10 };
    let mut publishes: Vec<_> = (0..COUNT)
        .map(|number| {
            let mut message = vec![b' '; size(number)];
            message.extend(number.to_string().bytes());
            queue.publish(0, message.into())
        })
        .collect();
    for publish in &mut publishes {
        let _ = futures::poll!(publish);
    }
    // The last ones are waited for first.
    let publishes = publishes.into_iter().rev().collect::<futures::stream::FuturesUnordered<_>>();
    let positions: Vec<_> = futures::StreamExt::collect(publishes).await;
    assert!(positions.iter().all(Result::is_ok));
    let mut receiver = queue.open(0, None).await.expect("open");
    let got = texts(&mut *receiver, COUNT).await;
    let got: Vec<_> = got.iter().map(|text| text.trim_start().parse::<usize>().expect("a number")).collect();
    assert!(got.iter().copied().eq(0..COUNT), "out of order");
    broker.close().await;
}

/// With receivers for all partitions the process reads the stream once for all of them, and each goes on by itself where it falls behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receivers_of_all_partitions_miss_nothing_however_slow_they_are() {
    const EACH: usize = 10_000;
    let mut server = server(&NatsOptions::default());
    let broker = broker(options(server.url())).await;
    let queue = broker.queue(Role::Commands).await.expect("queue");
    let mut receivers = Vec::new();
    for partition in 0..4 {
        receivers.push(queue.open(partition, None).await.expect("open"));
    }
    let publishers: Vec<_> = (0..4)
        .map(|partition| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                for number in 0..EACH {
                    let message = Bytes::from(format!("{number:1000}"));
                    let begin = Instant::now();
                    // One that may have got through comes again at once, from a publisher that was not told.
                    while let Err(error) = queue.publish(partition, message.clone()).await {
                        assert!(error.retryable && begin.elapsed() < Duration::from_secs(60), "{error}");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                }
            })
        })
        .collect();
    let readers: Vec<_> = receivers
        .into_iter()
        .enumerate()
        .map(|(partition, mut receiver)| {
            tokio::spawn(async move {
                let mut seen: Vec<usize> = Vec::new();
                let mut naps = if partition == 3 { vec![EACH / 2, 100] } else { Vec::new() };
                while seen.last() != Some(&(EACH - 1)) {
                    let limit = ReceiveLimit { messages: [256, 256, 7, 40_000][partition], ..ReceiveLimit::default() };
                    let got = tokio::time::timeout(Duration::from_secs(60), receiver.receive(limit)).await;
                    let got = got.expect("in time").expect("receive");
                    let texts = got.iter().map(|delivery| String::from_utf8_lossy(&delivery.message));
                    seen.extend(texts.map(|text| text.trim_start().parse::<usize>().expect("a number")));
                    receiver.settle(got.last().expect("some").token).await.expect("settle");
                    if naps.pop_if(|after| seen.len() > *after).is_some() {
                        // Longer than what is kept for it lasts.
                        tokio::time::sleep(Duration::from_secs(2)).await;
                    }
                }
                seen.dedup();
                assert!(seen.iter().copied().eq(0..EACH), "of partition {partition}");
            })
        })
        .collect();
    // In the middle of it, or nearly so: it must hold at any time.
    tokio::time::sleep(Duration::from_millis(700)).await;
    server.server().kill();
    server.server().restart().expect("the server is back");
    for publisher in publishers {
        publisher.await.expect("publisher");
    }
    for reader in readers {
        reader.await.expect("reader");
    }
    broker.close().await;
}
