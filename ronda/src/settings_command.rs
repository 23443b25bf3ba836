//! `config init|check|show`.

use std::io::Write;

use crate::cli::{ConfigCommand, Place};
use crate::config::{self, Loaded, Sources};
use crate::exit::{Code, Failure};

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
            let loaded = load(&place, Vec::new())?;
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

/// Loads the configuration for a command: file, environment, and the flags that it has.
///
/// # Errors
/// Every mistake in it.
pub fn load(place: &Place, flags: Vec<(&'static str, &'static str, &'static str, String)>) -> Result<Loaded, Failure> {
    let mut sources = Sources::of_process(place.config.clone());
    sources.flags = flags;
    if let Some(data) = &place.data {
        let data = data.to_str().ok_or_else(|| Failure::new(Code::Usage, "--data must be a path in UTF-8"))?;
        sources.flags.push(("storage", "data", "--data", data.to_owned()));
    }
    Ok(config::load(&sources)?)
}
