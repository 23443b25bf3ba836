//! What every step needs that talks to a `ronda up` of its own: a port, and a key.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// A loopback port that is free now.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Makes a key without a rate limit for a data directory, from within a folder; a `ronda up` may run on the directory or not.
pub(crate) fn unlimited_key(ronda: &Path, folder: &Path, data: &Path, name: &str) -> anyhow::Result<String> {
    let output = Command::new(ronda)
        .args(["keys", "create", "--name", name, "--rate-limit-per-minute", "0", "--json", "--data"])
        .arg(data)
        .current_dir(folder)
        .output()?;
    if !output.status.success() {
        bail!("ronda keys create: {}", String::from_utf8_lossy(&output.stderr));
    }
    let made: Value = serde_json::from_slice(&output.stdout).context("ronda keys create --json gives JSON")?;
    made["key"].as_str().map(str::to_owned).context("ronda keys create --json names the key")
}
