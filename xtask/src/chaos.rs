//! Rounds of trouble under load: builds what takes part, and lets the load generator do it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::report::Outcome;
use crate::rust;

/// The brokers of the quick rounds, with reports a second over HTTP and directly. The embedded queue has its rounds among the tests.
/// ElasticMQ writes each message into a database, and carries less.
const BROKERS: [(&str, u64, u64); 3] = [("nats", 500, 50), ("rabbitmq", 500, 50), ("sqs", 200, 20)];

/// What is asked for.
pub(crate) struct Storm<'a> {
    pub(crate) queue: &'a str,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    pub(crate) rate: u64,
    pub(crate) direct_rate: u64,
    pub(crate) lose: bool,
}

/// All rounds, on a release build; the table goes into the target folder, too. True when everything was as it should be.
pub(crate) fn run(root: &Path, storm: &Storm<'_>) -> anyhow::Result<bool> {
    let Some(folder) = build(root, true)? else { return Ok(false) };
    let report = folder.join(format!("chaos-{}.md", storm.queue));
    let mut command = load(&folder, storm);
    command.arg("--report").arg(&report);
    let good = command.current_dir(root).status()?.success();
    println!("{}", report.display());
    Ok(good)
}

/// One kill of each part on every broker that can be had, at a low rate.
pub(crate) fn quick(root: &Path) -> anyhow::Result<Outcome> {
    let Some(folder) = build(root, false)? else { return Ok(Outcome::failed("it can't be built, see above")) };
    let mut outcome = Outcome::default();
    for (queue, rate, direct_rate) in BROKERS {
        let storm = Storm { queue, rounds: 1, seconds: 2, rate, direct_rate, lose: false };
        let output =
            load(&folder, &storm).args(["--deeds", "kill"]).stderr(Stdio::piped()).current_dir(root).output()?;
        let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match (output.status.success(), errors.split_once("can't be had: ")) {
            (true, _) => outcome.passed += 1,
            (false, Some((_, why))) => outcome.skipped.push(format!("{queue}: {}", why.trim())),
            (false, None) => outcome.failures.push(format!("{queue}: {}\n{told}", errors.trim())),
        }
    }
    Ok(outcome)
}

/// Builds the binary, a gateway of its own and the load generator, with the adapters; answers the folder that they are in.
pub(crate) fn build(root: &Path, release: bool) -> anyhow::Result<Option<PathBuf>> {
    let mut cargo = rust::cargo(root);
    cargo.args(["build", "--quiet", "-p", "ronda", "-p", "ronda-load", "-p", "ronda-gateway-harness"]);
    cargo.args(["--features", "ronda/brokers,ronda/stores,ronda-load/brokers,ronda-gateway-harness/brokers"]);
    cargo.args(release.then_some("--release"));
    let folder = rust::target_dir(root)?.join(if release { "release" } else { "debug" });
    Ok(cargo.status()?.success().then_some(folder))
}

fn load(folder: &Path, storm: &Storm<'_>) -> Command {
    let mut command = Command::new(folder.join("ronda-load"));
    command.args(["chaos", "--queue", storm.queue, "--ronda"]).arg(folder.join("ronda"));
    command.arg("--gateway").arg(folder.join("ronda-gateway-harness"));
    let numbers = [("--seconds", storm.seconds), ("--rate", storm.rate), ("--direct-rate", storm.direct_rate)];
    for (name, number) in numbers {
        command.args([name, &number.to_string()]);
    }
    command.args(["--rounds", &storm.rounds.to_string()]).args(storm.lose.then_some("--lose"));
    command
}
