//! `cargo xtask`: what a developer and the integration run alike.
#![allow(clippy::print_stdout, reason = "a command line tool answers on standard output")]

mod api;
mod bench;
mod chaos;
mod conformance;
mod deny;
mod deploy;
mod fleet;
mod night;
mod packages;
mod pictures;
mod report;
mod rules;
mod rust;
mod server;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use report::Report;

/// Checks, tests and benchmarks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Format, lints, architecture rules, tests, licences, the API against its own description; ends with one line of counts.
    Test {
        /// Only the steps whose name contains this.
        #[arg(long)]
        only: Option<String>,
    },
    /// The architecture's rules alone: seconds.
    Rules,
    /// Measures, in a release build; fails when a figure that has a limit does not keep it.
    Bench {
        /// Only the measurements whose name contains this: `queue`, say.
        filter: Option<String>,
        /// The same as an option.
        #[arg(long, conflicts_with = "filter")]
        only: Option<String>,
    },
    /// Breaks a broker, `ronda up` and their neighbours one after another under load, in a release build; fails when something confirmed was
    /// lost or applied twice, or people were told wrongly.
    Chaos {
        /// embedded, nats, sqs or rabbitmq.
        #[arg(long)]
        queue: String,
        /// So many rounds of each kind of trouble.
        #[arg(long, default_value_t = 10)]
        rounds: usize,
        /// How long load goes on before each fault and after it, in seconds.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Reports a second over HTTP.
        #[arg(long, default_value_t = 5_000)]
        rate: u64,
        /// Messages a second straight onto the queue.
        #[arg(long, default_value_t = 500)]
        direct_rate: u64,
        /// Lose frames on purpose: then it has to fail.
        #[arg(long)]
        lose: bool,
    },
    /// Breaks gateways, processors and notifiers at random, and broker and database once each, on a release build while load goes on; fails when
    /// something confirmed was lost or applied twice, or people were told wrongly.
    Fleet {
        /// nats, sqs or rabbitmq.
        #[arg(long)]
        queue: String,
        /// cassandra or dynamodb.
        #[arg(long)]
        store: String,
        /// How long it goes on, in seconds.
        #[arg(long, default_value_t = 600)]
        seconds: u64,
        /// Reports a second over HTTP.
        #[arg(long, default_value_t = 500)]
        rate: u64,
        /// Messages a second straight onto the queue.
        #[arg(long, default_value_t = 50)]
        direct_rate: u64,
        /// What the order of troubles is made of.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only trouble that the fence is for: a processor stands still until others have its partitions, wakes, and the others are killed.
        #[arg(long)]
        zombies: bool,
        /// Without the fence between owners, to see that what comes of it is found: on DynamoDB.
        #[arg(long)]
        unfenced: bool,
    },
    /// Runs the conformance suites of the ports on every queue and every store, and prints which case passes where.
    Conformance,
    /// A night in real time: shell scripts report with curl, Slack is a stand-in; writes down what was seen, and fails when that is not
    /// one table, each trouble's alert and nothing else.
    Night {
        /// How long the window is, in minutes.
        #[arg(long, default_value_t = 15)]
        minutes: u64,
        /// Take the release binaries as they are.
        #[arg(long)]
        built: bool,
    },
    /// Takes the pictures of docs/slack.md anew, with Chromium.
    SlackPictures,
    /// What integration runs: the script `.ci/run`.
    Ci,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<bool> {
    let root = root()?;
    match Arguments::parse().command {
        Command::Test { only } => Ok(test(&root, only)),
        Command::Rules => {
            let mut report = Report::new(None);
            report.step("architecture rules", || rules::check(&root));
            Ok(report.close())
        }
        Command::Bench { filter, only } => bench::run(&root, filter.or(only).as_deref()),
        Command::Conformance => conformance::run(&root),
        Command::Night { minutes, built } => {
            let night = night::run(&root, minutes, built)?;
            println!("{}", night.report.display());
            for wrong in &night.wrong {
                println!("!! {wrong}");
            }
            println!(
                "{} as it should be, {} wrong",
                if night.wrong.is_empty() { "everything" } else { "not everything" },
                night.wrong.len()
            );
            Ok(night.wrong.is_empty())
        }
        Command::Chaos { queue, rounds, seconds, rate, direct_rate, lose } => {
            chaos::run(&root, &chaos::Storm { queue: &queue, rounds, seconds, rate, direct_rate, lose })
        }
        Command::Fleet { queue, store, seconds, rate, direct_rate, seed, zombies, unfenced } => {
            let (queue, store) = (&queue, &store);
            let fleet = fleet::Fleet { queue, store, seconds, rate, direct_rate, seed, zombies, unfenced };
            fleet::run(&root, &fleet)
        }
        Command::SlackPictures => {
            println!("{} pictures are in docs/images/slack", pictures::take(&root)?);
            Ok(true)
        }
        Command::Ci => Ok(std::process::Command::new(root.join(".ci/run")).current_dir(&root).status()?.success()),
    }
}

fn test(root: &Path, only: Option<String>) -> bool {
    let mut report = Report::new(only);
    report.step("format", || rust::format(root));
    report.step("architecture rules", || rules::check(root));
    report.step("lints", || rust::lints(root));
    report.step("packages for the tests", || packages::install(root));
    report.step("tests", || rust::tests(root));
    report.step("brokers and processes killed under load", || chaos::quick(root));
    report.step("replicas killed under load", || fleet::quick(root));
    report.step("licences, bans, sources", || deny::policy(root));
    report.step("advisories", || deny::advisories(root));
    report.step("AsyncAPI document", || api::asyncapi(root));
    report.step("deployment files", || deploy::check(root));
    report.step("API against its description", || api::schemathesis(root));
    report.close()
}

/// The repository's root: the parent of this crate's folder.
fn root() -> anyhow::Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("run it as 'cargo xtask'")?;
    Path::new(&manifest).parent().map(Path::to_owned).context("xtask lies in the repository's root")
}
