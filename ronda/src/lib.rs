//! Ronda's one binary: the command line, the configuration, and the assembly of the three services.
//!
//! It holds no logic of its own: what the services do is theirs, what the API answers is the gateway's.

pub mod admin;
pub mod cli;
pub mod client;
pub mod dead_letters;
pub mod keys;
pub mod partitions;
pub mod queue;
pub mod routes;
pub mod settings_command;
pub mod slack;
pub mod store;
pub mod text;
pub mod up;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use cli::{Arguments, Command};
use ronda_host::exit::Failure;

/// Reads the command line, does what it says, and answers the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    ronda_host::main(async {
        let text = run(arguments.command).await?;
        print(&text);
        Ok(())
    })
}

async fn run(command: Command) -> Result<String, Failure> {
    match command {
        Command::Up(arguments) => nothing_to_say(up::run(arguments)).await,
        Command::IngestGateway(arguments) => nothing_to_say(ronda_ingest_gateway_bin::run(arguments)).await,
        Command::Processor(arguments) => nothing_to_say(ronda_processor_bin::run(arguments)).await,
        Command::Notifier(arguments) => nothing_to_say(ronda_notifier_bin::run(arguments)).await,
        Command::Keys(command) => keys::run(command).await,
        Command::Partitions { json, place } => Box::pin(partitions::run(&place, json)).await,
        Command::Store(command) => Box::pin(store::run(command)).await,
        Command::Queue(command) => Box::pin(queue::run(command)).await,
        Command::DeadLetters(command) => dead_letters::run(command).await,
        Command::Slack(command) => slack::run(&command).await,
        Command::Routes(command) => Box::pin(routes::run(command)).await,
        Command::Schedulers(command) => client::schedulers(command).await,
        Command::Register(arguments) => client::register(*arguments).await,
        Command::Status(arguments) => client::status(arguments).await,
        Command::Heartbeat(arguments) => client::heartbeat(arguments).await,
        Command::Errors(arguments) => client::errors(arguments).await,
        Command::Health(arguments) => client::health(&arguments).await,
        Command::Config(command) => settings_command::run(command),
        Command::Version { json } => Ok(version(json)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "ronda", &mut script);
            Ok(String::from_utf8_lossy(&script).into_owned())
        }
    }
}

/// What a service logs is all that it says.
async fn nothing_to_say(work: impl Future<Output = Result<(), Failure>>) -> Result<String, Failure> {
    Box::pin(work).await.map(|()| String::new())
}

fn version(json: bool) -> String {
    let version = env!("CARGO_PKG_VERSION");
    if json { format!("{:#}\n", serde_json::json!({ "version": version })) } else { format!("ronda {version}\n") }
}

/// Writes to standard output. A reader that went away (`| head`) is no failure.
pub fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
