//! `register`, `status` and `heartbeat`.

use std::io::Read;
use std::path::Path;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::http::{Client, Sent};
use crate::cli::{HeartbeatArguments, RegisterArguments, Report, StatusArguments};
use crate::exit::{Code, Failure};
use crate::text::printable;

/// Registers a scheduler, or changes one.
///
/// # Errors
/// What the server, or the file, has against it.
pub async fn register(arguments: RegisterArguments) -> Result<String, Failure> {
    let body = match &arguments.file {
        Some(file) => read(file)?,
        None => registration(&arguments),
    };
    let client = Client::new(&arguments.server)?;
    let sent = client.send(Method::POST, &["api", "v1", "schedulers", "register"], &[], Some(&body), None).await?;
    if arguments.server.json {
        return Ok(format!("{:#}\n", sent.body));
    }
    let id = printable(body["id"].as_str().unwrap_or_default());
    Ok(match sent.status {
        201 => format!("{id} is registered.{}\n", due(&sent)),
        200 => format!("{id} is up to date.{}\n", due(&sent)),
        _ => format!("{id} is accepted, and will be there in a moment.\n"),
    })
}

fn due(sent: &Sent) -> String {
    sent.body["next_due"].as_str().map(|due| format!(" Next due: {}.", printable(due))).unwrap_or_default()
}

fn read(file: &Path) -> Result<Value, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(file).map(|read| text = read)
    };
    let name = file.display();
    read.map_err(|error| Failure::new(Code::Usage, format!("{name} can't be read: {error}")))?;
    serde_json::from_str(&text).map_err(|error| Failure::new(Code::Usage, format!("{name} is not JSON: {error}")))
}

fn registration(arguments: &RegisterArguments) -> Value {
    let mut body = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.to_owned(), value);
        }
    };
    put("id", arguments.id.clone().map(Value::from));
    put("name", arguments.name.clone().map(Value::from));
    put("description", arguments.description.clone().map(Value::from));
    put("team", arguments.team.clone().map(Value::from));
    put("environment", arguments.environment.clone().map(Value::from));
    put("tags", (!arguments.tags.is_empty()).then(|| json!(arguments.tags)));
    let schedule = match (&arguments.cron, &arguments.timezone, arguments.every_seconds) {
        (Some(cron), Some(zone), _) => Some(json!({"cron": cron, "timezone": zone})),
        (Some(cron), None, _) => Some(json!({"cron": cron})),
        (None, _, Some(seconds)) => Some(json!({"every_seconds": seconds})),
        (None, _, None) => None,
    };
    put("schedule", schedule);
    put("start_grace_seconds", arguments.start_grace_seconds.map(Value::from));
    put("early_window_seconds", arguments.early_window_seconds.map(Value::from));
    put("max_run_seconds", arguments.max_run_seconds.map(Value::from));
    put("heartbeat_timeout_seconds", arguments.heartbeat_timeout_seconds.map(Value::from));
    put("alert_after", arguments.alert_after.map(Value::from));
    put("recover_after", arguments.recover_after.map(Value::from));
    put("severity", arguments.severity.clone().map(Value::from));
    put("runbook_url", arguments.runbook_url.clone().map(Value::from));
    Value::Object(body)
}

/// Reports how a run is doing or ended.
///
/// # Errors
/// What the server has against it.
pub async fn status(arguments: StatusArguments) -> Result<String, Failure> {
    let mut body = common(&arguments.report);
    body.insert(String::from("status"), json!(arguments.status));
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
    let client = Client::new(&report.server)?;
    let path = ["api", "v1", "schedulers", id, what];
    let sent = client.send(method, &path, &[], Some(&Value::Object(body)), report.wait).await?;
    if report.server.json {
        return Ok(format!("{:#}\n", sent.body));
    }
    let run = sent.body["run_id"].as_str().map(|run| format!(" (run {})", printable(run))).unwrap_or_default();
    Ok(match sent.body["status"].as_str() {
        Some(status) if sent.status == 200 => format!("{id} is {}{run}.\n", printable(status)),
        _ => format!("{id}: {what} is recorded{run}.\n"),
    })
}
