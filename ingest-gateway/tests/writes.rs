//! What clients are promised of writes.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{TestGateway, all_scopes, make_key};
use ronda_schemas::row::Scopes;
use serde_json::json;

const STATUS: &str = "/api/v1/schedulers/nightly/status";

#[tokio::test]
async fn a_scheduler_is_registered_reported_on_paused_and_deleted() {
    let gateway = TestGateway::start().await.ready().await;
    let body =
        json!({"id": "nightly", "name": "Nightly", "schedule": {"cron": "0 1 * * *", "timezone": "Asia/Jakarta"}});
    let made = gateway.json("POST", "/api/v1/schedulers/register", &body).await;
    assert_eq!((made.status, made.header("location")), (201, Some("/api/v1/schedulers/nightly")), "{made:?}");
    assert_eq!(made.json()["name"], "Nightly");
    let again = gateway.json("POST", "/api/v1/schedulers/register", &body).await;
    assert_eq!((again.status, &again.json()["revision"]), (200, &made.json()["revision"]));

    let reported = gateway.json("PUT", STATUS, &json!({"status": "running"})).await;
    assert_eq!(reported.status, 202, "{reported:?}");
    assert!(reported.json()["run_id"].as_str().unwrap().starts_with("r-"));
    let heartbeat = gateway.send("POST", "/api/v1/schedulers/nightly/heartbeat", &[], b"").await;
    assert_eq!(heartbeat.status, 202, "{heartbeat:?}");

    let paused = gateway.json("POST", "/api/v1/schedulers/nightly/pause", &json!({})).await;
    assert_eq!((paused.status, &paused.json()["paused"]), (200, &json!(true)));
    let resumed = gateway.json("POST", "/api/v1/schedulers/nightly/resume", &json!({})).await;
    assert_eq!((resumed.status, &resumed.json()["paused"]), (200, &json!(false)));
    assert_eq!(gateway.send("DELETE", "/api/v1/schedulers/nightly", &[], b"").await.status, 204);
    gateway.json("PUT", STATUS, &json!({"status": "running"})).await.is_problem(404, "unknown_scheduler");
}

#[tokio::test]
async fn what_is_wrong_is_acknowledged_and_muted_for_a_while() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let failed = json!({"status": "failed", "error": "disk full"});
    assert_eq!(gateway.json("PUT", STATUS, &failed).await.status, 202);
    let path = |what: &str| format!("/api/v1/schedulers/nightly/{what}");
    let acknowledged = gateway.json("POST", &path("acknowledge"), &json!({"by": "Ratna"})).await;
    assert_eq!(acknowledged.status, 200, "{acknowledged:?}");
    let by = |reply: &common::Reply| reply.json()["alert"]["acknowledgment"]["by"].clone();
    assert_eq!((&by(&acknowledged)["name"], &by(&acknowledged)["source"]), (&json!("Ratna"), &json!("api")));
    let again = gateway.send("POST", &path("acknowledge"), &[], b"").await;
    assert_eq!((again.status, by(&again)), (200, by(&acknowledged)), "the first counts");

    let muted = gateway.json("POST", &path("mute"), &json!({"for_seconds": 3600})).await;
    assert_eq!(muted.status, 200, "{muted:?}");
    assert!(muted.json()["muted_until"].is_string() && muted.json()["alert"].is_object());
    assert_ne!(muted.json()["muted_by"]["name"], "", "the name of the key");
    let unmuted = gateway.json("POST", &path("unmute"), &json!({})).await;
    assert_eq!((unmuted.status, &unmuted.json()["muted_until"]), (200, &json!(null)));

    for body in [
        json!({}),
        json!({"for_seconds": 0}),
        json!({"until": "2020-01-01T00:00:00Z"}),
        json!({"until": "2999-01-01T00:00:00Z"}),
    ] {
        gateway.json("POST", &path("mute"), &body).await.is_problem(400, "invalid_body");
    }
    gateway.send("POST", &path("mute"), &[], b"").await.is_problem(400, "invalid_json");
    gateway
        .json("POST", "/api/v1/schedulers/nobody/mute", &json!({"for_seconds": 1}))
        .await
        .is_problem(404, "unknown_scheduler");
    let (reporter, _) = make_key(&gateway.store, Scopes { ingest: true, ..Scopes::default() }, 0).await;
    for what in ["acknowledge", "mute", "unmute"] {
        let headers = [("X-API-Key", reporter.as_str())];
        gateway.send_as_is("POST", &path(what), &headers, b"").await.is_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn an_acknowledgment_that_names_an_alert_is_of_no_other() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let path = "/api/v1/schedulers/nightly/acknowledge";
    let reported = async |status: &str| {
        let headers = [("Content-Type", "application/json"), ("Prefer", "wait=5")];
        let body = json!({"status": status}).to_string();
        let reply = gateway.send("PUT", STATUS, &headers, body.as_bytes()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["alert"]["id"].clone()
    };
    let first = reported("failed").await;
    reported("success").await;
    let over = gateway.json("POST", path, &json!({"alert_id": first})).await;
    over.is_problem(409, "alert_over");
    assert!(over.json()["detail"].as_str().unwrap().contains("has no open alert"), "{over:?}");
    let second = reported("failed").await;
    assert_ne!(first, second);
    let over = gateway.json("POST", path, &json!({"alert_id": first, "by": "Ratna"})).await;
    over.is_problem(409, "alert_over");
    assert!(over.json()["detail"].as_str().unwrap().contains("present alert began at 20"), "{over:?}");
    let job = gateway.send("GET", "/api/v1/schedulers/nightly", &[], b"").await.json();
    assert_eq!((&job["alert"]["id"], &job["alert"]["acknowledgment"]), (&second, &json!(null)));
    let acknowledged = gateway.json("POST", path, &json!({"alert_id": second, "by": "Ratna"})).await;
    assert_eq!(
        (acknowledged.status, &acknowledged.json()["alert"]["acknowledgment"]["by"]["name"]),
        (200, &json!("Ratna"))
    );
    gateway.json("POST", path, &json!({"alert_id": 7})).await.is_problem(400, "invalid_body");
}

#[tokio::test]
async fn who_prefers_to_wait_gets_the_resulting_state() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let headers = [("Content-Type", "application/json"), ("Prefer", "wait=5")];
    let reply = gateway.send("PUT", STATUS, &headers, br#"{"status":"running","run_id":"run-1"}"#).await;
    assert_eq!((reply.status, reply.header("preference-applied")), (200, Some("wait=5")), "{reply:?}");
    assert_eq!(reply.json()["open_runs"][0]["run_id"], "run-1");
}

#[tokio::test]
async fn a_bulk_names_what_it_refuses_and_takes_the_rest() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let events = json!([
        {"type": "status", "scheduler_id": "nightly", "status": "running", "run_id": "a"},
        {"type": "status", "scheduler_id": "nobody", "status": "running"},
        {"type": "heartbeat", "scheduler_id": "nightly", "run_id": "a"},
        {"type": "heartbeat", "scheduler_id": "nightly", "colour": "red"},
    ]);
    let reply = gateway.json("POST", "/api/v1/events", &events).await;
    assert_eq!(reply.status, 202, "{reply:?}");
    let answer = reply.json();
    assert_eq!(answer["accepted"], 2);
    assert_eq!(
        (&answer["rejected"][0]["index"], &answer["rejected"][0]["code"]),
        (&json!(1), &json!("unknown_scheduler"))
    );
    assert_eq!(answer["rejected"][1]["index"], 3);
    assert_eq!(answer["rejected"][1]["errors"][0]["pointer"], "/colour");

    let lines = "{\"type\":\"heartbeat\",\"scheduler_id\":\"nightly\"}\n\nrubbish\n";
    let reply =
        gateway.send("POST", "/api/v1/events", &[("Content-Type", "application/x-ndjson")], lines.as_bytes()).await;
    assert_eq!((reply.status, &reply.json()["accepted"]), (202, &json!(1)), "{reply:?}");
    assert_eq!(reply.json()["rejected"][0]["index"], 1);
}

#[tokio::test]
async fn a_repeated_idempotency_key_has_no_second_effect() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k-1")];
    let first = gateway.send("PUT", STATUS, &headers, br#"{"status":"running"}"#).await;
    let second = gateway.send("PUT", STATUS, &headers, br#"{"status":"running"}"#).await;
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!((second.status, second.json()), (202, first.json()), "the same made run id");
    assert_eq!(second.header("location"), first.header("location"));
    gateway.send("PUT", STATUS, &headers, br#"{"status":"failed"}"#).await.is_problem(422, "idempotency_mismatch");
    let other = [("Content-Type", "application/json"), ("Idempotency-Key", "k-2")];
    gateway.send("PUT", STATUS, &other, br#"{"status":"nonsense"}"#).await.is_problem(400, "invalid_body");
    let repaired = gateway.send("PUT", STATUS, &other, br#"{"status":"running"}"#).await;
    assert_eq!(repaired.status, 202, "a refused request gives its key back");
    let long = "k".repeat(256);
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", long.as_str())];
    gateway.send("PUT", STATUS, &headers, br#"{"status":"running"}"#).await.is_problem(400, "invalid_header");
}

#[tokio::test]
async fn keys_open_only_what_they_are_for() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let json = ("Content-Type", "application/json");
    let body = br#"{"status":"running"}"#;
    gateway.send_as_is("PUT", STATUS, &[json], body).await.is_problem(401, "unauthorized");
    gateway.send_as_is("PUT", STATUS, &[json, ("X-API-Key", "rk_wrong")], body).await.is_problem(401, "unauthorized");
    let bearer = format!("Bearer {}", gateway.key);
    assert_eq!(gateway.send_as_is("PUT", STATUS, &[json, ("Authorization", &bearer)], body).await.status, 202);
    let (reader, _) = make_key(&gateway.store, Scopes { read: true, ..Scopes::default() }, 0).await;
    gateway.send_as_is("PUT", STATUS, &[json, ("X-API-Key", &reader)], body).await.is_problem(403, "forbidden");
    let (reporter, _) = make_key(&gateway.store, Scopes { ingest: true, ..Scopes::default() }, 0).await;
    let reporter = [("X-API-Key", reporter.as_str())];
    gateway.send_as_is("DELETE", "/api/v1/schedulers/nightly", &reporter, b"").await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn an_admin_makes_lists_and_revokes_keys_and_a_revoked_one_stops_working() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let made = gateway.json("POST", "/api/v1/keys", &json!({"name": "batch", "scopes": ["ingest"]})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let (key, id) = (made.json()["key"].as_str().unwrap().to_owned(), made.json()["id"].as_str().unwrap().to_owned());
    assert!(key.starts_with("rk_") && key.len() == 35);
    assert_eq!(made.json()["rate_limit_per_minute"], 100);
    let headers = [("X-API-Key", key.as_str()), ("Content-Type", "application/json")];
    assert_eq!(gateway.send_as_is("PUT", STATUS, &headers, br#"{"status":"running"}"#).await.status, 202);
    let listed = gateway.send("GET", "/api/v1/keys", &[], b"").await;
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 2);
    assert!(!String::from_utf8_lossy(&listed.body).contains(&key));
    assert_eq!(gateway.send("DELETE", &format!("/api/v1/keys/{id}"), &[], b"").await.status, 204);
    let revoked_at = tokio::time::Instant::now();
    while gateway.send_as_is("PUT", STATUS, &headers, br#"{"status":"running"}"#).await.status != 401 {
        assert!(revoked_at.elapsed().as_secs() < 5, "a revoked key works for seconds only");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_key_has_a_rate_limit_and_a_bulk_costs_one_request() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let (key, _) = make_key(&gateway.store, all_scopes(), 2).await;
    let headers = [("X-API-Key", key.as_str()), ("Content-Type", "application/json")];
    let event = json!({"type": "heartbeat", "scheduler_id": "nightly"});
    let bulk = json!(vec![event; 50]).to_string();
    let first = gateway.send_as_is("POST", "/api/v1/events", &headers, bulk.as_bytes()).await;
    assert_eq!((first.status, first.header("ratelimit-policy")), (202, Some("\"default\";q=2;w=60")), "{first:?}");
    assert_eq!(first.header("ratelimit"), Some("\"default\";r=1;t=30"));
    assert_eq!(gateway.send_as_is("PUT", STATUS, &headers, br#"{"status":"running"}"#).await.status, 202);
    let third = gateway.send_as_is("PUT", STATUS, &headers, br#"{"status":"running"}"#).await;
    third.is_problem(429, "rate_limited");
    assert!(third.header("retry-after").unwrap().parse::<u64>().unwrap() <= 30);
    assert!(third.header("ratelimit").unwrap().starts_with("\"default\";r=0;t="));
}
