//! Measurements: example programs of the crates, each of which prints its figures beside its limit and exits non-zero below it.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use serde_json::Value;

use crate::rust;

/// What is measured: the crate and its example. One that is not written yet is told, not hidden.
const PROGRAMS: [(&str, &str); 6] = [
    ("ronda-domain", "apply_rate"),
    ("ronda-schemas", "parse_rate"),
    ("ronda-processor", "step_rate"),
    ("ronda-queue", "throughput"),
    ("ronda-queue", "engines"),
    ("ronda-store", "engines"),
];

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
    for name in &missing {
        println!("!! SKIPPED {name}: there is no such example yet");
    }
    for name in &failed {
        println!("!! FAILED {name}");
    }
    println!("\n{} passed, {} failed, {} skipped", ran - failed.len(), failed.len(), missing.len());
    Ok(failed.is_empty() && ran > 0)
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
