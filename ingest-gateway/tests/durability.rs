//! A 2xx means durable, whatever queue and store do.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use std::sync::atomic::Ordering;

use common::faulty::{FaultyStore, QueueSwitch};
use common::{Setup, TestGateway};
use ronda_domain::id::{MessageId, TenantId};
use ronda_domain::time::Timestamp;
use ronda_ingest_gateway::Config;
use ronda_queue::{Queue, ReceiveLimit};
use ronda_schemas::frame::{Frame, Refused};
use ronda_schemas::row::IdempotencyRow;
use ronda_store::port::{IdempotencyClaim, IdempotencyStore};
use serde_json::json;

const STATUS: &str = "/api/v1/schedulers/nightly/status";

fn hasty() -> Config {
    Config {
        publish_attempt_timeout_ms: 100,
        publish_retry_ms: 200,
        pulse_period_ms: 100,
        apply_wait_ms: 5_000,
        ..Config::default()
    }
}

async fn with_switch() -> (TestGateway, QueueSwitch) {
    let switch = QueueSwitch::default();
    let wrap = switch.clone();
    let setup = Setup { config: hasty(), queue: Box::new(move |queue| wrap.wrap(queue)), ..Setup::default() };
    (TestGateway::with(setup).await.ready().await, switch)
}

/// Every command that is in the queue, as text.
async fn queued(gateway: &TestGateway) -> Vec<String> {
    let mut commands = Vec::new();
    for partition in 0..common::PARTITIONS {
        let mut receiver = gateway.queue.open(partition, None).await.unwrap();
        let limit = ReceiveLimit { messages: 1_000_000, bytes: 1 << 30 };
        for delivery in receiver.receive(limit).await.unwrap() {
            let frame = Frame::decode(&delivery.message).unwrap();
            commands.extend(frame.commands().map(|command| format!("{:?}", command.unwrap())));
        }
    }
    commands
}

#[tokio::test]
async fn what_was_answered_202_is_in_the_queue() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    for number in 0..50 {
        let body = json!({"status": "running", "run_id": format!("run-{number}")});
        assert_eq!(gateway.json("PUT", STATUS, &body).await.status, 202);
        let wanted = format!("\"run-{number}\"");
        assert!(queued(&gateway).await.iter().any(|command| command.contains(&wanted)));
    }
}

#[tokio::test]
async fn a_queue_that_never_confirms_gets_nobody_a_2xx_and_takes_writes_again_once_it_does() {
    let (gateway, switch) = with_switch().await;
    gateway.register("nightly").await;
    switch.hangs();
    let bodies = [
        ("PUT", STATUS, json!({"status": "running"})),
        ("POST", "/api/v1/events", json!([{"type": "heartbeat", "scheduler_id": "nightly"}])),
        ("POST", "/api/v1/schedulers/register", json!({"id": "other"})),
        ("POST", "/api/v1/schedulers/nightly/pause", json!({})),
    ];
    for (method, path, body) in &bodies {
        let reply = gateway.json(method, path, body).await;
        reply.is_problem(503, "queue_unavailable");
        assert!(reply.header("retry-after").is_some());
    }
    assert_eq!(gateway.send("GET", "/api/v1/keys", &[], b"").await.status, 200, "reads go on");
    switch.works();
    let begun = tokio::time::Instant::now();
    while gateway.json("PUT", STATUS, &json!({"status": "running"})).await.status != 202 {
        assert!(begun.elapsed() < common::DEADLINE, "writes are taken again");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_sender_that_panics_ends_the_gateway_with_an_error() {
    let (gateway, switch) = with_switch().await;
    switch.panics();
    let ended = tokio::time::timeout(common::DEADLINE, gateway.running).await.expect("it ends by itself").unwrap();
    let told = ended.expect_err("it must not look like an end in order").to_string();
    assert!(told.contains("a sender of frames ended by itself") && told.contains("told to panic"), "{told}");
    assert!(!gateway.stop.is_cancelled(), "only the gateway was stopped");
}

#[tokio::test]
async fn a_gateway_that_has_not_joined_takes_no_writes() {
    let switch = QueueSwitch::default();
    switch.fails();
    let wrap = switch.clone();
    let setup = Setup { config: hasty(), queue: Box::new(move |queue| wrap.wrap(queue)), ..Setup::default() };
    let gateway = TestGateway::with(setup).await;
    let body = json!([{"type": "heartbeat", "scheduler_id": "nightly"}]);
    assert!(!gateway.health.readiness().ok);
    gateway
        .json("POST", "/api/v1/schedulers/register", &json!({"id": "nightly"}))
        .await
        .is_problem(503, "queue_unavailable");
    assert_eq!(
        gateway.json("POST", "/api/v1/events", &body).await.status,
        202,
        "an unknown scheduler is refused as such"
    );
    switch.works();
    let gateway = gateway.ready().await;
    gateway.register("nightly").await;
}

#[tokio::test]
async fn when_the_store_cannot_be_asked_reports_are_taken_and_judged_later() {
    let (store, down) = FaultyStore::that_fails();
    let config = Config { known_scheduler_ttl_seconds: 0, key_ttl_ms: 0, ..Config::default() };
    let gateway = TestGateway::with(Setup { config, store, ..Setup::default() }).await.ready().await;
    gateway.register("nightly").await;
    down.store(true, Ordering::SeqCst);
    assert_eq!(gateway.json("PUT", STATUS, &json!({"status": "running"})).await.status, 202);
    let nobody = gateway.json("PUT", "/api/v1/schedulers/nobody/status", &json!({"status": "running"})).await;
    assert_eq!(nobody.status, 202, "{nobody:?}");
    let headers = [("X-API-Key", "rk_never_seen")];
    gateway.send_as_is("PUT", STATUS, &headers, b"{}").await.is_problem(503, "store_unavailable");
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")];
    gateway.send("PUT", STATUS, &headers, br#"{"status":"running"}"#).await.is_problem(503, "store_unavailable");
}

/// Whose reports were refused, as those frames in the queue say that say so at all.
async fn refused(gateway: &TestGateway) -> Vec<Refused> {
    let mut refused = Vec::new();
    for partition in 0..common::PARTITIONS {
        let mut receiver = gateway.queue.open(partition, None).await.unwrap();
        let limit = ReceiveLimit { messages: 1_000_000, bytes: 1 << 30 };
        for delivery in receiver.receive(limit).await.unwrap() {
            let of = Frame::decode(&delivery.message).unwrap().header.refused;
            refused.extend((of != Refused::Nobody).then_some(of));
        }
    }
    refused
}

async fn until_refused(gateway: &TestGateway, wanted: &Refused) -> Vec<Refused> {
    let begun = tokio::time::Instant::now();
    loop {
        let refused = refused(gateway).await;
        if refused.contains(wanted) {
            return refused;
        }
        assert!(begun.elapsed() < common::DEADLINE, "no frame says {wanted:?}: {refused:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_write_that_the_store_refuses_is_its_tenants_and_one_with_a_key_that_nobody_can_check_is_anybodys() {
    let (store, down) = FaultyStore::that_fails();
    let config = Config { pulse_period_ms: 50, key_ttl_ms: 0, ..Config::default() };
    let gateway = TestGateway::with(Setup { config, store, ..Setup::default() }).await.ready().await;
    gateway.register("nightly").await;
    down.store(true, Ordering::SeqCst);
    let unknown = [("X-API-Key", "rk_never_seen")];
    gateway.send_as_is("GET", "/api/v1/schedulers", &unknown, b"").await.is_problem(503, "store_unavailable");
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")];
    gateway.send("PUT", STATUS, &headers, br#"{"status":"running"}"#).await.is_problem(503, "store_unavailable");
    let own = Refused::Tenants(vec![gateway.key_row.tenant.as_str().into()]);
    let refused = until_refused(&gateway, &own).await;
    assert!(!refused.contains(&Refused::Anybody), "{refused:?}");
    gateway.send_as_is("PUT", STATUS, &unknown, b"{}").await.is_problem(503, "store_unavailable");
    until_refused(&gateway, &Refused::Anybody).await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_holds_up_no_report() {
    let (store, silent) = FaultyStore::that_hangs();
    let config = Config { known_scheduler_ttl_seconds: 0, key_ttl_ms: 0, ..Config::default() };
    let gateway = TestGateway::with(Setup { config, store, ..Setup::default() }).await.ready().await;
    gateway.register("nightly").await;
    silent.store(true, Ordering::SeqCst);
    // The first asks whether the key is still good, and the others find that somebody does.
    for _ in 0..3 {
        let body = json!({"status": "running"});
        let answer = tokio::time::timeout(common::PATIENCE, gateway.json("PUT", STATUS, &body)).await;
        assert_eq!(answer.expect("no client waits for longer").status, 202);
    }
}

#[tokio::test]
async fn a_write_that_waits_for_the_store_is_noted_though_its_client_hangs_up() {
    let (store, silent) = FaultyStore::that_hangs();
    let config = Config { pulse_period_ms: 50, ..Config::default() };
    let gateway = TestGateway::with(Setup { config, store, ..Setup::default() }).await.ready().await;
    gateway.register("nightly").await;
    silent.store(true, Ordering::SeqCst);
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")];
    let sent = gateway.send("PUT", STATUS, &headers, br#"{"status":"running"}"#);
    tokio::time::timeout(common::PATIENCE, sent).await.expect_err("it waits");
    let own = Refused::Tenants(vec![gateway.key_row.tenant.as_str().into()]);
    let refused = until_refused(&gateway, &own).await;
    assert!(!refused.contains(&Refused::Anybody), "{refused:?}");
    let unknown = [("X-API-Key", "rk_never_seen")];
    let sent = gateway.send_as_is("PUT", STATUS, &unknown, b"{}");
    tokio::time::timeout(common::PATIENCE, sent).await.expect_err("it waits");
    until_refused(&gateway, &Refused::Anybody).await;
}

#[tokio::test]
async fn what_is_durable_and_can_not_be_shown_is_accepted() {
    let (store, rows_down) = FaultyStore::that_hides_rows();
    let gateway = TestGateway::with(Setup { store, ..Setup::default() }).await.ready().await;
    gateway.register("nightly").await;
    rows_down.store(true, Ordering::SeqCst);
    let headers = [("Content-Type", "application/json"), ("Prefer", "wait=5")];
    let reply = gateway.send("PUT", STATUS, &headers, br#"{"status":"running","run_id":"run-1"}"#).await;
    assert_eq!((reply.status, &reply.json()["run_id"]), (202, &json!("run-1")), "{reply:?}");
    for change in ["pause", "resume"] {
        let reply = gateway.json("POST", &format!("/api/v1/schedulers/nightly/{change}"), &json!({})).await;
        assert_eq!(reply.status, 202, "{reply:?}");
    }
}

#[tokio::test]
async fn a_register_that_is_not_applied_in_time_is_accepted() {
    let config = Config { apply_wait_ms: 50, ..Config::default() };
    let gateway = TestGateway::with(Setup { config, processor: false, ..Setup::default() }).await.ready().await;
    let reply = gateway.json("POST", "/api/v1/schedulers/register", &json!({"id": "nightly"})).await;
    assert_eq!((reply.status, reply.header("location")), (202, Some("/api/v1/schedulers/nightly")));
    // It is durable, so it will exist before anything that is sent from now on is applied.
    assert_eq!(gateway.json("PUT", STATUS, &json!({"status": "running"})).await.status, 202);
}

#[tokio::test]
async fn a_run_without_a_name_stays_unnamed_under_an_idempotency_key() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k-1")];
    let reply = gateway.send("PUT", STATUS, &headers, br#"{"status":"running"}"#).await;
    let message = stored(&gateway, "k-1").await.message;
    assert_eq!(reply.json()["run_id"], message.made_run_id().as_str());
    let wanted = format!("message: Some({message:?})");
    let commands = queued(&gateway).await;
    let command = commands.iter().find(|command| command.contains(&wanted)).unwrap();
    assert!(command.contains("run_id: None"), "{command}");
}

#[tokio::test]
async fn a_bulk_that_was_taken_in_part_is_sent_again_as_a_whole() {
    let (gateway, switch) = with_switch().await;
    let partition = |id: &str| ronda_domain::id::partition_of("acme", id, common::PARTITIONS);
    let ids: Vec<String> = (0..50).map(|number| format!("job-{number}")).collect();
    let (here, there) = (&ids[0], ids.iter().find(|id| partition(id) != partition(&ids[0])).unwrap());
    gateway.register(here).await;
    gateway.register(there).await;
    switch.only_in(partition(there));
    switch.fails();
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k-1")];
    let body = json!([{"type": "heartbeat", "scheduler_id": here}, {"type": "heartbeat", "scheduler_id": there}]);
    let body = body.to_string();
    let reply = gateway.send("POST", "/api/v1/events", &headers, body.as_bytes()).await;
    assert_eq!((reply.status, &reply.json()["accepted"]), (202, &json!(1)), "{reply:?}");
    assert_eq!(reply.json()["rejected"][0]["status"], 503);
    switch.works();
    let begun = tokio::time::Instant::now();
    loop {
        let reply = gateway.send("POST", "/api/v1/events", &headers, body.as_bytes()).await;
        if reply.json()["accepted"] == 2 {
            break;
        }
        assert!(begun.elapsed() < common::DEADLINE, "the refused part is frozen: {reply:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let message = stored(&gateway, "k-1").await.message;
    for index in 0..2 {
        let wanted = format!("message: Some({:?})", MessageId { index, ..message });
        assert!(queued(&gateway).await.iter().any(|command| command.contains(&wanted)), "{wanted}");
    }
}

#[tokio::test]
async fn an_idempotent_write_that_ended_undecided_goes_on_as_the_same_run() {
    let (gateway, switch) = with_switch().await;
    gateway.register("nightly").await;
    switch.hangs();
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k-1")];
    let body = br#"{"status":"running"}"#;
    gateway.send("PUT", STATUS, &headers, body).await.is_problem(503, "queue_unavailable");
    let kept = stored(&gateway, "k-1").await;
    switch.works();
    let begun = tokio::time::Instant::now();
    let reply = loop {
        let reply = gateway.send("PUT", STATUS, &headers, body).await;
        if reply.status == 202 {
            break reply;
        }
        assert!(begun.elapsed() < common::DEADLINE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(reply.json()["run_id"], kept.message.made_run_id().as_str());
}

#[tokio::test]
async fn of_two_repetitions_at_once_of_an_undecided_write_only_one_is_carried_out() {
    let (gateway, switch) = with_switch().await;
    gateway.register("nightly").await;
    switch.hangs();
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k-1")];
    let body = br#"{"status":"success"}"#;
    gateway.send("PUT", STATUS, &headers, body).await.is_problem(503, "queue_unavailable");
    let begun = tokio::time::Instant::now();
    loop {
        let (one, other) =
            tokio::join!(gateway.send("PUT", STATUS, &headers, body), gateway.send("PUT", STATUS, &headers, body));
        if [one.status, other.status].contains(&409) {
            let refused = if one.status == 409 { one } else { other };
            refused.is_problem(409, "idempotency_in_progress");
            break;
        }
        assert!(begun.elapsed() < common::DEADLINE, "both were carried out");
    }
}

#[tokio::test]
async fn reports_that_ended_undecided_are_sent_again_as_the_same_messages() {
    let (gateway, switch) = with_switch().await;
    gateway.register("nightly").await;
    let bulk = br#"[{"type":"heartbeat","scheduler_id":"nightly"},{"type":"status","scheduler_id":"nightly","status":"failed"}]"#;
    let reports: [(&str, &str, &str, &[u8], u32); 3] = [
        ("PUT", STATUS, "k-1", br#"{"status":"success"}"#, 0),
        ("POST", "/api/v1/schedulers/nightly/heartbeat", "k-2", b"{}", 0),
        ("POST", "/api/v1/events", "k-3", bulk, 1),
    ];
    for (method, path, key, body, index) in reports {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        switch.hangs();
        let begun = tokio::time::Instant::now();
        gateway.send(method, path, &headers, body).await.is_problem(503, "queue_unavailable");
        switch.works();
        while gateway.send(method, path, &headers, body).await.status != 202 {
            assert!(begun.elapsed() < common::DEADLINE);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let message = MessageId { index, ..stored(&gateway, key).await.message };
        let wanted = format!("message: Some({message:?})");
        assert!(queued(&gateway).await.iter().any(|command| command.contains(&wanted)), "{path}: {wanted}");
    }
}

/// What is stored for a key, found by claiming it for something else.
async fn stored(gateway: &TestGateway, key: &str) -> IdempotencyRow {
    let tenant = TenantId::new("acme").unwrap();
    let row = IdempotencyRow {
        fingerprint: [0; 32],
        created_at: Timestamp::from_millis(0),
        answer: None,
        message: MessageId::default(),
    };
    match gateway.store.claim(&tenant, key, row).await.unwrap() {
        IdempotencyClaim::Existing(row) => row,
        IdempotencyClaim::Claimed => panic!("the key was not claimed"),
    }
}

#[tokio::test]
async fn a_first_request_under_way_is_waited_for_and_an_abandoned_one_is_taken_over() {
    let config = Config { idempotency_takeover_seconds: 1, ..Config::default() };
    let gateway = TestGateway::with(Setup { config, ..Setup::default() }).await.ready().await;
    gateway.register("nightly").await;
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k-1")];
    let body = br#"{"status":"running"}"#;
    assert_eq!(gateway.send("PUT", STATUS, &headers, body).await.status, 202);
    // Another key's claim for the same request, as a gateway that was killed before it answered leaves it behind.
    let tenant = TenantId::new("acme").unwrap();
    let mut row = stored(&gateway, "k-1").await;
    assert!(row.answer.is_some());
    row.answer = None;
    row.message.index = 77;
    let run = row.message.made_run_id();
    assert_eq!(gateway.store.claim(&tenant, "k-2", row).await.unwrap(), IdempotencyClaim::Claimed);
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k-2")];
    let begun = tokio::time::Instant::now();
    let reply = loop {
        let reply = gateway.send("PUT", STATUS, &headers, body).await;
        if reply.status == 202 {
            break reply;
        }
        reply.is_problem(409, "idempotency_in_progress");
        assert!(reply.header("retry-after").is_some() && begun.elapsed() < common::DEADLINE);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(reply.json()["run_id"], run.as_str());
}
