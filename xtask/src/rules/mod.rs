//! The architecture's own rules, held by the machine: xtask/rules.toml.

mod code;
mod dependencies;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Deserialize;

use crate::report::Outcome;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    limits: Limits,
    dependencies: BTreeMap<String, Vec<String>>,
    vendor: BTreeMap<String, Vec<String>>,
    paths: Paths,
    #[serde(default)]
    allow: Vec<Allow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    file_lines: usize,
    function_lines: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paths {
    forbidden: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    rule: String,
    path: String,
    reason: String,
}

/// Checks everything in rules.toml.
pub(crate) fn check(root: &Path) -> anyhow::Result<Outcome> {
    let rules: Rules =
        toml::from_str(&std::fs::read_to_string(root.join("xtask/rules.toml"))?).context("rules.toml")?;
    let files = tracked(root)?;
    let mut failures = Vec::new();
    let mut used = vec![false; rules.allow.len()];
    let mut complain = |rule: &str, path: &str, what: String| {
        let mut excused = false;
        for (allow, used) in rules.allow.iter().zip(&mut used) {
            if allow.rule == rule && allow.path == path && !allow.reason.trim().is_empty() {
                (*used, excused) = (true, true);
            }
        }
        if !excused {
            failures.push(format!("{rule}: {what}"));
        }
    };
    for path in &files {
        // Not text, or deleted and not yet committed.
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        for (line, marker) in code::mentions(&text, &rules.paths.forbidden) {
            complain("paths", path, format!("{path}:{line} has a path of one machine ({marker}…)"));
        }
        if !path.ends_with(".rs") {
            continue;
        }
        let lines = text.lines().count();
        if lines > rules.limits.file_lines {
            complain("file_lines", path, format!("{path} has {lines} lines, more than {}", rules.limits.file_lines));
        }
        let bare = code::without_comments_and_literals(&text);
        for function in code::functions(&bare) {
            if function.lines > rules.limits.function_lines {
                let (line, name, lines) = (function.line, &function.name, function.lines);
                let most = rules.limits.function_lines;
                complain(
                    "function_lines",
                    path,
                    format!("{path}:{line} function {name} has {lines} lines, more than {most}"),
                );
            }
        }
        for (vendor, homes) in &rules.vendor {
            if homes.iter().any(|home| path.starts_with(home.as_str())) || !code::names(&bare, vendor) {
                continue;
            }
            complain("vendor", path, format!("{path} names {vendor}, which belongs in {}", homes.join(", ")));
        }
    }
    failures.extend(dependencies::check(root, &rules.dependencies)?);
    for (allow, _) in rules.allow.iter().zip(&used).filter(|(_, used)| !**used) {
        failures.push(format!("allow: the exception {} for {} is not needed any more", allow.rule, allow.path));
    }
    println!("   {} files", files.len());
    // Limits of files and functions, vendors, paths and dependencies: five rules.
    let broken: std::collections::BTreeSet<_> = failures.iter().filter_map(|text| text.split(':').next()).collect();
    Ok(Outcome { passed: 5_usize.saturating_sub(broken.len()), failures, skipped: Vec::new() })
}

/// Files that git knows or would add.
fn tracked(root: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("git is needed to list the files")?;
    anyhow::ensure!(output.status.success(), "git ls-files failed: is this a clone?");
    let mut files: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    files.sort();
    files.dedup();
    Ok(files)
}
