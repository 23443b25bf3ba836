//! `status` and `heartbeat`.

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::http::{Client, Request};
use crate::cli::{HeartbeatArguments, Report, StatusArguments};
use crate::text::printable;
use ronda_host::exit::{Code, Failure};

/// Reports how a run is doing or ended.
///
/// # Errors
/// What the server has against it.
pub async fn status(arguments: StatusArguments) -> Result<String, Failure> {
    let Some(status) = &arguments.status else {
        let id = &arguments.id;
        let message = format!(
            "say what to report of {id}: running, success, failed, cancelled or skipped\n  'ronda schedulers show {id}' shows how it is"
        );
        return Err(Failure::new(Code::Usage, message));
    };
    let mut body = common(&arguments.report);
    body.insert(String::from("status"), json!(status));
    if let Some(error) = &arguments.error {
        body.insert(String::from("error"), json!(error));
    }
    if let Some(exit_code) = arguments.exit_code {
        body.insert(String::from("exit_code"), json!(exit_code));
    }
    if let Some(duration_ms) = arguments.duration_ms {
        body.insert(String::from("duration_ms"), json!(duration_ms));
    }
    if !arguments.metadata.is_empty() {
        let pairs = arguments.metadata.iter().map(|(key, value)| (key.clone(), json!(value)));
        body.insert(String::from("metadata"), Value::Object(pairs.collect()));
    }
    send(Method::PUT, &arguments.id, "status", body, &arguments.report).await
}

/// Reports that a run, or a worker, is alive.
///
/// # Errors
/// What the server has against it.
pub async fn heartbeat(arguments: HeartbeatArguments) -> Result<String, Failure> {
    let mut body = common(&arguments.report);
    let mut progress = Map::new();
    if let Some(done) = arguments.done {
        progress.insert(String::from("done"), json!(done));
    }
    if let Some(total) = arguments.total {
        progress.insert(String::from("total"), json!(total));
    }
    if let Some(message) = &arguments.message {
        progress.insert(String::from("message"), json!(message));
    }
    if !progress.is_empty() {
        body.insert(String::from("progress"), Value::Object(progress));
    }
    send(Method::POST, &arguments.id, "heartbeat", body, &arguments.report).await
}

fn common(report: &Report) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(run_id) = &report.run_id {
        body.insert(String::from("run_id"), json!(run_id));
    }
    if let Some(occurred_at) = &report.occurred_at {
        body.insert(String::from("occurred_at"), json!(occurred_at));
    }
    body
}

async fn send(
    method: Method,
    id: &str,
    what: &str,
    body: Map<String, Value>,
    report: &Report,
) -> Result<String, Failure> {
    let path = ["api", "v1", "schedulers", id, what];
    // A status that names no run could be taken for one of another run when it comes twice.
    let once = what == "status" && !body.contains_key("run_id");
    let body = Value::Object(body);
    let request = Request { body: Some(&body), wait: report.wait, once, ..Request::new(method, &path) };
    let sent = Client::for_writes(&report.server)?.carry_out(request).await?;
    if report.server.json {
        return Ok(format!("{:#}\n", sent.body));
    }
    let run = sent.body["run_id"].as_str().map(|run| format!(" (run {})", printable(run))).unwrap_or_default();
    Ok(match sent.body["status"].as_str() {
        Some(status) if sent.status == 200 => format!("{id}: {}.\n", printable(status)),
        _ => format!("{id}: {what} is recorded{run}.\n"),
    })
}
