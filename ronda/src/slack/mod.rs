//! `slack …`: what there is to know of messages without sending any.

mod preview;

use ronda_host::exit::Failure;

use crate::cli::SlackCommand;

/// Does one.
///
/// # Errors
/// What was asked for is not there.
pub fn run(command: &SlackCommand) -> Result<String, Failure> {
    match command {
        SlackCommand::Preview(arguments) => preview::run(arguments),
    }
}
