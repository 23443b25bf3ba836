//! What readers are promised: filters, pages, histories, and clear refusals.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use common::{PARTITIONS, Setup, TestGateway};
use ronda_domain::record::{OccurrenceRecord, OccurrenceStatus};
use ronda_store::conformance::fixture::{Owner, due, key, occurrence, run};
use ronda_store::port::{Commit, PartitionStore};
use serde_json::{Value, json};

async fn register(gateway: &TestGateway, body: Value) {
    let reply = gateway.json("POST", "/api/v1/schedulers/register", &body).await;
    assert!(matches!(reply.status, 200 | 201), "{}", String::from_utf8_lossy(&reply.body));
}

async fn get(gateway: &TestGateway, path: &str) -> Value {
    let reply = gateway.send("GET", path, &[], b"").await;
    assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_filtered_and_paged_in_a_stable_order() {
    let gateway = TestGateway::start().await.ready().await;
    for number in 0..7 {
        let team = if number % 2 == 0 { "payments" } else { "stock" };
        let tags = if number < 3 { json!(["money", "night"]) } else { json!(["night"]) };
        let body = json!({"id": format!("job-{number}"), "name": format!("Job № {number}"), "team": team, "environment": "production", "tags": tags});
        register(&gateway, body).await;
    }
    let all = get(&gateway, "/api/v1/schedulers").await;
    assert_eq!(ids(&all), ["job-0", "job-1", "job-2", "job-3", "job-4", "job-5", "job-6"]);
    assert_eq!(all["next_cursor"], Value::Null);
    for (query, expected) in [
        ("team=stock", vec!["job-1", "job-3", "job-5"]),
        ("tag=money&tag=night&team=payments", vec!["job-0", "job-2"]),
        ("environment=staging", vec![]),
        ("q=%E2%84%96+4", vec!["job-4"]),
        ("q=JOB-6", vec!["job-6"]),
        ("status=new&limit=2&team=stock", vec!["job-1", "job-3"]),
        ("status=failed", vec![]),
    ] {
        assert_eq!(ids(&get(&gateway, &format!("/api/v1/schedulers?{query}")).await), expected, "{query}");
    }
    let mut seen = Vec::new();
    let mut path = "/api/v1/schedulers?limit=2&team=payments".to_owned();
    loop {
        let reply = gateway.send("GET", &path, &[], b"").await;
        seen.extend(ids(&reply.json()).into_iter().map(str::to_owned));
        let Some(link) = reply.header("link") else {
            assert_eq!(reply.json()["next_cursor"], Value::Null);
            break;
        };
        path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned();
        assert!(path.contains(reply.json()["next_cursor"].as_str().unwrap()));
    }
    assert_eq!(seen, ["job-0", "job-2", "job-4", "job-6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_queries_are_refused_by_name() {
    let gateway = TestGateway::start().await.ready().await;
    for number in 0..3 {
        register(&gateway, json!({"id": format!("job-{number}")})).await;
    }
    let reply = gateway
        .send("GET", "/api/v1/schedulers?status=bad&limit=0&team=a&team=b&colour=red&q=%FF&tag=%00", &[], b"")
        .await;
    reply.is_problem(400, "invalid_query");
    let problem = reply.json();
    let names: BTreeSet<&str> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["status", "limit", "team", "colour", "q", "tag"]));
    let cursor = get(&gateway, "/api/v1/schedulers?limit=1").await["next_cursor"].as_str().unwrap().to_owned();
    get(&gateway, &format!("/api/v1/schedulers?limit=2&cursor={cursor}")).await;
    let other = gateway.send("GET", &format!("/api/v1/schedulers?team=a&cursor={cursor}"), &[], b"").await;
    other.is_problem(400, "invalid_cursor");
    for (path, status, code) in [
        ("/api/v1/schedulers?cursor=x", 400, "invalid_cursor"),
        ("/api/v1/schedulers/job-1?x=1", 400, "invalid_query"),
        ("/api/v1/schedulers/job-9", 404, "unknown_scheduler"),
        ("/api/v1/schedulers/job-9/history", 404, "unknown_scheduler"),
        ("/api/v1/schedulers/..%2Fetc", 400, "invalid_path"),
        ("/api/v1/schedulers/%FF", 400, "invalid_path"),
        ("/api/v1/schedulers/job-1/history?from=yesterday", 400, "invalid_query"),
        ("/api/v1/errors?limit=501", 400, "invalid_query"),
        ("/api/v1/nothing", 404, "not_found"),
    ] {
        gateway.send("GET", path, &[], b"").await.is_problem(status, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduler_shows_what_was_registered_and_when() {
    let gateway = TestGateway::start().await.ready().await;
    register(
        &gateway,
        json!({"id": "nightly", "schedule": {"cron": "0 1 * * *", "timezone": "Asia/Jakarta"}, "severity": "critical"}),
    )
    .await;
    let shown = get(&gateway, "/api/v1/schedulers/nightly").await;
    assert_eq!(shown["schedule"], json!({"cron": "0 1 * * *", "timezone": "Asia/Jakarta"}));
    assert_eq!(
        (&shown["name"], &shown["severity"], &shown["status"]),
        (&json!("nightly"), &json!("critical"), &json!("new"))
    );
    let as_of = shown["as_of"].as_str().unwrap();
    assert!(as_of >= shown["registered_at"].as_str().unwrap() && as_of.ends_with('Z'), "{shown}");
    assert!(shown["next_due"].as_str().unwrap().ends_with("18:00:00.000Z"), "{shown}");
    let history =
        get(&gateway, "/api/v1/schedulers/nightly/history?from=2026-01-01T00:00:00+07:00&until=9999-12-31T23:59:59Z")
            .await;
    assert_eq!(history, json!({"items": [], "next_cursor": null}));
    assert_eq!(get(&gateway, "/api/v1/errors").await, json!({"items": [], "next_cursor": null}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_with_thousands_of_runs_comes_in_pieces() {
    let gateway = TestGateway::with(Setup { processor: false, ..Setup::default() }).await.ready().await;
    let job = key("acme", "retried");
    let mut owner = Owner::acquire(&*gateway.store, 0, PARTITIONS).await;
    for number in 0..30_u32 {
        let subject = due(i64::from(number));
        let runs = (0..250).map(|run_number| (job.clone(), run(&subject, &format!("run-{run_number}"), run_number)));
        let entry = OccurrenceRecord { runs: 250, ..occurrence(&subject, OccurrenceStatus::Failed) };
        let commit = Commit { occurrences: vec![(job.clone(), entry)], runs: runs.collect(), ..owner.next_commit() };
        gateway.store.commit(Arc::new(commit)).await.unwrap();
    }
    let mut sizes = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(&gateway, &format!("/api/v1/schedulers/retried/history?limit=500&cursor={cursor}")).await;
        for entry in page["items"].as_array().unwrap() {
            let runs = entry["runs"].as_array().unwrap();
            assert_eq!((runs.len(), &entry["runs_total"]), (100, &json!(250)));
            let (first, last) = (&runs[0]["started_at"], &runs[99]["started_at"]);
            assert_eq!((first, last), (&json!("1970-01-01T00:02:30.000Z"), &json!("1970-01-01T00:04:09.000Z")));
        }
        sizes.push(page["items"].as_array().unwrap().len());
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = next.to_owned();
    }
    assert_eq!(sizes, [19, 11], "a page looks at 5,000 entries and runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_router_and_the_document_have_the_same_operations() {
    let gateway = TestGateway::start().await.ready().await;
    let document = get(&gateway, "/api/openapi.json").await;
    for (path, item) in document["paths"].as_object().unwrap() {
        let documented: BTreeSet<String> =
            item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        let concrete = path.replace("{id}", "nobody");
        // A method that no address takes: the answer lists those that it does.
        let reply = gateway.send("TRACE", &concrete, &[], b"").await;
        reply.is_problem(405, "method_not_allowed");
        let allowed: BTreeSet<String> = reply
            .header("allow")
            .unwrap()
            .split(',')
            .map(|method| method.trim().to_owned())
            .filter(|method| method != "HEAD")
            .collect();
        // The path of a registration is also one of a scheduler, whose methods are documented there.
        assert_eq!(allowed, documented, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_needs_no_key() {
    let gateway = TestGateway::start().await.ready().await;
    for (path, content_type) in [
        ("/api/openapi.json", "application/json"),
        ("/api/asyncapi.json", "application/json"),
        ("/api/docs/", "text/html"),
        ("/api/docs/problems", "text/html; charset=utf-8"),
        ("/api/docs/swagger-ui-bundle.js", "text/javascript"),
    ] {
        let reply = gateway.send_as_is("GET", path, &[], b"").await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some(content_type)), "{path}");
    }
    let reply = gateway.send_as_is("GET", "/api/docs", &[], b"").await;
    assert_eq!((reply.status, reply.header("location")), (308, Some("/api/docs/")));
}
