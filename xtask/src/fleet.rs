//! Replicas under trouble: what `ronda-load fleet` does, on builds made here.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::chaos;
use crate::report::Outcome;

/// The quick runs: broker, database, reports a second over HTTP and directly. DynamoDB Local writes every row into one file, and carries little.
const QUICK: [(&str, &str, u64, u64); 3] =
    [("nats", "cassandra", 100, 10), ("rabbitmq", "cassandra", 100, 10), ("sqs", "dynamodb", 32, 4)];
/// How long they go on, in seconds.
const QUICK_SECONDS: u64 = 40;

/// What is asked for.
pub(crate) struct Fleet<'a> {
    pub(crate) queue: &'a str,
    pub(crate) store: &'a str,
    pub(crate) seconds: u64,
    pub(crate) rate: u64,
    pub(crate) direct_rate: u64,
    pub(crate) seed: u64,
    pub(crate) zombies: bool,
    pub(crate) unfenced: bool,
}

/// One run, on a release build. True when everything was as it should be.
pub(crate) fn run(root: &Path, fleet: &Fleet<'_>) -> anyhow::Result<bool> {
    let Some(folder) = chaos::build(root, true)? else { return Ok(false) };
    Ok(load(&folder, fleet).current_dir(root).status()?.success())
}

/// A short run on each pair of broker and database that can be had.
pub(crate) fn quick(root: &Path) -> anyhow::Result<Outcome> {
    let Some(folder) = chaos::build(root, false)? else { return Ok(Outcome::failed("it can't be built, see above")) };
    let mut outcome = Outcome::default();
    for (queue, store, rate, direct_rate) in QUICK {
        let seconds = QUICK_SECONDS;
        let fleet = Fleet { queue, store, seconds, rate, direct_rate, seed: 1, zombies: false, unfenced: false };
        let output = load(&folder, &fleet).stderr(Stdio::piped()).current_dir(root).output()?;
        let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match (output.status.success(), errors.split_once("can't be had: ")) {
            (true, _) => outcome.passed += 1,
            (false, Some((_, why))) => outcome.skipped.push(format!("{queue} and {store}: {}", why.trim())),
            (false, None) => outcome.failures.push(format!("{queue} and {store}: {}\n{told}", errors.trim())),
        }
    }
    Ok(outcome)
}

fn load(folder: &Path, fleet: &Fleet<'_>) -> Command {
    let mut command = Command::new(folder.join("ronda-load"));
    command.args(["fleet", "--queue", fleet.queue, "--store", fleet.store, "--ronda"]).arg(folder.join("ronda"));
    let numbers = [
        ("--seconds", fleet.seconds),
        ("--rate", fleet.rate),
        ("--direct-rate", fleet.direct_rate),
        ("--seed", fleet.seed),
    ];
    for (name, number) in numbers {
        command.args([name, &number.to_string()]);
    }
    let flags = [("--zombies", fleet.zombies), ("--unfenced", fleet.unfenced)];
    command.args(flags.into_iter().filter(|(_, is_set)| *is_set).map(|(flag, _)| flag));
    command
}
