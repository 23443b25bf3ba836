//! The direction of dependencies between our own crates.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::rust;

/// Every dependency that the table does not allow. Dependencies of tests may point to the tools, but never from one service to another.
pub(super) fn check(root: &Path, allowed: &BTreeMap<String, Vec<String>>) -> anyhow::Result<Vec<String>> {
    let output = rust::cargo(root).args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    Ok(packages.iter().flat_map(|package| judge(package, allowed)).collect())
}

fn judge(package: &Value, allowed: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some(may) = allowed.get(name) else {
        return vec![format!("dependencies: {name} is not in rules.toml; say what it may depend on")];
    };
    let mut found = Vec::new();
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let other = dependency["name"].as_str().unwrap_or_default();
        let ours = dependency["path"].is_string();
        let shipped = dependency["kind"].as_str() != Some("dev");
        let fine = may.iter().any(|one| one == other) || (!shipped && may_test_with(other));
        if ours && !fine && other != name {
            found.push(format!("dependencies: {name} may not depend on {other}"));
        }
    }
    found
}

/// What tests of any crate may use beyond the crate's own dependencies.
fn may_test_with(other: &str) -> bool {
    !["ronda", "ronda-ingest-gateway", "ronda-processor", "ronda-notifier"].contains(&other)
}
