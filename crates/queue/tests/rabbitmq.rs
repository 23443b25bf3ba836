//! The conformance suite against RabbitMQ, and what only RabbitMQ does.
#![cfg(feature = "rabbitmq")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use ronda_queue::conformance::{BrokerHarness, LinkMode, QueueHarness, Setup};
use ronda_queue::{Broker, BrokerOptions, Queue, QueueErrorKind, ReceiveLimit, Receiver, Role, connect};
use ronda_testbed::{Link, RabbitMq};

mod link;

ronda_queue::queue_conformance_tests!(Harness);
ronda_queue::broker_conformance_tests!(Harness);

/// One node for all cases that leave it alone.
fn node() -> &'static RabbitMq {
    static NODE: OnceLock<RabbitMq> = OnceLock::new();
    NODE.get_or_init(start_node)
}

fn start_node() -> RabbitMq {
    node_with(String::new())
}

fn node_with(configuration: String) -> RabbitMq {
    RabbitMq::start_with(|_| Ok(configuration)).unwrap_or_else(|error| {
        use std::io::Write as _;
        // Past the test harness, which shows nothing of what passes.
        let _ = writeln!(std::io::stderr(), "!! SKIPPED the conformance suite on RabbitMQ: {error:#}");
        std::process::exit(0)
    })
}

struct Harness {
    options: BrokerOptions,
    link: Link,
    broker: Arc<dyn Broker>,
    queue: Arc<dyn Queue>,
    address: SocketAddr,
    /// Brokers as other processes have them; kept, because a broker's connections end with it.
    others: Mutex<Vec<Arc<dyn Broker>>>,
    alone: Option<RabbitMq>,
}

impl Harness {
    async fn on(address: SocketAddr, alone: Option<RabbitMq>, setup: Setup) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let link = Link::to(address).await.unwrap();
        let options = BrokerOptions {
            prefix: format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            partitions: setup.partitions,
            event_partitions: 1,
            max_bytes: if setup.small { 8 << 20 } else { 1 << 30 },
            ..BrokerOptions::new(RabbitMq::url(link.address()))
        };
        let broker = connect(options.clone()).await.unwrap();
        broker.init().await.unwrap();
        let queue = broker.queue(Role::Commands).await.unwrap();
        Self { options, link, broker, queue, address, others: Mutex::default(), alone }
    }

    fn node(&self) -> &RabbitMq {
        self.alone.as_ref().unwrap_or_else(|| node())
    }
}

#[async_trait]
impl QueueHarness for Harness {
    async fn start(setup: Setup) -> Self {
        Self::on(node().address(), None, setup).await
    }

    fn queue(&self) -> Arc<dyn Queue> {
        Arc::clone(&self.queue)
    }

    async fn reopen(&mut self) {
        self.broker.close().await;
        self.broker = connect(self.options.clone()).await.unwrap();
        self.queue = self.broker.queue(Role::Commands).await.unwrap();
    }
}

#[async_trait]
impl BrokerHarness for Harness {
    async fn start_alone(setup: Setup) -> Self {
        let node = tokio::task::spawn_blocking(start_node).await.unwrap();
        Self::on(node.address(), Some(node), setup).await
    }

    async fn other(&self) -> Arc<dyn Queue> {
        let options = BrokerOptions { url: RabbitMq::url(self.address), ..self.options.clone() };
        let broker = connect(options).await.unwrap();
        let queue = broker.queue(Role::Commands).await.unwrap();
        self.others.lock().push(broker);
        queue
    }

    fn set_link(&self, mode: LinkMode) {
        self.link.set(link::mode(mode));
    }

    async fn kill_broker(&mut self) {
        self.alone.as_mut().unwrap().kill();
    }

    async fn start_broker(&mut self) {
        self.alone.as_mut().unwrap().restart().unwrap();
    }

    fn survives_kill(&self) -> bool {
        true
    }

    async fn block_publishers(&self, blocked: bool) -> bool {
        self.node().memory_alarm(blocked).unwrap();
        // A connection is blocked when it publishes, and what it published then is still taken.
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.queue.publish(3, Bytes::from_static(b"is it blocked?")).await.is_err() != blocked
            || self.queue.hindrance().is_some_and(|why| why.contains("low on memory")) != blocked
        {
            assert!(Instant::now() < deadline, "publishers are not {}", if blocked { "blocked" } else { "let go on" });
        }
        true
    }

    async fn break_partition(&self, partition: u32) {
        self.node().control(&["delete_queue", &format!("{}.commands.{partition}", self.options.prefix)]).unwrap();
    }

    fn hold_time(&self) -> Option<Duration> {
        None
    }
}

async fn receive(receiver: &mut dyn Receiver, count: usize) -> Vec<(u64, Vec<u8>, bool)> {
    let mut got = Vec::new();
    while got.len() < count {
        let limit = ReceiveLimit { messages: count - got.len(), ..ReceiveLimit::default() };
        let some =
            tokio::time::timeout(Duration::from_secs(60), receiver.receive(limit)).await.expect("in time").unwrap();
        got.extend(
            some.into_iter().map(|delivery| (delivery.token.0, delivery.message.to_vec(), delivery.redelivered)),
        );
    }
    got
}

/// What a second owner had in hand when it died, a part of what the first had, goes before what neither had; and all of it says that it
/// may have been there before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_prefetch_keeps_its_order_when_owners_die_in_a_row() {
    const COUNT: u32 = 700;
    let harness = Harness::start(Setup::default()).await;
    let publishes = (0..COUNT).map(|number| harness.queue.publish(0, Bytes::from(number.to_be_bytes().to_vec())));
    futures::future::try_join_all(publishes).await.unwrap();
    let mut settled = 0;
    for (in_hand, done, cut) in [(256, 100, false), (10, 5, true), (200, 0, false), (7, 0, true), (256, 50, true)] {
        // Some let go, and some lose their connection.
        let other = if cut { harness.queue() } else { harness.other().await };
        let mut receiver = other.open(0, None).await.unwrap();
        let mut got = receive(&mut *receiver, in_hand).await;
        let numbers: Vec<_> =
            got.iter().map(|(_, message, _)| u32::from_be_bytes(message[..].try_into().unwrap())).collect();
        assert_eq!(numbers, (settled..settled + u32::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
        if done > 0 {
            got.truncate(done);
            receiver.settle(ronda_queue::Token(got.last().unwrap().0)).await.unwrap();
            settled += u32::try_from(done).unwrap();
        }
        if cut {
            harness.set_link(LinkMode::Cut);
        }
        drop(receiver);
        harness.set_link(LinkMode::Pass);
    }
    let mut receiver = harness.queue.open(0, None).await.unwrap();
    let mut last = 0;
    for number in settled..COUNT {
        let got = receive(&mut *receiver, 1).await;
        assert_eq!(got[0].1, number.to_be_bytes());
        last = last.max(got[0].0);
        if number % 100 == 0 {
            receiver.settle(ronda_queue::Token(last)).await.unwrap();
        }
    }
}

/// An owner whose process ends without closing anything leaves what it had in hand before what is newer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_ends_cancels_no_consumer() {
    let harness = Harness::start(Setup::default()).await;
    for partition in 0..4 {
        let publishes =
            (0..300).map(|number: u32| harness.queue.publish(partition, Bytes::from(number.to_be_bytes().to_vec())));
        futures::future::try_join_all(publishes).await.unwrap();
        let options = harness.options.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let held = runtime.block_on(async {
                let broker = connect(options).await.unwrap();
                let mut receiver = broker.queue(Role::Commands).await.unwrap().open(partition, None).await.unwrap();
                receive(&mut *receiver, 5).await;
                (broker, receiver)
            });
            (runtime, held)
        });
        let (runtime, held) = ended.await.unwrap();
        let mut next = harness.queue.open(partition, None).await.unwrap();
        runtime.shutdown_background();
        drop(held);
        for number in 0..300_u32 {
            let got = receive(&mut *next, 1).await;
            assert_eq!(u32::from_be_bytes(got[0].1[..].try_into().unwrap()), number, "in partition {partition}");
            next.settle(ronda_queue::Token(got[0].0)).await.unwrap();
        }
    }
}

/// Of many messages that are published at once only those that reached no queue fail, and those always.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_returned_message_is_never_taken_for_another() {
    let harness = Harness::start(Setup::default()).await;
    harness.queue.publish(0, Bytes::from_static(b"0")).await.unwrap();
    // Frames find their queue, and direct messages don't.
    let prefix = &harness.options.prefix;
    let unbind = format!(
        "rabbit_binding:remove({{binding, rabbit_misc:r(<<\"/\">>, exchange, <<\"{prefix}.in\">>), <<\"0.#\">>, \
         rabbit_misc:r(<<\"/\">>, queue, <<\"{prefix}.commands.0\">>), []}}, <<\"test\">>)."
    );
    harness.node().control(&["eval", &unbind]).unwrap();
    for _ in 0..20 {
        let publishes = (0..100).map(|number| {
            let queue = Arc::clone(&harness.queue);
            async move {
                let message = Bytes::from_static(b"x");
                if number % 7 == 3 {
                    let origin = ronda_queue::Origin { tenant: Some(String::from("acme")), ..Default::default() };
                    let error = queue.publish_direct(0, message, &origin).await.expect_err("no queue is bound");
                    assert_eq!(error.kind, QueueErrorKind::Mismatch, "{error}");
                } else {
                    queue.publish(0, message).await.unwrap();
                }
            }
        });
        futures::future::join_all(publishes).await;
    }
    // Making what is missing needs no restart.
    harness.broker.init().await.unwrap();
    harness.queue.publish_direct(0, Bytes::from_static(b"y"), &ronda_queue::Origin::default()).await.unwrap();
}

/// Making the topology again makes nothing, another number of partitions is refused with the way out, and that way works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_partitions_is_kept_and_can_be_changed_when_all_is_worked_off() {
    let harness = Harness::start(Setup::default()).await;
    assert_eq!(harness.broker.init().await.unwrap(), []);
    assert_eq!(harness.broker.check().await.unwrap().findings, []);
    let other = |partitions| connect(BrokerOptions { partitions, ..harness.options.clone() });
    for partitions in [2, 8] {
        let broker = other(partitions).await.unwrap();
        let error = broker.init().await.unwrap_err();
        assert_eq!(error.kind, QueueErrorKind::Mismatch);
        assert!(error.message.contains("made with 4") && error.message.contains("repartition"), "{error}");
        assert_eq!(broker.queue(Role::Commands).await.err().unwrap().kind, QueueErrorKind::Mismatch);
        let findings = broker.check().await.unwrap().findings;
        assert!(
            findings.iter().any(|finding| finding.detail.contains("made with 4") && !finding.mendable),
            "{findings:?}"
        );
    }
    harness.queue.publish(1, Bytes::from_static(b"x")).await.unwrap();
    let broker = other(8).await.unwrap();
    assert_eq!(broker.repartition(8).await.unwrap_err().kind, QueueErrorKind::Mismatch);
    // It was left as it was.
    harness.queue.publish(1, Bytes::from_static(b"y")).await.unwrap();
    let mut receiver = harness.queue.open(1, None).await.unwrap();
    let got = receive(&mut *receiver, 2).await;
    receiver.settle(ronda_queue::Token(got[1].0)).await.unwrap();
    assert_eq!(broker.repartition(8).await.unwrap_err().kind, QueueErrorKind::Mismatch, "a reader is still there");
    drop(receiver);
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = broker.repartition(8).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(broker.check().await.unwrap().findings, []);
    let queue = broker.queue(Role::Commands).await.unwrap();
    assert_eq!(queue.partitions(), 8);
    queue.publish(7, Bytes::from_static(b"z")).await.unwrap();
}

/// What is missing is found and made, and what differs a little is told and used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_compared_with_what_shall_be() {
    let harness = Harness::start(Setup::default()).await;
    let larger = BrokerOptions { max_bytes: harness.options.max_bytes * 2, replicas: 3, ..harness.options.clone() };
    let broker = connect(larger).await.unwrap();
    let findings = broker.check().await.unwrap().findings;
    assert!(findings.iter().all(|finding| !finding.mendable), "{findings:?}");
    assert!(findings.iter().any(|finding| finding.detail.contains("x-max-length-bytes")), "{findings:?}");
    assert!(findings.iter().any(|finding| finding.detail.contains("x-quorum-initial-group-size")), "{findings:?}");
    assert_eq!(broker.init().await.unwrap(), []);
    broker.queue(Role::Commands).await.unwrap().publish(0, Bytes::from_static(b"x")).await.unwrap();
    harness.break_partition(2).await;
    let findings = broker.check().await.unwrap().findings;
    assert!(findings.iter().any(|finding| finding.mendable && finding.place.ends_with(".commands.2")), "{findings:?}");
    let error = broker.queue(Role::Commands).await.err().unwrap();
    assert!(error.kind == QueueErrorKind::Mismatch && error.message.contains("init"), "{error}");
    let made = broker.init().await.unwrap();
    assert!(matches!(&made[..], [made] if made.place.ends_with(".commands.2")), "{made:?}");
    assert!(made[0].detail.contains("queue") && !made[0].detail.contains("is not there"), "{made:?}");
    harness.queue.publish(2, Bytes::from_static(b"x")).await.unwrap();
}

/// A queue that drops what nobody has processed, or gives it out in another order, is not used; what an operator may want so is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_can_lose_messages_is_refused() {
    let harness = Harness::start(Setup::default()).await;
    let name = format!("{}.commands.1", harness.options.prefix);
    let queue = |kind: &str, argument: &str, value: &str| {
        // As it is made, but for one argument.
        let bytes = harness.options.max_bytes / 4;
        let mut arguments = vec![
            ("x-queue-type", String::from("longstr, <<\"quorum\">>")),
            ("x-single-active-consumer", String::from("bool, true")),
            ("x-overflow", String::from("longstr, <<\"reject-publish\">>")),
            ("x-max-length-bytes", format!("long, {bytes}")),
            ("x-delivery-limit", String::from("long, 1000000")),
            ("x-quorum-initial-group-size", String::from("long, 1")),
            ("x-queue-leader-locator", String::from("longstr, <<\"balanced\">>")),
            ("x-dead-letter-exchange", format!("longstr, <<\"{}.dropped\">>", harness.options.prefix)),
        ];
        // What other kinds of queues don't know.
        let of_quorum = ["x-delivery-limit", "x-quorum-initial-group-size", "x-queue-leader-locator"];
        let is_quorum = argument != "x-queue-type";
        arguments.retain(|(name, _)| *name != argument && (is_quorum || !of_quorum.contains(name)));
        let arguments = arguments.into_iter().chain([(argument, format!("{kind}, {value}"))]);
        let arguments: Vec<_> = arguments.map(|(name, value)| format!("{{<<\"{name}\">>, {value}}}")).collect();
        let declare = format!(
            "rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"{name}\">>), true, false, [{}], none, <<\"test\">>), ok.",
            arguments.join(", ")
        );
        harness.node().control(&["delete_queue", &name]).unwrap();
        harness.node().control(&["eval", &declare]).unwrap();
    };
    let text = |text: &str| format!("<<\"{text}\">>");
    for (kind, argument, value) in [
        ("longstr", "x-queue-type", text("classic")),
        ("longstr", "x-overflow", text("drop-head")),
        ("long", "x-message-ttl", String::from("60000")),
        ("long", "x-max-length", String::from("5")),
    ] {
        queue(kind, argument, &value);
        let findings = harness.broker.check().await.unwrap().findings;
        let is_told = findings.iter().any(|found| found.place == name && found.detail.contains(argument));
        assert!(is_told && findings.iter().all(|found| found.stops), "{argument}: {findings:?}");
        for error in [harness.broker.queue(Role::Commands).await.err(), harness.broker.init().await.err()] {
            let error = error.expect("it can lose messages");
            assert!(error.kind == QueueErrorKind::Mismatch && error.message.contains(argument), "{error}");
        }
    }
    queue("long", "x-delivery-limit", "20");
    let findings = harness.broker.check().await.unwrap().findings;
    assert!(
        matches!(&findings[..], [found] if found.detail.contains("each processor that dies") && !found.stops),
        "{findings:?}"
    );
    harness.broker.queue(Role::Commands).await.unwrap();
}

/// What a policy takes away, which nobody sees over AMQP, lies in the dead letters, whatever else it says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_policy_takes_away_lies_in_the_dead_letters() {
    let harness = Harness::start(Setup::default()).await;
    let prefix = &harness.options.prefix;
    let (name, pattern) = (format!("{prefix}-ttl"), format!("^{prefix}\\.commands\\.0$"));
    let policy = r#"{"message-ttl":100,"overflow":"drop-head","dead-letter-exchange":"nowhere"}"#;
    harness.node().control(&["set_policy", &name, &pattern, policy, "--apply-to", "queues"]).unwrap();
    for number in 0..3_u8 {
        harness.queue.publish(0, Bytes::from(vec![number])).await.unwrap();
    }
    let letters = harness.broker.queue(Role::DeadLetters).await.unwrap();
    let got = receive(&mut *letters.open(0, None).await.unwrap(), 3).await;
    harness.node().control(&["clear_policy", &name]).unwrap();
    assert_eq!(got.iter().map(|(_, message, _)| message[0]).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(harness.broker.check().await.unwrap().findings, [], "nothing of it can be seen");
}

/// Whoever has no permission to make things can use them, and a wrong password says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn permissions_are_enough_and_secrets_are_not_told() {
    let harness = Harness::start(Setup::default()).await;
    let prefix = harness.options.prefix.clone();
    let run = |arguments: &[&str]| harness.node().control(arguments).unwrap();
    let user = format!("{prefix}-user");
    run(&["add_user", &user, "s3cret"]);
    run(&["set_permissions", &user, "^$", &format!("^{prefix}\\."), &format!("^{prefix}\\.")]);
    let by = |user: &str, password: &str| {
        let url = format!("amqp://{user}:{password}@{}/%2f", harness.address);
        connect(BrokerOptions { url, ..harness.options.clone() })
    };
    let broker = by(&user, "s3cret").await.unwrap();
    let checked = broker.check().await.unwrap();
    assert_eq!(checked.findings, []);
    // Exchanges for frames, direct messages, events, letters and what is dropped; two markers, and the queues.
    assert_eq!(checked.uncompared, 5 + 2 + 4 + 1 + 1, "nobody shall think that they are as they shall be");
    assert_eq!(harness.broker.check().await.unwrap().uncompared, 0);
    let queue = broker.queue(Role::Commands).await.unwrap();
    queue.publish(0, Bytes::from_static(b"x")).await.unwrap();
    let mut receiver = queue.open(0, None).await.unwrap();
    receive(&mut *receiver, 1).await;
    assert_eq!(queue.depth(0).await.unwrap().messages, 1);
    let url = format!("amqp://{user}:s3cret@{}/%2f", harness.address);
    let fewer = connect(BrokerOptions { url, partitions: 2, ..harness.options.clone() }).await.unwrap();
    assert_eq!(fewer.queue(Role::Commands).await.err().unwrap().kind, QueueErrorKind::Mismatch);
    let error = by(&user, "wr0ng").await.err().unwrap();
    assert_eq!(error.kind, QueueErrorKind::Denied);
    assert!(!format!("{error:?}").contains("wr0ng"), "{error:?}");
    // A fleet of one tenant: no other tenant's name, and no frames.
    let fleet = format!("{prefix}-acme");
    run(&["add_user", &fleet, "s3cret"]);
    run(&["set_permissions", &fleet, "^$", &format!("^{prefix}\\.in$"), "^$"]);
    run(&["set_topic_permissions", &fleet, &format!("{prefix}.in"), "^[0-9]+\\.acme$", "^$"]);
    let queue = by(&fleet, "s3cret").await.unwrap().queue(Role::Commands).await.unwrap();
    let origin = |tenant: &str| ronda_queue::Origin { tenant: Some(tenant.to_owned()), ..Default::default() };
    queue.publish_direct(1, Bytes::from_static(b"x"), &origin("acme")).await.unwrap();
    let error = queue.publish_direct(1, Bytes::from_static(b"x"), &origin("other")).await.unwrap_err();
    assert_eq!(error.kind, QueueErrorKind::Denied, "{error}");
    assert_eq!(queue.publish(1, Bytes::from_static(b"x")).await.unwrap_err().kind, QueueErrorKind::Denied);
    queue.publish_direct(1, Bytes::from_static(b"x"), &origin("acme")).await.unwrap();
}

/// Both sides are known by their certificates, with an authority of one's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_asked_for_and_shown() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    // Erlang takes a certificate with its issuer's name for one that signed itself.
    authority.distinguished_name.push(DnType::CommonName, "an authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = write("ca.pem", authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![String::from("127.0.0.1")]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        (write(&format!("{name}.pem"), certificate), write(&format!("{name}.key"), key.serialize_pem()))
    };
    let (certificate, key) = signed("server");
    let port = ronda_testbed::free_port().unwrap();
    let more = format!(
        "listeners.ssl.local = 127.0.0.1:{port}\nssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = true",
        ca.display(),
        certificate.display(),
        key.display()
    );
    let node = node_with(more);
    let (certificate, key) = signed("client");
    let trusting =
        BrokerOptions { ca_file: Some(ca), ..BrokerOptions::new(format!("amqps://guest:guest@127.0.0.1:{port}")) };
    let known =
        BrokerOptions { client_certificate_file: Some(certificate), client_key_file: Some(key), ..trusting.clone() };
    connect(trusting).await.err().expect("the server asks for a certificate");
    let broker = connect(BrokerOptions { partitions: 1, event_partitions: 1, ..known.clone() }).await.unwrap();
    broker.init().await.unwrap();
    broker.queue(Role::Commands).await.unwrap().publish(0, Bytes::from_static(b"x")).await.unwrap();
    let distrusting = BrokerOptions { ca_file: None, ..known };
    connect(distrusting).await.err().expect("nobody else signed the server's certificate");
    drop(node);
}

/// The oldest dead letters go when there are too many; nothing is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_a_ring() {
    let harness = Harness::start(Setup { small: true, ..Setup::default() }).await;
    let letters = harness.broker.queue(Role::DeadLetters).await.unwrap();
    assert!(!letters.capabilities().refuses_when_full && letters.partitions() == 1);
    let count: u8 = 40;
    for number in 0..count {
        letters.publish(0, Bytes::from(vec![number; 500_000])).await.unwrap();
    }
    let depth = letters.depth(0).await.unwrap().messages;
    assert!((8..=20).contains(&depth), "{depth} of {count} letters are there");
    let got = receive(&mut *letters.open(0, None).await.unwrap(), usize::try_from(depth).unwrap()).await;
    assert_eq!(got.last().unwrap().1[0], count - 1);
}

/// A node that was killed, or stood still for longer than its connections live, is in use again soon after it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_comes_back_is_used_at_once() {
    let mut harness = Harness::start_alone(Setup::default()).await;
    let queue = harness.queue();
    let mut receiver = queue.open(0, None).await.unwrap();
    for stalled in [false, true] {
        if stalled {
            harness.node().stall();
            // This is the thing itself: two heartbeats, and some more.
            let until = Instant::now() + Duration::from_secs(12);
            while Instant::now() < until {
                let started = Instant::now();
                let error = queue.publish(0, Bytes::from_static(b"x")).await.unwrap_err();
                assert!(error.retryable && started.elapsed() < Duration::from_secs(11), "{error}");
            }
            harness.node().resume();
        } else {
            harness.kill_broker().await;
            queue.publish(0, Bytes::from_static(b"x")).await.unwrap_err();
            harness.start_broker().await;
        }
        let back = Instant::now();
        while queue.publish(0, Bytes::from_static(b"back")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let published = back.elapsed();
        while receive(&mut *receiver, 1).await[0].1 != b"back" {}
        println!("stalled {stalled}: published after {published:?}, received after {:?}", back.elapsed());
        // Two seconds, and some for a busy machine.
        assert!(back.elapsed() < Duration::from_secs(5), "it took {:?}", back.elapsed());
    }
}
