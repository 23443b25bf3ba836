//! Format, lints and tests.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::report::Outcome;

/// Cargo, as the one that runs this.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // What cargo sets for this tool must not reach what this tool builds.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir(root: &Path) -> anyhow::Result<PathBuf> {
    let output = cargo(root).args(["metadata", "--format-version", "1", "--no-deps"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata gave no JSON")?;
    metadata["target_directory"].as_str().map(Into::into).context("cargo metadata names the target directory")
}

/// `cargo fmt --check`.
pub(crate) fn format(root: &Path) -> anyhow::Result<Outcome> {
    let status = cargo(root).args(["fmt", "--all", "--check"]).stdout(Stdio::null()).status()?;
    Ok(if status.success() { Outcome::passed() } else { Outcome::failed("run 'cargo fmt --all'") })
}

/// What turns on the adapters to brokers and databases, and the suite that the former's tests run.
const ADAPTERS: [&str; 2] = [
    "--features",
    "ronda/brokers,ronda/stores,ronda-load/brokers,ronda-gateway-harness/brokers,ronda-queue/conformance,ronda-notifier/conformance,ronda-notifier/cassandra",
];

/// Clippy over everything, as it is built by default and with all adapters; warnings refused.
pub(crate) fn lints(root: &Path) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    for (built, features) in [("by default", [].as_slice()), ("with all adapters", ADAPTERS.as_slice())] {
        let mut clippy = cargo(root);
        clippy.args(["clippy", "--workspace", "--all-targets", "--quiet"]).args(features);
        if clippy.args(["--", "-D", "warnings"]).status()?.success() {
            outcome.passed += 1;
        } else {
            outcome.failures.push(format!("clippy has something to say of what is built {built}, see above"));
        }
    }
    Ok(outcome)
}

/// What a test prints, past its harness, when it could not do what it is for.
const SKIPPED: &str = "!! SKIPPED ";

/// All tests of the workspace, those on real servers among them, counted from what the harness and the tests print.
pub(crate) fn tests(root: &Path) -> anyhow::Result<Outcome> {
    let mut child = cargo(root)
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(ADAPTERS)
        .env("CARGO_TERM_COLOR", "never")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("the output is piped")?;
    let errors = child.stderr.take().context("the errors are piped")?;
    let errors = std::thread::spawn(move || echo(errors));
    let mut outcome = Outcome::default();
    for line in BufReader::new(output).lines() {
        let line = line?;
        let quiet = line.ends_with("... ok") || line.trim().is_empty() || line.starts_with("running ");
        if !quiet {
            println!("   {line}");
        }
        read(&line, &mut outcome);
    }
    outcome.skipped.extend(errors.join().unwrap_or_default());
    if !child.wait()?.success() && outcome.failures.is_empty() {
        outcome.failures.push(String::from("cargo test failed before or beside its tests, see above"));
    }
    Ok(outcome)
}

/// Passes lines on to standard error, and answers what was skipped.
fn echo(errors: impl Read) -> Vec<String> {
    let mut skipped = Vec::new();
    for line in BufReader::new(errors).lines().map_while(Result::ok) {
        let _ = writeln!(std::io::stderr(), "{line}");
        skipped.extend(skip(&line));
    }
    skipped
}

fn skip(line: &str) -> Option<String> {
    line.split_once(SKIPPED).map(|(_, what)| what.to_owned())
}

fn read(line: &str, outcome: &mut Outcome) {
    outcome.skipped.extend(skip(line));
    let Some((name, verdict)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) else { return };
    match verdict {
        "ok" => outcome.passed += 1,
        "FAILED" => outcome.failures.push(format!("test {name}")),
        _ if verdict.starts_with("ignored") => {
            let reason = verdict.trim_start_matches("ignored").trim_start_matches([',', ' ']);
            let reason = if reason.is_empty() { "marked #[ignore] without a reason" } else { reason };
            outcome.skipped.push(format!("test {name}: {reason}"));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_counted_and_reasons_kept() {
        let mut outcome = Outcome::default();
        for line in [
            "running 4 tests",
            "test a::works ... ok",
            "test a::breaks ... FAILED",
            "test a::slow ... ignored, needs ten minutes",
            "test a::tool ... !! SKIPPED the page's examples: there is no node",
            "ok",
            "test src/lib.rs - (line 3) ... ok",
            "test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out",
        ] {
            read(line, &mut outcome);
        }
        assert_eq!(outcome.passed, 2);
        assert_eq!(outcome.failures, ["test a::breaks"]);
        assert_eq!(outcome.skipped, ["test a::slow: needs ten minutes", "the page's examples: there is no node"]);
        // Not through `echo`, whose output a run of these tests would count.
        assert_eq!(skip("!! SKIPPED it: no curl").as_deref(), Some("it: no curl"));
        assert_eq!(skip("Compiling"), None);
    }
}
