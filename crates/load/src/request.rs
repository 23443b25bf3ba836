//! Requests as bytes, formatted into a reused buffer.

use std::io::Write;

/// What each request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `PUT …/status` with `running` of the scheduler's one long run.
    Status,
    /// `POST …/heartbeat` of the scheduler's one long run, with its number as progress.
    Heartbeat,
    /// `POST /api/v1/events` with so many heartbeats.
    Events(usize),
}

/// Where requests go, and with which key.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port`.
    pub address: String,
    /// The API key.
    pub key: String,
}

/// The name of the scheduler with this number.
#[must_use]
pub fn scheduler_id(number: usize) -> String {
    format!("load-{number:06}")
}

/// Frames a body as an HTTP request.
pub fn frame(out: &mut Vec<u8>, target: &Target, method: &str, path: &str, body: &[u8]) {
    out.clear();
    // Writing to a Vec can't fail.
    let _ = write!(
        out,
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nx-api-key: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        target.address,
        target.key,
        body.len()
    );
    out.extend_from_slice(body);
}

/// The request that registers a scheduler without a schedule: only its runs and heartbeats are watched.
pub fn register(out: &mut Vec<u8>, target: &Target, number: usize) {
    let id = scheduler_id(number);
    let body = format!(r#"{{"id":"{id}","name":"Load {number}","team":"load","heartbeat_timeout_seconds":86400}}"#);
    frame(out, target, "POST", "/api/v1/schedulers/register", body.as_bytes());
}

/// The next request of a connection; `first` is the number of its first scheduler, `sequence` counts the connection's heartbeats.
pub fn next(
    out: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    target: &Target,
    shape: Shape,
    schedulers: &[usize],
    sequence: u64,
) {
    scratch.clear();
    match shape {
        Shape::Status => {
            let number = schedulers[0];
            let _ = write!(
                scratch,
                r#"{{"status":"running","run_id":"run-{number}","occurred_at":"2026-11-23T18:00:00Z","duration_ms":{sequence}}}"#
            );
            frame(out, target, "PUT", &format!("/api/v1/schedulers/load-{number:06}/status"), scratch);
        }
        Shape::Heartbeat => {
            let number = schedulers[0];
            let _ = write!(scratch, r#"{{"run_id":"run-{number}","progress":{{"done":{sequence}}}}}"#);
            frame(out, target, "POST", &format!("/api/v1/schedulers/load-{number:06}/heartbeat"), scratch);
        }
        Shape::Events(_) => {
            scratch.push(b'[');
            for (index, number) in schedulers.iter().enumerate() {
                if index > 0 {
                    scratch.push(b',');
                }
                let _ = write!(
                    scratch,
                    r#"{{"type":"heartbeat","scheduler_id":"load-{number:06}","run_id":"run-{number}","progress":{{"done":{sequence}}}}}"#
                );
            }
            scratch.push(b']');
            frame(out, target, "POST", "/api/v1/events", scratch);
        }
    }
}
