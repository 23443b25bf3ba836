//! What every process of Ronda is made of, whichever services it runs: settings, queues and store as they are opened and belong
//! together, health and metrics, and an end in order.
//!
//! It knows no service: those are put in by the binaries.

pub mod alone;
pub mod arguments;
pub mod broker;
pub mod config;
pub mod exit;
pub mod identity;
pub mod lag;
mod life;
mod memory;
mod others;
pub mod parts;
mod patience;
pub mod process;
pub mod replica;
pub mod signals;
pub mod slack;
pub mod socket;
pub mod store;
mod watch;

use std::io::Write as _;
use std::process::ExitCode;

use exit::Failure;

/// Runs a process to its end, and answers its exit code.
#[must_use]
pub fn main(work: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => match runtime.block_on(Box::pin(work)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => ended(&failure),
        },
        Err(error) => ended(&Failure::other(format!("the runtime could not be started: {error}"))),
    }
}

/// Says why the process ends.
pub fn ended(failure: &Failure) -> ExitCode {
    let _ = writeln!(std::io::stderr().lock(), "ronda: {failure}");
    ExitCode::from(failure.code.number())
}
