//! Measurements: example programs of the crates, and the load generator against a real `ronda up`. Those that have a limit print their
//! figure beside it and exit non-zero when it is not kept; the others print figures for people, and fail only when they can't run.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use serde_json::Value;

use crate::{chaos, rust};

/// An example program that measures.
struct Program {
    package: &'static str,
    example: &'static str,
    /// Its arguments; `DIR` stands for a folder that is made for it.
    arguments: &'static [&'static str],
    /// Whether its exit code says that a limit was kept.
    limited: bool,
}

const fn program(
    package: &'static str,
    example: &'static str,
    arguments: &'static [&'static str],
    limited: bool,
) -> Program {
    Program { package, example, arguments, limited }
}

/// What is measured. One that is not written yet is told, not hidden.
const PROGRAMS: [Program; 9] = [
    program("ronda-domain", "apply_rate", &[], true),
    program("ronda-schemas", "parse_rate", &[], false),
    program("ronda-processor", "step_rate", &[], false),
    program("ronda-notifier", "notify_surfaces", &["DIR"], true),
    program("ronda-queue", "throughput", &["DIR"], false),
    program("ronda-queue", "engines", &["DIR"], false),
    program("ronda-store", "store_load", &["DIR/data"], false),
    program("ronda-store", "store_engines", &["DIR/data", "fjall"], false),
    program("ronda-store", "store_engines", &["DIR/data", "redb"], false),
];
/// Measures something by several programs at once. True when its limits were kept.
type Bench = fn(&Path) -> anyhow::Result<bool>;

/// What takes more than an example: a release build of the binary, with servers where they are needed.
const BENCHES: [(&str, Bench); 6] = [
    // The load generator comparing the binary with a bare server.
    ("ronda-load/http", http),
    // The same on brokers.
    ("queue/brokers", queues),
    // How soon people hear of a failure.
    ("ronda-load/notify", notify),
    // Commits on databases beside their bare clients.
    ("store/databases", databases),
    // What heartbeats cost in databases. It has no limit to keep.
    ("store/costs", costs),
    // Processors that come, go and are killed.
    ("replicas/processors", replicas),
];

/// Runs all measurements, or those whose name contains a text. True when each ran, and kept its limit if it has one.
pub(crate) fn run(root: &Path, only: Option<&str>) -> anyhow::Result<bool> {
    let known = examples(root)?;
    let (mut kept, mut measured, mut failed, mut missing) = (0, 0, Vec::new(), Vec::new());
    for program in &PROGRAMS {
        let name = format!("{}/{}", program.package, program.example);
        if only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        if !known.contains(&name) {
            missing.push(name);
            continue;
        }
        println!("── {name}");
        let started = Instant::now();
        let good = measure(root, program)?;
        println!("   {:.1} s, building included", started.elapsed().as_secs_f64());
        match (good, program.limited) {
            (false, _) => failed.push(name),
            (true, true) => kept += 1,
            (true, false) => measured += 1,
        }
    }
    for (name, bench) in BENCHES.iter().filter(|(name, _)| only.is_none_or(|only| name.contains(only))) {
        println!("── {name}");
        if bench(root)? {
            kept += 1;
        } else {
            failed.push((*name).to_owned());
        }
    }
    for name in &missing {
        println!("!! SKIPPED {name}: there is no such example yet");
    }
    for name in &failed {
        println!("!! FAILED {name}");
    }
    let (wrong, skipped) = (failed.len(), missing.len());
    println!("\n{kept} kept their limits, {measured} measured without one, {wrong} failed, {skipped} skipped");
    Ok(failed.is_empty() && kept + measured > 0)
}

/// Runs an example, in a folder of its own that goes with it.
fn measure(root: &Path, program: &Program) -> anyhow::Result<bool> {
    let folder = rust::target_dir(root)?.join("bench");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    let arguments = program.arguments.iter().map(|argument| argument.replace("DIR", &folder.to_string_lossy()));
    let status = rust::cargo(root)
        .args(["run", "--release", "--quiet", "-p", program.package, "--example", program.example, "--"])
        .args(arguments)
        .status()?;
    let _ = std::fs::remove_dir_all(&folder);
    Ok(status.success())
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

/// From the report of a failure to the call that tells it, on the embedded queue and on NATS.
fn notify(root: &Path) -> anyhow::Result<bool> {
    let Some(folder) = chaos::build(root, true)? else { return Ok(false) };
    let mut all_hold = true;
    for queue in ["embedded", "nats"] {
        let mut command = std::process::Command::new(folder.join("ronda-load"));
        command.args(["notify", "--queue", queue, "--ronda"]).arg(folder.join("ronda"));
        all_hold &= command.current_dir(root).status()?.success();
    }
    Ok(all_hold)
}

/// Ronda on NATS beside a bare handler, and the adapters of SQS and RabbitMQ beside bare publishers; each with its limits.
fn queues(root: &Path) -> anyhow::Result<bool> {
    // In one go, so that nothing is built twice with other features.
    let packages = ["-p", "ronda", "-p", "ronda-load", "-p", "ronda-gateway-harness", "-p", "ronda-queue"];
    let targets = ["--bins", "--example", "broker_throughput"];
    let features = ["--features", "ronda/brokers,ronda-load/brokers,ronda-gateway-harness/brokers"];
    if !rust::cargo(root)
        .args(["build", "--release", "--quiet"])
        .args(packages)
        .args(targets)
        .args(features)
        .status()?
        .success()
    {
        return Ok(false);
    }
    let release = rust::target_dir(root)?.join("release");
    let status = std::process::Command::new(release.join("ronda-load"))
        .current_dir(root)
        .args(["queues", "--ronda"])
        .arg(release.join("ronda"))
        .arg("--publishers")
        .arg(release.join("examples/broker_throughput"))
        .arg("--gateway")
        .arg(release.join("ronda-gateway-harness"))
        .status()?;
    Ok(status.success())
}

/// Commits of a thousand heartbeats on Cassandra and DynamoDB Local beside what their bare clients write.
fn databases(root: &Path) -> anyhow::Result<bool> {
    let arguments = ["run", "--release", "--quiet", "-p", "ronda-store", "--features", "cassandra,dynamodb"];
    Ok(rust::cargo(root).args(arguments).args(["--example", "commit_rate"]).status()?.success())
}

/// How long partitions stand still on NATS and Cassandra.
fn replicas(root: &Path) -> anyhow::Result<bool> {
    fleet(root, "replicas", "cassandra")
}

fn costs(root: &Path) -> anyhow::Result<bool> {
    Ok(fleet(root, "cost", "cassandra")? && fleet(root, "cost", "dynamodb")?)
}

/// Something that the load generator does with services as processes, on NATS and this database.
fn fleet(root: &Path, what: &str, store: &str) -> anyhow::Result<bool> {
    let Some(folder) = chaos::build(root, true)? else { return Ok(false) };
    let mut command = std::process::Command::new(folder.join("ronda-load"));
    command.args([what, "--queue", "nats", "--store", store, "--ronda"]).arg(folder.join("ronda"));
    Ok(command.current_dir(root).status()?.success())
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
