//! Whatever a client sends, it is told what is wrong: never a 5xx.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use common::{Reply, TestGateway};
use serde_json::json;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const STATUS: &str = "/api/v1/schedulers/nightly/status";
const REGISTER: &str = "/api/v1/schedulers/register";

async fn status(gateway: &TestGateway, body: &[u8]) -> Reply {
    gateway.send("PUT", STATUS, &[JSON], body).await
}

#[tokio::test]
async fn bodies_that_are_not_what_they_should_be() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let nested = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    let unreadable: [&[u8]; 6] =
        [b"", b"{", b"not json", b"\xff\xfe{}", b"{\"status\":\"running\"} x", nested.as_bytes()];
    for body in unreadable {
        status(&gateway, body).await.is_problem(400, "invalid_json");
    }
    let long = format!(r#"{{"status":"failed","error":"{}"}}"#, "x".repeat(5_000));
    let wrong: [&[u8]; 8] = [
        b"[]",
        b"{}",
        b"null",
        br#"{"status":7}"#,
        br#"{"status":"sleeping"}"#,
        br#"{"status":"running","colour":"red"}"#,
        br#"{"status":"running","run_id":"a/../b"}"#,
        long.as_bytes(),
    ];
    for body in wrong {
        status(&gateway, body).await.is_problem(400, "invalid_body");
    }
    let both = status(&gateway, br#"{"status":7,"colour":"red","exit_code":"one"}"#).await;
    assert_eq!(both.json()["errors"].as_array().unwrap().len(), 3, "all at once: {both:?}");
    let kind = status(&gateway, "{\"status\":\"failed\",\"error\":\"\u{1F525} \u{202E}abc\"}".as_bytes()).await;
    assert_eq!(kind.status, 202, "emoji and right-to-left text are text: {kind:?}");
    assert!(status(&gateway, br#"{"status":"failed","error":"a\u0000b"}"#).await.status < 500);
}

#[tokio::test]
async fn bodies_that_are_too_large() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let ten_megabytes = vec![b' '; 10_000_000];
    status(&gateway, &ten_megabytes).await.is_problem(413, "body_too_large");
    gateway.send("POST", "/api/v1/events", &[JSON], &ten_megabytes).await.is_problem(413, "body_too_large");
    let event = json!({"type": "heartbeat", "scheduler_id": "nightly"}).to_string();
    let many = format!("[{}]", vec![event.as_str(); 10_001].join(","));
    gateway.send("POST", "/api/v1/events", &[JSON], many.as_bytes()).await.is_problem(413, "body_too_large");
    let most = format!("[{}]", vec![event.as_str(); 10_000].join(","));
    let reply = gateway.send("POST", "/api/v1/events", &[JSON], most.as_bytes()).await;
    assert_eq!((reply.status, &reply.json()["accepted"]), (202, &json!(10_000)));
    let chunk = format!("{:x}\r\n{}\r\n", 70_000, " ".repeat(70_000));
    let head = format!(
        "PUT {STATUS} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nX-API-Key: {}\r\n{}: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        gateway.key, JSON.0, JSON.1
    );
    gateway.raw(format!("{head}{chunk}0\r\n\r\n").as_bytes()).await.is_problem(413, "body_too_large");
}

#[tokio::test]
async fn paths_methods_and_types_that_lead_nowhere() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let body = br#"{"status":"running"}"#;
    let long = format!("/api/v1/schedulers/{}/status", "a".repeat(129));
    for path in
        ["/api/v1/schedulers/a%2F..%2Fb/status", "/api/v1/schedulers/../status", "/api/v1/schedulers/%ff/status", &long]
    {
        gateway.send("PUT", path, &[JSON], body).await.is_problem(400, "invalid_path");
    }
    let unknown = gateway.send("PUT", "/api/v1/schedulers/nobody/status", &[JSON], body).await;
    unknown.is_problem(404, "unknown_scheduler");
    assert!(unknown.json()["detail"].as_str().unwrap().contains("/api/v1/schedulers/register"), "says how to register");
    gateway.send("GET", "/nowhere", &[], b"").await.is_problem(404, "not_found");
    gateway.send("GET", "/api/v1/nowhere", &[], b"").await.is_problem(404, "not_found");
    let wrong = gateway.send("PATCH", STATUS, &[JSON], body).await;
    wrong.is_problem(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("PUT"));
    let wrong = gateway.send("GET", "/api/v1/events", &[], b"").await;
    wrong.is_problem(405, "method_not_allowed");
    gateway
        .send("PUT", STATUS, &[("Content-Type", "application/x-www-form-urlencoded")], body)
        .await
        .is_problem(415, "unsupported_media_type");
    gateway.send("PUT", STATUS, &[], body).await.is_problem(415, "unsupported_media_type");
    gateway
        .send("PUT", STATUS, &[("Content-Type", "application/x-ndjson")], body)
        .await
        .is_problem(415, "unsupported_media_type");
    let schedule = json!({"id": "x", "schedule": {"cron": "61 * * * *", "timezone": "Asia/Jakata"}});
    let reply = gateway.json("POST", REGISTER, &schedule).await;
    reply.is_problem(400, "invalid_body");
    assert!(String::from_utf8_lossy(&reply.body).contains("Asia/Jakarta"), "suggests the nearest zone: {reply:?}");
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_only_a_harmless_one_is_taken_over() {
    let gateway = TestGateway::start().await.ready().await;
    let given = gateway.send("GET", "/nowhere", &[("X-Request-Id", "trace-1")], b"").await;
    assert_eq!((given.header("x-request-id"), &given.json()["request_id"]), (Some("trace-1"), &json!("trace-1")));
    let made = gateway.send("GET", "/nowhere", &[("X-Request-Id", "<script>")], b"").await;
    let made = made.header("x-request-id").unwrap();
    assert!(made.len() == 20 && made.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[tokio::test]
async fn a_bulk_of_mistakes_is_told_of_in_bounded_size() {
    let gateway = TestGateway::start().await.ready().await;
    let fields: Vec<String> = (0..60).map(|number| format!("\"nonsense_{number}\":1")).collect();
    let item = format!("{{\"type\":\"heartbeat\",{}}}", fields.join(","));
    let body = format!("[{}]", vec![item; 2_000].join(","));
    let reply = gateway.send("POST", "/api/v1/events", &[("Content-Type", "application/json")], body.as_bytes()).await;
    assert_eq!(reply.status, 202);
    let json = reply.json();
    let rejected = json["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 2_000);
    let listed: usize = rejected.iter().map(|item| item["errors"].as_array().map_or(0, Vec::len)).sum();
    assert_eq!((rejected[0]["errors"].as_array().unwrap().len(), listed), (10, 1_000));
    assert!(rejected[1_999]["code"] == "invalid_body" && reply.body.len() < 2 * body.len());
}

#[tokio::test]
async fn writes_and_keys_take_no_query() {
    let gateway = TestGateway::start().await.ready().await;
    gateway.register("nightly").await;
    let json = [("Content-Type", "application/json")];
    for (method, path) in [
        ("PUT", "/api/v1/schedulers/nightly/status?dry_run=1"),
        ("POST", "/api/v1/events?dry_run=1"),
        ("DELETE", "/api/v1/schedulers/nightly?dry_run=1"),
        ("GET", "/api/v1/keys?dry_run=1"),
        ("POST", "/api/v1/keys?dry_run=1"),
        ("DELETE", "/api/v1/keys/abc?dry_run=1"),
    ] {
        let reply = gateway.send(method, path, &json, b"{}").await;
        reply.is_problem(400, "invalid_query");
        assert_eq!(reply.json()["errors"][0]["pointer"], "dry_run", "{method} {path}");
    }
}
