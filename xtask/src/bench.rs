//! Measurements: example programs of the crates, and the load generator against a real `ronda up`. Each prints its figures beside its
//! limit and exits non-zero below it.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use serde_json::Value;

use crate::rust;

/// What is measured: the crate and its example. One that is not written yet is told, not hidden.
const PROGRAMS: [(&str, &str); 7] = [
    ("ronda-domain", "apply_rate"),
    ("ronda-schemas", "parse_rate"),
    ("ronda-processor", "step_rate"),
    ("ronda-queue", "throughput"),
    ("ronda-queue", "engines"),
    ("ronda-store", "store_load"),
    ("ronda-store", "store_engines"),
];
/// The load over HTTP: not an example, but the load generator comparing a release build of the binary with a bare server.
const HTTP: &str = "ronda-load/http";

/// Runs all measurements, or those whose name contains a text. True when each kept its limit.
pub(crate) fn run(root: &Path, only: Option<&str>) -> anyhow::Result<bool> {
    let known = examples(root)?;
    let (mut ran, mut failed, mut missing) = (0, Vec::new(), Vec::new());
    for (package, example) in PROGRAMS {
        let name = format!("{package}/{example}");
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        if !known.contains(&name) {
            missing.push(name);
            continue;
        }
        println!("── {name}");
        let started = Instant::now();
        let status =
            rust::cargo(root).args(["run", "--release", "--quiet", "-p", package, "--example", example]).status()?;
        println!("   {:.1} s, building included", started.elapsed().as_secs_f64());
        ran += 1;
        if !status.success() {
            failed.push(name);
        }
    }
    if only.is_none_or(|only| HTTP.contains(only)) {
        println!("── {HTTP}");
        ran += 1;
        if !http(root)? {
            failed.push(HTTP.to_owned());
        }
    }
    for name in &missing {
        println!("!! SKIPPED {name}: there is no such example yet");
    }
    for name in &failed {
        println!("!! FAILED {name}");
    }
    println!("\n{} passed, {} failed, {} skipped", ran - failed.len(), failed.len(), missing.len());
    Ok(failed.is_empty() && ran > 0)
}

/// Builds the binary and the load generator, and lets one measure the other.
fn http(root: &Path) -> anyhow::Result<bool> {
    let build = ["build", "--release", "--quiet", "-p", "ronda", "-p", "ronda-load"];
    if !rust::cargo(root).args(build).status()?.success() {
        return Ok(false);
    }
    let release = rust::target_dir(root)?.join("release");
    let status = std::process::Command::new(release.join("ronda-load"))
        .current_dir(root)
        .args(["compare", "--ronda"])
        .arg(release.join("ronda"))
        .status()?;
    Ok(status.success())
}

fn examples(root: &Path) -> anyhow::Result<Vec<String>> {
    let output = rust::cargo(root).args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    let mut found = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        for target in package["targets"].as_array().into_iter().flatten() {
            if target["kind"][0] == "example" {
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                found.push(format!("{}/{}", text(&package["name"]), text(&target["name"])));
            }
        }
    }
    Ok(found)
}
