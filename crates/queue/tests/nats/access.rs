//! Who may connect, and who may do what.

use std::path::PathBuf;

use bytes::Bytes;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use ronda_queue::{BrokerOptions, QueueError, QueueErrorKind, ReceiveLimit, Role, connect};
use ronda_testbed::NatsOptions;

use super::{broker, options, server};

fn key_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/nats/keys").join(name)
}

/// Connects and looks around.
async fn attempt(options: BrokerOptions) -> Result<(), QueueError> {
    let broker = connect(options).await?;
    let found = broker.check().await.map(|_| ());
    broker.close().await;
    found
}

#[tokio::test]
async fn users_and_tokens_are_taken_from_the_address() {
    for (authorization, good, bad) in [
        ("user: ronda, password: \"p@ss/word\"", "ronda:p%40ss%2Fword", "ronda:s3cret"),
        ("token: \"t@ken\"", "t%40ken", "s3cret"),
    ] {
        let more = format!("authorization {{ {authorization} }}");
        let server = server(&NatsOptions { more, ..NatsOptions::default() });
        let url = |who: &str| format!("nats://{who}@{}", server.address());
        attempt(options(url(good))).await.expect("the right ones");
        for who in [url(bad), server.url()] {
            let error = attempt(options(who)).await.expect_err("the wrong ones");
            assert_eq!(error.kind, QueueErrorKind::Denied, "{error}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn credentials_files_and_nkey_seeds_are_taken_from_files() {
    let public = std::fs::read_to_string(key_file("user.pub")).expect("the public key");
    let nkey = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", public.trim());
    let jwt = std::fs::read_to_string(key_file("operator.conf")).expect("the operator");
    for (more, file, other) in [(nkey, "user.nk", "user.creds"), (jwt, "user.creds", "user.nk")] {
        let server = server(&NatsOptions { more, ..NatsOptions::default() });
        let with = |file: &str| BrokerOptions { credentials_file: Some(key_file(file)), ..options(server.url()) };
        attempt(with(file)).await.expect(file);
        assert_eq!(attempt(with(other)).await.expect_err(other).kind, QueueErrorKind::Denied);
    }
}

#[tokio::test]
async fn both_sides_are_known_by_their_certificates() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let authority_key = KeyPair::generate().expect("a key");
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = write("ca.pem", authority.self_signed(&authority_key).expect("a certificate").pem());
    let issuer = Issuer::new(authority, authority_key);
    let signed = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![String::from("127.0.0.1")]).expect("parameters");
        let certificate = params.signed_by(&key, &issuer).expect("a certificate").pem();
        (write(&format!("{name}.pem"), certificate), write(&format!("{name}.key"), key.serialize_pem()))
    };
    let (certificate, key) = signed("server");
    let more =
        format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}, verify: true, timeout: 5 }}");
    let server = server(&NatsOptions { more, ..NatsOptions::default() });
    let (certificate, key) = signed("client");
    let trusting = BrokerOptions { ca_file: Some(ca), ..options(format!("tls://{}", server.address())) };
    let known =
        BrokerOptions { client_certificate_file: Some(certificate), client_key_file: Some(key), ..trusting.clone() };
    attempt(known.clone()).await.expect("both know each other");
    attempt(BrokerOptions { url: server.url(), ..known.clone() })
        .await
        .expect("TLS without being told so by the address");
    attempt(trusting).await.expect_err("a client without a certificate");
    attempt(BrokerOptions { ca_file: None, ..known }).await.expect_err("a server that nobody vouches for");
}

#[tokio::test]
async fn the_permissions_of_the_docs_are_enough_and_no_more() {
    let page = include_str!("../../../../docs/queues.md");
    let example = page.split("```conf").nth(1).and_then(|rest| rest.split("```").next()).expect("the example");
    let server = server(&NatsOptions { more: example.to_owned(), ..NatsOptions::default() });
    let url = |who: &str| format!("nats://{who}:change-me@{}", server.address());
    let as_user = |who: &str| options(url(who));
    let admin = connect(as_user("admin")).await.expect("connect");
    admin.init().await.expect("init");
    let kind = |error: Option<QueueError>| error.map(|error| error.kind);

    let gateway = connect(as_user("gateway")).await.expect("connect");
    let commands = gateway.queue(Role::Commands).await.expect("the command queue");
    commands.publish(1, Bytes::from_static(b"frame")).await.expect("publish");
    assert_eq!(kind(commands.open(1, None).await.err()), Some(QueueErrorKind::Denied));
    assert_eq!(kind(gateway.queue(Role::Events).await.err()), Some(QueueErrorKind::Denied));

    let client = async_nats::ConnectOptions::with_user_and_password("acme".into(), "change-me".into());
    let client = client.custom_inbox_prefix("_INBOX_acme").connect(server.url()).await.expect("connect");
    let client = async_nats::jetstream::new(client);
    let confirmed = client.publish("ronda.in.acme.nightly", "{}".into()).await.expect("publish").await;
    confirmed.expect("a direct message");
    for subject in ["ronda.in.other.nightly", "ronda.p.1.acme", "ronda.f.1.1"] {
        let _ = client.publish(subject, "{}".into()).await.expect("publish");
    }
    client.client().flush().await.expect("flush");

    let processor = connect(as_user("processor")).await.expect("connect");
    let commands = processor.queue(Role::Commands).await.expect("the command queue");
    let mut count = 0;
    for partition in 0..4 {
        let depth = commands.depth(partition).await.expect("depth");
        count += depth.messages;
        let mut receiver = commands.open(partition, None).await.expect("open");
        if depth.messages > 0 {
            let got = receiver.receive(ReceiveLimit::default()).await.expect("receive");
            receiver.settle(got[0].token).await.expect("settle");
        }
    }
    assert_eq!(count, 2, "one frame and one direct message");
    assert_eq!(kind(commands.publish(1, Bytes::new()).await.err()), Some(QueueErrorKind::Denied));
    for role in [Role::Events, Role::DeadLetters] {
        let queue = processor.queue(role).await.expect("queue");
        queue.publish(0, Bytes::from_static(b"x")).await.expect("publish");
    }
    let notifier = connect(as_user("notifier")).await.expect("connect");
    let events = notifier.queue(Role::Events).await.expect("the event queue");
    let mut receiver = events.open(0, None).await.expect("open");
    let got = receiver.receive(ReceiveLimit::default()).await.expect("receive");
    receiver.settle(got[0].token).await.expect("settle");
    for broker in [gateway, processor, notifier] {
        broker.close().await;
    }
    let events = admin.queue(Role::Events).await.expect("the event queue");
    assert_eq!(events.depth(0).await.expect("depth").messages, 0, "what is settled is purged");
    admin.close().await;
}

/// A permission that lacks is told by each call that needs it: none waits for ever, also when several are refused at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_may_not_ask_for_messages_says_so() {
    let may = |publish: &str, subscribe: &str| {
        format!("permissions: {{ publish: {{ deny: [{publish}] }}, subscribe: {{ deny: [{subscribe}] }} }}")
    };
    let users = [
        format!("{{ user: admin, password: a, {} }}", may("", "")),
        format!("{{ user: reader, password: a, {} }}", may("\"$JS.API.CONSUMER.MSG.NEXT.>\"", "")),
        format!("{{ user: deaf, password: a, {} }}", may("", "\"_INBOX.>\"")),
    ];
    let more = format!("accounts {{ RONDA {{ jetstream: enabled, users: [ {} ] }} }}", users.join("\n"));
    let server = server(&NatsOptions { more, ..NatsOptions::default() });
    let as_user = |who: &str| options(format!("nats://{who}:a@{}", server.address()));
    broker(as_user("admin")).await.close().await;
    let reader = connect(as_user("reader")).await.expect("connect");
    let queue = reader.queue(Role::Commands).await.expect("queue");
    let mut receivers = Vec::new();
    for partition in 0..4 {
        receivers.push(queue.open(partition, None).await.expect("open"));
    }
    for round in 0..2 {
        let calls = receivers.iter_mut().map(|receiver| receiver.receive(ReceiveLimit::default()));
        let calls = tokio::time::timeout(std::time::Duration::from_secs(30), futures::future::join_all(calls));
        for got in calls.await.expect("an answer") {
            let error = got.expect_err("it may not");
            assert_eq!((error.kind, error.retryable), (QueueErrorKind::Denied, false), "round {round}: {error}");
            assert!(error.message.contains("CONSUMER.MSG.NEXT.RONDA_COMMANDS"), "{error}");
        }
    }
    reader.close().await;
    let deaf = connect(as_user("deaf")).await.expect("connect");
    for _ in 0..2 {
        let error = deaf.check().await.expect_err("it gets no answers");
        assert_eq!(error.kind, QueueErrorKind::Denied, "{error}");
        assert!(error.message.contains("_INBOX"), "{error}");
    }
    deaf.close().await;
}

/// What is settled and can't be purged is not counted, and to count takes no consumer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_depth_is_right_without_consumers_also_where_nothing_can_be_purged() {
    let may_not = |publish: &str| format!("permissions: {{ publish: {{ deny: [\"{publish}\"] }} }}");
    let users = [
        format!("{{ user: admin, password: a, {} }}", may_not("nothing")),
        format!("{{ user: reader, password: a, {} }}", may_not("$JS.API.STREAM.PURGE.>")),
    ];
    let more = format!("accounts {{ RONDA {{ jetstream: enabled, users: [ {} ] }} }}", users.join("\n"));
    let server = server(&NatsOptions { more, ..NatsOptions::default() });
    let url = |who: &str| format!("nats://{who}:a@{}", server.address());
    let admin = broker(options(url("admin"))).await;
    let reader = connect(options(url("reader"))).await.expect("connect");
    let queue = reader.queue(Role::Commands).await.expect("queue");
    for number in 0..12_u8 {
        queue.publish(u32::from(number % 4), Bytes::from(vec![number])).await.expect("publish");
    }
    let mut receiver = queue.open(1, None).await.expect("open");
    let mut got = Vec::new();
    while got.len() < 3 {
        got.extend(receiver.receive(ReceiveLimit::default()).await.expect("receive"));
    }
    let client = async_nats::ConnectOptions::with_user_and_password("admin".into(), "a".into());
    let client = client.connect(server.url()).await.expect("connect");
    let mut made = client.subscribe("$JS.EVENT.ADVISORY.CONSUMER.CREATED.>").await.expect("subscribe");
    client.flush().await.expect("flush");
    for (settled, left) in [(None, 3), (Some(0), 2), (Some(1), 1), (Some(2), 0)] {
        if let Some(settled) = settled {
            receiver.settle(got[settled].token).await.expect("settle");
        }
        for partition in 0..4 {
            let depth = queue.depth(partition).await.expect("depth");
            assert_eq!(
                depth.messages,
                if partition == 1 { left } else { 3 },
                "of {partition} with {settled:?} settled"
            );
        }
    }
    // The first that the server tells of is the test's own.
    let stream = async_nats::jetstream::new(client).get_stream("RONDA_COMMANDS").await.expect("stream");
    let config = async_nats::jetstream::consumer::pull::Config { name: Some("own".into()), ..Default::default() };
    stream.create_consumer(config).await.expect("a consumer");
    let told = futures::StreamExt::next(&mut made).await.expect("an advisory");
    assert!(told.subject.ends_with(".RONDA_COMMANDS.own"), "{}", told.subject);
    reader.close().await;
    admin.close().await;
}
