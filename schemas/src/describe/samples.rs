//! Messages as examples: in the AsyncAPI document, and for tests.

use serde_json::{Value, json};

/// An example.
pub struct Sample {
    /// Its name.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub summary: &'static str,
    /// The message.
    pub payload: Value,
}

/// One command each.
#[must_use]
pub fn commands() -> Vec<Sample> {
    let sample = |name, summary, payload| Sample { name, summary, payload };
    vec![
        sample(
            "register",
            "A job that is expected at one o'clock in Jakarta.",
            json!({"type": "register", "id": "nightly-billing", "name": "Nightly billing", "team": "payments",
                "schedule": {"cron": "0 1 * * *", "timezone": "Asia/Jakarta"},
                "start_grace_seconds": 300, "heartbeat_timeout_seconds": 120, "severity": "critical",
                "runbook_url": "https://wiki.example.com/runbooks/nightly-billing"}),
        ),
        sample(
            "running",
            "It has started.",
            json!({"type": "status", "scheduler_id": "nightly-billing", "run_id": "2026-11-24T01:00:00", "status": "running",
                "occurred_at": "2026-11-23T18:00:00.250Z"}),
        ),
        sample(
            "heartbeat",
            "It is still at it.",
            json!({"type": "heartbeat", "scheduler_id": "nightly-billing", "run_id": "2026-11-24T01:00:00",
                "progress": {"done": 120, "total": 500, "message": "invoices"}}),
        ),
        sample(
            "failed",
            "It has ended badly.",
            json!({"type": "status", "scheduler_id": "nightly-billing", "run_id": "2026-11-24T01:00:00", "status": "failed",
                "error": "disk full", "exit_code": 1, "duration_ms": 5321, "metadata": {"host": "batch-7"}}),
        ),
        sample(
            "pause",
            "Nothing is expected of it for now.",
            json!({"type": "pause", "scheduler_id": "nightly-billing"}),
        ),
        sample("resume", "It is watched again.", json!({"type": "resume", "scheduler_id": "nightly-billing"})),
        sample("delete", "It is forgotten.", json!({"type": "delete", "scheduler_id": "nightly-billing"})),
    ]
}

/// One command each, as a CloudEvent in structured mode.
#[must_use]
pub fn cloud_events() -> Vec<Sample> {
    vec![
        Sample {
            name: "success",
            summary: "A run has ended well.",
            payload: json!({"specversion": "1.0", "id": "5c0b2d9e-9d3f-4b52-8a51-1f6f7b7a2f10", "source": "/batch/host-7",
                "type": "ronda.status", "subject": "nightly-billing", "time": "2026-11-23T18:04:05Z",
                "datacontenttype": "application/json", "data": {"run_id": "2026-11-24T01:00:00", "status": "success"}}),
        },
        Sample {
            name: "sign-of-life",
            summary: "A heartbeat needs no data.",
            payload: json!({"specversion": "1.0", "id": "1", "source": "/batch/host-7", "type": "ronda.heartbeat",
                "subject": "nightly-billing"}),
        },
    ]
}

/// Several commands in one message.
#[must_use]
pub fn batches() -> Vec<Sample> {
    let run = |kind: &str, field: &str, value: Value| json!({"type": kind, "scheduler_id": "nightly-billing", "run_id": "2026-11-24T01:00:00", field: value});
    vec![Sample {
        name: "start-and-progress",
        summary: "All schedulers of a message must be of the partition that it is sent to.",
        payload: json!([
            run("status", "status", json!("running")),
            run("heartbeat", "progress", json!({"done": 1, "total": 500}))
        ]),
    }]
}
