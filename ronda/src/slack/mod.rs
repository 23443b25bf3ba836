//! `slack …`: what there is to know of messages before anybody gets one.

mod check;
mod preview;

use ronda_host::exit::Failure;

use crate::cli::SlackCommand;

/// Does one.
///
/// # Errors
/// What was asked for is not there, or what is wrong.
pub async fn run(command: &SlackCommand) -> Result<String, Failure> {
    match command {
        SlackCommand::Preview(arguments) => preview::run(arguments),
        SlackCommand::Check(arguments) => Box::pin(check::run(arguments)).await,
    }
}
