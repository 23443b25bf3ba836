//! `config init|check|show`.

use std::io::Write;

use ronda_host::arguments::{draft, load};
use ronda_host::config;
use ronda_host::exit::Failure;

use crate::cli::ConfigCommand;

/// Writes, checks or shows the configuration.
///
/// # Errors
/// Every mistake in it, or why the file can't be written.
pub fn run(command: ConfigCommand) -> Result<String, Failure> {
    match command {
        ConfigCommand::Init { file, force } => {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).create_new(!force);
            let written = options.open(&file).and_then(|mut open| open.write_all(config::example_file().as_bytes()));
            match written {
                Ok(()) => Ok(format!("{} has every setting with its default, commented out.\n", file.display())),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    let name = file.display();
                    Err(Failure::other(format!("{name} is there already; --force replaces it, --file writes another")))
                }
                Err(error) => Err(Failure::other(format!("{} can't be written: {error}", file.display()))),
            }
        }
        ConfigCommand::Check { place } => {
            // As `up` does: the notifier alone knows of addresses, secrets, recipients.
            let loaded = ronda_notifier_bin::checked(draft(&place, Vec::new())?).finish()?;
            ronda_notifier_bin::config(&loaded.settings)?;
            let from = loaded.file.map_or(String::from("no file"), |file| file.display().to_string());
            let changed = match loaded.origins.len() {
                1 => String::from("1 setting"),
                count => format!("{count} settings"),
            };
            Ok(format!("The configuration is fine ({from}, {changed} changed from the default).\n"))
        }
        ConfigCommand::Show { json, place } => Ok(config::shown(&load(&place, Vec::new())?, json)),
        ConfigCommand::Reference => Ok(config::documentation()),
    }
}
