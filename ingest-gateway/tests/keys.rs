//! Making keys through the API, and methods that an address does not take.

mod common;

use common::TestGateway;
use serde_json::json;

#[tokio::test]
async fn a_new_key_is_told_everything_that_is_wrong_with_it() {
    let gateway = TestGateway::start().await.ready().await;
    let wrong = json!({"scopes": ["ingest", "write"], "rate_limit_per_minute": -1, "expires_at": "soon", "colour": 1});
    let reply = gateway.json("POST", "/api/v1/keys", &wrong).await;
    reply.is_problem(400, "invalid_body");
    let errors = reply.json()["errors"].as_array().cloned().unwrap_or_default();
    let pointers: Vec<&str> = errors.iter().filter_map(|error| error["pointer"].as_str()).collect();
    assert_eq!(pointers, ["/name", "/scopes/1", "/rate_limit_per_minute", "/expires_at", "/colour"]);
}

#[tokio::test]
async fn a_new_key_takes_whole_numbers_however_they_are_written() {
    let gateway = TestGateway::start().await.ready().await;
    let body = br#"{"name": "batch", "scopes": ["read"], "rate_limit_per_minute": 2235.0, "expires_at": null}"#;
    let reply =
        gateway.send("POST", "/api/v1/keys", &[("Content-Type", "application/json; charset=utf-8")], body).await;
    assert_eq!((reply.status, &reply.json()["rate_limit_per_minute"]), (201, &json!(2235)), "{reply:?}");
}

#[tokio::test]
async fn a_new_key_is_read_from_json_only() {
    let gateway = TestGateway::start().await.ready().await;
    let body = br#"{"name": "batch", "scopes": ["read"]}"#;
    for headers in [&[("Content-Type", "text/plain")][..], &[][..]] {
        let reply = gateway.send("POST", "/api/v1/keys", headers, body).await;
        reply.is_problem(415, "unsupported_media_type");
    }
    gateway.send("POST", "/api/v1/keys", &[], b"").await.is_problem(400, "invalid_json");
}

#[tokio::test]
async fn a_method_that_is_not_taken_is_answered_with_those_that_are() {
    let gateway = TestGateway::start().await.ready().await;
    for (path, allow, detail) in [
        ("/api/v1/keys", "GET,HEAD,POST", "It takes GET, POST."),
        ("/api/v1/schedulers/nightly", "DELETE,GET,HEAD", "It takes GET, DELETE."),
        ("/api/v1/schedulers/nightly/status", "PUT", "It takes PUT."),
        ("/api/docs/", "GET,HEAD", "It takes GET."),
    ] {
        let reply = gateway.send("PATCH", path, &[], b"").await;
        reply.is_problem(405, "method_not_allowed");
        assert_eq!((reply.header("allow"), &reply.json()["detail"]), (Some(allow), &json!(detail)), "{path}");
    }
}

#[tokio::test]
async fn a_key_that_could_do_nothing_is_not_made() {
    let gateway = TestGateway::start().await.ready().await;
    for body in [
        json!({"name": "batch", "scopes": []}),
        json!({"name": "batch", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}),
    ] {
        gateway.json("POST", "/api/v1/keys", &body).await.is_problem(400, "invalid_body");
    }
}
